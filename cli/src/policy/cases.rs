//! Cases: requests, and what must become of them under a policy.
//!
//! One file has three readers: `portcullis policy test`, the tests of this package, and a test beside a real Envoy.
//!
//! ```yaml
//! host: api.example.com                      # of requests that name none
//! cases:
//!   - name: who may read may list             # optional; names the case in reports
//!     request: GET /orders                    # METHOD /path, METHOD host/path or METHOD https://host/path
//!     scopes: orders:read                     # a good token with these scopes: text or a list
//!     expect: released
//!   - request: PUT /orders/7
//!     scopes: [orders:read]
//!     expect: insufficient_scope              # a code of the answer
//!     status: 403                             # optional, as is the name of the rule that must decide:
//!     rule: orders.change
//!   - request: DELETE admin.example.com/users/7
//!     claims: {scope: admin, acr: aal2, auth_time: -20m}   # other claims; times relative to now, or in seconds
//!     expect: step_up_required
//!   - {request: GET /orders, token: expired, expect: token_expired}
//!   - {request: GET /orders, scopes: orders:read, session: revoked, expect: session_revoked}
//!   - name: a chat ends with its session
//!     request: GET /chat
//!     client: websocket
//!     scopes: chat
//!     expect: released
//!     then: {session: revoked, expect: session_revoked}
//! ```
//!
//! - `token`: `good` (which `scopes` and `claims` imply), `expired`, `forged` (another key has signed it), or `none`, which is
//!   what a case means that has neither `token`, `scopes` nor `claims`. `issuer` is the token's, else the first of the policy.
//! - A token is of subject `alice`, client `app` and a session of its own unless `claims` says otherwise.
//! - `session` is the state of the session behind the token: `active` (without further word), `revoked`, `idle_timeout`,
//!   `lifetime_exceeded`, `unknown`, `scope_escalation`, `outage` (the session service gives no verdict), or
//!   `outage_after_grant` (it gave one a moment ago, for the same request). Or an object: `scopes`, what the session has
//!   left; `age` and `idle`, how long ago it began and was last used, which the `max_age` and `max_idle` of routes limit.
//!   An introspection endpoint (RFC 7662) is played as one that knows no reasons and no ages: a session that has ended is a token
//!   that is not active. It is not asked again while a request is open.
//! - `client`: `http`, `grpc` or `websocket`. It sends the headers that such clients send; `headers` adds others, with a text or
//!   a list of texts each.
//! - `expect`: `released`, or a code of the answer. `then` goes on with a request that was released and is still open: its
//!   session comes to be in another state, and the request is cut with a code, or stays `open`.

mod bearer;
mod raw;
mod read;
#[cfg(test)]
mod tests;

pub use bearer::{Bearer, Claim, Quality};
pub(super) use read::claim_of;

use super::load;
use crate::{
    document::Document,
    exit::Trouble,
    report::{self, Diagnostic},
};
use portcullis_engine::{
    answer::Code,
    policy::{Faults, Policy, document::nearest},
};
use std::{path::Path, time::Duration};

/// A file of cases.
#[derive(Debug)]
pub struct Cases {
    /// The file.
    pub document: Document,
    /// In the order of the file; never empty.
    pub list: Vec<Case>,
}

/// A request, and what must become of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Case {
    /// What it is called in reports: its own name, else its request.
    pub name: String,
    /// Where it stands: a JSONPath (RFC 9535).
    pub place: String,
    /// What is sent.
    pub request: Request,
    /// The token that it is sent with.
    pub bearer: Option<Bearer>,
    /// The state of the session behind the token.
    pub session: Session,
    /// What must become of it.
    pub expect: Expect,
    /// The status of the answer.
    pub status: Option<u16>,
    /// The rule that must decide.
    pub rule: Option<String>,
    /// What must become of it while it is open.
    pub then: Option<Then>,
}

/// A request without its token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Its method.
    pub method: String,
    /// Its host, as a client names it.
    pub host: String,
    /// Its path, with its query.
    pub path: String,
    /// What sends it.
    pub client: Client,
    /// Headers beside those that such a client sends; names are in lower case.
    pub headers: Vec<(String, String)>,
}

/// What sends a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Client {
    /// A client of plain HTTP.
    #[default]
    Http,
    /// A gRPC client.
    Grpc,
    /// A client that asks for a websocket.
    WebSocket,
}

impl Client {
    /// The headers that it sends.
    pub const fn headers(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Http => &[],
            Self::Grpc => &[("content-type", "application/grpc"), ("te", "trailers")],
            Self::WebSocket => &[("connection", "Upgrade"), ("upgrade", "websocket"), ("sec-websocket-version", "13")],
        }
    }
}

/// The state of a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Session {
    /// It is there.
    Known(Known),
    /// It is not: with the code that the session service's word comes to.
    Over(Code),
    /// The session service gives no verdict.
    Outage {
        /// Whether it gave one a moment ago.
        granted: bool,
    },
}

/// What is known of a session that is there.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Known {
    /// The scopes that it has left; none: all of the token's.
    pub scopes: Option<Vec<String>>,
    /// How long ago it began.
    pub age: Duration,
    /// How long ago it was last used.
    pub idle: Duration,
}

/// What must become of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expect {
    /// It passes.
    Released,
    /// It is refused, or cut when it was open.
    Code(Code),
}

/// What must become of a request that is open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Then {
    /// The state that its session comes to be in.
    pub session: Session,
    /// Whether it is cut, and why.
    pub expect: Expect,
}

impl Cases {
    /// Reads a file of cases; `-` is standard input. The trouble shows every fault at once.
    pub fn read(path: &Path) -> Result<Self, Trouble> {
        Self::of(Document::read(path)?)
    }

    /// Reads the cases of a document.
    pub fn of(document: Document) -> Result<Self, Trouble> {
        let mut faults = Faults::default();
        let list = read::cases(document.json().as_bytes(), &mut faults);
        match list {
            Some(list) if faults.is_empty() => Ok(Self { document, list }),
            _ => Err(load::refused(document, &faults).into()),
        }
    }

    /// Finds the rules that cases name and the policy lacks.
    pub fn must_fit(&self, policy: &Policy) -> Result<(), Trouble> {
        let names: Vec<&str> = policy.rules.iter().map(|rule| rule.name.as_str()).collect();
        let unknown = self.list.iter().filter_map(|case| {
            let rule = case.rule.as_deref().filter(|rule| !names.contains(rule))?;
            let path = format!("{}.rule", case.place);
            let (near, span) = (nearest(rule, &names), self.document.span(&path));
            let message = match near {
                Some(near) => format!("the policy has no such rule; did you mean `{near}`?"),
                None => "the policy has no such rule".to_owned(),
            };
            let replacement = near.and_then(|near| load::written(near, self.document.text().get(span.clone())?));
            Some(Diagnostic { replacement, ..Diagnostic::error("undeclared_name", message, path, span) })
        });
        let unknown: Vec<_> = unknown.collect();
        if unknown.is_empty() { Ok(()) } else { Err(Trouble::Faulty(report::render(&self.document, &unknown))) }
    }

    /// The line and the column that a place begins at, counted from 1.
    pub fn position(&self, place: &str) -> (usize, usize) {
        position(&self.document, place)
    }
}

/// The line and the column that a place begins at, counted from 1.
pub(super) fn position(document: &Document, place: &str) -> (usize, usize) {
    let before = document.text().get(..document.span(place).start).unwrap_or_default();
    let line = before.rsplit('\n').next().unwrap_or_default();
    (before.matches('\n').count() + 1, line.chars().count() + 1)
}
