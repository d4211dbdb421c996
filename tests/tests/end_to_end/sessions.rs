//! How sessions live and end.

use portcullis_tests::{Testbed, TokenBuilder, exchange, now_s, policy, quiet, scenario::rfc3339, until};
use serde_json::{Value, json};
use std::time::{Duration, SystemTime};

fn limits(config: &mut Value) {
    config["access"] = json!([
        {"name": "idle", "when": {"client": ["idler"]}, "idle": "2s"},
        {"name": "short", "when": {"client": ["short"]}, "absolute": "3s"},
        {"name": "machine", "when": {"grant": ["client_credentials"]}, "absolute": "12h"},
        {"name": "all", "absolute": "8h", "idle": "30m"},
    ]);
}

/// Waits until an instant that the admin API returned has passed.
async fn pass(instant: &Value) {
    let instant = instant.as_str().expect("an instant").to_owned();
    until("an instant passes", async || (rfc3339(SystemTime::now()) > instant).then_some(())).await;
}

async fn status(testbed: &Testbed, token: &TokenBuilder) -> (u16, String) {
    let answer = testbed.get("/me").bearer(token.sign()).await;
    (answer.status.as_u16(), answer.code())
}

fn refusal(code: &str) -> (u16, String) {
    (401, code.to_owned())
}

const PASSES: (u16, String) = (200, String::new());

