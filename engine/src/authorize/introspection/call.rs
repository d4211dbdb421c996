//! A call to an introspection endpoint: its destination and parameters (RFC 7662, section 2.1).

use super::form::Form;
use crate::{
    USER_AGENT,
    authorize::question::RequestAttributes,
    introspection as names,
    policy::{Introspection, Rule, SessionService},
};
use std::{fmt, time::Duration};

/// Forwarded headers longer than this, in bytes, are omitted.
pub(super) const FORWARDED_BYTES_MAX: usize = 256;

/// A POST for the host to send. It contains the token and the filter's credentials, and must not be logged.
pub struct Call {
    /// The Envoy cluster.
    pub cluster: String,
    /// All headers, including the pseudo-headers.
    pub headers: Vec<(&'static str, String)>,
    /// The form.
    pub body: Vec<u8>,
    /// The timeout; at least 1 ms, because Envoy treats less as no timeout.
    pub timeout: Duration,
}

impl fmt::Debug for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Call").field("cluster", &self.cluster).field("timeout", &self.timeout).finish_non_exhaustive()
    }
}

/// What a call needs from a request that the check stream does not carry.
pub struct Carried {
    token: String,
    trace: Vec<(&'static str, String)>,
}

impl Carried {
    /// The token, and the headers that connect the call to the request's trace. Without them a call starts a new trace.
    pub fn new<'a>(token: &str, trace: impl IntoIterator<Item = (&'static str, Option<&'a [u8]>)>) -> Self {
        let trace = trace.into_iter().filter_map(|(name, value)| Some((name, forwardable(value?)?)));
        Self { token: token.to_owned(), trace: trace.collect() }
    }
}

/// Written by hand because the token is a secret.
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

/// The endpoint, and the credentials for it.
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

    /// The call about a request; `None` if its token was not kept.
    pub(super) fn call(&self, rule: &Rule, attributes: &RequestAttributes, is_verified: bool) -> Option<Call> {
        let carried = attributes.carried.as_ref()?;
        let mut headers = vec![
            (":method", "POST".to_owned()),
            // RFC 7662, section 4, requires TLS, and servers may derive the names of their issuers from the scheme.
            (":scheme", "https".to_owned()),
            (":authority", self.authority.clone()),
            (":path", self.path.clone()),
            ("content-type", "application/x-www-form-urlencoded".to_owned()),
            ("accept", "application/json".to_owned()),
            ("user-agent", USER_AGENT.to_owned()),
        ];
        headers.extend(self.authorization.clone().map(|value| ("authorization", value)));
        headers.extend(carried.trace.iter().cloned());
        let body = form(carried, rule, attributes, is_verified);
        Some(Call { cluster: self.cluster.clone(), headers, body, timeout: self.timeout })
    }
}

/// Endpoints ignore parameters that they do not know (RFC 6749, section 3.2).
fn form(carried: &Carried, rule: &Rule, attributes: &RequestAttributes, is_verified: bool) -> Vec<u8> {
    let mut form = Form::default();
    form.add("token", &carried.token);
    form.add("token_type_hint", "access_token");
    form.add(names::EXPLAIN, "1");
    if is_verified {
        form.add(names::VERIFIED, "true");
    }
    form.add("route", &rule.name);
    form.add("method", &attributes.method);
    if !attributes.client_address.is_empty() {
        form.add("client_address", &attributes.client_address);
    }
    if let Some(limit) = rule.limits.max_age {
        form.add(names::MAX_AGE_MS, &limit.as_millis().to_string());
    }
    if !rule.acr.is_empty() {
        form.add(names::ACR, &rule.acr.join(" "));
    }
    form.into_bytes()
}
