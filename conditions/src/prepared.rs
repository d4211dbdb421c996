//! What is left to decide for one session, route and method.

use crate::{Refusal, Request, Session};

/// What is left to decide for one session, route and method, until the session's generation changes.
#[derive(Debug, Clone)]
pub struct Prepared {}

/// What conditions decide about a request that is good otherwise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// No condition forbids it.
    Allowed,
    /// A condition forbids it.
    Refused(Refusal),
}

impl Prepared {
    /// The decision, if no request can change it.
    pub fn settled(&self) -> Option<&Decision> {
        None
    }

    /// Decides a question about the session that this was prepared for.
    pub fn decide(&self, session: &Session, request: &Request) -> Decision {
        let _ = (session, request);
        Decision::Allowed
    }

    /// Whether time alone can change the decision.
    pub fn depends_on_time(&self) -> bool {
        false
    }
}
