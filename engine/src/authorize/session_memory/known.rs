//! What decides a request that gets no verdict.

use crate::authorize::{principal::Principal, upstream_token::UpstreamToken};
use std::rc::Rc;

/// What is known about a request's session when there is no verdict.
#[derive(Debug, Clone, Default)]
pub struct Known {
    /// The facts of an opaque token when it was last valid.
    pub principal: Option<Rc<Principal>>,
    /// According to the last verdict, the session was over or blocked, or this token refused.
    pub is_refused: bool,
    /// The session's remaining scopes, if there are fewer than in the token.
    pub narrowed: Option<Rc<[String]>>,
    /// How long ago the same token was released on the same rule, in milliseconds.
    pub granted_ago_ms: Option<u64>,
    /// The last token for the upstream, while it is alive and nothing else is known of the session than when it came.
    pub upstream_token: Option<UpstreamToken>,
}
