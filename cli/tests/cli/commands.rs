//! The program as it is called: what is shipped has no fault and no warning, and what other programs read is there.

use crate::tool::{self, stderr};
use std::{
    env, fs, io,
    process::{Output, Stdio},
};

fn portcullis(args: &[&str]) -> Output {
    tool::portcullis().args(args).output().expect("the program runs")
}

/// Standard output, then standard error.
fn printed(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &stderr(output)
}

#[test]
fn the_shipped_policies_have_no_findings() {
    let files = [
        "envoy/envoy.yaml",
        "envoy/istio-wasmplugin.yaml",
        "envoy/istio-trafficextension.yaml",
        "envoy/gateway-envoyextensionpolicy.yaml",
        "examples/oauth-server/policy.yaml",
        "engine/src/policy/testdata/design.json",
    ];
    let output =
        portcullis(&[&["policy", "check", "--deny", "warnings", "--today", "2026-12-31"], &files[..]].concat());
    assert_eq!(output.status.code(), Some(0), "{}", printed(&output));
    assert_eq!(output.stdout, b"");
    assert_eq!(printed(&output).matches("no errors").count(), files.len());
}

#[test]
fn the_worst_of_several_files_decides_how_it_ends() {
    for (files, code) in [
        (["missing.yaml", "envoy/envoy.yaml"], 1),
        (["envoy/envoy.yaml", "envoy/session.yaml"], 2),
        (["envoy/session.yaml", "missing.yaml"], 2),
    ] {
        let output = portcullis(&[&["policy", "check"], &files[..]].concat());
        assert_eq!(output.status.code(), Some(code), "{}", printed(&output));
    }
}

#[test]
fn every_shell_gets_completions_of_every_command() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let output = portcullis(&["completions", shell]);
        let script = String::from_utf8(output.stdout).expect("text");
        assert!(output.status.success() && script.contains("routes-per-scope-max"), "{shell}");
    }
    assert_eq!(portcullis(&["completions", "cmd"]).status.code(), Some(2));
}

#[test]
fn every_command_has_a_page_in_the_manual() {
    let out = env::temp_dir().join(format!("portcullis-man-{}", std::process::id()));
    let output = portcullis(&["man", "--out", out.to_str().expect("a path")]);
    assert!(output.status.success(), "{}", printed(&output));
    let page = fs::read_to_string(out.join("portcullis-policy-check.1")).expect("a page");
    assert!(page.contains("scope_review_overdue") && page.contains("portcullis policy check policy.yaml"));
    fs::remove_dir_all(out).expect("it is removed");
    assert!(printed(&portcullis(&["man"])).contains("Exit codes"));
}

#[test]
fn a_page_that_cannot_be_written_is_reported() {
    let output = portcullis(&["man", "--out", "Cargo.toml/man"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(printed(&output).starts_with("error: cannot write `Cargo.toml/man`:"), "{}", printed(&output));
}

/// One call of each command that writes to standard output.
const CALLS: [&[&str]; 11] = [
    &["policy", "check", "envoy/envoy.yaml", "--output", "json"],
    &["policy", "explain", "envoy/envoy.yaml", "GET", "a.example/orders"],
    &["policy", "explain", "envoy/envoy.yaml", "GET", "a.example/orders", "--output", "json"],
    &["policy", "test", "examples/grpc/policy.yaml", "examples/grpc/cases.yaml"],
    &["policy", "diff", "envoy/envoy.yaml", "envoy/envoy.yaml"],
    &["policy", "import", "openapi", "cli/src/policy/import/testdata/openapi.yaml"],
    &["policy", "coverage", "envoy/envoy.yaml", "--envoy-config", "envoy/envoy.yaml", "--allow-partial"],
    &["policy", "render", "envoy/envoy.yaml", "--as", "json"],
    &["policy", "schema"],
    &["completions", "zsh"],
    &["man"],
];

fn ends(args: &[&str], out: impl Into<Stdio>, err: impl Into<Stdio>) -> Option<i32> {
    tool::portcullis().args(args).stdout(out).stderr(err).status().expect("the program runs").code()
}

#[test]
fn a_closed_output_is_an_error_of_no_command() {
    for args in CALLS {
        let (reader, out) = io::pipe().expect("a pipe");
        let err = out.try_clone().expect("a pipe");
        drop(reader);
        assert_eq!(ends(args, out, err), Some(0), "{args:?}");
    }
}

#[test]
#[cfg(target_os = "linux")]
fn output_that_cannot_be_written_causes_no_panic() {
    let full = || fs::OpenOptions::new().write(true).open("/dev/full").expect("a device");
    for args in CALLS {
        assert_eq!(ends(args, full(), Stdio::null()), Some(1), "{args:?}");
    }
    assert_eq!(ends(&["policy", "check", "envoy/session.yaml"], Stdio::null(), full()), Some(2));
    assert_eq!(ends(&["policy", "check", "envoy/envoy.yaml"], Stdio::null(), full()), Some(0));
}
