//! The admin API over HTTP.

use crate::client::{ADMIN, FILTER, http, session_id, token};
use crate::fixtures::{Fixture, MINUTE, PATIENCE, T0};
use portcullis_contract::wire::{Outcome, Token};
use portcullis_contract::{KeyKind, SessionId};
use serde_json::{Value, json};
use std::sync::atomic::Ordering;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

/// A revocation that would lock an issuer out.
const FAR: &str = r#"{"issuer":"https://id","before":"9999-12-30T00:00:00Z"}"#;

const ALICE: &str =
    r#"{"issuer":"https://id","key":"s1","subject":"alice","client_id":"web","scopes":["orders:read","openid"]}"#;

async fn with_alice() -> (Fixture, String) {
    let fixture = Fixture::open().await;
    let opened = fixture.call("POST", "/v1/sessions", ALICE).await;
    assert_eq!(opened.status, 200, "{opened:?}");
    let id = opened.json()["id"].as_str().unwrap().to_owned();
    (fixture, id)
}

#[tokio::test]
async fn nothing_but_health_answers_without_the_credential() {
    let fixture = Fixture::open().await;
    for path in ["/healthz", "/readyz"] {
        assert_eq!(http(fixture.admin, "", "GET", path, "").await.status, 200, "{path}");
    }
    for path in ["/metrics", "/v1/sessions", "/v1/events", "/v1/nothing", "/", "/v1/sessions/x/revoke"] {
        for wrong in ["", "Bearer wrong", &format!("Bearer {FILTER}"), &format!("Basic {ADMIN}"), ADMIN] {
            let refused = http(fixture.admin, wrong, "GET", path, "").await;
            assert_eq!((refused.status, refused.code().as_str()), (401, "unauthorized"), "{path} {wrong}");
            assert!(refused.head.contains("www-authenticate: bearer"), "{}", refused.head);
        }
    }
}

#[tokio::test]
async fn a_session_is_opened_read_and_listed_in_the_same_shape() {
    let (fixture, id) = with_alice().await;
    let expected = json!({
        "id": id, "issuer": "https://id", "kind": "claim", "key": "s1", "subject": "alice", "client_id": "web", "access": "default",
        "state": "active", "scopes": ["openid", "orders:read"], "granted": ["openid", "orders:read"],
        "opened_at": "2023-11-14T22:13:20Z", "login_at": "2023-11-14T22:13:20Z", "last_seen_at": "2023-11-14T22:13:20Z",
        "expires_at": "2023-11-15T06:13:20Z", "idle_expires_at": "2023-11-14T22:43:20Z",
    });
    assert_eq!(id, session_id("s1").to_string());
    assert_eq!(fixture.call("GET", &format!("/v1/sessions/{id}"), "").await.json(), expected);
    assert_eq!(fixture.call("GET", "/v1/sessions", "").await.json(), json!({"sessions": [expected]}));
    let again = fixture.call("POST", "/v1/sessions", ALICE).await;
    assert_eq!((again.status, again.code().as_str()), (409, "session_exists"));
}

