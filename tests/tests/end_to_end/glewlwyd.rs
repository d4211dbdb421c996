//! Another authorization server that this project did not write (Debian's glewlwyd): its introspection and its revocations.
//! Its tokens are JWTs. The filter either only introspects them or verifies them first.
//!
//! If glewlwyd can't be fetched, `make test-faults` skips these tests by the name of this module.

use portcullis_tests::{
    Testbed,
    glewlwyd::{Glewlwyd, ORDERS, PAYMENTS},
    oauth::client_secret,
    policy,
};
use serde_json::{Value, json};

/// A policy that only introspects each token, on each request.
fn introspects(server: &Glewlwyd) -> Value {
    let mut policy = policy::example("oauth-server");
    policy["issuers"][0]["issuer"] = json!(server.issuer);
    policy["issuers"][0]["audiences"] = json!([ORDERS]);
    policy["session"]["path"] = json!("/api/oidc/introspect");
    policy
}

/// A policy that verifies each token and introspects it as well.
fn verifies(server: &Glewlwyd) -> Value {
    let mut policy = introspects(server);
    policy["issuers"] = json!([{
        "issuer": server.issuer, "audiences": [ORDERS], "algorithms": ["ES256"],
        "keys": {"jwks_url": format!("{}/api/oidc/jwks", server.issuer), "cluster": "oauth", "refresh": "10m"},
    }]);
    policy
}

/// The filter is the client `gateway`, with its secret.
async fn beside(server: &Glewlwyd, policy: Value) -> Testbed {
    with_credential(server, policy, &client_secret("gateway")).await
}

async fn with_credential(server: &Glewlwyd, policy: Value, credential: &str) -> Testbed {
    let builder = Testbed::builder().policy(policy).cluster("oauth", server.address.port());
    builder.filter_credential(credential).start().await
}

/// A token with one character of its signature changed.
fn forged(token: &str) -> String {
    let (signed, signature) = token.rsplit_once('.').expect("a JWT");
    let first = if signature.starts_with('A') { 'B' } else { 'A' };
    format!("{signed}.{first}{}", &signature[1..])
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Debian's glewlwyd: make test-faults"]
async fn tokens_of_glewlwyd_by_introspection() {
    let server = Glewlwyd::start().await;
    let testbed = beside(&server, introspects(&server)).await;
    let token = server.client_credentials(ORDERS).await;
    let answer = testbed.get("/orders").bearer(&token).await;
    assert_eq!(answer.passes().echoed("x-portcullis-client"), ["machine"]);
    assert_eq!(answer.echoed("x-portcullis-scopes"), ["orders:read"]);
    testbed.call("PUT", "/orders/7").bearer(&token).await.refused(403, "insufficient_scope");
    let released = testbed.upstream.count();
    for wrong in ["nobody-issued-this", "a.b.c", &forged(&token)] {
        testbed.get("/orders").bearer(wrong).await.status(401);
    }
    let elsewhere = server.client_credentials(PAYMENTS).await;
    testbed.get("/orders").bearer(&elsewhere).await.refused(401, "invalid_token");
    assert_eq!(testbed.upstream.count(), released);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Debian's glewlwyd: make test-faults"]
async fn what_glewlwyd_has_revoked_is_refused_at_the_next_request() {
    let server = Glewlwyd::start().await;
    let testbed = beside(&server, introspects(&server)).await;
    for _ in 0..10 {
        let ended = server.client_credentials(ORDERS).await;
        let lives = server.client_credentials(ORDERS).await;
        for token in [&ended, &lives] {
            testbed.get("/orders").bearer(token).await.passes();
        }
        server.revoke("machine", &ended).await;
        for _ in 0..3 {
            testbed.get("/orders").bearer(&ended).fresh().await.status(401);
            testbed.get("/orders").bearer(&lives).fresh().await.passes();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Debian's glewlwyd: make test-faults"]
async fn jwts_of_glewlwyd_are_verified_here_and_introspected_there() {
    let server = Glewlwyd::start().await;
    let testbed = beside(&server, verifies(&server)).await;
    let token = server.client_credentials(ORDERS).await;
    let answer = testbed.get("/orders").bearer(&token);
    // The filter may still be fetching the keys.
    let answer = answer.until("the keys are there", |answer| answer.code() != "keys_unavailable").await;
    assert_eq!(answer.passes().echoed("x-portcullis-subject"), ["machine"]);
    let elsewhere = server.client_credentials(PAYMENTS).await;
    for wrong in ["nobody-issued-this", &forged(&token), &elsewhere] {
        testbed.get("/orders").bearer(wrong).await.refused(401, "invalid_token");
    }
    let lives = server.client_credentials(ORDERS).await;
    server.revoke("machine", &token).await;
    testbed.get("/orders").bearer(&token).await.status(401);
    testbed.get("/orders").bearer(&lives).await.passes();
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Debian's glewlwyd: make test-faults"]
async fn a_token_of_glewlwyd_is_the_credential_of_the_gateway() {
    let server = Glewlwyd::start().await;
    let mut policy = introspects(&server);
    let session = policy["session"].as_object_mut().expect("an object");
    session.remove("client");
    session.insert("credential".to_owned(), json!({"env": "PORTCULLIS_FILTER_CREDENTIAL"}));
    let credential = server.gateway_token().await;
    let testbed = with_credential(&server, policy, &credential).await;
    let token = server.client_credentials(ORDERS).await;
    testbed.get("/orders").bearer(&token).await.passes();
    // Rejecting the gateway's credential says nothing about the token.
    server.revoke("gateway", &credential).await;
    testbed.get("/orders").bearer(&token).await.refused(503, "session_unavailable");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Debian's glewlwyd: make test-faults"]
async fn a_gateway_that_glewlwyd_does_not_know_releases_nothing() {
    let server = Glewlwyd::start().await;
    let testbed = with_credential(&server, introspects(&server), "wrong").await;
    let token = server.client_credentials(ORDERS).await;
    testbed.get("/orders").bearer(&token).await.refused(503, "session_unavailable");
    assert_eq!(testbed.upstream.count(), 0);
}
