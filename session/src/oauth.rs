//! The two OAuth endpoints of the check listener, for callers that do not use the check stream: introspection (RFC 7662)
//! and revocation (RFC 7009).
//!
//! The service has no keys and verifies no signature. A token is read here only to find its session, which is
//! acceptable because callers are authenticated and follow one rule: **a caller that introspects a token verifies it
//! itself**, as the filter does. `active` is about the session behind the token, not about the token's authenticity; and
//! a caller that could forge a token here could also describe any token on the check stream, with the same credential.

mod fault;
mod form;
mod introspect;
mod revoke;
mod router;

pub(crate) use router::router;
