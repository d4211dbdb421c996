//! Texts in messages to operators, and checks that several text keys share.

/// The maximum length of a text without a limit of its own, in bytes.
const TEXT_BYTES_MAX: usize = 1024;
/// How much of an operator's text a message quotes, in characters.
const QUOTE_CHARS_MAX: usize = 80;
/// The maximum edit distance at which a word still counts as a typo.
const SLIPS_MAX: usize = 2;

/// The text in backticks, shortened and with control characters escaped.
pub fn quoted(text: &str) -> String {
    let mut quote: String = text.chars().take(QUOTE_CHARS_MAX).flat_map(char::escape_debug).collect();
    if text.chars().nth(QUOTE_CHARS_MAX).is_some() {
        quote.push('…');
    }
    format!("`{quote}`")
}

/// A list of words, each in backticks.
pub(super) fn backticked(words: &[&str]) -> String {
    let words: Vec<_> = words.iter().map(|word| format!("`{word}`")).collect();
    words.join(", ")
}

/// The known word that was probably meant: the one with the smallest edit distance, at most two.
pub fn nearest<'a>(word: &str, known: &[&'a str]) -> Option<&'a str> {
    let slips = known.iter().filter(|known| word.len().abs_diff(known.len()) <= SLIPS_MAX);
    let nearest = slips.map(|known| (distance(word.as_bytes(), known.as_bytes()), *known)).min();
    nearest.filter(|(slips, known)| *slips <= SLIPS_MAX && *slips < known.len()).map(|(_, known)| known)
}

/// The Levenshtein distance.
fn distance(a: &[u8], b: &[u8]) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (line, x) in a.iter().enumerate() {
        let mut left = line + 1;
        let mut corner = line;
        let mut next = vec![left];
        for (y, above) in b.iter().zip(row.iter().skip(1)) {
            left = (corner + usize::from(x != y)).min(left + 1).min(above + 1);
            corner = *above;
            next.push(left);
        }
        row = next;
    }
    row.last().copied().unwrap_or_default()
}

/// Text that is not empty, within the length limit, and without control characters.
pub(super) fn plain(text: &str) -> Result<String, String> {
    if text.is_empty() {
        Err("must not be empty".to_owned())
    } else if text.len() > TEXT_BYTES_MAX {
        Err(format!("must not be longer than {TEXT_BYTES_MAX} bytes"))
    } else if text.contains(char::is_control) {
        Err(format!("{} contains a control character", quoted(text)))
    } else {
        Ok(text.to_owned())
    }
}

/// Plain text of visible ASCII characters.
pub(super) fn visible(text: &str) -> Result<String, String> {
    let text = plain(text)?;
    if text.bytes().all(|byte| byte.is_ascii_graphic()) {
        Ok(text)
    } else {
        Err(format!("{} must consist of visible ASCII characters", quoted(&text)))
    }
}

/// Text that can be put into a quoted header parameter unchanged: ASCII without `"` and `\`.
pub(super) fn unescaped(text: &str) -> Result<String, String> {
    let text = plain(text)?;
    if text.bytes().all(|byte| matches!(byte, b' '..=b'~') && !matches!(byte, b'"' | b'\\')) {
        Ok(text)
    } else {
        Err(format!("{} must consist of printable ASCII characters other than `\"` and `\\`", quoted(&text)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_finger_finds_the_word() {
        let known = ["require", "routes", "acr", "match"];
        for (word, near) in [
            ("requires", Some("require")),
            ("rqeuire", Some("require")),
            ("route", Some("routes")),
            ("mach", Some("match")),
            ("ACR", None),
            ("x", None),
            ("", None),
            ("requirement", None),
        ] {
            assert_eq!(nearest(word, &known), near, "{word}");
        }
    }

    #[test]
    fn distance_is_counted_in_single_slips() {
        for (a, b, slips) in [("", "", 0), ("", "abc", 3), ("kitten", "sitting", 3), ("ab", "ba", 2), ("abc", "abc", 0)]
        {
            assert_eq!(distance(a.as_bytes(), b.as_bytes()), slips, "{a} {b}");
        }
    }

    #[test]
    fn quotes_are_short_and_of_one_line() {
        assert_eq!(quoted("a\nb\u{1b}"), r"`a\nb\u{1b}`");
        assert_eq!(quoted(&"x".repeat(500)).chars().count(), QUOTE_CHARS_MAX + 3);
    }

    #[test]
    fn texts_are_checked_for_where_they_go() {
        assert!(
            plain("ü x").is_ok() && plain("").is_err() && plain("a\0").is_err() && plain(&"x".repeat(1025)).is_err()
        );
        assert!(visible("a\"|b").is_ok() && visible("a b").is_err() && visible("ü").is_err());
        assert!(
            unescaped("a b").is_ok()
                && unescaped("a\"").is_err()
                && unescaped("\\").is_err()
                && unescaped("ü").is_err()
        );
    }
}
