//! `policy import openapi` and `policy coverage` as programs: exit codes, files, standard output and error.

use crate::tool;
use std::{fs, path::Path, process::Output};

const DOCUMENT: &str = "
openapi: 3.1.0
paths:
  /a: {get: {security: [{o: [a]}]}}
  /b: {get: {}}
components: {securitySchemes: {o: {type: oauth2, flows: {}}}}
";

fn portcullis(dir: &Path, arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = tool::portcullis().args(arguments).current_dir(dir).output();
    let Output { status, stdout, stderr } = output.expect("the program runs");
    let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
    (status.code(), text(stdout), text(stderr))
}

fn dir_with(files: &[(&str, &str)]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a directory");
    for (name, text) in files {
        fs::write(dir.path().join(name), text).expect("a file");
    }
    dir
}

#[test]
fn the_policy_goes_to_standard_output_and_questions_to_standard_error() {
    let dir = dir_with(&[("openapi.yaml", DOCUMENT)]);
    let (code, out, err) = portcullis(dir.path(), &["policy", "import", "openapi", "openapi.yaml"]);
    assert_eq!(code, Some(0), "{err}");
    assert!(out.contains("issuer: https://id.example.com # FILL IN") && out.contains("# QUESTION"), "{out}");
    assert!(err.contains("the document does not specify who may call this operation (1):\n  GET /b"), "{err}");
}

#[test]
fn answers_in_a_file_are_not_written_over() {
    let dir = dir_with(&[("openapi.yaml", DOCUMENT)]);
    let import =
        ["policy", "import", "openapi", "openapi.yaml", "--issuer", "https://id.acme.com", "--out", "policy.yaml"];
    // Importing again writes the same file.
    for _ in 0..2 {
        assert_eq!(portcullis(dir.path(), &import).0, Some(0));
    }
    let policy = dir.path().join("policy.yaml");
    let text = fs::read_to_string(&policy).expect("a policy");
    assert!(text.contains("  - issuer: https://id.acme.com\n") && text.contains("https://id.acme.com/jwks"), "{text}");
    fs::write(&policy, "answered").expect("a file");
    let (code, _, err) = portcullis(dir.path(), &import);
    assert!(code == Some(1) && err.contains("`policy.yaml` exists and has different content"), "{err}");
    assert_eq!(fs::read_to_string(&policy).expect("a policy"), "answered");
    assert_eq!(portcullis(dir.path(), &[import.as_slice(), &["--force"]].concat()).0, Some(0));
    assert_eq!(fs::read_to_string(&policy).expect("a policy"), text);
}

#[test]
fn coverage_ends_with_0_only_when_everything_is_covered() {
    let dir = dir_with(&[
        ("openapi.yaml", DOCUMENT),
        ("a.yaml", "openapi: 3.0.0\npaths: {/a: {get: {}}}"),
        ("envoy.yaml", "virtual_hosts: [{domains: ['*'], routes: [{match: {prefix: /a}}]}]"),
    ]);
    let import = ["policy", "import", "openapi", "openapi.yaml", "--out", "policy.yaml"];
    assert_eq!(portcullis(dir.path(), &import).0, Some(0));
    for (arguments, expected) in [
        (&["--openapi", "a.yaml"][..], 0),
        (&["--openapi", "openapi.yaml"], 1),
        (&["--openapi", "openapi.yaml", "--allow-partial"], 1),
        (&["--envoy-config", "envoy.yaml"], 1),
        (&["--envoy-config", "envoy.yaml", "--allow-partial"], 0),
        (&["--envoy-config", "a.yaml"], 2),
        (&["--openapi", "envoy.yaml"], 2),
        (&["--openapi", "missing.yaml"], 1),
        (&["--openapi", "a.yaml", "--envoy-config", "envoy.yaml"], 2),
        (&[], 2),
    ] {
        let (code, out, err) = portcullis(dir.path(), &[&["policy", "coverage", "policy.yaml"], arguments].concat());
        assert_eq!(code, Some(expected), "{arguments:?}: {out}{err}");
    }
}

#[test]
fn a_broken_document_is_the_callers_fault() {
    let dir = dir_with(&[("swagger.json", r#"{"swagger": "2.0"}"#), ("broken.yaml", "openapi: [")]);
    for file in ["swagger.json", "broken.yaml"] {
        let (code, out, err) = portcullis(dir.path(), &["policy", "import", "openapi", file]);
        assert!(code == Some(2) && out.is_empty() && err.contains(&format!("`{file}`: ")), "{file}: {err}");
    }
}
