//! What a worker keeps of tokens for upstreams, and which headers of clients it takes away.

use super::*;
use crate::{
    authorize::{fixtures, question::RequestAttributes},
    policy::TOKEN_HEADER,
};
use serde_json::json;

/// The policy of the fixtures, where the rules 1 and 2 want a token, that of rule 2 for an address.
pub(in crate::authorize) fn policy() -> Policy {
    Policy::parse(document().to_string().as_bytes()).unwrap_or_else(|faults| panic!("{faults}"))
}

pub(in crate::authorize) fn document() -> serde_json::Value {
    let mut policy = fixtures::document("enforce");
    policy["routes"][1]["upstream_token"] = json!({"audience": "orders"});
    policy["routes"][2]["upstream_token"] = json!({"audience": "me", "rctx": "address", "header": "X-Hop"});
    policy
}

struct Bench {
    policy: Policy,
    tokens: UpstreamTokens,
    principal: Rc<Principal>,
}

impl Bench {
    fn new() -> Self {
        let policy = policy();
        let principal = fixtures::principal(&policy, &["read", "write"]);
        Self { policy, tokens: UpstreamTokens::default(), principal }
    }

    fn question(&self, rule: usize, address: &str) -> Question {
        let attributes = RequestAttributes { client_address: address.to_owned(), ..RequestAttributes::default() };
        Question {
            rule: RuleId(rule),
            principal: Rc::clone(&self.principal),
            attributes: Rc::new(attributes),
            proof: None,
            redeemed: None,
        }
    }

    fn receive(&mut self, rule: usize, address: &str, id: u64, text: &str) -> Option<String> {
        let minted = MintedToken { id, token: text.to_owned(), expires_at_ms: 2_000 };
        let (question, hello) = (self.question(rule, address), self.policy.hello());
        let held = self.tokens.held(&question, &hello);
        let token = self.tokens.receive(minted, (&question, held), None, &hello);
        token.map(|token| token.text().to_owned())
    }

    fn held(&mut self, rule: usize, address: &str) -> Option<u64> {
        self.tokens.held(&self.question(rule, address), &self.policy.hello()).map(|token| token.id())
    }

    fn recalled(&mut self, question: &Question, known: &Known, wall_ms: Option<u64>) -> bool {
        self.tokens.recall(question, known, &self.policy.hello(), wall_ms).is_some()
    }
}

#[test]
fn a_token_is_kept_by_session_and_route_and_where_it_is_about_one_by_address() {
    let mut bench = Bench::new();
    assert_eq!(bench.receive(1, "192.0.2.1", 7, "a.b.c").as_deref(), Some("a.b.c"));
    assert_eq!((bench.held(1, "192.0.2.1"), bench.held(1, "192.0.2.2")), (Some(7), Some(7)));
    assert_eq!(bench.held(2, "192.0.2.1"), None, "another route");
    assert_eq!(bench.receive(2, "192.0.2.1", 8, "d.e.f").as_deref(), Some("d.e.f"));
    assert_eq!((bench.held(2, "192.0.2.1"), bench.held(2, "192.0.2.2")), (Some(8), None));
    assert_eq!(bench.receive(3, "", 9, "g.h.i"), None, "no token is wanted there");
}

#[test]
fn a_verdict_without_a_text_means_the_token_that_is_kept_and_no_other() {
    let mut bench = Bench::new();
    assert_eq!(bench.receive(1, "", 7, ""), None, "there is none");
    bench.receive(1, "", 7, "a.b.c");
    assert_eq!(bench.receive(1, "", 7, "").as_deref(), Some("a.b.c"));
    assert_eq!(bench.receive(1, "", 8, ""), None, "another one");
    assert_eq!(bench.receive(1, "", 8, "d.e.f").as_deref(), Some("d.e.f"));
    assert_eq!(bench.receive(1, "", 7, ""), None, "it was replaced");
}

