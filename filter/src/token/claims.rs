//! The claims of a token, judged, and what is kept of them.

use super::{
    Fault, IssuerId, Rejection, SessionKey, TokenDigest, dates::Dates, json::Object, scopes, session::session_id,
};
use crate::policy::Issuer;
use serde_json::Value;

/// The longest claim that names something, in bytes: it goes into headers and logs.
pub const TEXT_BYTES_MAX: usize = 1024;

/// The grant of a machine client.
pub(super) const CLIENT_CREDENTIALS: &str = "client_credentials";

/// What a token says, once its claims are judged. Texts are never empty, are free of control characters, and begin
/// and end with something other than white space: they can be put into headers as they are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// Who issued it.
    pub issuer: IssuerId,
    /// What names its session within the issuer.
    pub session_key: SessionKey,
    /// The public id of its session.
    pub session_id: String,
    /// `sub`; subject and client are never both absent.
    pub subject: Option<String>,
    /// `client_id`, else `azp`.
    pub client_id: Option<String>,
    /// Sorted, each scope once.
    pub scopes: Vec<String>,
    /// `iat`, in milliseconds since the Unix epoch.
    pub issued_at_ms: u64,
    /// `exp`, in milliseconds since the Unix epoch.
    pub expires_at_ms: u64,
    /// From here on the token is refused: `exp` and the issuer's clock skew.
    pub dies_at_ms: u64,
    /// `auth_time`, in milliseconds since the Unix epoch.
    pub authenticated_at_ms: Option<u64>,
    /// `acr`
    pub acr: Option<String>,
    /// `jti`
    pub jti: Option<String>,
    /// `client_credentials` for a machine client, else `gty` or `grant_type`, else empty.
    pub grant: String,
    /// Stands for the token.
    pub digest: TokenDigest,
}

impl Facts {
    pub(super) fn judge(
        claims: &Object,
        id: IssuerId,
        issuer: &Issuer,
        digest: TokenDigest,
        now_ms: u64,
    ) -> Result<Self, Rejection> {
        audience(claims, &issuer.audiences)?;
        let dates = Dates::read(claims, issuer, now_ms)?;
        // Not used, but the verifier of signatures insists on its type.
        claims.string("nonce")?;
        let who = Identity::read(claims)?;
        let session_key = SessionKey::read(claims, issuer, &who, dates.authenticated_at_ms)?;
        let scopes = scopes::read(claims, &issuer.scope_claims)?;
        let acr = text(claims, "acr", "acr")?;
        let jti = text(claims, "jti", "jti")?;
        dates.alive(now_ms)?;
        Ok(Self {
            issuer: id,
            session_id: session_id(&issuer.issuer, session_key.as_str()),
            session_key,
            subject: who.subject.map(str::to_owned),
            client_id: who.client_id.map(str::to_owned),
            scopes,
            issued_at_ms: dates.issued_at_ms,
            expires_at_ms: dates.expires_at_ms,
            dies_at_ms: dates.dies_at_ms,
            authenticated_at_ms: dates.authenticated_at_ms,
            acr: acr.map(str::to_owned),
            jti: jti.map(str::to_owned),
            grant: who.grant.to_owned(),
            digest,
        })
    }
}

/// Who a token speaks of.
pub(super) struct Identity<'a> {
    pub(super) subject: Option<&'a str>,
    pub(super) client_id: Option<&'a str>,
    pub(super) grant: &'a str,
}

impl<'a> Identity<'a> {
    fn read(claims: &'a Object) -> Result<Self, Fault> {
        let subject = text(claims, "sub", "sub")?;
        let client_id = match text(claims, "client_id", "client_id")? {
            None => text(claims, "azp", "azp")?,
            client_id => client_id,
        };
        if subject.is_none() && client_id.is_none() {
            return Err(Fault::Missing("sub"));
        }
        // Not registered names: a value that is no string is some other server's idea of them.
        let named = |name| match claims.get(name) {
            Some(Value::String(_)) => text(claims, name, name),
            _ => Ok(None),
        };
        let (gty, grant_type) = (named("gty")?, named("grant_type")?);
        let machine = subject == client_id
            || [gty, grant_type]
                .into_iter()
                .flatten()
                .any(|grant| grant == CLIENT_CREDENTIALS || grant == "client-credentials");
        let grant = match machine {
            true => CLIENT_CREDENTIALS,
            false => gty.or(grant_type).unwrap_or_default(),
        };
        Ok(Self { subject, client_id, grant })
    }
}

/// `aud` is a string, or an array of them (RFC 7519, section 4.1.3).
fn audience(claims: &Object, audiences: &[String]) -> Result<(), Fault> {
    let is_ours = |value: &Value| match value {
        Value::String(aud) => Ok(audiences.contains(aud)),
        _ => Err(Fault::IllTyped("aud")),
    };
    let mut ours = false;
    match claims.get("aud") {
        None => return Err(Fault::Missing("aud")),
        Some(Value::Array(values)) => {
            for value in values {
                ours |= is_ours(value)?;
            }
        }
        Some(value) => ours = is_ours(value)?,
    }
    ours.then_some(()).ok_or(Fault::Audience)
}

/// The text of claim `name`, which a fault calls `label`; an empty one counts as none.
pub(super) fn text<'a>(claims: &'a Object, name: &str, label: &'static str) -> Result<Option<&'a str>, Fault> {
    match claims.get(name) {
        None => Ok(None),
        Some(Value::String(text)) if text.is_empty() => Ok(None),
        Some(Value::String(text)) if is_clean(text) => Ok(Some(text)),
        Some(_) => Err(Fault::IllTyped(label)),
    }
}

/// A header's value loses white space at its ends on the way: ` admin` must not arrive as `admin`.
fn is_clean(text: &str) -> bool {
    text.len() <= TEXT_BYTES_MAX && text.trim() == text && !text.contains(char::is_control)
}
