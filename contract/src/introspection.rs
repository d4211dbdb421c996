//! Names in the form and the answer of an introspection call (RFC 7662) that the filter and the session service share,
//! beside those of the RFC.

/// Form: the oldest login that the route accepts, in milliseconds.
pub const MAX_AGE_MS: &str = "portcullis_max_age_ms";
/// Form: the longest inactivity that the route accepts, in milliseconds.
pub const MAX_IDLE_MS: &str = "portcullis_max_idle_ms";
/// Form: `true` when the request does not count as activity.
pub const BACKGROUND: &str = "portcullis_background";
/// Form: `true` when the caller has verified the token.
pub const VERIFIED: &str = "portcullis_verified";
/// Form: `1` asks for [`CODE`] in an answer that is not active.
pub const EXPLAIN: &str = "portcullis";
/// Answer: why the token is not active, as one of the codes that clients are answered.
pub const CODE: &str = "portcullis_code";
/// Answer: the public id of the session.
pub const SESSION: &str = "portcullis_session";
