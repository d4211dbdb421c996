//! Open requests whose sessions the service follows. All requests of one token on one rule share a follow, if they agree in what
//! the service's conditions want to know of them: where they come from, for example.
//!
//! The service follows at most [`FOLLOWS_MAX`] on one stream. Those of rules that deny in an outage come first, and further
//! ones of them are not taken; others can wait for their turn.

use crate::{
    answer::Code,
    authorize::{principal::Principal, question::RequestAttributes},
    policy::{Limits, Outage},
    route::RuleId,
    time::{Monotonic, Now},
    token::{IssuerId, KeySet, TokenDigest},
    wire,
};
use portcullis_contract::bounds::FOLLOWS_MAX;
use std::{
    collections::{BTreeSet, HashMap, HashSet, VecDeque},
    rc::Rc,
};

/// The interval between two activity reports. An idle limit can be reached early by this much, but never late.
const ACTIVITY_MS: u64 = 500;

/// The interval between two checks of the limits that the filter enforces itself.
const LIMITS_MS: u64 = 100;

/// How long the filter waits for the service to report that a session reached its limit. The service knows the limit
/// better, so the filter only acts on its own copy after that.
const SERVICE_SPEAKS_MS: u64 = 1_000;

/// How long a follow waits until it is announced again after the service could not read its store.
const ANNOUNCE_AGAIN_MS: u64 = 1_000;

/// A follow, by its id on the check stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct FollowId(pub u32);

#[derive(Debug, Default)]
pub(super) struct Follows {
    ids: HashMap<Key, FollowId>,
    open: HashMap<FollowId, Follow>,
    next_id: u32,
    /// Follows that the service does not know about, by whether an outage denies: those are announced first.
    unannounced: BTreeSet<(bool, FollowId)>,
    /// How many follows the service knows about.
    announced: usize,
    /// Follows that the service has given up, oldest first, with the time at which they are announced again.
    postponed: VecDeque<(Monotonic, FollowId)>,
    /// Follows that have ended and that the service still knows about.
    ended: Vec<FollowId>,
    active: HashSet<FollowId>,
    activity_sent_at: Monotonic,
    limits_seen_at: Monotonic,
}

/// What the requests of a follow have in common: token, rule, whether they outlive the token, and the digest of what conditions
/// want to know of them.
type Key = (TokenDigest, RuleId, bool, Option<Box<[u8; 32]>>);

/// A follow that is to be announced.
#[derive(Debug)]
pub(super) struct Announcement {
    pub(super) id: FollowId,
    pub(super) principal: Rc<Principal>,
    pub(super) rule: RuleId,
    /// What conditions want to know of its requests; `None` where there were none when they were asked about.
    pub(super) about: Option<Rc<RequestAttributes>>,
}

#[derive(Debug)]
struct Follow {
    principal: Rc<Principal>,
    rule: RuleId,
    about: Option<Rc<RequestAttributes>>,
    contexts: HashSet<u32>,
    /// Whether its rule denies in an outage: then its requests must not be open without being followed.
    denies: bool,
    is_announced: bool,
    /// When the token ends the requests, by the wall clock; `None` where they can outlive it.
    token_ends_at_ms: Option<u64>,
    /// When the session ends at the latest, according to the last verdict.
    session_ends_at: Option<Monotonic>,
}

impl Follows {
    /// A request stays open. `None` if its session cannot be followed, and an outage of its rule denies.
    pub(super) fn join(
        &mut self,
        context: u32,
        principal: &Rc<Principal>,
        rule: RuleId,
        limits: &Limits,
        about: Option<Rc<RequestAttributes>>,
    ) -> Option<FollowId> {
        let key = key(principal, rule, limits.outlive_token, about.as_deref());
        let id = match self.ids.get(&key) {
            Some(id) => *id,
            None if self.open.len() >= FOLLOWS_MAX && limits.on_outage == Outage::Deny => return None,
            None => self.begin(key, principal, limits, about),
        };
        if let Some(follow) = self.open.get_mut(&id) {
            follow.contexts.insert(context);
        }
        Some(id)
    }

    fn begin(
        &mut self,
        key: Key,
        principal: &Rc<Principal>,
        limits: &Limits,
        about: Option<Rc<RequestAttributes>>,
    ) -> FollowId {
        while self.open.contains_key(&FollowId(self.next_id)) {
            self.next_id = self.next_id.wrapping_add(1);
        }
        let id = FollowId(self.next_id);
        self.next_id = self.next_id.wrapping_add(1);
        let follow = Follow {
            principal: Rc::clone(principal),
            rule: key.1,
            about,
            contexts: HashSet::new(),
            denies: limits.on_outage == Outage::Deny,
            is_announced: false,
            token_ends_at_ms: (!limits.outlive_token).then_some(principal.facts.dies_at_ms),
            session_ends_at: None,
        };
        self.ids.insert(key, id);
        self.unannounced.insert((follow.denies, id));
        self.open.insert(id, follow);
        id
    }

    pub(super) fn leave(&mut self, id: FollowId, context: u32) {
        let Some(follow) = self.open.get_mut(&id) else { return };
        follow.contexts.remove(&context);
        if follow.contexts.is_empty() {
            self.end(id);
        }
    }

