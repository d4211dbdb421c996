//! Signals of identity providers over real sockets: what they do, what is refused, and what outlives a crash.

mod easyssf;
mod facts;
mod held;
mod hostile;
pub(crate) mod keys;
pub(crate) mod logout;
mod poll;
mod shapes;
mod stream;

use crate::client::{Answer, Filter, post_form, request, session_id, token};
use crate::fixtures::{Fixture, MINUTE, T0};
use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine as _};
use ed25519_compact::{KeyPair, Seed};
use portcullis_contract::wire::{Outcome, Token};
use serde_json::{Value, json};
use std::sync::LazyLock;
use std::sync::atomic::Ordering;

/// Signs what the transmitter of these tests sends.
static KEYS: LazyLock<KeyPair> = LazyLock::new(|| KeyPair::from_seed(Seed::new([7; 32])));

pub(crate) const CAEP: &str = "https://schemas.openid.net/secevent/caep/event-type/";
const RISC: &str = "https://schemas.openid.net/secevent/risc/event-type/";
const SSF: &str = "https://schemas.openid.net/secevent/ssf/event-type/";

/// What the transmitter presents.
pub(crate) const PUSHES: &str = "Bearer the-secret-of-the-admin";

fn encoded(bytes: impl AsRef<[u8]>) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(bytes)
}

fn signed(header: &Value, claims: &Value) -> String {
    let input = format!("{}.{}", encoded(header.to_string()), encoded(claims.to_string()));
    let signature = KEYS.sk.sign(&input, None);
    format!("{input}.{}", encoded(*signature))
}

fn jwks() -> Value {
    json!({"keys": [{"kty": "OKP", "crv": "Ed25519", "kid": "t1", "alg": "EdDSA", "x": encoded(*KEYS.pk)}]})
}

/// A configuration with transmitters of each kind; `more` are further keys of the first one.
pub(crate) fn config(more: &str) -> String {
    let jwks = jwks();
    format!(
        "signals_listen: 127.0.0.1:0\nsignals:\n\
         - {{name: idp, kind: ssf, issuer: https://idp, tokens_of: https://id, audiences: [us], algorithms: [EdDSA], \
         keys: {{inline: {jwks}}}, authorization: {{env: P}}{more}}}\n\
         - {{name: op, kind: backchannel_logout, issuer: https://id, algorithms: [EdDSA], keys: {{inline: {jwks}}}}}\n\
         - {{name: soc, kind: global_token_revocation, tokens_of: [https://id], authorization: {{env: P}}}}\n"
    )
}

fn header() -> Value {
    json!({"alg": "EdDSA", "kid": "t1", "typ": "secevent+jwt"})
}

/// A security event token; `claims` replace or add to the usual ones, and `null` removes one.
pub(crate) fn set(jti: &str, claims: &Value) -> String {
    signed(&header(), &with(json!({"iss": "https://idp", "aud": "us", "iat": T0 / 1000, "jti": jti}), claims))
}

fn with(mut claims: Value, more: &Value) -> Value {
    for (name, value) in more.as_object().unwrap() {
        match value {
            Value::Null => drop(claims.as_object_mut().unwrap().remove(name)),
            value => claims[name] = value.clone(),
        }
    }
    claims
}

/// Both, with the members of the second one also where they are `null`.
fn joined(one: &Value, more: &Value) -> Value {
    let mut all = one.as_object().unwrap().clone();
    all.extend(more.as_object().unwrap().clone());
    all.into()
}

/// An event of alice, without more.
fn about_alice(event: &str) -> Value {
    json!({"sub_id": alice(), "events": {event: {}}})
}

pub(crate) fn alice() -> Value {
    json!({"format": "iss_sub", "iss": "https://id", "sub": "alice"})
}

pub(crate) async fn push(fixture: &Fixture, token: &str) -> Answer {
    let to = fixture.signals.unwrap();
    request(to, "Bearer the-secret-of-the-admin", "application/secevent+jwt", "POST", "/signals/idp", token).await
}

/// The error of an answer of RFC 8935.
fn err(answer: &Answer) -> (u16, String) {
    assert!(answer.json()["description"].is_string(), "{answer:?}");
    (answer.status, answer.json()["err"].as_str().unwrap().to_owned())
}

/// The token of a session of that subject.
fn of(handle: u32, sid: &str, subject: &str, issued_at_ms: u64) -> Token {
    Token { subject: subject.to_owned(), ..token(handle, sid, issued_at_ms) }
}

