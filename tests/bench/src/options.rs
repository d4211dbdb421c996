//! The command line of the bench.

use clap::{Parser, Subcommand, ValueEnum};
use std::{path::PathBuf, time::Duration};

/// Compares Portcullis with Envoy's own filters
#[derive(Parser)]
#[command(name = "portcullis-bench")]
pub(crate) struct Options {
    /// Number of measurements of each cell; the median counts
    #[arg(long, default_value_t = 3)]
    pub(crate) rounds: usize,
    /// Duration of each measurement, in seconds
    #[arg(long, default_value_t = 2)]
    pub(crate) seconds: u64,
    /// Worker threads of each Envoy [default: one for each core]
    #[arg(long)]
    pub(crate) concurrency: Option<usize>,
    /// What to measure, separated by commas [default: everything]
    #[arg(long, value_delimiter = ',', value_enum)]
    pub(crate) parts: Vec<Part>,
    /// Compare this build with another one: a directory with its `portcullis.wasm` and `portcullis-session`. Both serve
    /// warm and cold requests in the same rounds. Nothing else is measured unless `--parts` names it
    #[arg(long, value_name = "DIR")]
    pub(crate) baseline: Option<PathBuf>,
    /// Directory for the results
    #[arg(long, default_value = "target/bench")]
    pub(crate) out: PathBuf,
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

/// A part of the bench.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Part {
    /// All rows, with tokens that are in the cache
    Main,
    /// A new token in every request
    Cold,
    /// Few and many routes
    Routes,
    /// Few and many live tokens
    Tokens,
    /// From a revocation to the end of requests and streams
    Revocation,
    /// The session service alone
    Service,
    /// The memory of the filter
    Memory,
}

/// The servers behind Envoy, each in a process of its own so that its work can be told apart.
#[derive(Subcommand)]
pub(crate) enum Command {
    #[command(hide = true)]
    Upstream { port: u16 },
    #[command(hide = true)]
    Authz { port: u16 },
}

impl Options {
    pub(crate) fn does(&self, part: Part) -> bool {
        if self.parts.is_empty() { self.baseline.is_none() } else { self.parts.contains(&part) }
    }

    pub(crate) fn time(&self) -> Duration {
        Duration::from_secs(self.seconds)
    }

    pub(crate) fn workers(&self) -> usize {
        self.concurrency.unwrap_or_else(cores).max(1)
    }
}

/// The cores of this machine.
pub(crate) fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}
