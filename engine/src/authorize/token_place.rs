//! Finds the token of a request where the policy says that it can be, and takes it away before the upstream sees it.

use super::{
    bearer::{self, CredentialError, Scheme},
    cookie,
    head::Head,
    subprotocol,
};
use crate::{
    policy::{Origin, Policy, TokenPlace},
    route::RuleId,
};

/// The only token of a request.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Found<'a> {
    /// The token, or what stands in its place.
    pub token: &'a str,
    /// Whether it is a handle, for which the session service has the token.
    pub is_handle: bool,
    /// The scheme under which it is presented.
    pub scheme: Scheme,
    /// Whether the browser has added it by itself, whichever page made the request.
    is_ambient: bool,
}

/// The only token of a request. Its length is not judged here.
///
/// # Errors
/// No place has a token, several have one, or one has something else in its place.
pub fn find<'a>(head: &Head<'a>, policy: &Policy) -> Result<Found<'a>, CredentialError> {
    let mut only = Err(CredentialError::NoCredentials);
    for place in &policy.token_from {
        match (at(place, head, policy), &only) {
            (Err(CredentialError::NoCredentials), _) => {}
            (found @ Ok(_), Err(_)) => only = found,
            (Ok(_), Ok(_)) | (Err(CredentialError::Malformed), _) => return Err(CredentialError::Malformed),
        }
    }
    only
}

fn at<'a>(place: &TokenPlace, head: &Head<'a>, policy: &Policy) -> Result<Found<'a>, CredentialError> {
    let token = |bytes| bearer::b64token(bytes).ok_or(CredentialError::Malformed);
    let bearer = |token, is_ambient| Found { token, is_handle: false, scheme: Scheme::Bearer, is_ambient };
    match place {
        // Where no proof is verified, the scheme DPoP is no credential: the client asks which one it should use.
        TokenPlace::Authorization if policy.possession.is_some() && is_none(head.token) => {
            Ok(Found { scheme: Scheme::Dpop, ..bearer(head.dpop_token?, false) })
        }
        TokenPlace::Authorization => Ok(bearer(head.token?, false)),
        TokenPlace::Cookie(name) => match cookie::find(&head.cookies, name) {
            // A server clears a cookie by an empty value.
            Ok(None | Some(b"")) => Err(CredentialError::NoCredentials),
            Ok(Some(value)) => Ok(bearer(token(value)?, true)),
            Err(cookie::Ambiguous::Twice) => Err(CredentialError::Malformed),
        },
        TokenPlace::SessionCookie(_) => match handle(head, place) {
            // Whether it is a handle is judged later: what cannot be one is no broken request of its page.
            Ok(Some(value)) => Ok(Found { is_handle: true, ..bearer(value, true) }),
            Ok(None) => Err(CredentialError::NoCredentials),
            Err(cookie::Ambiguous::Twice) => Err(CredentialError::Malformed),
        },
        TokenPlace::WebsocketProtocol(name) => match subprotocol::find(&head.subprotocols, name) {
            Ok(None) => Err(CredentialError::NoCredentials),
            Ok(Some(value)) => Ok(bearer(token(value)?, false)),
            Err(subprotocol::Malformed) => Err(CredentialError::Malformed),
        },
    }
}

/// What a cookie has in place of a token; text that is not even UTF-8 is as good as any other that is no handle.
pub(super) fn handle<'a>(head: &Head<'a>, place: &TokenPlace) -> Result<Option<&'a str>, cookie::Ambiguous> {
    let TokenPlace::SessionCookie(name) = place else { return Ok(None) };
    let value = cookie::find(&head.cookies, name)?.filter(|value| !value.is_empty());
    Ok(value.map(|value| std::str::from_utf8(value).unwrap_or("?")))
}

fn is_none(token: Result<&str, CredentialError>) -> bool {
    token == Err(CredentialError::NoCredentials)
}

