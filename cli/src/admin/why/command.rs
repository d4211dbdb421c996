//! Commands to paste into a shell. What stands in them was chosen by others.

use crate::admin::plain::plain;

/// A command, of which no word can become another command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Command(String);

impl Command {
    /// `portcullis` with these words.
    pub(super) fn portcullis(words: &str) -> Self {
        Self(format!("portcullis {words}"))
    }

    /// Adds a value.
    pub(super) fn word(mut self, value: &str) -> Self {
        self.0 += " ";
        self.0 += &quoted(value);
        self
    }

    /// Adds an option with its value.
    pub(super) fn option(mut self, name: &str, value: &str) -> Self {
        // Otherwise, a value that begins with a hyphen would be read as an option.
        let between = if value.starts_with('-') { "=" } else { " " };
        self.0 += &format!(" --{name}{between}{}", quoted(value));
        self
    }

    /// Adds an option without a value.
    pub(super) fn flag(mut self, name: &str) -> Self {
        self.0 += &format!(" --{name}");
        self
    }

    pub(super) fn text(&self) -> &str {
        &self.0
    }
}

fn quoted(value: &str) -> String {
    let value = plain(value);
    let is_safe = |c: char| c.is_ascii_alphanumeric() || "-_./:@%+=,".contains(c);
    match !value.is_empty() && value.chars().all(is_safe) {
        true => value.into_owned(),
        false => format!("'{}'", value.replace('\'', r"'\''")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shell_reads_each_value_as_one_word() {
        for value in ["orders:write", "", "a b", "$(reboot)", "it's `x`; y", "'; rm -rf /", "*", "~", "-x", "李"] {
            let command = Command(r"printf '%s\n'".to_owned()).word(value);
            let ran = std::process::Command::new("sh").args(["-c", command.text()]).output().expect("a shell");
            assert_eq!(String::from_utf8_lossy(&ran.stdout), format!("{value}\n"), "{}", command.text());
        }
        assert_eq!(Command::portcullis("x").option("subject", "-a").text(), "portcullis x --subject=-a");
        assert_eq!(Command::portcullis("x").word("a\n\u{1b}").text(), r"portcullis x 'a\n\u{1b}'");
    }
}
