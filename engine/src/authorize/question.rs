//! The questions to the session service, and its verdicts.

use super::{
    Refusal,
    handle::HandleDigest,
    introspection::Carried,
    possession::{Presented, UsedProof},
    principal::Principal,
    redemptions::TokenText,
};
use crate::{route::RuleId, time::Monotonic, wire};
use prost::Message;
use sha2::{Digest, Sha256};
use std::{collections::HashSet, fmt, rc::Rc};

/// A request whose token is yet to be verified.
#[derive(Clone)]
pub struct Arrival {
    /// The rule that matched the request.
    pub rule: RuleId,
    /// The request's token; empty as long as it is not known which one stands behind its handle.
    pub token: Rc<str>,
    /// The handle that it came with in place of the token, if it did.
    pub behind: Option<Behind>,
    /// The rest of the question.
    pub attributes: Rc<RequestAttributes>,
    /// What shows that its sender may use the token; `None` where the policy does not verify that.
    pub presented: Option<Rc<Presented>>,
    /// How long it can wait.
    pub deadline: Monotonic,
}

/// A handle that a request came with in place of a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Behind {
    /// The handle.
    pub(super) handle: HandleDigest,
    /// Whether the token has just been given for it, so that there is no better one.
    pub(super) is_fresh: bool,
}

#[cfg(test)]
impl Arrival {
    /// The arrival of a token that nothing shows possession of.
    pub(super) fn bearer(rule: RuleId, token: &str, attributes: Rc<RequestAttributes>, deadline: Monotonic) -> Self {
        Self { rule, token: token.into(), behind: None, attributes, presented: None, deadline }
    }
}

/// Written by hand because the token is a secret.
impl fmt::Debug for Arrival {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { rule, attributes, deadline, .. } = self;
        let mut shown = f.debug_struct("Arrival");
        shown.field("rule", rule).field("attributes", attributes).field("deadline", deadline).finish_non_exhaustive()
    }
}

/// A question to the session service, about the session of a verified token or about an opaque token.
#[derive(Debug, Clone)]
pub enum Inquiry {
    /// Whether the session of a verified token is valid.
    Session(Question),
    /// What an opaque token means and whether it is valid. Nothing is known about it before the answer.
    Token(Arrival),
}

impl Inquiry {
    /// The matched rule, and the attributes that differ between requests.
    pub(super) fn about(&self) -> (RuleId, &Rc<RequestAttributes>) {
        match self {
            Self::Session(question) => (question.rule, &question.attributes),
            Self::Token(arrival) => (arrival.rule, &arrival.attributes),
        }
    }
}

/// A question about the session of a verified token.
#[derive(Debug, Clone)]
pub struct Question {
    /// The rule that matched the request.
    pub rule: RuleId,
    /// The request's verified token.
    pub principal: Rc<Principal>,
    /// The attributes that differ between requests of the same token and route.
    pub attributes: Rc<RequestAttributes>,
    /// The proof of possession that the request came with, if its token needs one. It is good, unless it was used before.
    pub proof: Option<UsedProof>,
    /// The token, where the request came with a handle in its place: the upstream may be meant to get it.
    pub redeemed: Option<TokenText>,
}

/// The attributes that differ between requests of the same token and route.
#[derive(Debug, Default)]
pub struct RequestAttributes {
    /// The method.
    pub method: String,
    /// The address of the downstream peer, without its port; empty when unknown.
    pub client_address: String,
    /// The first 8 bytes of SHA-256 of `User-Agent`.
    pub user_agent_digest: Option<u64>,
    /// What a call to an introspection endpoint needs; `None` on the check stream.
    pub carried: Option<Carried>,
    /// What conditions of the session service want to know; `None` where it has none.
    pub circumstances: Option<Box<wire::Circumstances>>,
    /// The id of the request, where its route wants a token for the upstream.
    pub request_id: Option<Box<str>>,
}

impl RequestAttributes {
    /// Whether they have to be known again while the request is open.
    pub(super) const fn are_needed_again(&self) -> bool {
        self.carried.is_some() || self.circumstances.is_some()
    }

    /// What conditions want to know of a request of `principal`. A claim can name the device with precedence over the
    /// certificate.
    pub(super) fn circumstances_of(&self, principal: &Principal) -> Option<wire::Circumstances> {
        let mut circumstances = self.circumstances.as_deref().cloned()?;
        if principal.facts.conditions.as_ref().is_some_and(|facts| facts.outranks_certificate) {
            circumstances.device.clear();
        }
        Some(circumstances)
    }

    /// Identifies what conditions want to know of a request.
    pub(super) fn digest(&self) -> [u8; 32] {
        let about = wire::Follow {
            method: self.method.clone(),
            client_address: self.client_address.clone(),
            user_agent_digest: self.user_agent_digest,
            circumstances: self.circumstances.as_deref().cloned(),
            ..wire::Follow::default()
        };
        Sha256::digest(about.encode_to_vec()).into()
    }

    /// Whether `on_outage: read_only` releases this method; all such methods are safe (RFC 9110, section 9.2.1).
    pub(super) fn is_read_only(&self) -> bool {
        matches!(self.method.as_str(), "GET" | "HEAD" | "OPTIONS")
    }
}

/// The session service's verdict on a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The session is valid. Holds the remaining scopes if there are fewer than in the token.
    Active(Option<Rc<[String]>>),
    /// The session is refused, for all requests or for this one.
    Ended(Refusal),
}

impl Verdict {
    /// The session behind `principal` is valid. It can narrow the scopes of a token but never widen them, so only the
    /// token's own are left of `scopes`, whatever the service sends.
    pub(super) fn active(scopes: Option<Vec<String>>, principal: &Principal) -> Self {
        Self::Active(scopes.map(|scopes| {
            let left: HashSet<String> = scopes.into_iter().collect();
            principal.facts.scopes.iter().filter(|scope| left.contains(*scope)).cloned().collect()
        }))
    }
}
