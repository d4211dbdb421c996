//! A case: a request, and the outcome that the policy must produce.

use super::{bearer::Bearer, facts::CaseFacts};
use portcullis_engine::{answer::Code, policy::TokenPlace};
use std::time::Duration;

/// A request, and the outcome that the policy must produce.
#[derive(Debug, Clone, PartialEq)]
pub struct Case {
    /// Its name in reports; without one, the request.
    pub name: String,
    /// Its place in the file, as a JSONPath (RFC 9535).
    pub place: String,
    /// The request.
    pub request: Request,
    /// Its token.
    pub bearer: Option<Bearer>,
    /// Where the token is.
    pub token_in: TokenPlace,
    /// The state of the token's session.
    pub session: Session,
    /// What conditions are told.
    pub facts: CaseFacts,
    /// The expected outcome.
    pub expect: Expect,
    /// The expected status of the answer.
    pub status: Option<u16>,
    /// The name of the rule that must decide.
    pub rule: Option<String>,
    /// What happens while the request is open.
    pub then: Option<Then>,
}

/// A request without its token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Its method.
    pub method: String,
    /// Its host, as the client sends it.
    pub host: String,
    /// Whether the file names that host. Otherwise it stands for any, which is enough where no route names one.
    pub is_host_named: bool,
    /// Its path and query.
    pub path: String,
    /// The kind of client.
    pub client: Client,
    /// Headers in addition to those of the client; names are in lower case.
    pub headers: Vec<(String, String)>,
}

/// The kind of client that sends a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Client {
    /// A plain HTTP client.
    #[default]
    Http,
    /// A gRPC client.
    Grpc,
    /// A client that opens a websocket.
    WebSocket,
}

impl Client {
    /// The headers that such a client sends.
    pub const fn headers(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Http => &[],
            Self::Grpc => &[("content-type", "application/grpc"), ("te", "trailers")],
            Self::WebSocket => &[("connection", "Upgrade"), ("upgrade", "websocket"), ("sec-websocket-version", "13")],
        }
    }
}

impl Request {
    /// What it is called in reports.
    pub fn name(&self) -> String {
        let host = if self.is_host_named { self.host.as_str() } else { "" };
        format!("{} {host}{}", self.method, self.path)
    }

    /// The headers of the client, and those of the case, with a token in its place.
    pub fn headers(&self, token: Option<(&TokenPlace, &str)>) -> Vec<(String, Vec<u8>)> {
        let own = self.headers.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let all = self.client.headers().iter().copied().chain(own);
        let mut headers: Vec<_> = all.map(|(name, value)| (name.to_owned(), value.as_bytes().to_vec())).collect();
        if let Some((place, token)) = token {
            carry(&mut headers, place, token);
        }
        headers
    }
}

/// Puts a token, or the handle that stands in its place, into headers: behind the cookies that are there, or in front of the subprotocols.
pub fn carry(headers: &mut Vec<(String, Vec<u8>)>, place: &TokenPlace, token: &str) {
    let (name, own) = match place {
        TokenPlace::Authorization => ("authorization", format!("Bearer {token}")),
        TokenPlace::Cookie(name) | TokenPlace::SessionCookie(name) => ("cookie", format!("{name}={token}")),
        TokenPlace::WebsocketProtocol(name) => ("sec-websocket-protocol", format!("{name}, {token}")),
    };
    match (headers.iter_mut().find(|(header, _)| header == name), place) {
        (Some((_, value)), place) if place.is_cookie() => *value = [value, &b"; "[..], own.as_bytes()].concat(),
        (Some((_, value)), TokenPlace::WebsocketProtocol(_)) => *value = [own.as_bytes(), b", ", value].concat(),
        _ => headers.push((name.to_owned(), own.into_bytes())),
    }
}

/// The state of a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Session {
    /// The session exists.
    Known(Known),
    /// The session has ended or does not exist; requests are refused with this code.
    Over(Code),
    /// The session service returns no verdict.
    Outage {
        /// Whether it returned one a moment ago.
        granted: bool,
    },
}

/// A session that exists.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Known {
    /// The scopes that it still has; `None`: all scopes of the token.
    pub scopes: Option<Vec<String>>,
    /// The scopes that somebody has approved for it.
    pub grants: Vec<String>,
    /// The time since it began.
    pub age: Duration,
    /// The time since it was last used.
    pub idle: Duration,
    /// Its access type; `None`: `machine` if its client has no person, else `human`.
    pub access: Option<String>,
}

/// The expected outcome of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expect {
    /// The request passes.
    Released,
    /// The request is refused or, if it was open, reset.
    Code(Code),
}

/// A change of the session while a request is open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Then {
    /// The new state of the session.
    pub session: Session,
    /// What conditions are told then: these replace those of the case.
    pub facts: CaseFacts,
    /// Whether the request stays open, or the code it is reset with.
    pub expect: Expect,
}
