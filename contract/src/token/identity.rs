//! Who a token speaks of: its subject, its client and how it was granted.

use super::{Fault, json::Object};
use serde_json::Value;

/// The longest claim that names something, in bytes: it goes into headers and logs.
pub const TEXT_BYTES_MAX: usize = 1024;

/// The grant of a machine client (RFC 6749, section 4.4).
pub const CLIENT_CREDENTIALS: &str = "client_credentials";

/// Who a token speaks of.
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
