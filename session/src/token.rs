//! The facts of a token, as the service keeps them.

use crate::intern::{Interner, ScopeSet};
use crate::revocations::Bearer;
use crate::store::Marks;
use portcullis_contract::bounds::{ATTRIBUTE_BYTES_MAX, ATTRIBUTES_MAX};
use portcullis_contract::wire;
use portcullis_contract::{KeyKind, SessionId};
use std::sync::{Arc, LazyLock};

/// A token that the filter has described, or the facts that the admin API states in place of one.
#[derive(Debug, Clone)]
pub struct Token {
    /// The session that it names.
    pub id: SessionId,
    /// `iss`.
    pub issuer: Arc<str>,
    /// What the session key was made from.
    pub kind: KeyKind,
    /// Names the session within its issuer, kind and client.
    pub key: Box<str>,
    /// `sub`; may be empty.
    pub subject: Box<str>,
    /// Its client, by the issuer's client claims; may be empty.
    pub client: Arc<str>,
    /// Its scopes.
    pub scopes: ScopeSet,
    /// `iat`, else `auth_time`, else `nbf`.
    pub issued_at_ms: u64,
    /// `exp`.
    pub expires_at_ms: u64,
    /// `auth_time` of the token. Machine clients do not log in: theirs is ignored.
    pub authenticated_ms: Option<u64>,
    /// `auth_time`, else when it was issued; never later than when it was first seen.
    pub start_ms: u64,
    /// `client_credentials` for a machine client; may be empty.
    pub grant: Arc<str>,
    /// The e-mail address that its issuer has verified, in lower case; may be empty.
    pub email: Box<str>,
    /// The first bytes of its SHA-256, for the audit line.
    pub digest: u64,
    /// `acr`; may be empty.
    pub acr: Arc<str>,
    /// What only conditions look at, if there is any.
    pub further: Option<Box<Further>>,
}

/// What a token says that only conditions look at.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Further {
    /// The device that its claims name; may be empty.
    pub device: Box<str>,
    /// How somebody authenticated.
    pub amr: Box<[String]>,
    /// The claims that the filter's policy names, as text.
    pub claims: Box<[(String, String)]>,
    /// The groups that it names.
    pub groups: Box<[String]>,
}

impl Further {
    /// Reads it. What is beyond the bounds of the contract is absent.
    fn read(facts: &wire::Token) -> Option<Box<Self>> {
        let wire::Token { device, amr, claims, groups, .. } = facts;
        let is_short = |claim: &&wire::Attribute| claim.value.len() <= ATTRIBUTE_BYTES_MAX;
        let claims = claims.iter().take(ATTRIBUTES_MAX).filter(is_short);
        let further = Self {
            device: device.as_str().into(),
            amr: amr.as_slice().into(),
            claims: claims.map(|claim| (claim.name.clone(), claim.value.clone())).collect(),
            groups: groups.as_slice().into(),
        };
        (further != Self::default()).then(|| Box::new(further))
    }
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
            wire::SessionKey::Machine => KeyKind::Machine,
            wire::SessionKey::Login if facts.authenticated_at_ms.is_some() => KeyKind::Login,
            wire::SessionKey::Login => KeyKind::LoginUndated,
        };
        if facts.subject.is_empty() && matches!(kind, KeyKind::Login | KeyKind::LoginUndated) {
            return Err(Malformed("token of a login has no subject"));
        }
        let authenticated_ms = facts.authenticated_at_ms.filter(|_| kind != KeyKind::Machine);
        let start_ms = authenticated_ms.unwrap_or(facts.issued_at_ms);
        Ok(Self {
            id: SessionId::of(kind, &facts.issuer, &facts.session_key, &facts.client_id),
            issuer: names.name(&facts.issuer),
            kind,
            key: facts.session_key.as_str().into(),
            subject: facts.subject.as_str().into(),
            client: names.name(&facts.client_id),
            scopes: names.scopes(ScopeSet::new(&facts.scopes)),
            issued_at_ms: facts.issued_at_ms,
            expires_at_ms: facts.expires_at_ms,
            authenticated_ms,
            start_ms: start_ms.min(now_ms),
            grant: names.name(&facts.grant),
            email: facts.email.as_str().into(),
            acr: names.name(&facts.acr),
            further: Further::read(facts),
            digest: facts.digest.iter().take(8).fold(0, |word, byte| word << 8 | u64::from(*byte)),
        })
    }

    /// What only conditions look at.
    pub fn further(&self) -> &Further {
        static NONE: LazyLock<Further> = LazyLock::new(Further::default);
        self.further.as_deref().unwrap_or(&NONE)
    }

    /// The latest instant that the token states.
    pub fn newest_ms(&self) -> u64 {
        self.issued_at_ms.max(self.authenticated_ms.unwrap_or_default())
    }

    /// What must be later than an end for the session to come back: a machine client needs a new token, a person a new
    /// login.
    pub fn returns_from_ms(&self) -> u64 {
        if self.kind.returns() { self.issued_at_ms } else { self.authenticated_ms.unwrap_or_default() }
    }

    /// What revocations are compared with.
    pub fn bearer(&self) -> Bearer<'_> {
        Bearer {
            issuer: &self.issuer,
            subject: &self.subject,
            client: &self.client,
            kind: self.kind,
            key: &self.key,
            start_ms: self.start_ms,
            login_ms: self.authenticated_ms.unwrap_or_default(),
        }
    }

    /// The instants that the token brings into its session.
    pub fn marks(&self, last_seen_ms: u64) -> Marks {
        Marks {
            last_seen_ms,
            login_at_ms: self.start_ms,
            authenticated_ms: self.authenticated_ms.unwrap_or_default(),
            issued_ms: self.issued_at_ms,
        }
    }
}
