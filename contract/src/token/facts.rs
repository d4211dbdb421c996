//! The claims of a token, read the same way whether or not the token has been verified.

use super::{
    Binding, ClaimNames, ConditionFacts, Fault, SessionId, SessionKey, TokenDigest,
    dates::Dates,
    identity::{Identity, text},
    json::Object,
    scopes,
};
use crate::wire;
use serde_json::Value;
use std::sync::Arc;

/// The claims of a token. Texts are never empty, contain no control characters, and neither start nor end with white
/// space: they can be put into headers as they are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// `iss`
    pub issuer: Arc<str>,
    /// Identifies its session within the issuer.
    pub session_key: SessionKey,
    /// The public id of its session.
    pub session_id: SessionId,
    /// `sub`; subject and client are never both absent.
    pub subject: Option<String>,
    /// The first of the issuer's `client_claims` that the token has.
    pub client_id: Option<String>,
    /// Sorted and without duplicates.
    pub scopes: Vec<String>,
    /// `iat`, else `auth_time`, else `nbf`, in milliseconds since the Unix epoch.
    pub issued_at_ms: u64,
    /// `exp`, in milliseconds since the Unix epoch.
    pub expires_at_ms: u64,
    /// `exp` plus the issuer's clock skew: the token is refused from this time on.
    pub dies_at_ms: u64,
    /// `auth_time`, in milliseconds since the Unix epoch. A machine client does not log in: whatever its token says, it has
    /// none.
    pub authenticated_at_ms: Option<u64>,
    /// `auth_time` has a value, which is no date: the age of the login is unknown, and no route with a limit accepts it.
    pub is_login_unreadable: bool,
    /// `acr`
    pub acr: Option<String>,
    /// `jti`
    pub jti: Option<String>,
    /// `email` in lower case, if the issuer has verified it (`email_verified`; OpenID Connect Core 1.0, section 5.1).
    pub email: Option<String>,
    /// `client_credentials` for a machine client, else `gty` or `grant_type`, else empty.
    pub grant: String,
    /// What the token is bound to, where its issuer says that this is to be verified.
    pub binding: Option<Box<Binding>>,
    /// What only conditions need; `None` if it says nothing of it.
    pub conditions: Option<Box<ConditionFacts>>,
    /// Identifies the token.
    pub digest: TokenDigest,
}

impl Facts {
    /// Reads the claims of a token by `issuer` without judging them.
    pub(super) fn read(
        claims: &Object,
        issuer: Arc<str>,
        names: &ClaimNames,
        dates: &Dates,
        digest: TokenDigest,
    ) -> Result<Self, Fault> {
        let who = Identity::read(claims, names)?;
        let session_key = SessionKey::read(claims, &issuer, &names.session, &who, dates.authenticated_at_ms)?;
        let logs_in = !matches!(session_key, SessionKey::Machine(_));
        Ok(Self {
            session_id: SessionId::of(
                session_key.kind(dates.authenticated_at_ms),
                &issuer,
                session_key.as_str(),
                who.client_id.unwrap_or_default(),
            ),
            issuer,
            session_key,
            subject: who.subject.map(str::to_owned),
            client_id: who.client_id.map(str::to_owned),
            scopes: scopes::read(claims, &names.scopes),
            issued_at_ms: dates.issued_at_ms,
            expires_at_ms: dates.expires_at_ms,
            dies_at_ms: dates.dies_at_ms,
            authenticated_at_ms: dates.authenticated_at_ms.filter(|_| logs_in),
            is_login_unreadable: dates.is_login_unreadable && logs_in,
            acr: text(claims, "acr").map(str::to_owned),
            jti: text(claims, "jti").map(str::to_owned),
            email: verified_email(claims),
            grant: who.grant.to_owned(),
            binding: None,
            conditions: ConditionFacts::read(claims, &names.facts),
            digest,
        })
    }

    /// The facts in the form of the check stream, without those that only conditions need; `handle` is the token's name on
    /// the stream.
    pub fn to_wire(&self, handle: u32) -> wire::Token {
        let key_kind = match self.session_key {
            SessionKey::Claim(_) => wire::SessionKey::Claim,
            SessionKey::Login(_) => wire::SessionKey::Login,
            SessionKey::Machine(_) => wire::SessionKey::Machine,
        };
        wire::Token {
            handle,
            issuer: self.issuer.to_string(),
            key_kind: key_kind.into(),
            session_key: self.session_key.as_str().to_owned(),
            subject: self.subject.clone().unwrap_or_default(),
            client_id: self.client_id.clone().unwrap_or_default(),
            scopes: self.scopes.clone(),
            issued_at_ms: self.issued_at_ms,
            expires_at_ms: self.expires_at_ms,
            authenticated_at_ms: self.authenticated_at_ms,
            acr: self.acr.clone().unwrap_or_default(),
            jti: self.jti.clone().unwrap_or_default(),
            grant: self.grant.clone(),
            digest: self.digest.0.to_vec(),
            email: self.email.clone().unwrap_or_default(),
            ..wire::Token::default()
        }
    }
}

/// Some issuers write the boolean as a text.
fn verified_email(claims: &Object) -> Option<String> {
    let is_verified = match claims.get("email_verified")? {
        Value::Bool(is_verified) => *is_verified,
        Value::String(text) => text == "true",
        _ => false,
    };
    text(claims, "email").filter(|_| is_verified).map(str::to_lowercase)
}
