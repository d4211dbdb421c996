//! Why a token was refused, as an operator sees it, and what becomes of tokens while keys change or cannot be fetched.

use portcullis_tests::{Client, IssuerBehaviour, Testbed, policy, until};
use serde_json::{Value, json};
use std::time::Duration;

fn with_issuer(edit: impl FnOnce(&mut Value)) -> Value {
    let mut policy = policy::patient();
    edit(&mut policy["issuers"][0]);
    policy
}

#[tokio::test(flavor = "multi_thread")]
async fn twenty_refused_tokens_say_why_in_counter_access_log_and_log() {
    let testbed = Testbed::start().await;
    testbed.ready().await;
    let token = testbed.issuer.token().claim("aud", json!("billing-api")).sign();
    for _ in 0..20 {
        let answer = testbed.get("/orders").bearer(&token).await;
        answer.refused(401, "invalid_token");
        assert!(!format!("{answer:?}").contains("audience"), "the client does not learn it: {answer:?}");
    }
    let log = until("a line about the tokens", async || {
        let log = testbed.envoy.log();
        log.contains("reason=audience").then_some(log)
    })
    .await;
    let line = log.lines().find(|line| line.contains("reason=audience")).expect("a line");
    let key = &testbed.issuer.key_set()["keys"][0]["kid"];
    assert!(line.contains(&format!("issuer=\"{}\" kid={key}", testbed.issuer.name)), "{line}");
    assert!(!log.contains(token.text.rsplit('.').next().expect("a signature")), "the token is in the log");
    let counter = "portcullis.refused_tokens.reason.audience";
    until("the counter says 20", async || (testbed.envoy.stat(counter).await == 20).then_some(())).await;
    let prometheus = Client::new(testbed.envoy.admin).get("/stats/prometheus").await;
    let text = String::from_utf8_lossy(&prometheus.body).into_owned();
    let counted = text.lines().find(|line| line.contains("portcullis_refused_tokens{") && line.contains("audience"));
    assert!(counted.is_some_and(|line| line.contains("portcullis_reason=\"audience\"")), "{counted:?}");
    let expected = "code=invalid_token reason=audience route=orders.list session=-";
    let lines = testbed.envoy.access_log();
    assert!(lines.iter().any(|line| line["portcullis"] == expected), "{lines:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_of_a_new_key_is_answered_with_503_while_the_key_server_fails() {
    let testbed = Testbed::start().await;
    testbed.ready().await;
    for status in [503, 500] {
        testbed.issuer.rotate();
        let token = testbed.issuer.token().sign();
        testbed.issuer.behave(IssuerBehaviour::Status(status));
        for _ in 0..5 {
            let answer = testbed.get("/orders").bearer(&token).fresh().await;
            answer.refused(503, "keys_unavailable");
            assert!(!answer.header("retry-after").is_empty(), "{answer:?}");
        }
        testbed.issuer.behave(IssuerBehaviour::Serve);
        let call = testbed.get("/orders").bearer(&token);
        call.until("the key server answers again", |answer| answer.status == 200).await.passes();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_was_replaced_under_its_kid_is_used_long_before_the_refresh() {
    let testbed = Testbed::start().await;
    testbed.ready().await;
    let old = testbed.issuer.token().sign();
    testbed.get("/orders").bearer(&old).await.passes();
    testbed.issuer.replace_key();
    let token = testbed.issuer.token().sign();
    let before = testbed.issuer.fetches();
    // Each worker fetches for its own first request.
    for _ in 0..10 {
        testbed.get("/orders").bearer(&token).fresh().await.passes();
    }
    assert!((1..=4).contains(&(testbed.issuer.fetches() - before)), "{} fetches", testbed.issuer.fetches() - before);
    let call = testbed.get("/orders").bearer(&old);
    call.until("the old key is withdrawn", |answer| answer.status == 401).await.refused(401, "invalid_token");
}

#[tokio::test(flavor = "multi_thread")]
async fn forged_signatures_do_not_hammer_the_issuer() {
    let testbed = Testbed::start().await;
    testbed.ready().await;
    let before = testbed.issuer.fetches();
    let forged = testbed.issuer.token().signed_by(&testbed.partner.publish(portcullis_tests::Algorithm::ES256)).sign();
    for _ in 0..100 {
        testbed.get("/orders").bearer(&forged).fresh().await.refused(401, "invalid_token");
    }
    let fetches = testbed.issuer.fetches() - before;
    assert!(fetches <= 12, "100 forged signatures made {fetches} fetches");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_of_22_kib_passes_where_the_policy_allows_it() {
    let groups: Vec<String> = (0..500).map(|number| format!("a group of the directory {number:05}")).collect();
    for (token_bytes, status) in [(None, 401), (Some(24_576), 200)] {
        let mut policy = policy::patient();
        if let Some(token_bytes) = token_bytes {
            policy["limits"] = json!({"token_bytes": token_bytes});
        }
        let testbed = Testbed::with_policy(policy).await;
        testbed.ready().await;
        let token = testbed.issuer.token().claim("groups", json!(groups)).sign();
        assert!((22_000..24_000).contains(&token.text.len()), "{}", token.text.len());
        testbed.get("/orders").bearer(&token).await.status(status);
        let counter = "portcullis.refused_tokens.reason.too_long";
        let refused = u64::from(status == 401);
        until("the counter", async || (testbed.envoy.stat(counter).await == refused).then_some(())).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_set_with_a_thousand_keys_is_used_and_a_larger_one_is_not() {
    let testbed = Testbed::builder().keys(IssuerBehaviour::Status(503)).start().await;
    let mut keys = testbed.issuer.key_set();
    let real = keys["keys"][0].clone();
    let fill = |count: usize| {
        let other = |number: usize| {
            let mut key = real.clone();
            key["kid"] = json!(format!("other-{number}"));
            key
        };
        (0..count).map(other).chain([real.clone()]).collect::<Vec<_>>()
    };
    keys["keys"] = json!(fill(1_000));
    testbed.issuer.behave(IssuerBehaviour::Body(keys.to_string()));
    let log = until("a line about the set", async || {
        let log = testbed.envoy.log();
        log.contains("more than 1000 keys").then_some(log)
    });
    assert!(log.await.contains("the key set contains more than 1000 keys"));
    keys["keys"] = json!(fill(999));
    testbed.issuer.behave(IssuerBehaviour::Body(keys.to_string()));
    let token = testbed.issuer.token().sign();
    let call = testbed.get("/orders").bearer(&token);
    call.until("the set is used", |answer| answer.status == 200).await.passes();
}

#[tokio::test(flavor = "multi_thread")]
async fn fetches_say_who_makes_them() {
    let testbed = Testbed::start().await;
    testbed.ready().await;
    let expected = concat!("portcullis/", env!("CARGO_PKG_VERSION"));
    let callers = testbed.issuer.callers();
    assert!(!callers.is_empty() && callers.iter().all(|caller| caller == expected), "{callers:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn issuers_with_one_key_set_share_its_fetches() {
    let alone = Testbed::start().await;
    alone.ready().await;
    let mut policy = policy::patient();
    let issuers = policy["issuers"].as_array_mut().expect("a list");
    for number in 0..20 {
        let mut tenant = issuers[0].clone();
        tenant["issuer"] = json!(format!("https://tenant-{number}.example.com"));
        issuers.push(tenant);
    }
    let testbed = Testbed::with_policy(policy).await;
    testbed.ready().await;
    let tenant = testbed.issuer.token().claim("iss", json!("https://tenant-7.example.com")).sign();
    testbed.get("/orders").bearer(&tenant).await.passes();
    let (one, many) = (alone.issuer.fetches(), testbed.issuer.fetches());
    assert_eq!(one, many, "fetches of one issuer, and of 21");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_server_that_does_not_answer_is_no_reason_for_a_401() {
    let mut policy = with_issuer(|_| {});
    policy["session"]["timeout"] = json!("500ms");
    let testbed = Testbed::with_policy(policy).await;
    testbed.ready().await;
    testbed.issuer.rotate();
    testbed.issuer.behave(IssuerBehaviour::Late(Duration::from_secs(20)));
    let token = testbed.issuer.token().sign();
    testbed.get("/orders").bearer(&token).await.refused(503, "keys_unavailable");
}
