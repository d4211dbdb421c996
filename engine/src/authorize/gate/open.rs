//! Long-lived requests: once released, their sessions are followed until they end.

use super::{ContextId, Due, Gate};
use crate::{
    answer::Code,
    authorize::{
        question::Question,
        request::{Event, Request},
        session_client::SessionClient,
        tally::Count,
    },
    policy::Limits,
    time::{Monotonic, Now},
};
use std::rc::Rc;

/// How long a request is open before its session is followed: most requests end sooner and cost nothing. Together with
/// the tick, this bounds how late an open request is cut if it was released just before its session ended; Envoy itself
/// takes another 50 ms to close a connection of HTTP/1.1 (`delayed_close_timeout`).
const FOLLOW_AFTER_MS: u64 = 20;

impl Gate {
    /// The upstream's response to a request starts. Returns the websocket subprotocol to select if the upstream has
    /// selected none: the client has offered it together with its token.
    pub fn responding(&mut self, context: ContextId) -> Option<String> {
        let entry = self.requests.get_mut(&context)?;
        entry.responded = true;
        entry.subprotocol.take().filter(|_| entry.request.is_released())
    }

    /// Whether the response has started. After that, a request can only be ended by a reset.
    pub fn has_responded(&self, context: ContextId) -> bool {
        self.requests.get(&context).is_some_and(|entry| entry.responded)
    }

    /// Bytes of a body have passed, in either direction.
    pub fn note_activity(&mut self, context: ContextId) {
        if let Some(id) = self.requests.get(&context).and_then(|entry| entry.follow) {
            self.follows.note_activity(id);
        }
    }

    /// Starts to follow the sessions of requests that have been open for long enough. There is a bound on how many are
    /// followed: beyond it, requests end here if the policy denies in an outage.
    pub(super) fn follow_the_lasting(&mut self, now: Now) -> Vec<Due> {
        let mut due = Vec::new();
        while let Some((released_at, context)) = self.fresh.front().copied()
            && released_at.after(FOLLOW_AFTER_MS) <= now.instant
        {
            self.fresh.pop_front();
            if !self.follow(context, now.instant) {
                let unfollowed = Event::Overdue(Code::SessionUnavailable.into());
                due.push((context, self.advance(context, unfollowed, now)));
            }
        }
        due
    }

    /// Starts to follow the session of a request, if it is still open. Returns false if it would have to be followed and
    /// cannot be.
    fn follow(&mut self, context: ContextId, now: Monotonic) -> bool {
        let Some(entry) = self.requests.get_mut(&context) else { return true };
        let Request::Released(Some(open)) = &entry.request else { return true };
        let Some(rule) = self.policy.rule(open.rule) else { return true };
        let kept = entry.kept.take();
        let about = kept.clone().filter(|attributes| attributes.circumstances.is_some());
        // A handle does not expire with its token: the session behind both decides.
        let outlives_token = rule.limits.outlive_token || entry.is_of_cookie;
        let limits = Limits { outlive_token: outlives_token, ..rule.limits.clone() };
        let Some(id) = self.follows.join(context, &open.principal, open.rule, &limits, about) else {
            return false;
        };
        entry.follow = Some(id);
        if let (Some(SessionClient::Introspection(client)), Some(attributes)) = (&mut self.client, kept) {
            let (rule, principal) = (open.rule, Rc::clone(&open.principal));
            client.review(id, Question { rule, principal, attributes, proof: None, redeemed: None }, now);
        }
        self.tally.add(Count::Followed);
        true
    }
}
