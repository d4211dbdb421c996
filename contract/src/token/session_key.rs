//! The session that a token belongs to. The key must not change when a token is refreshed, so it is never `jti`, and
//! every filter that sees a token of the session must derive the same key.

use super::{
    Fault,
    identity::{CLIENT_CREDENTIALS, Identity, is_unreadable, text},
    json::Object,
};
use crate::KeyKind;
use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine as _};
use sha2::{Digest as _, Sha256};

/// Identifies a session within its issuer, with the kind of value it was derived from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SessionKey {
    /// The value of a session claim such as `sid`.
    Claim(String),
    /// A digest of issuer, subject, client and `auth_time`.
    Login(String),
    /// The `client_id` of a machine client.
    Machine(String),
}

impl SessionKey {
    /// The key, without its kind.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Claim(key) | Self::Login(key) | Self::Machine(key) => key,
        }
    }

    /// The kind of the key. A login without `auth_time` is told apart where that is known.
    pub fn kind(&self, authenticated_at_ms: Option<u64>) -> KeyKind {
        match self {
            Self::Claim(_) => KeyKind::Claim,
            Self::Login(_) if authenticated_at_ms.is_some() => KeyKind::Login,
            Self::Login(_) => KeyKind::LoginUndated,
            Self::Machine(_) => KeyKind::Machine,
        }
    }

    pub(super) fn read(
        claims: &Object,
        issuer: &str,
        session_claims: &[String],
        who: &Identity<'_>,
        authenticated_at_ms: Option<u64>,
    ) -> Result<Self, Fault> {
        if let Some(key) = session_claims.iter().find_map(|name| text(claims, name)) {
            return Ok(Self::Claim(key.to_owned()));
        }
        if let Some(client) = who.client_id
            && who.grant == CLIENT_CREDENTIALS
        {
            return Ok(Self::Machine(client.to_owned()));
        }
        // A dated login ends for good, as the session of a claim does. An undated one comes back with the next token: a
        // claim that is there but unreadable must not make a session that weak.
        if authenticated_at_ms.is_none() && session_claims.iter().any(|name| is_unreadable(claims, name)) {
            return Err(Fault::IllTyped("session claim"));
        }
        Ok(Self::Login(login(issuer, who, authenticated_at_ms)))
    }
}

/// Each field is preceded by its length, so that two logins never share an input. `auth_time` is in decimal
/// milliseconds.
fn login(issuer: &str, who: &Identity<'_>, authenticated_at_ms: Option<u64>) -> String {
    let auth_time = authenticated_at_ms.map(|ms| ms.to_string());
    let fields = [
        issuer,
        who.subject.unwrap_or_default(),
        who.client_id.unwrap_or_default(),
        auth_time.as_deref().unwrap_or_default(),
    ];
    let mut hash = Sha256::new();
    for field in fields {
        hash.update((field.len() as u64).to_be_bytes());
        hash.update(field);
    }
    BASE64_URL_SAFE_NO_PAD.encode(hash.finalize())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_digest_is_what_it_was() {
        let who = Identity { subject: Some("alice"), client_id: Some("web"), grant: "" };
        let issuer = "https://id.example.com";
        assert_eq!(login(issuer, &who, Some(1_700_000_000_000)), "UJbf64fnwB28yyCNErYu6qbytoHmsF4hF6W-LJYLTUA");
        assert_eq!(login(issuer, &who, None), "0m9H3y-l42m65gB5OwRXSV0-1_ZtC9PC9JV-sz8d9Lo");
    }

    #[test]
    fn fields_of_a_login_do_not_run_into_each_other() {
        let who = |subject, client_id| Identity { subject: Some(subject), client_id: Some(client_id), grant: "" };
        assert_ne!(login("i", &who("ab", "c"), None), login("i", &who("a", "bc"), None));
        assert_ne!(login("i", &who("a", "1"), None), login("i", &who("a", ""), Some(1)));
    }
}
