//! The method of a rule.

use std::fmt;

/// The maximum length of a rule's method.
const METHOD_BYTES_MAX: usize = 64;
/// Methods that everyone writes in upper case.
pub(crate) const COMMON: [&str; 9] = ["GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE", "CONNECT", "TRACE"];

/// What other tools call every method. As tokens they would be methods that no client sends.
pub(crate) const EVERY: [&str; 3] = ["*", "ANY", "ALL"];

/// A method: a token (RFC 9110, section 9.1), compared case-sensitively.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Method(pub(super) Box<str>);

/// What is wrong with a method.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BadMethod {
    /// Not a token, or too long.
    NoToken,
    /// What stands for every method elsewhere, and would never match here.
    Every,
    /// A common method that is not in upper case, and would therefore never match.
    Case(&'static str),
}

impl Method {
    /// Reads a method.
    pub fn parse(text: &str) -> Result<Self, BadMethod> {
        if text.is_empty() || text.len() > METHOD_BYTES_MAX || !text.bytes().all(is_token_byte) {
            return Err(BadMethod::NoToken);
        }
        if EVERY.iter().any(|every| text.eq_ignore_ascii_case(every)) {
            return Err(BadMethod::Every);
        }
        match COMMON.into_iter().find(|common| text.eq_ignore_ascii_case(common)) {
            Some(common) if text != common => Err(BadMethod::Case(common)),
            _ => Ok(Self(text.into())),
        }
    }

    /// The method as written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

impl fmt::Display for BadMethod {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoToken => f.write_str("expected a method such as `GET`; omit `methods` to match every method"),
            Self::Every => {
                f.write_str("not a method; omit `methods` to match every method, or list the methods that are meant")
            }
            Self::Case(common) => write!(f, "methods are case-sensitive; write `{common}`"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn methods_are_tokens_as_they_are_written() {
        for text in ["GET", "PROPFIND", "M-SEARCH", "purge", "a"] {
            assert_eq!(Method::parse(text).unwrap().as_str(), text);
        }
        for text in ["", "*GET ", "GET,POST", "GE\u{301}T", "G\0", &"A".repeat(65)] {
            assert_eq!(Method::parse(text), Err(BadMethod::NoToken), "{text}");
        }
    }

    #[test]
    fn what_means_every_method_elsewhere_is_not_a_method() {
        for text in ["*", "ANY", "any", "ALL", "All"] {
            assert_eq!(Method::parse(text), Err(BadMethod::Every), "{text}");
        }
        assert!(Method::parse("ALLOCATE").is_ok());
    }

    #[test]
    fn a_common_method_in_another_case_is_a_slip() {
        assert_eq!(Method::parse("get"), Err(BadMethod::Case("GET")));
        assert_eq!(Method::parse("Patch"), Err(BadMethod::Case("PATCH")));
    }
}
