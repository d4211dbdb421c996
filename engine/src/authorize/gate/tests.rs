//! Tests of a worker from the first header to the last, with real signatures and a simulated session service.

mod clocks;
mod conditions;
mod follows;
mod handles;
mod introspection;
mod leases;
mod leases_model;
mod oauth;
mod proofs;
mod refused;
mod upstream_tokens;
mod usage;

use super::*;
use crate::{
    answer::Code,
    authorize::{Route, principal::Principal},
    wire,
};
use jwt_simple::prelude::*;
use prost::Message;
use std::rc::Rc;

const NOW_MS: u64 = 1_800_000_000_000;
const STREAM: u32 = 5;

/// Both clocks at once.
pub(super) fn at(ms: u64) -> Now {
    Now { wall_ms: Some(ms), instant: Monotonic(ms) }
}

/// A connection of which only the address is known.
pub(super) fn address(what: LookUp<'_>) -> Option<Vec<u8>> {
    (what == LookUp::ClientAddress).then(|| b"192.0.2.1".to_vec())
}

struct Bench {
    gate: Gate,
    key: ES256KeyPair,
}

impl Bench {
    /// A worker whose issuer's keys come from a URL, connected to the session service.
    fn new(mode: &str) -> Self {
        Self::of(crate::authorize::fixtures::policy(mode), &welcome(&[]))
    }

    fn of(policy: Policy, welcome: &[u8]) -> Self {
        let mut gate = Gate::new(policy, |_| None, 1).unwrap_or_else(|(_, error)| panic!("{error}"));
        assert_eq!(gate.act(at(NOW_MS).instant), Some(Act::Open));
        gate.opened(Some(STREAM), at(NOW_MS).instant);
        assert!(matches!(gate.act(at(NOW_MS).instant), Some(Act::Send { .. })));
        gate.message(STREAM, welcome, at(NOW_MS));
        Self { gate, key: ES256KeyPair::generate().with_key_id("k1") }
    }

    fn with_keys(mode: &str) -> Self {
        Self::new(mode).keyed()
    }

    /// The issuer's keys have been fetched.
    fn keyed(mut self) -> Self {
        assert_eq!(self.gate.fetches(at(NOW_MS).instant).len(), 1);
        let key_set = self.key_set();
        let (result, due) = self.gate.fetched(IssuerId(0), Some((200, key_set.as_bytes())), at(NOW_MS));
        assert!(result.is_ok() && due.is_empty());
        self
    }

    fn key_set(&self) -> String {
        format!(r#"{{"keys":[{}]}}"#, self.key.public_key().with_key_id("k1").to_jwk())
    }

    fn token(&self, scope: &str) -> String {
        self.token_of("s1", scope)
    }

    fn token_of(&self, session: &str, scope: &str) -> String {
        #[derive(serde::Serialize, serde::Deserialize)]
        struct Custom {
            scope: String,
            sid: String,
            client_id: String,
        }
        let custom = Custom { scope: scope.into(), sid: session.into(), client_id: "app".into() };
        let mut claims = Claims::with_custom_claims(custom, Duration::from_mins(5))
            .with_issuer("https://id.example")
            .with_audience("api")
            .with_subject("alice");
        claims.issued_at = Some(UnixTimeStamp::from_secs(NOW_MS / 1_000 - 10));
        claims.invalid_before = None;
        claims.expires_at = Some(UnixTimeStamp::from_secs(NOW_MS / 1_000 + 300));
        let options = HeaderOptions { signature_type: Some("at+jwt".into()), ..Default::default() };
        self.key.sign_with_options(claims, &options).expect("signed")
    }

    fn request(&mut self, context: ContextId, path: &str, token: Option<&str>, now_ms: u64) -> Step {
        let mut headers = vec![
            (":method".to_owned(), b"GET".to_vec()),
            (":path".to_owned(), path.as_bytes().to_vec()),
            (":authority".to_owned(), b"api.example".to_vec()),
        ];
        headers.extend(token.map(|token| ("authorization".to_owned(), format!("Bearer {token}").into_bytes())));
        self.gate.arrive(context, &Head::read(&headers), address, at(now_ms))
    }

    /// The service shows that it is alive.
    fn beat(&mut self, now: Now) {
        let beat = wire::ServiceMessage { beat: true, ..Default::default() };
        assert!(self.gate.message(STREAM, &beat.encode_to_vec(), now).is_empty());
    }

    /// What is sent to the session service now.
    fn sent(&mut self, now_ms: u64) -> wire::FilterMessage {
        match self.gate.act(at(now_ms).instant) {
            Some(Act::Send { message, .. }) => wire::FilterMessage::decode(message.as_slice()).expect("a message"),
            other => panic!("nothing was sent: {other:?}"),
        }
    }

    fn verdict(&mut self, id: u32, outcome: wire::Outcome, narrowed: Option<&[&str]>, now_ms: u64) -> Vec<Due> {
        let narrowed =
            narrowed.map(|scopes| wire::Scopes { scopes: scopes.iter().map(|scope| (*scope).to_owned()).collect() });
        let verdict = wire::Verdict { id, outcome: outcome.into(), narrowed, ..Default::default() };
        let message = wire::ServiceMessage { verdicts: vec![verdict], received: true, ..Default::default() };
        self.gate.message(STREAM, &message.encode_to_vec(), at(now_ms))
    }
}

/// What a service says first.
fn welcome(more: &[&str]) -> Vec<u8> {
    let capabilities = [wire::BEAT].iter().chain(more).map(|name| (*name).to_owned()).collect();
    let welcome = wire::Welcome { capabilities, ..Default::default() };
    wire::ServiceMessage { welcome: Some(welcome), ..Default::default() }.encode_to_vec()
}

fn code(step: &Step) -> &'static str {
    match step {
        Step::Deny(denial) => denial.refusal.code.name(),
        Step::Release(_) => "released",
        Step::Cut(_) => "cut",
        Step::Spare(_) => "spared",
        Step::Wait => "wait",
        Step::Ask(_) => "ask",
    }
}

