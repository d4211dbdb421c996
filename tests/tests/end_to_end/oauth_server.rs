//! A real authorization server that this project did not write (npm's oidc-provider): its JWTs, opaque tokens, revocations
//! and its key rotations.

mod browsers;
mod tokens;

use portcullis_tests::{
    Builder, Kind, Testbed, Token, free_port, local,
    oauth::{JWT, OAuthServer, OPAQUE, client_secret},
    policy,
};
use serde_json::{Value, json};

/// New connections that are enough to meet every worker of Envoy.
const EVERY_WORKER: usize = 16;

/// A policy that trusts the server's JWTs and those of the shipped issuer.
fn trusts_jwts(server: &OAuthServer, mut policy: Value) -> Value {
    let mut issuer = policy["issuers"][0].clone();
    issuer["issuer"] = json!(server.issuer);
    issuer["algorithms"] = json!(["ES256"]);
    issuer["keys"] = json!({"jwks_url": format!("{}/jwks", server.issuer), "cluster": "oauth", "refresh": "10m"});
    policy["issuers"].as_array_mut().expect("a list of issuers").push(issuer);
    policy
}

/// A policy that introspects each token on each request, like `examples/oauth-server`.
fn introspects(server: &OAuthServer) -> Value {
    let mut policy = policy::example("oauth-server");
    policy["issuers"][0]["issuer"] = json!(server.issuer);
    policy
}

fn beside(server: &OAuthServer, policy: Value) -> Builder {
    Testbed::builder().policy(policy).cluster("oauth", server.address.port())
}

/// A testbed in which every worker has fetched the server's keys. It accepts logins that nothing tells apart: the server's
/// tokens have no `auth_time`, and a `sid` only if it is told to.
async fn with_jwts(server: &OAuthServer) -> Testbed {
    let reopens = |session: &mut Value| session["undated_logins"] = json!({"reopen": {"revoked_for": "24h"}});
    let testbed = beside(server, trusts_jwts(server, policy::patient())).session(reopens).start().await;
    testbed.ready().await;
    let token = server.client_credentials(JWT, "orders:read").await;
    for _ in 0..EVERY_WORKER {
        testbed.get("/orders").bearer(&token).until("the keys are there", |answer| answer.status != 503).await.passes();
    }
    testbed
}

