//! Whom a signal is about: subject identifiers (RFC 9493), those of the Shared Signals Framework, and older spellings.

use super::answer::Refusal;
use serde_json::{Map, Value};

/// The longest name of a user or a session, in bytes: as long as a token's claims may be.
const NAME_BYTES_MAX: usize = portcullis_contract::token::TEXT_BYTES_MAX;

/// Whether a text can name a user or a session, as in a token.
pub(crate) fn is_name(text: &str) -> bool {
    !text.is_empty() && text.len() <= NAME_BYTES_MAX && !text.contains(char::is_control)
}

/// One identifier.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Identifier {
    /// A subject at an issuer (RFC 9493, section 3.2.3).
    IssSub {
        /// The issuer.
        issuer: String,
        /// The subject.
        subject: String,
    },
    /// An e-mail address (section 3.2.2).
    Email(String),
    /// A name that both sides know (section 3.2.4).
    Opaque(String),
    /// Of a format that does not name users or sessions here.
    Unknown(String),
}

/// Whom a signal is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Subject {
    /// One identifier.
    Simple(Identifier),
    /// Several, all of which must fit; one that is missing fits everything (Shared Signals Framework 1.0).
    Complex {
        /// The user.
        user: Option<Identifier>,
        /// The session.
        session: Option<Identifier>,
        /// The device.
        device: Option<Identifier>,
        /// The names of all members, in the order of the alphabet.
        members: Vec<String>,
    },
}

impl Subject {
    /// Whom a token is about: its own `sub_id`, or as before RFC 9493 the `subject` of its event or the token's own.
    pub(super) fn of(claims: &Map<String, Value>, payload: &Map<String, Value>) -> Result<Self, Refusal> {
        let named = [claims.get("sub_id"), payload.get("sub_id"), payload.get("subject"), claims.get("subject")];
        match named.into_iter().flatten().find(|subject| !subject.is_null()) {
            None => Err(Refusal::request("`sub_id` is missing")),
            Some(subject) => Self::read(subject),
        }
    }

    /// Reads an identifier.
    pub(super) fn read(subject: &Value) -> Result<Self, Refusal> {
        let Value::Object(members) = subject else {
            return Err(Refusal::request("the subject is not an object"));
        };
        match format(members)?.as_deref() {
            Some("complex") => Self::complex(members),
            None if ["user", "session", "device", "tenant"].iter().any(|name| members.contains_key(*name)) => {
                Self::complex(members)
            }
            Some(format) => Ok(Self::Simple(Identifier::read(format, members)?)),
            None => Err(Refusal::request("the subject has no `format`")),
        }
    }

    fn complex(members: &Map<String, Value>) -> Result<Self, Refusal> {
        let member = |name: &str| match members.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::Object(inner)) => match format(inner)? {
                Some(format) => Identifier::read(&format, inner).map(Some),
                None => Err(Refusal::request(format!("the subject's `{name}` has no `format`"))),
            },
            Some(_) => Err(Refusal::request(format!("the subject's `{name}` is not an object"))),
        };
        let (user, session) = (member("user")?, member("session")?);
        // It hinders nothing that is not about a device.
        let device = member("device").unwrap_or_else(|_| Some(Identifier::Unknown(String::new())));
        let is_member =
            |(name, value): &(&String, &Value)| !matches!(name.as_str(), "format" | "subject_type") && !value.is_null();
        let mut members: Vec<_> = members.iter().filter(is_member).map(|(name, _)| name.clone()).collect();
        members.sort_unstable();
        Ok(Self::Complex { user, session, device, members })
    }
}

/// Its format, in the spelling of RFC 9493.
fn format(members: &Map<String, Value>) -> Result<Option<String>, Refusal> {
    let named = [members.get("format"), members.get("subject_type")];
    match named.into_iter().flatten().find(|format| !format.is_null()) {
        None => Ok(None),
        Some(Value::String(format)) => Ok(Some(format.replace('-', "_"))),
        Some(_) => Err(Refusal::request("the subject's `format` is not a text")),
    }
}

