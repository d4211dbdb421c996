//! One call to an introspection endpoint (RFC 7662): what is asked, and what its answer means for a request.
//!
//! An answer decides the request that asked, and no other. Whatever is not a 200 with a well-formed body is no verdict.

mod authorization;
mod client;
mod form;

use super::{
    principal::Principal,
    request::{RequestAttributes, Verdict},
};
use crate::{
    answer::Code,
    policy::{Introspection, Policy, Rule, SessionService},
    token::{Agreement, Facts, Introspected, IssuerId, Rejection, TokenDigest},
};
pub use authorization::authorization;
pub use client::{CallKey, Ended, IntrospectionClient};
use form::Form;
use std::{fmt, time::Duration};

/// The status of an answer.
const OK: u32 = 200;

/// A forwarded header that is longer than this, in bytes, is left out.
const FORWARDED_BYTES_MAX: usize = 256;

/// The member that tells why a token is inactive, where the endpoint is a session service.
const CODE_MEMBER: &str = "portcullis_code";

/// The member that names the session, where the endpoint is a session service.
const SESSION_MEMBER: &str = "portcullis_session";

/// What it may say.
const CODES: [Code; 6] = [
    Code::SessionIdleTimeout,
    Code::SessionLifetimeExceeded,
    Code::SessionRevoked,
    Code::SessionUnknown,
    Code::ScopeEscalation,
    Code::StepUpRequired,
];

/// A call that the host is to make: a POST. It holds the token and the filter's principal, and must not be logged.
pub struct Call {
    /// The Envoy cluster.
    pub cluster: String,
    /// All headers, those that begin with `:` too.
    pub headers: Vec<(&'static str, String)>,
    /// The form.
    pub body: Vec<u8>,
    /// How long the answer may take; at least 1 ms, for Envoy takes less to mean for ever.
    pub timeout: Duration,
}

impl fmt::Debug for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Call").field("cluster", &self.cluster).field("timeout", &self.timeout).finish_non_exhaustive()
    }
}

/// What a call needs to know of a request beyond what the check stream carries.
pub struct Carried {
    token: String,
    trace: Vec<(&'static str, String)>,
}

impl Carried {
    /// The token, and the headers that tie the call to the request's trace: a call starts a new one otherwise.
    pub fn new<'a>(token: &str, trace: impl IntoIterator<Item = (&'static str, Option<&'a [u8]>)>) -> Self {
        let trace = trace.into_iter().filter_map(|(name, value)| Some((name, forwardable(value?)?)));
        Self { token: token.to_owned(), trace: trace.collect() }
    }
}

/// The token is a secret.
impl fmt::Debug for Carried {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Carried").field("trace", &self.trace).finish_non_exhaustive()
    }
}

fn forwardable(value: &[u8]) -> Option<String> {
    let fits = value.len() <= FORWARDED_BYTES_MAX && value.iter().all(u8::is_ascii_graphic);
    let text = std::str::from_utf8(value).ok().filter(|text| fits && !text.is_empty());
    text.map(str::to_owned)
}

/// Where to ask, and as whom.
pub(super) struct Endpoint {
    cluster: String,
    authority: String,
    path: String,
    timeout: Duration,
    pub(super) authorization: Option<String>,
}

impl Endpoint {
    pub(super) fn new(session: &SessionService, introspection: &Introspection) -> Self {
        Self {
            cluster: session.cluster.clone(),
            authority: introspection.authority.clone(),
            path: introspection.path.clone(),
            timeout: session.timeout,
            authorization: None,
        }
    }

    /// The call about a request; none when its token was not kept.
    pub(super) fn call(&self, rule: &Rule, attributes: &RequestAttributes, is_verified: bool) -> Option<Call> {
        let carried = attributes.carried.as_ref()?;
        let mut headers = vec![
            (":method", "POST".to_owned()),
            // RFC 7662, section 4, asks for TLS, and servers may build the names of their issuers from this.
            (":scheme", "https".to_owned()),
            (":authority", self.authority.clone()),
            (":path", self.path.clone()),
            ("content-type", "application/x-www-form-urlencoded".to_owned()),
            ("accept", "application/json".to_owned()),
        ];
        headers.extend(self.authorization.clone().map(|value| ("authorization", value)));
        headers.extend(carried.trace.iter().cloned());
        let body = form(carried, rule, attributes, is_verified);
        Some(Call { cluster: self.cluster.clone(), headers, body, timeout: self.timeout })
    }
}

