//! The console blocks of the README and of `docs/`: each `$ command` must print what is written under it.

use crate::tool::root;
use std::{env, fs, path::Path, process::Command};

/// A command of a block, and what it prints.
struct Shown {
    command: String,
    output: String,
}

fn shown(page: &str) -> Vec<Shown> {
    let blocks = page.split("```console\n").skip(1).filter_map(|rest| rest.split("```").next());
    let commands = blocks.flat_map(|block| block.split("$ ").skip(1));
    let shown = commands.filter_map(|text| text.split_once('\n'));
    shown.map(|(command, output)| Shown { command: command.to_owned(), output: output.trim().to_owned() }).collect()
}

/// The text of the README and of every page in `docs/`.
fn pages() -> Vec<String> {
    let docs = fs::read_dir(root().join("docs")).into_iter().flatten().map(|entry| entry.expect("an entry").path());
    let pages = docs.filter(|path| path.extension().is_some_and(|extension| extension == "md"));
    pages.chain([root().join("README.md")]).map(|path| fs::read_to_string(path).expect("a page")).collect()
}

#[test]
fn every_command_of_the_documentation_prints_what_is_shown() {
    let tool = Path::new(env!("CARGO_BIN_EXE_portcullis")).parent().expect("the folder of the tool");
    let path = format!("{}:{}", tool.display(), env::var("PATH").unwrap_or_default());
    let shown: Vec<_> = pages().iter().flat_map(|page| shown(page)).collect();
    assert!(shown.len() >= 3, "check, explain and diff are shown");
    for Shown { command, output } in shown {
        let script = format!("{{ {command}; }} 2>&1");
        let ran = Command::new("sh").args(["-c", &script]).current_dir(root()).env("PATH", &path).output();
        let ran = ran.unwrap_or_else(|error| panic!("`{command}` does not run: {error}"));
        assert_eq!(String::from_utf8_lossy(&ran.stdout).trim(), output, "$ {command}");
    }
}
