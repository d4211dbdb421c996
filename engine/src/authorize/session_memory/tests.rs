//! Tests of what is remembered about a session, and what is not.

use super::*;
use crate::authorize::{
    fixtures::{policy, principal, question},
    question::{Arrival, RequestAttributes},
    request::Open,
};

const NOW_MS: u64 = 100_000;

fn now(ms: u64) -> Now {
    Now { wall_ms: Some(ms), instant: Monotonic(ms) }
}

/// Rules of the fixtures' policy: the first refuses in an outage, then one lets reads pass, and one gives 30 s of grace.
const BOTH: usize = 1;
const READ_ONLY: usize = 3;
const GRACE: usize = 4;

struct Bench {
    policy: Policy,
    session_memory: SessionMemory,
}

impl Bench {
    fn new() -> Self {
        let policy = policy("enforce");
        Self { session_memory: SessionMemory::new(&policy), policy }
    }

    /// A token of the only session, distinguished by `number`.
    fn token(&self, number: u8, scopes: &[&str]) -> Rc<Principal> {
        let mut facts = principal(&self.policy, scopes).facts.clone();
        facts.digest = TokenDigest([number; 32]);
        Rc::new(Principal::new(crate::token::IssuerId(0), facts, &self.policy))
    }

    fn hear(&mut self, token: &Rc<Principal>, rule: usize, verdict: Verdict, now_ms: u64) {
        let request = Request::Asked(Inquiry::Session(question(token, rule, "GET")));
        self.session_memory.record(&request, &Event::Verdict(verdict, None), &self.policy, Monotonic(now_ms));
    }

    fn known(&mut self, token: &Rc<Principal>, rule: usize, now_ms: u64) -> Known {
        self.session_memory.recall(&Inquiry::Session(question(token, rule, "GET")), now(now_ms))
    }
}

fn opaque(rule: usize) -> Inquiry {
    let attributes = Rc::new(RequestAttributes::default());
    Inquiry::Token(Arrival::bearer(RuleId(rule), "opaque", attributes, Monotonic::default()))
}

const ACTIVE: Verdict = Verdict::Active(None);

fn left(scopes: &[&str]) -> Option<Rc<[String]>> {
    Some(scopes.iter().map(|scope| (*scope).to_owned()).collect())
}

#[test]
fn a_grant_is_of_one_token_on_one_rule_and_only_where_there_is_grace() {
    let mut bench = Bench::new();
    let (one, other) = (bench.token(1, &["read"]), bench.token(2, &["read"]));
    bench.hear(&one, GRACE, ACTIVE, NOW_MS);
    bench.hear(&one, READ_ONLY, ACTIVE, NOW_MS);
    assert_eq!(bench.known(&one, GRACE, NOW_MS + 7).granted_ago_ms, Some(7));
    assert_eq!(bench.known(&one, READ_ONLY, NOW_MS + 7).granted_ago_ms, None);
    assert_eq!(bench.known(&other, GRACE, NOW_MS + 7).granted_ago_ms, None);
    bench.hear(&one, GRACE, ACTIVE, NOW_MS + 5);
    assert_eq!(bench.known(&one, GRACE, NOW_MS + 7).granted_ago_ms, Some(2));
}

#[test]
fn a_proof_that_was_used_before_says_nothing_about_the_token_that_it_came_with() {
    let mut bench = Bench::new();
    let token = bench.token(1, &["read"]);
    bench.hear(&token, GRACE, ACTIVE, NOW_MS);
    bench.hear(&token, GRACE, Verdict::Ended(Code::InvalidDpopProof.into()), NOW_MS);
    let known = bench.known(&token, GRACE, NOW_MS + 7);
    assert_eq!((known.is_refused, known.granted_ago_ms), (false, Some(7)));
}

#[test]
fn an_end_or_a_block_that_any_token_showed_is_known_for_all_until_one_is_good_again() {
    for code in [
        Code::SessionRevoked,
        Code::SessionIdleTimeout,
        Code::SessionLifetimeExceeded,
        Code::SessionUnknown,
        Code::Blocked,
    ] {
        let mut bench = Bench::new();
        let (one, other) = (bench.token(1, &["read"]), bench.token(2, &["read"]));
        bench.hear(&other, GRACE, ACTIVE, NOW_MS);
        bench.hear(&one, BOTH, Verdict::Ended(code.into()), NOW_MS);
        for rule in [READ_ONLY, GRACE] {
            assert!(bench.known(&other, rule, NOW_MS).is_refused, "{code:?}");
        }
        bench.hear(&other, READ_ONLY, ACTIVE, NOW_MS);
        assert!(!bench.known(&other, READ_ONLY, NOW_MS).is_refused, "{code:?}");
        assert!(bench.known(&one, READ_ONLY, NOW_MS).is_refused, "{code:?}: this token was refused itself");
    }
}