#[test]
fn a_question_keeps_what_it_held_when_another_token_takes_its_place() {
    let mut bench = Bench::new();
    bench.receive(1, "", 7, "a.b.c");
    let (question, hello) = (bench.question(1, ""), bench.policy.hello());
    let held = bench.tokens.held(&question, &hello);
    bench.receive(1, "", 8, "d.e.f");
    let minted = MintedToken { id: 7, token: String::new(), expires_at_ms: 2_000 };
    let token = bench.tokens.receive(minted, (&question, held), None, &hello);
    assert_eq!(token.map(|token| token.text().to_owned()).as_deref(), Some("a.b.c"));
}

#[test]
fn what_cannot_be_a_header_is_no_token() {
    let mut bench = Bench::new();
    for text in ["a b", "a\r\nx: y", "\u{e4}", &"x".repeat(TOKEN_BYTES_MAX + 1)] {
        assert_eq!(bench.receive(1, "", 7, text), None, "{text:.20}");
    }
    assert_eq!(bench.held(1, ""), None);
}

#[test]
fn a_session_that_has_ended_leaves_no_token_and_those_of_one_session_are_bounded() {
    let mut bench = Bench::new();
    (0..TOKENS_MAX as u64 + 1).for_each(|n| drop(bench.receive(2, &format!("192.0.2.{n}"), n, "a.b.c")));
    assert_eq!((bench.held(2, "192.0.2.0"), bench.held(2, "192.0.2.1")), (None, Some(1)), "the oldest has left");
    let principal = Rc::clone(&bench.principal);
    bench.tokens.forget(&principal);
    assert_eq!(bench.held(2, "192.0.2.1"), None);
}

#[test]
fn without_a_verdict_a_token_is_used_only_while_what_was_known_holds() {
    let mut bench = Bench::new();
    bench.receive(1, "", 7, "a.b.c");
    let question = bench.question(1, "");
    let known = Known::default();
    assert!(bench.recalled(&question, &known, Some(1_999)));
    assert!(!bench.recalled(&question, &known, Some(2_000)), "it has expired");
    assert!(!bench.recalled(&question, &known, None), "nobody knows whether it has");
    let refused = Known { is_refused: true, ..Known::default() };
    assert!(!bench.recalled(&question, &refused, Some(1)));
    let narrowed = Known { narrowed: Some(Rc::from(["read".to_owned()])), ..Known::default() };
    assert!(!bench.recalled(&question, &narrowed, Some(1)), "the session has lost scopes since");
    let mut other = fixtures::principal(&bench.policy, &["read"]);
    Rc::get_mut(&mut other).unwrap().facts.digest = TokenDigest([8; 32]);
    let question = Question { principal: other, ..question };
    assert!(!bench.recalled(&question, &known, Some(1)), "another token of the client may have fewer scopes");
}

#[test]
fn clients_headers_of_these_names_are_found_however_they_are_spelt() {
    let policy = policy();
    assert_eq!(policy.upstream_headers, [TOKEN_HEADER, "x-hop"]);
    let names = ["txn-token", "Txn_Token", "txn.token", "x_hop", "txn-tokens", "my-txn-token", "accept"];
    let headers: Vec<_> = names.map(|name| (name.to_owned(), b"forged".to_vec())).into();
    assert_eq!(forged(&headers, &policy).collect::<Vec<_>>(), names[..4]);
    assert_eq!(forged(&headers, &fixtures::policy("enforce")).count(), 0);
    for (list, is_dropped) in [("upgrade", false), ("close, Txn-Token", true), ("x_hop", true), ("txn-toke", false)] {
        let headers = [("connection".to_owned(), list.as_bytes().to_vec())];
        assert_eq!(are_dropped(&headers, &policy), is_dropped, "{list}");
        assert!(!are_dropped(&headers, &fixtures::policy("enforce")));
    }
}

#[test]
fn a_token_is_never_shown() {
    let token = UpstreamToken::for_test(7, "secret");
    assert_eq!(format!("{token:?}"), "UpstreamToken { id: 7, .. }");
}