#[tokio::test(flavor = "multi_thread")]
async fn activity_keeps_a_session_alive_and_a_refresh_alone_does_not() {
    let _quiet = quiet().await;
    let testbed = Testbed::builder().session(limits).start().await;
    testbed.ready().await;
    let token = testbed.issuer.token().client("idler");
    let id = token.sign().session;
    assert_eq!(status(&testbed, &token).await, PASSES);
    let first = testbed.service.admin().session(&id).await["idle_expires_at"].clone();
    until("the limit moves", async || {
        assert_eq!(status(&testbed, &token).await, PASSES);
        let now = testbed.service.admin().session(&id).await["idle_expires_at"].clone();
        (now.as_str() > first.as_str()).then_some(())
    })
    .await;
    pass(&testbed.service.admin().session(&id).await["idle_expires_at"]).await;
    // A refreshed token alone is not activity.
    let refreshed = token.claim("jti", json!("refreshed")).claim("iat", json!(now_s()));
    assert_eq!(status(&testbed, &refreshed).await, refusal("session_idle_timeout"));
    assert_eq!(testbed.service.admin().session(&id).await["state"], "ended");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_absolute_lifetime_ends_a_busy_session() {
    let testbed = Testbed::builder().session(limits).start().await;
    testbed.ready().await;
    let token = testbed.issuer.token().client("short");
    assert_eq!(status(&testbed, &token).await, PASSES);
    let refused = until("the lifetime passes", async || {
        let (status, code) = status(&testbed, &token).await;
        (status != 200).then_some(code)
    })
    .await;
    assert_eq!(refused, "session_lifetime_exceeded");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_starts_with_its_login_not_with_its_first_request() {
    let testbed = Testbed::builder().session(limits).start().await;
    testbed.ready().await;
    let old = testbed.issuer.token().client("short").claim("auth_time", json!(now_s() - 60));
    assert_eq!(status(&testbed, &old).await, refusal("session_lifetime_exceeded"));
}

#[tokio::test(flavor = "multi_thread")]
async fn route_limits_narrow_and_background_routes_do_not_touch() {
    let _quiet = quiet().await;
    let routes = json!([
        {"name": "me", "match": {"path": "/me"}, "authenticated": true},
        {"name": "strict", "match": {"path": "/strict"}, "authenticated": true, "session": {"max_idle": "1s"}},
        {"name": "poll", "match": {"path": "/poll"}, "authenticated": true, "session": {"touch": false}},
    ]);
    let testbed = Testbed::with_policy(policy::with_routes(routes)).await;
    testbed.ready().await;
    let token = testbed.issuer.token().sign();
    testbed.get("/strict").bearer(&token).await.passes();
    let seen = testbed.session(&token).await["last_seen_at"].clone();
    let refused = until("the route's idle limit passes", async || {
        // Polling must not keep the session alive for the strict route.
        testbed.get("/poll").bearer(&token).await.passes();
        let idle = SystemTime::now() - Duration::from_millis(1_100);
        if rfc3339(idle).as_str() <= seen.as_str().unwrap_or_default() {
            return None;
        }
        Some(testbed.get("/strict").bearer(&token).await)
    })
    .await;
    refused.refused(401, "session_idle_timeout");
    // The session itself stays active on routes without that limit.
    testbed.get("/me").bearer(&token).await.passes();
    testbed.get("/strict").bearer(&token).await.passes();
}

#[tokio::test(flavor = "multi_thread")]
async fn narrowed_scopes_hold_from_the_next_request_and_can_be_restored() {
    let testbed = Testbed::start().await;
    testbed.ready().await;
    let token = testbed.issuer.token().scopes("orders:read customers:read").sign();
    testbed.get("/orders").bearer(&token).await.passes();
    let admin = testbed.service.admin();
    for _ in 0..20 {
        admin.narrow(&token.session, &["customers:read"]).await;
        testbed.get("/orders").bearer(&token).await.refused(403, "insufficient_scope");
        let answer = testbed.get("/me").bearer(&token).await;
        assert_eq!(answer.passes().echoed("x-portcullis-scopes"), ["customers:read"]);
        admin.narrow(&token.session, &["orders:read", "customers:read"]).await;
        testbed.get("/orders").bearer(&token).await.passes();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_with_more_scopes_than_its_session_is_an_escalation() {
    let testbed = Testbed::start().await;
    testbed.ready().await;
    let token = testbed.issuer.token().scopes("orders:read");
    assert_eq!(status(&testbed, &token).await, PASSES);
    let more = token.clone().scopes("orders:read admin");
    assert_eq!(status(&testbed, &more).await, (403, "scope_escalation".to_owned()));
    assert_eq!(status(&testbed, &token).await, PASSES);
    let fewer = token.clone().scopes("");
    assert_eq!(status(&testbed, &fewer).await, PASSES);
}

#[tokio::test(flavor = "multi_thread")]
async fn explicit_enrolment_admits_only_what_was_opened() {
    let testbed = Testbed::builder().session(|config| config["enrolment"] = json!("explicit")).start().await;
    testbed.ready().await;
    let token = testbed.issuer.token().session("opened");
    assert_eq!(status(&testbed, &token).await, refusal("session_unknown"));
    let opened = testbed
        .service
        .admin()
        .open(&json!({
            "issuer": testbed.issuer.name, "key": "opened", "subject": "anna", "client_id": "web",
            "scopes": ["orders:read"],
        }))
        .await;
    assert!(opened.status.is_success(), "{opened:?}");
    assert_eq!(opened.json()["id"], token.sign().session);
    assert_eq!(status(&testbed, &token).await, PASSES);
    assert_eq!(status(&testbed, &token.clone().session("other")).await, refusal("session_unknown"));
    testbed.service.kill();
    testbed.service.restart().await;
    testbed.get("/me").bearer(token.sign()).until("it passes again", |answer| answer.status == 200).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn revocation_by_subject_and_by_client_reaches_sessions_not_yet_seen() {
    let testbed = Testbed::start().await;
    testbed.ready().await;
    let token = |subject: &str, client: &str| testbed.issuer.token().subject(subject).client(client).issued_ago(60);
    let (anna, bert, other) = (token("anna", "web"), token("bert", "app"), token("carl", "web"));
    for token in [&anna, &bert, &other] {
        assert_eq!(status(&testbed, token).await, PASSES);
    }
    let admin = testbed.service.admin();
    admin.revoke_all(&json!({"issuer": testbed.issuer.name, "subject": "anna"})).await;
    admin.revoke_all(&json!({"issuer": testbed.issuer.name, "client_id": "app"})).await;
    assert_eq!(status(&testbed, &anna).await, refusal("session_revoked"));
    assert_eq!(status(&testbed, &bert).await, refusal("session_revoked"));
    assert_eq!(status(&testbed, &other).await, PASSES);
    let unseen = token("anna", "web").session("never seen before");
    assert_eq!(status(&testbed, &unseen).await, refusal("session_revoked"));
    testbed.service.kill();
    testbed.service.restart().await;
    let after = testbed.get("/me").bearer(token("anna", "web").sign());
    let after = after.until("there are verdicts again", |answer| answer.status != 503).await;
    after.refused(401, "session_revoked");
    // A login after the instant opens a session.
    admin.revoke_all(&json!({"issuer": testbed.issuer.name, "subject": "carl", "before": rfc3339(SystemTime::now() - Duration::from_secs(30))})).await;
    assert_eq!(status(&testbed, &other).await, refusal("session_revoked"));
    let fresh = testbed.issuer.token().subject("carl").client("web");
    assert_eq!(status(&testbed, &fresh).await, PASSES);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_session_comes_back_by_a_later_login_and_by_no_newer_token() {
    let testbed = Testbed::start().await;
    testbed.ready().await;
    let token = testbed.issuer.token();
    assert_eq!(status(&testbed, &token).await, PASSES);
    testbed.service.admin().revoke(&token.sign().session).await;
    for _ in 0..3 {
        let newer = token.clone().claim("iat", json!(now_s() + 5));
        assert_eq!(status(&testbed, &newer).await, refusal("session_revoked"));
        testbed.service.kill();
        testbed.service.restart().await;
        let call = testbed.get("/me").bearer(newer.sign());
        let answer = call.until("there are verdicts again", |answer| answer.status != 503).await;
        answer.refused(401, "session_revoked");
    }
    let login = token.claim("auth_time", json!(now_s() + 5));
    assert_eq!(status(&testbed, &login).await, PASSES);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_client_comes_back_with_a_token_issued_after_the_end() {
    let testbed = Testbed::start().await;
    testbed.ready().await;
    let machine = testbed.issuer.token().subject("robot").client("robot").without("sid").without("auth_time");
    let old = machine.clone().claim("iat", json!(now_s() - 60));
    assert_eq!(status(&testbed, &old).await, PASSES);
    let sessions = testbed.service.admin().sessions("client_id=robot").await;
    let [session] = &sessions[..] else { panic!("not one session: {sessions:?}") };
    testbed.service.admin().revoke(session["id"].as_str().expect("an id")).await;
    assert_eq!(status(&testbed, &old).await, refusal("session_revoked"));
    until("a newer token is accepted", async || {
        let newer = machine.clone().claim("iat", json!(now_s()));
        (status(&testbed, &newer).await == PASSES).then_some(())
    })
    .await;
    assert_eq!(status(&testbed, &old).await, refusal("session_revoked"));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_session_claim_the_login_is_the_session() {
    let testbed = Testbed::start().await;
    testbed.ready().await;
    let login = testbed.issuer.token().without("sid").claim("auth_time", json!(now_s() - 30));
    assert_eq!(status(&testbed, &login).await, PASSES);
    let refreshed = login.clone().claim("jti", json!("other"));
    assert_eq!(status(&testbed, &refreshed).await, PASSES);
    let sessions = testbed.service.admin().sessions("subject=anna&state=active").await;
    let [session] = &sessions[..] else { panic!("not one session: {sessions:?}") };
    testbed.service.admin().revoke(session["id"].as_str().expect("an id")).await;
    assert_eq!(status(&testbed, &refreshed).await, refusal("session_revoked"));
    let again = login.claim("auth_time", json!(now_s()));
    assert_eq!(status(&testbed, &again).await, PASSES);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_answered_survives_kill_9() {
    let testbed = Testbed::start().await;
    testbed.ready().await;
    let admin = testbed.service.admin();
    for round in 0..5 {
        let person = format!("person-{round}");
        let narrowed = testbed.issuer.token().subject(&person).scopes("orders:read customers:read").sign();
        let revoked = testbed.issuer.token().sign();
        for token in [&narrowed, &revoked] {
            testbed.get("/orders").bearer(token).await.passes();
        }
        admin.narrow(&narrowed.session, &["customers:read"]).await;
        admin.revoke(&revoked.session).await;
        testbed.service.kill();
        testbed.service.restart().await;
        let answer = testbed.get("/orders").bearer(&revoked);
        let answer = answer.until("there are verdicts again", |answer| answer.status != 503).await;
        assert_eq!(answer.code(), "session_revoked", "round {round}");
        let answer = testbed.get("/orders").bearer(&narrowed);
        let answer = answer.until("there are verdicts again", |answer| answer.status != 503).await;
        assert_eq!(answer.code(), "insufficient_scope", "round {round}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_read_as_the_admin_api_promises() {
    let testbed = Testbed::start().await;
    testbed.ready().await;
    let token = testbed.issuer.token().subject("dora").sign();
    testbed.get("/orders").bearer(&token).await.passes();
    let session = testbed.session(&token).await;
    let expected = [
        ("id", token.session.as_str()),
        ("issuer", testbed.issuer.name.as_str()),
        ("subject", "dora"),
        ("client_id", "web"),
        ("access", "interactive"),
        ("state", "active"),
    ];
    for (member, value) in expected {
        assert_eq!(session[member], value, "{session}");
    }
    assert_eq!(session["scopes"], json!(["orders:read"]));
    for instant in ["opened_at", "last_seen_at", "expires_at", "idle_expires_at"] {
        let text = session[instant].as_str().unwrap_or_default();
        assert!(text.starts_with("20") && text.ends_with('Z'), "{instant}: {session}");
    }
    let admin = testbed.service.admin();
    admin.revoke(&token.session).await;
    let session = testbed.session(&token).await;
    assert_eq!((session["state"].as_str(), session["ended_at"].is_string()), (Some("ended"), true), "{session}");
    assert_eq!(admin.sessions("subject=dora&state=ended").await.len(), 1);
    assert_eq!(admin.sessions("subject=dora&state=active").await.len(), 0);
    assert_eq!(admin.sessions("subject=nobody").await.len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_come_in_pages() {
    let testbed = Testbed::start().await;
    testbed.ready().await;
    for _ in 0..7 {
        testbed.get("/orders").bearer(testbed.issuer.token().subject("emil").sign()).await.passes();
    }
    let admin = testbed.service.admin();
    let mut ids = Vec::new();
    let mut cursor = String::new();
    loop {
        let path = format!("/v1/sessions?subject=emil&limit=3{cursor}");
        let page = admin.call("GET", &path).await.status(200).json();
        let sessions = page["sessions"].as_array().expect("a page").clone();
        assert!(sessions.len() <= 3);
        ids.extend(sessions.iter().map(|session| session["id"].to_string()));
        match page["next"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 7);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_admin_api_answers_nobody_without_its_credential() {
    let testbed = Testbed::start().await;
    let client = portcullis_tests::Client::new(testbed.service.admin_address());
    for path in ["/v1/sessions", "/v1/events", "/metrics", "/v1/nothing"] {
        assert_eq!(client.get(path).await.status, 401, "{path}");
        assert_eq!(client.get(path).bearer("wrong").await.status, 401, "{path}");
    }
    for path in ["/healthz", "/readyz"] {
        client.get(path).await.status(200);
    }
    let missing = testbed.service.admin().call("GET", &format!("/v1/sessions/{}", "0".repeat(32))).await;
    assert_eq!(missing.status, 404);
    assert_eq!(missing.header("content-type"), "application/problem+json");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_service_stops_gracefully_and_checks_its_configuration() {
    let testbed = Testbed::start().await;
    testbed.ready().await;
    let token = testbed.issuer.token().sign();
    testbed.get("/orders").bearer(&token).await.passes();
    let (good, said) = testbed.service.check(&json!({"listen": "127.0.0.1:0", "surprise": 1}));
    assert!(!good && said.contains("surprise"), "{said}");
    assert!(testbed.service.terminate().await.success());
    testbed.service.restart().await;
    // A graceful stop loses nothing, not even what was still waiting to be written.
    assert_eq!(testbed.session(&token).await["state"], "active");
    let garbage = exchange(testbed.service.address(), b"\xff\xff\xff\r\n\r\n").await;
    assert_ne!(garbage.status, Some(200));
    testbed.get("/orders").bearer(&token).until("it passes", |answer| answer.status == 200).await;
}
