//! What is wrong with the servers that the filter calls, for the log: the first time at once, then a line every ten seconds
//! that counts the others. Each worker retries several times a second.

use portcullis_engine::{map::HashMap, time::Monotonic, token::IssuerId};

/// The minimum time between two lines of the same kind about a server, in milliseconds.
const QUIET_MS: u64 = 10_000;

/// What did not work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Trouble {
    /// Envoy would not open the check stream.
    Unopened,
    /// The check stream was closed with this gRPC status.
    Closed(u32),
    /// The session service lacks something that the policy needs.
    Unfit,
    /// Envoy would not send a call to the introspection endpoint.
    CallUnsent,
    /// A call to the introspection endpoint was answered with this status; 0: it was not answered.
    Call(u32),
    /// Envoy would take the requests for the token endpoint elsewhere.
    Misrouted,
    /// Envoy would not send the request for a key set.
    KeysUnsent(IssuerId),
    /// The request for a key set failed.
    Keys(IssuerId),
}

/// When there was a line about each trouble, and how often there was none since.
#[derive(Debug, Default)]
pub(crate) struct Troubles(HashMap<Trouble, (Monotonic, u64)>);

impl Troubles {
    /// Whether a line is due: what it must end with, to count those that were left out.
    pub(crate) fn note(&mut self, trouble: Trouble, now: Monotonic) -> Option<String> {
        match self.0.get_mut(&trouble) {
            Some((written_at, others)) if now.since(*written_at) < QUIET_MS => {
                *others = others.saturating_add(1);
                None
            }
            known => {
                let others = known.map_or(0, |(_, others)| *others);
                self.0.insert(trouble, (now, 0));
                Some(match others {
                    0 => String::new(),
                    1 => " (once more since the line before)".to_owned(),
                    _ => format!(" ({others} more times since the line before)"),
                })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_trouble_has_a_line_at_once_and_then_one_every_ten_seconds() {
        let mut troubles = Troubles::default();
        let mut note = |trouble, ms| troubles.note(trouble, Monotonic(ms));
        assert_eq!(note(Trouble::Unopened, 0).as_deref(), Some(""));
        assert_eq!(note(Trouble::Unopened, 1), None);
        assert_eq!(note(Trouble::Keys(IssuerId(0)), 1).as_deref(), Some(""), "another trouble");
        assert_eq!(note(Trouble::Keys(IssuerId(1)), 1).as_deref(), Some(""), "another issuer");
        assert_eq!(note(Trouble::Closed(14), 2).as_deref(), Some(""));
        assert_eq!(note(Trouble::Closed(16), 2).as_deref(), Some(""), "another status");
        assert_eq!(note(Trouble::Unopened, 9_999), None);
        let two = note(Trouble::Unopened, 10_000);
        assert_eq!(two.as_deref(), Some(" (2 more times since the line before)"));
        assert_eq!(note(Trouble::Unopened, 19_999), None);
        assert_eq!(note(Trouble::Unopened, 20_000).as_deref(), Some(" (once more since the line before)"));
        assert_eq!(note(Trouble::Unopened, 30_000).as_deref(), Some(""));
    }
}
