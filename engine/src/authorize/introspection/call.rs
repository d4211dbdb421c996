//! A call to an introspection endpoint: where it goes, and what it asks (RFC 7662, section 2.1).

use super::form::Form;
use crate::{
    authorize::question::RequestAttributes,
    introspection as names,
    policy::{Introspection, Rule, SessionService},
};
use std::{fmt, time::Duration};

/// A forwarded header that is longer than this, in bytes, is left out.
pub(super) const FORWARDED_BYTES_MAX: usize = 256;

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
    form.add(names::EXPLAIN, "1");
    if is_verified {
        form.add(names::VERIFIED, "true");
    }
    form.add("route", &rule.name);
    form.add("method", &attributes.method);
    if !attributes.client_address.is_empty() {
        form.add("client_address", &attributes.client_address);
    }
    for (name, limit) in [(names::MAX_AGE_MS, rule.limits.max_age), (names::MAX_IDLE_MS, rule.limits.max_idle)] {
        if let Some(limit) = limit {
            form.add(name, &limit.as_millis().to_string());
        }
    }
    if !rule.limits.touch {
        form.add(names::BACKGROUND, "true");
    }
    form.into_bytes()
}
