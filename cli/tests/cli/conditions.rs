//! `portcullis conditions` as a shell runs it: faults at their lines, cases, explanations, and what changes release.

use crate::tool::{portcullis, run, stderr};
use std::{fs, path::Path};

const DIR: &str = "examples/conditions/conditions";
const POLICY: &str = "examples/conditions/policy.yaml";
const CASES: &str = "examples/conditions/cases.yaml";

/// A directory with one file of conditions.
fn conditions(text: &str) -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a directory");
    fs::write(dir.path().join("a.cedar"), text).expect("a file");
    dir
}

/// The exit code, standard output and standard error of `portcullis conditions …`.
fn conditions_tool(arguments: &[&str]) -> (i32, String, String) {
    let output = portcullis().arg("conditions").args(arguments).output().expect("the program runs");
    let out = String::from_utf8_lossy(&output.stdout).into_owned();
    (output.status.code().expect("a code"), out, stderr(&output))
}

fn path(dir: &Path) -> &str {
    dir.to_str().expect("a path")
}

#[test]
fn check_shows_every_fault_at_its_line() {
    let dir = conditions(
        "permit (principal, action, resource);\n\
         @id(\"a\") forbid (principal, action, resource) when { context.place.country == \"CH\" };\n\
         @id(\"b\") @reson(\"x\") forbid (principal, action, resource);\n",
    );
    let (code, _, err) = conditions_tool(&["check", path(dir.path())]);
    assert_eq!(code, 2, "{err}");
    for words in [
        "error[permit]: a condition cannot permit",
        "a.cedar:1:1",
        "error[invalid]: unable to guarantee safety of access to optional attribute",
        "a.cedar:2:",
        "error[annotation]: unknown annotation `@reson`",
        "a.cedar:3:10",
        "there are `@id`, `@reason`, `@tell`, `@advice` and `@requestable`",
    ] {
        assert!(err.contains(words), "{words}: {err}");
    }
}

#[test]
fn check_with_a_policy_warns_about_routes_that_are_not_there() {
    let dir = conditions("@id(\"a\") forbid (principal, action, resource == Portcullis::Route::\"nowhere\");");
    let (code, _, err) = conditions_tool(&["check", path(dir.path()), "--policy", POLICY]);
    assert_eq!(code, 0, "{err}");
    assert!(err.contains("warning[unmatched]: `a` never applies: there is no route `nowhere`"), "{err}");
    assert!(err.contains("1 condition, no errors; 1 warning; they concern 0 of 4 routes"), "{err}");
}

#[test]
fn what_cannot_be_read_is_a_failure() {
    let (code, _, err) = conditions_tool(&["check", "/nowhere"]);
    assert_eq!((code, err.contains("/nowhere: cannot be read")), (1, true), "{err}");
}

#[test]
fn attributes_are_those_that_the_configuration_declares() {
    let dir = conditions("@id(\"a\") forbid (principal, action, resource) when { context.session has ticket };");
    let session = ["--session", "examples/conditions/session.yaml"];
    let (code, _, err) = conditions_tool(&[&["check", path(dir.path())][..], &session].concat());
    assert_eq!(code, 0, "{err}");
    let schema = run(portcullis().args(["conditions", "schema"]).args(session));
    assert_eq!(schema.matches("\"ticket\"?: String,").count(), 2, "{schema}");
    assert!(!run(portcullis().args(["conditions", "schema"])).contains("ticket"));
    let file = dir.path().join("session.yaml");
    fs::write(&file, "conditions: {attributes: {ticket: Text}}").expect("a file");
    let (code, _, err) = conditions_tool(&["schema", "--session", path(&file)]);
    assert!(
        code == 2 && err.contains("$.conditions.attributes.ticket: expected `String`, `Long` or `Boolean`"),
        "{err}"
    );
}

#[test]
fn cases_are_played_with_conditions_and_without() {
    let out = run(portcullis().args(["conditions", "test", DIR, "--policy", POLICY, CASES]));
    assert!(out.contains("18 cases, all passed"), "{out}");
    let out = run(portcullis().args(["policy", "test", POLICY, CASES, "--conditions", DIR]));
    assert!(out.contains("18 cases, all passed"), "{out}");
    let output = portcullis().args(["policy", "test", POLICY, CASES]).output().expect("the program runs");
    let out = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.code() == Some(1) && out.contains("expected `condition_failed`, got `released`"), "{out}");
}

#[test]
fn a_failed_case_names_the_condition() {
    let dir = conditions("@id(\"nobody\") forbid (principal, action, resource);");
    let (code, out, _) = conditions_tool(&["test", path(dir.path()), "--policy", POLICY, CASES]);
    assert_eq!(code, 1, "{out}");
    assert!(out.contains("the condition `nobody` refused it"), "{out}");
}

