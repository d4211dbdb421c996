//! Revocations of sessions and parties.

use super::*;

#[tokio::test]
async fn a_revocation_ends_live_sessions_and_refuses_unseen_ones() {
    let (fixture, id) = with_alice().await;
    let mut filter = fixture.filter().await;
    assert_eq!(filter.ask_new(token(1, "s2", T0)).await.outcome(), Outcome::Active);
    let made = fixture.call("POST", "/v1/revocations", r#"{"issuer":"https://id","subject":"alice"}"#).await;
    assert_eq!((made.status, &made.json()["revoked"]), (200, &json!(2)), "{made:?}");
    assert_eq!(filter.outcome(1).await, Outcome::Revoked);
    assert_eq!(filter.ask_new(token(2, "unseen", T0)).await.outcome(), Outcome::Revoked);
    assert_eq!(fixture.call("GET", &format!("/v1/sessions/{id}"), "").await.json()["reason"], "revoked");
    fixture.at(1000);
    assert_eq!(filter.ask_new(token(3, "new login", T0 + 1000)).await.outcome(), Outcome::Active);
    let body = r#"{"issuer":"https://id","client_id":"web","before":"2023-11-14T22:13:20.5Z"}"#;
    let made = fixture.call("POST", "/v1/revocations", body).await.json();
    assert_eq!((&made["revoked"], &made["before"]), (&json!(0), &json!("2023-11-14T22:13:20.5Z")));
}

#[tokio::test]
async fn a_revocation_that_matches_no_session_seen_so_far_says_so() {
    let (fixture, _) = with_alice().await;
    let seen = async |party: Value| {
        let mut body = json!({"issuer": "https://id", "before": "2001-01-01T00:00:00Z"});
        body.as_object_mut().unwrap().extend(party.as_object().unwrap().clone());
        let made = fixture.call("POST", "/v1/revocations", &body.to_string()).await.json();
        (made["revoked"].clone(), made["party_seen"].clone(), made["issuer_seen"].clone())
    };
    for (party, is_seen, issuer_is_seen) in [
        (json!({"subject": "alice"}), true, None),
        (json!({"client_id": "web"}), true, None),
        (json!({}), true, None),
        (json!({"subject": "Alice"}), false, Some(true)),
        (json!({"client_id": "wbe"}), false, Some(true)),
        (json!({"sid": "unseen"}), false, Some(true)),
        (json!({"issuer": "https://id/"}), false, Some(false)),
    ] {
        let expected = (json!(0), json!(is_seen), json!(issuer_is_seen));
        assert_eq!(seen(party.clone()).await, expected, "{party}");
    }
    // An ended session was seen as well, and after a restart it is only on disk.
    let body = r#"{"issuer":"https://id","subject":"alice"}"#;
    let made = fixture.call("POST", "/v1/revocations", body).await.json();
    assert_eq!((&made["revoked"], &made["party_seen"]), (&json!(1), &json!(true)));
    let fixture = Fixture::in_folder(fixture.stop().await, "").await;
    let again = fixture.call("POST", "/v1/revocations", body).await.json();
    assert_eq!((&again["revoked"], &again["party_seen"]), (&json!(0), &json!(true)));
}

#[tokio::test]
async fn a_sid_that_was_never_seen_is_revoked_and_the_revocation_is_listed_and_taken_back() {
    let fixture = Fixture::open().await;
    let mut filter = fixture.filter().await;
    let body = r#"{"issuer":"https://id","sid":"s1","reason":"lost laptop"}"#;
    let made = fixture.call("POST", "/v1/revocations", body).await.json();
    assert_eq!(filter.ask_new(token(1, "s1", T0)).await.outcome(), Outcome::Revoked);
    fixture.at(5000);
    assert_eq!(filter.ask_new(token(2, "s1", T0 + 5000)).await.outcome(), Outcome::Revoked, "refreshed");
    assert_eq!(filter.ask_new(token(3, "s2", T0)).await.outcome(), Outcome::Active);

    let listed = fixture.call("GET", "/v1/revocations", "").await.json();
    assert_eq!(listed["revocations"].as_array().unwrap().len(), 1);
    let entry = &listed["revocations"][0];
    assert_eq!((&entry["sid"], &entry["reason"], &entry["id"]), (&json!("s1"), &json!("lost laptop"), &made["id"]));
    let path = format!("/v1/revocations/{}", made["id"].as_str().unwrap());
    assert_eq!(fixture.call("DELETE", &path, "").await.json(), *entry);
    assert_eq!(fixture.call("GET", "/v1/revocations", "").await.json(), json!({"revocations": []}));
    assert_eq!(fixture.call("DELETE", &path, "").await.status, 404);
    assert_eq!(filter.outcome(1).await, Outcome::Active);
}

#[tokio::test]
async fn an_id_that_was_never_seen_is_revoked_and_the_revocation_is_listed_and_taken_back() {
    let fixture = Fixture::open().await;
    let mut filter = fixture.filter().await;
    let id = session_id("s1").to_string();
    let path = format!("/v1/sessions/{id}");
    let made = fixture.call("POST", &format!("{path}/revoke"), r#"{"reason":"lost laptop"}"#).await;
    assert_eq!((made.status, made.json()), (200, json!({"id": id, "known": false})));
    assert_eq!(filter.ask_new(token(1, "s1", T0)).await.outcome(), Outcome::Revoked);
    assert_eq!(filter.ask_new(token(2, "s2", T0)).await.outcome(), Outcome::Active);
    for (method, body) in [("GET", ""), ("PATCH", r#"{"scopes":[]}"#)] {
        assert_eq!(fixture.call(method, &path, body).await.status, 404, "{method}: it is still not a session");
    }

    let listed = fixture.call("GET", "/v1/revocations", "").await.json();
    let expected = json!([{
        "id": listed["revocations"][0]["id"], "session_id": id, "before": "2023-11-14T22:13:21Z",
        "made_at": "2023-11-14T22:13:20Z", "reason": "lost laptop", "by": "admin_credential",
    }]);
    assert_eq!(listed["revocations"], expected);
    fixture.at(5000);
    let later = Token { authenticated_at_ms: Some(T0 + 5000), ..token(3, "s1", T0 + 5000) };
    assert_eq!(filter.ask_new(later).await.outcome(), Outcome::Active, "a later login");
    assert_eq!(filter.ask_new(token(4, "s1", T0)).await.outcome(), Outcome::Revoked, "the first login stays revoked");
    let known = fixture.call("POST", &format!("{path}/revoke"), "").await.json();
    assert_eq!((&known["id"], &known["state"], known.get("known")), (&json!(id), &json!("ended"), None));

    let made = format!("/v1/revocations/{}", expected[0]["id"].as_str().unwrap());
    assert_eq!(fixture.call("DELETE", &made, "").await.json(), expected[0]);
    assert_eq!(fixture.call("GET", "/v1/revocations", "").await.json(), json!({"revocations": []}));
}

#[tokio::test]
async fn a_revocation_with_force_locks_a_party_out_until_it_is_taken_back() {
    let fixture = Fixture::open().await;
    let mut filter = fixture.filter().await;
    let forced = FAR.replace('}', r#","force":true}"#);
    let made = fixture.call("POST", "/v1/revocations", &forced).await;
    assert_eq!((made.status, &made.json()["before"]), (200, &json!("9999-12-30T00:00:00Z")));
    fixture.at(60 * MINUTE);
    assert_eq!(filter.ask_new(token(1, "s", T0 + 60 * MINUTE)).await.outcome(), Outcome::Revoked);
    let path = format!("/v1/revocations/{}", made.json()["id"].as_str().unwrap());
    assert_eq!(fixture.call("DELETE", &path, "").await.status, 200);
    assert_eq!(filter.outcome(1).await, Outcome::Active);
}

#[tokio::test]
async fn revocations_are_listed_in_pages() {
    let fixture = Fixture::open().await;
    for n in 0..25 {
        let body = json!({"issuer": "https://id", "subject": format!("s{n}")}).to_string();
        assert_eq!(fixture.call("POST", "/v1/revocations", &body).await.status, 200);
    }
    let (mut subjects, mut path) = (std::collections::HashSet::new(), "/v1/revocations?limit=10".to_owned());
    let mut pages = 0;
    loop {
        let page = fixture.call("GET", &path, "").await.json();
        pages += 1;
        subjects.extend(page["revocations"].as_array().unwrap().iter().map(|entry| entry["subject"].to_string()));
        match page["next"].as_str() {
            Some(next) => path = format!("/v1/revocations?limit=10&cursor={next}"),
            None => break,
        }
    }
    assert_eq!((subjects.len(), pages), (25, 3));
}