/// A filter that has opened a session of alice with the `sid` `s`, as token 1, and one of bob with `b`, as token 2.
async fn with_sessions(fixture: &Fixture) -> Filter {
    let mut filter = fixture.filter().await;
    for token in [of(1, "s", "alice", T0), of(2, "b", "bob", T0)] {
        assert_eq!(filter.ask_new(token).await.outcome(), Outcome::Active);
    }
    filter
}

async fn metric(fixture: &Fixture, line: &str) -> bool {
    let metrics = fixture.call("GET", "/metrics", "").await.text;
    metrics.lines().any(|found| found == line)
}

#[tokio::test]
async fn what_a_signal_ends_is_over_when_it_is_acknowledged_and_after_a_restart() {
    let fixture = Fixture::with(&config("")).await;
    let mut filter = with_sessions(&fixture).await;
    let revoked = set("1", &about_alice(&format!("{CAEP}session-revoked")));
    let answer = push(&fixture, &revoked).await;
    assert_eq!((answer.status, &*answer.text), (202, ""), "{answer:?}");
    assert_eq!((filter.outcome(1).await, filter.outcome(2).await), (Outcome::Revoked, Outcome::Active));
    assert!(metric(&fixture, r#"portcullis_signals_applied_total{transmitter="idp"} 1"#).await);
    let made = fixture.call("GET", "/v1/revocations", "").await.json();
    assert_eq!(made["revocations"][0]["reason"], "idp: session-revoked", "{made}");

    let fixture = Fixture::in_folder(fixture.stop().await, &config("")).await;
    let mut filter = fixture.filter().await;
    assert_eq!(filter.ask_new(of(1, "s", "alice", T0)).await.outcome(), Outcome::Revoked);
    // It was received before: somebody who has logged in since is not logged out again.
    fixture.at(5_000);
    let login = Token { authenticated_at_ms: Some(T0 + 4_000), ..of(3, "new", "alice", T0 + 4_000) };
    assert_eq!(filter.ask_new(login).await.outcome(), Outcome::Active);
    assert_eq!(push(&fixture, &revoked).await.status, 202);
    assert_eq!(filter.outcome(3).await, Outcome::Active);
    // Another one is another one.
    assert_eq!(push(&fixture, &set("2", &about_alice(&format!("{CAEP}session-revoked")))).await.status, 202);
    assert_eq!(filter.outcome(3).await, Outcome::Revoked);
}

#[tokio::test]
async fn a_signal_that_cannot_be_kept_is_not_acknowledged_and_has_its_effect_when_it_comes_again() {
    let fixture = Fixture::with(&config("")).await;
    let mut filter = with_sessions(&fixture).await;
    let revoked = set("1", &about_alice(&format!("{CAEP}session-revoked")));
    fixture.faults.fails.store(true, Ordering::SeqCst);
    let answer = push(&fixture, &revoked).await;
    assert_eq!(err(&answer), (503, "temporarily_unavailable".to_owned()));
    assert!(answer.head.contains("retry-after: 1") && !answer.text.contains("secret"), "{answer:?}");
    assert_eq!(filter.outcome(1).await, Outcome::Active);
    fixture.faults.fails.store(false, Ordering::SeqCst);
    assert_eq!(push(&fixture, &revoked).await.status, 202);
    assert_eq!(filter.outcome(1).await, Outcome::Revoked);
}

#[tokio::test]
async fn an_account_that_is_disabled_is_blocked_until_it_is_enabled_whatever_operators_do() {
    let fixture = Fixture::with(&config("")).await;
    let mut filter = with_sessions(&fixture).await;
    let body = r#"{"issuer":"https://id","subject":"alice","until":"2023-11-14T22:14:20Z"}"#;
    assert_eq!(fixture.call("POST", "/v1/blocks", body).await.status, 200);
    assert_eq!(push(&fixture, &set("1", &about_alice(&format!("{RISC}account-disabled")))).await.status, 202);
    assert_eq!((filter.outcome(1).await, filter.outcome(2).await), (Outcome::Blocked, Outcome::Active));
    let blocks = fixture.call("GET", "/v1/blocks", "").await.json();
    let transmitters: Vec<_> =
        blocks["blocks"].as_array().unwrap().iter().map(|block| block.get("transmitter")).collect();
    assert!(transmitters.contains(&None) && transmitters.contains(&Some(&json!("idp"))), "{blocks}");
    // The operator's block runs out, and the signal's stays.
    fixture.at(2 * MINUTE);
    assert_eq!(filter.outcome(1).await, Outcome::Blocked);
    let fixture = Fixture::in_folder(fixture.stop().await, &config("")).await;
    fixture.at(2 * MINUTE);
    let mut filter = fixture.filter().await;
    assert_eq!(filter.ask_new(of(1, "s", "alice", T0)).await.outcome(), Outcome::Blocked, "after a restart");
    assert_eq!(fixture.call("POST", "/v1/blocks", r#"{"issuer":"https://id","subject":"alice"}"#).await.status, 200);
    let enabled = |jti: &str| set(jti, &about_alice(&format!("{RISC}account-enabled")));
    assert_eq!(push(&fixture, &enabled("2")).await.status, 202);
    assert_eq!(filter.outcome(1).await, Outcome::Blocked, "an operator has blocked her as well");
    let blocks = fixture.call("GET", "/v1/blocks", "").await.json();
    let [own] = &blocks["blocks"].as_array().unwrap()[..] else { panic!("not one: {blocks}") };
    let path = format!("/v1/blocks/{}", own["id"].as_str().unwrap());
    assert_eq!(fixture.call("DELETE", &path, "").await.status, 200);
    assert_eq!(filter.outcome(1).await, Outcome::Active);
    assert_eq!(push(&fixture, &enabled("3")).await.status, 202, "there is nothing to lift");
}

#[tokio::test]
async fn a_changed_credential_ends_every_session_but_the_one_that_changed_it() {
    let fixture = Fixture::with(&config("")).await;
    let mut filter = with_sessions(&fixture).await;
    assert_eq!(filter.ask_new(of(3, "other", "alice", T0)).await.outcome(), Outcome::Active);
    let session = json!({"format": "opaque", "id": "s"});
    let changed = json!({"sub_id": {"format": "complex", "user": alice(), "session": session},
                         "events": {format!("{CAEP}credential-change"): {"credential_type": "password"}}});
    assert_eq!(push(&fixture, &set("1", &changed)).await.status, 202);
    let outcomes = [filter.outcome(1).await, filter.outcome(3).await, filter.outcome(2).await];
    assert_eq!(outcomes, [Outcome::Active, Outcome::Revoked, Outcome::Active]);
    assert_eq!(filter.ask_new(of(4, "unseen", "alice", T0)).await.outcome(), Outcome::Revoked, "from before");
    let made = fixture.call("GET", "/v1/revocations", "").await.json();
    assert_eq!(
        (&made["revocations"][0]["subject"], &made["revocations"][0]["except_sid"]),
        (&json!("alice"), &json!("s"))
    );
    // Only the session is named: its user is known from it.
    let nameless = json!({"sub_id": {"format": "complex", "session": {"format": "opaque", "id": "b"}},
                          "events": {format!("{CAEP}credential-change"): {}}});
    assert_eq!(filter.ask_new(of(5, "b2", "bob", T0)).await.outcome(), Outcome::Active);
    assert_eq!(push(&fixture, &set("2", &nameless)).await.status, 202);
    assert_eq!((filter.outcome(2).await, filter.outcome(5).await), (Outcome::Active, Outcome::Revoked));
}

#[tokio::test]
async fn a_token_that_is_not_valid_is_refused_by_the_codes_of_the_standard_and_does_nothing() {
    let fixture = Fixture::with(&config(", max_age: 1h, critical_subject_members: [tenant, device]")).await;
    let mut filter = with_sessions(&fixture).await;
    let event = format!("{CAEP}session-revoked");
    let usual = about_alice(&event);
    let claims = |more: Value| set("1", &joined(&usual, &more));
    let headed = |more: Value| {
        let claims = with(json!({"iss": "https://idp", "aud": "us", "iat": T0 / 1000, "jti": "1"}), &usual);
        signed(&with(header(), &more), &claims)
    };
    let good = claims(json!({}));
    let tampered = format!("{}A{}", &good[..good.len() - 40], &good[good.len() - 39..]);
    let tenant = json!({"format": "complex", "user": alice(), "tenant": {"format": "opaque", "id": "t"}});
    let device = json!({"format": "complex", "user": alice(), "device": {"format": "uri", "uri": "urn:d"}});
    let now = T0 / 1000;
    let rows = [
        (tampered, "invalid_key"),
        (headed(json!({"alg": "RS256"})), "invalid_key"),
        (headed(json!({"kid": "t2"})), "invalid_key"),
        (headed(json!({"alg": "none"})), "invalid_key"),
        (headed(json!({"typ": "at+jwt"})), "invalid_request"),
        (headed(json!({"typ": null})), "invalid_request"),
        (headed(json!({"crit": ["x"]})), "invalid_request"),
        (claims(json!({"iss": "https://idp/"})), "invalid_issuer"),
        (claims(json!({"iss": null})), "invalid_request"),
        (claims(json!({"aud": "them"})), "invalid_audience"),
        (claims(json!({"aud": []})), "invalid_audience"),
        (claims(json!({"aud": null})), "invalid_audience"),
        (claims(json!({"aud": [1]})), "invalid_request"),
        (claims(json!({"iat": null})), "invalid_request"),
        (claims(json!({"iat": now + 61})), "invalid_request"),
        (claims(json!({"iat": now - 3_601})), "invalid_request"),
        (claims(json!({"exp": now - 61})), "invalid_request"),
        (claims(json!({"jti": null})), "invalid_request"),
        (claims(json!({"jti": 7})), "invalid_request"),
        (claims(json!({"events": null})), "invalid_request"),
        (claims(json!({"events": {}})), "invalid_request"),
        (claims(json!({"events": {event.as_str(): {}, "urn:x": {}}})), "invalid_request"),
        (claims(json!({"sub_id": null})), "invalid_request"),
        (claims(json!({"sub_id": {"format": "iss_sub", "iss": "https://id"}})), "invalid_request"),
        (claims(json!({"sub_id": tenant})), "invalid_request"),
        (claims(json!({"sub_id": device})), "invalid_request"),
        ("".to_owned(), "invalid_request"),
        ("{}".to_owned(), "invalid_request"),
        ("a.b.c".to_owned(), "invalid_request"),
    ];
    for (token, expected) in &rows {
        assert_eq!(err(&push(&fixture, token).await), (400, (*expected).to_owned()), "{token}");
    }
    let big = set("1", &with(usual.clone(), &json!({"pad": "x".repeat(70_000)})));
    assert_eq!(push(&fixture, &big).await.status, 413);
    let to = fixture.signals.unwrap();
    for authorization in ["", "Bearer wrong", "the-secret-of-the-admin", "Basic x"] {
        let answer = request(to, authorization, "application/secevent+jwt", "POST", "/signals/idp", &good).await;
        assert_eq!(err(&answer), (401, "authentication_failed".to_owned()));
    }
    for path in ["/signals/other", "/signals", "/", "/v1/sessions", "/signals/idp/x"] {
        assert_eq!(request(to, PUSHES, "application/secevent+jwt", "POST", path, &good).await.status, 404, "{path}");
    }
    assert_eq!(request(to, PUSHES, "text/plain", "GET", "/signals/idp", "").await.status, 405);
    assert_eq!(filter.outcome(1).await, Outcome::Active, "nothing has had an effect");
    let shown = fixture.call("GET", "/v1/signals/idp", "").await.json();
    assert_eq!((&shown["refused"], &shown["received"]), (&json!(rows.len() + 5), &json!(rows.len() + 5)), "{shown}");
    assert!(metric(&fixture, r#"portcullis_signals_refused_total{err="invalid_key",transmitter="idp"} 4"#).await);
    assert_eq!(push(&fixture, &good).await.status, 202);
    assert_eq!(filter.outcome(1).await, Outcome::Revoked);
}

#[tokio::test]
async fn what_is_valid_and_not_wanted_is_acknowledged_and_does_nothing() {
    let fixture = Fixture::with(&config(", events: {sessions-revoked: ignore}")).await;
    let mut filter = with_sessions(&fixture).await;
    let revoked = format!("{CAEP}session-revoked");
    let rows = [
        about_alice("urn:example:event"),
        about_alice(&format!("{RISC}sessions-revoked")),
        about_alice(&format!("{CAEP}session-established")),
        json!({"sub_id": {"format": "iss_sub", "iss": "https://other", "sub": "alice"}, "events": {revoked.as_str(): {}}}),
        json!({"sub_id": {"format": "phone_number", "phone_number": "+12065550100"}, "events": {revoked.as_str(): {}}}),
        json!({"sub_id": {"format": "complex", "device": {"format": "opaque", "id": "d"}}, "events": {revoked.as_str(): {}}}),
    ];
    for (number, claims) in rows.iter().enumerate() {
        assert_eq!(push(&fixture, &set(&number.to_string(), claims)).await.status, 202, "{claims}");
    }
    assert_eq!(filter.outcome(1).await, Outcome::Active);
    let shown = fixture.call("GET", "/v1/signals", "").await.json();
    assert_eq!(shown["transmitters"][0]["ignored"], rows.len(), "{shown}");
    // What is about nobody here holds for whoever comes.
    let unseen = json!({"sub_id": {"format": "iss_sub", "iss": "https://id", "sub": "carol"}, "events": {revoked: {}}});
    assert_eq!(push(&fixture, &set("unseen", &unseen)).await.status, 202);
    assert!(metric(&fixture, r#"portcullis_signals_unmatched_total{transmitter="idp"} 1"#).await);
    assert_eq!(filter.ask_new(of(3, "c", "carol", T0)).await.outcome(), Outcome::Revoked);
}

#[tokio::test]
async fn a_transmitter_without_verification_events_is_stale_until_one_arrives() {
    let fixture = Fixture::with(&config(", stale_after: 10m")).await;
    let stale = async || fixture.call("GET", "/v1/signals/idp", "").await.json()["stale"].clone();
    assert_eq!(stale().await, false);
    fixture.at(10 * MINUTE + 1);
    assert_eq!(stale().await, true);
    while !metric(&fixture, r#"portcullis_signals_stale{transmitter="idp"} 1"#).await {}
    let verification = json!({"sub_id": {"format": "opaque", "id": "stream"}, "events": {format!("{SSF}verification"): {"state": "x"}}});
    assert_eq!(push(&fixture, &set("1", &verification)).await.status, 202);
    assert_eq!(stale().await, false);
    while !metric(&fixture, r#"portcullis_signals_stale{transmitter="idp"} 0"#).await {}
    // The same one again, by whoever has seen it, shows nothing.
    fixture.at(20 * MINUTE + 2);
    assert_eq!(push(&fixture, &set("1", &verification)).await.status, 202);
    assert_eq!(stale().await, true);
    assert_eq!(fixture.call("GET", "/v1/signals/op", "").await.json().get("stale"), None);
    assert_eq!(fixture.call("GET", "/v1/signals/none", "").await.status, 404);
}

#[tokio::test]
async fn a_global_token_revocation_ends_a_user_and_never_says_whether_there_is_one() {
    let fixture = Fixture::with(&config("")).await;
    let mut filter = with_sessions(&fixture).await;
    let to = fixture.signals.unwrap();
    let revoke = async |body: Value| {
        request(to, PUSHES, "application/json", "POST", "/signals/soc", &body.to_string()).await.status
    };
    for subject in
        [json!({"format": "iss_sub", "iss": "https://id", "sub": "nobody"}), json!({"format": "email", "email": "a@b"})]
    {
        assert_eq!(revoke(json!({"sub_id": subject})).await, 204);
    }
    assert_eq!(filter.outcome(1).await, Outcome::Active);
    assert_eq!(revoke(json!({"sub_id": alice()})).await, 204);
    assert_eq!((filter.outcome(1).await, filter.outcome(2).await), (Outcome::Revoked, Outcome::Active));
    assert_eq!(revoke(json!({"subject": {"format": "opaque", "id": "bob"}})).await, 204, "as Okta sends it");
    assert_eq!(filter.outcome(2).await, Outcome::Revoked);
    // A later login is another matter, and a second revocation ends it as well.
    fixture.at(5_000);
    let login = Token { authenticated_at_ms: Some(T0 + 4_000), ..of(3, "new", "alice", T0 + 4_000) };
    assert_eq!(filter.ask_new(login).await.outcome(), Outcome::Active);
    assert_eq!(revoke(json!({"sub_id": alice()})).await, 204);
    assert_eq!(filter.outcome(3).await, Outcome::Revoked);
    for wrong in [json!([]), json!({}), json!({"sub_id": "alice"}), json!({"sub_id": {"format": "iss_sub"}})] {
        assert_eq!(revoke(wrong.clone()).await, 400, "{wrong}");
    }
    assert_eq!(request(to, "", "application/json", "POST", "/signals/soc", "{}").await.status, 401);
}
