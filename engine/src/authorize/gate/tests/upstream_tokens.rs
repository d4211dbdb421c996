//! Tokens for upstreams: when a request passes with one, without one, or not at all.

use super::*;
use crate::authorize::{
    request::Permit,
    upstream_token::{self, tests::document},
};
use serde_json::json;

const CAPABLE: [&str; 1] = [wire::UPSTREAM_TOKENS];

fn bench(change: impl FnOnce(&mut serde_json::Value), capabilities: &[&str]) -> Bench {
    let mut policy = document();
    change(&mut policy);
    let policy = Policy::parse(policy.to_string().as_bytes()).unwrap_or_else(|faults| panic!("{faults}"));
    Bench::of(policy, &welcome(capabilities)).keyed()
}

/// A GET with these headers.
fn get(bench: &mut Bench, context: ContextId, path: &str, more: &[(&str, &str)]) -> Step {
    get_at(bench, context, path, more, NOW_MS)
}

fn get_at(bench: &mut Bench, context: ContextId, path: &str, more: &[(&str, &str)], now_ms: u64) -> Step {
    let base = [(":method", "GET"), (":path", path), (":authority", "api.example"), ("x-request-id", "r-1")];
    let all = base.iter().chain(more).map(|(name, value)| ((*name).to_owned(), value.as_bytes().to_vec()));
    let headers: Vec<_> = all.collect();
    bench.gate.arrive(context, &Head::read(&headers), address, at(now_ms))
}

fn bearer(bench: &Bench) -> String {
    format!("Bearer {}", bench.token("read write"))
}

fn minted(id: u64, text: &str) -> wire::MintedToken {
    wire::MintedToken { id, token: text.to_owned(), expires_at_ms: NOW_MS + 30_000 }
}

/// The service answers a question: the session is good.
fn active(bench: &mut Bench, id: u32, token: Option<wire::MintedToken>) -> Vec<Due> {
    let verdict =
        wire::Verdict { id, outcome: wire::Outcome::Active.into(), upstream_token: token, ..Default::default() };
    let message = wire::ServiceMessage { verdicts: vec![verdict], received: true, ..Default::default() };
    bench.gate.message(STREAM, &message.encode_to_vec(), at(NOW_MS))
}

fn only(mut due: Vec<Due>) -> Step {
    assert_eq!(due.len(), 1);
    due.pop().unwrap().1
}

fn released(step: Step) -> Permit {
    match step {
        Step::Release(permit) => permit,
        other => panic!("{other:?}"),
    }
}

fn sets(bench: &Bench, permit: &Permit) -> Option<(String, String)> {
    let header = upstream_token::header(permit, bench.gate.policy());
    header.map(|(name, token)| (name.to_owned(), token.to_owned()))
}

#[test]
fn a_request_passes_with_the_token_of_its_verdict_and_without_the_clients() {
    let mut bench = bench(|_| (), &CAPABLE);
    let token = bearer(&bench);
    assert_eq!(code(&get(&mut bench, 1, "/both", &[("authorization", &token)])), "wait");
    let sent = bench.sent(NOW_MS);
    let question = &sent.questions[0];
    assert_eq!((question.request_id.as_str(), question.held_token), ("r-1", None));
    let permit = released(only(active(&mut bench, question.id, Some(minted(7, "a.b.c")))));
    assert_eq!(sets(&bench, &permit), Some(("txn-token".to_owned(), "a.b.c".to_owned())));
    assert_eq!(permit.strip, ["authorization"]);

    // The next question names what is kept, and the answer has no text.
    get(&mut bench, 2, "/both", &[("authorization", &token)]);
    let sent = bench.sent(NOW_MS);
    assert_eq!(sent.questions[0].held_token, Some(7));
    let permit = released(only(active(&mut bench, sent.questions[0].id, Some(minted(7, "")))));
    assert_eq!(sets(&bench, &permit), Some(("txn-token".to_owned(), "a.b.c".to_owned())));
}

#[test]
fn without_a_token_a_request_is_refused_unless_the_policy_says_otherwise() {
    for (on_outage, expected) in [(json!(null), "session_unavailable"), (json!("omit"), "released")] {
        let mut bench = bench(
            |policy| {
                if !on_outage.is_null() {
                    policy["routes"][1]["upstream_token"]["on_outage"] = on_outage.clone();
                }
            },
            &CAPABLE,
        );
        let token = bearer(&bench);
        get(&mut bench, 1, "/both", &[("authorization", &token)]);
        let id = bench.sent(NOW_MS).questions[0].id;
        assert_eq!(code(&only(active(&mut bench, id, None))), expected);
    }
}

