//! Signals that say something about a session, its user or a device, and end nothing.

use super::*;
use crate::client::{PLAIN, STRONG};

fn event(name: &str, sub_id: &Value, payload: Value) -> Value {
    json!({"sub_id": sub_id, "events": {format!("{CAEP}{name}"): payload}})
}

fn in_session(sid: &str) -> Value {
    json!({"format": "complex", "user": alice(), "session": {"format": "opaque", "id": sid}})
}

fn opaque(id: &str) -> Value {
    json!({"format": "opaque", "id": id})
}

async fn shown(fixture: &Fixture, sid: &str) -> Value {
    fixture.call("GET", &format!("/v1/sessions/{}", session_id(sid)), "").await.json()
}

#[tokio::test]
async fn changed_claims_leave_the_scopes_that_they_name_and_never_give_any() {
    let fixture = Fixture::with(&config("")).await;
    let mut filter = with_sessions(&fixture).await;
    let changed =
        |jti: &str, claims: Value| set(jti, &event("token-claims-change", &in_session("s"), json!({"claims": claims})));
    let claims = json!({"scope": "openid admin", "department": "sales", "Level": 3, "groups": ["a"]});
    assert_eq!(push(&fixture, &changed("1", claims)).await.status, 202);
    let left = |verdict: portcullis_contract::wire::Verdict| verdict.narrowed.map(|left| left.scopes);
    assert_eq!(left(filter.ask(1, PLAIN).await), Some(vec!["openid".to_owned()]));
    assert_eq!(left(filter.ask(2, PLAIN).await), None, "bob's are his");
    let session = shown(&fixture, "s").await;
    assert_eq!(session["scopes"], json!(["openid"]));
    assert_eq!(session["narrowings"][0]["signalled"], json!({"idp": ["admin", "openid"]}));
    let attributes: Vec<_> = session["attributes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|attribute| (attribute["name"].as_str().unwrap(), attribute["value"].clone(), attribute["of"].clone()))
        .collect();
    let expected = [("claim.department", json!("sales")), ("claim.level", json!(3))];
    assert_eq!(attributes, expected.map(|(name, value)| (name, value, json!("session"))));
    // It outlives a restart, is taken back by a later event, and by an operator.
    let fixture = Fixture::in_folder(fixture.stop().await, &config("")).await;
    let mut filter = fixture.filter().await;
    assert_eq!(left(filter.ask_new(of(1, "s", "alice", T0)).await), Some(vec!["openid".to_owned()]));
    let wider = json!({"scope": "openid orders:read", "department": null});
    assert_eq!(push(&fixture, &changed("2", wider)).await.status, 202);
    assert_eq!(left(filter.ask(1, PLAIN).await), None);
    assert_eq!(push(&fixture, &changed("3", json!({"scope": ""}))).await.status, 202);
    assert_eq!(left(filter.ask(1, PLAIN).await), Some(vec![]));
    let path = format!("/v1/sessions/{}", session_id("s"));
    let session = fixture.call("PATCH", &path, r#"{"scopes":null}"#).await.json();
    assert_eq!((&session["narrowings"], left(filter.ask(1, PLAIN).await)), (&Value::Null, None));
    assert_eq!(session["attributes"][0]["name"], "claim.level", "a claim that is null is gone: {session}");
}

#[tokio::test]
async fn changed_claims_of_a_user_hold_for_sessions_that_are_still_to_be_seen() {
    let fixture = Fixture::with(&config("")).await;
    let changed = event("token-claims-change", &alice(), json!({"claims": {"scp": ["openid"]}}));
    assert_eq!(push(&fixture, &set("1", &changed)).await.status, 202);
    assert!(metric(&fixture, r#"portcullis_signals_unmatched_total{transmitter="idp"} 1"#).await);
    let mut filter = fixture.filter().await;
    let verdict = filter.ask_new(of(1, "s", "alice", T0)).await;
    assert_eq!(verdict.narrowed.unwrap().scopes, ["openid"]);
}

#[tokio::test]
async fn a_login_that_counts_for_less_has_to_be_made_again_on_the_routes_that_ask_for_more() {
    let fixture = Fixture::with(&config("")).await;
    let mut filter = with_sessions(&fixture).await;
    let changed = |jti: &str, direction: &str, level: &str| {
        let payload = json!({"namespace": "NIST-AAL", "current_level": level, "change_direction": direction});
        set(jti, &event("assurance-level-change", &in_session("s"), payload))
    };
    filter.follow(of(7, "s", "alice", T0), STRONG).await;
    assert_eq!(push(&fixture, &changed("1", "increase", "aal3")).await.status, 202);
    assert!(metric(&fixture, r#"portcullis_signals_ignored_total{transmitter="idp"} 1"#).await);
    assert_eq!(filter.ask(1, STRONG).await.outcome(), Outcome::Active);
    assert_eq!(push(&fixture, &changed("2", "decrease", "aal1")).await.status, 202);
    assert_eq!(filter.pushed().await.outcome(), Outcome::StepUpRequired, "an open request is cut");
    assert_eq!(filter.ask(1, STRONG).await.outcome(), Outcome::StepUpRequired);
    assert_eq!(filter.ask(1, PLAIN).await.outcome(), Outcome::Active);
    assert_eq!(filter.ask(2, STRONG).await.outcome(), Outcome::Active, "bob's login counts as before");
    let fixture = Fixture::in_folder(fixture.stop().await, &config("")).await;
    let mut filter = fixture.filter().await;
    assert_eq!(filter.ask_new(of(1, "s", "alice", T0)).await.outcome(), Outcome::Active);
    assert_eq!(filter.ask(1, STRONG).await.outcome(), Outcome::StepUpRequired, "after a restart");
    assert_eq!(shown(&fixture, "s").await["attributes"][0]["value"], "aal1");
    // A login within the session, and none from before the event.
    fixture.at(10_000);
    let login = |handle, at_ms| Token { authenticated_at_ms: Some(at_ms), ..of(handle, "s", "alice", T0 + 9_000) };
    filter.ask_new(login(2, T0 - 1_000)).await;
    assert_eq!(filter.ask(2, STRONG).await.outcome(), Outcome::StepUpRequired);
    filter.ask_new(login(3, T0 + 9_000)).await;
    assert_eq!(filter.ask(3, STRONG).await.outcome(), Outcome::Active);
    assert_eq!(filter.ask(1, STRONG).await.outcome(), Outcome::Active, "it is the session's login");
    assert_eq!(shown(&fixture, "s").await["attributes"], Value::Null);
}

#[tokio::test]
async fn a_level_that_is_accepted_needs_no_other_login() {
    let fixture = Fixture::with(&config("")).await;
    let mut filter = with_sessions(&fixture).await;
    let changed =
        event("assurance-level-change", &alice(), json!({"current_level": "aal2", "change_direction": "decrease"}));
    assert_eq!(push(&fixture, &set("1", &changed)).await.status, 202);
    assert_eq!(filter.ask(1, STRONG).await.outcome(), Outcome::Active);
}

#[tokio::test]
async fn what_is_said_about_a_device_or_a_risk_is_kept_where_the_subject_says() {
    let fixture = Fixture::with(&config("")).await;
    drop(with_sessions(&fixture).await);
    let device = json!({"format": "iss_sub", "iss": "https://mdm", "sub": "laptop 1"});
    let of_device = json!({"format": "complex", "user": alice(), "device": device});
    let not_compliant = json!({"current_status": "not-compliant", "previous_status": "compliant"});
    let rows = [
        (event("device-compliance-change", &of_device, not_compliant), 202),
        (event("risk-level-change", &alice(), json!({"current_level": "HIGH", "principal": "USER"})), 202),
        (event("risk-level-change", &in_session("s"), json!({"current_level": "LOW", "principal": "SESSION"})), 202),
        (event("risk-level-change", &alice(), json!({"current_level": "HIGH", "principal": "TENANT"})), 202),
        (event("risk-level-change", &opaque("phone"), json!({"current_level": "LOW", "principal": "DEVICE"})), 202),
        (event("risk-level-change", &alice(), json!({"current_level": "extreme"})), 202),
        (event("device-compliance-change", &alice(), json!({})), 202),
    ];
    for (number, (claims, status)) in rows.iter().enumerate() {
        assert_eq!(push(&fixture, &set(&number.to_string(), claims)).await.status, *status, "{claims}");
    }
    assert!(metric(&fixture, r#"portcullis_signals_ignored_total{transmitter="idp"} 3"#).await);
    let value = async |path: &str| fixture.call("GET", path, "").await.json()["value"].clone();
    let issuer = "issuer=https%3A%2F%2Fid";
    assert_eq!(value(&format!("/v1/attributes/device/laptop%201/device.compliant?{issuer}")).await, json!(false));
    assert_eq!(value(&format!("/v1/attributes/device/phone/risk?{issuer}")).await, json!("low"));
    assert_eq!(value(&format!("/v1/attributes/subject/alice/risk?{issuer}")).await, json!("high"));
    let session = shown(&fixture, "s").await;
    assert_eq!(
        (&session["attributes"][0]["value"], &session["attributes"][0]["source"]),
        (&json!("low"), &json!("idp"))
    );
    assert_eq!(shown(&fixture, "b").await["attributes"], Value::Null);
}

#[tokio::test]
async fn a_critical_device_is_understood_and_any_session_may_be_on_it() {
    let fixture = Fixture::with(&config(", critical_subject_members: [device]")).await;
    let mut filter = with_sessions(&fixture).await;
    let sub_id = json!({"format": "complex", "user": alice(), "device": {"format": "opaque", "id": "d"}});
    let compliant = event("device-compliance-change", &sub_id, json!({"current_status": "compliant"}));
    assert_eq!(push(&fixture, &set("1", &compliant)).await.status, 202);
    let revoked = event("session-revoked", &sub_id, json!({}));
    assert_eq!(push(&fixture, &set("2", &revoked)).await.status, 202);
    assert_eq!((filter.outcome(1).await, filter.outcome(2).await), (Outcome::Revoked, Outcome::Active));
    let unread = json!({"format": "complex", "user": alice(), "device": {"format": "uri", "uri": "urn:uuid:1"}});
    let revoked = event("session-revoked", &unread, json!({}));
    assert_eq!(err(&push(&fixture, &set("3", &revoked)).await), (400, "invalid_request".to_owned()));
}

fn addressed(address: &str) -> Value {
    json!({"format": "email", "email": address})
}

#[tokio::test]
async fn a_user_is_known_by_the_address_that_verified_tokens_have_said() {
    let fixture = Fixture::with(&config("")).await;
    let mut filter = with_sessions(&fixture).await;
    let said = |handle, sid: &str, address: &str| Token { email: address.to_owned(), ..of(handle, sid, "carol", T0) };
    assert_eq!(filter.ask_new(said(3, "c", "carol@example.com")).await.outcome(), Outcome::Active);
    assert_eq!(filter.ask_new(said(4, "quiet", "")).await.outcome(), Outcome::Active);
    let disabled = |jti: &str, event: &str, address: &str| {
        set(jti, &json!({"sub_id": addressed(address), "events": {format!("{RISC}{event}"): {}}}))
    };
    assert_eq!(push(&fixture, &disabled("1", "account-disabled", "nobody@example.com")).await.status, 202);
    assert!(metric(&fixture, r#"portcullis_signals_unmatched_total{transmitter="idp"} 1"#).await);
    let fixture = Fixture::in_folder(fixture.stop().await, &config("")).await;
    let mut filter = fixture.filter().await;
    for token in [of(1, "s", "alice", T0), said(3, "c", ""), said(4, "quiet", "")] {
        assert_eq!(filter.ask_new(token).await.outcome(), Outcome::Active, "as before the restart");
    }
    assert_eq!(push(&fixture, &disabled("2", "account-disabled", "Carol@Example.COM")).await.status, 202);
    let outcomes = [filter.outcome(1).await, filter.outcome(3).await, filter.outcome(4).await];
    assert_eq!(outcomes, [Outcome::Active, Outcome::Blocked, Outcome::Blocked], "it is the user who is blocked");
    // The latest address counts, once it was said.
    assert_eq!(push(&fixture, &disabled("3", "account-enabled", "carol@example.com")).await.status, 202);
    assert_eq!(filter.outcome(3).await, Outcome::Active);
    assert_eq!(filter.ask_new(said(5, "c", "carol@example.org")).await.outcome(), Outcome::Active);
    let complex = |address: &str| json!({"format": "complex", "user": addressed(address)});
    let revoked = |jti: &str, address: &str| set(jti, &event("session-revoked", &complex(address), json!({})));
    assert_eq!(push(&fixture, &revoked("4", "carol@example.com")).await.status, 202);
    assert_eq!(filter.outcome(3).await, Outcome::Active);
    assert_eq!(push(&fixture, &revoked("5", "carol@example.org")).await.status, 202);
    assert_eq!((filter.outcome(3).await, filter.outcome(1).await), (Outcome::Revoked, Outcome::Active));
}

#[tokio::test]
async fn who_was_blocked_by_an_address_is_unblocked_by_it_when_no_session_says_it_any_more() {
    let fixture = Fixture::with(&config("")).await;
    let mut filter = with_sessions(&fixture).await;
    let carol = Token { email: "carol@example.com".to_owned(), ..of(3, "c", "carol", T0) };
    assert_eq!(filter.ask_new(carol).await.outcome(), Outcome::Active);
    let account = |jti: &str, event: &str, address: &str| {
        set(jti, &json!({"sub_id": addressed(address), "events": {format!("{RISC}{event}"): {}}}))
    };
    assert_eq!(push(&fixture, &account("1", "account-disabled", "carol@example.com")).await.status, 202);
    assert_eq!(filter.outcome(3).await, Outcome::Blocked);
    // The same, of a user whom it names otherwise.
    let named = json!({"format": "iss_sub", "iss": "https://id", "sub": "carol"});
    let again = json!({"sub_id": named, "events": {format!("{RISC}account-disabled"): {}}});
    assert_eq!(push(&fixture, &set("1 again", &again)).await.status, 202);
    let ended = format!("/v1/sessions/{}/revoke", session_id("c"));
    assert_eq!(fixture.call("POST", &ended, "").await.status, 200);
    let fixture = Fixture::in_folder(fixture.stop().await, &config("")).await;
    let mut filter = fixture.filter().await;
    fixture.at(120_000);
    let again = |handle, sid: &str| of(handle, sid, "carol", T0 + 120_000);
    assert_eq!(filter.ask_new(again(1, "d")).await.outcome(), Outcome::Blocked);
    assert_eq!(push(&fixture, &account("2", "account-enabled", "dave@example.com")).await.status, 202);
    assert_eq!(filter.outcome(1).await, Outcome::Blocked);
    assert_eq!(push(&fixture, &account("3", "account-enabled", "Carol@example.com")).await.status, 202);
    assert_eq!(filter.outcome(1).await, Outcome::Active);
    assert!(metric(&fixture, r#"portcullis_signals_applied_total{transmitter="idp"} 1"#).await);
}

#[tokio::test]
async fn an_operator_gives_a_session_back_what_signals_have_taken_from_its_user() {
    let fixture = Fixture::with(&config("")).await;
    let mut filter = with_sessions(&fixture).await;
    let changed = event("token-claims-change", &alice(), json!({"claims": {"scope": "openid"}}));
    assert_eq!(push(&fixture, &set("1", &changed)).await.status, 202);
    let left = |verdict: portcullis_contract::wire::Verdict| verdict.narrowed.map(|left| left.scopes);
    assert_eq!(left(filter.ask(1, PLAIN).await), Some(vec!["openid".to_owned()]));
    let path = format!("/v1/sessions/{}", session_id("s"));
    let session = fixture.call("PATCH", &path, r#"{"scopes":null}"#).await.json();
    assert_eq!((&session["narrowings"], left(filter.ask(1, PLAIN).await)), (&Value::Null, None));
    let fixture = Fixture::in_folder(fixture.stop().await, &config("")).await;
    let mut filter = fixture.filter().await;
    assert_eq!(left(filter.ask_new(of(1, "s", "alice", T0)).await), None, "after a restart");
}

#[tokio::test]
async fn a_later_event_about_a_user_takes_the_place_of_an_earlier_one_whoever_it_named() {
    let fixture = Fixture::with(&config("")).await;
    let changed = |jti: &str, sub_id: &Value, scope: &str| {
        set(jti, &event("token-claims-change", sub_id, json!({"claims": {"scope": scope}})))
    };
    // Nobody has seen the session: every client of alice.
    assert_eq!(push(&fixture, &changed("1", &in_session("s"), "openid")).await.status, 202);
    let mut filter = with_sessions(&fixture).await;
    let left = |verdict: portcullis_contract::wire::Verdict| verdict.narrowed.map(|left| left.scopes);
    assert_eq!(left(filter.ask(1, PLAIN).await), Some(vec!["openid".to_owned()]));
    assert_eq!(push(&fixture, &changed("2", &in_session("s"), "openid orders:read")).await.status, 202);
    assert_eq!(left(filter.ask(1, PLAIN).await), None);
    assert_eq!(push(&fixture, &changed("3", &in_session("s"), "openid")).await.status, 202);
    assert_eq!(left(filter.ask(1, PLAIN).await), Some(vec!["openid".to_owned()]));
    assert_eq!(push(&fixture, &changed("4", &alice(), "openid orders:read")).await.status, 202);
    assert_eq!(left(filter.ask(1, PLAIN).await), None, "the one about this client is covered by it");
}

#[tokio::test]
async fn a_login_counts_for_less_by_whatever_is_said_of_it_and_an_operator_can_take_that_back() {
    let fixture = Fixture::with(&config("")).await;
    let mut filter = with_sessions(&fixture).await;
    let path = format!("/v1/attributes/session/{}/acr", session_id("s"));
    assert_eq!(fixture.call("PUT", &path, r#"{"value":"aal2"}"#).await.status, 200);
    assert_eq!(filter.ask(1, STRONG).await.outcome(), Outcome::Active);
    let lower = |jti: &str, sub_id: &Value| {
        let payload = json!({"current_level": "aal1", "change_direction": "decrease"});
        set(jti, &event("assurance-level-change", sub_id, payload))
    };
    assert_eq!(push(&fixture, &lower("1", &in_session("s"))).await.status, 202);
    assert_eq!(
        filter.ask(1, STRONG).await.outcome(),
        Outcome::StepUpRequired,
        "what was set before is no way around it"
    );
    assert_eq!(fixture.call("GET", &path, "").await.json()["value"], "aal1");
    assert_eq!(fixture.call("DELETE", &path, "").await.status, 200);
    assert_eq!(filter.ask(1, STRONG).await.outcome(), Outcome::Active);
    // A session that tokens do not name.
    assert_eq!(push(&fixture, &lower("2", &in_session("of the provider's own"))).await.status, 202);
    assert_eq!(filter.ask(1, STRONG).await.outcome(), Outcome::StepUpRequired);
    assert_eq!(filter.ask(2, STRONG).await.outcome(), Outcome::Active);
}
