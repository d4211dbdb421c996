//! What an access token says, as far as the judge wants to know it.

use crate::intern::Interner;
use crate::token::Token;
use portcullis_contract::token::Facts;
use portcullis_contract::wire;
use serde::{Deserialize, Serialize};

/// What an access token says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Said {
    pub(super) issuer: String,
    /// As on the check stream.
    kind: i32,
    pub(super) key: String,
    pub(super) subject: String,
    pub(super) client: String,
    pub(super) scopes: Vec<String>,
    issued_at_ms: u64,
    expires_at_ms: u64,
    authenticated_ms: Option<u64>,
    acr: String,
    grant: String,
    email: String,
    digest: [u8; 32],
}

impl Said {
    pub(super) fn by(facts: &Facts) -> Self {
        let token = facts.to_wire(0);
        Self {
            issuer: token.issuer,
            kind: token.key_kind,
            key: token.session_key,
            subject: token.subject,
            client: token.client_id,
            scopes: token.scopes,
            issued_at_ms: token.issued_at_ms,
            expires_at_ms: token.expires_at_ms,
            authenticated_ms: token.authenticated_at_ms,
            acr: token.acr,
            grant: token.grant,
            email: token.email,
            digest: facts.digest.0,
        }
    }

    /// The token as the judge reads it; `None` if it breaks the contract.
    pub(super) fn token(&self, names: &Interner, now_ms: u64) -> Option<Token> {
        let token = wire::Token {
            issuer: self.issuer.clone(),
            key_kind: self.kind,
            session_key: self.key.clone(),
            subject: self.subject.clone(),
            client_id: self.client.clone(),
            scopes: self.scopes.clone(),
            issued_at_ms: self.issued_at_ms,
            expires_at_ms: self.expires_at_ms,
            authenticated_at_ms: self.authenticated_ms,
            acr: self.acr.clone(),
            grant: self.grant.clone(),
            email: self.email.clone(),
            digest: self.digest.to_vec(),
            ..wire::Token::default()
        };
        Token::read(&token, names, now_ms).ok()
    }

    /// How it was obtained; may be empty.
    pub(super) fn grant(&self) -> &str {
        &self.grant
    }

    /// Until when it is good.
    pub(super) const fn expires_at_ms(&self) -> u64 {
        self.expires_at_ms
    }

    /// Whether another token is of the same session.
    pub(super) fn is_session_of(&self, other: &Self) -> bool {
        (&self.issuer, self.kind, &self.key, &self.client, &self.subject)
            == (&other.issuer, other.kind, &other.key, &other.client, &other.subject)
    }

    /// Takes over the dates of a later token. Its scopes may be fewer, because fewer were asked for: they are not taken over.
    pub(super) fn renewed_by(&mut self, later: &Self) {
        self.issued_at_ms = later.issued_at_ms;
        self.expires_at_ms = later.expires_at_ms;
        self.authenticated_ms = later.authenticated_ms.or(self.authenticated_ms);
        self.digest = later.digest;
    }
}