    /// Ends a follow and returns its requests.
    pub(super) fn end(&mut self, id: FollowId) -> Vec<u32> {
        let Some(follow) = self.open.remove(&id) else { return Vec::new() };
        let outlives_token = follow.token_ends_at_ms.is_none();
        self.ids.remove(&key(&follow.principal, follow.rule, outlives_token, follow.about.as_deref()));
        self.active.remove(&id);
        // A follow that the service does not know about does not have to be withdrawn.
        match follow.is_announced {
            true => self.ended.push(id),
            false => drop(self.unannounced.remove(&(follow.denies, id))),
        }
        follow.contexts.into_iter().collect()
    }

    pub(super) fn is_open(&self, id: FollowId) -> bool {
        self.open.contains_key(&id)
    }

    pub(super) fn contexts(&self, id: FollowId) -> Vec<u32> {
        self.open.get(&id).into_iter().flat_map(|follow| follow.contexts.iter().copied()).collect()
    }

    /// The rule that released the requests of an open follow.
    pub(super) fn rule(&self, id: FollowId) -> Option<RuleId> {
        self.open.get(&id).map(|follow| follow.rule)
    }

    /// The token of an open follow.
    pub(super) fn principal(&self, id: FollowId) -> Option<&Principal> {
        self.open.get(&id).map(|follow| &*follow.principal)
    }

    pub(super) fn note_activity(&mut self, id: FollowId) {
        self.active.insert(id);
    }

    /// Records the session's end as the service reported it.
    pub(super) fn note_end(&mut self, id: FollowId, session_ends_at: Option<Monotonic>) {
        if let Some(follow) = self.open.get_mut(&id) {
            follow.session_ends_at = session_ends_at;
        }
    }

    /// The follows of tokens whose key is no longer in `keys`, the keys of matching issuers.
    pub(super) fn of_withdrawn_keys(&self, is_of: impl Fn(IssuerId) -> bool, keys: &KeySet) -> Vec<FollowId> {
        let is_void = |principal: &Principal| is_of(principal.issuer) && !principal.has_key_in(keys);
        self.open.iter().filter(|(_, follow)| is_void(&follow.principal)).map(|(id, _)| *id).collect()
    }

    /// The follows of requests that were released by matching rules.
    pub(super) fn on_rules(&self, is_meant: impl Fn(RuleId) -> bool) -> Vec<FollowId> {
        self.open.iter().filter(|(_, follow)| is_meant(follow.rule)).map(|(id, _)| *id).collect()
    }

    /// The follows whose limits have passed. Checked once per interval.
    pub(super) fn overdue(&mut self, now: Now) -> Vec<(FollowId, Code)> {
        if now.instant.since(self.limits_seen_at) < LIMITS_MS {
            return Vec::new();
        }
        self.limits_seen_at = now.instant;
        self.open.iter().filter_map(|(id, follow)| Some((*id, follow.overdue(now)?))).collect()
    }

    /// There is a new stream, whose service knows none of the follows.
    pub(super) fn announce_all(&mut self) {
        self.ended.clear();
        self.active.clear();
        self.postponed.clear();
        self.announced = 0;
        self.open.values_mut().for_each(|follow| follow.is_announced = false);
        self.unannounced = self.open.iter().map(|(id, follow)| (follow.denies, *id)).collect();
    }

    /// The service has closed a follow whose session it could not look up: it is announced again in a while.
    pub(super) fn announce_later(&mut self, id: FollowId, now: Monotonic) {
        if let Some(follow) = self.open.get_mut(&id)
            && std::mem::take(&mut follow.is_announced)
        {
            self.announced = self.announced.saturating_sub(1);
            self.postponed.push_back((now.after(ANNOUNCE_AGAIN_MS), id));
        }
    }

    /// Announces the follows that have waited for it long enough.
    pub(super) fn announce_the_postponed(&mut self, now: Monotonic) {
        while let Some((at, id)) = self.postponed.front().copied()
            && at <= now
        {
            self.postponed.pop_front();
            // The id can have been reused since then; its new follow is announced anyway.
            if let Some(follow) = self.open.get(&id).filter(|follow| !follow.is_announced) {
                self.unannounced.insert((follow.denies, id));
            }
        }
    }

    /// The next follow that the service does not know about and has room for.
    pub(super) fn next_unannounced(&mut self) -> Option<Announcement> {
        if self.announced >= FOLLOWS_MAX {
            return None;
        }
        let (_, id) = self.unannounced.pop_last()?;
        let follow = self.open.get_mut(&id)?;
        follow.is_announced = true;
        self.announced += 1;
        let (principal, rule, about) = (Rc::clone(&follow.principal), follow.rule, follow.about.clone());
        Some(Announcement { id, principal, rule, about })
    }

    /// Adds the follows that have ended and, once per interval, those that are active. The service reads new follows first:
    /// until now, the ended ones have taken room.
    pub(super) fn put_changes(&mut self, message: &mut wire::FilterMessage, now: Monotonic) {
        self.announced = self.announced.saturating_sub(self.ended.len());
        message.unfollowed.extend(self.ended.drain(..).map(|id| id.0));
        if !self.active.is_empty() && now.since(self.activity_sent_at) >= ACTIVITY_MS {
            self.activity_sent_at = now;
            message.active.extend(self.active.drain().map(|id| id.0));
        }
    }
}

fn key(principal: &Principal, rule: RuleId, outlives_token: bool, about: Option<&RequestAttributes>) -> Key {
    (principal.facts.digest, rule, outlives_token, about.map(|about| Box::new(about.digest())))
}

impl Follow {
    /// Without a wall clock it is unknown whether a token has expired; the next check might have one.
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
