//! A third authorization server that this project did not write (django-oauth-toolkit): opaque tokens whose introspection has
//! no audience, so that the client decides whom they are meant for.
//!
//! If it can't be fetched, `make test-faults` skips these tests by the name of this module.

use portcullis_tests::{Testbed, oauth::client_secret, oauth_toolkit::OAuthToolkit, policy};
use serde_json::{Value, json};

/// A policy that introspects each token on each request, and accepts those of one client.
fn introspects() -> Value {
    let mut policy = policy::example("oauth-server");
    policy["issuers"] = json!([{"issuer": "https://toolkit.example.com", "clients": ["machine"], "opaque": true}]);
    policy["session"]["path"] = json!("/introspect/");
    // Django's own server is not made for speed.
    policy["session"]["timeout"] = json!("5s");
    policy
}

async fn beside(server: &OAuthToolkit, policy: Value, secret: &str) -> Testbed {
    let builder = Testbed::builder().policy(policy).cluster("oauth", server.address.port());
    builder.filter_credential(secret).start().await
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs django-oauth-toolkit: make test-faults"]
async fn tokens_of_django_oauth_toolkit_are_accepted_by_their_client() {
    let server = OAuthToolkit::start().await;
    let testbed = beside(&server, introspects(), &client_secret("gateway")).await;
    let token = server.client_credentials("machine", "orders:read").await;
    let answer = testbed.get("/orders").bearer(&token).await;
    assert_eq!(answer.passes().echoed("x-portcullis-client"), ["machine"]);
    assert_eq!(answer.echoed("x-portcullis-scopes"), ["orders:read"]);
    testbed.call("PUT", "/orders/7").bearer(&token).await.refused(403, "insufficient_scope");
    let released = testbed.upstream.count();
    for wrong in ["nobody-issued-this", "a.b.c"] {
        testbed.get("/orders").bearer(wrong).await.status(401);
    }
    let stranger = server.client_credentials("stranger", "orders:read").await;
    testbed.get("/orders").bearer(&stranger).await.refused(401, "invalid_token");
    assert_eq!(testbed.upstream.count(), released);

    server.revoke("machine", &token).await;
    testbed.get("/orders").bearer(&token).await.status(401);
    let lives = server.client_credentials("machine", "orders:read").await;
    testbed.get("/orders").bearer(&lives).await.passes();
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs django-oauth-toolkit: make test-faults"]
async fn an_audience_that_django_oauth_toolkit_never_names_is_not_met() {
    let server = OAuthToolkit::start().await;
    let mut policy = introspects();
    policy["issuers"][0]["audiences"] = json!(["orders-api"]);
    let testbed = beside(&server, policy, &client_secret("gateway")).await;
    let token = server.client_credentials("machine", "orders:read").await;
    testbed.get("/orders").bearer(&token).await.refused(401, "invalid_token");
    assert_eq!(testbed.upstream.count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs django-oauth-toolkit: make test-faults"]
async fn a_gateway_that_django_oauth_toolkit_does_not_know_releases_nothing() {
    let server = OAuthToolkit::start().await;
    let testbed = beside(&server, introspects(), "wrong").await;
    let token = server.client_credentials("machine", "orders:read").await;
    testbed.get("/orders").bearer(&token).await.refused(503, "session_unavailable");
    assert_eq!(testbed.upstream.count(), 0);
}
