//! The command-line tool that `make build` leaves in `dist/`, beside a real session service and a real Envoy.

mod events;
mod proxies;
mod render;
mod sessions;
mod why;

use portcullis_tests::{dist, root};
use std::process::{Command, Output};

/// `portcullis`, without what this machine's environment configures for it.
fn portcullis() -> Command {
    let mut command = Command::new(dist("portcullis"));
    command.current_dir(root()).env_remove("PORTCULLIS_ADMIN_URL").env_remove("PORTCULLIS_ADMIN_CREDENTIAL");
    command
}

/// Runs a command that must succeed; returns its standard output.
#[track_caller]
fn run(command: &mut Command) -> String {
    let output = command.output().expect("the program runs");
    assert!(output.status.success(), "{command:?}: {}", stderr(&output));
    String::from_utf8(output.stdout).expect("text")
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}
