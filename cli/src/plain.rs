//! Makes text from elsewhere safe to print: no part of it can act as a terminal command.

use std::borrow::Cow;

/// Escapes, as Rust does, everything that a terminal would obey or a reader could not see: control characters, changes of
/// the writing direction, and other invisible characters.
pub(crate) fn plain(text: &str) -> Cow<'_, str> {
    if text.chars().all(is_plain) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if is_plain(c) { shown.push(c) } else { shown.extend(c.escape_debug()) }
    }
    Cow::Owned(shown)
}

/// The same, cut off after `chars_max` characters.
pub(crate) fn clipped(text: &str, chars_max: usize) -> String {
    match text.char_indices().nth(chars_max) {
        None => plain(text).into_owned(),
        Some((end, _)) => format!("{}…", plain(text.get(..end).unwrap_or_default())),
    }
}

/// JSON is meant for scripts, but can end up on a terminal. In its strings, more characters are escaped (as `\u…`) than
/// JSON requires.
pub(crate) fn json(text: &str) -> Cow<'_, str> {
    let is_safe = |c: char| is_plain(c) || matches!(c, '\n' | '\\');
    if text.chars().all(is_safe) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if is_safe(c) {
            shown.push(c);
        } else {
            let mut units = [0; 2];
            shown.extend(c.encode_utf16(&mut units).iter().map(|unit| format!("\\u{unit:04x}")));
        }
    }
    Cow::Owned(shown)
}

/// A backslash is not plain: otherwise text that looks like an escape could not be told from an escape.
fn is_plain(c: char) -> bool {
    match c {
        '\'' | '"' => true,
        '\\' => false,
        // Combining marks are part of names in many languages.
        '\u{300}'..='\u{36f}' => true,
        c => c.escape_debug().len() == 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_obeys_is_escaped() {
        for (text, shown) in [
            ("anna", "anna"),
            ("Zoë 李 \u{65}\u{301} 'x' \"y\"", "Zoë 李 \u{65}\u{301} 'x' \"y\""),
            ("\u{1b}[2J\u{7}", "\\u{1b}[2J\\u{7}"),
            ("a\nb\r\tc", "a\\nb\\r\\tc"),
            ("\u{9b}31m\u{7f}", "\\u{9b}31m\\u{7f}"),
            ("\u{202e}txt.exe\u{200b}", "\\u{202e}txt.exe\\u{200b}"),
            ("\\u{1b}", "\\\\u{1b}"),
        ] {
            assert_eq!(plain(text), shown);
        }
    }

    #[test]
    fn json_stays_the_same_value_without_control_characters() {
        let value = serde_json::json!({"a\u{9b}": "\u{7f}\u{202e}\\ \n ü 😀 \u{e0001}", "b": [1, "x"]});
        let text = serde_json::to_string_pretty(&value).expect("JSON");
        let shown = json(&text);
        assert!(!shown.contains(|c: char| c != '\n' && (c.is_control() || "\u{202e}\u{e0001}".contains(c))), "{shown}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&shown).expect("JSON"), value);
    }

    #[test]
    fn a_long_text_is_clipped_between_characters() {
        assert_eq!(clipped("üüü", 3), "üüü");
        assert_eq!(clipped("üüüü\u{1b}", 3), "üüü…");
    }
}
