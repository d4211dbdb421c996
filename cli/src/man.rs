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
    Ok([before, "\n", &sections(lines), rest].concat())
}

/// The heading that the generator gives to what follows the options. It means nothing to readers.
const EXTRA: &str = "\n.SH EXTRA\n";
/// The lines that begin a section, with its heading; before any of them, there are notes.
const SECTIONS: [(&str, &str); 3] =
    [("Examples:", "EXAMPLES"), ("Example:", "EXAMPLES"), ("Exit codes:", "EXIT STATUS")];

fn sections(lines: &str) -> String {
    let mut sections = vec![("NOTES", String::new())];
    for line in lines.lines() {
        match SECTIONS.iter().find(|(first, _)| *first == line) {
            Some((_, heading)) => sections.push((heading, String::new())),
            None => sections.iter_mut().next_back().into_iter().for_each(|(_, text)| *text += &format!("{line}\n")),
        }
    }
    let filled = sections.iter().filter(|(_, text)| !text.trim().is_empty());
    let section =
        |(heading, text): &(&str, String)| format!(".SH {heading}\n.nf\n{}\n.fi\n", text.trim_matches('\n').trim_end());
    filled.map(section).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lines_of_an_example_are_not_filled() {
        let after = "cases:\n  - name: a\n    request: GET /\n.dot\n\nExamples:\n  x y\n\nExit codes:\n  0  success";
        let command = clap::Command::new("x").version("1").after_help(after);
        let page = page(&Man::new(command)).expect("a page");
        let expected = "\n.SH NOTES\n.nf\ncases:\n  \\- name: a\n    request: GET /\n\\&.dot\n.fi\n.SH EXAMPLES\n.nf\n  x y\n.fi\n.SH EXIT STATUS\n.nf\n  0  success\n.fi\n.SH VERSION\n";
        assert!(page.contains(expected), "{page}");
    }
}