#[test]
fn a_route_without_one_says_nothing_about_tokens_and_keeps_the_clients() {
    let mut bench = bench(|_| (), &CAPABLE);
    let token = bearer(&bench);
    get(&mut bench, 1, "/read", &[("authorization", &token), ("txn_token", "forged")]);
    let question = bench.sent(NOW_MS).questions.remove(0);
    assert_eq!((question.request_id.as_str(), question.held_token), ("", None));
    let permit = released(only(active(&mut bench, question.id, Some(minted(7, "a.b.c")))));
    assert_eq!(sets(&bench, &permit), None);
    assert_eq!(permit.strip, ["txn_token"]);
}

#[test]
fn a_clients_own_is_taken_away_on_public_and_optional_routes_which_get_none() {
    let mut bench = bench(|policy| policy["upstream_token"] = json!({"audience": "all"}), &CAPABLE);
    for path in ["/open", "/optional/x"] {
        let permit = released(get(&mut bench, 1, path, &[("Txn-Token", "forged"), ("x-hop", "forged")]));
        assert_eq!(permit.strip, ["Txn-Token", "x-hop"], "{path}");
        assert_eq!(sets(&bench, &permit), None, "{path}");
    }
}

#[test]
fn a_connection_header_that_names_the_tokens_header_is_refused() {
    let mut bench = bench(|_| (), &CAPABLE);
    assert_eq!(code(&get(&mut bench, 1, "/open", &[("connection", "txn-token")])), "malformed_credentials");
}

#[test]
fn a_service_that_cannot_mint_is_left_unless_every_route_can_do_without() {
    let policy = Policy::parse(document().to_string().as_bytes()).unwrap();
    let mut incapable = Bench::of(policy, &welcome(&[]));
    let news = incapable.gate.take_peer_news();
    assert!(news.iter().any(|news| news.to_string().contains("capability `upstream_tokens`")), "{news:?}");
    assert!(!incapable.gate.is_connected());

    let mut bench = bench(
        |policy| {
            for route in [1, 2] {
                policy["routes"][route]["upstream_token"]["on_outage"] = json!("omit");
            }
        },
        &[],
    );
    assert!(bench.gate.is_connected());
    let token = bearer(&bench);
    get(&mut bench, 1, "/both", &[("authorization", &token)]);
    let question = bench.sent(NOW_MS).questions.remove(0);
    assert_eq!(question.request_id, "", "it is told nothing that it would not understand");
    let permit = released(only(active(&mut bench, question.id, None)));
    assert_eq!(sets(&bench, &permit), None);
}

#[test]
fn in_an_outage_the_last_token_is_used_while_it_lives() {
    let mut bench = bench(|policy| policy["routes"][3]["upstream_token"] = json!({"audience": "read"}), &CAPABLE);
    let token = bearer(&bench);
    get(&mut bench, 1, "/read", &[("authorization", &token)]);
    let id = bench.sent(NOW_MS).questions[0].id;
    released(only(active(&mut bench, id, Some(minted(7, "a.b.c")))));
    let step = unanswered(&mut bench, 2, &token, NOW_MS);
    assert_eq!(sets(&bench, &released(step)).unwrap().1, "a.b.c");
    assert_eq!(code(&unanswered(&mut bench, 3, &token, NOW_MS + 30_000)), "session_unavailable");
}

/// What becomes of a request about which the service says nothing.
fn unanswered(bench: &mut Bench, context: ContextId, token: &str, now_ms: u64) -> Step {
    let step = get_at(bench, context, "/read", &[("authorization", token)], now_ms);
    if !matches!(step, Step::Wait) {
        return step;
    }
    while bench.gate.act(at(now_ms).instant).is_some() {}
    only(bench.gate.tick(at(now_ms + 200)).into_iter().filter(|(of, _)| *of == context).collect())
}

#[test]
fn the_proxy_is_named_by_the_policy_or_by_its_node() {
    let hello = |workload: Option<&str>| {
        let mut policy = document();
        if let Some(name) = workload {
            policy["workload"] = json!(name);
        }
        let policy = Policy::parse(policy.to_string().as_bytes()).unwrap();
        let mut gate = Gate::new(policy, |_| None, 1).unwrap_or_else(|(_, error)| panic!("{error}"));
        gate.name_workload("node-1");
        gate.act(at(NOW_MS).instant);
        gate.opened(Some(STREAM), at(NOW_MS).instant);
        let Some(Act::Send { message, .. }) = gate.act(at(NOW_MS).instant) else { panic!("no hello") };
        wire::FilterMessage::decode(message.as_slice()).unwrap().hello.unwrap()
    };
    assert_eq!(hello(None).workload, "node-1");
    let named = hello(Some("edge.example"));
    assert_eq!(named.workload, "edge.example");
    let wanted = named.routes[2].upstream_token.clone().unwrap();
    assert_eq!((wanted.audience.as_str(), wanted.ttl_ms, wanted.address), ("me", 30_000, true));
    assert!(named.routes[0].upstream_token.is_none() && named.routes[3].upstream_token.is_none());
}
