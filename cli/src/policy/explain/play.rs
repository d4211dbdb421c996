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
    policy::{Policy, TokenPlace},
    token,
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
}

/// Sends the request with its token.
pub(super) fn play(policy: Policy, asked: &Asked, again: &dyn Fn() -> Result<Policy, Error>) -> Result<Played, Error> {
    let mut headers = base(asked);
    match &asked.given {
        Given::Claims(bearer) => return assumed(policy, headers, bearer, asked.now_ms),
        Given::Token(token) => authorize(&mut headers, &policy, token),
        Given::Nothing => {}
    }
    let token = token_place::find(&Head::read(&headers), &policy).ok().map(|found| found.token.to_owned());
    let is_opaque = token.as_deref().is_some_and(|token| token::is_opaque(token, &policy.issuers));
    let mut worker = Simulator::with_own_keys(policy, asked.now_ms)?;
    worker.vouch();
    let outcome = worker.send(&headers, &Session::active(), None);
    let vouched = match &outcome.decision {
        _ if is_opaque => Vouched::Opaque,
        Decision::Waits => return unchecked(again()?, headers, token.as_deref(), asked.now_ms),
        Decision::Refused(Code::InvalidToken | Code::TokenExpired, _) => Vouched::Refused,
        Decision::Released(_) if !outcome.asked => Vouched::NotLookedAt,
        _ if outcome.facts.is_none() => Vouched::NotLookedAt,
        _ => Vouched::Verified,
    };
    Ok(Played { outcome, worker, vouched, token, headers })
}

/// Signs the claims of the assumed token.
fn assumed(policy: Policy, mut headers: Headers, bearer: &Bearer, now_ms: u64) -> Result<Played, Error> {
    let mut worker = Simulator::new(policy, now_ms)?;
    let token = worker.token(bearer);
    authorize(&mut headers, worker.policy(), &token);
    let outcome = worker.send(&headers, &Session::active(), None);
    Ok(Played { outcome, worker, vouched: Vouched::Assumed, token: Some(token), headers })
}

/// The filter only waits for keys if everything else about a token is valid. The same claims, signed here, show how it would
/// continue.
fn unchecked(policy: Policy, mut headers: Headers, token: Option<&str>, now_ms: u64) -> Result<Played, Error> {
    let mut worker = Simulator::new(policy, now_ms)?;
    let (typ, claims) = token.and_then(parts).unwrap_or_default();
    let signed = worker.sign(&claims, &typ);
    take_away(&mut headers, worker.policy());
    authorize(&mut headers, worker.policy(), &signed);
    let outcome = worker.send(&headers, &Session::active(), None);
    Ok(Played { outcome, worker, vouched: Vouched::SignatureNotChecked, token: Some(signed), headers })
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
    carry(headers, policy.token_from.first().unwrap_or(&TokenPlace::Authorization), token);
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