#[test]
fn a_token_that_was_refused_stays_so_and_a_step_up_is_asked_of_its_rule_alone() {
    let mut bench = Bench::new();
    let (one, other) = (bench.token(1, &["read"]), bench.token(2, &["read"]));
    bench.hear(&one, GRACE, ACTIVE, NOW_MS);
    bench.hear(&one, READ_ONLY, Verdict::Ended(Code::StepUpRequired.into()), NOW_MS);
    assert!(bench.known(&one, READ_ONLY, NOW_MS).is_refused);
    let grace = bench.known(&one, GRACE, NOW_MS);
    assert!(!grace.is_refused && grace.granted_ago_ms.is_some());
    bench.hear(&one, READ_ONLY, Verdict::Ended(Code::ScopeEscalation.into()), NOW_MS);
    let grace = bench.known(&one, GRACE, NOW_MS);
    assert!(grace.is_refused && grace.granted_ago_ms.is_none());
    assert!(!bench.known(&other, GRACE, NOW_MS).is_refused, "the session goes on");
    bench.hear(&one, GRACE, ACTIVE, NOW_MS);
    assert!(!bench.known(&one, GRACE, NOW_MS).is_refused);
}

#[test]
fn scopes_that_one_token_lost_are_lost_for_all_of_the_session() {
    let mut bench = Bench::new();
    let (both, read) = (bench.token(1, &["read", "write"]), bench.token(2, &["read"]));
    bench.hear(&both, BOTH, Verdict::Active(left(&["read"])), NOW_MS);
    assert_eq!(bench.known(&both, READ_ONLY, NOW_MS).narrowed, left(&["read"]));
    assert_eq!(bench.known(&read, READ_ONLY, NOW_MS).narrowed, None);
    // A token that never had the scope says nothing of it.
    bench.hear(&read, READ_ONLY, ACTIVE, NOW_MS);
    assert_eq!(bench.known(&both, READ_ONLY, NOW_MS).narrowed, left(&["read"]));
    bench.hear(&read, READ_ONLY, Verdict::Active(left(&[])), NOW_MS);
    assert_eq!(bench.known(&both, READ_ONLY, NOW_MS).narrowed, left(&[]));
    bench.hear(&both, BOTH, ACTIVE, NOW_MS);
    assert_eq!(bench.known(&both, READ_ONLY, NOW_MS).narrowed, None);
}

#[test]
fn what_is_heard_of_open_requests_counts_as_well() {
    let mut bench = Bench::new();
    let token = bench.token(1, &["read"]);
    let open = || Request::Released(Some(Open { rule: RuleId(GRACE), principal: Rc::clone(&token) }));
    for event in
        [Event::Followed(Verdict::Ended(Code::SessionRevoked.into())), Event::Overdue(Code::TokenExpired.into())]
    {
        bench.hear(&token, GRACE, ACTIVE, NOW_MS);
        assert!(!bench.known(&token, GRACE, NOW_MS).is_refused);
        bench.session_memory.record(&open(), &event, &bench.policy, Monotonic(NOW_MS));
        assert!(bench.known(&token, GRACE, NOW_MS).is_refused, "{event:?}");
    }
}

#[test]
fn an_opaque_token_is_what_it_last_was_until_it_dies_or_is_refused() {
    let mut bench = Bench::new();
    let token = {
        let mut facts = principal(&bench.policy, &["read"]).facts.clone();
        facts.digest = TokenDigest::of("opaque");
        Rc::new(Principal::new(crate::token::IssuerId(0), facts, &bench.policy))
    };
    let asked = Request::Asked(opaque(GRACE));
    assert!(bench.session_memory.recall(&opaque(GRACE), now(NOW_MS)).principal.is_none());
    bench.session_memory.record(&asked, &Event::Proven(Rc::clone(&token), NOW_MS), &bench.policy, Monotonic(NOW_MS));
    let known = bench.session_memory.recall(&opaque(GRACE), now(NOW_MS + 1));
    assert!(known.principal.is_some() && known.granted_ago_ms == Some(1));
    assert!(bench.session_memory.recall(&opaque(GRACE), now(token.facts.dies_at_ms)).principal.is_none());
    let refusal = Event::Verdict(Verdict::Ended(crate::token::Reason::Claim.into()), None);
    bench.session_memory.record(&asked, &refusal, &bench.policy, Monotonic(NOW_MS));
    assert!(bench.session_memory.recall(&opaque(GRACE), now(NOW_MS)).is_refused);
}

