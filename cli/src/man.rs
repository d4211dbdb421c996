//! `portcullis man`: manual pages.

use crate::{
    error::Error,
    exit::{Exit, Outcome},
};
use clap::CommandFactory;
use clap_mangen::Man;
use std::{
    fs, io,
    path::{Path, PathBuf},
};

const HELP: &str = "\
Examples:
  portcullis man | man -l -
  portcullis man --out ~/.local/share/man/man1 && man portcullis-policy-check";

/// Print the manual page, or write the pages of all commands
#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
pub(crate) struct Args {
    /// Write the page of the tool and of each command into this directory
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

impl Args {
    pub(crate) fn run(self) -> Outcome {
        let command = crate::Args::command();
        match &self.out {
            Some(out) => write(command, out)
                .map_err(|error| Error::failed(format_args!("cannot write `{}`: {error}", out.display())))?,
            None => {
                let mut page = Vec::new();
                Man::new(command)
                    .render(&mut page)
                    .map_err(|error| Error::failed(format_args!("cannot write the page: {error}")))?;
                crate::output::write(&page)?;
            }
        }
        Ok(Exit::Done)
    }
}

fn write(command: clap::Command, out: &Path) -> io::Result<()> {
    fs::create_dir_all(out)?;
    clap_mangen::generate_to(command, out)
}
