//! Extensions of the introspection request and response (RFC 7662) that the filter and the session service share.

/// Request: the maximum age of the login that the route accepts, in milliseconds.
pub const MAX_AGE_MS: &str = "portcullis_max_age_ms";
/// Request: the maximum inactivity that the route accepts, in milliseconds.
pub const MAX_IDLE_MS: &str = "portcullis_max_idle_ms";
/// Request: the authentication contexts, one of which the route requires, separated by spaces.
pub const ACR: &str = "portcullis_acr";
/// Request: `true` if the request does not count as activity.
pub const BACKGROUND: &str = "portcullis_background";
/// Request: `true` if the caller has verified the token.
pub const VERIFIED: &str = "portcullis_verified";
/// Request: `1` asks for [`CODE`] in an inactive response.
pub const EXPLAIN: &str = "portcullis";
/// Response: why the token is inactive, as one of the codes sent to clients.
pub const CODE: &str = "portcullis_code";
/// Response: the public id of the session.
pub const SESSION: &str = "portcullis_session";
