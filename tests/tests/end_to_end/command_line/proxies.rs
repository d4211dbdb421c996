//! `policy digest`, `policy diff --envoy` and `shadow report`, beside a real Envoy and its log.

use super::{portcullis, run, stderr};
use portcullis_tests::{Testbed, Watch, policy, until};
use serde_json::{Value, json};
use std::io::Write;

fn file(policy: &Value) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().expect("a file");
    file.write_all(policy.to_string().as_bytes()).expect("it is written");
    file
}

#[tokio::test(flavor = "multi_thread")]
async fn the_digest_of_a_file_is_the_one_that_envoy_logs_and_diff_compares_with_what_a_proxy_has() {
    let testbed = Testbed::start().await;
    testbed.ready().await;
    let admin = format!("http://{}", testbed.envoy.admin);
    let log = testbed.envoy.log();
    let logged = log.lines().find_map(|line| line.split_once("portcullis: policy ")?.1.strip_suffix(" is in force"));
    let dump = portcullis_tests::Client::new(testbed.envoy.admin).get("/config_dump").await.json();
    let listeners = dump["configs"].as_array().expect("sections").iter().find_map(|of| of.get("static_listeners"));
    let path =
        "/0/listener/filter_chains/0/filters/0/typed_config/http_filters/0/typed_config/config/configuration/value";
    let mut enforced = listeners.and_then(|of| of.pointer(path)).expect("a policy").clone();
    let old = file(&enforced);
    let digest = run(portcullis().args(["policy", "digest"]).arg(old.path()));
    assert_eq!(digest.split_whitespace().next(), logged, "{log}");

    let same = run(portcullis().args(["policy", "diff", "--envoy", &admin]).arg(old.path()));
    assert_eq!(same, "the policies have the same meaning\n");
    let routes = enforced["routes"].as_array_mut().expect("routes");
    let list = routes.iter_mut().find(|route| route["name"] == "orders.list").expect("a route");
    list["mode"] = json!("shadow");
    let new = file(&enforced);
    let output = portcullis().args(["policy", "diff", "--envoy", &admin]).arg(new.path()).output().expect("it runs");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(3), "{said}{}", stderr(&output));
    assert!(said.contains("orders.list: `mode` is `shadow`: nothing is refused any more"), "{said}");
}

/// Istio delivers a `WasmPlugin` like this: the listener only names its filter.
#[tokio::test(flavor = "multi_thread")]
async fn check_sees_in_a_dump_what_surrounds_a_policy_that_the_listener_discovers() {
    const MANAGER: &str = "/static_resources/listeners/0/filter_chains/0/filters/0/typed_config";
    let careless = |bootstrap: &mut Value| {
        let manager = bootstrap.pointer_mut(MANAGER).expect("a manager");
        manager["delayed_close_timeout"] = json!("3s");
        manager["normalize_path"] = json!(true);
        manager["route_config"]["virtual_hosts"][0]["routes"][0]["route"]["prefix_rewrite"] = json!("/");
    };
    let testbed = Testbed::builder().bootstrap(careless).watch(Watch::Filter).start().await;
    testbed.ready().await;
    let dump = file(&portcullis_tests::Client::new(testbed.envoy.admin).get("/config_dump").await.json());
    let listed = run(portcullis().args(["policy", "digest"]).arg(dump.path()));
    let digest = listed.split_whitespace().next().expect("a digest");
    for arguments in [&[][..], &["--digest", &digest[..12]]] {
        let found = run(portcullis().args(["policy", "check", "--output", "json"]).args(arguments).arg(dump.path()));
        let found: Value = serde_json::from_str(&found).expect("JSON");
        let codes = found.as_array().expect("a list").iter().filter_map(|one| one["code"].as_str());
        let around = ["delayed_close", "path_normalized", "path_changed_behind", "filter_order", "cluster_unknown"];
        let more = ["credential_not_passed", "session_cluster_http1", "keys_without_tls"];
        let mut codes: Vec<_> = codes.filter(|code| around.contains(code) || more.contains(code)).collect();
        codes.sort_unstable();
        assert_eq!(codes, ["delayed_close", "path_changed_behind", "path_normalized"], "{found:#}");
    }
    let other = portcullis().args(["policy", "check", "--digest", "x"]).arg(dump.path()).output().expect("it runs");
    assert!(stderr(&other).contains("no policy whose digest begins with `x`"), "{}", stderr(&other));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_report_on_shadow_mode_names_route_client_and_missing_scope() {
    let mut policy = policy::patient();
    policy["mode"] = json!("shadow");
    let testbed = Testbed::with_policy(policy).await;
    testbed.ready().await;
    let token = testbed.issuer.token().client("kasse").scopes("none").sign();
    for _ in 0..3 {
        testbed.get("/orders").bearer(&token).await.passes();
    }
    testbed.get("/orders").await.passes();
    let log = until("the log has them", async || {
        let lines: Vec<_> = testbed.envoy.access_log().iter().map(Value::to_string).collect();
        (lines.iter().filter(|line| line.contains("shadow:")).count() == 4).then(|| lines.join("\n"))
    })
    .await;
    let mut access_log = tempfile::NamedTempFile::new().expect("a file");
    access_log.write_all(log.as_bytes()).expect("it is written");
    let report = run(portcullis().args(["shadow", "report"]).arg(access_log.path()));
    assert!(report.contains("would have refused 4"), "{report}");
    let line = report.lines().find(|line| line.contains("kasse")).expect("a line");
    assert!(line.starts_with("3 of ") && line.contains("orders.list") && line.contains("`orders:read`"), "{report}");
    let json = run(portcullis().args(["shadow", "report", "--output", "json"]).arg(access_log.path()));
    let json: Value = serde_json::from_str(&json).expect("JSON");
    assert_eq!(json["refused"][0]["missing"], json!({"all_of": ["orders:read"], "any_of": []}));
}
