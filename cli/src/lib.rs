//! `portcullis`: one tool for the people who write policies and the people who run them.
//!
//! It reads policies with the filter's own code, so it reports exactly what Envoy will do.
//!
//! - [`policy`] holds the commands on policy files, `admin` the commands that call a running session service (`why` among them),
//!   `conditions` those on Cedar policies of the session service, `shadow` those on access logs, which `access_log` reads, `audit` those on the files of the audit log, `keys` those on signing keys;
//! - `input` reads files, `output` writes results, `table` lays them out, `plain` makes foreign text safe to print, `tls` says which servers are trusted;
//! - [`document`] is a YAML or JSON file: its value, and the place of every part;
//! - [`diagnostic`] and [`error`] are what can be wrong, as data, and `report` prints them;
//! - `help` reads the arguments, and [`exit`] lists the exit codes.

mod access_log;
mod admin;
mod audit;
mod completions;
mod conditions;
pub mod diagnostic;
pub mod document;
pub mod error;
pub mod exit;
mod help;
mod input;
mod keys;
mod man;
mod output;
mod plain;
pub mod policy;
mod report;
mod shadow;
mod since;
mod table;
mod tls;

use clap::{Parser, Subcommand};
use exit::Exit;

/// Generate, check and render Portcullis policies, and manage sessions
#[derive(Debug, Parser)]
#[command(name = "portcullis", version, after_help = exit::HELP)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Work with policy files
    #[command(subcommand)]
    Policy(policy::Command),
    /// Write, check and try conditions: Cedar policies of the session service
    #[command(subcommand)]
    Conditions(conditions::Command),
    /// Explain why a request was refused, and what to do about it
    Why(admin::why::Args),
    /// Report what shadow mode would refuse
    #[command(subcommand)]
    Shadow(shadow::Command),
    /// List, show, narrow and revoke sessions
    #[command(subcommand)]
    Sessions(admin::sessions::Command),
    /// Revoke all sessions of a subject, a client, a session claim or an issuer
    Revoke(admin::revoke::Args),
    /// List revocations of subjects, clients, session claims and issuers, and take them back
    #[command(subcommand)]
    Revocations(admin::revocations::Command),
    /// Refuse whatever comes from a subject, a client or a session claim
    Block(admin::block::Args),
    /// List blocks of subjects, clients and session claims, and lift them
    #[command(subcommand)]
    Blocks(admin::blocks::Command),
    /// Ask for access that somebody has to approve, and decide what others ask for
    #[command(subcommand)]
    Access(admin::access::Command),
    /// List, set and delete attributes: facts about sessions, subjects and devices
    #[command(subcommand)]
    Attributes(admin::attributes::Command),
    /// List which scopes and routes are used, and find those that nobody needs
    #[command(subcommand)]
    Scopes(admin::scopes::Command),
    /// List the filters that are connected to the session service
    #[command(subcommand)]
    Filters(admin::filters::Command),
    /// List the replicas of the session service
    #[command(subcommand)]
    Replicas(admin::replicas::Command),
    /// Manage the identity providers that send signals, and release or drop held signals
    #[command(subcommand)]
    Signals(admin::signals::Command),
    /// List what webhooks were not told
    #[command(subcommand)]
    Webhooks(admin::webhooks::Command),
    /// Show who you are at the admin API, and what you may do
    Whoami(admin::whoami::Args),
    /// Watch what happens to sessions, and which requests are refused
    Events(admin::events::Args),
    /// Verify, search and follow the files of the audit log
    #[command(subcommand)]
    Audit(audit::Command),
    /// Generate and rotate the keys that sign tokens for upstreams
    #[command(subcommand)]
    Keys(keys::Command),
    /// Print a shell completion script
    Completions(completions::Args),
    /// Print the manual page, or write the pages of all commands
    Man(man::Args),
}

/// Runs the program with the arguments of this process.
pub fn run() -> Exit {
    help::arguments().map_or_else(|exit| exit, Args::run)
}

impl Args {
    /// Runs the command. Errors are printed on standard error.
    pub fn run(self) -> Exit {
        let outcome = match self.command {
            Command::Policy(command) => command.run(),
            Command::Conditions(command) => command.run(),
            Command::Why(args) => args.run(),
            Command::Shadow(command) => command.run(),
            Command::Sessions(command) => command.run(),
            Command::Revoke(args) => args.run(),
            Command::Revocations(command) => command.run(),
            Command::Block(args) => args.run(),
            Command::Blocks(command) => command.run(),
            Command::Access(command) => command.run(),
            Command::Attributes(command) => command.run(),
            Command::Scopes(command) => command.run(),
            Command::Filters(command) => command.run(),
            Command::Replicas(command) => command.run(),
            Command::Signals(command) => command.run(),
            Command::Webhooks(command) => command.run(),
            Command::Whoami(args) => args.run(),
            Command::Events(args) => args.run(),
            Command::Audit(command) => command.run(),
            Command::Keys(command) => command.run(),
            Command::Completions(args) => args.run(),
            Command::Man(args) => args.run(),
        };
        outcome.unwrap_or_else(|error| report::error(&error))
    }
}
