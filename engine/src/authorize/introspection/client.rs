//! The questions to an introspection endpoint: a call for each request, with its deadline.
//!
//! The counterpart of the stream client. An answer is never used for another request.

use super::{
    answer::{self, Answered},
    call::{Call, Endpoint},
};
use crate::{
    authorize::{
        principal::Principal,
        question::{Inquiry, Verdict},
        request::Event,
    },
    policy::{Introspection, Policy, SessionService},
    time::{Monotonic, Now},
    token::TokenDigest,
};
use std::{
    collections::{HashMap, VecDeque},
    rc::Rc,
};

/// Calls without an answer that one worker holds at most; beyond, there is no verdict.
const CALLS_MAX: usize = 16_384;

/// Of those, calls about tokens that nobody has verified: anybody can make them up, and an Envoy cluster takes 1,024 requests at
/// once unless its circuit breaker says otherwise, so that they must leave room for the others.
const UNVERIFIED_MAX: usize = 256;

/// The id of a call between gate and host.
pub type CallKey = u32;

/// A call that has ended, answered or not.
#[derive(Debug)]
pub(in crate::authorize) struct Ended {
    /// The request that waited for it.
    pub context: u32,
    /// What it means for the request; none: there is no verdict.
    pub event: Option<Event>,
    /// How long the request has waited.
    pub waited_ms: u64,
}

/// The calls of one worker.
pub(in crate::authorize) struct IntrospectionClient {
    endpoint: Endpoint,
    timeout_ms: u64,
    next_key: CallKey,
    /// IntrospectionClient that are yet to be made.
    pending: Vec<(CallKey, Call)>,
    /// Every call without an answer whose request waits for it.
    open: HashMap<CallKey, Open>,
    /// Calls about unverified tokens that are under way, with the instant at which they end at the latest: Envoy goes on with
    /// a call whose request has gone.
    unverified: HashMap<CallKey, Monotonic>,
    /// Keys by deadline, oldest first: all calls may take equally long.
    deadlines: VecDeque<(Monotonic, CallKey)>,
}

struct Open {
    context: u32,
    asked_at: Monotonic,
    inquiry: Inquiry,
}

impl Open {
    fn end(self, event: Option<Event>, now: Monotonic) -> Ended {
        Ended { context: self.context, event, waited_ms: now.since(self.asked_at) }
    }
}

impl IntrospectionClient {
    /// The calls to `endpoint`, the session service of a policy.
    pub(in crate::authorize) fn new(session: &SessionService, endpoint: &Introspection) -> Self {
        Self {
            endpoint: Endpoint::new(session, endpoint),
            timeout_ms: u64::try_from(session.timeout.as_millis()).unwrap_or(u64::MAX),
            next_key: 0,
            pending: Vec::new(),
            open: HashMap::new(),
            unverified: HashMap::new(),
            deadlines: VecDeque::new(),
        }
    }

    /// As whom the endpoint is called: the value of `authorization`.
    pub(in crate::authorize) fn authorize(&mut self, authorization: Option<String>) {
        self.endpoint.authorization = authorization;
    }

    /// Takes a question; false when it is already known that there will be no verdict.
    pub(in crate::authorize) fn ask(
        &mut self,
        context: u32,
        inquiry: Inquiry,
        policy: &Policy,
        now: Monotonic,
    ) -> bool {
        let (rule, attributes) = inquiry.about();
        let call = policy
            .rule(rule)
            .and_then(|rule| self.endpoint.call(rule, attributes, matches!(inquiry, Inquiry::Session(_))));
        let is_unverified = matches!(inquiry, Inquiry::Token(_));
        if self.open.len() >= CALLS_MAX || is_unverified && self.unverified.len() >= UNVERIFIED_MAX {
            return false;
        }
        let Some(call) = call else { return false };
        // Keys wrap after four billion calls; one that is still open is passed over.
        while self.open.contains_key(&self.next_key) || self.unverified.contains_key(&self.next_key) {
            self.next_key = self.next_key.wrapping_add(1);
        }
        let key = self.next_key;
        self.next_key = key.wrapping_add(1);
        self.open.insert(key, Open { context, asked_at: now, inquiry });
        let deadline = now.after(self.timeout_ms);
        self.deadlines.push_back((deadline, key));
        if is_unverified {
            self.unverified.insert(key, deadline);
        }
        self.pending.push((key, call));
        true
    }

    /// The calls that are to be made now. Each must be followed by [`IntrospectionClient::answered`], unless its time is up before.
    pub(in crate::authorize) fn take_pending(&mut self) -> Vec<(CallKey, Call)> {
        let mut pending = std::mem::take(&mut self.pending);
        pending.retain(|(key, _)| self.open.contains_key(key));
        pending
    }

    /// A call has been answered: with a status and a body, or without an answer. Nothing comes of an answer that nobody
    /// waits for any more.
    pub(in crate::authorize) fn answered(
        &mut self,
        key: CallKey,
        response: Option<(u32, &[u8])>,
        policy: &Policy,
        now: Now,
    ) -> Option<Ended> {
        self.unverified.remove(&key);
        let open = self.open.remove(&key)?;
        let answered = response.and_then(|(status, body)| answer::read(status, body));
        let event = answered.and_then(|answered| read(&open.inquiry, answered, policy, now.wall_ms?));
        Some(open.end(event, now.instant))
    }

    /// The request has gone: nobody waits for its answer.
    pub(in crate::authorize) fn withdraw(&mut self, context: u32) {
        self.open.retain(|_, open| open.context != context);
    }

    /// Takes out the calls whose time is up. To be called on each tick.
    pub(in crate::authorize) fn expire(&mut self, now: Monotonic) -> Vec<Ended> {
        let mut ended = Vec::new();
        self.unverified.retain(|_, deadline| *deadline > now);
        while let Some((deadline, key)) = self.deadlines.front().copied()
            && (deadline <= now || !self.open.contains_key(&key))
        {
            self.deadlines.pop_front();
            // The key may have been given again since: then another deadline stands for it.
            if self.open.get(&key).is_some_and(|open| open.asked_at.after(self.timeout_ms) <= now)
                && let Some(open) = self.open.remove(&key)
            {
                ended.push(open.end(None, now));
            }
        }
        ended
    }

    /// Whether a call waits for a deadline.
    pub(in crate::authorize) fn is_busy(&self) -> bool {
        !self.open.is_empty()
    }

    /// Whether somebody waits for the answer to a call.
    pub(in crate::authorize) fn awaits(&self, key: CallKey) -> bool {
        self.open.contains_key(&key)
    }
}

/// What an answer means for the request that asked; `None` is no verdict.
fn read(inquiry: &Inquiry, answered: Answered, policy: &Policy, now_ms: u64) -> Option<Event> {
    match inquiry {
        Inquiry::Session(question) => answer::of_verified(&answered, &question.principal, policy, now_ms)
            .map(|verdict| Event::Verdict(verdict, Some(now_ms))),
        Inquiry::Token(arrival) => {
            let digest = TokenDigest::of(&arrival.token);
            Some(match answer::of_opaque(answered, digest, policy, now_ms) {
                Ok((issuer, facts)) => Event::Proven(Rc::new(Principal::new(issuer, facts, policy)), now_ms),
                Err(code) => Event::Verdict(Verdict::Ended(code), Some(now_ms)),
            })
        }
    }
}

#[cfg(test)]
mod tests;
