//! Requests for access in memory, and the grants of sessions that come of them.
//!
//! As with narrowings, a request is published before its session is looked for, and a session that opens reads the requests
//! under the lock under which it is entered.

use super::Registry;
use crate::approvals::{AccessRequest, Asked, NotDone, Person, Requests, Rules, State, User, Why};
use crate::judge::Reason;
use crate::session::Session;
use crate::token::Token;
use portcullis_contract::SessionId;
use std::collections::BTreeSet;
use std::sync::{Arc, PoisonError, RwLockReadGuard};

/// Refused escalations that wait to become requests. More are dropped: a client repeats what it is refused.
const ESCALATIONS_MAX: usize = 1_024;

impl Registry {
    /// Publishes requests that are on disk. The next verdict on each of their sessions rests on their grants.
    pub fn put_requests(&self, changed: &[AccessRequest]) {
        let mut requests = self.requests.write().unwrap_or_else(PoisonError::into_inner);
        changed.iter().for_each(|request| requests.put(request.clone()));
        drop(requests);
        self.grant_again(changed.iter().map(|request| request.session).collect());
    }

    /// Forgets requests that are no longer on disk.
    pub fn forget_requests(&self, ids: &[String]) {
        let mut requests = self.requests.write().unwrap_or_else(PoisonError::into_inner);
        let sessions = ids.iter().filter_map(|id| requests.remove(id)).map(|request| request.session).collect();
        drop(requests);
        self.grant_again(sessions);
    }

    fn grant_again(&self, sessions: BTreeSet<SessionId>) {
        for session in sessions.into_iter().filter_map(|id| self.find(id)) {
            // Read again, for another change may have been published meanwhile.
            if self.grant_session(&session) {
                self.followers.changed(session.id);
            }
        }
    }

    /// Gives a session the grants that it has; returns whether they are others than before.
    pub(super) fn grant_session(&self, session: &Session) -> bool {
        let rules = self.approval_rules();
        session.set_grants(self.requests().grants_of(session.id, &rules))
    }

