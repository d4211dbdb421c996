//! The examples in `--help` are pasted: each is a command that the tool understands, and fits the width of the page.

use crate::tool::portcullis;
use clap::CommandFactory;

/// The widest line.
const COLUMNS_MAX: usize = 100;

/// The lines of the examples in what stands below the options of a command and of the commands below it, with its name.
fn examples(command: &clap::Command, path: &str, found: &mut Vec<(String, String)>) {
    let path = format!("{path} {}", command.get_name()).trim().to_owned();
    let text = command.get_after_help().map(ToString::to_string).unwrap_or_default();
    let (mut is_example, mut goes_on) = (false, false);
    for line in text.lines() {
        is_example = ["Examples:", "Example:"].contains(&line) || (is_example && line.starts_with("  "));
        // Other paragraphs show commands, too.
        if line.starts_with("  ") && (is_example || goes_on || line.starts_with("  portcullis ")) {
            goes_on = line.ends_with('\\');
            found.push((path.clone(), line.to_owned()));
        }
    }
    command.get_subcommands().for_each(|below| examples(below, &path, found));
}

fn all() -> Vec<(String, String)> {
    let mut found = Vec::new();
    examples(&portcullis_cli::Args::command(), "", &mut found);
    assert!(found.len() > 60, "{}", found.len());
    found
}

/// Whole commands: a line that ends with a backslash goes on in the next.
fn commands() -> Vec<(String, String)> {
    let mut commands: Vec<(String, String)> = Vec::new();
    for (path, line) in all() {
        let line = line.trim();
        match commands.last_mut().filter(|(_, before)| before.ends_with('\\')) {
            Some((_, before)) => {
                before.pop();
                before.push_str(line);
            }
            None => commands.push((path, line.to_owned())),
        }
    }
    commands
}

/// The simple commands of a line that call the tool, without where their input comes from and their output goes.
fn calls(line: &str) -> Vec<Vec<String>> {
    let words = shlex::split(line).unwrap_or_else(|| panic!("a quote is open: {line}"));
    let parts = words.split(|word| ["|", "&&", "||", ";"].contains(&word.as_str()));
    let calls =
        parts.map(|part| part.iter().take_while(|word| !word.starts_with(['>', '<'])).cloned().collect::<Vec<_>>());
    calls.filter(|part| part.first().is_some_and(|word| word == "portcullis")).collect()
}

#[test]
fn every_line_of_an_example_fits_the_page() {
    for (path, line) in all() {
        assert!(line.chars().count() <= COLUMNS_MAX, "{path}: {line}");
    }
}

#[test]
fn every_example_is_understood_by_the_tool() {
    for (path, line) in commands() {
        let calls = calls(&line);
        assert!(!calls.is_empty(), "{path}: calls no command of the tool: {line}");
        for call in calls {
            if let Err(error) = portcullis_cli::Args::command().try_get_matches_from(&call) {
                panic!("{path}: {line}\n{error}");
            }
        }
    }
}

#[test]
fn an_example_is_printed_as_it_is_written_in_a_narrow_terminal_too() {
    for columns in ["40", "80", "200"] {
        for (path, line) in all() {
            let words: Vec<_> = path.split(' ').skip(1).collect();
            // One of each is enough: the whole takes a process for every line.
            if !["policy render", "shadow report", "why"].contains(&words.join(" ").as_str()) {
                continue;
            }
            let output = portcullis().args(words).arg("--help").env("COLUMNS", columns).output();
            let output = String::from_utf8(output.expect("the program runs").stdout).expect("text");
            assert!(output.lines().any(|shown| shown == line), "{columns}: {line}\n{output}");
        }
    }
}

/// What the environment gives is not required of the caller.
#[test]
fn the_usage_of_a_wrong_call_does_not_ask_for_what_the_environment_has() {
    let output = portcullis().args(["sessions", "show"]).env("PORTCULLIS_ADMIN_URL", "http://127.0.0.1:1").output();
    let output = output.expect("the program runs");
    let printed = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{printed}");
    assert!(printed.contains("Usage: portcullis sessions show") && !printed.contains("--url"), "{printed}");
}
