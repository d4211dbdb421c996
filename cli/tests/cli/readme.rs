//! The README's console blocks, played: each `$ command` must print what stands under it.

use std::{env, fs, path::Path, process::Command};

/// A command of a block, and what it prints.
struct Shown {
    command: String,
    output: String,
}

fn shown(readme: &str) -> Vec<Shown> {
    let blocks = readme.split("```console\n").skip(1).filter_map(|rest| rest.split("```").next());
    let commands = blocks.flat_map(|block| block.split("$ ").skip(1));
    let shown = commands.filter_map(|text| text.split_once('\n'));
    shown.map(|(command, output)| Shown { command: command.to_owned(), output: output.trim().to_owned() }).collect()
}

#[test]
fn every_command_of_the_readme_prints_what_the_readme_shows() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the repository");
    let tool = Path::new(env!("CARGO_BIN_EXE_portcullis")).parent().expect("the folder of the tool");
    let path = format!("{}:{}", tool.display(), env::var("PATH").unwrap_or_default());
    let shown = shown(&fs::read_to_string(root.join("README.md")).expect("a README"));
    assert!(shown.len() >= 3, "check, explain and diff are shown");
    for Shown { command, output } in shown {
        let script = format!("{{ {command}; }} 2>&1");
        let ran = Command::new("sh").args(["-c", &script]).current_dir(root).env("PATH", &path).output();
        let ran = ran.unwrap_or_else(|error| panic!("`{command}` does not run: {error}"));
        assert_eq!(String::from_utf8_lossy(&ran.stdout).trim(), output, "$ {command}");
    }
}
