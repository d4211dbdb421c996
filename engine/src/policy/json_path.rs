//! A place in the policy. It is only formatted as a JSONPath (RFC 9535) when there is a fault to report.

use std::fmt::{self, Write};

/// A place in the policy: a chain of borrowed steps, so that walking a valid policy allocates nothing for it.
#[derive(Debug, Clone, Copy)]
pub struct At<'a> {
    parent: Option<&'a At<'a>>,
    step: Step<'a>,
}

#[derive(Debug, Clone, Copy)]
enum Step<'a> {
    Root,
    Key(&'a str),
    Item(usize),
}

impl<'a> At<'a> {
    /// The whole policy, `$`.
    pub const ROOT: At<'static> = At { parent: None, step: Step::Root };

    /// The value of a key of this object.
    pub fn key(&'a self, key: &'a str) -> At<'a> {
        At { parent: Some(self), step: Step::Key(key) }
    }

    /// An item of this list, counted from 0.
    pub fn item(&'a self, index: usize) -> At<'a> {
        At { parent: Some(self), step: Step::Item(index) }
    }
}

impl fmt::Display for At<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(parent) = self.parent {
            parent.fmt(f)?;
        }
        match self.step {
            Step::Root => f.write_char('$'),
            Step::Item(index) => write!(f, "[{index}]"),
            Step::Key(key) if is_shorthand(key) => write!(f, ".{key}"),
            Step::Key(key) => {
                f.write_str("['")?;
                key.chars().try_for_each(|c| write_quoted(f, c))?;
                f.write_str("']")
            }
        }
    }
}

fn is_shorthand(key: &str) -> bool {
    key.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// Writes a character of a quoted name (RFC 9535, section 2.7), with control characters escaped.
fn write_quoted(f: &mut fmt::Formatter<'_>, c: char) -> fmt::Result {
    match c {
        '\'' | '\\' => write!(f, "\\{c}"),
        '\n' => f.write_str("\\n"),
        '\r' => f.write_str("\\r"),
        '\t' => f.write_str("\\t"),
        c if c.is_control() => write!(f, "\\u{:04x}", u32::from(c)),
        c => f.write_char(c),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_a_json_path() {
        assert_eq!(At::ROOT.to_string(), "$");
        assert_eq!(At::ROOT.key("routes").item(3).key("match").key("path").to_string(), "$.routes[3].match.path");
        assert_eq!(At::ROOT.key("scopes").key("orders:read").to_string(), "$.scopes['orders:read']");
        assert_eq!(At::ROOT.key("it's\n\u{1}\\").to_string(), r"$['it\'s\n\u0001\\']");
        assert_eq!(At::ROOT.key("").key("1a").to_string(), "$['']['1a']");
    }
}
