//! Test cases: requests, and the outcome that a policy must produce for each.
//!
//! One file has three readers: `portcullis policy test`, the tests of this package, and an end-to-end test with a real Envoy.
//!
//! ```yaml
//! host: api.example.com                      # for requests that name none; needed if a route names hosts
//! cases:
//!   - name: a reader may list                 # optional; the name in reports
//!     request: GET /orders                    # METHOD /path, METHOD host/path or METHOD https://host/path
//!     scopes: orders:read                     # send a valid token with these scopes: text or a list
//!     expect: released
//!   - request: PUT /orders/7
//!     scopes: [orders:read]
//!     expect: insufficient_scope              # a code of the answer
//!     status: 403                             # optional, like the name of the rule that must decide:
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
//! - `token`: `good` (the default if there are `scopes` or `claims`), `expired`, `forged` (signed with another key) or `none` (the
//!   default otherwise). `issuer` is the issuer of the token; the default is the first one of the policy.
//! - `token_in`: where the token is, an entry of the policy's `token_from`: `authorization` (the default), `{cookie: NAME}`,
//!   `{session_cookie: NAME}` (the cookie has a handle, for which the session service has the token) or `{websocket_protocol:
//!   NAME}`. It is added to the cookies or subprotocols of `headers`.
//! - A token has the subject `alice`, the client `app` and a session of its own, unless `claims` overrides them. Otherwise it is
//!   as the issuer's section of the policy demands: its audience, its client if `clients` lists some, its `claims`, and the names
//!   of the claims for client, session and scopes. `without` lists claims that it does not have.
//! - `session` is the state of the token's session: `active` (the default), `revoked`, `idle_timeout`, `lifetime_exceeded`,
//!   `unknown`, `scope_escalation`, `blocked`, `outage` (the session service returns no verdict) or `outage_after_grant` (it
//!   returned one a moment ago for the same request). It can also be an object: `scopes` are the scopes that the session still has, `age` and
//!   `idle` are the times since it began and since it was last used, which the `max_age` and `max_idle` of routes limit. A
//!   simulated introspection endpoint (RFC 7662) knows no reasons and no ages: a token whose session has ended is not active. It
//!   is not asked again while a request is open.
//! - `attributes` (of `session`, `subject` and `device`) and `context` (`now`, `ip`, `place`) are what conditions are told. Without
//!   conditions they do nothing. `access` of a session is the name of its access type.
//! - `client`: `http`, `grpc` or `websocket`. It sends the headers that such clients send. `headers` adds others; each value is a
//!   text or a list of texts.
//! - `expect`: `released`, or a code of the answer. `then` continues with a request that was released and is still open: its
//!   session changes to another state, or what conditions are told does, and the request is reset with a code or stays `open`.

mod bearer;
mod case;
mod facts;
mod file;
mod raw;
mod read;
#[cfg(test)]
mod tests;
mod words;

pub(super) use bearer::put_scopes;
pub use bearer::{Bearer, Claim, Quality};
pub use case::{Case, Client, Expect, Known, Request, Session, Then, carry};
pub use facts::CaseFacts;
pub use file::Cases;
pub(super) use read::claim_of;
