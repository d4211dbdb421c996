//! `policy render`: the policy comes out as it went in, and a faulty one does not come out at all.

use crate::tool::{FILTER, policies, portcullis, root, run, stderr, yaml};
use serde_json::Value;
use std::path::Path;

fn rendered(policy: &Path, form: &str) -> String {
    run(portcullis().args(["policy", "render", "--as", form]).arg(policy))
}

#[test]
fn the_shipped_bootstrap_has_the_filter_that_would_be_rendered_of_its_policy() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let policies = policies(dir.path());
    let rendered = rendered(policies.last().expect("the shipped policy"), "envoy");
    let rendered: Value = serde_saphyr::from_str(&rendered).expect("YAML");
    let bootstrap = yaml(&root().join("envoy/envoy.yaml"));
    assert_eq!(Some(&rendered), bootstrap.pointer(FILTER));
}

#[test]
fn json_is_the_policy_itself() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    for policy in policies(dir.path()) {
        let json: Value = serde_json::from_str(&rendered(&policy, "json")).expect("JSON");
        assert_eq!(json, yaml(&policy), "{}", policy.display());
    }
}

#[test]
fn a_policy_with_faults_is_shown_and_not_rendered() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let file = dir.path().join("policy.yaml");
    std::fs::write(&file, "mode: shadwo\nroutes:\n  - {name: a, match: {path: /a}}\n").expect("a temporary file");
    for form in ["envoy", "json"] {
        let output =
            portcullis().args(["policy", "render", "--as", form]).arg(&file).output().expect("the program runs");
        let stderr = stderr(&output);
        assert_eq!((output.status.code(), output.stdout.len()), (Some(2), 0), "{stderr}");
        assert!(stderr.contains("$.mode") && stderr.contains("$.routes[0]"), "{stderr}");
    }
}
