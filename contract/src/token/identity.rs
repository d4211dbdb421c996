//! The party that a token represents: its subject, its client and its grant.

use super::{Fault, json::Object};
use serde_json::Value;

/// The maximum length of an identifying claim in bytes: these claims go into headers and logs.
pub const TEXT_BYTES_MAX: usize = 1024;

/// The grant of a machine client (RFC 6749, section 4.4).
pub const CLIENT_CREDENTIALS: &str = "client_credentials";

/// The party that a token represents.
pub(super) struct Identity<'a> {
    pub(super) subject: Option<&'a str>,
    pub(super) client_id: Option<&'a str>,
    pub(super) grant: &'a str,
}

impl<'a> Identity<'a> {
    pub(super) fn read(claims: &'a Object) -> Result<Self, Fault> {
        let subject = text(claims, "sub", "sub")?;
        let client_id = match text(claims, "client_id", "client_id")? {
            None => text(claims, "azp", "azp")?,
            client_id => client_id,
        };
        if subject.is_none() && client_id.is_none() {
            return Err(Fault::Missing("sub"));
        }
        // These names are not registered: a value that is not a string has some other meaning on that server, and is
        // ignored.
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

/// The text of claim `name`, which a fault calls `label`; an empty text counts as absent.
pub(super) fn text<'a>(claims: &'a Object, name: &str, label: &'static str) -> Result<Option<&'a str>, Fault> {
    match claims.get(name) {
        None => Ok(None),
        Some(Value::String(text)) if text.is_empty() => Ok(None),
        Some(Value::String(text)) if is_clean(text) => Ok(Some(text)),
        Some(_) => Err(Fault::IllTyped(label)),
    }
}

/// White space around a header's value is lost in transit: ` admin` must not arrive as `admin`.
fn is_clean(text: &str) -> bool {
    text.len() <= TEXT_BYTES_MAX && text.trim() == text && !text.contains(char::is_control)
}
