//! Bound tokens: a request needs a proof by the token's key, or the token's certificate, or both.

use futures_util::future::join_all;
use portcullis_tests::{
    Algorithm, Answer, Call, Client, ClientCertificate, DpopClient, FRESH, FakeService, Mtls, Postgres, Redis, Testbed,
    Token, policy, redis_at, redis_store, shared_store, until,
};
use serde_json::{Value, json};

const HOST: &str = "api.example.com";
const URL: &str = "http://api.example.com/me";

/// The name in the certificate of the only trusted hop.
const HOP: &str = "spiffe://example.com/edge";

fn verifying(dpop: Value) -> Value {
    let mut policy = policy::patient();
    policy["issuers"][0]["bound_tokens"] = json!("verify");
    policy["trusted_hops"] = json!([HOP]);
    policy["dpop"] = dpop;
    policy
}

async fn testbed(dpop: Value) -> Testbed {
    let testbed = Testbed::with_policy(verifying(dpop)).await;
    testbed.ready().await;
    testbed
}

fn show(testbed: &Testbed, token: &Token, proof: &str) -> Call {
    let call = testbed.get("/me").host(HOST).header("authorization", format!("DPoP {}", token.text));
    call.header("dpop", proof)
}

fn challenge(answer: &Answer) -> Vec<&str> {
    answer.headers.get_all("www-authenticate").iter().map(|value| value.to_str().expect("text")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proof_opens_one_request_whichever_worker_gets_it() {
    let testbed = testbed(json!({"algorithms": ["ES256", "EdDSA", "RS256"]})).await;
    for algorithm in [Algorithm::ES256, Algorithm::EdDSA, Algorithm::RS256] {
        let client = DpopClient::new(algorithm);
        let token = testbed.issuer.token().claim("cnf", client.cnf()).sign();
        let proof = client.proof("GET", URL, &token);
        let answer = show(&testbed, &token, &proof).await;
        assert_eq!(answer.passes().echoed("dpop"), [""; 0], "the proof is not for the upstream");
        for _ in 0..FRESH {
            let again = show(&testbed, &token, &proof).fresh().await;
            let expected = "DPoP error=\"invalid_dpop_proof\", algs=\"ES256 EdDSA RS256\"";
            assert_eq!(challenge(again.refused(401, "invalid_dpop_proof")), [expected]);
        }
        show(&testbed, &token, &client.proof("GET", URL, &token)).await.passes();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_requests_at_once_with_one_proof_exactly_one_passes() {
    let testbed = testbed(json!({})).await;
    let client = DpopClient::new(Algorithm::ES256);
    let token = testbed.issuer.token().claim("cnf", client.cnf()).sign();
    // The token is known to both workers, so that nothing but the proof decides.
    for _ in 0..FRESH {
        show(&testbed, &token, &client.proof("GET", URL, &token)).fresh().await.passes();
    }
    for _ in 0..10 {
        let proof = client.proof("GET", URL, &token);
        let calls = (0..FRESH).map(|_| async { show(&testbed, &token, &proof).fresh().await });
        let answers = join_all(calls).await;
        let passed = answers.iter().filter(|answer| answer.status == 200).count();
        let refused = answers.iter().filter(|answer| answer.code() == "invalid_dpop_proof").count();
        assert_eq!((passed, refused), (1, FRESH - 1));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proof_that_was_used_is_refused_after_a_restart_of_the_service() {
    let testbed = testbed(json!({})).await;
    let client = DpopClient::new(Algorithm::EdDSA);
    let token = testbed.issuer.token().claim("cnf", client.cnf()).sign();
    let proof = client.proof("GET", URL, &token);
    show(&testbed, &token, &proof).await.passes();
    testbed.service.kill();
    testbed.service.restart().await;
    testbed.ready().await;
    show(&testbed, &token, &proof).await.refused(401, "invalid_dpop_proof");
    testbed.service.kill();
    let unseen = client.proof("GET", URL, &token);
    let call = show(&testbed, &token, &unseen);
    call.until("there is no verdict", |answer| answer.code() == "session_unavailable").await;
}

/// Of requests at once with one proof, to two Envoys in front of two replicas, exactly one passes; later ones do not either.
async fn a_proof_is_used_once(store: Value) {
    let testbed = Testbed::builder().policy(verifying(json!({}))).replicas(2, store).start().await;
    testbed.ready().await;
    let other = testbed.another_envoy().await;
    let clients = [testbed.client(), Client::new(other.address)];
    let unbound = testbed.issuer.token().sign();
    until("every worker of the other Envoy is warm", async || {
        let mut passed = 0;
        while passed < FRESH && clients[1].get("/me").bearer(&unbound).fresh().await.status == 200 {
            passed += 1;
        }
        (passed == FRESH).then_some(())
    })
    .await;
    let client = DpopClient::new(Algorithm::ES256);
    let token = testbed.issuer.token().claim("cnf", client.cnf()).sign();
    let show = |number: usize, proof: &str| {
        let call = clients[number % 2].get("/me").host(HOST).header("dpop", proof);
        call.header("authorization", format!("DPoP {}", token.text)).fresh()
    };
    // A replica that was stopped for a moment gives no verdict for as long. A proof that nobody has passed with says nothing.
    let mut used = 0;
    for _ in 0..40 {
        let proof = client.proof("GET", URL, &token);
        let call = |number: usize| show(number, &proof);
        let answers = join_all((0..FRESH).map(|number| {
            let call = call(number);
            async move { call.await }
        }))
        .await;
        let passed = answers.iter().filter(|answer| answer.status == 200).count();
        let has_verdicts = answers.iter().all(|answer| answer.status != 503);
        assert!(passed == 1 || (passed == 0 && !has_verdicts), "{answers:?}");
        for number in (0..FRESH).filter(|_| passed == 1) {
            let again = call(number).await;
            assert!(again.status == 503 || again.code() == "invalid_dpop_proof", "{again:?}");
        }
        used += usize::from(passed == 1 && has_verdicts);
        if used == 10 {
            return;
        }
    }
    panic!("{used} proofs were judged by both replicas");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL: run by `make test-faults`"]
async fn a_proof_is_used_once_whichever_replica_over_postgresql_is_asked() {
    let postgres = Postgres::start().await;
    a_proof_is_used_once(shared_store(&postgres.url())).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Redis: run by `make test-faults`"]
async fn a_proof_is_used_once_whichever_replica_over_redis_is_asked() {
    let redis = Redis::start().await;
    a_proof_is_used_once(redis_store(redis_at(redis.port()), 2)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stolen_token_is_worth_nothing() {
    let testbed = testbed(json!({})).await;
    let (client, thief) = (DpopClient::new(Algorithm::ES256), DpopClient::new(Algorithm::ES256));
    let token = testbed.issuer.token().claim("cnf", client.cnf()).sign();
    let changed = |changes: Value| client.proof_with("GET", URL, &token, &changes);
    for proof in [
        thief.proof("GET", URL, &token),
        client.proof("POST", URL, &token),
        client.proof("GET", "http://api.example.com/orders", &token),
        client.proof("GET", "https://api.example.com/me", &token),
        changed(json!({"iat": 1})),
        changed(json!({"ath": "x"})),
        changed(json!({"jti": ""})),
        "x".to_owned(),
    ] {
        show(&testbed, &token, &proof).await.refused(401, "invalid_dpop_proof");
    }
    let twice =
        show(&testbed, &token, &client.proof("GET", URL, &token)).header("dpop", client.proof("GET", URL, &token));
    twice.await.refused(401, "invalid_dpop_proof");
    let bearer = testbed.get("/me").host(HOST).bearer(&token).header("dpop", client.proof("GET", URL, &token)).await;
    let dpop = "DPoP realm=\"orders\", algs=\"ES256 EdDSA\"";
    assert_eq!(
        challenge(bearer.refused(401, "invalid_token")),
        ["Bearer realm=\"orders\", error=\"invalid_token\"", dpop]
    );
    let unbound = testbed.issuer.token().sign();
    show(&testbed, &unbound, &client.proof("GET", URL, &unbound)).await.refused(401, "invalid_token");
    testbed.get("/me").bearer(&unbound).await.passes();
    let none = testbed.get("/me").await;
    assert_eq!(challenge(none.refused(401, "no_credentials")), ["Bearer realm=\"orders\"", dpop]);
    let public = testbed.get("/healthz").header("dpop", "x").await;
    assert_eq!(public.passes().echoed("dpop"), [""; 0]);
    until("the log says why", async || {
        let log = testbed.envoy.log();
        (log.contains("refused a token: reason=bound") && !log.contains(&token.text)).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_nonce_that_a_worker_hands_out_is_good_for_every_other() {
    let testbed = testbed(json!({"nonce": "required"})).await;
    let client = DpopClient::new(Algorithm::ES256);
    let token = testbed.issuer.token().claim("cnf", client.cnf()).sign();
    let refused = show(&testbed, &token, &client.proof("GET", URL, &token)).await;
    let expected = "DPoP error=\"use_dpop_nonce\", algs=\"ES256 EdDSA\"";
    assert_eq!(challenge(refused.refused(401, "use_dpop_nonce")), [expected]);
    let nonce = refused.header("dpop-nonce").to_owned();
    for _ in 0..FRESH {
        let proof = client.proof_with("GET", URL, &token, &json!({"nonce": nonce}));
        show(&testbed, &token, &proof).fresh().await.passes();
    }
    testbed.service.kill();
    testbed.service.restart().await;
    testbed.ready().await;
    let proof = client.proof_with("GET", URL, &token, &json!({"nonce": nonce}));
    show(&testbed, &token, &proof).await.passes();
}

async fn with_tls(policy: Value, service: Option<&FakeService>) -> (Mtls, Testbed) {
    let mtls = Mtls::new();
    let mut builder = Testbed::builder().policy(policy).bootstrap(mtls.listen());
    if let Some(service) = service {
        builder = builder.cluster("session", service.address.port());
    }
    let testbed = builder.start().await;
    testbed.ready().await;
    let token = format!("Bearer {}", testbed.issuer.token().sign().text);
    let headers = [("host", HOST), ("authorization", token.as_str())];
    until("the listener with TLS answers", async || {
        mtls.try_get("/me", &headers, None).await.ok().filter(|answer| answer.status == 200)
    })
    .await;
    (mtls, testbed)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_is_bound_to_a_certificate_needs_its_connection() {
    let (mtls, testbed) = with_tls(verifying(json!({})), None).await;
    let (own, other, hop) = (mtls.client("spiffe://laptop"), mtls.client("spiffe://other"), mtls.client(HOP));
    let token = testbed.issuer.token().claim("cnf", own.cnf()).sign();
    let bearer = format!("Bearer {}", token.text);
    let reported = format!("Hash={};URI=spiffe://laptop", own.hash());
    let plain = [("host", HOST), ("authorization", bearer.as_str())];
    let forwarding = [plain[0], plain[1], ("x-forwarded-client-cert", reported.as_str())];
    let get = async |headers: &[(&str, &str)], certificate: Option<&ClientCertificate>| {
        mtls.get("/me", headers, certificate).await
    };
    get(&plain, Some(&own)).await.passes();
    get(&forwarding, Some(&hop)).await.passes();
    for answer in [
        get(&plain, None).await,
        get(&plain, Some(&other)).await,
        get(&plain, Some(&hop)).await,
        get(&forwarding, None).await,
        get(&forwarding, Some(&other)).await,
    ] {
        answer.refused(401, "invalid_token");
    }
    testbed.get("/me").bearer(&token).header("x-forwarded-client-cert", &reported).await.refused(401, "invalid_token");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_is_bound_to_both_needs_both() {
    let (mtls, testbed) = with_tls(verifying(json!({})), None).await;
    let (certificate, client) = (mtls.client("spiffe://laptop"), DpopClient::new(Algorithm::ES256));
    let mut cnf = client.cnf();
    cnf["x5t#S256"] = certificate.cnf()["x5t#S256"].clone();
    let token = testbed.issuer.token().claim("cnf", cnf).sign();
    let authorization = format!("DPoP {}", token.text);
    let get = async |proof: Option<String>, certificate: Option<&ClientCertificate>| {
        let mut headers = vec![("host", HOST), ("authorization", authorization.as_str())];
        headers.extend(proof.as_deref().map(|proof| ("dpop", proof)));
        mtls.get("/me", &headers, certificate).await
    };
    let proof = |url: &str| Some(client.proof("GET", url, &token));
    let url = "https://api.example.com/me";
    get(proof(url), Some(&certificate)).await.passes();
    get(proof(url), None).await.refused(401, "invalid_token");
    get(None, Some(&certificate)).await.refused(401, "invalid_dpop_proof");
    get(proof(URL), Some(&certificate)).await.refused(401, "invalid_dpop_proof");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_service_is_told_the_certificate_of_the_client_or_of_whom_a_trusted_hop_reports() {
    let fake = FakeService::start().await;
    fake.claim_conditions();
    let mut policy = policy::patient();
    policy["trusted_hops"] = json!([HOP]);
    policy["session"]["attributes"] = json!({"client_certificate": true});
    let (mtls, testbed) = with_tls(policy, Some(&fake)).await;
    let (own, hop) = (mtls.client("spiffe://laptop"), mtls.client(HOP));
    let bearer = format!("Bearer {}", testbed.issuer.token().sign().text);
    let reported = format!("Hash={};URI=spiffe://laptop", own.hash());
    let plain = [("host", HOST), ("authorization", bearer.as_str())];
    let forwarding = [plain[0], plain[1], ("x-forwarded-client-cert", reported.as_str())];
    let told = async |headers: &[(&str, &str)], certificate: Option<&ClientCertificate>| {
        mtls.get("/me", headers, certificate).await.passes();
        let circumstances = fake.last_asked().and_then(|question| question.circumstances).expect("circumstances");
        circumstances.attributes.first().map(|attribute| attribute.value.clone())
    };
    assert_eq!(told(&plain, Some(&own)).await, Some(own.hash()));
    assert_eq!(told(&forwarding, Some(&hop)).await, Some(own.hash()));
    assert_eq!(told(&plain, Some(&hop)).await, None, "a hop that says nothing of its client");
    assert_eq!(told(&forwarding, None).await, None, "a client's own word");
}
