//! The party that a token represents: its subject, its client and its grant.

use super::{ClaimNames, Fault, json::Object};

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
    pub(super) fn read(claims: &'a Object, names: &ClaimNames) -> Result<Self, Fault> {
        let subject = text(claims, "sub");
        let client_id = names.client.iter().find_map(|name| text(claims, name));
        let (gty, grant_type) = (text(claims, "gty"), text(claims, "grant_type"));
        let says_machine =
            |grant: Option<&str>| grant.is_some_and(|grant| matches!(grant, CLIENT_CREDENTIALS | "client-credentials"));
        let is_machine = subject.is_some() && subject == client_id
            || says_machine(gty)
            || says_machine(grant_type)
            || names.mark_machine(claims);
        // A person whose name cannot be read is nobody in particular: a revocation of the person would miss the token.
        if !is_machine && is_unreadable(claims, "sub") {
            return Err(Fault::IllTyped("sub"));
        }
        if subject.is_none() && client_id.is_none() {
            return Err(Fault::Missing("sub"));
        }
        let grant = match is_machine {
            true => CLIENT_CREDENTIALS,
            false => gty.or(grant_type).unwrap_or_default(),
        };
        Ok(Self { subject, client_id, grant })
    }
}

/// The text of a claim. A claim that is no such text counts as absent: it voids no token by itself, and whoever needs it
/// finds it missing.
pub(super) fn text<'a>(claims: &'a Object, name: &str) -> Option<&'a str> {
    claims.get(name)?.as_str().filter(|text| is_clean(text))
}

/// Whether a claim has a value that [`text`] does not give. `null` and an empty text are no value.
pub(super) fn is_unreadable(claims: &Object, name: &str) -> bool {
    let has_value = claims.get(name).is_some_and(|value| !value.is_null() && value != "");
    has_value && text(claims, name).is_none()
}

/// White space around a header's value is lost in transit: ` admin` must not arrive as `admin`.
fn is_clean(text: &str) -> bool {
    !text.is_empty() && text.len() <= TEXT_BYTES_MAX && text.trim() == text && !text.contains(char::is_control)
}