/// Parameters that an endpoint does not know are ignored by it (RFC 6749, section 3.2).
fn form(carried: &Carried, rule: &Rule, attributes: &RequestAttributes, is_verified: bool) -> Vec<u8> {
    let mut form = Form::default();
    form.add("token", &carried.token);
    form.add("token_type_hint", "access_token");
    form.add("portcullis", "1");
    if is_verified {
        form.add("portcullis_verified", "true");
    }
    form.add("route", &rule.name);
    form.add("method", &attributes.method);
    if !attributes.client_address.is_empty() {
        form.add("client_address", &attributes.client_address);
    }
    for (name, limit) in
        [("portcullis_max_age_ms", rule.limits.max_age), ("portcullis_max_idle_ms", rule.limits.max_idle)]
    {
        if let Some(limit) = limit {
            form.add(name, &limit.as_millis().to_string());
        }
    }
    if !rule.limits.touch {
        form.add("portcullis_background", "true");
    }
    form.into_bytes()
}

/// What an endpoint says of a token.
#[derive(Debug)]
pub(super) enum Answered {
    /// It is not good; and why, if the endpoint tells.
    Inactive(Option<Code>),
    /// It is.
    Active(Introspected),
}

/// Reads an answer; `None` is no verdict. A reason to refuse is believed whatever `active` says.
pub(super) fn read(status: u32, body: &[u8]) -> Option<Answered> {
    if status != OK {
        return None;
    }
    let answer = Introspected::parse(body)?;
    let code = answer.text(CODE_MEMBER).and_then(|name| CODES.into_iter().find(|code| code.name() == name));
    match (code, answer.is_active()) {
        (None, true) => Some(Answered::Active(answer)),
        (code, _) => Some(Answered::Inactive(code)),
    }
}

/// What an answer means for a token that was verified here; `None` is no verdict.
pub(super) fn of_verified(answered: &Answered, principal: &Principal, policy: &Policy, now_ms: u64) -> Option<Verdict> {
    let answer = match answered {
        Answered::Inactive(code) => return Some(Verdict::Ended(code.unwrap_or(Code::SessionRevoked))),
        Answered::Active(answer) => answer,
    };
    let issuer = policy.issuers.get(principal.issuer.0)?;
    Some(match answer.agree(&principal.facts, issuer, now_ms).ok()? {
        Agreement::Agrees(left) => Verdict::Active(left.map(Into::into)),
        Agreement::Expired => Verdict::Ended(Code::TokenExpired),
        Agreement::OtherToken => Verdict::Ended(Code::InvalidToken),
    })
}

/// What an answer says of an opaque token: its facts, or why it is refused.
pub(super) fn of_opaque(
    answered: Answered,
    digest: TokenDigest,
    policy: &Policy,
    now_ms: u64,
) -> Result<(IssuerId, Facts), Code> {
    match answered {
        Answered::Inactive(code) => Err(code.unwrap_or(Code::InvalidToken)),
        // A session service has no keys: it speaks of the session, and cannot vouch for a token that nobody verified.
        Answered::Active(answer) if answer.text(SESSION_MEMBER).is_some() => Err(Code::InvalidToken),
        Answered::Active(answer) => {
            answer.facts(digest, &policy.issuers, now_ms).map_err(|rejection| match rejection {
                Rejection::Expired => Code::TokenExpired,
                Rejection::Invalid(_) | Rejection::UnknownKey { .. } | Rejection::NoKeys { .. } => Code::InvalidToken,
            })
        }
    }
}

#[cfg(test)]
mod tests;
