//! A caller of the admin API, after its credential was accepted.

use super::{Scope, Scopes};
use crate::audit::Actor;
use serde_json::Value;
use std::sync::Arc;

/// Who has called, and what it may do. It is an extension of each request that was admitted.
#[derive(Debug, Clone)]
pub struct Caller {
    /// Tells it from every other caller: the name of its credential, or the issuer and the `sub` of its token.
    pub name: Arc<str>,
    /// What it may do.
    pub scopes: Scopes,
    /// Who it is as a user, if that is known.
    pub subject: Option<Subject>,
    /// The claims of its token; an empty object where it has presented another credential.
    pub claims: Arc<Value>,
}

/// A user of an issuer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subject {
    /// `iss`
    pub issuer: Arc<str>,
    /// `sub`
    pub sub: Arc<str>,
}

impl Caller {
    /// Whether it may do what needs `scope`.
    pub const fn may(&self, scope: Scope) -> bool {
        self.scopes.allow(scope)
    }

    /// It, as the audit names it.
    pub fn actor(&self) -> Actor {
        Actor::Admin(Arc::clone(&self.name))
    }

    /// Whether a claim of its token is `value`, or a list that contains it. `claim` is a name or, if it starts with `/`, a
    /// JSON Pointer.
    pub fn has(&self, claim: &str, value: &str) -> bool {
        has(&self.claims, claim, value)
    }
}

/// Whether a claim is `value`, or a list that contains it.
pub(super) fn has(claims: &Value, claim: &str, value: &str) -> bool {
    let found = if claim.starts_with('/') { claims.pointer(claim) } else { claims.get(claim) };
    match found {
        Some(Value::String(text)) => text == value,
        Some(Value::Array(list)) => list.iter().any(|entry| entry == value),
        Some(Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_)) | None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_claim_has_a_value_as_a_text_or_in_a_list() {
        let claims = json!({
            "group": "ops", "groups": ["dev", "ops", 7], "realm": {"roles": ["ops"]}, "object": {"ops": true}, "n": 7,
        });
        for claim in ["group", "groups", "/groups", "/realm/roles"] {
            assert!(has(&claims, claim, "ops"), "{claim}");
        }
        for (claim, value) in [
            ("group", "op"),
            ("groups", "OPS"),
            ("groups", "7"),
            ("n", "7"),
            ("object", "ops"),
            ("realm/roles", "ops"),
            ("/realm", "ops"),
            ("none", "ops"),
            ("", "ops"),
        ] {
            assert!(!has(&claims, claim, value), "{claim} {value}");
        }
    }
}
