//! Signals above the pace of their transmitter: durable, without effect, and for somebody to decide.

use super::*;

fn revoked(jti: &str, subject: &str) -> String {
    let sub_id = json!({"format": "iss_sub", "iss": "https://id", "sub": subject});
    set(jti, &json!({"sub_id": sub_id, "events": {format!("{CAEP}session-revoked"): {"reason_admin": "r"}}}))
}

async fn held(fixture: &Fixture, query: &str) -> Vec<Value> {
    let list = fixture.call("GET", &format!("/v1/signals/held{query}"), "").await.json();
    list["held"].as_array().unwrap_or_else(|| panic!("{list}")).clone()
}

async fn decide(fixture: &Fixture, id: &Value, what: &str) -> Answer {
    fixture.call("POST", &format!("/v1/signals/held/{}/{what}", id.as_str().unwrap()), "").await
}

#[tokio::test]
async fn above_its_pace_a_signal_waits_for_somebody_to_release_it_also_over_a_restart() {
    let settings = config(", hold_above: 1/min");
    let fixture = Fixture::with(&settings).await;
    let mut filter = with_sessions(&fixture).await;
    // What has no effect does not count, and what comes again neither.
    let unwanted = set("0", &about_alice(&format!("{RISC}recovery-activated")));
    assert_eq!(push(&fixture, &unwanted).await.status, 202);
    assert_eq!(push(&fixture, &revoked("1", "carol")).await.status, 202);
    assert_eq!(push(&fixture, &revoked("2", "alice")).await.status, 202);
    assert_eq!(push(&fixture, &revoked("2", "alice")).await.status, 202);
    assert_eq!(push(&fixture, &revoked("3", "bob")).await.status, 202);
    assert_eq!((filter.outcome(1).await, filter.outcome(2).await), (Outcome::Active, Outcome::Active));
    assert!(metric(&fixture, r#"portcullis_signals_held_total{transmitter="idp"} 2"#).await);

    let fixture = Fixture::in_folder(fixture.stop().await, &settings).await;
    let mut filter = fixture.filter().await;
    for (handle, sid, subject) in [(1, "s", "alice"), (2, "b", "bob")] {
        assert_eq!(filter.ask_new(of(handle, sid, subject, T0)).await.outcome(), Outcome::Active);
    }
    let all = held(&fixture, "").await;
    let [first, second] = &all[..] else { panic!("{all:?}") };
    assert_eq!(first["users"], json!([{"issuer": "https://id", "subject": "alice"}]));
    assert_eq!(
        (&first["event"], &first["actions"], &first["jti"]),
        (&json!("session-revoked"), &json!(["end"]), &json!("2"))
    );
    assert_eq!(first["reason"], "idp: session-revoked (r)");
    let status = fixture.call("GET", "/v1/signals/idp", "").await.json();
    assert_eq!((&status["held"], &status["held_since"]), (&json!(2), &first["received_at"]));
    let released = decide(&fixture, &first["id"], "release").await.json();
    assert_eq!((&released["fate"], &released["ended"]), (&json!("applied"), &json!(1)));
    assert_eq!((filter.outcome(1).await, filter.outcome(2).await), (Outcome::Revoked, Outcome::Active));
    assert_eq!(decide(&fixture, &second["id"], "drop").await.json()["fate"], "dropped");
    for (id, what) in [(&first["id"], "release"), (&second["id"], "release"), (&second["id"], "drop")] {
        assert_eq!(decide(&fixture, id, what).await.status, 404);
    }
    let fixture = Fixture::in_folder(fixture.stop().await, &settings).await;
    assert_eq!(held(&fixture, "").await, Vec::<Value>::new());
    // It was received: it does not come back with the next repetition.
    assert_eq!(push(&fixture, &revoked("3", "bob")).await.status, 202);
    let mut filter = fixture.filter().await;
    assert_eq!(filter.ask_new(of(2, "b", "bob", T0)).await.outcome(), Outcome::Active);
}

#[tokio::test]
async fn a_released_signal_acts_as_if_it_had_just_arrived() {
    let fixture = Fixture::with(&config(", hold_above: 1/min")).await;
    assert_eq!(push(&fixture, &revoked("1", "carol")).await.status, 202);
    assert_eq!(push(&fixture, &revoked("2", "alice")).await.status, 202);
    fixture.at(MINUTE);
    let mut filter = fixture.filter().await;
    assert_eq!(filter.ask_new(of(1, "s", "alice", T0 + MINUTE - 1)).await.outcome(), Outcome::Active);
    let id = held(&fixture, "?transmitter=idp&limit=1").await[0]["id"].clone();
    assert_eq!(held(&fixture, "?transmitter=other").await, Vec::<Value>::new());
    assert_eq!(decide(&fixture, &id, "release").await.json()["fate"], "applied");
    assert_eq!(filter.outcome(1).await, Outcome::Revoked);
}

#[tokio::test]
async fn a_signal_that_could_not_be_held_is_sent_again() {
    let fixture = Fixture::with(&config(", hold_above: 1/min")).await;
    assert_eq!(push(&fixture, &revoked("1", "carol")).await.status, 202);
    fixture.faults.fails.store(true, Ordering::SeqCst);
    assert_eq!(push(&fixture, &revoked("2", "alice")).await.status, 503);
    fixture.faults.fails.store(false, Ordering::SeqCst);
    assert_eq!(push(&fixture, &revoked("2", "alice")).await.status, 202);
    let id = held(&fixture, "").await[0]["id"].clone();
    fixture.faults.fails.store(true, Ordering::SeqCst);
    assert_eq!(decide(&fixture, &id, "release").await.status, 503);
    fixture.faults.fails.store(false, Ordering::SeqCst);
    assert_eq!(decide(&fixture, &id, "release").await.status, 200, "it is still held");
}

#[tokio::test]
async fn logouts_and_revocations_of_users_are_held_as_well_and_not_called_done() {
    let more = config("").replace("kind: backchannel_logout,", "kind: backchannel_logout, hold_above: 1/min,");
    let fixture =
        Fixture::with(&more.replace("global_token_revocation,", "global_token_revocation, hold_above: 1/min,")).await;
    let mut filter = with_sessions(&fixture).await;
    let to = fixture.signals.unwrap();
    for (subject, status) in [("carol", 204), ("bob", 202)] {
        let body = json!({"sub_id": {"format": "iss_sub", "iss": "https://id", "sub": subject}}).to_string();
        let answer = request(to, PUSHES, "application/json", "POST", "/signals/soc", &body).await;
        assert_eq!(answer.status, status, "{answer:?}");
    }
    for (sid, status) in [("x", 200), ("s", 202)] {
        let claims = json!({"iss": "https://id", "aud": "web", "iat": T0 / 1000, "exp": T0 / 1000 + 120, "jti": sid,
                            "sid": sid, "events": {"http://schemas.openid.net/event/backchannel-logout": {}}});
        let token = signed(&json!({"alg": "EdDSA", "kid": "t1", "typ": "logout+jwt"}), &claims);
        assert_eq!(post_form(to, "", "/signals/op", &format!("logout_token={token}")).await.status, status);
    }
    assert_eq!((filter.outcome(1).await, filter.outcome(2).await), (Outcome::Active, Outcome::Active));
    for signal in held(&fixture, "").await {
        assert_eq!(decide(&fixture, &signal["id"], "release").await.json()["fate"], "applied", "{signal}");
    }
    assert_eq!((filter.outcome(1).await, filter.outcome(2).await), (Outcome::Revoked, Outcome::Revoked));
}
