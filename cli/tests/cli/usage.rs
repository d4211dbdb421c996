//! What is used and what is stale, from a service or a file, and the policy that follows from it.

use crate::{
    fake_api::FakeApi,
    tool::{portcullis, stderr},
};
use serde_json::{Value, json};
use std::path::PathBuf;
use tempfile::TempDir;

const POLICY: &str = "\
issuers:
  - issuer: https://id.example.com
    audiences: [orders-api]
    algorithms: [ES256]
    keys: {jwks_url: \"https://id.example.com/jwks\", cluster: id}
session: {cluster: session}
scopes:
  orders:read: {owner: orders-team}
  orders:write: {owner: orders-team}
  orders:admin: {owner: orders-team, review_by: 2026-01-31}   # for the migration
sets:
  clerk: [orders:read, orders:write]
routes:
  - {name: list, match: {methods: [GET], path: /orders}, require: {all_of: [orders:read]}}
  - {name: change, match: {methods: [PUT], path: /orders}, require: {any_of: [\"@clerk\", orders:admin]}}
  - {name: old, match: {path: /old}, require: {all_of: [orders:read]}}
";

fn usage() -> Value {
    let scope = |scope: &str, client: &str, asked, granted, refused| json!({"scope": scope, "client": client, "asked": asked, "granted": granted, "refused": refused, "last_used": "2026-11-26T10:00:00Z"});
    json!({
        "since": "2026-08-28T00:00:00Z",
        "scopes": [
            scope("orders:admin", "web", 7, 0, 2),
            scope("orders:read", "web", 19, 17, 0),
            scope("orders:write", "web", 7, 5, 2),
        ],
        "routes": [
            {"route": "change", "client": "web", "count": 7, "last_used": "2026-11-26T10:00:00Z"},
            {"route": "list", "client": "web", "count": 12, "last_used": "2026-11-26T10:00:00Z"},
        ],
        "held_unused": [
            {"scope": "openid", "client": "web"},
            {"scope": "orders:admin", "client": "web|`x`"},
        ],
    })
}

struct Files {
    _folder: TempDir,
    policy: PathBuf,
    usage: PathBuf,
}

impl Files {
    fn new(usage: &Value) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let [policy, file] = ["policy.yaml", "usage.json"].map(|name| folder.path().join(name));
        std::fs::write(&policy, POLICY).expect("a file");
        std::fs::write(&file, usage.to_string()).expect("a file");
        Self { _folder: folder, policy, usage: file }
    }

    /// Runs a command about both files; returns its exit code, standard output and standard error.
    fn run(&self, line: &[&str]) -> (Option<i32>, String, String) {
        let mut command = portcullis();
        command.args(line).arg("--usage").arg(&self.usage);
        let output = command.output().expect("the program runs");
        (output.status.code(), String::from_utf8(output.stdout.clone()).expect("text"), stderr(&output))
    }

    fn stale(&self, more: &[&str]) -> (Option<i32>, String, String) {
        let policy = self.policy.to_str().expect("text");
        self.run(&[&["scopes", "stale", "--policy", policy, "--today", "2026-11-27"], more].concat())
    }
}

const STALE: &str = "\
since 2026-08-28T00:00:00Z

Scopes that no request needed
  orders:admin, owner orders-team: asked 7 times, and missing 2 times

Scopes that a client holds and does not use
  orders:admin, client web|`x`, owner orders-team

Routes without requests
  old

Reviews that are overdue
  orders:admin, owner orders-team: due by 2026-01-31
";

#[test]
fn what_is_stale_is_named_and_fails_a_check() {
    let files = Files::new(&usage());
    let (code, text, errors) = files.stale(&[]);
    assert_eq!((code, text.as_str(), errors.as_str()), (Some(4), STALE, ""));
    let (code, text, _) = files.stale(&["--output", "json"]);
    let read: Value = serde_json::from_str(&text).expect("JSON");
    let kinds: Vec<_> = read["stale"].as_array().expect("a list").iter().map(|found| &found["kind"]).collect();
    assert_eq!((code, kinds.len()), (Some(4), 4));
    assert_eq!(kinds, ["scope_unused", "held_unused", "route_unused", "review_overdue"]);
    let (code, text, _) = files.stale(&["--output", "markdown"]);
    assert_eq!(code, Some(4));
    assert!(text.contains("- `orders:admin`, client `` web\\|`x` ``, owner `orders-team`\n"), "{text}");
}

#[test]
fn nothing_stale_is_a_success() {
    let mut usage = usage();
    usage["held_unused"] = json!([]);
    usage["scopes"][0]["granted"] = json!(1);
    let files = Files::new(&usage);
    let (code, text, errors) = files.run(&["scopes", "stale"]);
    assert_eq!((code, text.as_str()), (Some(0), ""));
    assert!(errors.contains("nothing is stale since 2026-08-28T00:00:00Z"), "{errors}");
}

#[test]
fn a_file_that_does_not_go_back_far_enough_or_is_not_one_is_refused() {
    let files = Files::new(&usage());
    let (code, _, errors) = files.stale(&["--since", "2026-08-01T00:00:00Z"]);
    assert_eq!(code, Some(2));
    assert!(errors.contains("the file goes back to 2026-08-28T00:00:00Z only"), "{errors}");
    let (code, text, _) = files.stale(&["--since", "2026-11-27T00:00:00Z"]);
    assert_eq!(code, Some(4));
    assert!(text.contains("  list\n") && text.contains("  clerk: never needed"), "{text}");
    for (usage, words) in [
        (json!({"since": "soon", "scopes": [], "routes": [], "held_unused": []}), "`since` is not an instant"),
        (json!([]), "is not the output of `portcullis scopes usage --output json`"),
    ] {
        let (code, _, errors) = Files::new(&usage).stale(&[]);
        assert_eq!(code, Some(2));
        assert!(errors.contains(words), "{errors}");
    }
}

#[test]
fn where_uses_were_not_kept_apart_nobody_can_tell() {
    let mut usage = usage();
    usage["routes"][0]["route"] = json!("");
    let files = Files::new(&usage);
    let (code, _, errors) = files.stale(&[]);
    assert_eq!(code, Some(1));
    assert!(errors.contains("it cannot tell what was not used"), "{errors}");
    let policy = files.policy.to_str().expect("text");
    assert_eq!(files.run(&["policy", "tighten", policy]).0, Some(1));
}

#[test]
fn a_policy_is_tightened_as_a_patch_that_diff_accepts() {
    let files = Files::new(&usage());
    let policy = files.policy.to_str().expect("text");
    let (code, patch, errors) = files.run(&["policy", "tighten", policy]);
    assert_eq!(code, Some(0), "{errors}");
    let changed: Vec<&str> = patch.lines().skip(2).filter(|line| line.starts_with(['+', '-'])).collect();
    assert_eq!(
        changed,
        [
            "-  orders:admin: {owner: orders-team, review_by: 2026-01-31}   # for the migration",
            "-  - {name: change, match: {methods: [PUT], path: /orders}, require: {any_of: [\"@clerk\", orders:admin]}}",
            "+  - {name: change, match: {methods: [PUT], path: /orders}, require: {any_of: [\"@clerk\"]}}",
        ]
    );
    assert!(errors.contains("kept: 1 route without requests since 2026-08-28T00:00:00Z: old"), "{errors}");
    let (code, whole, _) = files.run(&["policy", "tighten", policy, "--output", "policy"]);
    assert_eq!(code, Some(0));
    let tightened = files.policy.with_file_name("tightened.yaml");
    std::fs::write(&tightened, whole).expect("a file");
    let compared = portcullis().args(["policy", "diff", policy]).arg(&tightened).output().expect("the program runs");
    assert_eq!(compared.status.code(), Some(0), "{}", stderr(&compared));
    let back = portcullis().args(["policy", "diff"]).arg(&tightened).arg(policy).output().expect("the program runs");
    assert_eq!(back.status.code(), Some(3));
}

#[test]
fn the_service_is_asked_for_the_time_that_is_given() {
    let api = FakeApi::start(|_| (200, usage()));
    let ended = api.run(&["scopes", "usage", "--since", "30d"]);
    assert_eq!((ended.code, api.asked()), (Some(0), vec!["GET /v1/usage?since=30d".to_owned()]));
    let lines: Vec<Vec<&str>> = ended.stdout.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines[2], ["SCOPE", "CLIENT", "ASKED", "GRANTED", "REFUSED", "LAST", "USED"]);
    assert_eq!(lines[3][..5], ["orders:admin", "web", "7", "0", "2"]);
    let json = api.run(&["scopes", "usage", "--output", "json"]);
    assert_eq!(serde_json::from_str::<Value>(&json.stdout).expect("JSON"), usage());
    let markdown = api.run(&["scopes", "usage", "--output", "markdown"]);
    assert!(markdown.stdout.contains("| `orders:read` | `web` | 19 | 17 | 0 |"), "{}", markdown.stdout);
    api.asked();
    let stale = api.run(&["scopes", "stale"]);
    assert_eq!((stale.code, api.asked()), (Some(4), vec!["GET /v1/usage?since=90d".to_owned()]));
    assert!(stale.stdout.contains("openid, client web"), "{}", stale.stdout);
    assert_eq!(api.run(&["scopes", "usage", "--since", "soon"]).code, Some(2));
}
