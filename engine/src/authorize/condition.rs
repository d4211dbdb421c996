//! The condition of the session service that refused a request.

use crate::wire;
use std::time::Duration;

/// The longest id in bytes, and the longest reason: both go into the log.
const ID_BYTES_MAX: usize = 128;
const REASON_BYTES_MAX: usize = 512;
/// The longest scope, or authentication context, in bytes.
const WORD_BYTES_MAX: usize = 256;
/// The maximum number of authentication contexts: they go into a header.
const CONTEXTS_MAX: usize = 16;

/// The condition that refused a request, and what would help. Its texts are bounded and have no control characters.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Condition {
    /// Its name.
    pub id: String,
    /// Why it refused, in its author's words; empty: it does not say.
    pub reason: String,
    /// Whether the client may be told the reason.
    pub tell: bool,
    /// Authentication contexts, one of which would do; they need no escaping in a header. Empty: those of the route.
    pub acr: Vec<String>,
    /// The oldest login that would do; `None`: the route's.
    pub max_age: Option<Duration>,
    /// The scope that can be requested; empty: those of the route.
    pub requestable: String,
}

impl Condition {
    /// Reads what the service says, within bounds.
    pub(super) fn of_wire(condition: wire::Condition) -> Self {
        let is_context = |acr: &String| {
            let is_byte = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\\');
            !acr.is_empty() && acr.len() <= WORD_BYTES_MAX && acr.bytes().all(is_byte)
        };
        Self {
            id: bounded(&condition.id, ID_BYTES_MAX),
            reason: bounded(&condition.reason, REASON_BYTES_MAX),
            tell: condition.tell,
            acr: condition.acr.into_iter().filter(is_context).take(CONTEXTS_MAX).collect(),
            max_age: condition.max_age_ms.map(Duration::from_millis),
            requestable: bounded(&condition.requestable, WORD_BYTES_MAX),
        }
    }

    /// The reason, if the client may be told and there is one.
    pub fn detail(&self) -> Option<&str> {
        Some(self.reason.as_str()).filter(|reason| self.tell && !reason.is_empty())
    }
}

/// Cuts a text after a whole character, and replaces control characters by spaces.
fn bounded(text: &str, bytes_max: usize) -> String {
    let mut bounded = String::with_capacity(text.len().min(bytes_max));
    for char in text.chars().map(|char| if char.is_control() { ' ' } else { char }) {
        if bounded.len() + char.len_utf8() > bytes_max {
            break;
        }
        bounded.push(char);
    }
    bounded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_service_says_is_bounded_and_fits_into_headers_and_lines() {
        let condition = Condition::of_wire(wire::Condition {
            id: "a\nb".to_owned(),
            reason: "ü".repeat(REASON_BYTES_MAX),
            acr: ["aal3", "a b", "a\"", "", "ü"].map(str::to_owned).to_vec(),
            max_age_ms: Some(300_000),
            ..wire::Condition::default()
        });
        assert_eq!((condition.id.as_str(), condition.reason.len()), ("a b", REASON_BYTES_MAX));
        assert_eq!((condition.acr, condition.max_age), (vec!["aal3".to_owned()], Some(Duration::from_secs(300))));
    }

    #[test]
    fn a_reason_is_told_only_where_the_condition_says_so() {
        let condition = Condition { reason: "only at night".to_owned(), ..Condition::default() };
        assert_eq!(condition.detail(), None);
        assert_eq!(Condition { tell: true, ..condition }.detail(), Some("only at night"));
        assert_eq!(Condition { tell: true, ..Condition::default() }.detail(), None);
    }
}
