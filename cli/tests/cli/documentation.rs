//! The console blocks of the README and of `docs/`: each `$ command` must print what is written under it. With
//! `PORTCULLIS_DOCS=overwrite` in the environment they are rewritten instead, to be reviewed.

use crate::tool::root;
use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

const FENCE: &str = "```console\n";

/// The README and every page of docs/.
fn pages() -> Vec<PathBuf> {
    let docs = fs::read_dir(root().join("docs")).expect("docs/").map(|entry| entry.expect("a page").path());
    let mut pages: Vec<_> = docs.filter(|path| path.extension().is_some_and(|end| end == "md")).collect();
    pages.push(root().join("README.md"));
    pages.sort();
    pages
}

/// What a command prints, played in the root of the repository.
fn output(command: &str) -> String {
    let tool = Path::new(env!("CARGO_BIN_EXE_portcullis")).parent().expect("the folder of the tool");
    let path = format!("{}:{}", tool.display(), env::var("PATH").unwrap_or_default());
    let script = format!("{{ {command}; }} 2>&1");
    let ran = Command::new("sh").args(["-c", &script]).current_dir(root()).env("PATH", &path).output();
    let ran = ran.unwrap_or_else(|error| panic!("`{command}` does not run: {error}"));
    String::from_utf8_lossy(&ran.stdout).trim().to_owned()
}

/// A page with the output of each command as it is now, and how many commands it shows.
fn played(page: &str) -> (String, usize) {
    let mut blocks = page.split(FENCE);
    let mut text = blocks.next().unwrap_or_default().to_owned();
    let mut count = 0;
    for block in blocks {
        let (shown, rest) = block.split_once("```").expect("the block ends");
        text.push_str(FENCE);
        let commands = shown.split("$ ").skip(1).filter_map(|shown| shown.lines().next());
        let commands: Vec<_> = commands.map(|command| format!("$ {command}\n{}\n", output(command))).collect();
        count += commands.len();
        text.push_str(&commands.join("\n"));
        text.push_str("```");
        text.push_str(rest);
    }
    (text, count)
}

#[test]
fn every_command_of_the_pages_prints_what_they_show() {
    let mut count = 0;
    for path in pages() {
        let page = fs::read_to_string(&path).expect("a page");
        let (now, commands) = played(&page);
        count += commands;
        if env::var_os("PORTCULLIS_DOCS").is_some_and(|mode| mode == "overwrite") {
            fs::write(&path, now).expect("it is written");
        } else {
            assert_eq!(page, now, "{}", path.display());
        }
    }
    assert!(count >= 3, "check, explain and diff are shown");
}

/// The policies of the pages: YAML blocks that have issuers and routes.
#[test]
fn every_policy_of_the_pages_loads() {
    let mut policies = 0;
    for path in pages() {
        let page = fs::read_to_string(&path).expect("a page");
        let blocks = page.split("```yaml\n").skip(1).filter_map(|rest| rest.split("```").next());
        for policy in blocks.filter(|block| block.contains("\nissuers:") | block.starts_with("issuers:")) {
            if !policy.contains("\nroutes:") {
                continue;
            }
            let mut tool = Command::new(env!("CARGO_BIN_EXE_portcullis"));
            let tool = tool.args(["policy", "check", "-"]).stdin(Stdio::piped()).stderr(Stdio::piped());
            let mut child = tool.spawn().expect("the program runs");
            let mut input = child.stdin.take().expect("its input");
            std::io::Write::write_all(&mut input, policy.as_bytes()).expect("it reads");
            drop(input);
            let ran = child.wait_with_output().expect("it ends");
            assert!(ran.status.success(), "{}: {}", path.display(), String::from_utf8_lossy(&ran.stderr));
            policies += 1;
        }
    }
    assert!(policies >= 2, "the README and docs/policy.md show one each");
}

/// What `policy check` says of a text.
fn checked(text: &str) -> (bool, String) {
    let mut tool = Command::new(env!("CARGO_BIN_EXE_portcullis"));
    let tool = tool.args(["policy", "check", "-"]).stdin(Stdio::piped()).stderr(Stdio::piped());
    let mut child = tool.spawn().expect("the program runs");
    let mut input = child.stdin.take().expect("its input");
    std::io::Write::write_all(&mut input, text.as_bytes()).expect("it reads");
    drop(input);
    let ran = child.wait_with_output().expect("it ends");
    (ran.status.success(), String::from_utf8_lossy(&ran.stderr).into_owned())
}

