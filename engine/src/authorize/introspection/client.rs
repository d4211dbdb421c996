//! The introspection client: one call per request, each with a deadline, and calls about the tokens of open requests.
//!
//! The counterpart of the stream client. A response is never reused for another request.

use super::{
    answer::{self, Answered},
    call::{Call, Endpoint},
    reviews::{Checked, Reviews},
};
use crate::{
    authorize::{
        follows::FollowId,
        principal::Principal,
        question::{Inquiry, Question, Verdict},
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
pub const CALLS_MAX: usize = 16_384;

/// The maximum number of them about unverified tokens. Anyone can make those up, so they must leave room for the others. In
/// Envoy's cluster, whose bound all workers share, only its configuration can: `policy check` warns about one that does not.
const UNVERIFIED_MAX: usize = 256;

/// The maximum number of them about the tokens of open requests, so that those of new requests are not delayed.
const REVIEWS_MAX: usize = 64;

/// The id of a call between the gate and the host.
pub type CallKey = u32;

/// A call that has ended, with or without a response.
#[derive(Debug)]
pub(in crate::authorize) struct Ended {
    /// What it was made for.
    pub asker: Asker,
    /// The resulting event; `None` if there is no verdict.
    pub event: Option<Event>,
    /// How long the request has waited.
    pub waited_ms: u64,
}

/// What a call is made for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::authorize) enum Asker {
    /// A request that waits.
    Request(u32),
    /// Open requests.
    Follow(FollowId),
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
    reviews: Reviews,
    /// Calls about the tokens of open requests in progress.
    reviews_open: usize,
}

struct Open {
    asker: Asker,
    asked_at: Monotonic,
    inquiry: Inquiry,
}

impl Open {
    fn end(self, event: Option<Event>, now: Monotonic) -> Ended {
        Ended { asker: self.asker, event, waited_ms: now.since(self.asked_at) }
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
            reviews: Reviews::default(),
            reviews_open: 0,
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
        let is_unverified = matches!(inquiry, Inquiry::Token(_));
        if is_unverified && self.unverified.len() >= UNVERIFIED_MAX {
            return false;
        }
        self.begin(Asker::Request(context), inquiry, policy, now)
    }

    /// The token of a request that stays open is asked about again from now on.
    pub(in crate::authorize) fn review(&mut self, id: FollowId, question: Question, now: Monotonic) {
        self.reviews.begin(id, question, now);
    }

    /// Asks about the tokens of open requests whose turn it is, and returns the follows whose last answer is too old.
    pub(in crate::authorize) fn review_the_open(
        &mut self,
        policy: &Policy,
        now: Monotonic,
        is_open: impl Fn(FollowId) -> bool,
    ) -> Vec<FollowId> {
        let room = REVIEWS_MAX.saturating_sub(self.reviews_open);
        let Checked { due, silent } = self.reviews.check(now, room, is_open);
        for (id, question) in due {
            match self.begin(Asker::Follow(id), Inquiry::Session(question), policy, now) {
                true => self.reviews_open += 1,
                false => self.reviews.unanswered(id, now),
            }
        }
        silent
    }

    /// Begins a call; returns false if none can be made.
    fn begin(&mut self, asker: Asker, inquiry: Inquiry, policy: &Policy, now: Monotonic) -> bool {
        let (rule, attributes) = inquiry.about();
        let is_verified = matches!(&inquiry, Inquiry::Session(question) if !question.principal.is_opaque());
        let call = policy.rule(rule).and_then(|rule| self.endpoint.call(rule, attributes, is_verified));
        let is_unverified = matches!(inquiry, Inquiry::Token(_));
        if self.open.len() >= CALLS_MAX {
            return false;
        }
        let Some(call) = call else { return false };
        // Keys wrap after four billion calls; one that is still in use is skipped.
        while self.open.contains_key(&self.next_key) || self.unverified.contains_key(&self.next_key) {
            self.next_key = self.next_key.wrapping_add(1);
        }
        let key = self.next_key;
        self.next_key = key.wrapping_add(1);
        self.open.insert(key, Open { asker, asked_at: now, inquiry });
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
        let event = answered.and_then(|answered| read(&open, answered, policy, now.wall_ms?));
        self.note_review(open.asker, event.is_some(), now.instant);
        Some(open.end(event, now.instant))
    }

    fn note_review(&mut self, asker: Asker, is_answered: bool, now: Monotonic) {
        let Asker::Follow(id) = asker else { return };
        self.reviews_open = self.reviews_open.saturating_sub(1);
        match is_answered {
            true => self.reviews.answered(id, now),
            false => self.reviews.unanswered(id, now),
        }
    }

    /// The request has gone and needs no answer.
    pub(in crate::authorize) fn withdraw(&mut self, context: u32) {
        self.open.retain(|_, open| open.asker != Asker::Request(context));
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
                self.note_review(open.asker, false, now);
                ended.push(open.end(None, now));
            }
        }
        ended
    }

    /// Whether a call waits for a deadline.
    pub(in crate::authorize) fn is_busy(&self) -> bool {
        !self.open.is_empty()
    }

    /// Whether the answer to this call is still needed.
    pub(in crate::authorize) fn awaits(&self, key: CallKey) -> bool {
        self.open.contains_key(&key)
    }
}

/// The event that a response causes for the requests that it was asked for; `None` means no verdict.
fn read(open: &Open, answered: Answered, policy: &Policy, now_ms: u64) -> Option<Event> {
    match (&open.inquiry, open.asker) {
        (Inquiry::Session(question), Asker::Follow(_)) => {
            answer::of_open(answered, question, policy, now_ms).map(Event::Followed)
        }
        (Inquiry::Session(question), Asker::Request(_)) => {
            let rule = policy.rule(question.rule)?;
            let verdict = answer::of_verified(&answered, &question.principal, rule, policy, now_ms)?;
            Some(Event::Verdict(verdict, Some(now_ms)))
        }
        (Inquiry::Token(arrival), _) => {
            let digest = TokenDigest::of(&arrival.token);
            Some(match answer::of_opaque(answered, digest, policy, now_ms) {
                Ok((issuer, facts)) => Event::Proven(Rc::new(Principal::new(issuer, facts, policy)), now_ms),
                Err(refusal) => Event::Verdict(Verdict::Ended(refusal), Some(now_ms)),
            })
        }
    }
}

#[cfg(test)]
mod tests;