#[test]
fn a_good_request_is_asked_about_and_released_by_its_verdict() {
    let mut bench = Bench::with_keys("enforce");
    let token = bench.token("read write");
    assert_eq!(code(&bench.request(1, "/both", Some(&token), NOW_MS)), "wait");
    assert!(!bench.gate.is_released(1));
    let sent = bench.sent(NOW_MS);
    let (facts, question) = (&sent.tokens[0], &sent.questions[0]);
    assert_eq!((facts.session_key.as_str(), facts.subject.as_str(), facts.client_id.as_str()), ("s1", "alice", "app"));
    assert_eq!((question.route, question.method.as_str(), question.client_address.as_str()), (1, "GET", "192.0.2.1"));
    let due = bench.verdict(question.id, wire::Outcome::Active, None, NOW_MS);
    assert_eq!(due.iter().map(|(context, step)| (*context, code(step))).collect::<Vec<_>>(), [(1, "released")]);
    assert!(bench.gate.is_released(1));
    bench.gate.gone(1);
    assert!(!bench.gate.is_released(1));
}

#[test]
fn what_the_filter_can_refuse_is_refused_without_a_question() {
    let mut bench = Bench::with_keys("enforce");
    let (both, read) = (bench.token("read write"), bench.token("read"));
    for (path, token, expected) in [
        ("/open", None, "released"),
        ("/nowhere", Some(both.as_str()), "no_route"),
        ("/a//b", Some(both.as_str()), "ambiguous_path"),
        ("/both", None, "no_credentials"),
        ("/both", Some("a b"), "malformed_credentials"),
        ("/both", Some("a.b.c"), "invalid_token"),
        ("/both", Some(read.as_str()), "insufficient_scope"),
    ] {
        assert_eq!(code(&bench.request(1, path, token, NOW_MS)), expected, "{path} {token:?}");
        bench.gate.gone(1);
    }
    assert_eq!(bench.gate.act(at(NOW_MS).instant), None);
}

