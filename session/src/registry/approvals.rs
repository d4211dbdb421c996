//! Requests for access in memory, and the grants of sessions that come of them.
//!
//! As with narrowings, a request is published before its session is looked for, and a session that opens reads the requests
//! under the lock under which it is entered.

use super::Registry;
use crate::approvals::{AccessRequest, Asked, Grant, NotDone, Person, Requests, Rules, State, User, Why};
use crate::judge::{End, Reason};
use crate::session::Session;
use crate::token::Token;
use portcullis_contract::SessionId;
use std::collections::BTreeSet;
use std::sync::{Arc, PoisonError, RwLockReadGuard};

/// Open requests of which it is noted at a time what has become of them, and closed ones that are forgotten at a time.
const DUE_MAX: usize = 256;
const FORGOTTEN_MAX: usize = 1_024;

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
        let requests = self.requests();
        // Read under the lock, so that whoever comes last has the latest of both.
        let rules = self.approval_rules();
        session.set_grants(requests.grants_of(session.id, &rules))
    }

    /// The rules by which access is approved.
    pub fn approval_rules(&self) -> Arc<Rules> {
        Arc::clone(&self.approval_rules.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Replaces them. Grants whose rule has gone no longer hold.
    pub fn set_approval_rules(&self, rules: Arc<Rules>) {
        let requests = self.requests.write().unwrap_or_else(PoisonError::into_inner);
        *self.approval_rules.write().unwrap_or_else(PoisonError::into_inner) = rules;
        let granted = requests.granted();
        drop(requests);
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

    /// One by which the same was asked for already, or whether there is room for another one.
    pub(crate) fn same_request(&self, asked: &Asked, now_ms: u64) -> Result<Option<AccessRequest>, NotDone> {
        let requests = self.requests();
        match requests.same(asked, now_ms) {
            Some(same) => Ok(Some(same.clone())),
            None if requests.have_room_for(asked) => Ok(None),
            None => Err(NotDone::Full),
        }
    }

    /// What time, sessions and rules have made of open requests, at most [`DUE_MAX`] of them: those whose time is over, and
    /// those whose grants have ended. `is_changed` says that the rules have just been read: grants end whose rule has gone, or
    /// is no longer about their scopes.
    pub(crate) fn requests_due(&self, is_changed: bool, now_ms: u64) -> Vec<(AccessRequest, Option<Why>)> {
        let rules = self.approval_rules();
        let open: Vec<AccessRequest> = self.requests().open().cloned().collect();
        let due = open.into_iter().filter_map(|request| {
            if request.state == State::Pending {
                let is_over = self.is_over(&request);
                return request.expired(is_over, now_ms).map(|expired| (expired, None));
            }
            let has_rule = || rules.named(&request.rule).is_some_and(|rule| rule.covers(&request.scopes));
            let why = match is_changed && !has_rule() {
                true => Why::RuleGone,
                false => self.grant_over(&request, now_ms)?,
            };
            request.ended(why, now_ms).map(|ended| (ended, Some(why)))
        });
        due.take(DUE_MAX).collect()
    }

    /// Whether the life is over that a session was in when access was asked for.
    fn is_over(&self, request: &AccessRequest) -> bool {
        match self.find(request.session) {
            Some(session) => {
                session.ended().is_some() || session.instance().returned_ms != request.asked_in.returned_ms
            }
            None => self.end_on_disk(request.session).is_some(),
        }
    }

    /// How a session has ended that is not in memory. One that the disk does not know is no end: after a crash, its next token
    /// opens it again. What is unreadable is looked at again in the next round.
    fn end_on_disk(&self, session: SessionId) -> Option<End> {
        self.store.tombstone(session).ok()?.and_then(|record| record.ended)
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
            None => self.end_on_disk(request.session),
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
        self.requests().forgettable(before_ms, FORGOTTEN_MAX)
    }

    /// Notes a token with scopes that its session was never granted, if somebody may approve these. Returns whether it need not
    /// be noted again.
    pub(crate) fn escalates(&self, session: &Session, token: &Token, now_ms: u64) -> bool {
        let rules = self.approval_rules();
        if rules.0.is_empty() || session.subject.is_empty() {
            return true;
        }
        let (granted, approved) = (session.granted(), session.live_grants(now_ms));
        // What is approved for one request waits for that one, and no longer counts once it has come.
        let is_approved = |scope: &str| approved.iter().any(|(scopes, grant)| grant.is_open() && scopes.holds(scope));
        let beyond = token.scopes.beyond(&granted).filter(|scope| !is_approved(scope));
        let mut scopes: Vec<String> = beyond.map(str::to_owned).collect();
        scopes.sort_unstable();
        if scopes.is_empty() {
            return true;
        }
        let user = User { issuer: session.issuer.to_string(), subject: session.subject.to_string() };
        let Some(parts) = rules.parts(&scopes) else {
            self.audit.nobody_approves(session.id, &user, &scopes);
            return true;
        };
        let mut waiting = self.escalations.lock().unwrap_or_else(PoisonError::into_inner);
        parts.into_iter().all(|(rule, scopes)| {
            let user = user.clone();
            let asked = Asked {
                requester: Person { name: format!("{} {}", user.issuer, user.subject), user: Some(user.clone()) },
                session: session.id,
                asked_in: session.instance(),
                user,
                scopes,
                reason: "a token had more scopes than its session was granted".to_owned(),
                ticket: None,
                duration_ms: rule.max_duration_ms,
                escalation: true,
                emergency: false,
                rule: rule.clone(),
            };
            let is_same = |other: &Asked| other.session == asked.session && other.scopes == asked.scopes;
            let is_waiting = waiting.iter().any(is_same);
            let has_room = is_waiting || waiting.len() < ESCALATIONS_MAX;
            if has_room && !is_waiting {
                waiting.push(asked);
            }
            has_room
        })
    }

    /// Takes the refused escalations that are to become requests.
    pub(crate) fn take_escalations(&self) -> Vec<Asked> {
        std::mem::take(&mut *self.escalations.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// How many requests wait, and how many grants hold.
    pub fn count_requests(&self) -> (usize, usize) {
        let requests = self.requests();
        let waiting = requests.open().filter(|request| request.state == State::Pending).count();
        let live = |request: &&AccessRequest| request.grant.as_ref().is_some_and(Grant::is_open);
        (waiting, requests.open().filter(live).count())
    }

    pub(super) fn requests(&self) -> RwLockReadGuard<'_, Requests> {
        self.requests.read().unwrap_or_else(PoisonError::into_inner)
    }
}
