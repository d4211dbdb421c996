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
fn a_credential_in_a_policy_is_not_repeated() {
    let policy =
        "session: {cluster: session, credential: hunter2-in-a-text}\npasswort: hunter2-under-a-wrong-key\nroutes: []\n";
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("policy.yaml");
    fs::write(&file, policy).expect("a file");
    let file = file.to_str().expect("a path");
    for more in [&[][..], &["--output", "json"]] {
        let output = portcullis(&[&["policy", "check", file], more].concat());
        let printed = printed(&output);
        assert_eq!(output.status.code(), Some(2), "{printed}");
        assert!(!printed.contains("hunter2"), "{printed}");
        assert!(printed.contains("$.session.credential") && printed.contains("$.passwort"), "{printed}");
    }
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
    // What is YAML stays as it is.
    let cases = fs::read_to_string(out.join("portcullis-policy-test.1")).expect("a page");
    let (_, extra) = cases.split_once("\n.SH NOTES\n.nf\n").expect("lines that are not filled");
    assert!(
        extra.contains("\n  cases:\n    \\- name: a reader may list        # optional\n      request: GET /orders"),
        "{extra}"
    );
    fs::remove_dir_all(out).expect("it is removed");
    assert!(extra.contains("\n.SH EXAMPLES\n.nf\n") && !cases.contains(".SH EXTRA"), "{extra}");
    assert!(printed(&portcullis(&["man"])).contains("\n.SH EXIT STATUS\n.nf\n  0  success\n"));
}

#[test]
fn a_page_that_cannot_be_written_is_reported() {
    let output = portcullis(&["man", "--out", "Cargo.toml/man"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(printed(&output).starts_with("error: cannot write `Cargo.toml/man`:"), "{}", printed(&output));
}

/// One call of each command that writes to standard output.
const CALLS: [&[&str]; 13] = [
    &["policy", "check", "envoy/envoy.yaml", "--output", "json"],
    &["policy", "explain", "envoy/envoy.yaml", "GET", "a.example/orders"],
    &["policy", "explain", "envoy/envoy.yaml", "GET", "a.example/orders", "--output", "json"],
    &["policy", "test", "examples/grpc/policy.yaml", "examples/grpc/cases.yaml"],
    &["policy", "diff", "envoy/envoy.yaml", "envoy/envoy.yaml"],
    &["policy", "import", "openapi", "cli/src/policy/import/testdata/openapi.yaml"],
    &["policy", "coverage", "envoy/envoy.yaml", "--envoy-config", "envoy/envoy.yaml", "--allow-partial"],
    &["policy", "render", "envoy/envoy.yaml", "--as", "json"],
    &["policy", "schema"],
    &["policy", "digest", "envoy/envoy.yaml"],
    &["why", "code=no_route route=- session=-"],
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

/// Asks a real bash what the script completes: the words of a line, of which the last is being typed.
#[cfg(unix)]
fn completed_by_bash(words: &[&str]) -> Vec<String> {
    let script = portcullis(&["completions", "bash"]);
    let dir = tempfile::tempdir().expect("a folder");
    let file = dir.path().join("completions");
    fs::write(&file, script.stdout).expect("a file");
    // `complete -p` names the function, as bash itself finds it.
    let asked = r#"
        source "$1"; shift
        COMP_WORDS=("$@"); COMP_CWORD=$(( $# - 1 )); COMP_LINE="$*"; COMP_POINT=${#COMP_LINE}
        function=$(complete -p portcullis | sed -n 's/.*-F \([^ ]*\).*/\1/p')
        "$function" portcullis "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}"
        printf '%s\n' "${COMPREPLY[@]}""#;
    let mut bash = std::process::Command::new("bash");
    bash.args(["--norc", "--noprofile", "-c", asked, "bash"]).arg(file).args(words);
    let output = bash.output().expect("bash is installed");
    assert!(output.status.success() && output.stderr.is_empty(), "{}", printed(&output));
    let lines = String::from_utf8_lossy(&output.stdout).into_owned();
    lines.lines().filter(|line| !line.is_empty()).map(str::to_owned).collect()
}

#[test]
#[cfg(unix)]
fn bash_completes_commands_options_and_values() {
    for (words, expected) in [
        (&["portcullis", "ses"][..], &["sessions"][..]),
        (&["portcullis", "sessions", "re"], &["revoke", "restore"]),
        (&["portcullis", "sessions", "narrow", "--sc"], &["--scope"]),
        (&["portcullis", "revocations", "d"], &["delete"]),
        (&["portcullis", "signals", "re"], &["release", "resume"]),
        (&["portcullis", "signals", "release", "--tr"], &["--transmitter"]),
        (&["portcullis", "att"], &["attributes"]),
        (&["portcullis", "attributes", "set", "--dev"], &["--device"]),
        (&["portcullis", "policy", "dig"], &["digest"]),
        (&["portcullis", "shadow", "rep"], &["report"]),
        (&["portcullis", "sessions", "list", "--state", "en"], &["ended"]),
        (&["portcullis", "policy", "diff", "--output", "ma"], &["markdown"]),
        (&["portcullis", "completions", "f"], &["fish"]),
        (&["portcullis", "nothing"], &[]),
    ] {
        let mut completed = completed_by_bash(words);
        completed.sort_unstable();
        let mut expected: Vec<_> = expected.iter().map(|&word| word.to_owned()).collect();
        expected.sort_unstable();
        assert_eq!(completed, expected, "{words:?}");
    }
}
