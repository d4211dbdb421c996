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
                let page = page(&Man::new(command));
                let page = page.map_err(|error| Error::failed(format_args!("cannot write the page: {error}")))?;
                crate::output::write(page)?;
            }
        }
        Ok(Exit::Done)
    }
}

fn write(command: clap::Command, out: &Path) -> io::Result<()> {
    fs::create_dir_all(out)?;
    let mut command = command.disable_help_subcommand(true);
    command.build();
    write_all(&command, out)
}

/// Writes the page of a command and those of the commands below it.
fn write_all(command: &clap::Command, out: &Path) -> io::Result<()> {
    command.get_subcommands().try_for_each(|below| write_all(below, out))?;
    let man = Man::new(command.clone());
    fs::write(out.join(man.get_filename()), page(&man)?)
}

/// A page as roff. What follows the options are examples and YAML, whose lines must stay as they are: roff would join and
/// wrap them.
fn page(man: &Man) -> io::Result<String> {
    let mut page = Vec::new();
    man.render(&mut page)?;
    let page = String::from_utf8(page).map_err(io::Error::other)?;
    let Some((before, after)) = page.split_once(EXTRA) else { return Ok(page) };
    let (lines, rest) =
        after.split_at_checked(after.find("\n.SH ").map_or(after.len(), |at| at + 1)).unwrap_or((after, ""));
    Ok([before, EXTRA, ".nf\n", lines.trim_end(), "\n.fi\n", rest].concat())
}

/// The heading of what follows the options.
const EXTRA: &str = "\n.SH EXTRA\n";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lines_of_an_example_are_not_filled() {
        let command = clap::Command::new("x").version("1").after_help("cases:\n  - name: a\n    request: GET /\n.dot");
        let page = page(&Man::new(command)).expect("a page");
        let expected = "\n.SH EXTRA\n.nf\ncases:\n  \\- name: a\n    request: GET /\n\\&.dot\n.fi\n.SH VERSION\n";
        assert!(page.contains(expected), "{page}");
    }
}