#[test]
fn more_refused_tokens_than_are_remembered_leave_none_good_enough() {
    let mut bench = Bench::new();
    for number in 0..=VERDICTS_MAX {
        let token = bench.token(u8::try_from(number).unwrap(), &["read"]);
        bench.hear(&token, READ_ONLY, Verdict::Ended(Code::ScopeEscalation.into()), NOW_MS);
    }
    let unseen = bench.token(200, &["read"]);
    assert!(bench.known(&unseen, READ_ONLY, NOW_MS).is_refused);
    bench.hear(&unseen, READ_ONLY, ACTIVE, NOW_MS);
    assert!(bench.known(&bench.token(0, &["read"]), READ_ONLY, NOW_MS).is_refused);
}

#[test]
fn a_refusal_takes_the_place_of_a_grant_and_not_the_reverse() {
    let mut bench = Bench::new();
    let token = |bench: &Bench, number: usize| bench.token(u8::try_from(number).unwrap(), &["read"]);
    for number in 0..VERDICTS_MAX {
        let token = token(&bench, number);
        bench.hear(&token, GRACE, ACTIVE, NOW_MS + number as u64);
    }
    let refused = token(&bench, VERDICTS_MAX);
    bench.hear(&refused, GRACE, Verdict::Ended(Code::ScopeEscalation.into()), NOW_MS);
    assert!(bench.known(&refused, GRACE, NOW_MS).is_refused);
    let (oldest, next) = (token(&bench, 0), token(&bench, 1));
    assert_eq!(bench.known(&oldest, GRACE, NOW_MS + 100).granted_ago_ms, None, "the oldest grant made room");
    assert_eq!(bench.known(&next, GRACE, NOW_MS + 100).granted_ago_ms, Some(99));
}

#[test]
fn sessions_and_opaque_tokens_are_remembered_within_so_many_bytes() {
    let mut bench = Bench::new();
    let asked = Request::Asked(opaque(READ_ONLY));
    let long = "x".repeat(60_000);
    for number in 0..2_000_u32 {
        let mut facts = principal(&bench.policy, &["read"]).facts.clone();
        facts.digest.0[..4].copy_from_slice(&number.to_be_bytes());
        facts.session_id.0[..4].copy_from_slice(&number.to_be_bytes());
        facts.scopes = vec![long.clone()];
        let token = Rc::new(Principal::new(crate::token::IssuerId(0), facts, &bench.policy));
        let proven = Event::Proven(Rc::clone(&token), NOW_MS);
        bench.session_memory.record(&asked, &proven, &bench.policy, Monotonic(NOW_MS));
        // The session has lost a scope of 15,000 bytes.
        let mut facts = token.facts.clone();
        facts.scopes = vec!["x".repeat(15_000)];
        let narrowed = Rc::new(Principal::new(crate::token::IssuerId(0), facts, &bench.policy));
        bench.hear(&narrowed, READ_ONLY, Verdict::Active(left(&[])), NOW_MS);
    }
    let (opaque, sessions) = (bench.session_memory.opaque.len(), bench.session_memory.sessions.len());
    assert!(opaque > 100 && opaque <= OPAQUE.bytes / 60_000, "{opaque}");
    assert!(sessions > 1_000 && sessions <= SESSIONS.bytes / 15_000, "{sessions}");
}

#[test]
fn a_session_that_has_lost_more_scopes_than_are_remembered_is_good_for_nothing() {
    let mut bench = Bench::new();
    let scopes: Vec<String> = (0..LOST_BYTES_MAX / 100).map(|number| format!("{number:0100}")).collect();
    let scopes: Vec<&str> = scopes.iter().map(String::as_str).collect();
    let (few, many) = (bench.token(1, &scopes[..10]), bench.token(2, &scopes));
    bench.hear(&few, READ_ONLY, Verdict::Active(left(&[])), NOW_MS);
    assert!(!bench.known(&few, READ_ONLY, NOW_MS).is_refused);
    bench.hear(&many, READ_ONLY, Verdict::Active(left(&[])), NOW_MS);
    assert!(bench.known(&few, READ_ONLY, NOW_MS).is_refused && bench.known(&many, READ_ONLY, NOW_MS).is_refused);
}
