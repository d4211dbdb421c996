//! The program `portcullis`: it only wires.

use std::process::ExitCode;

fn main() -> ExitCode {
    portcullis_cli::run().into()
}
