//! The open requests whose sessions the service follows: one follow for all of a token on a route.

use crate::{
    answer::Code,
    authorize::principal::Principal,
    route::RuleId,
    time::{Monotonic, Now},
    token::{IssuerId, KeySet, TokenDigest},
    wire,
};
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
pub(super) struct FollowId(pub u32);

#[derive(Debug, Default)]
pub(super) struct Follows {
    ids: HashMap<(TokenDigest, RuleId), FollowId>,
    open: HashMap<FollowId, Follow>,
    next_id: u32,
    unannounced: Vec<FollowId>,
    ended: Vec<FollowId>,
    active: HashSet<FollowId>,
    activity_sent_at: Monotonic,
    limits_seen_at: Monotonic,
}

#[derive(Debug)]
struct Follow {
    principal: Rc<Principal>,
    rule: RuleId,
    contexts: HashSet<u32>,
    /// When the token ends the requests, by the wall clock; none where they may outlive it.
    token_ends_at_ms: Option<u64>,
    /// When the session ends at the latest, as the service last said.
    session_ends_at: Option<Monotonic>,
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
            session_ends_at: None,
        };
        self.ids.insert(key, id);
        self.open.insert(id, follow);
        self.unannounced.push(id);
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
        // One that was never announced need not be taken back.
        match self.unannounced.iter().position(|unannounced| *unannounced == id) {
            Some(place) => drop(self.unannounced.swap_remove(place)),
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
    pub(super) fn note_end(&mut self, id: FollowId, session_ends_at: Option<Monotonic>) {
        if let Some(follow) = self.open.get_mut(&id) {
            follow.session_ends_at = session_ends_at;
        }
    }

    /// The follows of tokens by `issuer` that were verified with a key which is not in `keys` any more.
    pub(super) fn of_withdrawn_keys(&self, issuer: IssuerId, keys: &KeySet) -> Vec<FollowId> {
        let is_void =
            |principal: &Principal| principal.issuer == issuer && principal.key.is_some_and(|key| !keys.holds(key));
        self.open.iter().filter(|(_, follow)| is_void(&follow.principal)).map(|(id, _)| *id).collect()
    }

    /// The follows of requests that were released by such rules.
    pub(super) fn on_rules(&self, is_meant: impl Fn(RuleId) -> bool) -> Vec<FollowId> {
        self.open.iter().filter(|(_, follow)| is_meant(follow.rule)).map(|(id, _)| *id).collect()
    }

    /// The follows whose limits have passed, looked for from time to time.
    pub(super) fn overdue(&mut self, now: Now) -> Vec<(FollowId, Code)> {
        if now.instant.since(self.limits_seen_at) < LIMITS_MS {
            return Vec::new();
        }
        self.limits_seen_at = now.instant;
        self.open.iter().filter_map(|(id, follow)| Some((*id, follow.overdue(now)?))).collect()
    }

    /// The stream is another one: nothing of the old one holds.
    pub(super) fn announce_all(&mut self) {
        self.ended.clear();
        self.active.clear();
        self.unannounced = self.open.keys().copied().collect();
    }

    /// The next follow that the service does not know of.
    pub(super) fn next_unannounced(&mut self) -> Option<(FollowId, Rc<Principal>, RuleId)> {
        let id = self.unannounced.pop()?;
        self.open.get(&id).map(|follow| (id, Rc::clone(&follow.principal), follow.rule))
    }

    /// What has ended, and, from time to time, what is active.
    pub(super) fn put_changes(&mut self, message: &mut wire::FilterMessage, now: Monotonic) {
        message.unfollowed.extend(self.ended.drain(..).map(|id| id.0));
        if !self.active.is_empty() && now.since(self.activity_sent_at) >= ACTIVITY_MS {
            self.activity_sent_at = now;
            message.active.extend(self.active.drain().map(|id| id.0));
        }
    }
}

impl Follow {
    /// Without a wall clock nobody can say that a token lives: the next look may be able to.
    fn overdue(&self, now: Now) -> Option<Code> {
        if let (Some(ends_at_ms), Some(wall_ms)) = (self.token_ends_at_ms, now.wall_ms)
            && ends_at_ms <= wall_ms
        {
            return Some(Code::TokenExpired);
        }
        let late = |at: Monotonic| at.after(SERVICE_SPEAKS_MS) <= now.instant;
        self.session_ends_at.is_some_and(late).then_some(Code::SessionLifetimeExceeded)
    }
}