#[test]
fn where_a_token_is_optional_none_passes_and_a_bad_one_does_not() {
    let mut bench = Bench::with_keys("enforce");
    let token = bench.token("read");
    for (authorization, expected) in [
        (None, "released"),
        (Some("Basic YTpi"), "released"),
        (Some("Bearer"), "malformed_credentials"),
        (Some("Bearer a.b.c"), "invalid_token"),
    ] {
        let headers = [(":method", "GET"), (":path", "/optional/a"), (":authority", "a")];
        let headers: Vec<_> = headers
            .into_iter()
            .chain(authorization.map(|value| ("authorization", value)))
            .map(|(name, value)| (name.to_owned(), value.as_bytes().to_vec()))
            .collect();
        let step = bench.gate.arrive(1, &Head::read(&headers), |_| None, at(NOW_MS));
        assert_eq!(code(&step), expected, "{authorization:?}");
        if let Step::Release(permit) = step {
            assert!(permit.principal.is_none());
        }
        bench.gate.gone(1);
    }
    // A token that is sent is asked about, and its session's end refuses it.
    assert_eq!(code(&bench.request(2, "/optional/a", Some(&token), NOW_MS)), "wait");
    let question = bench.sent(NOW_MS).questions[0].id;
    let due = bench.verdict(question, wire::Outcome::Revoked, None, NOW_MS);
    assert_eq!(due.iter().map(|(_, step)| code(step)).collect::<Vec<_>>(), ["session_revoked"]);
}

#[test]
fn an_encoded_slash_is_ambiguous_where_no_rule_lets_it_through() {
    let mut bench = Bench::with_keys("enforce");
    for (path, expected) in [
        ("/optional/a%2Fb", "released"),
        ("/optional/a%2Fb/c", "ambiguous_path"),
        ("/optional%2Fa", "ambiguous_path"),
        ("/op%2Fen", "ambiguous_path"),
        ("/optional/a%2F..", "ambiguous_path"),
        ("/optional/a%252Fb", "ambiguous_path"),
        ("/optional/a/b", "no_route"),
    ] {
        assert_eq!(code(&bench.request(1, path, None, NOW_MS)), expected, "{path}");
        bench.gate.gone(1);
    }
}

#[test]
fn a_preflight_passes_for_a_request_that_has_a_rule_and_without_a_body() {
    let mut bench = Bench::with_keys("enforce");
    for (path, method, more, is_open, expected) in [
        ("/both", "PUT", ("accept", "x"), false, "released"),
        ("/both", "PUT", ("content-length", "0"), false, "released"),
        ("/nowhere", "PUT", ("accept", "x"), false, "no_route"),
        ("/both//", "PUT", ("accept", "x"), false, "ambiguous_path"),
        // Treated as any request: without a token.
        ("/both", "PUT", ("content-length", "5"), false, "no_credentials"),
        ("/both", "PUT", ("transfer-encoding", "chunked"), false, "no_credentials"),
        ("/both", "PUT", ("accept", "x"), true, "no_credentials"),
    ] {
        let headers = [
            (":method", "OPTIONS"),
            (":path", path),
            (":authority", "a"),
            ("origin", "https://app.example"),
            ("access-control-request-method", method),
            more,
        ];
        let headers = headers.map(|(name, value)| (name.to_owned(), value.as_bytes().to_vec()));
        let head = Head::read(&headers).open(is_open);
        assert_eq!(code(&bench.gate.arrive(1, &head, |_| None, at(NOW_MS))), expected, "{path} {more:?} {is_open}");
        bench.gate.gone(1);
    }
}

#[test]
fn over_long_methods_and_headers_that_the_next_hop_would_drop_are_refused_before_matching() {
    let mut bench = Bench::with_keys("enforce");
    for (method, connection, expected) in [
        ("GET".to_owned(), "close", "released"),
        ("M".repeat(64), "close", "released"),
        ("M".repeat(65), "close", "no_route"),
        ("GET".to_owned(), "upgrade, X-Portcullis-Subject", "malformed_credentials"),
    ] {
        let headers = [(":method", &*method), (":path", "/open"), (":authority", "a"), ("connection", connection)];
        let headers = headers.map(|(name, value)| (name.to_owned(), value.as_bytes().to_vec()));
        let step = bench.gate.arrive(1, &Head::read(&headers), |_| None, at(NOW_MS));
        assert_eq!(code(&step), expected, "{method} {connection}");
        bench.gate.gone(1);
    }
}

#[test]
fn a_token_is_expired_at_the_moment_it_is_even_when_it_is_cached() {
    let mut bench = Bench::with_keys("enforce");
    let token = bench.token("read write");
    bench.request(1, "/both", Some(&token), NOW_MS);
    let dies_ms = NOW_MS + 300_000 + 30_000;
    assert_eq!(code(&bench.request(2, "/both", Some(&token), dies_ms - 1)), "wait");
    assert_eq!(code(&bench.request(3, "/both", Some(&token), dies_ms)), "token_expired");
}

