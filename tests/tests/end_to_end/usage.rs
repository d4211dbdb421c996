//! What is used, as a real Envoy and the service count it together, and what the tool makes of it.

use portcullis_tests::{Testbed, dist, policy, root, until};
use serde_json::{Value, json};
use std::process::Command;

/// The sum of a member over the entries about a scope or a route.
fn sum(list: &Value, name: (&str, &str), member: &str) -> u64 {
    let entries = list.as_array().expect("a list").iter();
    entries.filter(|of| of[name.0] == name.1).map(|of| of[member].as_u64().expect("a count")).sum()
}

async fn usage(testbed: &Testbed) -> Value {
    let answer = testbed.service.admin().call("GET", "/v1/usage?since=1d").await;
    serde_json::from_slice(&answer.body).expect("JSON")
}

#[tokio::test(flavor = "multi_thread")]
async fn every_request_is_counted_once_wherever_it_was_decided() {
    let testbed = Testbed::with_policy(policy::patient()).await;
    testbed.ready().await;
    let before = usage(&testbed).await;
    let routes = |usage: &Value, name: &str| sum(&usage["routes"], ("route", name), "count");
    let scopes = |usage: &Value, member: &str| sum(&usage["scopes"], ("scope", "orders:read"), member);
    let (reads, none) = (testbed.issuer.token().sign(), testbed.issuer.token().scopes("admin").sign());
    for _ in 0..12 {
        testbed.get("/orders").bearer(&reads).fresh().await.passes();
    }
    for _ in 0..7 {
        testbed.get("/orders").bearer(&none).fresh().await.refused(403, "insufficient_scope");
    }
    for _ in 0..5 {
        testbed.get("/healthz").fresh().await.passes();
    }
    // Within ten seconds, wherever they were counted.
    let after = until("all requests are counted", async || {
        let now = usage(&testbed).await;
        let more = |count: &dyn Fn(&Value) -> u64| count(&now) - count(&before);
        let counts = [
            more(&|usage| routes(usage, "orders.list")),
            more(&|usage| scopes(usage, "granted")),
            more(&|usage| scopes(usage, "refused")),
        ];
        let is_complete = counts == [19, 12, 7] && more(&|usage| routes(usage, "health")) >= 5;
        assert!(counts[0] <= 19 && counts[1] <= 12 && counts[2] <= 7, "{now}");
        is_complete.then_some(now)
    })
    .await;

    // What the tool proposes is less permissive, and keeps what was used.
    let dir = tempfile::tempdir().expect("a folder");
    let [old, new, used] = ["old.json", "new.json", "usage.json"].map(|name| dir.path().join(name));
    std::fs::write(&old, serde_json::to_string_pretty(&policy::patient()).expect("JSON")).expect("a file");
    std::fs::write(&used, after.to_string()).expect("a file");
    let portcullis = || {
        let mut command = Command::new(dist("portcullis"));
        command.current_dir(root());
        command
    };
    let stale = portcullis().args(["scopes", "stale", "--policy"]).arg(&old).arg("--usage").arg(&used).output();
    assert_eq!(stale.expect("the program runs").status.code(), Some(4), "admin routes were not used");
    let tightened = portcullis()
        .args(["policy", "tighten", "--output", "policy"])
        .arg(&old)
        .arg("--usage")
        .arg(&used)
        .output()
        .expect("the program runs");
    assert!(tightened.status.success(), "{}", String::from_utf8_lossy(&tightened.stderr));
    std::fs::write(&new, &tightened.stdout).expect("a file");
    let compared = portcullis().args(["policy", "diff"]).args([&old, &new]).output().expect("the program runs");
    assert_eq!(compared.status.code(), Some(0), "{}", String::from_utf8_lossy(&compared.stdout));
    let proposed: Value = serde_json::from_slice(&tightened.stdout).expect("JSON");
    assert_eq!(proposed["scopes"]["orders:read"], policy::patient()["scopes"]["orders:read"]);
    assert_ne!(proposed["scopes"]["orders:read"], json!(null));
}
