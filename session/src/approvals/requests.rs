//! All requests for access, and the grants of each session.

use super::grant::Grants;
use super::request::{AccessRequest, Asked, State};
use super::rules::Rules;
use crate::intern::ScopeSet;
use portcullis_contract::SessionId;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Bound;

/// Requests that are kept at most, with those that are closed; and how many of these places are for emergencies only.
const COUNT_MAX: usize = 50_000;
const FOR_EMERGENCIES: usize = 1_000;

/// From how many on those that are over are forgotten before their time, the oldest first.
const COUNT_WANTED: usize = 45_000;

/// Requests of one session that wait or have a grant at most, and those of all sessions that refused escalations have made:
/// clients can cause them.
const OPEN_OF_SESSION_MAX: usize = 32;
const PENDING_ESCALATIONS_MAX: usize = 1_000;

/// All requests.
#[derive(Debug, Default)]
pub struct Requests {
    by_id: BTreeMap<String, AccessRequest>,
    of_session: HashMap<SessionId, BTreeSet<String>>,
    by_grant: HashMap<String, String>,
    /// Those that wait or have a grant that has not ended.
    open: BTreeSet<String>,
    /// Those that webhooks are to be told about, or reminded of.
    noticed: BTreeSet<String>,
}

impl Requests {
    /// Puts a request in the place of its earlier state.
    pub fn put(&mut self, request: AccessRequest) {
        let id = request.id.clone();
        self.of_session.entry(request.session).or_default().insert(id.clone());
        let is_live = request.grant.as_ref().is_some_and(|grant| grant.ended.is_none());
        if request.state == State::Pending || is_live {
            self.open.insert(id.clone());
        } else {
            self.open.remove(&id);
        }
        if !request.notices.is_empty() || request.is_to_be_reviewed() {
            self.noticed.insert(id.clone());
        } else {
            self.noticed.remove(&id);
        }
        if let Some(grant) = &request.grant {
            self.by_grant.insert(grant.id.clone(), id.clone());
        }
        self.by_id.insert(id, request);
    }

    /// Forgets a request.
    pub fn remove(&mut self, id: &str) -> Option<AccessRequest> {
        let request = self.by_id.remove(id)?;
        self.open.remove(id);
        self.noticed.remove(id);
        if let Some(grant) = &request.grant {
            self.by_grant.remove(&grant.id);
        }
        if let Some(ids) = self.of_session.get_mut(&request.session) {
            ids.remove(id);
            if ids.is_empty() {
                self.of_session.remove(&request.session);
            }
        }
        Some(request)
    }

    /// The request with that id.
    pub fn get(&self, id: &str) -> Option<&AccessRequest> {
        self.by_id.get(id)
    }

    /// The request that a grant has come of.
    pub fn of_grant(&self, id: &str) -> Option<&AccessRequest> {
        self.get(self.by_grant.get(id)?)
    }

    /// All of them, in the order of their ids.
    pub fn all(&self) -> impl Iterator<Item = &AccessRequest> {
        self.by_id.values()
    }

    /// Those before an id, the newest first.
    pub fn before(&self, id: Option<&str>) -> impl Iterator<Item = &AccessRequest> {
        let to = id.map_or(Bound::Unbounded, Bound::Excluded);
        self.by_id.range::<str, _>((Bound::Unbounded, to)).rev().map(|(_, request)| request)
    }

    /// Those that wait, and those with a grant that has not ended.
    pub fn open(&self) -> impl Iterator<Item = &AccessRequest> {
        self.open.iter().filter_map(|id| self.get(id))
    }

    /// Those that webhooks are to be told about, and those that are yet to be reviewed.
    pub fn noticed(&self) -> impl Iterator<Item = &AccessRequest> {
        self.noticed.iter().filter_map(|id| self.get(id))
    }

    fn of(&self, session: SessionId) -> impl Iterator<Item = &AccessRequest> {
        self.of_session.get(&session).into_iter().flatten().filter_map(|id| self.get(id))
    }

    /// One by which the same was asked for already.
    pub fn same(&self, asked: &Asked, now_ms: u64) -> Option<&AccessRequest> {
        self.of(asked.session).find(|request| request.is_same_as(asked, now_ms))
    }

    /// Whether there is room for another one.
    pub fn have_room_for(&self, asked: &Asked) -> bool {
        let is_escalation = |request: &&AccessRequest| request.state == State::Pending && request.escalation;
        let escalations = || self.open().filter(is_escalation).count();
        let places = if asked.emergency { COUNT_MAX } else { COUNT_MAX - FOR_EMERGENCIES };
        let of_session = self.of(asked.session).filter(|request| request.is_waiting()).count();
        self.by_id.len() < places
            && (asked.emergency || of_session < OPEN_OF_SESSION_MAX)
            && (!asked.escalation || escalations() < PENDING_ESCALATIONS_MAX)
    }

    /// At most `limit` of those that nobody can need any more: over since before an instant or, where too many are kept, the
    /// oldest that are over.
    pub fn forgettable(&self, before_ms: u64, limit: usize) -> Vec<String> {
        let mut too_many = self.by_id.len().saturating_sub(COUNT_WANTED);
        let mut is_forgettable = |request: &&AccessRequest| {
            let Some(over_ms) = request.over_since_ms() else { return false };
            let is_too_many = too_many > 0;
            too_many = too_many.saturating_sub(1);
            is_too_many || over_ms < before_ms
        };
        let found = self.by_id.values().filter(|request| is_forgettable(request));
        found.map(|request| request.id.clone()).take(limit).collect()
    }

    /// The grants of a session that have not ended, as far as their rules are still there and about their scopes.
    pub fn grants_of(&self, session: SessionId, rules: &Rules) -> Grants {
        let grants = self.of(session).filter_map(|request| {
            let grant = request.grant.as_ref().filter(|grant| grant.ended.is_none())?;
            let rule = rules.named(&request.rule)?;
            let scopes = ScopeSet::new(request.scopes.iter().filter(|scope| rule.scopes.contains(scope)));
            Some((scopes, grant.clone()))
        });
        Grants::new(grants.collect())
    }

    /// The sessions that have grants that have not ended.
    pub fn granted(&self) -> BTreeSet<SessionId> {
        self.open().filter(|request| request.grant.is_some()).map(|request| request.session).collect()
    }
}
