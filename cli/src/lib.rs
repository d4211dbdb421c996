//! `portcullis`: one tool for those who write a policy and those who run it.
//!
//! It reads policies with the filter's own code, so what it says is what Envoy does.
//!
//! - [`document`] is a file as it was written: its value, and where each part of it stands;
//! - [`report`] shows what is wrong with it, as rustc does;
//! - [`policy`] holds the commands that work on files;
//! - [`admin`] holds the commands that work on a running session service;
//! - [`output`] writes what was asked for;
//! - [`exit`] says how the program ends.

pub mod admin;
mod completions;
pub mod document;
pub mod exit;
mod man;
pub mod output;
pub mod policy;
pub mod report;

use clap::{Parser, Subcommand};
use exit::Exit;

/// Write, check and roll out a Portcullis policy, and look after sessions
#[derive(Debug, Parser)]
#[command(name = "portcullis", version, after_help = exit::HELP)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Work on policy files
    #[command(subcommand)]
    Policy(policy::Command),
    /// List, show and revoke sessions
    #[command(subcommand)]
    Sessions(admin::sessions::Command),
    /// Revoke all sessions of a subject, a client or an issuer
    Revoke(admin::revoke::Args),
    /// Follow what happens to sessions
    Events(admin::events::Args),
    /// Print completions for a shell
    Completions(completions::Args),
    /// Print the manual page, or write those of all commands
    Man(man::Args),
}

impl Args {
    /// Does what was asked, and says how it ended. What is wrong is told on standard error.
    pub fn run(self) -> Exit {
        let outcome = match self.command {
            Command::Policy(command) => command.run(),
            Command::Sessions(command) => command.run(),
            Command::Revoke(args) => args.run(),
            Command::Events(args) => args.run(),
            Command::Completions(args) => args.run(),
            Command::Man(args) => args.run(),
        };
        outcome.unwrap_or_else(|trouble| trouble.tell())
    }
}
