//! Requests for the token endpoint on the hosts of the policy: what of them reaches it.
//!
//! A page gets its cookie there and gives it up, so a page of another site must do neither in its name. Whether a request asks
//! for a cookie stands in its body, which is not read here: the endpoint sets, reads and clears cookies only if it is told their
//! name, and it is told where the request comes from a page of its own host or of an allowed origin.

use super::{
    handle::HandleDigest,
    head::Head,
    token_place::{self, Removal, is_of_own_page},
};
use crate::{
    answer::Code,
    policy::{LOGOUT_ENDPOINT, Policy, TOKEN_ENDPOINT, TokenPlace},
    route::{Host, Path},
    wire::COOKIE_HEADER,
};

/// An endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Endpoint {
    /// Gives tokens, and cookies.
    Token,
    /// Ends the session of a cookie.
    Logout,
}

/// The endpoint of a request, if it is for one: on every host that some rule is for.
pub(super) fn endpoint(host: &Host<'_>, path: &Path<'_>, policy: &Policy) -> Option<Endpoint> {
    let oauth = policy.oauth.as_ref().filter(|_| policy.routes.serves(host))?;
    match path.as_str().strip_prefix(oauth.path.as_str())? {
        TOKEN_ENDPOINT => Some(Endpoint::Token),
        LOGOUT_ENDPOINT => Some(Endpoint::Logout),
        _ => None,
    }
}

/// Whether a request may reach an endpoint. The error is why not.
pub(super) fn admit(endpoint: Endpoint, head: &Head<'_>, policy: &Policy) -> Result<(), Code> {
    match (head.method, head.origin) {
        ("POST", _) if is_of_own_page(head, policy) => Ok(()),
        // No browser leaves it out. Whoever does can do no more than without one.
        ("POST", None) if endpoint == Endpoint::Token => Ok(()),
        ("POST", _) => Err(Code::CrossOrigin),
        _ => Err(Code::NoRoute),
    }
}

/// What must change in a request's headers for an endpoint: of its cookies, it gets the handle alone.
pub(super) fn removal(head: &Head<'_>, policy: &Policy) -> Removal {
    let mut removal = Removal::default();
    let place = policy.token_from.iter().find(|place| matches!(place, TokenPlace::SessionCookie(_)));
    let handle = match place.zip(policy.session_cookie()).filter(|_| is_of_own_page(head, policy)) {
        Some((place, name)) => {
            removal.replace.push((COOKIE_HEADER, name.as_bytes().to_vec()));
            let handle = token_place::handle(head, place).ok().flatten();
            handle.filter(|handle| HandleDigest::of(handle).is_some()).map(|handle| format!("{name}={handle}"))
        }
        None => None,
    };
    match handle {
        Some(cookie) => removal.replace.push(("cookie", cookie.into_bytes())),
        None => removal.strip.push("cookie"),
    }
    removal
}
