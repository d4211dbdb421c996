//! Sends a request through the filter's gate.

use super::explanation::Vouched;
use crate::{
    error::Error,
    policy::{
        cases::{Bearer, Session, carry},
        simulator::{Decision, Headers, Outcome, Simulator},
    },
};
use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine as _};
use portcullis_engine::{
    answer::Code,
    authorize::{Head, token_place},
    policy::{BoundTokens, Policy, TokenPlace},
    token::{self, KeyRings},
};
use serde_json::{Map, Value};

/// The request to explain.
pub(crate) struct Asked {
    /// Its method.
    pub(crate) method: String,
    /// Its host; `None` if the policy decides alike at every host.
    pub(crate) host: Option<String>,
    /// Its path and query.
    pub(crate) path: String,
    /// Its other headers.
    pub(crate) headers: Vec<(String, String)>,
    /// Its token.
    pub(crate) given: Given,
    /// The current time, in milliseconds since the Unix epoch.
    pub(crate) now_ms: u64,
}

/// The token of the request.
pub(crate) enum Given {
    /// No token.
    Nothing,
    /// A token.
    Token(String),
    /// The claims of a token that is assumed to be verified.
    Claims(Bearer),
}

/// A request that was sent.
pub(super) struct Played {
    pub(super) outcome: Outcome,
    pub(super) worker: Simulator,
    pub(super) vouched: Vouched,
    /// The token that was sent, if one was.
    pub(super) token: Option<String>,
    /// The headers that were sent.
    pub(super) headers: Headers,
    /// The token is bound to its client, and it is assumed that the client has shown what it is bound to.
    pub(super) assumes_possession: bool,
    /// What was wrong with a token that is good by itself, or with its proof of possession.
    pub(super) why: Option<String>,
}

/// Sends the request with its token.
pub(super) fn play(policy: Policy, asked: &Asked, again: &dyn Fn() -> Result<Policy, Error>) -> Result<Played, Error> {
    let policy = explained(policy);
    let mut headers = base(asked);
    match &asked.given {
        Given::Claims(bearer) => return assumed(policy, headers, bearer, asked.now_ms),
        Given::Token(token) => authorize(&mut headers, &policy, token),
        Given::Nothing => {}
    }
    let found = token_place::find(&Head::read(&headers), &policy).ok();
    let token = found.filter(|found| !found.is_handle).map(|found| found.token.to_owned());
    let is_opaque = token.as_deref().is_some_and(|token| token::is_opaque(token, &policy.issuers));
    // Nobody has a proof for a request that is yet to be made. With one in the headers, it is looked at.
    let is_bound = token.as_deref().is_some_and(|token| is_bound_and_good(token, &policy, asked.now_ms));
    let assumes_possession = is_bound && !has_proof(&headers);
    let policy = if assumes_possession { assuming_possession(policy) } else { policy };
    let mut worker = Simulator::with_own_keys(policy, asked.now_ms)?;
    worker.vouch();
    let outcome = worker.send(&headers, &Session::active(), None);
    let why = worker.why();
    let vouched = match &outcome.decision {
        _ if is_opaque => Vouched::Opaque,
        Decision::Waits => return unchecked(explained(again()?), headers, token.as_deref(), asked.now_ms),
        Decision::Refused(Code::InvalidToken | Code::TokenExpired, _) => Vouched::Refused,
        Decision::Released(_) if !outcome.asked => Vouched::NotLookedAt,
        _ if outcome.facts.is_none() => Vouched::NotLookedAt,
        _ => Vouched::Verified,
    };
    Ok(Played { outcome, worker, vouched, token, headers, assumes_possession, why })
}

/// A token decides alike behind a handle and in a place of its own, so one that is explained is in such a place.
fn explained(mut policy: Policy) -> Policy {
    if policy.token_from.iter().all(|place| matches!(place, TokenPlace::SessionCookie(_))) {
        policy.token_from.push(TokenPlace::Authorization);
    }
    policy
}

fn has_proof(headers: &Headers) -> bool {
    headers.iter().any(|(name, _)| name == "dpop")
}

