//! Reads the arguments. What stands below the options in `--help` is printed as it is written: clap would wrap its lines at the
//! width of the terminal, and an example that was wrapped cannot be pasted.

use crate::{Args, exit::Exit, output};
use clap::{Command, CommandFactory, FromArgMatches};

/// The arguments of this process, or how it ends without them.
pub(crate) fn arguments() -> Result<Args, Exit> {
    let mut texts = Vec::new();
    let command = marked(Args::command(), &mut texts);
    let read = command.try_get_matches().and_then(|matches| Args::from_arg_matches(&matches));
    read.map_err(|error| {
        let text = unmarked(error.render().ansi().to_string(), &texts);
        if error.use_stderr() {
            output::message(text.trim_end());
        } else if output::write_styled(&text).is_err() {
            return Exit::Failed;
        }
        if error.exit_code() == 0 { Exit::Done } else { Exit::Invalid }
    })
}

/// The command with a mark in the place of each text below the options. A mark is one word, which clap does not wrap.
fn marked(command: Command, texts: &mut Vec<String>) -> Command {
    let text = command.get_after_help().map(ToString::to_string);
    let command = match text {
        Some(text) => {
            let mark = mark(texts.len());
            texts.push(text);
            command.after_help(mark)
        }
        None => command,
    };
    let below: Vec<_> = command.get_subcommands().map(|below| below.get_name().to_owned()).collect();
    below.iter().fold(command, |command, name| command.mut_subcommand(name, |below| marked(below, texts)))
}

/// A help with each text in its place.
fn unmarked(help: String, texts: &[String]) -> String {
    let texts = texts.iter().enumerate();
    texts.fold(help, |help, (number, text)| help.replace(&mark(number), text))
}

fn mark(number: usize) -> String {
    format!("\u{1}{number}\u{1}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_below_the_options_is_not_wrapped_however_narrow_the_terminal() {
        let mut texts = Vec::new();
        let mut command = marked(Args::command(), &mut texts).term_width(40);
        command.build();
        let why = command.find_subcommand_mut("why").expect("the command");
        let written = why.get_after_help().map(|text| text.ansi().to_string()).expect("a mark");
        let help = unmarked(why.render_long_help().ansi().to_string(), &texts);
        let text = unmarked(written, &texts);
        assert!(text.contains("\nExamples:\n  portcullis why "), "{text}");
        assert!(help.trim_end().ends_with(text.trim_end()), "{help}");
        assert!(!help.contains('\u{1}'), "{help}");
    }
}
