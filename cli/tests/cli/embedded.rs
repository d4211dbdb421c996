//! A policy inside another file is the same policy for every command.

use crate::tool::{portcullis, root, run, shipped_policy, stderr};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD as URL_SAFE_NO_PAD};
use serde_json::Value;

/// Shipped files that contain a policy, each in another format.
const FILES: [&str; 4] = [
    "envoy/envoy.yaml",
    "envoy/istio-wasmplugin.yaml",
    "envoy/istio-trafficextension.yaml",
    "envoy/gateway-envoyextensionpolicy.yaml",
];

fn value(text: &str) -> Value {
    serde_json::from_str(text).expect("JSON")
}

#[test]
fn a_manifest_is_rendered_as_the_policy_in_it() {
    for file in FILES {
        let policy = value(&run(portcullis().args(["policy", "render", file, "--as", "json"])));
        assert!(policy.get("routes").is_some() && policy.get("kind").is_none(), "{file}: {policy}");
    }
    let policy = value(&run(portcullis().args(["policy", "render", FILES[0], "--as", "json"])));
    assert_eq!(policy, shipped_policy());
}

#[test]
fn a_request_is_explained_by_the_line_of_the_manifest() {
    for file in FILES {
        let line = ["policy", "explain", file, "GET", "api.example.com/orders", "--output", "json"];
        let explained = value(&run(portcullis().args(line).args(["--scopes", "orders:read"])));
        assert_eq!(explained["decision"], "asks", "{file}");
        let line = explained["rule"]["line"].as_u64().expect("a line");
        let text = std::fs::read_to_string(root().join(file)).expect("a file");
        let line = text.lines().nth(usize::try_from(line).expect("a line") - 1).expect("a line");
        assert!(line.contains("orders.list"), "{file}: {line}");
    }
}

#[test]
fn a_token_whose_keys_are_elsewhere_is_read_against_a_manifest() {
    let claims = r#"{"iss":"http://127.0.0.1:9000","aud":"orders-api","sub":"alice","client_id":"app","scope":"orders:read","iat":1700000000,"exp":4100000000}"#;
    let part = |text: &str| URL_SAFE_NO_PAD.encode(text);
    let token = [part(r#"{"alg":"ES256","typ":"at+jwt","kid":"k"}"#), part(claims), part(&"s".repeat(64))].join(".");
    let line = ["policy", "explain", FILES[0], "GET", "api.example.com/orders", "--output", "json", "--token", &token];
    let explained = value(&run(portcullis().args(line)));
    assert_eq!(explained["token"]["vouched"], "signature_not_checked", "{explained:#}");
}

#[test]
fn cases_are_played_against_a_manifest() {
    let cases = "
host: api.example.com
cases:
  - {request: GET /healthz, expect: released, rule: health}
  - {request: GET /orders, scopes: orders:read, expect: released, rule: orders.list}
  - {request: GET /orders, scopes: orders:read, session: revoked, expect: session_revoked}
";
    let dir = tempfile::tempdir().expect("a temporary directory");
    let path = dir.path().join("cases.yaml");
    std::fs::write(&path, cases).expect("a temporary file can be written");
    for file in FILES {
        let shown = run(portcullis().args(["policy", "test", file]).arg(&path));
        assert!(shown.contains("3 cases, all passed"), "{file}: {shown}");
    }
}

#[test]
fn a_bootstrap_is_covered_by_the_policy_in_it() {
    let line = ["policy", "coverage", FILES[0], "--envoy-config", FILES[0], "--allow-partial"];
    let shown = run(portcullis().args(line));
    assert!(shown.contains("health (for example /healthz)"), "{shown}");
}

#[test]
fn a_manifest_and_the_policy_rendered_of_it_mean_the_same() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let path = dir.path().join("policy.json");
    for file in FILES {
        let policy = run(portcullis().args(["policy", "render", file, "--as", "json"]));
        std::fs::write(&path, policy).expect("a temporary file can be written");
        let shown = run(portcullis().args(["policy", "diff", file]).arg(&path));
        assert!(shown.contains("the policies have the same meaning"), "{file}: {shown}");
    }
}

#[test]
fn a_file_without_a_policy_is_refused_by_every_command() {
    let lines: [&[&str]; 4] = [
        &["check", "deploy.yaml"],
        &["explain", "deploy.yaml", "GET", "a.example/"],
        &["render", "deploy.yaml", "--as", "envoy"],
        &["diff", "deploy.yaml", "deploy.yaml"],
    ];
    let dir = tempfile::tempdir().expect("a temporary directory");
    std::fs::write(dir.path().join("deploy.yaml"), "apiVersion: apps/v1\nkind: Deployment\n").expect("a file");
    for line in lines {
        let output = portcullis().arg("policy").args(line).current_dir(dir.path()).output().expect("it runs");
        assert_eq!(output.status.code(), Some(2), "{line:?}");
        assert!(stderr(&output).contains("this file contains no policy"), "{line:?}: {}", stderr(&output));
    }
}

#[test]
fn a_filter_that_fails_open_is_refused_whatever_its_policy_says() {
    for (file, closed, open) in [
        (FILES[0], "failure_policy: FAIL_RELOAD", "failure_policy: FAIL_OPEN"),
        (FILES[0], "failure_policy: FAIL_RELOAD", "failure_policy: 3"),
        (FILES[1], "failStrategy: FAIL_RELOAD", "failStrategy: FAIL_OPEN"),
        (FILES[2], "failStrategy: FAIL_RELOAD", "failStrategy: FAIL_OPEN"),
        (FILES[3], "failOpen: false", "failOpen: true"),
    ] {
        let text = std::fs::read_to_string(root().join(file)).expect("a manifest");
        assert!(text.contains(closed), "{file} says `{closed}`");
        let dir = tempfile::tempdir().expect("a folder");
        let changed = dir.path().join("open.yaml");
        std::fs::write(&changed, text.replace(closed, open)).expect("written");
        let output = portcullis().args(["policy", "check"]).arg(&changed).output().expect("it runs");
        assert_eq!(output.status.code(), Some(2), "{file}");
        assert!(stderr(&output).contains("the filter fails open"), "{file}: {}", stderr(&output));
    }
}
