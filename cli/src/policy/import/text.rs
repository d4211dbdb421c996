//! Puts texts of a document into a policy: as YAML values, in comments and as names.

use portcullis_engine::policy::route_name;
use std::collections::HashMap;

/// The longest description of a scope, in bytes. The filter accepts 1,024.
const DESCRIPTION_BYTES_MAX: usize = 500;
/// The longest excerpt of a document in a comment, in bytes.
const COMMENT_BYTES_MAX: usize = 160;
/// The longest name that is derived from a path, in bytes. It leaves room for a number.
const NAME_BYTES_MAX: usize = 100;

/// A YAML scalar that every YAML reader parses as this text.
pub(super) fn scalar(text: &str) -> String {
    let is_word = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/')
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_./:".contains(&byte))
        && !text.ends_with(':');
    let reserved = ["y", "n", "yes", "no", "on", "off", "true", "false", "null"];
    if is_word && !reserved.iter().any(|word| text.eq_ignore_ascii_case(word)) {
        return text.to_owned();
    }
    // JSON strings are valid YAML.
    serde_json::to_string(text).unwrap_or_default()
}

/// A YAML list of texts.
pub(super) fn list<T: AsRef<str>>(texts: &[T]) -> String {
    let texts: Vec<_> = texts.iter().map(|text| scalar(text.as_ref())).collect();
    format!("[{}]", texts.join(", "))
}

/// One line without characters that could end it, be invisible or change the writing direction.
pub(super) fn line(text: &str) -> String {
    clipped(text, COMMENT_BYTES_MAX)
}

/// A description that a policy accepts, unless nothing is left of it.
pub(super) fn description(text: &str) -> Option<String> {
    Some(clipped(text, DESCRIPTION_BYTES_MAX)).filter(|text| !text.is_empty())
}

fn clipped(text: &str, bytes_max: usize) -> String {
    let visible = |c: char| if c.is_control() || is_hidden(c) { ' ' } else { c };
    let text: String = text.chars().map(visible).collect();
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if text.len() <= bytes_max {
        return text;
    }
    let end = (0..=bytes_max).rev().find(|end| text.is_char_boundary(*end)).unwrap_or_default();
    format!("{}…", text.get(..end).unwrap_or_default().trim_end())
}

/// Line separators, direction marks and other invisible characters.
fn is_hidden(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}'
        | '\u{fff0}'..='\u{ffff}' | '\u{e000}'..='\u{f8ff}' | '\u{e0000}'..='\u{10ffff}')
}

/// Unique names; each with the last number that was appended to it.
#[derive(Debug, Default)]
pub(super) struct Names(HashMap<String, usize>);

impl Names {
    /// The operation's own name or one derived from method and path, with a number if it is taken.
    pub(super) fn route(&mut self, id: Option<&str>, method: &str, path: &str) -> String {
        let own = id.filter(|id| id.len() <= NAME_BYTES_MAX).and_then(|id| route_name(id).ok());
        self.free(&own.unwrap_or_else(|| of_path(method, path)))
    }

    /// The name, with a number if it is taken.
    pub(super) fn free(&mut self, name: &str) -> String {
        let mut free = name.to_owned();
        while self.0.contains_key(&free) {
            let number = self.0.entry(name.to_owned()).or_insert(1);
            *number += 1;
            free = format!("{name}-{number}");
        }
        self.0.insert(free.clone(), 1);
        free
    }
}

fn of_path(method: &str, path: &str) -> String {
    let word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '~');
    let words = path.split(|c: char| !word(c)).filter(|word| !word.is_empty());
    let method: String = method.chars().filter(|c| word(*c)).map(|c| c.to_ascii_lowercase()).collect();
    let name = std::iter::once(method.as_str()).chain(words).collect::<Vec<_>>().join(".");
    name.chars().take(NAME_BYTES_MAX).collect()
}
