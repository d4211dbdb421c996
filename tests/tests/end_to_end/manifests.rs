//! The shipped manifests for Istio and Envoy Gateway contain policies that load, with the routes of the bootstrap.

use portcullis_tests::{Testbed, policy};
use serde_json::{Value, json};

const MANIFESTS: [(&str, &str); 3] = [
    ("istio-wasmplugin.yaml", "/spec/pluginConfig"),
    ("istio-trafficextension.yaml", "/spec/wasm/pluginConfig"),
    ("gateway-envoyextensionpolicy.yaml", "/spec/wasm/0/config"),
];

fn policy_of(manifest: &str, place: &str) -> Value {
    let path = format!("{}/../envoy/{manifest}", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(path).expect("a shipped manifest");
    let manifest: Value = serde_saphyr::from_str(&text).expect("YAML");
    manifest.pointer(place).expect("a policy").clone()
}

#[test]
fn manifests_and_bootstrap_have_the_same_routes() {
    let shipped = policy::shipped();
    for (manifest, place) in MANIFESTS {
        let policy = policy_of(manifest, place);
        for part in ["realm", "scopes", "sets", "routes"] {
            assert_eq!(policy[part], shipped[part], "{part} of {manifest}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_manifest_holds_a_policy_that_works() {
    for (manifest, place) in MANIFESTS {
        let mut policy = policy_of(manifest, place);
        // The manifests name other clusters.
        policy["session"]["cluster"] = json!("session");
        policy["issuers"][0]["keys"]["cluster"] = json!("id");
        let testbed = Testbed::with_policy(policy).await;
        testbed.get("/healthz").await.passes();
        let token = testbed.issuer.token().claim("iss", json!("https://id.example.com")).sign();
        let call = testbed.get("/orders").bearer(&token);
        let answer = call.until("the keys are there", |answer| answer.status != 503).await;
        assert_eq!(answer.status, 200, "{manifest}: {answer:?}");
    }
}