#[test]
fn narrowed_scopes_refuse_what_they_no_longer_cover() {
    let mut bench = Bench::with_keys("enforce");
    let token = bench.token("read write");
    for (context, path, expected) in [(1, "/both", "insufficient_scope"), (2, "/read", "released")] {
        bench.request(context, path, Some(&token), NOW_MS);
        let id = bench.sent(NOW_MS).questions[0].id;
        let due = bench.verdict(id, wire::Outcome::Active, Some(&["read"]), NOW_MS);
        assert_eq!(code(&due[0].1), expected, "{path}");
    }
}

#[test]
fn every_outcome_that_is_no_release_refuses() {
    for (outcome, expected) in [
        (wire::Outcome::Unspecified, "session_unknown"),
        (wire::Outcome::IdleTimeout, "session_idle_timeout"),
        (wire::Outcome::LifetimeExceeded, "session_lifetime_exceeded"),
        (wire::Outcome::Revoked, "session_revoked"),
        (wire::Outcome::UnknownSession, "session_unknown"),
        (wire::Outcome::ScopeEscalation, "scope_escalation"),
        (wire::Outcome::StepUpRequired, "step_up_required"),
        (wire::Outcome::Blocked, "blocked"),
        (wire::Outcome::ApprovalRequired, "approval_required"),
        (wire::Outcome::ConditionFailed, "condition_failed"),
    ] {
        let mut bench = Bench::with_keys("enforce");
        let token = bench.token("read write");
        bench.request(1, "/both", Some(&token), NOW_MS);
        let id = bench.sent(NOW_MS).questions[0].id;
        assert_eq!(code(&bench.verdict(id, outcome, None, NOW_MS)[0].1), expected);
    }
}

#[test]
fn no_token_is_written_where_things_are_logged() {
    let mut bench = Bench::new("enforce");
    let token = bench.token("read write");
    let headers = [
        (":method".to_owned(), b"GET".to_vec()),
        (":path".to_owned(), format!("/both?access_token={token}").into_bytes()),
        ("authorization".to_owned(), format!("Bearer {token}").into_bytes()),
        ("user-agent".to_owned(), token.clone().into_bytes()),
    ];
    bench.request(1, "/both", Some(&token), NOW_MS);
    let head = Head::read(&headers);
    let written = format!("{head:?} {:?}", bench.gate.requests);
    assert!(written.contains("Asking(Arrival"), "{written}");
    let bytes = format!("{:?}", token.as_bytes());
    assert!(!written.contains(&token) && !written.contains(bytes.trim_matches(['[', ']'])), "{written}");
}

