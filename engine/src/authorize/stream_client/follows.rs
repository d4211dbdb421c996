//! The open requests whose sessions the service follows: one follow for all of a token on a route.

use crate::{answer::Code, authorize::principal::Principal, route::RuleId, token::TokenDigest, wire};
use std::{
    collections::{HashMap, HashSet},
    rc::Rc,
};

/// Between two reports of activity. An idle limit may be met early by as much, never late.
const ACTIVITY_MS: u64 = 500;

/// Between two looks at the limits that the filter keeps itself.
const LIMITS_MS: u64 = 100;

/// How long the service may take to speak of a session's limit, which it knows better, before the filter acts on it.
const SERVICE_SPEAKS_MS: u64 = 1_000;

/// A follow, by its name on the check stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct FollowId(pub u32);

#[derive(Debug, Default)]
pub(super) struct Follows {
    ids: HashMap<(TokenDigest, RuleId), FollowId>,
    open: HashMap<FollowId, Follow>,
    next_id: u32,
    untold: Vec<FollowId>,
    ended: Vec<FollowId>,
    active: HashSet<FollowId>,
    activity_told_at_ms: u64,
    limits_seen_at_ms: u64,
}

#[derive(Debug)]
struct Follow {
    principal: Rc<Principal>,
    rule: RuleId,
    contexts: HashSet<u32>,
    /// When the token ends the requests; none where they may outlive it.
    token_ends_at_ms: Option<u64>,
    /// When the session ends at the latest, as the service last said.
    session_ends_at_ms: Option<u64>,
}

impl Follows {
    pub(super) fn join(
        &mut self,
        context: u32,
        principal: &Rc<Principal>,
        rule: RuleId,
        outlives_token: bool,
    ) -> FollowId {
        let key = (principal.facts.digest, rule);
        let id = match self.ids.get(&key) {
            Some(id) => *id,
            None => self.begin(key, principal, outlives_token),
        };
        if let Some(follow) = self.open.get_mut(&id) {
            follow.contexts.insert(context);
        }
        id
    }

    fn begin(&mut self, key: (TokenDigest, RuleId), principal: &Rc<Principal>, outlives_token: bool) -> FollowId {
        while self.open.contains_key(&FollowId(self.next_id)) {
            self.next_id = self.next_id.wrapping_add(1);
        }
        let id = FollowId(self.next_id);
        self.next_id = self.next_id.wrapping_add(1);
        let follow = Follow {
            principal: Rc::clone(principal),
            rule: key.1,
            contexts: HashSet::new(),
            token_ends_at_ms: (!outlives_token).then_some(principal.facts.dies_at_ms),
            session_ends_at_ms: None,
        };
        self.ids.insert(key, id);
        self.open.insert(id, follow);
        self.untold.push(id);
        id
    }

    pub(super) fn leave(&mut self, id: FollowId, context: u32) {
        let Some(follow) = self.open.get_mut(&id) else { return };
        follow.contexts.remove(&context);
        if follow.contexts.is_empty() {
            self.end(id);
        }
    }

    /// Ends a follow, and returns its requests.
    pub(super) fn end(&mut self, id: FollowId) -> Vec<u32> {
        let Some(follow) = self.open.remove(&id) else { return Vec::new() };
        self.ids.remove(&(follow.principal.facts.digest, follow.rule));
        self.active.remove(&id);
        // One that was never told need not be taken back.
        match self.untold.iter().position(|untold| *untold == id) {
            Some(place) => drop(self.untold.swap_remove(place)),
            None => self.ended.push(id),
        }
        follow.contexts.into_iter().collect()
    }

    pub(super) fn contexts(&self, id: FollowId) -> Vec<u32> {
        self.open.get(&id).into_iter().flat_map(|follow| follow.contexts.iter().copied()).collect()
    }

    pub(super) fn note_activity(&mut self, id: FollowId) {
        self.active.insert(id);
    }

    /// The service has spoken of a session.
    pub(super) fn note_end(&mut self, id: FollowId, session_ends_at_ms: Option<u64>) {
        if let Some(follow) = self.open.get_mut(&id) {
            follow.session_ends_at_ms = session_ends_at_ms;
        }
    }

    /// The follows whose limits have passed, looked for from time to time.
    pub(super) fn overdue(&mut self, now_ms: u64) -> Vec<(FollowId, Code)> {
        if now_ms.saturating_sub(self.limits_seen_at_ms) < LIMITS_MS {
            return Vec::new();
        }
        self.limits_seen_at_ms = now_ms;
        self.open.iter().filter_map(|(id, follow)| Some((*id, follow.overdue(now_ms)?))).collect()
    }

    /// The stream is another one: nothing of the old one holds.
    pub(super) fn tell_all(&mut self) {
        self.ended.clear();
        self.active.clear();
        self.untold = self.open.keys().copied().collect();
    }

    /// The next follow that the service has not been told of.
    pub(super) fn next_untold(&mut self) -> Option<(FollowId, Rc<Principal>, RuleId)> {
        let id = self.untold.pop()?;
        self.open.get(&id).map(|follow| (id, Rc::clone(&follow.principal), follow.rule))
    }

    /// What has ended, and, from time to time, what is active.
    pub(super) fn put_changes(&mut self, message: &mut wire::FilterMessage, now_ms: u64) {
        message.unfollowed.extend(self.ended.drain(..).map(|id| id.0));
        if !self.active.is_empty() && now_ms.saturating_sub(self.activity_told_at_ms) >= ACTIVITY_MS {
            self.activity_told_at_ms = now_ms;
            message.active.extend(self.active.drain().map(|id| id.0));
        }
    }
}

impl Follow {
    fn overdue(&self, now_ms: u64) -> Option<Code> {
        if self.token_ends_at_ms.is_some_and(|at_ms| at_ms <= now_ms) {
            return Some(Code::TokenExpired);
        }
        let late = |at_ms: u64| at_ms.saturating_add(SERVICE_SPEAKS_MS) <= now_ms;
        self.session_ends_at_ms.is_some_and(late).then_some(Code::SessionLifetimeExceeded)
    }
}
