//! Which claims are asked about, and what becomes of the others: the shapes of tokens that real providers issue.

use portcullis_tests::{Algorithm, IssuerBehaviour, Testbed, TokenBuilder, now_s, policy};
use serde_json::{Value, json};

async fn testbed(edit: impl FnOnce(&mut Value)) -> Testbed {
    let mut policy = policy::patient();
    let issuer = &mut policy["issuers"][0];
    issuer["algorithms"] = json!(["ES256", "EdDSA"]);
    edit(issuer);
    let testbed = Testbed::builder().policy(policy).keys(IssuerBehaviour::Status(503)).start().await;
    testbed.issuer.publish(Algorithm::EdDSA);
    testbed.issuer.behave(IssuerBehaviour::Serve);
    testbed.ready().await;
    testbed
}

async fn refused(testbed: &Testbed, name: &str, token: &TokenBuilder) {
    let answer = testbed.get("/orders").bearer(token.sign()).fresh().await;
    assert_eq!((answer.status.as_u16(), answer.code()), (401, "invalid_token".to_owned()), "{name}: {answer:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn claims_that_nobody_asks_about_void_no_token() {
    let testbed = testbed(|_| {}).await;
    // Envoy verifies ES256, and a library in the filter EdDSA.
    let eddsa = testbed.issuer.publish(Algorithm::EdDSA);
    let groups: Vec<String> = (0..301).map(|group| format!("group-{group}")).collect();
    let mut odd = vec![json!("Domain Users"), json!("Büro"), json!("a\tb"), json!({"a": 1}), json!(null), json!("")];
    odd.extend(groups.iter().map(|group| json!(group)));
    let edits: [(&str, Value); 7] = [
        ("auth_time", json!("2026-03-14T18:52:01.180Z")),
        ("acr", json!(1)),
        ("jti", json!(42)),
        ("azp", json!(["web"])),
        ("nonce", json!({"a": [1]})),
        ("sid", json!(7)),
        ("scp", json!(odd)),
    ];
    for (claim, value) in &edits {
        for token in [testbed.issuer.token(), testbed.issuer.token().key(&eddsa)] {
            let answer = testbed.get("/orders").bearer(token.claim(claim, value.clone()).sign()).await;
            assert_eq!(answer.status, 200, "{claim}: {answer:?}");
        }
    }
    for (claim, value) in
        [("nbf", json!("now")), ("exp", json!("later")), ("aud", json!({"a": 1})), ("sub", json!(1)), ("cnf", json!(1))]
    {
        refused(&testbed, claim, &testbed.issuer.token().claim(claim, value)).await;
    }
    // `iat` starts the session, or a login, or `nbf`; without all of them, there is no start.
    let undated = || testbed.issuer.token().without("iat").without("auth_time");
    testbed.get("/orders").bearer(testbed.issuer.token().without("iat").sign()).await.passes();
    testbed.get("/orders").bearer(undated().claim("nbf", json!(now_s() - 5)).sign()).await.passes();
    refused(&testbed, "no date", &undated()).await;
    assert_eq!(testbed.envoy.vm_reloads().await, 0, "{}", testbed.envoy.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_client_is_read_from_the_claims_of_the_policy_by_the_filter_and_by_the_service() {
    let testbed = testbed(|issuer| {
        issuer["client_claims"] = json!(["cid"]);
        issuer["machine"] = json!({"idtyp": "app"});
    })
    .await;
    let okta = || testbed.issuer.token().without("client_id").claim("cid", json!("okta-web"));
    let answer = testbed.get("/orders").bearer(okta().sign()).await;
    assert_eq!(answer.passes().echoed("x-portcullis-client"), ["okta-web"]);
    // A name from the claim that is not read matches no session, and the answer says so.
    let issuer = testbed.issuer.name.clone();
    let made = async |client: &str| {
        let body = json!({"issuer": issuer, "client_id": client});
        testbed.service.admin().call("POST", "/v1/revocations").json(&body).await.json()
    };
    testbed.get("/orders").bearer(okta().client("web").sign()).await.passes();
    let unseen = made("web").await;
    assert_eq!((&unseen["revoked"], &unseen["party_seen"]), (&json!(0), &json!(false)));
    let token = okta().sign();
    testbed.get("/orders").bearer(&token).await.passes();
    let revoked = made("okta-web").await;
    assert!(revoked["revoked"].as_u64() >= Some(2) && revoked["party_seen"] == true, "{revoked}");
    testbed.get("/orders").bearer(&token).await.refused(401, "session_revoked");

    // OAuth revocation finds the session of the machine, which any of its tokens belongs to.
    let machine = || okta().without("sid").claim("cid", json!("batch")).claim("idtyp", json!("app")).subject("robot");
    let (first, second) = (machine().sign().text, machine().claim("jti", json!("2")).sign().text);
    testbed.get("/orders").bearer(&first).await.passes();
    let credential = testbed.filter_credential();
    let call = testbed.service.client().call("POST", "/oauth2/revoke").bearer(&credential);
    let call = call.header("content-type", "application/x-www-form-urlencoded").body(format!("token={second}"));
    call.await.status(200);
    testbed.get("/orders").bearer(&first).await.refused(401, "session_revoked");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bound_token_is_refused_unless_the_policy_takes_it_as_a_bearer_token() {
    let bound = |testbed: &Testbed| {
        let dpop = testbed.issuer.token().claim("cnf", json!({"jkt": "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"}));
        [dpop, testbed.issuer.token().claim("cnf", json!({"x5t#S256": "bwcK0esc3ACC3DB2Y5_lESsXE8o9ltc05O89jdN-dg2"}))]
    };
    let strict = testbed(|_| {}).await;
    for token in bound(&strict) {
        refused(&strict, "bound", &token).await;
    }
    drop(strict);
    let bearer = testbed(|issuer| issuer["bound_tokens"] = json!("bearer")).await;
    for token in bound(&bearer) {
        bearer.get("/orders").bearer(token.sign()).await.passes();
    }
}