#[test]
fn a_key_that_was_made_up_does_not_refuse_tokens_of_a_new_one() {
    let mut bench = Bench::with_keys("enforce");
    let key_set = bench.key_set();
    let made_up = ES256KeyPair::generate().with_key_id("made up");
    let real = std::mem::replace(&mut bench.key, made_up);
    let forged = bench.token("read write");
    assert_eq!(code(&bench.request(1, "/both", Some(&forged), NOW_MS)), "wait");
    assert_eq!(bench.gate.fetches(at(NOW_MS).instant).len(), 1);
    let (_, due) = bench.gate.fetched(IssuerId(0), Some((200, key_set.as_bytes())), at(NOW_MS));
    assert_eq!(code(&due[0].1), "invalid_token");
    bench.gate.gone(1);
    assert_eq!(code(&bench.request(2, "/both", Some(&forged), NOW_MS)), "invalid_token", "without another fetch");
    bench.key = ES256KeyPair::generate().with_key_id("k2");
    let rotated = bench.token("read write");
    assert_eq!(code(&bench.request(3, "/both", Some(&rotated), NOW_MS)), "wait");
    assert_eq!(bench.gate.fetches(at(NOW_MS).instant).len(), 1);
    let keys = [real.public_key().with_key_id("k1").to_jwk(), bench.key.public_key().with_key_id("k2").to_jwk()];
    let key_set = format!(r#"{{"keys":[{}]}}"#, keys.map(|key| key.to_string()).join(","));
    let (_, due) = bench.gate.fetched(IssuerId(0), Some((200, key_set.as_bytes())), at(NOW_MS));
    assert_eq!(due.iter().map(|(context, step)| (*context, code(step))).collect::<Vec<_>>(), [(3, "wait")]);
}

#[test]
fn a_request_before_the_first_keys_waits_for_them() {
    let mut bench = Bench::new("enforce");
    let token = bench.token("read write");
    assert_eq!(code(&bench.request(1, "/both", Some(&token), NOW_MS)), "wait");
    assert_eq!(bench.gate.fetches(at(NOW_MS).instant).len(), 1);
    let key_set = bench.key_set();
    let (_, due) = bench.gate.fetched(IssuerId(0), Some((200, key_set.as_bytes())), at(NOW_MS + 50));
    assert_eq!(code(&due[0].1), "wait", "verified, and asked about");
    assert_eq!(bench.sent(NOW_MS + 50).questions.len(), 1);
}

#[test]
fn without_keys_in_time_they_are_unavailable() {
    let mut bench = Bench::new("enforce");
    let token = bench.token("read write");
    bench.request(1, "/both", Some(&token), NOW_MS);
    bench.gate.fetches(at(NOW_MS).instant);
    let (result, due) = bench.gate.fetched(IssuerId(0), Some((500, b"")), at(NOW_MS + 1));
    assert!(result.is_err());
    assert_eq!(code(&due[0].1), "wait");
    assert!(bench.gate.tick(at(NOW_MS + 199)).is_empty());
    assert_eq!(code(&bench.gate.tick(at(NOW_MS + 200))[0].1), "keys_unavailable");
}

#[test]
fn a_token_of_a_withdrawn_key_is_not_released_from_the_cache() {
    let mut bench = Bench::with_keys("enforce");
    let token = bench.token("read write");
    bench.request(1, "/both", Some(&token), NOW_MS);
    let others = ES256KeyPair::generate().public_key().with_key_id("k2").to_jwk();
    let key_set = format!(r#"{{"keys":[{others}]}}"#);
    assert_eq!(bench.gate.fetches(at(NOW_MS + 600_000).instant).len(), 1);
    assert!(bench.gate.fetched(IssuerId(0), Some((200, key_set.as_bytes())), at(NOW_MS)).0.is_ok());
    let step = bench.request(2, "/both", Some(&token), NOW_MS);
    assert_eq!(code(&step), "wait", "the key may have been fetched too early");
    bench.gate.fetches(at(NOW_MS).instant);
    let (_, due) = bench.gate.fetched(IssuerId(0), Some((200, key_set.as_bytes())), at(NOW_MS));
    assert_eq!(due.iter().map(|(_, step)| code(step)).collect::<Vec<_>>(), ["invalid_token"]);
}

#[test]
fn a_request_is_in_progress_from_its_arrival_until_it_is_gone() {
    let mut bench = Bench::with_keys("enforce");
    let token = bench.token("read write");
    assert!(!bench.gate.is_in_progress(1));
    for (path, token, step) in
        [("/open", None, "released"), ("/both", Some(token.as_str()), "wait"), ("/both", None, "no_credentials")]
    {
        assert_eq!(code(&bench.request(1, path, token, NOW_MS)), step);
        // A refusal is yet to be sent.
        assert!(bench.gate.is_in_progress(1), "{step}");
        bench.gate.gone(1);
        assert!(!bench.gate.is_in_progress(1), "{step}");
    }
}

#[test]
fn a_verdict_for_a_request_that_has_gone_releases_nobody() {
    let mut bench = Bench::with_keys("enforce");
    let token = bench.token("read write");
    bench.request(1, "/both", Some(&token), NOW_MS);
    let id = bench.sent(NOW_MS).questions[0].id;
    bench.gate.gone(1);
    assert!(bench.verdict(id, wire::Outcome::Active, None, NOW_MS).is_empty());
}

#[test]
fn shadow_mode_refuses_nobody_but_counts_what_it_would_have_refused() {
    let mut bench = Bench::with_keys("shadow");
    assert_eq!(code(&bench.request(1, "/nowhere", None, NOW_MS)), "released");
    let counts: Vec<(Count, u64)> = bench.gate.tally.drain().collect();
    assert!(counts.contains(&(Count::Shadowed(Code::NoRoute, Route::None), 1)), "{counts:?}");
}

impl Bench {
    /// A released request that is still open, with the id of its follow and whether the follow has been announced.
    fn open(&mut self, context: ContextId, scopes: &str, path: &str) {
        let token = self.token(scopes);
        self.request(context, path, Some(&token), NOW_MS);
        let id = self.sent(NOW_MS).questions[0].id;
        assert_eq!(code(&self.verdict(id, wire::Outcome::Active, None, NOW_MS)[0].1), "released");
    }

    fn followed(&mut self, id: u32, outcome: wire::Outcome, narrowed: Option<&[&str]>) -> Vec<Due> {
        let narrowed =
            narrowed.map(|scopes| wire::Scopes { scopes: scopes.iter().map(|scope| (*scope).to_owned()).collect() });
        let verdict = wire::Verdict { id, outcome: outcome.into(), narrowed, ..Default::default() };
        let message = wire::ServiceMessage { followed: vec![verdict], ..Default::default() };
        self.gate.message(STREAM, &message.encode_to_vec(), at(NOW_MS + 60))
    }
}

#[test]
fn a_short_request_is_never_followed_and_a_lasting_one_is() {
    let mut bench = Bench::with_keys("enforce");
    bench.open(1, "read write", "/both");
    bench.gate.gone(1);
    bench.open(2, "read write", "/both");
    bench.gate.tick(at(NOW_MS + 19));
    assert_eq!(bench.gate.act(at(NOW_MS + 19).instant), None);
    bench.gate.tick(at(NOW_MS + 20));
    assert_eq!(bench.sent(NOW_MS + 20).follows.len(), 1);
}

#[test]
fn an_open_request_is_cut_when_its_session_ends_or_loses_the_scope() {
    for (outcome, narrowed, expected) in [
        (wire::Outcome::Revoked, None, "cut"),
        (wire::Outcome::IdleTimeout, None, "cut"),
        (wire::Outcome::Active, Some(&["read"][..]), "cut"),
        (wire::Outcome::Active, Some(&["read", "write"][..]), "wait"),
        (wire::Outcome::Active, None, "wait"),
    ] {
        let mut bench = Bench::with_keys("enforce");
        bench.open(1, "read write", "/both");
        bench.gate.tick(at(NOW_MS + 50));
        let id = bench.sent(NOW_MS + 50).follows[0].id;
        let due = bench.followed(id, outcome, narrowed);
        assert_eq!(due.iter().map(|(context, step)| (*context, code(step))).collect::<Vec<_>>(), [(1, expected)]);
        assert_eq!(bench.gate.is_released(1), expected == "wait");
        let again = bench.followed(id, wire::Outcome::Revoked, None);
        assert_eq!(again.len(), usize::from(expected == "wait"), "cut once, and not again");
    }
}

#[test]
fn a_verdict_cannot_give_a_token_scopes_that_it_does_not_have() {
    let mut bench = Bench::with_keys("enforce");
    let token = bench.token("read profile");
    bench.request(1, "/read", Some(&token), NOW_MS);
    let id = bench.sent(NOW_MS).questions[0].id;
    let (_, step) = bench.verdict(id, wire::Outcome::Active, Some(&["write", "read", "admin"]), NOW_MS).remove(0);
    let Step::Release(permit) = &step else { panic!("{}", code(&step)) };
    let scopes = crate::authorize::identity::headers(permit, bench.gate.policy())
        .find(|(name, _)| *name == "x-portcullis-scopes")
        .map(|(_, scopes)| scopes.into_owned());
    assert_eq!(scopes.as_deref(), Some("read"));
}

#[test]
fn what_the_service_cannot_tell_is_an_outage_and_no_refusal() {
    let mut bench = Bench::with_keys("enforce");
    let token = bench.token("read write");
    let paths = [("/both", "session_unavailable"), ("/read", "released"), ("/grace", "released")];
    for (context, (path, expected)) in (1..).zip(paths) {
        for (outcome, expected) in [(wire::Outcome::Active, "released"), (wire::Outcome::Unavailable, expected)] {
            bench.request(context, path, Some(&token), NOW_MS);
            let id = bench.sent(NOW_MS).questions[0].id;
            assert_eq!(code(&bench.verdict(id, outcome, None, NOW_MS)[0].1), expected, "{path} {outcome:?}");
            bench.gate.gone(context);
        }
    }
}

#[test]
fn an_open_request_whose_session_cannot_be_read_ends_only_where_an_outage_denies() {
    let mut bench = Bench::with_keys("enforce");
    bench.open(1, "read write", "/both");
    bench.open(2, "read", "/read");
    bench.gate.tick(at(NOW_MS + 50));
    let follows = bench.sent(NOW_MS + 50).follows;
    let steps = |due: Vec<Due>| due.iter().map(|(context, step)| (*context, code(step))).collect::<Vec<_>>();
    let id = |route: u32| follows.iter().find(|follow| follow.route == route).expect("a follow").id;
    assert_eq!(steps(bench.followed(id(1), wire::Outcome::Unavailable, None)), [(1, "cut")]);
    bench.gate.gone(1);
    assert_eq!(steps(bench.followed(id(3), wire::Outcome::Unavailable, None)), [(2, "wait")]);
    assert_eq!(bench.gate.act(at(NOW_MS + 60).instant), None, "a store that cannot be read is not asked again at once");
    let again = bench.sent(NOW_MS + 1_060).follows;
    assert_eq!(again.iter().map(|follow| follow.id).collect::<Vec<_>>(), [id(3)], "the service has let go of it");
    assert_eq!(steps(bench.followed(id(3), wire::Outcome::Revoked, None)), [(2, "cut")]);
}

#[test]
fn an_open_request_whose_session_was_last_over_ends_when_it_cannot_be_read() {
    let mut bench = Bench::with_keys("enforce");
    bench.open(1, "read", "/read");
    bench.gate.tick(at(NOW_MS + 50));
    let id = bench.sent(NOW_MS + 50).follows[0].id;
    let other = bench.token("read write");
    bench.request(2, "/me", Some(&other), NOW_MS + 50);
    let question = bench.sent(NOW_MS + 50).questions[0].id;
    bench.verdict(question, wire::Outcome::Revoked, None, NOW_MS + 50);
    assert_eq!(code(&bench.followed(id, wire::Outcome::Unavailable, None)[0].1), "cut");
}

#[test]
fn a_revocation_between_verdict_and_follow_cuts_by_the_answer_to_the_follow() {
    let mut bench = Bench::with_keys("enforce");
    bench.open(1, "read write", "/both");
    // The session ends here: the service has nobody to tell yet. The follow is answered with what is true then.
    bench.gate.tick(at(NOW_MS + 50));
    let id = bench.sent(NOW_MS + 50).follows[0].id;
    assert_eq!(code(&bench.followed(id, wire::Outcome::Revoked, None)[0].1), "cut");
}

#[test]
fn an_open_request_ends_with_its_token() {
    let mut bench = Bench::with_keys("enforce");
    bench.open(1, "read write", "/both");
    bench.gate.tick(at(NOW_MS + 50));
    bench.sent(NOW_MS + 50);
    let dies_ms = NOW_MS + 300_000 + 30_000;
    bench.beat(at(dies_ms - 1));
    assert!(bench.gate.tick(at(dies_ms - 1)).is_empty());
    let due = bench.gate.tick(at(dies_ms + 100));
    assert_eq!(due.iter().map(|(_, step)| code(step)).collect::<Vec<_>>(), ["cut"]);
}

#[test]
fn without_a_word_for_the_lease_open_requests_end_where_an_outage_denies() {
    let mut bench = Bench::with_keys("enforce");
    bench.open(1, "read write", "/both");
    bench.open(2, "read", "/read");
    bench.gate.tick(at(NOW_MS + 50));
    bench.sent(NOW_MS + 50);
    bench.gate.closed(STREAM, at(NOW_MS + 60));
    assert!(bench.gate.tick(at(NOW_MS + 1_999)).is_empty());
    let due = bench.gate.tick(at(NOW_MS + 2_000));
    assert_eq!(due.iter().map(|(context, step)| (*context, code(step))).collect::<Vec<_>>(), [(1, "cut")]);
    assert!(bench.gate.is_released(2));
}

#[test]
fn an_open_request_ends_with_the_key_of_its_token() {
    let mut bench = Bench::with_keys("enforce");
    bench.open(1, "read write", "/both");
    bench.gate.tick(at(NOW_MS + 50));
    bench.sent(NOW_MS + 50);
    let key_set = bench.key_set();
    let fetched = |bench: &mut Bench, key_set: &str| {
        bench.gate.fetched(IssuerId(0), Some((200, key_set.as_bytes())), at(NOW_MS + 60)).1
    };
    assert!(fetched(&mut bench, &key_set).is_empty(), "the key is there still");
    let others = ES256KeyPair::generate().public_key().with_key_id("k2").to_jwk();
    let due = fetched(&mut bench, &format!(r#"{{"keys":[{others}]}}"#));
    assert_eq!(due.iter().map(|(context, step)| (*context, code(step))).collect::<Vec<_>>(), [(1, "cut")]);
}

#[test]
fn shadow_mode_cuts_nothing_but_counts_what_it_would_have_cut() {
    let mut bench = Bench::with_keys("shadow");
    bench.open(1, "read write", "/both");
    bench.gate.tick(at(NOW_MS + 50));
    let id = bench.sent(NOW_MS + 50).follows[0].id;
    assert_eq!(code(&bench.followed(id, wire::Outcome::Revoked, None)[0].1), "spared");
    assert!(bench.gate.is_released(1));
    assert!(
        bench
            .gate
            .tally
            .drain()
            .any(|(count, _)| matches!(count, Count::Shadowed(Code::SessionRevoked, Route::Rule(_))))
    );
}

#[test]
fn grace_is_not_for_a_session_that_another_of_its_tokens_showed_to_be_over() {
    let mut bench = Bench::with_keys("enforce");
    let (first, second) = (bench.token("read"), bench.token("read write"));
    for (context, token, outcome, expected) in
        [(1, &second, wire::Outcome::Active, "released"), (2, &first, wire::Outcome::Revoked, "session_revoked")]
    {
        bench.request(context, "/grace", Some(token), NOW_MS);
        let id = bench.sent(NOW_MS).questions[0].id;
        assert_eq!(code(&bench.verdict(id, outcome, None, NOW_MS)[0].1), expected);
    }
    bench.request(3, "/grace", Some(&second), NOW_MS);
    bench.sent(NOW_MS);
    assert_eq!(code(&bench.gate.tick(at(NOW_MS + 200))[0].1), "session_unavailable");
}

#[test]
fn nor_when_the_outage_is_known_before_it_asks() {
    let mut bench = Bench::with_keys("enforce");
    let (first, second) = (bench.token("read"), bench.token("read write"));
    for (context, token, outcome) in [(1, &second, wire::Outcome::Active), (2, &first, wire::Outcome::Revoked)] {
        bench.request(context, "/grace", Some(token), NOW_MS);
        let id = bench.sent(NOW_MS).questions[0].id;
        bench.verdict(id, outcome, None, NOW_MS);
    }
    bench.gate.closed(STREAM, at(NOW_MS));
    assert_eq!(bench.gate.act(at(NOW_MS + 100).instant), Some(Act::Open));
    bench.gate.opened(None, at(NOW_MS + 100).instant);
    assert_eq!(code(&bench.request(3, "/grace", Some(&second), NOW_MS + 100)), "session_unavailable");
}

#[test]
fn ten_thousand_follows_are_told_in_messages_that_a_service_reads() {
    let mut bench = Bench::with_keys("enforce");
    let policy = crate::authorize::fixtures::policy("enforce");
    let scopes: Vec<String> = (0..60).map(|scope| format!("a-rather-long-name-of-a-scope:{scope}")).collect();
    let scopes: Vec<&str> = scopes.iter().map(String::as_str).collect();
    let principal = crate::authorize::fixtures::principal(&policy, &scopes);
    for context in 0..10_000_u32 {
        let mut facts = principal.facts.clone();
        facts.digest.0[..4].copy_from_slice(&context.to_be_bytes());
        let principal = Rc::new(Principal::new(IssuerId(0), facts, &policy));
        let rule = crate::route::RuleId(2);
        bench.gate.follows.join(context, &principal, rule, &policy.rules[rule.0].limits, None).expect("room");
    }
    let mut told = 0;
    while let Some(Act::Send { message, .. }) = bench.gate.act(at(NOW_MS).instant) {
        assert_eq!(portcullis_contract::bounds::check(&message), Ok(()), "{} bytes", message.len());
        told += wire::FilterMessage::decode(message.as_slice()).expect("a message").follows.len();
    }
    assert_eq!(told, 10_000);
}
