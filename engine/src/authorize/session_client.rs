//! The client of the session service, for whichever protocol the policy uses.

use super::{
    introspection::IntrospectionClient, principal::Principal, question::Inquiry, redemptions::Redemptions,
    stream_client::StreamClient,
};
use crate::{
    policy::{Access, Outage, Policy, Protocol, Sizes, WithoutToken},
    time::Monotonic,
};

/// Asks the session service questions.
pub(super) enum SessionClient {
    /// Sends all questions on one check stream.
    Stream(Box<StreamClient>),
    /// Makes one introspection call per question.
    Introspection(Box<IntrospectionClient>),
}

impl SessionClient {
    /// The client for a policy; `None` if every rule is public. `seed` distinguishes workers.
    pub(super) fn new(policy: &Policy, hello: crate::wire::Hello, timeout_ms: u64, seed: u64) -> Option<Self> {
        let session = policy.session.as_ref()?;
        Some(match &session.protocol {
            Protocol::Stream { .. } => {
                let client = StreamClient::new(hello, needs_beats(policy), timeout_ms, seed);
                let client = client.needing_tokens(needs_tokens(policy));
                Self::Stream(Box::new(client.redeeming(redemptions(policy, timeout_ms))))
            }
            Protocol::Introspection(endpoint) => {
                Self::Introspection(Box::new(IntrospectionClient::new(session, endpoint)))
            }
        })
    }

    /// Takes a question; returns false if it is already known that there will be no verdict.
    pub(super) fn ask(&mut self, context: u32, inquiry: Inquiry, policy: &Policy, now: Monotonic) -> bool {
        match (self, inquiry) {
            (Self::Introspection(client), inquiry) => client.ask(context, inquiry, policy, now),
            (Self::Stream(client), Inquiry::Session(question)) => client.ask(context, question, now),
            (Self::Stream(_), Inquiry::Token(_)) => false,
        }
    }

    /// The request has gone and needs no answer.
    pub(super) fn withdraw(&mut self, context: u32) {
        match self {
            Self::Stream(client) => client.withdraw(context),
            Self::Introspection(client) => client.withdraw(context),
        }
    }

    /// The token has left the cache.
    pub(super) fn retire(&mut self, principal: &Principal) {
        if let Self::Stream(client) = self {
            client.retire(principal);
        }
    }

    /// Whether something waits for a deadline.
    pub(super) fn is_busy(&self) -> bool {
        match self {
            Self::Stream(client) => client.is_busy(),
            Self::Introspection(client) => client.is_busy(),
        }
    }

    pub(super) const fn stream(&mut self) -> Option<&mut StreamClient> {
        match self {
            Self::Stream(client) => Some(client),
            Self::Introspection(_) => None,
        }
    }

    pub(super) const fn introspection(&mut self) -> Option<&mut IntrospectionClient> {
        match self {
            Self::Introspection(client) => Some(client),
            Self::Stream(_) => None,
        }
    }
}

/// What is needed where browsers show handles; their tokens take a quarter of the memory that verified ones do besides.
fn redemptions(policy: &Policy, timeout_ms: u64) -> Option<Redemptions> {
    policy.session_cookie()?;
    let Sizes { token_bytes, token_cache_bytes, .. } = policy.limits;
    Some(Redemptions::new(token_cache_bytes / 4, token_bytes, timeout_ms))
}

/// Whether some rule refuses requests for which no token can be minted.
fn needs_tokens(policy: &Policy) -> bool {
    let mut wanted = policy.rules.iter().filter_map(|rule| rule.upstream_token.as_deref());
    wanted.any(|token| token.without == WithoutToken::Refuse)
}

/// Whether some open request must end when the service is silent, so that its silence must mean something.
fn needs_beats(policy: &Policy) -> bool {
    let mut guarded = policy.rules.iter().filter(|rule| !matches!(rule.access, Access::Public));
    guarded.any(|rule| rule.limits.on_outage == Outage::Deny)
}
