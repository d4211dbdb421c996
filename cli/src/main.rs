//! The program `portcullis`: it only wires.

use clap::Parser;
use std::process::ExitCode;

fn main() -> ExitCode {
    portcullis_cli::Args::parse().run().into()
}
