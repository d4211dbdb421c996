//! The bench: compares Portcullis with Envoy's own filters, in one run on one machine. `make bench` runs it.
//!
//! What is measured is in `parts/`, one file for each table; the Envoys are in `tests/bench/envoy/`, one file for each row.

mod bootstrap;
mod build;
mod child;
mod h2load;
mod meter;
mod mint;
mod options;
mod parts;
mod plot;
mod report;
mod servers;
mod stats;
mod subject;
mod table;
mod targets;
mod wrk;

use clap::Parser;
use options::{Command, Options};
use std::process::ExitCode;
use tokio::signal::unix::{SignalKind, signal};

#[tokio::main]
async fn main() -> ExitCode {
    let options = Options::parse();
    match options.command {
        Some(Command::Upstream { port }) => servers::upstream(port).await,
        Some(Command::Authz { port }) => servers::authz(port).await,
        // Dropping the measurement ends the servers that it started.
        None => tokio::select! {
            code = parts::run(options) => return code,
            () = asked_to_end() => return ExitCode::FAILURE,
        },
    }
    ExitCode::SUCCESS
}

async fn asked_to_end() {
    let mut terminate = signal(SignalKind::terminate()).expect("signals can be listened to");
    let mut interrupt = signal(SignalKind::interrupt()).expect("signals can be listened to");
    tokio::select! {
        _ = terminate.recv() => (),
        _ = interrupt.recv() => (),
    }
}
