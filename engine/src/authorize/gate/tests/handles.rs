//! Browsers that show a handle: when a request waits for its token, and what becomes of it.

use super::*;
use crate::authorize::{fixtures::with_handles, handle::HandleDigest, request::Permit};
use serde_json::json;

const NAME: &str = "__Host-portcullis";
const HANDLE: &str = "pcr_0123456789abcdefghijklmnopqrstuvwxyz";
const CLEARS: &str = "__Host-portcullis=; Path=/; Max-Age=0; HttpOnly; Secure; SameSite=Lax";

fn bench() -> Bench {
    bench_with(json!({}))
}

fn bench_with(more: serde_json::Value) -> Bench {
    Bench::of(with_handles(more), &welcome(&[wire::COOKIES, wire::LEASES])).keyed()
}

fn get(bench: &mut Bench, context: ContextId, path: &str, handle: &str, now_ms: u64) -> Step {
    let cookie = format!("theme=dark; {NAME}={handle}");
    send(bench, context, &[(":method", "GET"), (":path", path), ("cookie", &cookie)], now_ms)
}

fn send(bench: &mut Bench, context: ContextId, headers: &[(&str, &str)], now_ms: u64) -> Step {
    let all = headers.iter().chain(&[(":authority", "api.example")]);
    let headers: Vec<_> = all.map(|(name, value)| ((*name).to_owned(), value.as_bytes().to_vec())).collect();
    bench.gate.arrive(context, &Head::read(&headers), address, at(now_ms))
}

/// The service answers about a handle.
fn redeem(bench: &mut Bench, id: u32, outcome: wire::Outcome, token: &str, now_ms: u64) -> Vec<Due> {
    redeem_as(bench, id, outcome.into(), token, now_ms)
}

fn redeem_as(bench: &mut Bench, id: u32, outcome: i32, token: &str, now_ms: u64) -> Vec<Due> {
    let redeemed = wire::Redeemed { id, outcome, token: token.to_owned(), renew_ms: 60_000 };
    let message = wire::ServiceMessage { redeemed: vec![redeemed], ..Default::default() };
    bench.gate.message(STREAM, &message.encode_to_vec(), at(now_ms))
}

