//! Bounds of a text before Cedar parses it. Cedar turns nesting and chains of operators into recursion: it checks the stack
//! when it validates and evaluates, but not when it builds and drops expressions. So the depth is bounded here, where it can be
//! said at its line.

use std::ops::Range;

/// The longest policy, in bytes.
const POLICY_BYTES_MAX: usize = 64 << 10;

/// How deep an expression can be. A bracket counts for several: Cedar takes a step for each level of precedence.
const DEPTH_MAX: usize = 256;

/// What a bracket adds to the depth.
const BRACKET: usize = 8;

/// What a policy has too much of, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Excess {
    pub(crate) message: String,
    pub(crate) help: &'static str,
    pub(crate) span: Range<usize>,
}

/// One policy of a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Piece {
    /// From its first token to its semicolon.
    pub(crate) span: Range<usize>,
    /// What it has too much of: then it is not parsed.
    pub(crate) excess: Option<Excess>,
}

/// Takes a text apart into its policies, so that a fault in one hides none in another. It reads tokens only: strings and
/// comments do not count.
pub(crate) fn pieces(text: &str) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut tokens = Tokens { text, at: 0 };
    let mut scan: Option<Scan> = None;
    while let Some((token, span)) = tokens.next() {
        let now = scan.get_or_insert_with(|| Scan { start: span.start, ..Scan::default() });
        now.take(token, &span);
        if token == Token::End {
            pieces.extend(scan.take().map(|scan| scan.piece(span.end)));
        }
    }
    pieces.extend(scan.map(|scan| scan.piece(text.len())));
    pieces
}

/// What is open at a place of a policy.
#[derive(Default)]
struct Scan {
    start: usize,
    /// The depth within each open bracket.
    open: Vec<usize>,
    /// The sum of it, and of what is outside of brackets.
    depth: usize,
    /// The depth within the innermost bracket.
    here: usize,
    excess: Option<Excess>,
}

impl Scan {
    fn take(&mut self, token: Token, span: &Range<usize>) {
        match token {
            Token::Open => {
                self.open.push(self.here);
                self.here = 0;
                self.depth += BRACKET;
            }
            Token::Close => {
                self.depth = self.depth.saturating_sub(self.here + BRACKET);
                self.here = self.open.pop().unwrap_or_default();
            }
            Token::Operator => {
                self.here += 1;
                self.depth += 1;
            }
            // What commas separate is beside each other.
            Token::Comma => {
                self.depth = self.depth.saturating_sub(self.here);
                self.here = 0;
            }
            Token::Other | Token::End => {}
        }
        if self.depth > DEPTH_MAX && self.excess.is_none() {
            let message = "the condition is nested too deeply".to_owned();
            let help = "compare with a set (`[\"a\", \"b\"].contains(…)`), or write several conditions";
            self.excess = Some(Excess { message, help, span: span.clone() });
        }
    }

    fn piece(self, end: usize) -> Piece {
        let span = self.start..end;
        let too_long = || Excess {
            message: format!("the policy is longer than {POLICY_BYTES_MAX} bytes"),
            help: "write several conditions",
            span: span.clone(),
        };
        let excess = self.excess.or_else(|| (span.len() > POLICY_BYTES_MAX).then(too_long));
        Piece { span, excess }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Token {
    Open,
    Close,
    Comma,
    /// What makes an expression one level deeper.
    Operator,
    /// The end of a policy.
    End,
    /// Any other.
    Other,
}

struct Tokens<'a> {
    text: &'a str,
    at: usize,
}

impl Tokens<'_> {
    fn next(&mut self) -> Option<(Token, Range<usize>)> {
        let bytes = self.text.as_bytes();
        loop {
            let start = self.at;
            let byte = *bytes.get(start)?;
            self.at += 1;
            let token = match byte {
                b'"' => {
                    self.string();
                    Token::Other
                }
                b'/' if bytes.get(self.at) == Some(&b'/') => {
                    while bytes.get(self.at).is_some_and(|byte| *byte != b'\n') {
                        self.at += 1;
                    }
                    continue;
                }
                b'(' | b'[' | b'{' => Token::Open,
                b')' | b']' | b'}' => Token::Close,
                b',' => Token::Comma,
                b';' => Token::End,
                b'.' | b'!' | b'-' | b'+' | b'*' | b'&' | b'|' | b'<' | b'>' | b'=' => Token::Operator,
                byte if byte.is_ascii_alphabetic() || byte == b'_' => {
                    let is_inner = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
                    while bytes.get(self.at).is_some_and(is_inner) {
                        self.at += 1;
                    }
                    match bytes.get(start..self.at) {
                        Some(b"if" | b"then" | b"else" | b"has" | b"like" | b"in" | b"is") => Token::Operator,
                        _ => Token::Other,
                    }
                }
                byte if byte.is_ascii_whitespace() => continue,
                _ => Token::Other,
            };
            return Some((token, start..self.at));
        }
    }

    /// Goes behind the end of a string.
    fn string(&mut self) {
        let bytes = self.text.as_bytes();
        while let Some(byte) = bytes.get(self.at) {
            self.at += 1;
            match byte {
                b'\\' => self.at += 1,
                b'"' => return,
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn when(condition: &str) -> String {
        format!("@id(\"a\") forbid (principal, action, resource) when {{ {condition} }};")
    }

    fn excess(text: &str) -> Option<Excess> {
        pieces(text).into_iter().find_map(|piece| piece.excess)
    }

    #[test]
    fn policies_are_told_apart() {
        let text = "// one;\n@id(\"a;\") forbid (x) when { \"\\\";\" == y };; // two\n permit(x) // end";
        let parts: Vec<_> = pieces(text).into_iter().map(|piece| text.get(piece.span).unwrap_or_default()).collect();
        assert_eq!(parts, ["@id(\"a;\") forbid (x) when { \"\\\";\" == y };", ";", "permit(x) // end"]);
        assert_eq!(pieces(" // nothing\n"), []);
    }

    #[test]
    fn what_people_write_is_within_bounds() {
        let countries = (0..1_000).map(|n| format!("\"{n}\"")).collect::<Vec<_>>().join(", ");
        for condition in [
            format!("[{countries}].contains(context.host)"),
            (0..50).map(|n| format!("context.host == \"{n}\"")).collect::<Vec<_>>().join(" || "),
            "((((((((((true))))))))))".to_owned(),
            format!("\"{}\" == \"((((\" // {}", "(".repeat(5_000), "(".repeat(5_000)),
        ] {
            assert_eq!(excess(&when(&condition)), None, "{condition}");
        }
        assert_eq!(pieces(&when("true").repeat(10_000)).len(), 10_000);
    }

    #[test]
    fn hostile_nesting_is_an_excess_at_its_place() {
        for part in
            ["(", "[", "{a: ", "!", "-", "if true then ", "if ", "context.", "true && ", "true || ", "1 + ", "a("]
        {
            let text = when(&part.repeat(5_000));
            let found = excess(&text).unwrap_or_else(|| panic!("{part}"));
            assert!(found.message.contains("nested"), "{found:?}");
            assert!(found.span.start < 6_000, "{found:?}");
        }
    }

    #[test]
    fn a_long_policy_is_an_excess() {
        let long = when(&format!("context.host == \"{}\"", "a".repeat(POLICY_BYTES_MAX)));
        assert!(excess(&long).is_some_and(|found| found.message.contains("longer")));
    }
}
