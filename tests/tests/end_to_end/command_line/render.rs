//! What `policy render` writes for Envoy is loaded by the real Envoy, which hands the filter the same policy.

use super::{portcullis, run, stderr};
use portcullis_tests::{Client, Testbed, envoy_program, policy, root, shipped_file, until};
use serde_json::{Value, json};
use std::{
    path::{Path, PathBuf},
    process::Command,
};

const FILTERS: &str = "/static_resources/listeners/0/filter_chains/0/filters/0/typed_config/http_filters";
const WASM: &str = "type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm";

fn rendered(policy: &Path) -> String {
    run(portcullis().args(["policy", "render", "--as", "envoy"]).arg(policy))
}

/// The shipped bootstrap with the rendered filter in place of its own, word for word.
fn bootstrap_with(filter: &str) -> String {
    let mut all = shipped_file("envoy.yaml");
    *all.pointer_mut(FILTERS).and_then(|filters| filters.get_mut(0)).expect("a filter") = json!("RENDERED");
    let text = serde_saphyr::to_string(&all).expect("YAML");
    let (before, after) = text.split_once("RENDERED").expect("where the filter stood");
    let indent = before.rsplit('\n').next().expect("a line").replace('-', " ");
    format!("{before}{}{after}", filter.trim_end().replace('\n', &format!("\n{indent}")))
}

/// Every policy that the repository ships: those of the examples, and that of the bootstrap, which is written to `dir`.
fn policy_files(dir: &Path) -> Vec<PathBuf> {
    let shipped = dir.join("shipped.json");
    std::fs::write(&shipped, policy::shipped().to_string()).expect("a temporary file can be written");
    let examples = policy::examples().into_iter().map(|name| policy::example_file(&name, "policy.yaml"));
    examples.chain([shipped]).collect()
}

#[test]
fn envoy_loads_what_is_rendered_of_every_policy() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    for policy in policy_files(dir.path()) {
        let config = dir.path().join("envoy.yaml");
        std::fs::write(&config, bootstrap_with(&rendered(&policy))).expect("a temporary file can be written");
        let mut command = Command::new(envoy_program());
        command.args(["--mode", "validate", "--log-level", "warning", "-c"]).arg(&config).current_dir(root());
        let output = command.output().expect("`make build` leaves Envoy in dist/");
        assert!(output.status.success(), "{}: {}", policy.display(), stderr(&output));
    }
}

/// A testbed whose Envoy reads the rendered filter itself, from its file.
async fn testbed_with(policy: &Value, dir: &Path) -> Testbed {
    let file = dir.join("policy.json");
    std::fs::write(&file, policy.to_string()).expect("a temporary file can be written");
    let filter = rendered(&file).replace('\n', "\n  ");
    let resource = "type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig";
    let resources = format!("resources:\n- \"@type\": {resource}\n  {}\n", filter.trim_end());
    let file = dir.join("filter.yaml");
    std::fs::write(&file, resources).expect("a temporary file can be written");
    let discovery = json!({
        "name": "portcullis",
        "config_discovery": {
            "config_source": {"path_config_source": {"path": file}, "initial_fetch_timeout": "30s"},
            "type_urls": [WASM],
        },
    });
    let edit = move |all: &mut Value| {
        *all.pointer_mut(FILTERS).and_then(|filters| filters.get_mut(0)).expect("a filter") = discovery;
        all["node"] = json!({"id": "edge", "cluster": "edge"});
    };
    Testbed::builder().bootstrap(edit).start().await
}

/// The filter's configuration, as Envoy has it.
async fn policy_in(testbed: &Testbed) -> Value {
    until("Envoy has the filter", async || {
        let dump = Client::new(testbed.envoy.admin).get("/config_dump?resource=ecds_filters").await.json();
        let config = dump.pointer("/configs/0/ecds_filter/typed_config/config/configuration/value");
        config.cloned()
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_filter_gets_the_policy_that_was_rendered_and_answers_by_it() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let policy = policy::patient();
    let testbed = testbed_with(&policy, dir.path()).await;
    assert_eq!(policy_in(&testbed).await, policy);
    testbed.ready().await;
    let token = testbed.issuer.token().scopes("orders:read").sign();
    testbed.get("/healthz").await.passes();
    testbed.get("/orders").await.refused(401, "no_credentials");
    testbed.get("/orders").bearer(&token).await.passes();
    testbed.call("PUT", "/orders/7").bearer(&token).await.refused(403, "insufficient_scope");
    testbed.get("/nowhere").bearer(&token).await.refused(403, "no_route");
}

/// Words that YAML 1.1 readers, such as Envoy's, do not read as text.
const WORDS: [&str; 19] = [
    "y",
    "NO",
    "on",
    "Off",
    "true",
    "null",
    "~",
    "012",
    "0x1F",
    "1_000",
    "1e3",
    "+1",
    "-.5",
    ".inf",
    "1:20",
    "2027-03-01",
    "<<",
    "=",
    "&a",
];

#[tokio::test(flavor = "multi_thread")]
async fn words_that_yaml_reads_as_other_types_reach_the_filter_unchanged() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let mut policy = policy::patient();
    for word in WORDS {
        policy["scopes"][word] =
            json!({"owner": word, "description": format!("{word}: ü😀\u{2028}\u{feff} #{}", "x ".repeat(100))});
        policy["sets"][word] = json!([word]);
    }
    policy["routes"][1]["require"]["all_of"] = json!(WORDS);
    let testbed = testbed_with(&policy, dir.path()).await;
    assert_eq!(policy_in(&testbed).await, policy);
    // The filter accepts it as a policy.
    let token = testbed.ready().await.issuer.token().scopes(&WORDS.join(" ")).sign();
    testbed.get("/orders").bearer(&token).await.passes();
}
