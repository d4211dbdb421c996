//! The questions to an introspection endpoint: a call for each request, with its deadline.
//!
//! The counterpart of the desk. An answer is never used for another request; what is kept of a positive one is for an
//! outage alone, and only for routes whose policy asks for it.

use super::{self as introspection, Answered, Call, Endpoint};
use crate::authorize::{
    principal::Principal,
    request::{Event, Inquiry, Presented, RequestAttributes, Verdict},
    token_cache::TOKENS_MAX,
};
use crate::{
    answer::Code,
    policy::{Outage, Policy, Protocol},
    route::RuleId,
    token::{Facts, IssuerId, TokenDigest},
};
use lru::LruCache;
use std::{
    collections::{HashMap, VecDeque},
    rc::Rc,
};

/// IntrospectionClient without an answer that one worker holds at most; beyond, there is no verdict.
const CALLS_MAX: usize = 16_384;

/// The name of a call between gate and host.
pub type CallKey = u32;

/// A call that has ended, answered or not.
#[derive(Debug)]
pub struct Ended {
    /// The request that waited for it.
    pub context: u32,
    /// What it means for the request.
    pub event: Event,
    /// How long the request has waited.
    pub waited_ms: u64,
}

/// The calls of one worker.
pub struct IntrospectionClient {
    endpoint: Endpoint,
    timeout_ms: u64,
    next_key: CallKey,
    /// IntrospectionClient that are yet to be made.
    pending: Vec<(CallKey, Call)>,
    /// Every call without an answer.
    open: HashMap<CallKey, Open>,
    /// Keys by deadline, oldest first: all calls may take equally long.
    deadlines: VecDeque<(u64, CallKey)>,
    /// The last positive answer about an opaque token.
    known: LruCache<TokenDigest, Rc<Principal>>,
}

struct Open {
    context: u32,
    asked_at_ms: u64,
    inquiry: Inquiry,
}

impl Open {
    fn end(self, event: Event, now_ms: u64) -> Ended {
        Ended { context: self.context, event, waited_ms: now_ms.saturating_sub(self.asked_at_ms) }
    }
}

impl IntrospectionClient {
    /// The calls of a policy whose session service is an introspection endpoint.
    pub fn new(policy: &Policy) -> Option<Self> {
        let session = policy.session.as_ref()?;
        let Protocol::Introspection(introspection) = &session.protocol else { return None };
        Some(Self {
            endpoint: Endpoint::new(session, introspection),
            timeout_ms: u64::try_from(session.timeout.as_millis()).unwrap_or(u64::MAX),
            next_key: 0,
            pending: Vec::new(),
            open: HashMap::new(),
            deadlines: VecDeque::new(),
            known: LruCache::sparse(TOKENS_MAX),
        })
    }

    /// As whom the endpoint is called: the value of `authorization`.
    pub fn authorize(&mut self, authorization: Option<String>) {
        self.endpoint.authorization = authorization;
    }

    /// What was last heard of an opaque token; for the time of an outage only.
    pub fn known(&mut self, token: &TokenDigest) -> Option<Rc<Principal>> {
        self.known.get(token).cloned()
    }

    /// Takes a question; false when it is already known that there will be no verdict.
    pub fn ask(&mut self, context: u32, inquiry: Inquiry, policy: &Policy, now_ms: u64) -> bool {
        let (rule, attributes) = about(&inquiry);
        let call = policy
            .rules
            .get(rule.0)
            .and_then(|rule| self.endpoint.call(rule, attributes, matches!(inquiry, Inquiry::Session(_))));
        let Some(call) = call.filter(|_| self.open.len() < CALLS_MAX) else { return false };
        // Keys wrap after four billion calls; one that is still open is passed over.
        while self.open.contains_key(&self.next_key) {
            self.next_key = self.next_key.wrapping_add(1);
        }
        let key = self.next_key;
        self.next_key = key.wrapping_add(1);
        self.open.insert(key, Open { context, asked_at_ms: now_ms, inquiry });
        self.deadlines.push_back((now_ms.saturating_add(self.timeout_ms), key));
        self.pending.push((key, call));
        true
    }