#[test]
fn explain_names_what_decided() {
    let name = "at a high risk, an admin has to log in again";
    let (code, out, err) = conditions_tool(&["explain", DIR, "--policy", POLICY, CASES, "--case", name]);
    assert_eq!(code, 0, "{err}");
    let text = format!(
        "{name}: step_up_required\n  3 conditions can concern the route `admin`\n  `admin-risk` answers: the risk is high\n  \
         forbids         admin-risk\n  does not apply  admin-place\n  does not apply  machine-network\n"
    );
    assert_eq!(out, text);
    let (code, ..) = conditions_tool(&["explain", DIR, "--policy", POLICY, CASES, "--case", "nothing"]);
    assert_eq!(code, 2);
}

/// A policy that another program writes: standard input can be read only once.
#[test]
fn every_command_takes_the_policy_from_standard_input() {
    for command in [&["check", DIR][..], &["test", DIR, CASES], &["explain", DIR, CASES], &["diff", DIR, DIR, CASES]] {
        let policy = fs::File::open(crate::tool::root().join(POLICY)).expect("the policy");
        let mut tool = portcullis();
        let output = tool.arg("conditions").args(command).args(["--policy", "-"]).stdin(policy).output();
        let output = output.expect("the program runs");
        assert_eq!(output.status.code(), Some(0), "{command:?}: {}", stderr(&output));
    }
}

#[test]
fn diff_finds_what_a_changed_condition_releases() {
    let text = fs::read_to_string(crate::tool::root().join(DIR).join("admin.cedar")).expect("conditions");
    let old = conditions(&text);
    let wider = conditions(&text.replace("\"AT\"", "\"AT\", \"FR\""));
    let (code, out, err) = conditions_tool(&["diff", path(old.path()), path(wider.path()), "--policy", POLICY]);
    assert_eq!(code, 3, "{out}{err}");
    assert!(out.contains("changed          admin-place"), "{out}");
    assert!(out.contains("country FR") && out.contains("`admin-place` refused it"), "{out}");

    let (code, out, _) = conditions_tool(&["diff", path(wider.path()), path(old.path()), "--policy", POLICY]);
    assert_eq!(code, 0, "{out}");
    assert!(out.contains("less permissive") && out.contains("not proved       admin-place"), "{out}");

    let (code, out, _) = conditions_tool(&["diff", path(old.path()), path(old.path()), "--policy", POLICY]);
    assert_eq!((code, out.as_str()), (0, "no condition has changed\n"));

    let other = conditions(&text.replace("the risk is high", "too risky"));
    let (code, out, _) = conditions_tool(&["diff", path(old.path()), path(other.path()), "--policy", POLICY]);
    assert_eq!(code, 0, "{out}");
    assert!(out.contains("another answer   admin-risk"), "{out}");
}

#[test]
fn diff_takes_cases_and_says_what_it_cannot_prove() {
    let old = conditions("@id(\"a\") forbid (principal, action, resource == Portcullis::Route::\"reports\");");
    let new = conditions("");
    let arguments = ["diff", path(old.path()), path(new.path()), "--policy", POLICY, CASES];
    let (code, out, _) = conditions_tool(&arguments);
    assert_eq!(code, 3, "{out}");
    assert!(out.contains("more permissive  case `a report has no personal data`"), "{out}");

    let never = conditions("@id(\"a\") forbid (principal, action, resource == Portcullis::Route::\"nowhere\");");
    let arguments = ["diff", path(never.path()), path(new.path()), "--policy", POLICY];
    let (code, out, _) = conditions_tool(&arguments);
    assert_eq!(code, 0, "{out}");
    assert!(out.contains("not proved       a: no request was found"), "{out}");
    let (code, ..) = conditions_tool(&[&arguments[..], &["--deny", "unproved"]].concat());
    assert_eq!(code, 3);
}

#[test]
fn what_a_case_tells_conditions_is_checked() {
    let dir = tempfile::tempdir().expect("a directory");
    let cases = dir.path().join("cases.yaml");
    let text = "cases:\n  - request: GET a/reports/q3\n    scopes: customers:read\n    expect: released\n    \
                attributes: {session: {Ticket: x, score: [1]}, user: {a: b}}\n    \
                context: {now: soon, ip: here, place: {country: Switzerland}}\n";
    fs::write(&cases, text).expect("a file");
    let (code, _, err) = conditions_tool(&["test", DIR, "--policy", POLICY, path(&cases)]);
    assert_eq!(code, 2, "{err}");
    for words in ["user", "expected two upper-case letters", "expected an IP address", "expected a time such as"] {
        assert!(err.contains(words), "{words}: {err}");
    }
}
