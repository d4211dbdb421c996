//! What is asked of the session service, and what it answers.

use super::{introspection::Carried, principal::Principal};
use crate::{answer::Code, route::RuleId, time::Monotonic};
use std::rc::Rc;

/// A request whose token is still to be verified.
#[derive(Debug, Clone)]
pub struct Arrival {
    /// The rule that answers the request.
    pub rule: RuleId,
    /// The token that it came with.
    pub token: String,
    /// The rest of what will be asked.
    pub attributes: Rc<RequestAttributes>,
    /// Until when it may wait.
    pub deadline: Monotonic,
}

/// What is asked of the session service: about the session of a verified token, or about a token.
#[derive(Debug, Clone)]
pub enum Inquiry {
    /// Whether the session behind a verified token is good.
    Session(Question),
    /// What an opaque token means, and whether it is good: until it is answered for, nothing is known of it.
    Token(Arrival),
}

impl Inquiry {
    /// The rule that answers the request, and what changes from request to request.
    pub(super) fn about(&self) -> (RuleId, &RequestAttributes) {
        match self {
            Self::Session(question) => (question.rule, &question.attributes),
            Self::Token(arrival) => (arrival.rule, &arrival.attributes),
        }
    }
}

/// A question about the session of a verified token.
#[derive(Debug, Clone)]
pub struct Question {
    /// The rule that answers the request.
    pub rule: RuleId,
    /// Whose token it came with.
    pub principal: Rc<Principal>,
    /// What changes from request to request of the same token and route.
    pub attributes: Rc<RequestAttributes>,
}

/// What changes from request to request of the same token and route.
#[derive(Debug, Default)]
pub struct RequestAttributes {
    /// The method.
    pub method: String,
    /// The address of the downstream peer, without its port; empty when unknown.
    pub client_address: String,
    /// The first 8 bytes of SHA-256 of `User-Agent`.
    pub user_agent_digest: Option<u64>,
    /// What a call to an introspection endpoint needs; none on the check stream.
    pub carried: Option<Carried>,
}

impl RequestAttributes {
    /// Whether the method is one that `on_outage: read_only` lets pass; all are safe (RFC 9110, section 9.2.1).
    pub(super) fn is_read_only(&self) -> bool {
        matches!(self.method.as_str(), "GET" | "HEAD" | "OPTIONS")
    }
}

/// What the session service says of a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It is good; with the scopes that are left, if they are fewer than the token's.
    Active(Option<Rc<[String]>>),
    /// It is not, for all requests or for this one.
    Ended(Code),
}