impl Identifier {
    fn read(format: &str, members: &Map<String, Value>) -> Result<Self, Refusal> {
        let text = |name: &str| match members.get(name) {
            Some(Value::String(text)) if is_name(text) => Ok(text.clone()),
            _ => Err(Refusal::request(format!("the subject's `{name}` is missing or not a name"))),
        };
        match format {
            // `id_token_claims` is of drafts, with the same members.
            "iss_sub" | "id_token_claims" => Ok(Self::IssSub { issuer: text("iss")?, subject: text("sub")? }),
            "opaque" => Ok(Self::Opaque(text("id")?)),
            "email" => Ok(Self::Email(text("email")?)),
            other => Ok(Self::Unknown(other.chars().take(64).collect())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn iss_sub() -> Identifier {
        Identifier::IssSub { issuer: "i".to_owned(), subject: "alice".to_owned() }
    }

    #[test]
    fn every_spelling_of_a_subject_is_read() {
        let rows = [
            (json!({"format": "iss_sub", "iss": "i", "sub": "alice"}), Subject::Simple(iss_sub())),
            (json!({"subject_type": "iss-sub", "iss": "i", "sub": "alice"}), Subject::Simple(iss_sub())),
            (json!({"subject_type": "id_token_claims", "iss": "i", "sub": "alice"}), Subject::Simple(iss_sub())),
            (
                json!({"format": null, "subject_type": "opaque", "id": "x"}),
                Subject::Simple(Identifier::Opaque("x".to_owned())),
            ),
            (json!({"format": "opaque", "id": "x"}), Subject::Simple(Identifier::Opaque("x".to_owned()))),
            (json!({"format": "email", "email": "a@b"}), Subject::Simple(Identifier::Email("a@b".to_owned()))),
            (
                json!({"format": "complex", "user": {"format": "iss_sub", "iss": "i", "sub": "alice"},
                       "session": {"format": "opaque", "id": "s"}}),
                Subject::Complex {
                    user: Some(iss_sub()),
                    session: Some(Identifier::Opaque("s".to_owned())),
                    device: None,
                    members: vec!["session".to_owned(), "user".to_owned()],
                },
            ),
            (
                json!({"user": {"format": "iss_sub", "iss": "i", "sub": "alice"}, "tenant": {"format": "opaque", "id": "t"}}),
                Subject::Complex {
                    user: Some(iss_sub()),
                    session: None,
                    device: None,
                    members: vec!["tenant".to_owned(), "user".to_owned()],
                },
            ),
        ];
        for (json, expected) in rows {
            assert_eq!(Subject::read(&json).as_ref(), Ok(&expected), "{json}");
        }
    }

    #[test]
    fn a_subject_that_cannot_be_read_is_an_error() {
        for json in [
            json!("alice"),
            json!({}),
            json!({"format": 1}),
            json!({"format": "iss_sub", "iss": "i"}),
            json!({"format": "iss_sub", "iss": "i", "sub": ""}),
            json!({"format": "iss_sub", "iss": "i", "sub": 7}),
            json!({"format": "opaque", "id": "x".repeat(1025)}),
            json!({"format": "opaque", "id": "a\u{0}b"}),
            json!({"format": "complex", "user": "alice"}),
            json!({"format": "complex", "session": {"id": "x"}}),
        ] {
            assert!(Subject::read(&json).is_err(), "{json}");
        }
    }

    #[test]
    fn the_subject_stands_in_the_token_or_as_before_in_its_event() {
        let map = |value: Value| value.as_object().cloned().unwrap();
        let (new, old) = (json!({"format": "opaque", "id": "new"}), json!({"format": "opaque", "id": "old"}));
        let named = |claims: Value, payload: Value| match Subject::of(&map(claims), &map(payload)) {
            Ok(Subject::Simple(Identifier::Opaque(id))) => id,
            other => panic!("{other:?}"),
        };
        assert_eq!(named(json!({"sub_id": new}), json!({"subject": old})), "new");
        assert_eq!(named(json!({}), json!({"subject": old})), "old");
        assert_eq!(named(json!({"sub_id": null}), json!({"subject": old})), "old");
        assert!(Subject::of(&map(json!({"sub": "alice"})), &map(json!({}))).is_err());
    }
}
