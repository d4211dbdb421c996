//! The OAuth endpoints over HTTP, and beside a check stream.

use crate::client::{Answer, FILTER, Filter, PLAIN, http, post_form, session_id, token};
use crate::fixtures::{Fixture, MINUTE, T0};
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD, Engine as _};
use portcullis_contract::wire::{ClaimValues, Issuer, Outcome};
use portcullis_contract::{KeyKind, SessionId};
use serde_json::{Value, json};
use std::sync::atomic::Ordering;

const ISSUED: u64 = T0 / 1000;

/// The token of the check stream's helper, as a JWT, with more claims or others.
pub(crate) fn jwt(sid: &str, more: Value) -> String {
    let mut claims = json!({
        "iss": "https://id", "sub": "alice", "client_id": "web", "aud": ["api"], "scope": "openid orders:read",
        "iat": ISSUED, "exp": ISSUED + 3600, "sid": sid,
    });
    for (name, value) in more.as_object().unwrap() {
        claims[name] = value.clone();
    }
    let encode = |part: String| BASE64_URL_SAFE_NO_PAD.encode(part);
    format!("{}.{}.AA", encode(r#"{"alg":"ES256"}"#.to_owned()), encode(claims.to_string()))
}

fn bearer() -> String {
    format!("Bearer {FILTER}")
}

/// What is answered to a caller that has verified the token.
async fn ask(fixture: &Fixture, form: &str) -> Value {
    ask_plainly(fixture, &format!("{form}&portcullis_verified=true")).await
}

async fn ask_plainly(fixture: &Fixture, form: &str) -> Value {
    let answer = post_form(fixture.checks, &bearer(), "/oauth2/introspect", form).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert!(answer.head.contains("cache-control: no-store"), "{}", answer.head);
    assert!(answer.head.contains("content-type: application/json"), "{}", answer.head);
    answer.json()
}

async fn introspect(fixture: &Fixture, token: &str) -> Value {
    ask(fixture, &format!("token={token}")).await
}

async fn revoke(fixture: &Fixture, form: &str) -> Answer {
    post_form(fixture.checks, &bearer(), "/oauth2/revoke", form).await
}

#[tokio::test]
async fn an_active_answer_has_the_shape_of_rfc_7662() {
    let fixture = Fixture::open().await;
    let jwt = jwt("s", json!({"acr": "aal2", "auth_time": ISSUED - 60}));
    let expected = json!({
        "active": true, "scope": "openid orders:read", "client_id": "web", "sub": "alice", "iss": "https://id",
        "aud": ["api"], "exp": ISSUED + 3600, "iat": ISSUED, "sid": "s", "acr": "aal2", "auth_time": ISSUED - 60,
        "token_type": "Bearer", "portcullis_session": session_id("s").to_string(),
    });
    let form = format!("token={jwt}&token_type_hint=access_token&route=orders&client_address=10.0.0.1&portcullis=1");
    assert_eq!(introspect(&fixture, &jwt).await, expected);
    assert_eq!(ask(&fixture, &form).await, expected);
    let listed = fixture.call("GET", "/v1/sessions", "").await.json();
    assert_eq!((listed["sessions"][0]["key"].as_str(), listed["sessions"][1].is_null()), (Some("s"), true));
}

#[tokio::test]
async fn a_login_that_counts_for_less_is_asked_to_step_up_and_is_never_reported_as_more() {
    let fixture = Fixture::open().await;
    let (weak, strong, unsaid) =
        (jwt("s", json!({"acr": "aal1"})), jwt("s", json!({"acr": "aal2"})), jwt("s", json!({})));
    let outcome = async |token: &str, acr: &str| {
        let form = format!("token={token}&portcullis=1&portcullis_acr={acr}");
        let answer = ask(&fixture, &form).await;
        match answer["active"].as_bool() {
            Some(true) => answer["acr"].as_str().unwrap_or("none").to_owned(),
            _ => answer["portcullis_code"].as_str().unwrap_or_default().to_owned(),
        }
    };
    // What the token says is for its caller to compare, who has verified it.
    assert_eq!(outcome(&strong, "aal2").await, "aal2");
    let path = format!("/v1/attributes/session/{}/acr", session_id("s"));
    assert_eq!(fixture.call("PUT", &path, r#"{"value":"aal1"}"#).await.status, 200);
    for (token, acr, expected) in [
        (&strong, "aal2", "step_up_required"),
        (&strong, "aal3+aal2", "step_up_required"),
        (&strong, "aal2+aal1", "none"),
        (&strong, "", "none"),
        (&weak, "aal1", "aal1"),
        (&unsaid, "aal1", "none"),
    ] {
        assert_eq!(outcome(token, acr).await, expected, "{acr}");
    }
    assert_eq!(fixture.call("PUT", &path, r#"{"value":"aal2"}"#).await.status, 200);
    assert_eq!(outcome(&weak, "").await, "none", "an attribute raises nothing");
    assert_eq!(outcome(&strong, "aal2").await, "aal2");
}

#[tokio::test]
async fn a_stranger_learns_nothing_but_inactive_and_the_filter_learns_why() {
    let fixture = Fixture::open().await;
    let live = jwt("s", json!({}));
    introspect(&fixture, &live).await;
    let rows = [
        ("opaque".to_owned(), "", "invalid_token"),
        (jwt("s", json!({"iss": 7})), "", "invalid_token"),
        (jwt("s", json!({"nbf": ISSUED + 600})), "", "invalid_token"),
        (jwt("s", json!({"exp": ISSUED})), "", "token_expired"),
        (jwt("s", json!({"scope": "openid admin"})), "", "scope_escalation"),
        (jwt("old", json!({"auth_time": ISSUED - 9 * 3600})), "", "session_lifetime_exceeded"),
        (jwt("away", json!({"auth_time": ISSUED - 3600})), "&portcullis_background=true", "session_unknown"),
        (jwt("aged", json!({"auth_time": ISSUED - 60})), "&portcullis_max_age_ms=60000", "step_up_required"),
    ];
    for (token, more, code) in &rows {
        let form = format!("token={token}{more}");
        assert_eq!(ask(&fixture, &form).await, json!({"active": false}), "{code}");
        let told = ask(&fixture, &format!("{form}&portcullis=1")).await;
        assert_eq!(told, json!({"active": false, "portcullis_code": code}));
    }
    assert_eq!(introspect(&fixture, &live).await["active"], true);
    let path = format!("/v1/sessions/{}/revoke", session_id("s"));
    assert_eq!(fixture.call("POST", &path, "").await.status, 200);
    assert_eq!(introspect(&fixture, &live).await, json!({"active": false}));
    let told = ask(&fixture, &format!("portcullis=1&token={live}")).await;
    assert_eq!(told, json!({"active": false, "portcullis_code": "session_revoked"}));
    let metrics = fixture.call("GET", "/metrics", "").await.text;
    assert!(metrics.contains("portcullis_questions_total{outcome=\"revoked\"} 2"), "{metrics}");
}

#[tokio::test]
async fn a_block_is_told_like_any_refusal_and_not_to_whoever_made_the_token_up() {
    let fixture = Fixture::open().await;
    let (live, unseen) = (jwt("s", json!({})), jwt("unseen", json!({})));
    introspect(&fixture, &live).await;
    let block = fixture.call("POST", "/v1/blocks", r#"{"issuer":"https://id","subject":"alice"}"#).await;
    assert_eq!(block.status, 200, "{block:?}");
    let blocked = json!({"active": false, "portcullis_code": "blocked"});
    for token in [&live, &unseen] {
        assert_eq!(introspect(&fixture, token).await, json!({"active": false}));
        assert_eq!(ask(&fixture, &format!("portcullis=1&token={token}")).await, blocked);
    }
    assert_eq!(ask_plainly(&fixture, &format!("portcullis=1&token={live}")).await, blocked);
    let told = ask_plainly(&fixture, &format!("portcullis=1&token={unseen}")).await;
    assert_eq!(told, json!({"active": false, "portcullis_code": "session_unknown"}));
    // Its party may still end its session.
    assert_eq!(revoke(&fixture, &format!("token={live}")).await.status, 200);
    let path = format!("/v1/blocks/{}", block.json()["id"].as_str().unwrap());
    assert_eq!(fixture.call("DELETE", &path, "").await.status, 200);
    let told = ask(&fixture, &format!("portcullis=1&token={live}")).await;
    assert_eq!(told["portcullis_code"], "session_revoked");
}

#[tokio::test]
async fn an_unknown_session_is_unknown_where_enrolment_is_explicit() {
    let fixture = Fixture::with("enrolment: explicit").await;
    let told = ask(&fixture, &format!("portcullis=1&token={}", jwt("s", json!({})))).await;
    assert_eq!(told, json!({"active": false, "portcullis_code": "session_unknown"}));
    assert_eq!(revoke(&fixture, &format!("token={}", jwt("s", json!({})))).await.status, 200);
}

#[tokio::test]
async fn scopes_are_those_that_are_left() {
    let fixture = Fixture::open().await;
    let jwt = jwt("s", json!({}));
    introspect(&fixture, &jwt).await;
    let path = format!("/v1/sessions/{}", session_id("s"));
    for (scopes, left) in
        [(r#"["openid"]"#, "openid"), ("[]", ""), (r#"["openid","orders:read"]"#, "openid orders:read")]
    {
        assert_eq!(fixture.call("PATCH", &path, &format!(r#"{{"scopes":{scopes}}}"#)).await.status, 200);
        assert_eq!(introspect(&fixture, &jwt).await["scope"], left);
    }
}

#[tokio::test]
async fn introspection_is_activity_unless_it_says_background() {
    let fixture = Fixture::open().await;
    let jwt = jwt("s", json!({"exp": ISSUED + 360_000}));
    introspect(&fixture, &jwt).await;
    fixture.at(20 * MINUTE);
    let background = format!("token={jwt}&portcullis_background=true");
    assert_eq!(ask(&fixture, &background).await["active"], true);
    fixture.at(29 * MINUTE);
    let busy = format!("token={jwt}&portcullis=1&portcullis_max_idle_ms={}", 29 * MINUTE);
    assert_eq!(ask(&fixture, &busy).await["portcullis_code"], "session_idle_timeout");
    assert_eq!(introspect(&fixture, &jwt).await["active"], true);
    fixture.at(58 * MINUTE);
    assert_eq!(ask(&fixture, &background).await["active"], true);
    fixture.at(59 * MINUTE);
    assert_eq!(introspect(&fixture, &jwt).await["active"], false);
}

#[tokio::test]
async fn a_stream_and_introspection_find_the_same_session() {
    let fixture = Fixture::open().await;
    let mut filter = fixture.filter().await;
    filter.follow(token(1, "s", T0), PLAIN).await;
    let jwt = jwt("s", json!({}));
    assert_eq!(introspect(&fixture, &jwt).await["active"], true);
    let revoked = revoke(&fixture, &format!("token={jwt}&token_type_hint=nonsense")).await;
    assert_eq!((revoked.status, revoked.text.as_str()), (200, ""));
    assert_eq!(filter.pushed().await.outcome(), Outcome::Revoked);
    assert_eq!(filter.outcome(1).await, Outcome::Revoked);
    assert_eq!(introspect(&fixture, &jwt).await["active"], false);
}

#[tokio::test]
async fn a_revocation_is_answered_200_for_every_token_that_can_be_read_and_is_durable() {
    let fixture = Fixture::open().await;
    let unseen = jwt("unseen", json!({}));
    let expired = jwt("seen", json!({"exp": ISSUED}));
    introspect(&fixture, &jwt("seen", json!({}))).await;
    for token in ["opaque", "a.b.c"] {
        let refused = revoke(&fixture, &format!("token={token}")).await;
        assert_eq!((refused.status, &refused.json()["error"]), (400, &json!("unsupported_token_type")));
    }
    for token in [&unseen, &unseen, &expired] {
        let revoked = revoke(&fixture, &format!("token={token}")).await;
        assert_eq!(revoked.status, 200, "{revoked:?}");
        assert!(revoked.head.contains("cache-control: no-store"), "{}", revoked.head);
    }
    let folder = fixture.stop().await;
    let fixture = Fixture::in_folder(folder, "").await;
    for sid in ["unseen", "seen"] {
        let told = ask(&fixture, &format!("portcullis=1&token={}", jwt(sid, json!({})))).await;
        assert_eq!(told["portcullis_code"], "session_revoked", "{sid}");
    }
}

#[tokio::test]
async fn a_revocation_that_cannot_be_written_is_not_answered_200() {
    let fixture = Fixture::open().await;
    let jwt = jwt("s", json!({}));
    introspect(&fixture, &jwt).await;
    fixture.faults.fails.store(true, Ordering::SeqCst);
    let refused = revoke(&fixture, &format!("token={jwt}")).await;
    assert_eq!((refused.status, &refused.json()["error"]), (503, &json!("temporarily_unavailable")));
    assert_eq!(introspect(&fixture, &jwt).await["active"], true);
}

#[tokio::test]
async fn callers_present_the_filters_credential() {
    let fixture = Fixture::open().await;
    let basic = |pair: &str| format!("Basic {}", BASE64_STANDARD.encode(pair));
    let form = format!("token={}", jwt("s", json!({})));
    for path in ["/oauth2/introspect", "/oauth2/revoke"] {
        for good in [bearer(), basic(&format!("any-client:{FILTER}"))] {
            assert_eq!(post_form(fixture.checks, &good, path, &form).await.status, 200, "{path}");
        }
        let wrong = ["".to_owned(), "Bearer wrong".to_owned(), "Bearer admin-secret".to_owned(), basic("a:wrong")];
        for wrong in wrong.iter().chain([&basic(FILTER)]) {
            let refused = post_form(fixture.checks, wrong, path, &form).await;
            assert_eq!((refused.status, &refused.json()["error"]), (401, &json!("invalid_client")), "{path} {wrong}");
            for scheme in ["www-authenticate: bearer", "www-authenticate: basic", "cache-control: no-store"] {
                assert!(refused.head.contains(scheme), "{}", refused.head);
            }
        }
    }
    let metrics = fixture.call("GET", "/metrics", "").await.text;
    assert!(metrics.contains("portcullis_unauthenticated_total{listener=\"checks\"} 10"), "{metrics}");
}

#[tokio::test]
async fn the_longest_token_that_a_policy_can_allow_is_read_however_it_is_escaped() {
    let fixture = Fixture::open().await;
    let long = |bytes: usize| jwt("long", json!({"groups": "x".repeat(bytes)}));
    let token = long(44_500);
    assert!((59_000..=61_440).contains(&token.len()), "{}", token.len());
    introspect(&fixture, &token).await;
    let escaped: String = token.bytes().map(|byte| format!("%{byte:02x}")).collect();
    assert_eq!(revoke(&fixture, &format!("token={escaped}")).await.status, 200);
    let told = ask(&fixture, &format!("portcullis=1&token={token}")).await;
    assert_eq!(told["portcullis_code"], "session_revoked");
    assert_eq!(revoke(&fixture, &format!("token={}", long(46_500))).await.status, 400);
}

#[tokio::test]
async fn what_is_wrong_with_a_call_is_named() {
    let fixture = Fixture::open().await;
    let jwt = jwt("s", json!({}));
    let big = format!("token={jwt}&x={}", "x".repeat(210_000));
    for (path, form, status, named) in [
        ("/oauth2/introspect", "".to_owned(), 400, "`token`"),
        ("/oauth2/introspect", "token=".to_owned(), 400, "`token`"),
        ("/oauth2/introspect", format!("token={jwt}&token={jwt}"), 400, "twice"),
        ("/oauth2/introspect", format!("token={jwt}&portcullis_max_age_ms=soon"), 400, "`portcullis_max_age_ms`"),
        ("/oauth2/introspect", format!("token={jwt}&portcullis_background=maybe"), 400, "`portcullis_background`"),
        ("/oauth2/introspect", big.clone(), 413, "200704"),
        ("/oauth2/revoke", "token_type_hint=access_token".to_owned(), 400, "`token`"),
        ("/oauth2/revoke", big, 413, "200704"),
    ] {
        let refused = post_form(fixture.checks, &bearer(), path, &form).await;
        let shown = &form[..form.len().min(40)];
        assert_eq!((refused.status, &refused.json()["error"]), (status, &json!("invalid_request")), "{path} {shown}");
        assert!(refused.text.contains(named), "{path} {shown}: {}", refused.text);
    }
    let body = json!({"token": jwt}).to_string();
    assert_eq!(http(fixture.checks, &bearer(), "POST", "/oauth2/introspect", &body).await.status, 400);
    assert_eq!(http(fixture.checks, &bearer(), "GET", "/oauth2/introspect", "").await.status, 405);
}

#[tokio::test]
async fn a_token_that_nobody_verified_opens_no_session_and_speaks_for_nobody_else() {
    let fixture = Fixture::open().await;
    let token = jwt("s", json!({}));
    let plainly = format!("token={token}");
    assert_eq!(ask_plainly(&fixture, &plainly).await, json!({"active": false}));
    assert_eq!(fixture.call("GET", "/v1/sessions", "").await.json()["sessions"], json!([]));
    introspect(&fixture, &token).await;
    assert_eq!(ask_plainly(&fixture, &plainly).await["active"], true);
    for other in [json!({"sub": "mallory"}), json!({"client_id": "other"})] {
        assert_eq!(ask_plainly(&fixture, &format!("token={}", jwt("s", other))).await, json!({"active": false}));
    }
}

#[tokio::test]
async fn a_token_is_read_by_the_claim_names_of_the_filters_policy() {
    let fixture = Fixture::open().await;
    let token = jwt("s", json!({"roles": ["openid", "admin"], "session_state": "t"}));
    let names = |scope: &str, session: &str| Issuer {
        name: "https://id".to_owned(),
        scope_claims: vec![scope.to_owned()],
        session_claims: vec![session.to_owned()],
        ..Issuer::default()
    };
    let sessions = ["s", "t"].map(|sid| session_id(sid).to_string());
    let usual = introspect(&fixture, &token).await;
    assert_eq!((&usual["scope"], &usual["portcullis_session"]), (&json!("openid orders:read"), &json!(sessions[0])));
    let _filter = Filter::greeting(fixture.checks, FILTER, vec![names("roles", "session_state")]).await;
    let told = introspect(&fixture, &token).await;
    assert_eq!((&told["scope"], &told["portcullis_session"]), (&json!("admin openid"), &json!(sessions[1])));
    // Revocation finds the same session.
    assert_eq!(revoke(&fixture, &format!("token={token}")).await.status, 200);
    assert_eq!(introspect(&fixture, &token).await["active"], false);
    assert_eq!(fixture.call("GET", &format!("/v1/sessions/{}", sessions[0]), "").await.json()["state"], "active");
}

#[tokio::test]
async fn the_client_is_read_by_the_claims_of_the_filters_policy_and_a_machine_by_its_marks() {
    let fixture = Fixture::open().await;
    let token = jwt("s", json!({"sid": null, "client_id": null, "cid": "batch", "idtyp": "app"}));
    let issuer = |machine: &[&str]| Issuer {
        name: "https://id".to_owned(),
        scope_claims: vec!["scope".to_owned()],
        session_claims: vec!["sid".to_owned()],
        client_claims: vec!["cid".to_owned()],
        machine: vec![ClaimValues {
            claim: "idtyp".to_owned(),
            values: machine.iter().map(|value| (*value).to_owned()).collect(),
        }],
    };
    let _filter = Filter::greeting(fixture.checks, FILTER, vec![issuer(&["\"app\""])]).await;
    let told = introspect(&fixture, &token).await;
    let id = SessionId::of(KeyKind::Machine, "https://id", "batch", "batch").to_string();
    assert_eq!((&told["client_id"], &told["portcullis_session"]), (&json!("batch"), &json!(id)));
    // Revocation finds the machine's session, and the party of that name.
    assert_eq!(revoke(&fixture, &format!("token={token}")).await.status, 200);
    assert_eq!(introspect(&fixture, &token).await["active"], false);
    let body = json!({"issuer": "https://id", "client_id": "batch"}).to_string();
    assert_eq!(fixture.call("POST", "/v1/revocations", &body).await.status, 200);
    let view = fixture.call("GET", &format!("/v1/sessions/{id}"), "").await.json();
    assert_eq!((&view["kind"], &view["client_id"]), (&json!("machine"), &json!("batch")));
}

#[tokio::test]
async fn a_login_whose_time_is_unreadable_is_too_old_for_every_limit() {
    let fixture = Fixture::open().await;
    let token = jwt("s", json!({"auth_time": "2026-03-14T18:52:01.180Z"}));
    assert_eq!(introspect(&fixture, &token).await["active"], true);
    let limited = format!("token={token}&portcullis_verified=true&portcullis=1&portcullis_max_age_ms=3600000");
    let answer = ask_plainly(&fixture, &limited).await;
    assert_eq!(answer, json!({"active": false, "portcullis_code": "step_up_required"}));
}

#[tokio::test]
async fn the_claim_names_are_known_before_any_filter_is_back() {
    let fixture = Fixture::open().await;
    let names = Issuer {
        name: "https://id".to_owned(),
        scope_claims: vec!["scope".to_owned()],
        session_claims: vec!["session_state".to_owned()],
        ..Issuer::default()
    };
    let mut filter = Filter::greeting(fixture.checks, FILTER, vec![names]).await;
    filter.close();
    let fixture = Fixture::in_folder(fixture.stop().await, "").await;
    let token = jwt("s", json!({"session_state": "t"}));
    assert_eq!(revoke(&fixture, &format!("token={token}")).await.status, 200);
    let path = format!("/v1/sessions/{}", session_id("t"));
    assert_eq!(fixture.call("GET", &path, "").await.json()["reason"], "revoked");
}

#[tokio::test]
async fn a_token_from_the_far_future_revokes_nothing_and_moves_no_end() {
    let fixture = Fixture::open().await;
    let far = json!({"iat": 253_000_000_000_u64, "exp": 253_000_003_600_u64});
    let answer = revoke(&fixture, &format!("token={}", jwt("s", far))).await;
    assert_eq!((answer.status, &answer.json()["error"]), (400, &json!("unsupported_token_type")));
    assert_eq!(introspect(&fixture, &jwt("s", json!({}))).await["active"], true);
}

#[tokio::test]
async fn a_token_that_nobody_verified_does_not_show_how_far_its_issuers_clock_is_ahead() {
    let fixture = Fixture::open().await;
    let ahead = json!({"iat": ISSUED + 59, "exp": ISSUED + 3600});
    assert_eq!(revoke(&fixture, &format!("token={}", jwt("made-up", ahead))).await.status, 200);
    let mut filter = fixture.filter().await;
    assert_eq!(filter.ask_new(token(1, "s", T0)).await.outcome(), Outcome::Active);
    let revoked = fixture.call("POST", &format!("/v1/sessions/{}/revoke", session_id("s")), "").await;
    assert_eq!(revoked.json()["ended_at"], "2023-11-14T22:13:21Z", "a second after the call");
}
