//! OpenID AuthZEN Authorization API 1.0 on the check listener: other enforcement points ask whether the session behind a token,
//! or a session by its id, would be let through on a route. Callers are trusted as filters are, and present their credential.
//!
//! The subject is `{type: session, id}` or `{type: token, id: TOKEN}`, the resource `{type: route, id: NAME}`, the action a
//! method. What is not known is denied. An evaluation is no use of a session: it opens none, is no activity, and adds nothing
//! to one. A token is read and not verified, as for introspection: a caller verifies it before.

mod context;
mod decision;
mod evaluate;
mod fault;
mod metadata;
mod metrics;
mod request;
mod router;

pub(crate) use metrics::AuthZenMetrics;
pub(crate) use router::router;
