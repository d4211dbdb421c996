//! What a decision point has answered. Pure: what is not a boolean is no decision.

use serde_json::Value;

/// What becomes of a question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ruling {
    /// The request may go on.
    Permit,
    /// It may not.
    Deny,
    /// There is no decision.
    None,
}

impl Ruling {
    /// Reads the answer to one evaluation.
    pub(super) fn read(body: &[u8]) -> Self {
        serde_json::from_slice(body).map_or(Self::None, |answer| Self::of(&answer))
    }

    /// Reads the answer to several, which has one decision for each, in order.
    pub(super) fn read_all(body: &[u8], count: usize) -> Vec<Self> {
        let answer = serde_json::from_slice::<Value>(body).unwrap_or_default();
        match answer.get("evaluations").and_then(Value::as_array) {
            Some(list) if list.len() == count => list.iter().map(Self::of).collect(),
            // Nobody knows which of them is about what.
            Some(_) | None => vec![Self::None; count],
        }
    }

    fn of(answer: &Value) -> Self {
        match answer.get("decision").and_then(Value::as_bool) {
            Some(true) => Self::Permit,
            Some(false) => Self::Deny,
            None => Self::None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_boolean_is_a_decision() {
        for (body, wanted) in [
            (r#"{"decision":true}"#, Ruling::Permit),
            (r#"{"decision":false,"context":{"reason":"no"}}"#, Ruling::Deny),
            (r#"{"decision":true,"context":{"more":1},"unknown":[]}"#, Ruling::Permit),
            (r#"{"decision":"true"}"#, Ruling::None),
            (r#"{"decision":1}"#, Ruling::None),
            (r#"{"decision":null}"#, Ruling::None),
            (r#"{"Decision":true}"#, Ruling::None),
            ("{}", Ruling::None),
            ("[]", Ruling::None),
            ("true", Ruling::None),
            ("<html>", Ruling::None),
            ("", Ruling::None),
        ] {
            assert_eq!(Ruling::read(body.as_bytes()), wanted, "{body}");
        }
    }

    #[test]
    fn several_decisions_are_as_many_as_were_asked_for_or_none() {
        let read = |body: &str, count| Ruling::read_all(body.as_bytes(), count);
        let mixed = r#"{"evaluations":[{"decision":true},{"decision":false},{"decision":"yes"},7]}"#;
        assert_eq!(read(mixed, 4), [Ruling::Permit, Ruling::Deny, Ruling::None, Ruling::None]);
        for body in [mixed, r#"{"decision":true}"#, r#"{"evaluations":{}}"#, "{", ""] {
            assert_eq!(read(body, 2), [Ruling::None, Ruling::None], "{body}");
        }
    }
}
