//! The introspection client: one call per request, each with a deadline.
//!
//! The counterpart of the stream client. A response is never reused for another request.

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

/// The maximum number of unanswered calls per worker; further questions get no verdict.
const CALLS_MAX: usize = 16_384;

/// The maximum number of them about unverified tokens. Anyone can make those up, and an Envoy cluster allows 1,024
/// concurrent requests by default, so they must leave room for the others.
const UNVERIFIED_MAX: usize = 256;

/// The id of a call between the gate and the host.
pub type CallKey = u32;

/// A call that has ended, with or without a response.
#[derive(Debug)]
pub(in crate::authorize) struct Ended {
    /// The request that waited for it.
    pub context: u32,
    /// The resulting event; `None` if there is no verdict.
    pub event: Option<Event>,
    /// How long the request has waited.
    pub waited_ms: u64,
}

/// The calls of one worker.
pub(in crate::authorize) struct IntrospectionClient {
    endpoint: Endpoint,
    timeout_ms: u64,
    next_key: CallKey,
    /// Calls that are yet to be made.
    pending: Vec<(CallKey, Call)>,
    /// Every unanswered call whose request still waits for it.
    open: HashMap<CallKey, Open>,
    /// Calls about unverified tokens in progress, each with the time at which it has certainly ended: Envoy continues a
    /// call whose request has gone.
    unverified: HashMap<CallKey, Monotonic>,
    /// Keys by deadline, oldest first: all calls have the same timeout.
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

    /// Sets the value of `authorization` for the endpoint.
    pub(in crate::authorize) fn authorize(&mut self, authorization: Option<String>) {
        self.endpoint.authorization = authorization;
    }

    /// Takes a question; returns false if it is already known that there will be no verdict.
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
        // Keys wrap after four billion calls; one that is still in use is skipped.
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

    /// The calls to make now. [`IntrospectionClient::answered`] must follow each, unless its deadline passes first.
    pub(in crate::authorize) fn take_pending(&mut self) -> Vec<(CallKey, Call)> {
        let mut pending = std::mem::take(&mut self.pending);
        pending.retain(|(key, _)| self.open.contains_key(key));
        pending
    }

    /// A call was answered with a status and a body, or failed. A response that no request waits for is dropped.
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

    /// The request has gone and needs no answer.
    pub(in crate::authorize) fn withdraw(&mut self, context: u32) {
        self.open.retain(|_, open| open.context != context);
    }

    /// Removes the calls whose deadline has passed. Must be called on each tick.
    pub(in crate::authorize) fn expire(&mut self, now: Monotonic) -> Vec<Ended> {
        let mut ended = Vec::new();
        self.unverified.retain(|_, deadline| *deadline > now);
        while let Some((deadline, key)) = self.deadlines.front().copied()
            && (deadline <= now || !self.open.contains_key(&key))
        {
            self.deadlines.pop_front();
            // The key can have been reused since then; its new call has a deadline entry of its own.
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

    /// Whether a request still waits for this call.
    pub(in crate::authorize) fn awaits(&self, key: CallKey) -> bool {
        self.open.contains_key(&key)
    }
}

/// The event that a response causes for the request that asked; `None` means no verdict.
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
