//! Released requests that turn out to be more than short: their sessions are followed until they end.

use super::{ContextId, Gate};
use crate::authorize::{request::Request, tally::Count};

/// How long a request is open before its session is followed: most are over by then, and cost nothing. With the tick, this
/// bounds how late an open request is cut that was released just before its session ended.
const FOLLOW_AFTER_MS: u64 = 50;

impl Gate {
    /// The upstream's answer to a request begins.
    pub fn responding(&mut self, context: ContextId) {
        if let Some(entry) = self.requests.get_mut(&context) {
            entry.responded = true;
        }
    }

    /// Whether it has begun: then a request that has to end can only be reset.
    pub fn has_responded(&self, context: ContextId) -> bool {
        self.requests.get(&context).is_some_and(|entry| entry.responded)
    }

    /// Bytes of a body have passed, in either direction.
    pub fn note_activity(&mut self, context: ContextId) {
        if let Some(id) = self.requests.get(&context).and_then(|entry| entry.follow) {
            self.desk.note_activity(id);
        }
    }

    /// Has the sessions followed of requests that turn out to be more than short.
    pub(super) fn follow_the_lasting(&mut self, now_ms: u64) {
        while let Some((released_at_ms, context)) = self.fresh.front().copied()
            && released_at_ms.saturating_add(FOLLOW_AFTER_MS) <= now_ms
        {
            self.fresh.pop_front();
            let Some(entry) = self.requests.get_mut(&context) else { continue };
            if let Request::Released(Some(open)) = &entry.request
                && let Some(rule) = self.policy.rules.get(open.rule.0)
            {
                let id = self.desk.follow(context, &open.principal, open.rule, rule.limits.outlive_token);
                entry.follow = Some(id);
                self.tally.add(Count::Followed);
            }
        }
    }
}