async fn with_introspection(server: &OAuthServer) -> Testbed {
    beside(server, introspects(server)).filter_credential(&client_secret("gateway")).start().await
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Node: make test-faults"]
async fn jwts_by_client_credentials() {
    let server = OAuthServer::start(&[]).await;
    let testbed = with_jwts(&server).await;
    let token = server.client_credentials(JWT, "orders:read").await;
    let answer = testbed.get("/orders").bearer(&token).await;
    assert_eq!(answer.passes().echoed("x-portcullis-client"), ["machine"]);
    assert_eq!(answer.echoed("x-portcullis-scopes"), ["orders:read"]);
    testbed.call("PUT", "/orders/7").bearer(&token).await.refused(403, "insufficient_scope");
    // The provider refuses to revoke JWTs, so the session service revokes the session.
    let sessions = testbed.service.admin().sessions("client_id=machine&state=active").await;
    let session = sessions[0]["id"].as_str().expect("an id");
    testbed.service.admin().revoke(session).await;
    testbed.get("/orders").bearer(&token).await.refused(401, "session_revoked");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Node: make test-faults"]
async fn jwts_by_authorization_code() {
    let server = OAuthServer::start(&[]).await;
    let testbed = with_jwts(&server).await;
    let grant = server.log_in("anna", JWT, "orders:read customers:read").await;
    let answer = testbed.get("/orders").bearer(&grant.access).await;
    assert_eq!(answer.passes().echoed("x-portcullis-subject"), ["anna"]);
    assert_eq!(answer.echoed("x-portcullis-client"), ["web"]);
    testbed.call("PUT", "/orders/7").bearer(&grant.access).await.refused(403, "insufficient_scope");
    let refreshed = server.refresh(&grant, JWT).await;
    testbed.get("/orders").bearer(&refreshed.access).await.passes();
    testbed.service.admin().revoke_all(&json!({"issuer": server.issuer, "subject": "anna"})).await;
    for token in [&grant.access, &refreshed.access] {
        testbed.get("/orders").bearer(token).await.refused(401, "session_revoked");
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Node: make test-faults"]
async fn logins_are_sessions_if_the_server_names_them() {
    let server = OAuthServer::start(&["--sid"]).await;
    let testbed = with_jwts(&server).await;
    let desk = server.log_in("anna", JWT, "orders:read").await;
    let phone = server.log_in("anna", JWT, "orders:read").await;
    let answer = testbed.get("/orders").bearer(&desk.access).await;
    let session = answer.passes().echoed("x-portcullis-session").concat();
    testbed.get("/orders").bearer(&phone.access).await.passes();
    testbed.service.admin().revoke(&session).await;
    let refreshed = server.refresh(&desk, JWT).await;
    for token in [&desk.access, &refreshed.access] {
        testbed.get("/orders").bearer(token).await.refused(401, "session_revoked");
    }
    testbed.get("/orders").bearer(&phone.access).await.passes();
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Node: make test-faults"]
async fn a_logout_in_the_browser_cuts_the_websocket_of_that_login_and_refuses_its_tokens() {
    let signals = local(free_port());
    let server = OAuthServer::start(&["--logout", &format!("http://{signals}/signals/op")]).await;
    let (issuer, keys) = (server.issuer.clone(), format!("{}/jwks", server.issuer));
    let told = move |session: &mut Value| {
        session["signals_listen"] = json!(signals.to_string());
        session["signals"] = json!([{
            "name": "op", "kind": "backchannel_logout", "issuer": issuer, "audiences": ["web"], "algorithms": ["ES256"],
            "keys": {"jwks_url": keys},
        }]);
    };
    let testbed = beside(&server, trusts_jwts(&server, policy::streams())).session(told).start().await;
    testbed.ready().await;
    let (desk, phone) =
        (server.log_in("anna", JWT, "orders:read").await, server.log_in("anna", JWT, "orders:read").await);
    for grant in [&desk, &phone] {
        testbed.get("/me").bearer(&grant.access).until("the keys are there", |answer| answer.status == 200).await;
    }
    let shown = |text: &str| Token { text: text.to_owned(), session: String::new() };
    let mut cut = testbed.open(Kind::WebSocket, &shown(&desk.access)).await;
    let mut stays = testbed.open(Kind::WebSocket, &shown(&phone.access)).await;
    server.log_out(&desk).await;
    testbed.get("/me").bearer(&desk.access).await.refused(401, "session_revoked");
    cut.is_cut().await;
    stays.flows().await;
    testbed.get("/me").bearer(&phone.access).await.passes();
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Node: make test-faults"]
async fn rotated_keys_cause_no_outage() {
    let server = OAuthServer::start(&[]).await;
    let testbed = with_jwts(&server).await;
    let old = server.client_credentials(JWT, "orders:read").await;
    server.rotate(true).await;
    let new = server.client_credentials(JWT, "orders:read").await;
    // No worker refuses an old token or a new one.
    for _ in 0..EVERY_WORKER {
        testbed.get("/orders").bearer(&new).fresh().await.passes();
        testbed.get("/orders").bearer(&old).fresh().await.passes();
    }
    // The old key leaves the key set. Every worker has the new key by now.
    server.rotate(false).await;
    testbed.get("/orders").bearer(&new).await.passes();
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Node: make test-faults"]
async fn opaque_tokens_by_introspection() {
    let server = OAuthServer::start(&[]).await;
    let testbed = with_introspection(&server).await;
    let machine = server.client_credentials(OPAQUE, "orders:read").await;
    let answer = testbed.get("/orders").bearer(&machine).await;
    assert_eq!(answer.passes().echoed("x-portcullis-client"), ["machine"]);
    assert_eq!(answer.echoed("x-portcullis-scopes"), ["orders:read"]);
    testbed.call("PUT", "/orders/7").bearer(&machine).await.refused(403, "insufficient_scope");
    let grant = server.log_in("anna", OPAQUE, "orders:read").await;
    let answer = testbed.get("/orders").bearer(&grant.access).await;
    assert_eq!(answer.passes().echoed("x-portcullis-subject"), ["anna"]);
    for unknown in ["nobody-issued-this", "a.b.c"] {
        assert_eq!(testbed.get("/orders").bearer(unknown).await.status, 401, "{unknown}");
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Node: make test-faults"]
async fn a_token_that_was_revoked_there_is_refused_here_at_the_next_request() {
    let server = OAuthServer::start(&[]).await;
    let testbed = with_introspection(&server).await;
    for _ in 0..10 {
        let ended = server.client_credentials(OPAQUE, "orders:read").await;
        let lives = server.client_credentials(OPAQUE, "orders:read").await;
        for token in [&ended, &lives] {
            testbed.get("/orders").bearer(token).await.passes();
        }
        server.revoke("machine", &ended).await;
        for _ in 0..3 {
            assert_eq!(testbed.get("/orders").bearer(&ended).fresh().await.status, 401);
            testbed.get("/orders").bearer(&lives).fresh().await.passes();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Node: make test-faults"]
async fn opaque_tokens_of_another_audience_or_by_a_stranger_are_refused() {
    let server = OAuthServer::start(&[]).await;
    let token = server.client_credentials(OPAQUE, "orders:read").await;
    let mut policy = introspects(&server);
    policy["issuers"][0]["audiences"] = json!(["payments-api"]);
    let secret = client_secret("gateway");
    let elsewhere = beside(&server, policy).filter_credential(&secret).start().await;
    elsewhere.get("/orders").bearer(&token).await.refused(401, "invalid_token");
    // The provider rejects this caller, which says nothing about the token.
    let stranger = beside(&server, introspects(&server)).filter_credential("wrong").start().await;
    stranger.get("/orders").bearer(&token).await.refused(503, "session_unavailable");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Node: make test-faults"]
async fn a_server_that_does_not_introspect_jwts_says_nothing_about_them() {
    let server = OAuthServer::start(&[]).await;
    let mut policy = introspects(&server);
    policy["issuers"] = json!([trusts_jwts(&server, policy::patient())["issuers"][1]]);
    let testbed = beside(&server, policy).filter_credential(&client_secret("gateway")).start().await;
    let token = server.client_credentials(JWT, "orders:read").await;
    let answer = testbed.get("/orders").bearer(&token);
    // The filter may still be fetching the keys.
    let answer = answer.until("the keys are there", |answer| answer.code() != "keys_unavailable").await;
    answer.refused(503, "session_unavailable");
    testbed.get("/orders").bearer(format!("{token}x")).await.refused(401, "invalid_token");
    assert_eq!(testbed.upstream.count(), 0);
}