    /// The calls that are to be made now. Each must be followed by [`IntrospectionClient::answered`], unless its time is up before.
    pub fn take_pending(&mut self) -> Vec<(CallKey, Call)> {
        let mut pending = std::mem::take(&mut self.pending);
        pending.retain(|(key, _)| self.open.contains_key(key));
        pending
    }

    /// A call has been answered: with a status and a body, or without an answer. Nothing comes of an answer that nobody
    /// waits for any more.
    pub fn answered(
        &mut self,
        key: CallKey,
        response: Option<(u32, &[u8])>,
        policy: &Policy,
        now_ms: u64,
    ) -> Option<Ended> {
        let open = self.open.remove(&key)?;
        let answered = response.and_then(|(status, body)| introspection::read(status, body));
        let event = answered.and_then(|answered| self.hear(&open.inquiry, answered, policy, now_ms));
        Some(open.end(event.unwrap_or(Event::NoVerdict(now_ms)), now_ms))
    }

    /// The request has gone: nobody waits for its answer.
    pub fn withdraw(&mut self, context: u32) {
        self.open.retain(|_, open| open.context != context);
    }

    /// Takes out the calls whose time is up. To be called on each tick.
    pub fn expire(&mut self, now_ms: u64) -> Vec<Ended> {
        let mut ended = Vec::new();
        while let Some((deadline_ms, key)) = self.deadlines.front().copied()
            && (deadline_ms <= now_ms || !self.open.contains_key(&key))
        {
            self.deadlines.pop_front();
            // The key may have been given again since: then another deadline stands for it.
            if self.open.get(&key).is_some_and(|open| open.asked_at_ms.saturating_add(self.timeout_ms) <= now_ms)
                && let Some(open) = self.open.remove(&key)
            {
                ended.push(open.end(Event::NoVerdict(now_ms), now_ms));
            }
        }
        ended
    }

    /// Whether a call waits for a deadline.
    pub fn is_busy(&self) -> bool {
        !self.open.is_empty()
    }

    /// Whether somebody waits for the answer to a call.
    pub fn awaits(&self, key: CallKey) -> bool {
        self.open.contains_key(&key)
    }

    /// What an answer means for the request that asked; `None` is no verdict.
    fn hear(&mut self, inquiry: &Inquiry, answered: Answered, policy: &Policy, now_ms: u64) -> Option<Event> {
        match inquiry {
            Inquiry::Session(question) => {
                let verdict = introspection::of_verified(&answered, &question.principal, policy, now_ms)?;
                Some(Event::Verdict(verdict, now_ms))
            }
            Inquiry::Token(presented) => {
                let digest = TokenDigest::of(&presented.arrival.token);
                Some(match introspection::of_opaque(answered, digest, policy, now_ms) {
                    Ok((issuer, facts)) => Event::Proven(self.prove(issuer, facts, presented, policy), now_ms),
                    Err(code) => {
                        // A step-up is asked of this route alone; everything else is true of the token everywhere.
                        if code != Code::StepUpRequired {
                            self.known.pop(&digest);
                        }
                        Event::Verdict(Verdict::Ended(code), now_ms)
                    }
                })
            }
        }
    }

    /// The principal of an opaque token that was just found good.
    fn prove(&mut self, issuer: IssuerId, facts: Facts, presented: &Presented, policy: &Policy) -> Rc<Principal> {
        let digest = facts.digest;
        let principal = Principal::new(issuer, facts, policy);
        let rule = policy.rules.get(presented.arrival.rule.0);
        if rule.is_none_or(|rule| rule.limits.on_outage == Outage::Deny) {
            return Rc::new(principal);
        }
        if let Some(known) = self.known.peek(&digest) {
            principal.inherit_granted(known);
        }
        let principal = Rc::new(principal);
        self.known.put(digest, Rc::clone(&principal));
        principal
    }
}

fn about(inquiry: &Inquiry) -> (RuleId, &RequestAttributes) {
    match inquiry {
        Inquiry::Session(question) => (question.rule, &question.attributes),
        Inquiry::Token(presented) => (presented.arrival.rule, &presented.arrival.attributes),
    }
}

#[cfg(test)]
mod tests;
