//! The admin API over HTTP.

mod attributes;
mod blocks;
mod events;
mod revocations;
mod usage;

use crate::client::{ADMIN, FILTER, http, session_id, token};
use crate::fixtures::{Faults, Fixture, MINUTE, PATIENCE, T0};
use portcullis_contract::wire::{Outcome, Token};
use portcullis_contract::{KeyKind, SessionId};
use portcullis_session::Failure;
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::time::Duration;
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
    assert_eq!((&made["by"], &listed["narrowings"][0]["by"]), (&json!("admin_credential"), &made["by"]));
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

/// How often the revocation of that session was counted, and how often it is among the session's events.
async fn reported(fixture: &Fixture, id: &str) -> (u64, usize) {
    let metrics = fixture.call("GET", "/metrics", "").await.text;
    let counted = metrics.lines().find_map(|line| line.strip_prefix("portcullis_revocations_total{of=\"session\"} "));
    let events = fixture.call("GET", &format!("/v1/sessions/{id}/events"), "").await.text;
    (counted.unwrap().parse().unwrap(), events.matches("\"session_revoked\"").count())
}

#[tokio::test]
async fn a_revocation_is_counted_and_audited_when_it_holds_whatever_its_caller_was_told_and_not_before() {
    let (fixture, id) = with_alice().await;
    let path = format!("/v1/sessions/{id}/revoke");
    fixture.faults.fails.store(true, Ordering::SeqCst);
    assert_eq!(fixture.call("POST", &path, "").await.status, 503);
    assert_eq!(reported(&fixture, &id).await, (0, 0), "the disk has refused it");
    fixture.faults.fails.store(false, Ordering::SeqCst);

    fixture.faults.slow_writes.shut(true);
    assert_eq!(fixture.call("POST", &path, "").await.status, 503);
    assert_eq!(reported(&fixture, &id).await, (0, 0), "it is not on disk yet");
    fixture.faults.slow_writes.shut(false);
    let holds = async { while reported(&fixture, &id).await != (1, 1) {} };
    tokio::time::timeout(PATIENCE, holds).await.expect("it holds, and nobody says so");
    assert_eq!(fixture.call("GET", &format!("/v1/sessions/{id}"), "").await.json()["reason"], "revoked");

    assert_eq!(fixture.call("POST", &path, "").await.status, 200);
    assert_eq!(reported(&fixture, &id).await, (2, 2));
}

#[tokio::test]
async fn lists_that_read_every_ended_session_are_made_one_at_a_time() {
    let fixture = Fixture::open().await;
    let Faults { slow_lists, lists, .. } = &*fixture.faults;
    slow_lists.shut(true);
    let list = || fixture.call("GET", "/v1/sessions?order=newest", "");
    let (of_two, entered) = (async { tokio::join!(list(), list()) }, async {
        while lists.load(Ordering::SeqCst) == 0 {
            tokio::task::yield_now().await;
        }
        let second = async {
            while lists.load(Ordering::SeqCst) < 2 {
                tokio::task::yield_now().await;
            }
        };
        let at_once = tokio::time::timeout(Duration::from_millis(300), second).await;
        slow_lists.shut(false);
        at_once
    });
    let ((first, second), at_once) = tokio::join!(of_two, entered);
    assert!(at_once.is_err(), "two read at once");
    assert_eq!((first.status, second.status, lists.load(Ordering::SeqCst)), (200, 200, 2));
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

#[tokio::test]
async fn a_writer_that_dies_ends_the_service_and_its_caller_is_not_told_that_anything_holds() {
    let (mut fixture, id) = with_alice().await;
    fixture.faults.panics.store(true, Ordering::SeqCst);
    let refused = fixture.call("POST", &format!("/v1/sessions/{id}/revoke"), "").await;
    assert_eq!((refused.status, refused.code().as_str()), (503, "store_unavailable"), "{refused:?}");
    let ended = fixture.ended().await;
    assert!(matches!(ended, Err(Failure::Lost(usize::MAX))), "{ended:?}");
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

/// Asks for the service's health over HTTP/2, and returns the connection once the answer has begun. With a window of 0
/// bytes, the peer never takes the answer's body.
async fn asks_over_http2(to: SocketAddr, window: u32) -> TcpStream {
    const HEADERS: u8 = 1;
    let mut connection = TcpStream::connect(to).await.unwrap();
    let mut said = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    // SETTINGS with INITIAL_WINDOW_SIZE.
    said.extend([0, 0, 6, 4, 0, 0, 0, 0, 0, 0, 4]);
    said.extend(window.to_be_bytes());
    // HEADERS of stream 1, which end both it and themselves: GET, http, /healthz, and an authority (RFC 7541).
    let fields = b"\x82\x86\x04\x08/healthz\x01\x01x";
    said.extend([0, 0, u8::try_from(fields.len()).unwrap(), HEADERS, 5, 0, 0, 0, 1]);
    said.extend(fields);
    connection.write_all(&said).await.unwrap();
    loop {
        let mut head = [0; 9];
        connection.read_exact(&mut head).await.unwrap();
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        connection.read_exact(&mut vec![0; usize::try_from(length).unwrap()]).await.unwrap();
        if head[3] == HEADERS {
            return connection;
        }
    }
}

#[tokio::test]
async fn connections_that_have_asked_for_health_once_leave_room_for_it_and_keep_nobodys_stream() {
    let fixture = Fixture::open().await;
    let mut events = TcpStream::connect(fixture.admin).await.unwrap();
    let request = format!("GET /v1/events HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {ADMIN}\r\n\r\n");
    events.write_all(request.as_bytes()).await.unwrap();
    let mut events = BufReader::new(events).lines();
    assert_eq!(events.next_line().await.unwrap().as_deref(), Some("HTTP/1.1 200 OK"));
    let mut kept = Vec::new();
    for window in [65_535, 0].into_iter().cycle().take(300) {
        let asked = tokio::time::timeout(PATIENCE / 4, asks_over_http2(fixture.admin, window)).await;
        kept.push(asked.expect("connections that ask nothing keep others away"));
    }
    let health = tokio::time::timeout(PATIENCE / 4, http(fixture.admin, "", "GET", "/healthz", "")).await;
    assert_eq!(health.expect("connections that ask nothing keep health away").status, 200);
    // A stream of events, older than all of them, has made no room.
    let mut filter = fixture.filter().await;
    assert_eq!(filter.ask_new(token(1, "s1", T0)).await.outcome(), Outcome::Active);
    while !events.next_line().await.unwrap().expect("the stream of events was closed").contains("event: opened") {}
}