fn codes(due: &[Due]) -> Vec<(ContextId, &'static str)> {
    due.iter().map(|(context, step)| (*context, code(step))).collect()
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

/// What the answer to a refused request makes a browser forget.
fn cleared(bench: &Bench, step: &Step) -> Option<String> {
    let Step::Deny(denial) = step else { panic!("{step:?}") };
    let answer = denial.answer(bench.gate.policy(), None);
    let cookie = answer.headers.into_iter().find(|(name, _)| *name == "set-cookie");
    cookie.map(|(_, value)| value)
}

/// A worker that knows the token of the handle.
fn knowing(more: serde_json::Value) -> (Bench, String) {
    let mut bench = bench_with(more);
    let token = bench.token("read write");
    assert_eq!(code(&get(&mut bench, 1, "/both", HANDLE, NOW_MS)), "wait");
    let id = bench.sent(NOW_MS).redemptions[0].id;
    assert_eq!(codes(&redeem(&mut bench, id, wire::Outcome::Active, &token, NOW_MS)), [(1, "wait")]);
    let question = bench.sent(NOW_MS).questions[0].id;
    assert_eq!(codes(&bench.verdict(question, wire::Outcome::Active, None, NOW_MS)), [(1, "released")]);
    bench.gate.gone(1);
    (bench, token)
}

#[test]
fn the_first_request_waits_for_the_token_and_then_for_its_verdict() {
    let mut bench = bench();
    let token = bench.token("read write");
    assert_eq!(code(&get(&mut bench, 1, "/both", HANDLE, NOW_MS)), "wait");
    assert!(bench.gate.is_busy() && !bench.gate.is_released(1));
    let sent = bench.sent(NOW_MS);
    assert_eq!(sent.redemptions[0].handle, HandleDigest::of(HANDLE).unwrap().to_wire());
    assert_eq!((sent.questions.len(), sent.tokens.len()), (0, 0));
    assert_eq!(codes(&redeem(&mut bench, 0, wire::Outcome::Active, &token, NOW_MS)), [(1, "wait")]);
    let sent = bench.sent(NOW_MS);
    assert_eq!((sent.tokens[0].session_key.as_str(), sent.redemptions.len()), ("s1", 0));
    let permit = released(only(bench.verdict(sent.questions[0].id, wire::Outcome::Active, None, NOW_MS)));
    // The handle stays here, and the token stands in its place.
    assert_eq!(
        permit.replace,
        [("cookie", b"theme=dark".to_vec()), ("authorization", format!("Bearer {token}").into_bytes())]
    );
}

#[test]
fn a_known_token_is_used_at_once_and_renewed_ahead() {
    let (mut bench, _) = knowing(json!({"forward_token": false}));
    assert_eq!(code(&get(&mut bench, 2, "/both", HANDLE, NOW_MS + 59_999)), "wait");
    let sent = bench.sent(NOW_MS + 59_999);
    assert_eq!((sent.questions.len(), sent.redemptions.len()), (1, 0));
    let id = sent.questions[0].id;
    let permit = released(only(bench.verdict(id, wire::Outcome::Active, None, NOW_MS + 59_999)));
    assert_eq!(permit.replace, [("cookie", b"theme=dark".to_vec())]);
    // The request that asks for the next token does not wait for it.
    get(&mut bench, 3, "/both", HANDLE, NOW_MS + 60_000);
    let sent = bench.sent(NOW_MS + 60_000);
    assert_eq!((sent.questions.len(), sent.redemptions.len()), (1, 1));
    let due = bench.verdict(sent.questions[0].id, wire::Outcome::Active, None, NOW_MS + 60_000);
    assert_eq!(codes(&due), [(3, "released")]);
    let next = bench.token_of("s2", "read write");
    assert_eq!(codes(&redeem(&mut bench, sent.redemptions[0].id, wire::Outcome::Active, &next, NOW_MS + 60_001)), []);
    get(&mut bench, 4, "/both", HANDLE, NOW_MS + 60_002);
    assert_eq!(bench.sent(NOW_MS + 60_002).tokens[0].session_key, "s2");
}

#[test]
fn a_token_that_could_expire_meanwhile_is_waited_for() {
    // It expires 300 s after now, and a question may take 200 ms.
    let (mut bench, token) = knowing(json!({}));
    let soon = NOW_MS + 299_800;
    assert_eq!(code(&get(&mut bench, 2, "/both", HANDLE, soon - 1)), "wait");
    let sent = bench.sent(soon - 1);
    assert_eq!((sent.questions.len(), sent.redemptions.len()), (1, 1));
    bench.gate.gone(2);
    let id = sent.redemptions[0].id;
    assert_eq!(code(&get(&mut bench, 3, "/both", HANDLE, soon)), "wait");
    assert_eq!(bench.gate.act(at(soon).instant), None, "it is being asked for");
    // The service has no better one, and this one is still good.
    assert_eq!(codes(&redeem(&mut bench, id, wire::Outcome::Active, &token, soon)), [(3, "wait")]);
    assert_eq!(bench.gate.act(at(soon).instant), None, "a question is under way");
    // One that has expired is worth nothing, but the handle is not to blame.
    bench.gate.gone(3);
    let dead = NOW_MS + 330_000;
    get(&mut bench, 4, "/both", HANDLE, dead);
    bench.gate.closed(STREAM, at(dead));
    bench.gate.tick(at(dead + 100));
    assert!(!bench.gate.is_released(4));
}

#[test]
fn a_token_that_expires_on_the_way_is_no_end_of_the_session() {
    let mut bench = bench();
    let token = bench.token("read write");
    let late = NOW_MS + 330_000;
    get(&mut bench, 1, "/both", HANDLE, late);
    let id = bench.sent(late).redemptions[0].id;
    let step = only(redeem(&mut bench, id, wire::Outcome::Active, &token, late));
    assert_eq!((code(&step), cleared(&bench, &step)), ("session_unavailable", None));
    // The same while its question is asked: 29.9 s beyond `exp`, within the skew.
    let mut bench = bench_with(json!({}));
    let token = bench.token("read write");
    let almost = NOW_MS + 329_900;
    get(&mut bench, 1, "/both", HANDLE, almost);
    let id = bench.sent(almost).redemptions[0].id;
    assert_eq!(codes(&redeem(&mut bench, id, wire::Outcome::Active, &token, almost)), [(1, "wait")]);
    let id = bench.sent(almost).questions[0].id;
    let step = only(bench.verdict(id, wire::Outcome::Active, None, NOW_MS + 330_000));
    assert_eq!((code(&step), cleared(&bench, &step)), ("session_unavailable", None));
}

#[test]
fn every_outcome_has_its_answer_and_a_401_clears_the_cookie() {
    use wire::Outcome;
    for (outcome, expected, clears) in [
        (Outcome::UnknownSession as i32, "invalid_token", true),
        (Outcome::IdleTimeout as i32, "session_idle_timeout", true),
        (Outcome::LifetimeExceeded as i32, "session_lifetime_exceeded", true),
        (Outcome::Revoked as i32, "session_revoked", true),
        (Outcome::Blocked as i32, "blocked", false),
        (Outcome::Unavailable as i32, "session_unavailable", false),
        (Outcome::Active as i32, "session_unavailable", false),
        (Outcome::StepUpRequired as i32, "step_up_required", false),
        (Outcome::Unspecified as i32, "session_unknown", true),
        (4_711, "session_unknown", true),
    ] {
        let mut bench = bench();
        get(&mut bench, 1, "/both", HANDLE, NOW_MS);
        let id = bench.sent(NOW_MS).redemptions[0].id;
        let step = only(redeem_as(&mut bench, id, outcome, "", NOW_MS));
        assert_eq!(code(&step), expected, "{outcome}");
        assert_eq!(cleared(&bench, &step).as_deref(), clears.then_some(CLEARS), "{outcome}");
        // It is not remembered: the next request asks again.
        bench.gate.gone(1);
        assert_eq!(code(&get(&mut bench, 2, "/both", HANDLE, NOW_MS)), "wait");
        assert_eq!(bench.sent(NOW_MS).redemptions.len(), 1);
    }
}

#[test]
fn a_401_of_the_verdict_clears_the_cookie_and_a_403_does_not() {
    use wire::Outcome;
    for (outcome, expected, clears) in [
        (Outcome::Revoked, "session_revoked", true),
        (Outcome::Blocked, "blocked", false),
        (Outcome::StepUpRequired, "step_up_required", false),
    ] {
        let (mut bench, token) = knowing(json!({}));
        get(&mut bench, 2, "/both", HANDLE, NOW_MS);
        let id = bench.sent(NOW_MS).questions[0].id;
        let step = only(bench.verdict(id, outcome, None, NOW_MS));
        assert_eq!((code(&step), cleared(&bench, &step).as_deref()), (expected, clears.then_some(CLEARS)));
        // A client with the token itself has no cookie to clear.
        bench.request(3, "/both", Some(&token), NOW_MS);
        let id = bench.sent(NOW_MS).questions[0].id;
        let step = only(bench.verdict(id, outcome, None, NOW_MS));
        assert_eq!((code(&step), cleared(&bench, &step)), (expected, None));
    }
}

#[test]
fn junk_is_refused_without_a_question() {
    let mut bench = bench();
    for junk in ["x", "a.b.c", "\u{fc}", &"a".repeat(257), &format!("{HANDLE}=")] {
        let step = get(&mut bench, 1, "/both", junk, NOW_MS);
        assert_eq!((code(&step), cleared(&bench, &step).as_deref()), ("invalid_token", Some(CLEARS)), "{junk}");
        bench.gate.gone(1);
    }
    let step = send(&mut bench, 1, &[(":method", "GET"), (":path", "/both"), ("cookie", &format!("{NAME}="))], NOW_MS);
    assert_eq!((code(&step), cleared(&bench, &step)), ("no_credentials", None));
    assert_eq!(bench.gate.act(at(NOW_MS).instant), None);
    let words = bench.gate.refused_token(at(NOW_MS).instant).unwrap().to_string();
    assert!(words.starts_with("refused a token: reason=handle issuer=- kid=-: no handle looks like it"), "{words}");
}

#[test]
fn a_handle_beside_a_token_is_one_too_many() {
    let mut bench = bench();
    let (token, cookie) = (format!("Bearer {}", bench.token("read")), format!("{NAME}={HANDLE}"));
    let headers = [(":method", "GET"), (":path", "/me"), ("cookie", &cookie), ("authorization", &token)];
    assert_eq!(code(&send(&mut bench, 1, &headers, NOW_MS)), "malformed_credentials");
}

#[test]
fn pages_of_other_sites_change_nothing_in_the_persons_name() {
    let (mut bench, _) = knowing(json!({}));
    let cookie = format!("{NAME}={HANDLE}");
    for (method, origin, expected) in [
        ("POST", None, "cross_origin"),
        ("POST", Some("https://evil.example"), "cross_origin"),
        ("POST", Some("https://api.example"), "wait"),
        ("GET", Some("https://evil.example"), "wait"),
    ] {
        let headers = [(":method", method), (":path", "/me"), ("cookie", cookie.as_str())];
        let headers: Vec<_> = headers.into_iter().chain(origin.map(|origin| ("origin", origin))).collect();
        assert_eq!(code(&send(&mut bench, 2, &headers, NOW_MS)), expected, "{method} {origin:?}");
        bench.gate.gone(2);
    }
}

#[test]
fn handles_never_reach_an_upstream_on_public_routes_either() {
    let mut bench = bench();
    for (path, handle) in [("/open", HANDLE), ("/open", "junk")] {
        let permit = released(get(&mut bench, 1, path, handle, NOW_MS));
        assert_eq!(permit.replace, [("cookie", b"theme=dark".to_vec())]);
        bench.gate.gone(1);
    }
    assert_eq!(bench.gate.act(at(NOW_MS).instant), None, "nobody asks about it");
    // Where a token is optional, a handle must be good; without one, the person is anonymous.
    assert_eq!(code(&get(&mut bench, 1, "/optional/a", "junk", NOW_MS)), "invalid_token");
    let anonymous = [(":method", "GET"), (":path", "/optional/a"), ("cookie", "theme=dark")];
    assert_eq!(code(&send(&mut bench, 2, &anonymous, NOW_MS)), "released");
}

#[test]
fn who_waits_too_long_is_refused_whatever_an_outage_releases() {
    let mut bench = bench();
    for (context, path) in [(1, "/read"), (2, "/grace"), (3, "/both")] {
        assert_eq!(code(&get(&mut bench, context, path, HANDLE, NOW_MS)), "wait");
    }
    assert_eq!(bench.sent(NOW_MS).redemptions.len(), 1);
    assert_eq!(codes(&bench.gate.tick(at(NOW_MS + 199))), []);
    let due = bench.gate.tick(at(NOW_MS + 200));
    let unavailable = "session_unavailable";
    assert_eq!(codes(&due), [(1, unavailable), (2, unavailable), (3, unavailable)]);
    assert!(!bench.gate.is_busy() || bench.gate.is_connected());
    // The answer is for the next one.
    let token = bench.token("read");
    assert_eq!(codes(&redeem(&mut bench, 0, wire::Outcome::Active, &token, NOW_MS + 300)), []);
    get(&mut bench, 4, "/read", HANDLE, NOW_MS + 301);
    assert_eq!(bench.sent(NOW_MS + 301).questions.len(), 1);
    // With its token, an outage decides as for any other.
    assert_eq!(codes(&bench.gate.tick(at(NOW_MS + 501))), [(4, "released")]);
}

#[test]
fn requests_that_have_gone_are_not_answered() {
    let mut bench = bench();
    get(&mut bench, 1, "/both", HANDLE, NOW_MS);
    get(&mut bench, 2, "/both", HANDLE, NOW_MS);
    let id = bench.sent(NOW_MS).redemptions[0].id;
    bench.gate.gone(1);
    let due = redeem(&mut bench, id, wire::Outcome::Revoked, "", NOW_MS);
    assert_eq!(codes(&due), [(2, "session_revoked")]);
}

#[test]
fn a_handle_is_asked_about_again_when_the_stream_is_lost() {
    let mut bench = bench();
    let token = bench.token("read write");
    get(&mut bench, 1, "/both", HANDLE, NOW_MS);
    bench.sent(NOW_MS);
    assert_eq!(codes(&bench.gate.closed(STREAM, at(NOW_MS + 1))), []);
    let then = at(NOW_MS + 60);
    bench.gate.tick(then);
    assert_eq!(bench.gate.act(then.instant), Some(Act::Open));
    bench.gate.opened(Some(6), then.instant);
    bench.gate.act(then.instant);
    bench.gate.message(6, &welcome(&[wire::COOKIES]), then);
    let id = bench.sent(NOW_MS + 60).redemptions[0].id;
    let redeemed = wire::Redeemed { id, outcome: wire::Outcome::Active.into(), token, renew_ms: 1_000 };
    let message = wire::ServiceMessage { redeemed: vec![redeemed], ..Default::default() };
    assert_eq!(codes(&bench.gate.message(6, &message.encode_to_vec(), then)), [(1, "wait")]);
    assert_eq!(bench.sent(NOW_MS + 60).questions.len(), 1);
}

#[test]
fn a_stream_that_drains_is_kept_until_it_has_answered() {
    let mut bench = bench();
    let token = bench.token("read write");
    get(&mut bench, 1, "/both", HANDLE, NOW_MS);
    let id = bench.sent(NOW_MS).redemptions[0].id;
    let drain = wire::ServiceMessage { drain: true, ..Default::default() };
    bench.gate.message(STREAM, &drain.encode_to_vec(), at(NOW_MS));
    assert_eq!(bench.gate.act(at(NOW_MS).instant), Some(Act::Open));
    bench.gate.opened(Some(6), at(NOW_MS).instant);
    bench.gate.act(at(NOW_MS).instant);
    bench.gate.message(6, &welcome(&[wire::COOKIES]), at(NOW_MS));
    assert_eq!(bench.gate.act(at(NOW_MS).instant), None, "the old stream owes an answer");
    assert_eq!(codes(&redeem(&mut bench, id, wire::Outcome::Active, &token, NOW_MS)), [(1, "wait")]);
    assert_eq!(bench.gate.act(at(NOW_MS).instant), Some(Act::Close { stream: STREAM }));
    assert_eq!(bench.sent(NOW_MS).questions.len(), 1);
}

#[test]
fn a_service_that_keeps_no_tokens_is_not_used() {
    let bench = Bench::of(with_handles(json!({})), &welcome(&[]));
    assert!(!bench.gate.is_connected());
    let mut bench = bench;
    let news: Vec<_> = bench.gate.take_peer_news().iter().map(ToString::to_string).collect();
    assert!(news.len() == 1 && news[0].contains("no capability `cookies`"), "{news:?}");
    assert!(Bench::of(with_handles(json!({})), &welcome(&[wire::COOKIES])).gate.is_connected());
    assert_eq!(code(&get(&mut bench, 1, "/both", HANDLE, NOW_MS)), "session_unavailable");
}

#[test]
fn an_open_request_outlives_the_token_that_the_handle_had() {
    let (mut bench, token) = knowing(json!({}));
    get(&mut bench, 2, "/both", HANDLE, NOW_MS);
    let id = bench.sent(NOW_MS).questions[0].id;
    bench.verdict(id, wire::Outcome::Active, None, NOW_MS);
    bench.request(3, "/both", Some(&token), NOW_MS);
    let id = bench.sent(NOW_MS).questions[0].id;
    bench.verdict(id, wire::Outcome::Active, None, NOW_MS);
    assert_eq!(codes(&bench.gate.tick(at(NOW_MS + 50))), []);
    let follows = bench.sent(NOW_MS + 50).follows;
    assert_eq!(follows.len(), 2);
    let late = NOW_MS + 331_000;
    bench.beat(at(late));
    assert_eq!(codes(&bench.gate.tick(at(late))), [(3, "cut")]);
    // It ends with its session.
    let ended = follows.iter().map(|follow| wire::Verdict {
        id: follow.id,
        outcome: wire::Outcome::Revoked.into(),
        ..Default::default()
    });
    let message = wire::ServiceMessage { followed: ended.collect(), ..Default::default() };
    assert_eq!(codes(&bench.gate.message(STREAM, &message.encode_to_vec(), at(late))), [(2, "cut")]);
}

#[test]
fn a_token_that_the_policy_refuses_is_refused_behind_a_handle_too() {
    let mut bench = bench();
    get(&mut bench, 1, "/both", HANDLE, NOW_MS);
    bench.sent(NOW_MS);
    let step = only(redeem(&mut bench, 0, wire::Outcome::Active, "a.b.c", NOW_MS));
    assert_eq!((code(&step), cleared(&bench, &step).as_deref()), ("invalid_token", Some(CLEARS)));
    let mut bench = bench_with(json!({}));
    let token = bench.token("read");
    get(&mut bench, 1, "/both", HANDLE, NOW_MS);
    bench.sent(NOW_MS);
    let step = only(redeem(&mut bench, 0, wire::Outcome::Active, &token, NOW_MS));
    assert_eq!((code(&step), cleared(&bench, &step)), ("insufficient_scope", None));
}

#[test]
fn redemptions_are_counted() {
    let (mut bench, _) = knowing(json!({}));
    get(&mut bench, 2, "/both", &"b".repeat(40), NOW_MS);
    let id = bench.sent(NOW_MS).redemptions[0].id;
    redeem(&mut bench, id, wire::Outcome::Revoked, "", NOW_MS);
    let of = |count: &Count| matches!(count, Count::Redemption(_));
    let mut counts: Vec<_> = bench
        .gate
        .tally
        .drain()
        .filter(|(count, _)| of(count))
        .map(|(count, number)| (count.label(), number))
        .collect();
    counts.sort_unstable();
    assert_eq!(counts, [("refused", 1), ("token", 1)]);
}