    /// The rules by which access is approved.
    pub fn approval_rules(&self) -> Arc<Rules> {
        Arc::clone(&self.approval_rules.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Replaces them. Grants whose rule has gone no longer hold.
    pub fn set_approval_rules(&self, rules: Arc<Rules>) {
        *self.approval_rules.write().unwrap_or_else(PoisonError::into_inner) = rules;
        let granted = self.requests().granted();
        self.grant_again(granted);
    }

    /// The request with that id.
    pub fn request(&self, id: &str) -> Option<AccessRequest> {
        self.requests().get(id).cloned()
    }

    /// The request that a grant has come of.
    pub fn request_of_grant(&self, id: &str) -> Option<AccessRequest> {
        self.requests().of_grant(id).cloned()
    }

    /// All requests.
    pub fn all_requests(&self) -> Vec<AccessRequest> {
        self.requests().all().cloned().collect()
    }

    /// A page of at most `limit` of the requests that are wanted, the newest first and older than `after`; each with its id,
    /// and whether there are more.
    pub fn requests_page(
        &self,
        after: Option<&str>,
        limit: usize,
        is_wanted: impl Fn(&AccessRequest) -> bool,
    ) -> (Vec<(String, AccessRequest)>, bool) {
        let requests = self.requests();
        let wanted = requests.before(after).filter(|request| is_wanted(request));
        let mut page: Vec<_> = wanted.take(limit.saturating_add(1)).cloned().collect();
        let has_more = page.len() > limit;
        page.truncate(limit);
        (page.into_iter().map(|request| (request.id.clone(), request)).collect(), has_more)
    }

    /// One that waits for the same, or whether there is room for another one.
    pub(crate) fn same_request(&self, asked: &Asked) -> Result<Option<AccessRequest>, NotDone> {
        let requests = self.requests();
        match requests.same(asked) {
            Some(same) => Ok(Some(same.clone())),
            None if requests.have_room_for(asked) => Ok(None),
            None => Err(NotDone::Full),
        }
    }

    /// What time, sessions and rules have made of open requests: those whose time is over, and those whose grants have ended.
    /// `is_changed` says that the rules have just been read: grants whose rule has gone end.
    pub(crate) fn requests_due(&self, is_changed: bool, now_ms: u64) -> Vec<(AccessRequest, Option<Why>)> {
        let rules = self.approval_rules();
        let open: Vec<AccessRequest> = self.requests().open().cloned().collect();
        let due = open.into_iter().filter_map(|request| {
            if request.state == State::Pending {
                return request.expired(now_ms).map(|expired| (expired, None));
            }
            let why = match is_changed && rules.named(&request.rule).is_none() {
                true => Why::RuleGone,
                false => self.grant_over(&request, now_ms)?,
            };
            request.ended(why, now_ms).map(|ended| (ended, Some(why)))
        });
        due.collect()
    }

    /// Why the grant of a request no longer holds.
    fn grant_over(&self, request: &AccessRequest, now_ms: u64) -> Option<Why> {
        let grant = request.grant.as_ref()?;
        if grant.until_ms.is_some_and(|until_ms| until_ms <= now_ms) {
            return Some(Why::Expired);
        }
        let ended = match self.find(request.session) {
            Some(session) => match session.ended() {
                None => return grant.over(session.instance(), session.returned, now_ms),
                Some(end) => Some(end),
            },
            // Unreadable: the next round looks again.
            None => self.store.tombstone(request.session).ok()?.and_then(|record| record.ended),
        };
        match ended?.reason {
            Reason::Revoked => Some(Why::SessionRevoked),
            // A limit that has passed may be all that a person sees of a login in between.
            Reason::IdleTimeout | Reason::LifetimeExceeded => {
                (!grant.survives_login || grant.until_ms.is_none()).then_some(Why::SessionEnded)
            }
        }
    }

    /// Those that nobody can need any more.
    pub(crate) fn requests_before(&self, before_ms: u64) -> Vec<String> {
        let requests = self.requests();
        let is_old = |request: &&AccessRequest| request.over_since_ms().is_some_and(|at_ms| at_ms < before_ms);
        requests.all().filter(is_old).map(|request| request.id.clone()).take(ESCALATIONS_MAX).collect()
    }

    /// Notes a token with scopes that its session was never granted, if somebody may approve these.
    pub(crate) fn escalates(&self, session: &Session, token: &Token) {
        let rules = self.approval_rules();
        if rules.0.is_empty() || session.subject.is_empty() {
            return;
        }
        let granted = session.granted();
        let scopes: Vec<String> = token.scopes.beyond(&granted).map(str::to_owned).collect();
        let user = User { issuer: session.issuer.to_string(), subject: session.subject.to_string() };
        let Some(rule) = rules.covering(&scopes) else {
            return self.audit.nobody_approves(session.id, &user, &scopes);
        };
        let asked = Asked {
            requester: Person { name: format!("{} {}", user.issuer, user.subject), user: Some(user.clone()) },
            session: session.id,
            user,
            scopes,
            reason: "a token had more scopes than its session was granted".to_owned(),
            ticket: None,
            duration_ms: rule.max_duration_ms,
            escalation: true,
            emergency: None,
        };
        let mut waiting = self.escalations.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.len() < ESCALATIONS_MAX {
            waiting.push(asked);
        }
    }

    /// Takes the refused escalations that are to become requests.
    pub(crate) fn take_escalations(&self) -> Vec<Asked> {
        std::mem::take(&mut *self.escalations.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// How many requests wait, and how many grants hold.
    pub fn count_requests(&self) -> (usize, usize) {
        let requests = self.requests();
        let waiting = requests.open().filter(|request| request.state == State::Pending).count();
        (waiting, requests.open().count() - waiting)
    }

    pub(super) fn requests(&self) -> RwLockReadGuard<'_, Requests> {
        self.requests.read().unwrap_or_else(PoisonError::into_inner)
    }
}
