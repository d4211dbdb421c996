//! Blocks: what comes from a party is refused from the 200 on, its open streams are cut, and it comes back when the block is over.

use portcullis_tests::{Answer, Kind, Testbed, Token, policy, until};
use serde_json::{Value, json};

/// New connections that are enough to meet every worker of Envoy.
const EVERY_WORKER: usize = 16;

fn of_subject(testbed: &Testbed, subject: &str) -> Value {
    json!({"issuer": testbed.issuer.name, "subject": subject, "reason": "by a test"})
}

fn id(block: &Value) -> &str {
    block["id"].as_str().expect("a block has an id")
}

fn passes(answer: &Answer) {
    answer.passes();
}

fn blocked(answer: &Answer) {
    answer.refused(403, "blocked");
}

async fn everywhere(testbed: &Testbed, token: &Token, demand: impl Fn(&Answer)) {
    for _ in 0..EVERY_WORKER {
        demand(&testbed.get("/me").bearer(token).fresh().await);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_live_session_that_is_blocked_is_refused_and_cut_and_comes_back_when_the_block_is_lifted() {
    let testbed = Testbed::with_policy(policy::streams()).await;
    testbed.ready().await;
    let token = |subject: &str| testbed.issuer.token().subject(subject).sign();
    let (anna, bert) = (token("anna"), token("bert"));
    let admin = testbed.service.admin();
    for token in [&anna, &bert] {
        everywhere(&testbed, token, passes).await;
    }
    for kind in Kind::FLOWING {
        let (mut stream, mut bystander) = (testbed.open(kind, &anna).await, testbed.open(kind, &bert).await);
        stream.flows().await;
        let block = admin.block(&of_subject(&testbed, "anna")).await;
        // Before any other request of hers, whose refusal would cut it as well.
        stream.is_cut().await;
        everywhere(&testbed, &anna, blocked).await;
        bystander.flows().await;
        // Nor does another session of hers begin, or another stream.
        everywhere(&testbed, &token("anna"), blocked).await;
        assert!(testbed.try_open(kind, "www.example.com", &anna).await.is_err(), "{kind:?}");
        assert_eq!(testbed.session(&anna).await["state"], "active", "a block ends nothing");

        admin.unblock(id(&block)).await;
        everywhere(&testbed, &anna, passes).await;
        testbed.open(kind, &anna).await.flows().await;
        bystander.flows().await;
    }
    let said = testbed.service.audit();
    for event in ["block_made", "block_lifted"] {
        let lines = said.iter().filter(|line| line["event"] == event).count();
        assert_eq!(lines, Kind::FLOWING.len(), "{event}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_block_survives_kill_9_and_no_on_outage_releases_what_is_known_to_be_blocked() {
    let route = |name: &str, on_outage: Value| {
        let path = format!("/{name}");
        json!({"name": name, "match": {"path": path}, "authenticated": true, "session": {"on_outage": on_outage}})
    };
    let mut policy = policy::with_routes(json!([
        route("me", json!("deny")),
        route("read", json!("read_only")),
        route("grace", json!({"grace": "1h"})),
    ]));
    policy["session"]["timeout"] = json!("1s");
    let testbed = Testbed::with_policy(policy).await;
    testbed.ready().await;
    let token = |subject: &str| testbed.issuer.token().subject(subject).sign();
    let (anna, bert) = (token("anna"), token("bert"));
    for token in [&anna, &bert] {
        for _ in 0..EVERY_WORKER {
            testbed.get("/grace").bearer(token).fresh().await.passes();
        }
    }
    testbed.service.admin().block(&of_subject(&testbed, "anna")).await;
    everywhere(&testbed, &anna, blocked).await;
    testbed.service.kill();
    for path in ["/read", "/grace"] {
        for _ in 0..EVERY_WORKER {
            testbed.get(path).bearer(&anna).fresh().await.refused(503, "session_unavailable");
            testbed.get(path).bearer(&bert).fresh().await.passes();
        }
    }
    testbed.service.restart().await;
    let answer = testbed.get("/me").bearer(&anna).fresh();
    answer.until("there are verdicts again", |answer| answer.status != 503).await.refused(403, "blocked");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_block_that_runs_out_lets_the_session_pass_again() {
    let testbed = Testbed::start().await;
    testbed.ready().await;
    let token = testbed.issuer.token().sign();
    testbed.get("/me").bearer(&token).await.passes();
    let end = std::time::SystemTime::now() + std::time::Duration::from_secs(3);
    let block = json!({
        "issuer": testbed.issuer.name, "sid": testbed.session(&token).await["key"],
        "until": portcullis_tests::scenario::rfc3339(end),
    });
    testbed.service.admin().block(&block).await;
    testbed.get("/me").bearer(&token).await.refused(403, "blocked");
    until("the block runs out", async || {
        let answer = testbed.get("/me").bearer(&token).fresh().await;
        let is_over = std::time::SystemTime::now() >= end;
        assert!(is_over || answer.status == 403, "{answer:?}");
        (answer.status == 200).then_some(())
    })
    .await;
}