/// The YAML blocks of a page.
fn yaml_blocks(page: &str) -> Vec<String> {
    page.split("```yaml\n").skip(1).filter_map(|rest| rest.split("\n```").next()).map(str::to_owned).collect()
}

#[test]
fn the_files_that_envoy_watches_are_a_whole_configuration() {
    let page = fs::read_to_string(root().join("docs/envoy.md")).expect("a page");
    let (_, section) = page.split_once("\n## With files that Envoy watches\n").expect("a section");
    let section = section.split("\n## ").next().unwrap_or_default();
    let [bootstrap, listener, filter] = yaml_blocks(section).try_into().expect("three files");
    let (is_good, said) = checked(&filter);
    assert!(is_good && said.contains("2 routes, no errors"), "{said}");
    // The three as one file, in which every cluster is known and what surrounds the filter is seen.
    let indented = |text: &str| text.replace("resources:", "").replace('\n', "\n  ");
    let whole = format!("{bootstrap}\nresources:{}{}\n", indented(&listener), indented(&filter));
    let (is_good, said) = checked(&whole);
    assert!(is_good, "{said}");
    for file in [&bootstrap, &listener, &filter] {
        let parsed: serde_json::Value = serde_saphyr::from_str(file).expect("YAML");
        assert!(parsed.is_object(), "{file}");
    }
    for path in ["/etc/envoy/lds.yaml", "/etc/envoy/ecds.yaml", "name: session", "name: id", "name: upstream"] {
        assert!(section.contains(path), "{path}");
    }
}

/// `portcullis why` finds a request by its id, and says where it went if the line does.
#[test]
fn the_access_logs_that_are_shown_have_what_why_reads() {
    for file in ["envoy/envoy.yaml", "docs/envoy-gateway.md", "docs/istio.md"] {
        let text = fs::read_to_string(root().join(file)).expect("a file");
        for (member, operator) in [
            ("method", "%REQ(:METHOD)%"),
            ("host", "%REQ(:AUTHORITY)%"),
            ("path", "%PATH(NQ:ORIG_OR_PATH)%"),
            ("request_id", "%REQ(X-REQUEST-ID)%"),
            ("portcullis", "%FILTER_STATE(wasm.portcullis:PLAIN)%"),
        ] {
            let is_shown = |name: String| text.contains(&format!("  {name}: \"{operator}\""));
            assert!(is_shown(member.to_owned()) || is_shown(format!("\"{member}\"")), "{file}: {member}");
        }
    }
}

/// Everything that is written for readers: the pages, what stands beside the README, and the examples.
fn papers() -> Vec<PathBuf> {
    let examples = fs::read_dir(root().join("examples")).expect("examples/");
    let examples = examples.map(|entry| entry.expect("a folder").path().join("README.md"));
    let beside = ["CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md"].map(|name| root().join(name));
    pages().into_iter().chain(beside).chain(examples).collect()
}

/// The targets of a text's links, and the paths of the repository that it names as code.
fn places(text: &str) -> (Vec<&str>, Vec<&str>) {
    let links = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    let links = links.filter(|link| !link.contains("://") && !link.starts_with('#'));
    let folders =
        ["cli/", "contract/", "deploy/", "docs/", "engine/", "envoy/", "examples/", "filter/", "session/", "tests/"];
    let is_path = |code: &&str| {
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-".contains(c);
        folders.iter().any(|folder| code.starts_with(folder)) && code.chars().all(is_plain)
    };
    let code = text.lines().flat_map(|line| line.split('`').skip(1).step_by(2)).filter(is_path);
    (links.map(|link| link.split('#').next().unwrap_or_default()).collect(), code.collect())
}

#[test]
fn every_link_and_path_of_the_papers_leads_somewhere() {
    for paper in papers() {
        let text = fs::read_to_string(&paper).unwrap_or_else(|error| panic!("{}: {error}", paper.display()));
        let (links, paths) = places(&text);
        let folder = paper.parent().expect("a folder");
        let found = links.iter().map(|link| folder.join(link)).chain(paths.iter().map(|path| root().join(path)));
        for place in found {
            assert!(place.exists(), "{}: there is no {}", paper.display(), place.display());
        }
    }
}