/// Whether nothing is wrong with a token but that it is bound to its client.
fn is_bound_and_good(token: &str, policy: &Policy, now_ms: u64) -> bool {
    let Ok(rings) = KeyRings::new(policy.issuers.iter().map(|issuer| &issuer.keys)) else { return false };
    let verified = token::verify(token, &policy.issuers, &rings, |_| None, now_ms);
    verified.is_ok_and(|verified| verified.facts.binding.is_some())
}

/// The same policy for clients that have shown what their tokens are bound to.
fn assuming_possession(mut policy: Policy) -> Policy {
    let verifying = policy.issuers.iter_mut().filter(|issuer| issuer.bound_tokens == BoundTokens::Verify);
    verifying.for_each(|issuer| issuer.bound_tokens = BoundTokens::Bearer);
    policy
}

/// Signs the claims of the assumed token.
fn assumed(policy: Policy, mut headers: Headers, bearer: &Bearer, now_ms: u64) -> Result<Played, Error> {
    let mut worker = Simulator::new(policy, now_ms)?;
    let token = worker.token(bearer);
    authorize(&mut headers, worker.policy(), &token);
    let outcome = worker.send(&headers, &Session::active(), None);
    let (token, why) = (Some(token), worker.why());
    Ok(Played { outcome, worker, vouched: Vouched::Assumed, token, headers, assumes_possession: false, why })
}

/// The filter only waits for keys if everything else about a token is valid. The same claims, signed here, show how it would
/// continue.
fn unchecked(policy: Policy, mut headers: Headers, token: Option<&str>, now_ms: u64) -> Result<Played, Error> {
    // A proof is for the token as it was, and was valid for it or not.
    headers.retain(|(name, _)| name != "dpop");
    let mut worker = Simulator::new(assuming_possession(policy), now_ms)?;
    let (typ, claims) = token.and_then(parts).unwrap_or_default();
    let signed = worker.sign(&claims, &typ);
    let assumes_possession = claims.contains_key("cnf");
    take_away(&mut headers, worker.policy());
    authorize(&mut headers, worker.policy(), &signed);
    let outcome = worker.send(&headers, &Session::active(), None);
    let (vouched, token) = (Vouched::SignatureNotChecked, Some(signed));
    Ok(Played { outcome, worker, vouched, token, headers, assumes_possession, why: None })
}

/// The host of a request that is explained without one.
const ANY_HOST: &str = "any.example";

fn base(asked: &Asked) -> Headers {
    let host = asked.host.as_deref().unwrap_or(ANY_HOST);
    let pseudo = [(":method", asked.method.as_str()), (":authority", host), (":path", &asked.path)];
    let own = asked.headers.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    pseudo.into_iter().chain(own).map(|(name, value)| (name.to_owned(), value.as_bytes().to_vec())).collect()
}

/// Puts a token where the policy looks first.
fn authorize(headers: &mut Headers, policy: &Policy, token: &str) {
    let mut places = policy.token_from.iter().filter(|place| !matches!(place, TokenPlace::SessionCookie(_)));
    match places.next().unwrap_or(&TokenPlace::Authorization) {
        TokenPlace::Authorization if policy.possession.is_some() && has_proof(headers) => {
            headers.push(("authorization".to_owned(), format!("DPoP {token}").into_bytes()));
        }
        place => carry(headers, place, token),
    }
}

/// Removes the token, wherever it is.
fn take_away(headers: &mut Headers, policy: &Policy) {
    let removal = token_place::taken(&Head::read(headers), &policy.token_from);
    headers.retain(|(name, _)| !removal.strip.contains(&name.as_str()));
    for (name, value) in removal.replace {
        headers.retain(|(header, _)| header != name);
        headers.push((name.to_owned(), value));
    }
}

/// The `typ` and the claims of a token whose signature is not checked.
fn parts(token: &str) -> Option<(String, Map<String, Value>)> {
    let mut parts = token.split('.').map(|part| BASE64_URL_SAFE_NO_PAD.decode(part).ok());
    let header: Value = serde_json::from_slice(&parts.next()??).ok()?;
    let claims = serde_json::from_slice(&parts.next()??).ok()?;
    Some((header.get("typ").and_then(Value::as_str).unwrap_or("JWT").to_owned(), claims))
}
