//! The answers that refused clients get, for HTTP and for gRPC callers.

use portcullis_tests::{Answer, Call, IssuerBehaviour, Testbed, now_s, policy};
use serde_json::{Value, json};

const INVALID_ARGUMENT: &str = "3";
const PERMISSION_DENIED: &str = "7";
const INTERNAL: &str = "13";
const UNAVAILABLE: &str = "14";
const UNAUTHENTICATED: &str = "16";

/// One row of the table.
struct Row {
    code: &'static str,
    status: u16,
    /// Texts that the challenge contains; if there are none, there is no challenge.
    challenge: &'static [&'static str],
    /// Texts that the challenge does not contain.
    never: &'static [&'static str],
}

const fn row(code: &'static str, status: u16, challenge: &'static [&'static str]) -> Row {
    Row { code, status, challenge, never: &[] }
}

const INVALID_TOKEN: &[&str] = &["Bearer ", "realm=\"orders\"", "error=\"invalid_token\""];
const INSUFFICIENT: &[&str] = &["Bearer ", "error=\"insufficient_scope\"", "scope=\"", "orders:read"];

/// Demands the answer of a row, then the corresponding answer for a gRPC caller.
async fn demand(call: Call, row: Row) {
    let answer = call.clone().await;
    check(&answer, &row);
    let answer = call.grpc().await;
    let codes: &[&str] = match row.status {
        400 => &[INVALID_ARGUMENT, INTERNAL],
        401 => &[UNAUTHENTICATED],
        403 => &[PERMISSION_DENIED],
        _ => &[UNAVAILABLE],
    };
    let got = answer.header("grpc-status");
    assert_eq!(answer.status, 200, "{}: {answer:?}", row.code);
    assert!(codes.contains(&got), "{}: grpc-status {got}: {answer:?}", row.code);
    assert!(answer.header("content-type").starts_with("application/grpc"), "{answer:?}");
}

#[track_caller]
fn check(answer: &Answer, row: &Row) {
    answer.refused(row.status, row.code);
    let body = answer.json();
    assert_eq!(answer.header("content-type"), "application/problem+json", "{}", row.code);
    assert_eq!(answer.header("cache-control"), "no-store", "{}", row.code);
    assert_eq!(body["status"], row.status, "{body}");
    for member in ["type", "title"] {
        assert!(body[member].is_string(), "{}: no `{member}` in {body}", row.code);
    }
    let known = ["type", "title", "status", "code", "detail"];
    let members = body.as_object().expect("an object").keys();
    assert!(members.clone().all(|member| known.contains(&member.as_str())), "{body}");
    let challenge = answer.header("www-authenticate");
    assert_eq!(challenge.is_empty(), row.challenge.is_empty(), "{}: `{challenge}`", row.code);
    for part in row.challenge {
        assert!(challenge.contains(part), "{}: `{part}` is not in `{challenge}`", row.code);
    }
    for part in row.never {
        assert!(!challenge.contains(part), "{}: `{part}` is in `{challenge}`", row.code);
    }
    let retry = answer.header("retry-after");
    assert_eq!(retry.is_empty(), row.status != 503, "{}: Retry-After `{retry}`", row.code);
}

#[tokio::test(flavor = "multi_thread")]
async fn credentials_paths_and_routes() {
    let testbed = Testbed::start().await;
    testbed.ready().await;
    let token = testbed.issuer.token().sign();
    let none = || Row { never: &["error"], ..row("no_credentials", 401, &["Bearer ", "realm=\"orders\""]) };
    demand(testbed.get("/orders"), none()).await;
    for value in ["Basic YTpi", "Negotiate", "DPoP a.b.c"] {
        demand(testbed.get("/orders").header("authorization", value), none()).await;
    }
    let malformed = || row("malformed_credentials", 400, &["Bearer ", "error=\"invalid_request\""]);
    demand(testbed.get("/orders").bearer(&token).bearer(&token), malformed()).await;
    for value in ["Bearer", "Bearer a b", "Bearer a,b", "Bearer \u{e9}"] {
        demand(testbed.get("/orders").header("authorization", value), malformed()).await;
    }
    demand(testbed.get("/orders//x").bearer(&token), row("ambiguous_path", 400, &[])).await;
    demand(testbed.get("/nowhere").bearer(&token), row("no_route", 403, &[])).await;
    testbed.get("/orders").header("authorization", format!("bEaReR {}", token.text)).await.passes();
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_and_scopes() {
    let testbed = Testbed::start().await;
    testbed.ready().await;
    let token = || testbed.issuer.token();
    let invalid = token().claim("aud", json!("other")).sign();
    demand(testbed.get("/orders").bearer(invalid), row("invalid_token", 401, INVALID_TOKEN)).await;
    let expired = token().issued_ago(900).expires_in(-120).sign();
    demand(testbed.get("/orders").bearer(expired), row("token_expired", 401, INVALID_TOKEN)).await;
    let other = token().scopes("customers:read").sign();
    demand(testbed.get("/orders").bearer(other), row("insufficient_scope", 403, INSUFFICIENT)).await;
    let first = token().session("escalates").scopes("customers:read").sign();
    testbed.get("/me").bearer(first).await.passes();
    let more = token().session("escalates").scopes("customers:read orders:read").sign();
    demand(testbed.get("/orders").bearer(more), row("scope_escalation", 403, INSUFFICIENT)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn step_up() {
    let testbed = Testbed::start().await;
    testbed.ready().await;
    let admin = || testbed.issuer.token().scopes("admin").client("console");
    let get = |token| testbed.get("/admin/users").host("admin.example.com").bearer(token);
    get(admin().claim("acr", json!("aal2")).sign()).await.passes();
    let weak: &[&str] = &["Bearer ", "error=\"insufficient_user_authentication\"", "acr_values=\"aal2\""];
    let call = testbed.get("/admin/users").header("host", "admin.example.com").bearer(admin().sign());
    check(&call.await, &row("step_up_required", 401, weak));
    let old = admin().claim("acr", json!("aal2")).claim("auth_time", json!(now_s() - 1000)).sign();
    let answer = get(old).await;
    check(&answer, &row("step_up_required", 401, &["Bearer ", "error=\"insufficient_user_authentication\""]));
    // RFC 9470 allows the number as a token and as a quoted string.
    let challenge = answer.header("www-authenticate").replace('"', "");
    assert!(challenge.contains("max_age=900"), "{challenge}");
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions() {
    let testbed = Testbed::builder()
        .session(|config| {
            config["access"] = json!([
                {"name": "idle", "when": {"client": ["idler"]}, "idle": "1s"},
                {"name": "short", "when": {"client": ["short"]}, "absolute": "2s"},
                {"name": "all", "absolute": "8h"},
            ]);
        })
        .start()
        .await;
    testbed.ready().await;
    for (client, code) in [("idler", "session_idle_timeout"), ("short", "session_lifetime_exceeded")] {
        let token = testbed.issuer.token().client(client).sign();
        let call = testbed.get("/me").bearer(&token);
        call.clone().await.passes();
        let over = if client == "idler" { "idle_expires_at" } else { "expires_at" };
        let limit = testbed.session(&token).await[over].as_str().unwrap_or_default().to_owned();
        portcullis_tests::until("the limit passes", async || {
            let now = portcullis_tests::scenario::rfc3339(std::time::SystemTime::now());
            (now > limit).then_some(())
        })
        .await;
        demand(call, row(code, 401, INVALID_TOKEN)).await;
    }
    let token = testbed.issuer.token().sign();
    testbed.get("/me").bearer(&token).await.passes();
    testbed.service.admin().revoke(&token.session).await;
    demand(testbed.get("/me").bearer(&token), row("session_revoked", 401, INVALID_TOKEN)).await;
    // A block answers before the end, and no challenge asks for another token.
    testbed.service.admin().block(&json!({"issuer": testbed.issuer.name, "subject": "anna"})).await;
    demand(testbed.get("/me").bearer(&token), row("blocked", 403, &[])).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_session_under_explicit_enrolment() {
    let testbed = Testbed::builder().session(|config| config["enrolment"] = json!("explicit")).start().await;
    let token = testbed.issuer.token().sign();
    demand(testbed.get("/me").bearer(&token), row("session_unknown", 401, INVALID_TOKEN)).await;
}

fn impatient() -> Value {
    let mut policy = policy::patient();
    policy["session"]["timeout"] = json!("300ms");
    policy
}

#[tokio::test(flavor = "multi_thread")]
async fn no_keys() {
    let testbed = Testbed::builder().policy(impatient()).keys(IssuerBehaviour::Status(500)).start().await;
    let token = testbed.issuer.token().sign();
    demand(testbed.get("/orders").bearer(&token), row("keys_unavailable", 503, &[])).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_session_service() {
    let testbed = Testbed::with_policy(impatient()).await;
    testbed.ready().await;
    testbed.service.kill();
    let token = testbed.issuer.token().sign();
    demand(testbed.get("/orders").bearer(&token), row("session_unavailable", 503, &[])).await;
    testbed.get("/healthz").await.passes();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_credential_of_the_filter_means_no_verdict() {
    let testbed = Testbed::builder().policy(impatient()).wrong_filter_credential().start().await;
    let token = testbed.issuer.token().sign();
    demand(testbed.get("/orders").bearer(&token), row("session_unavailable", 503, &[])).await;
    assert!(testbed.envoy.log().to_lowercase().contains("credential"), "{}", testbed.envoy.log());
    assert!(testbed.service.output().to_lowercase().contains("credential"), "{}", testbed.service.output());
}

#[tokio::test(flavor = "multi_thread")]
async fn no_policy() {
    let testbed = Testbed::with_policy(json!({"unknown": 1})).await;
    demand(testbed.get("/healthz"), row("no_policy", 503, &[])).await;
}
