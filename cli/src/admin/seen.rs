//! The warning about a party that the service has never seen: its name may be misspelled, and the change would have no effect.

use super::plain::plain;
use crate::{output, report};
use serde_json::Value;

/// Warns on standard error if no session of the party has been seen, according to the response to a change. `party` names it:
/// "subject `alice`".
pub(super) fn warn(response: &Value, issuer: &str, party: &str) {
    if let Some(message) = unseen(response, issuer, party) {
        output::message(&report::warning(&message));
    }
}

fn unseen(response: &Value, issuer: &str, party: &str) -> Option<String> {
    let is = |member: &str| response.get(member).and_then(Value::as_bool);
    let issuer = plain(issuer);
    match (is("party_seen"), is("issuer_seen")) {
        (Some(false), Some(false)) => Some(format!(
            "issuer `{issuer}` has never been seen: it is compared exactly, with its scheme and a final `/`; check the name"
        )),
        (Some(false), _) => Some(format!(
            "{party} has never been seen at `{issuer}`: check the name, and whether the policy reads it from the right claim"
        )),
        (Some(true) | None, _) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_was_never_seen_is_named() {
        let of = |response: Value| unseen(&response, "https://i\u{1b}", "subject `a`");
        assert_eq!(of(json!({})), None);
        assert_eq!(of(json!({"party_seen": true})), None);
        let subject = of(json!({"party_seen": false, "issuer_seen": true})).expect("a warning");
        assert!(subject.starts_with("subject `a` has never been seen at `https://i\\u{1b}`"), "{subject}");
        let issuer = of(json!({"party_seen": false, "issuer_seen": false})).expect("a warning");
        assert!(issuer.starts_with("issuer `https://i\\u{1b}` has never been seen"), "{issuer}");
        // A service of an earlier version does not know about the issuer.
        assert_eq!(of(json!({"party_seen": false})), Some(subject));
    }
}