#[tokio::test]
async fn an_opening_takes_an_access_type_and_a_start() {
    let fixture = Fixture::with("access: [{name: long, unlimited: true}, {name: short, absolute: 1h}]").await;
    let body = r#"{"issuer":"i","key":"k","access":"short","auth_time":"2023-11-14T22:00:00Z"}"#;
    let opened = fixture.call("POST", "/v1/sessions", body).await.json();
    assert_eq!(
        (&opened["opened_at"], &opened["expires_at"]),
        (&json!("2023-11-14T22:00:00Z"), &json!("2023-11-14T23:00:00Z"))
    );
    let opened =
        fixture.call("POST", "/v1/sessions", r#"{"issuer":"i","key":"l","auth_time":1699999000}"#).await.json();
    assert_eq!(opened["opened_at"], "2023-11-14T21:56:40Z");
    assert_eq!((opened["access"].as_str(), opened.get("expires_at")), (Some("long"), Some(&json!(null))));
    assert!(opened.get("idle_expires_at").is_none());
}

#[tokio::test]
async fn what_is_wrong_with_a_request_is_named() {
    let (fixture, id) = with_alice().await;
    let one = format!("/v1/sessions/{id}");
    let revoke = format!("{one}/revoke");
    let unknown = format!("/v1/sessions/{}", SessionId::of(KeyKind::Claim, "no", "one", ""));
    let big = format!("{{\"issuer\":\"{}\"}}", "x".repeat(70_000));
    let rows = [
        ("POST", "/v1/sessions", r#"{"issuer":"i","key":"k","bogus":1}"#, 400, "invalid_request", "`bogus`"),
        ("POST", "/v1/sessions", r#"{"issuer":"i"}"#, 400, "invalid_request", "`key`"),
        ("POST", "/v1/sessions", r#"{"issuer":"","key":"k"}"#, 400, "invalid_request", "`issuer`"),
        ("POST", "/v1/sessions", r#"{"issuer":"i","key":"k","scopes":["a b"]}"#, 400, "invalid_request", "`a b`"),
        ("POST", "/v1/sessions", r#"{"issuer":"i","key":"k","access":"none"}"#, 400, "invalid_request", "`none`"),
        ("POST", "/v1/sessions", r#"{"issuer":"i","key":"k","auth_time":"noon"}"#, 400, "invalid_request", "noon"),
        ("POST", "/v1/sessions", "nonsense", 400, "invalid_request", "line 1"),
        ("POST", "/v1/sessions", "", 400, "invalid_request", "`issuer`"),
        ("POST", "/v1/sessions", big.as_str(), 413, "body_too_large", "65536"),
        ("DELETE", one.as_str(), "", 405, "method_not_allowed", "DELETE"),
        ("GET", "/v1/nothing", "", 404, "not_found", "/v1/nothing"),
        ("GET", unknown.as_str(), "", 404, "not_found", "session"),
        ("GET", "/v1/sessions/not-an-id", "", 404, "not_found", "session"),
        ("POST", "/v1/sessions/not-an-id/revoke", "", 404, "not_found", "session"),
        ("PATCH", unknown.as_str(), r#"{"scopes":[]}"#, 404, "not_found", "session"),
        ("POST", revoke.as_str(), r#"{"why":"x"}"#, 400, "invalid_request", "`why`"),
        ("PATCH", one.as_str(), r#"{"scopes":["admin"]}"#, 409, "scopes_beyond_grant", "`admin`"),
        ("PATCH", one.as_str(), "{}", 400, "invalid_request", "`scopes`"),
        ("PATCH", one.as_str(), r#"{"scopes":null,"remove":["openid"]}"#, 400, "invalid_request", "either"),
        ("PATCH", one.as_str(), r#"{"remove":["openid"],"restore":["openid"]}"#, 400, "invalid_request", "`openid`"),
        ("PATCH", one.as_str(), r#"{"remove":["orders:raed"]}"#, 409, "scopes_beyond_grant", "`orders:raed`"),
        ("PATCH", unknown.as_str(), r#"{"remove":["openid"]}"#, 404, "not_found", "session"),
        ("POST", "/v1/narrowings", r#"{"issuer":"i","subject":""}"#, 400, "invalid_request", "empty"),
        ("POST", "/v1/narrowings", r#"{"issuer":"i","subject":"a"}"#, 400, "invalid_request", "`remove`"),
        ("POST", "/v1/narrowings", r#"{"issuer":"i","remove":["a"]}"#, 400, "invalid_request", "`subject`"),
        ("GET", "/v1/sessions?id_prefix=XY", "", 400, "invalid_request", "id_prefix"),
        ("GET", "/v1/sessions?order=oldest", "", 400, "invalid_request", "order"),
        ("GET", "/v1/sessions?order=newest&cursor=00", "", 400, "invalid_request", "cursor"),
        ("GET", "/v1/sessions?limit=0", "", 400, "invalid_request", "limit"),
        ("GET", "/v1/sessions?limit=1001", "", 400, "invalid_request", "limit"),
        ("GET", "/v1/sessions?state=old", "", 400, "invalid_request", "state"),
        ("GET", "/v1/sessions?cursor=x", "", 400, "invalid_request", "cursor"),
        ("GET", "/v1/sessions?user=x", "", 400, "invalid_request", "`user`"),
        ("POST", "/v1/revocations", r#"{"subject":"a"}"#, 400, "invalid_request", "`issuer`"),
        (
            "POST",
            "/v1/revocations",
            r#"{"issuer":"i","subject":"a","client_id":"b"}"#,
            400,
            "invalid_request",
            "at most one",
        ),
        ("POST", "/v1/revocations", r#"{"issuer":"i","subject":""}"#, 400, "invalid_request", "empty"),
        ("POST", "/v1/revocations", r#"{"issuer":"i","sid":""}"#, 400, "invalid_request", "empty"),
        ("POST", "/v1/revocations", FAR, 400, "invalid_request", "`force`"),
        ("GET", "/v1/revocations?limit=0", "", 400, "invalid_request", "limit"),
        ("DELETE", "/v1/revocations/00", "", 404, "not_found", "no revocation"),
    ];
    for (method, path, body, status, code, named) in rows {
        let answer = fixture.call(method, path, body).await;
        let shown = &body[..body.len().min(60)];
        assert_eq!((answer.status, answer.code().as_str()), (status, code), "{method} {path} {shown}");
        assert!(answer.text.contains(named), "{method} {path} {shown}: {}", answer.text);
    }
}

#[tokio::test]
async fn revoking_again_moves_the_end_which_stays_final() {
    let (fixture, id) = with_alice().await;
    fixture.at(5);
    let path = format!("/v1/sessions/{id}/revoke");
    let first = fixture.call("POST", &path, r#"{"reason":"lost laptop"}"#).await;
    let first_json = first.json();
    assert_eq!((first.status, &first_json["state"], &first_json["reason"]), (200, &json!("ended"), &json!("revoked")));
    assert_eq!(first_json["ended_at"], "2023-11-14T22:13:21.005Z");
    fixture.at(10);
    let again = fixture.call("POST", &path, "").await;
    let moved = json!("2023-11-14T22:13:21.01Z");
    assert_eq!((again.status, &again.json()["ended_at"], &again.json()["id"]), (200, &moved, &json!(id)));
    for (method, path, body) in
        [("POST", "/v1/sessions".to_owned(), ALICE), ("PATCH", format!("/v1/sessions/{id}"), r#"{"scopes":[]}"#)]
    {
        let refused = fixture.call(method, &path, body).await;
        assert_eq!((refused.status, refused.code().as_str()), (409, "session_ended"));
    }
}

#[tokio::test]
async fn scopes_are_narrowed_and_restored_for_the_next_verdict() {
    let (fixture, id) = with_alice().await;
    let mut filter = fixture.filter().await;
    assert_eq!(filter.ask_new(token(1, "s1", T0)).await.narrowed, None);
    let path = format!("/v1/sessions/{id}");
    let narrowed = fixture.call("PATCH", &path, r#"{"scopes":["openid"]}"#).await.json();
    assert_eq!(narrowed["scopes"], json!(["openid"]));
    assert_eq!(filter.ask(1, 0).await.narrowed.unwrap().scopes, ["openid"]);
    // Said again, it is no restoration, and nor is all that a session was granted.
    fixture.call("PATCH", &path, r#"{"scopes":["openid"]}"#).await;
    assert_eq!(filter.ask(1, 0).await.narrowed.unwrap().scopes, ["openid"]);
    assert_eq!(fixture.call("PATCH", &path, r#"{"scopes":null}"#).await.status, 200);
    assert_eq!(filter.ask(1, 0).await.narrowed, None);
}

#[tokio::test]
async fn scopes_are_left_to_a_party_as_given_even_if_they_are_all_that_one_session_was_granted() {
    let (fixture, id) = with_alice().await;
    let path = format!("/v1/sessions/{id}");
    fixture.call("PATCH", &path, r#"{"scopes":["openid","orders:read"]}"#).await;
    let mut filter = fixture.filter().await;
    let mut more = token(1, "s2", T0);
    more.scopes.push("admin".to_owned());
    assert_eq!(filter.ask_new(more).await.narrowed.unwrap().scopes, ["openid", "orders:read"]);
}

#[tokio::test]
async fn scopes_are_taken_and_given_back_one_by_one_without_undoing_another_callers_change() {
    let (fixture, id) = with_alice().await;
    let mut filter = fixture.filter().await;
    filter.ask_new(token(1, "s1", T0)).await;
    let path = format!("/v1/sessions/{id}");
    let both = [r#"{"remove":["openid"],"reason":"ticket 1"}"#, r#"{"remove":["orders:read"]}"#];
    let changes = both.map(|body| fixture.call("PATCH", &path, body));
    for changed in futures_util::future::join_all(changes).await {
        assert_eq!(changed.status, 200, "{changed:?}");
    }
    assert_eq!(filter.ask(1, 0).await.narrowed.unwrap().scopes, [""; 0]);
    let restored = fixture.call("PATCH", &path, r#"{"restore":["openid"]}"#).await.json();
    assert_eq!(restored["scopes"], json!(["openid"]));
    assert_eq!(filter.ask(1, 0).await.narrowed.unwrap().scopes, ["openid"]);
    // `scopes` sets all of it, as before.
    let lifted = fixture.call("PATCH", &path, r#"{"scopes":null}"#).await.json();
    assert_eq!(lifted["scopes"], json!(["openid", "orders:read"]));
    assert_eq!(fixture.call("GET", "/v1/narrowings", "").await.json(), json!({"narrowings": []}));
}

#[tokio::test]
async fn scopes_are_taken_from_a_subject_that_was_never_seen_and_the_narrowing_is_listed() {
    let fixture = Fixture::open().await;
    let body = r#"{"issuer":"https://id","subject":"alice","remove":["orders:read"]}"#;
    let made = fixture.call("POST", "/v1/narrowings", body).await.json();
    assert_eq!((&made["party_seen"], made.get("client_id")), (&json!(false), None));
    let mut filter = fixture.filter().await;
    assert_eq!(filter.ask_new(token(1, "s1", T0)).await.narrowed.unwrap().scopes, ["openid"]);
    let one = r#"{"issuer":"https://id","subject":"alice","client_id":"web","restore":["orders:read"]}"#;
    let refused = fixture.call("POST", "/v1/narrowings", one).await;
    assert_eq!((refused.status, refused.code().as_str()), (409, "narrowed_for_every_client"));
    let listed = fixture.call("GET", "/v1/narrowings", "").await.json();
    assert_eq!(listed["narrowings"][0]["removed"], json!(["orders:read"]));
    assert_eq!(listed["narrowings"][0]["id"], made["id"]);
    let fixture = Fixture::in_folder(fixture.stop().await, "").await;
    assert_eq!(fixture.call("GET", "/v1/narrowings", "").await.json(), listed);
    let restored = fixture.call("POST", "/v1/narrowings", &body.replace("remove", "restore")).await.json();
    assert_eq!((&restored["removed"], &restored["party_seen"]), (&json!([]), &json!(true)));
    assert_eq!(fixture.call("GET", "/v1/narrowings", "").await.json(), json!({"narrowings": []}));
}

#[tokio::test]
async fn a_list_begins_with_the_newest_session_and_is_narrowed_to_a_prefix_on_demand() {
    let fixture = Fixture::open().await;
    let mut filter = fixture.filter().await;
    for n in 0..12 {
        fixture.at(n);
        filter.ask_new(token(u32::try_from(n).unwrap(), &format!("s{n}"), T0 + n)).await;
    }
    let (mut keys, mut path) = (Vec::new(), "/v1/sessions?order=newest&limit=5".to_owned());
    loop {
        let page = fixture.call("GET", &path, "").await.json();
        keys.extend(page["sessions"].as_array().unwrap().iter().map(|s| s["key"].as_str().unwrap().to_owned()));
        match page["next"].as_str() {
            Some(next) => path = format!("/v1/sessions?order=newest&limit=5&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(keys, (0..12).rev().map(|n| format!("s{n}")).collect::<Vec<_>>());
    let id = session_id("s3").to_string();
    let found = fixture.call("GET", &format!("/v1/sessions?id_prefix={}", &id[..10]), "").await.json();
    assert_eq!((found["sessions"].as_array().unwrap().len(), &found["sessions"][0]["id"]), (1, &json!(id)));
}

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
        "made_at": "2023-11-14T22:13:20Z", "reason": "lost laptop",
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

#[tokio::test]
async fn a_block_refuses_its_party_from_the_200_on_and_is_listed_and_taken_back() {
    let (fixture, id) = with_alice().await;
    let mut filter = fixture.filter().await;
    assert_eq!(filter.ask_new(token(1, "s2", T0)).await.outcome(), Outcome::Active);
    let body = r#"{"issuer":"https://id","subject":"alice","reason":"ticket 1"}"#;
    let made = fixture.call("POST", "/v1/blocks", body).await;
    assert_eq!((made.status, &made.json()["party_seen"]), (200, &json!(true)), "{made:?}");
    assert_eq!(filter.outcome(1).await, Outcome::Blocked);
    assert_eq!(filter.ask_new(token(2, "unseen", T0)).await.outcome(), Outcome::Blocked);
    // It ends nothing.
    assert_eq!(fixture.call("GET", &format!("/v1/sessions/{id}"), "").await.json()["state"], "active");
    let metrics = fixture.call("GET", "/metrics", "").await.text;
    assert!(metrics.contains("portcullis_blocks 1") && metrics.contains(r#"{outcome="blocked"} 2"#), "{metrics}");

    let listed = fixture.call("GET", "/v1/blocks", "").await.json();
    let [entry] = &listed["blocks"].as_array().unwrap()[..] else { panic!("not one: {listed}") };
    assert_eq!(
        (&entry["subject"], &entry["reason"], &entry["id"]),
        (&json!("alice"), &json!("ticket 1"), &made.json()["id"])
    );
    assert_eq!(entry.get("until"), None);
    let fixture = Fixture::in_folder(fixture.stop().await, "").await;
    let mut filter = fixture.filter().await;
    assert_eq!(filter.ask_new(token(1, "s2", T0)).await.outcome(), Outcome::Blocked, "after a restart");
    let path = format!("/v1/blocks/{}", made.json()["id"].as_str().unwrap());
    assert_eq!(fixture.call("DELETE", &path, "").await.json(), *entry);
    assert_eq!(fixture.call("GET", "/v1/blocks", "").await.json(), json!({"blocks": []}));
    assert_eq!(fixture.call("DELETE", &path, "").await.status, 404);
    assert_eq!(filter.outcome(1).await, Outcome::Active);
}

#[tokio::test]
async fn a_block_runs_out_and_the_latest_call_stands_and_shows_what_it_replaced() {
    let fixture = Fixture::open().await;
    let mut filter = fixture.filter().await;
    let block = async |until: &str| {
        let body = json!({"issuer": "https://id", "client_id": "web", "until": until});
        fixture.call("POST", "/v1/blocks", &body.to_string()).await.json()
    };
    let first = block("2023-11-14T23:13:20Z").await;
    assert_eq!((first.get("replaced"), &first["party_seen"]), (None, &json!(false)));
    let second = block("2023-11-14T22:13:21Z").await;
    assert_eq!(second["until"], "2023-11-14T22:13:21Z", "the shorter one stands");
    assert_eq!((&second["replaced"]["until"], &second["id"]), (&first["until"], &first["id"]));
    fixture.at(999);
    assert_eq!(filter.ask_new(token(1, "s", T0)).await.outcome(), Outcome::Blocked);
    fixture.at(1000);
    assert_eq!(filter.outcome(1).await, Outcome::Active);
    assert_eq!(fixture.call("GET", "/v1/blocks", "").await.json(), json!({"blocks": []}));
    let path = format!("/v1/blocks/{}", second["id"].as_str().unwrap());
    assert_eq!(fixture.call("DELETE", &path, "").await.status, 404, "it has run out");
}

#[tokio::test]
async fn a_block_that_names_nobody_everybody_or_the_past_is_refused() {
    let fixture = Fixture::open().await;
    for (body, words) in [
        (json!({"issuer": "https://id"}), "specify one of"),
        (json!({"issuer": "https://id", "subject": "a", "sid": "b"}), "at most one of"),
        (json!({"issuer": "https://id", "subject": ""}), "must not be empty"),
        (json!({"issuer": "", "subject": "a"}), "must not be empty"),
        (json!({"subject": "a"}), "issuer"),
        (json!({"issuer": "https://id", "subject": "a", "before": "2023-11-14T22:13:20Z"}), "before"),
        (json!({"issuer": "https://id", "subject": "a", "until": "2023-11-14T22:13:20Z"}), "has passed already"),
        (json!({"issuer": "https://id", "subject": "a", "until": "soon"}), "until"),
    ] {
        let refused = fixture.call("POST", "/v1/blocks", &body.to_string()).await;
        assert_eq!((refused.status, refused.code().as_str()), (400, "invalid_request"), "{body}");
        assert!(refused.text.contains(words) || refused.text.contains("expected"), "{body}: {refused:?}");
    }
    assert_eq!(fixture.call("GET", "/v1/blocks", "").await.json(), json!({"blocks": []}));
}

#[tokio::test]
async fn blocks_are_listed_in_pages() {
    let fixture = Fixture::open().await;
    for n in 0..25 {
        let body = json!({"issuer": "https://id", "sid": format!("s{n}")}).to_string();
        assert_eq!(fixture.call("POST", "/v1/blocks", &body).await.status, 200);
    }
    let (mut sids, mut path) = (std::collections::HashSet::new(), "/v1/blocks?limit=10".to_owned());
    let mut pages = 0;
    loop {
        let page = fixture.call("GET", &path, "").await.json();
        pages += 1;
        sids.extend(page["blocks"].as_array().unwrap().iter().map(|entry| entry["sid"].to_string()));
        match page["next"].as_str() {
            Some(next) => path = format!("/v1/blocks?limit=10&cursor={next}"),
            None => break,
        }
    }
    assert_eq!((sids.len(), pages), (25, 3));
}

#[tokio::test]
async fn a_change_that_is_not_durable_in_five_seconds_is_answered_503_and_safe_to_repeat() {
    let (fixture, id) = with_alice().await;
    let path = format!("/v1/sessions/{id}/revoke");
    fixture.faults.slow_writes.shut(true);
    let late = fixture.call("POST", &path, "").await;
    fixture.faults.slow_writes.shut(false);
    assert_eq!((late.status, late.code().as_str()), (503, "store_unavailable"), "{late:?}");
    assert!(late.text.contains("safe to repeat"), "{late:?}");
    assert_eq!(fixture.call("POST", &path, "").await.status, 200);
}

#[tokio::test]
async fn a_list_is_filtered_and_paged() {
    let fixture = Fixture::open().await;
    let mut filter = fixture.filter().await;
    for n in 0..25 {
        filter.ask_new(token(n, &format!("s{n}"), T0)).await;
    }
    fixture.call("POST", "/v1/sessions", r#"{"issuer":"i","key":"k","subject":"bob","client_id":"app"}"#).await;
    let (mut keys, mut path) = (Vec::new(), "/v1/sessions?subject=alice&limit=10".to_owned());
    loop {
        let page = fixture.call("GET", &path, "").await.json();
        keys.extend(page["sessions"].as_array().unwrap().iter().map(|s| s["key"].to_string()));
        match page["next"].as_str() {
            Some(next) => path = format!("/v1/sessions?subject=alice&limit=10&cursor={next}"),
            None => break,
        }
    }
    keys.sort();
    keys.dedup();
    assert_eq!(keys.len(), 25);
    let count = |answer: serde_json::Value| answer["sessions"].as_array().unwrap().len();
    assert_eq!(count(fixture.call("GET", "/v1/sessions?client_id=app", "").await.json()), 1);
    assert_eq!(count(fixture.call("GET", "/v1/sessions?sid=s7", "").await.json()), 1);
    fixture.at(30 * MINUTE);
    assert_eq!(count(fixture.call("GET", "/v1/sessions?state=active", "").await.json()), 0);
    assert_eq!(
        count(fixture.call("GET", "/v1/sessions?subject=&client_id=&state=ended&limit=&cursor=", "").await.json()),
        26
    );
}

#[tokio::test]
async fn a_store_that_cannot_write_is_told_and_changes_nothing() {
    let (fixture, id) = with_alice().await;
    let mut filter = fixture.filter().await;
    filter.ask_new(token(1, "s1", T0)).await;
    fixture.faults.fails.store(true, Ordering::SeqCst);
    for (method, path, body) in [
        ("POST", format!("/v1/sessions/{id}/revoke"), ""),
        ("PATCH", format!("/v1/sessions/{id}"), r#"{"scopes":[]}"#),
        ("PATCH", format!("/v1/sessions/{id}"), r#"{"remove":["openid"]}"#),
        ("POST", "/v1/narrowings".to_owned(), r#"{"issuer":"https://id","subject":"alice","remove":["openid"]}"#),
        ("POST", "/v1/revocations".to_owned(), r#"{"issuer":"https://id"}"#),
        ("POST", "/v1/blocks".to_owned(), r#"{"issuer":"https://id","subject":"alice"}"#),
        ("POST", "/v1/sessions".to_owned(), r#"{"issuer":"i","key":"k"}"#),
    ] {
        let refused = fixture.call(method, &path, body).await;
        assert_eq!((refused.status, refused.code().as_str()), (503, "store_unavailable"), "{path}");
        assert!(!refused.text.contains("/secret/path"), "{refused:?}");
    }
    assert_eq!(http(fixture.admin, "", "GET", "/readyz", "").await.status, 503);
    let verdict = filter.ask(1, 0).await;
    assert_eq!((verdict.outcome(), verdict.narrowed), (Outcome::Active, None));
    fixture.faults.fails.store(false, Ordering::SeqCst);
    assert_eq!(fixture.call("POST", &format!("/v1/sessions/{id}/revoke"), "").await.status, 200);
    assert_eq!(http(fixture.admin, "", "GET", "/readyz", "").await.status, 200);
}

/// A listener of the events, and what it has read.
struct Listener {
    lines: BufReader<TcpStream>,
    read: String,
}

impl Listener {
    /// Connects, with more headers, and waits until it is served.
    async fn open(fixture: &Fixture, headers: &str) -> Self {
        Self::open_at(fixture, "/v1/events", headers).await
    }

    async fn open_at(fixture: &Fixture, path: &str, headers: &str) -> Self {
        let mut lines = BufReader::new(TcpStream::connect(fixture.admin).await.unwrap());
        let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {ADMIN}\r\n{headers}\r\n");
        lines.get_mut().write_all(request.as_bytes()).await.unwrap();
        let mut listener = Self { lines, read: String::new() };
        listener.until("text/event-stream").await;
        listener.until("id: ").await;
        listener
    }

    async fn until(&mut self, wanted: &str) {
        let reading = async {
            while !self.read.contains(wanted) {
                assert!(self.lines.read_line(&mut self.read).await.unwrap() > 0, "{}", self.read);
            }
        };
        tokio::time::timeout(PATIENCE, reading).await.unwrap_or_else(|_| panic!("no {wanted}"));
    }

    /// Leaves; gives the header to come back with.
    fn leave(self) -> String {
        let last = self.read.lines().rev().find_map(|line| line.strip_prefix("id: "));
        format!("last-event-id: {}\r\n", last.expect("events have ids"))
    }
}

#[tokio::test]
async fn events_tell_what_opens_ends_and_is_refused() {
    let fixture = Fixture::open().await;
    let mut listener = Listener::open(&fixture, "").await;
    let mut filter = fixture.filter().await;
    filter.ask_new(token(1, "s1", T0)).await;
    listener.until("event: opened\n").await;
    let id = session_id("s1");
    fixture.call("POST", &format!("/v1/sessions/{id}/revoke"), "").await;
    listener.until("event: ended\n").await;
    listener.until("event: session_revoked\n").await;
    filter.ask(1, 0).await;
    listener.until("event: refused\n").await;
    listener.until("\"outcome\":\"revoked\"").await;
    filter.close();
    // An open listener does not keep the service from stopping.
    fixture.stop().await;
}

#[tokio::test]
async fn a_listener_that_comes_back_reads_what_it_missed_and_after_a_restart_that_it_missed_some() {
    let fixture = Fixture::open().await;
    // It leaves without having read one event.
    let came_from = Listener::open(&fixture, "").await.leave();
    let mut filter = fixture.filter().await;
    filter.ask_new(token(1, "s1", T0)).await;
    let id = session_id("s1");
    fixture.call("POST", &format!("/v1/sessions/{id}/revoke"), "").await;
    let mut listener = Listener::open(&fixture, &came_from).await;
    listener.until("event: ended\n").await;
    listener.until(&format!("\"session\":\"{id}\"")).await;
    assert!(listener.read.contains("event: opened\n") && !listener.read.contains("lagged"), "{}", listener.read);
    listener.until("\"reason\":\"revoked\"").await;
    listener.until("\nid: ").await;
    let came_from = listener.leave();
    filter.close();

    let fixture = Fixture::in_folder(fixture.stop().await, "").await;
    let mut listener = Listener::open(&fixture, &came_from).await;
    listener.until("event: lagged\n").await;
    listener.until("\"missed\":null").await;
    assert!(listener.read.contains("\"held_since\":\"2023-11-14T22:13:20"), "{}", listener.read);
}

#[tokio::test]
async fn a_listener_reads_what_happened_since_an_instant_and_is_told_if_some_is_not_held() {
    let fixture = Fixture::open().await;
    let mut filter = fixture.filter().await;
    filter.ask_new(token(1, "before", T0)).await;
    fixture.at(10_000);
    filter.ask_new(token(2, "after", T0)).await;
    let (before, after) = (session_id("before").to_string(), session_id("after").to_string());
    let mut listener = Listener::open_at(&fixture, "/v1/events?since=2023-11-14T22:13:25Z", "").await;
    listener.until(&after).await;
    assert!(!listener.read.contains(&before) && !listener.read.contains("lagged"), "{}", listener.read);
    // It comes back to the same address, and reads nothing twice.
    listener.read.clear();
    listener.until("id: ").await;
    let mut listener = Listener::open_at(&fixture, "/v1/events?since=2023-11-14T22:13:25Z", &listener.leave()).await;
    fixture.call("POST", &format!("/v1/sessions/{after}/revoke"), "").await;
    listener.until("event: ended\n").await;
    assert!(!listener.read.contains("event: opened"), "{}", listener.read);
    let mut listener = Listener::open_at(&fixture, "/v1/events?since=2001-01-01T00:00:00Z", "").await;
    listener.until("event: lagged\n").await;
    listener.until("\"held_since\":\"2023-11-14T22:13:20").await;
    listener.until(&before).await;
    let wrong = fixture.call("GET", "/v1/events?since=yesterday", "").await;
    assert_eq!((wrong.status, wrong.code().as_str()), (400, "invalid_request"), "{wrong:?}");
    filter.close();
}

#[tokio::test]
async fn the_history_of_a_session_has_what_was_done_to_it_and_to_its_party() {
    let fixture = Fixture::open().await;
    let mut filter = fixture.filter().await;
    filter.ask_new(token(1, "s1", T0)).await;
    filter.ask_new(token(2, "s2", T0)).await;
    let id = session_id("s1");
    let party = r#"{"issuer":"https://id","subject":"alice","remove":["openid"],"reason":"ticket 4711"}"#;
    assert_eq!(fixture.call("POST", "/v1/narrowings", party).await.status, 200);
    let shown = fixture.call("GET", &format!("/v1/sessions/{id}"), "").await.json();
    let narrowing = &shown["narrowings"][0];
    assert_eq!((&narrowing["removed"], &narrowing["reason"]), (&json!(["openid"]), &json!("ticket 4711")), "{shown}");
    assert!(narrowing["made_at"].as_str().is_some_and(|at| at.starts_with("2023-11-14T22:13:20")), "{shown}");
    assert_eq!(shown["granted"].as_array().unwrap().len(), shown["scopes"].as_array().unwrap().len() + 1, "{shown}");
    assert_eq!(
        fixture.call("POST", "/v1/narrowings", &party.replace("remove", "restore")).await.json().get("made_at"),
        None,
        "nothing is taken any more"
    );
    fixture.call("POST", &format!("/v1/sessions/{id}/revoke"), r#"{"reason":"lost laptop"}"#).await;
    filter.ask(1, 0).await;
    let history = fixture.call("GET", &format!("/v1/sessions/{id}/events"), "").await.json();
    let events = history["events"].as_array().unwrap();
    let names: Vec<_> = events.iter().map(|event| event["event"].as_str().unwrap()).collect();
    let expected = ["opened", "scopes_narrowed", "scopes_restored", "ended", "session_revoked", "refused"];
    assert_eq!(names, expected, "{history}");
    assert_eq!(events[1]["stated_reason"], "ticket 4711");
    assert_eq!((&events[3]["reason"], &events[3]["by"]), (&json!("revoked"), &json!("admin")));
    assert_eq!(events[4]["stated_reason"], "lost laptop");
    assert_eq!(events[5]["outcome"], "revoked");
    assert!(history["held_since"].is_string());
    let unknown = fixture.call("GET", &format!("/v1/sessions/{}/events", "0".repeat(32)), "").await;
    assert_eq!(unknown.status, 404);
    filter.close();
}

#[tokio::test]
async fn connections_that_say_nothing_leave_room_for_health() {
    let fixture = Fixture::open().await;
    let mut silent = Vec::new();
    // Nothing, and a preface of HTTP/2 that is never finished.
    for said in ["", "PRI * HTTP/2.0\r\n"].iter().cycle().take(600) {
        let mut connection = TcpStream::connect(fixture.admin).await.unwrap();
        connection.write_all(said.as_bytes()).await.unwrap();
        silent.push(connection);
    }
    let health = tokio::time::timeout(PATIENCE / 4, http(fixture.admin, "", "GET", "/healthz", "")).await;
    assert_eq!(health.expect("silent connections keep health away").status, 200);
    // They are closed, though nobody needs their place.
    let mut last = silent.pop().unwrap();
    let closed = tokio::time::timeout(PATIENCE, last.read(&mut [0; 64])).await.expect("it stays open");
    assert!(matches!(closed, Ok(0) | Err(_)), "{closed:?}");
}
