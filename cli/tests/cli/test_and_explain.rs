//! `policy test` and `policy explain` as programs: standard output, standard error and exit codes.

use crate::tool;
use std::{
    io::Write,
    path::{Path, PathBuf},
    process::{Output, Stdio},
};

const POLICY: &str = "../examples/rest-scopes/policy.yaml";

fn run(arguments: &[&str], input: &str) -> (i32, String, String) {
    let mut child = tool::portcullis()
        .args(arguments)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    // The program may end before it has read everything.
    let _ = child.stdin.take().expect("an input").write_all(input.as_bytes());
    let Output { status, stdout, stderr } = child.wait_with_output().expect("the program ends");
    let text = |bytes| String::from_utf8(bytes).expect("text");
    (status.code().expect("no signal"), text(stdout), text(stderr))
}

fn written(name: &str, text: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::write(&path, text).expect("a file can be written");
    path
}

#[test]
fn cases_that_hold_end_with_0_and_those_that_fail_with_1() {
    let (code, out, _) = run(&["policy", "test", POLICY, "../examples/rest-scopes/cases.yaml"], "");
    assert_eq!(code, 0, "{out}");
    assert!(out.contains("all passed") && !out.contains('\u{1b}'), "{out}");
    let cases = "cases: [{request: GET shop.example.com/orders, expect: released}]";
    let (code, out, _) = run(&["policy", "test", POLICY, "-"], cases);
    assert_eq!(code, 1, "{out}");
    assert!(out.contains("expected `released`, got `no_credentials`"), "{out}");
}

#[test]
fn faulty_cases_end_with_2_and_all_of_their_faults() {
    let one = written("one.yaml", "cases: [{request: GET a/x, expect: relesed}]");
    let two = written("two.yaml", "cases: [{request: GET a/x, expect: released, rule: ordrs.list}]");
    let files = [one.to_str().expect("text"), two.to_str().expect("text")];
    let (code, _, err) = run(&["policy", "test", POLICY, files[0], files[1]], "");
    assert_eq!(code, 2, "{err}");
    assert!(err.contains("did you mean `released`?") && err.contains("did you mean `orders.list`?"), "{err}");
}

#[test]
fn junit_is_written_even_when_cases_fail() {
    let xml = Path::new(env!("CARGO_TARGET_TMPDIR")).join("junit.xml");
    let cases = "cases: [{request: GET shop.example.com/orders, expect: released}]";
    let (code, ..) = run(&["policy", "test", POLICY, "-", "--junit", xml.to_str().expect("text")], cases);
    assert_eq!(code, 1);
    assert!(std::fs::read_to_string(xml).expect("it is there").contains("failures=\"1\""));
    let (code, _, err) = run(&["policy", "test", POLICY, "-", "--junit", "/nowhere/x.xml"], cases);
    assert_eq!(code, 1);
    assert!(err.contains("cannot write `/nowhere/x.xml`"), "{err}");
}

#[test]
fn whatever_could_be_explained_ends_with_0() {
    let url = "https://shop.example.com/orders/7";
    let (code, out, _) = run(&["policy", "explain", POLICY, "PUT", url, "--scopes", "orders:read"], "");
    assert_eq!(code, 0);
    assert!(out.starts_with("refused: 403 insufficient_scope\n"), "{out}");
    let (code, out, _) = run(&["policy", "explain", POLICY, "GET", url, "--token", "-"], "Bearer a.b.c\n");
    assert_eq!(code, 0);
    assert!(out.starts_with("refused: 401 invalid_token\n"), "{out}");
}

#[test]
fn json_is_for_programs() {
    let url = "https://shop.example.com/orders/7";
    let arguments = ["policy", "explain", POLICY, "PUT", url, "--scopes", "orders:read", "--output", "json"];
    let (code, out, _) = run(&arguments, "");
    let json: serde_json::Value = serde_json::from_str(&out).expect("json");
    assert_eq!(code, 0);
    assert_eq!(json["decision"], "refused");
    assert_eq!(json["code"], "insufficient_scope");
    assert_eq!(json["rule"]["name"], "orders.change");
    assert_eq!(json["missing"]["all_of"], serde_json::json!(["orders:write"]));
    assert_eq!(json["answer"]["http"]["body"]["code"], "insufficient_scope");
}

#[test]
fn what_is_asked_wrongly_ends_with_2_and_a_token_that_is_not_there_with_1() {
    let explain = |more: &[&str]| run(&[&["policy", "explain", POLICY, "GET"], more].concat(), "").0;
    assert_eq!(explain(&["https:///no/host"]), 2);
    assert_eq!(explain(&["a/x", "--token", "a", "--scopes", "b"]), 2);
    assert_eq!(explain(&["a/x", "--header", "no colon"]), 2);
    assert_eq!(explain(&["a/x", "--claim", "iat=soon"]), 2);
    assert_eq!(explain(&["a/x", "--token", "@/nowhere/token"]), 1);
}

#[test]
fn a_path_is_explained_without_a_host_unless_the_host_decides() {
    let (code, out, _) = run(&["policy", "explain", POLICY, "GET", "/orders/7"], "");
    assert_eq!(code, 0);
    assert!(out.contains("  request     GET /orders/7\n") && out.contains("orders.read"), "{out}");
    let (code, _, err) = run(&["policy", "explain", POLICY, "GET", "/orders", "--header", "origin: https://a"], "");
    assert!(code == 2 && err.contains("no host in `/orders`, and `origin` is compared with it"), "{code} {err}");
    let hosts = "../examples/admin-short-sessions/policy.yaml";
    let (code, _, err) = run(&["policy", "explain", hosts, "GET", "/settings"], "");
    assert!(
        code == 2 && err.contains("no host in `/settings`, and the route `") && err.contains("` names hosts"),
        "{err}"
    );
}