impl Found<'_> {
    /// Whether another site's page may have made this request in the person's name: it changes something, or opens a
    /// websocket, and does not come from a page of its own host or of an allowed origin.
    pub fn is_cross_origin(&self, head: &Head<'_>, policy: &Policy) -> bool {
        let is_harmless = matches!(head.method, "GET" | "HEAD" | "OPTIONS") && !head.upgrades;
        self.is_ambient && !is_harmless && !is_of_own_page(head, policy)
    }
}

/// Whether a request comes from a page of its own host or of an allowed origin.
pub(super) fn is_of_own_page(head: &Head<'_>, policy: &Policy) -> bool {
    let origin = head.origin.and_then(Origin::parse);
    origin.is_some_and(|origin| origin.is_of(head.authority, head.is_https) || policy.allowed_origins.contains(&origin))
}

/// What must change in a request's headers so that the upstream does not see its token.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Removal {
    /// Headers to remove.
    pub strip: Vec<&'static str>,
    /// Headers whose values are replaced by one.
    pub replace: Vec<(&'static str, Vec<u8>)>,
    /// The websocket subprotocol with which the client offered its token. A browser fails unless one that it offered is
    /// selected, and the upstream does not know this one.
    pub subprotocol: Option<String>,
}

/// Takes every token away that the policy would read, whether it was needed or not: from a subprotocol always, because the
/// upstream does not speak it, and handles always, because the session service would take them from the upstream as well; and
/// elsewhere if tokens are not forwarded for requests that this rule matched.
pub fn removal(head: &Head<'_>, policy: &Policy, rule: Option<RuleId>) -> Removal {
    if !policy.forwards_token(rule) {
        let mut removal = taken(head, &policy.token_from);
        // Not a place where this policy looks, but one where the upstream may.
        removal.strip_authorization(head);
        return removal;
    }
    let is_kept_back =
        |place: &&TokenPlace| matches!(place, TokenPlace::WebsocketProtocol(_) | TokenPlace::SessionCookie(_));
    let mut removal = Removal::default();
    policy.token_from.iter().filter(is_kept_back).for_each(|place| removal.take(place, head));
    // A token that nobody has verified must not stand beside an identity from another place.
    if !policy.token_from.contains(&TokenPlace::Authorization) {
        removal.strip_authorization(head);
    }
    removal
}

/// Takes the tokens at these places away.
pub fn taken(head: &Head<'_>, places: &[TokenPlace]) -> Removal {
    let mut removal = Removal::default();
    places.iter().for_each(|place| removal.take(place, head));
    removal
}

impl Removal {
    fn take(&mut self, place: &TokenPlace, head: &Head<'_>) {
        match place {
            TokenPlace::Authorization if head.has_authorization => self.strip.push("authorization"),
            TokenPlace::Authorization => {}
            TokenPlace::Cookie(name) | TokenPlace::SessionCookie(name) => {
                let left = cookie::without(&self.so_far("cookie", &head.cookies), name);
                self.set("cookie", left);
            }
            TokenPlace::WebsocketProtocol(name) => {
                let left = subprotocol::without(&self.so_far(SUBPROTOCOL, &head.subprotocols), name);
                if left.is_some() {
                    self.subprotocol.get_or_insert_with(|| name.clone());
                }
                self.set(SUBPROTOCOL, left);
            }
        }
    }

    fn strip_authorization(&mut self, head: &Head<'_>) {
        if head.has_authorization && !self.strip.contains(&"authorization") {
            self.strip.push("authorization");
        }
    }

    /// The values of a header that are left after the places before.
    fn so_far<'a>(&'a self, header: &str, given: &[&'a [u8]]) -> Vec<&'a [u8]> {
        match self.replace.iter().find(|(name, _)| *name == header) {
            Some((_, left)) => vec![left],
            None if self.strip.contains(&header) => Vec::new(),
            None => given.to_vec(),
        }
    }

    fn set(&mut self, header: &'static str, left: Option<Vec<u8>>) {
        let Some(rest) = left else { return };
        self.replace.retain(|(name, _)| *name != header);
        match rest.is_empty() {
            true => self.strip.push(header),
            false => self.replace.push((header, rest)),
        }
    }
}

const SUBPROTOCOL: &str = "sec-websocket-protocol";

#[cfg(test)]
mod tests;
