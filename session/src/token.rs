//! The facts of a token, as the service keeps them.

use crate::intern::{Interner, ScopeSet};
use portcullis_contract::wire;
use portcullis_contract::{KeyKind, SessionId};
use std::sync::Arc;

/// A token that the filter has described, or what the admin API says instead of one.
#[derive(Debug, Clone)]
pub struct Token {
    /// The session that it names.
    pub id: SessionId,
    /// `iss`.
    pub issuer: Arc<str>,
    /// What the session key was made from.
    pub kind: KeyKind,
    /// Names the session within its issuer.
    pub key: Box<str>,
    /// `sub`; may be empty.
    pub subject: Box<str>,
    /// `client_id` or `azp`; may be empty.
    pub client: Arc<str>,
    /// Its scopes.
    pub scopes: ScopeSet,
    /// `iat`.
    pub issued_at_ms: u64,
    /// `auth_time`, else `iat`; never later than when it was first seen.
    pub start_ms: u64,
    /// `client_credentials` for a machine client; may be empty.
    pub grant: Arc<str>,
    /// The first bytes of its SHA-256, for the audit line.
    pub digest: u64,
}

/// A token whose facts break the contract.
#[derive(Debug, PartialEq, Eq)]
pub struct Malformed(pub &'static str);

impl Token {
    /// Reads the facts as the check stream carries them.
    pub fn read(facts: &wire::Token, names: &Interner, now_ms: u64) -> Result<Self, Malformed> {
        let kind = match facts.key_kind() {
            wire::SessionKey::Unspecified => {
                return Err(Malformed("token has no kind of session key"));
            }
            wire::SessionKey::Claim => KeyKind::Claim,
            wire::SessionKey::Client => KeyKind::Client,
            wire::SessionKey::Login if facts.authenticated_at_ms.is_some() => KeyKind::Login,
            wire::SessionKey::Login => KeyKind::LoginUndated,
        };
        let start_ms = facts.authenticated_at_ms.unwrap_or(facts.issued_at_ms);
        Ok(Self {
            id: SessionId::of(&facts.issuer, &facts.session_key),
            issuer: names.name(&facts.issuer),
            kind,
            key: facts.session_key.as_str().into(),
            subject: facts.subject.as_str().into(),
            client: names.name(&facts.client_id),
            scopes: names.scopes(ScopeSet::new(&facts.scopes)),
            issued_at_ms: facts.issued_at_ms,
            start_ms: start_ms.min(now_ms),
            grant: names.name(&facts.grant),
            digest: facts.digest.iter().take(8).fold(0, |word, byte| word << 8 | u64::from(*byte)),
        })
    }
}
