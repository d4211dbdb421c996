//! `portcullis completions`: completion scripts for shells.

use crate::exit::{Exit, Outcome};
use clap::CommandFactory;
use clap_complete::Shell;

const HELP: &str = "\
Examples:
  portcullis completions bash > ~/.local/share/bash-completion/completions/portcullis
  portcullis completions zsh > \"${fpath[1]}/_portcullis\"
  portcullis completions fish > ~/.config/fish/completions/portcullis.fish";

/// Print a shell completion script
#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
pub(crate) struct Args {
    /// Shell to print the script for
    shell: Shell,
}

impl Args {
    pub(crate) fn run(self) -> Outcome {
        // Generate into memory first: clap_complete panics when its output is closed.
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut crate::Args::command(), "portcullis", &mut script);
        crate::output::write(&script)?;
        Ok(Exit::Done)
    }
}
