//! The last verdicts about each session: they decide a request when there is no new verdict.
//!
//! Every verdict of the session service passes through [`SessionMemory::record`]; [`SessionMemory::recall`] summarizes them in one
//! value for the request machine. Nothing is stored if every rule denies in an outage.

pub(super) mod known;

use super::{
    Refusal,
    bounded_cache::{BoundedCache, Bounds, Weigh},
    principal::{Principal, allocated},
    question::{Inquiry, Verdict},
    request::{Event, Request},
};
use crate::{
    answer::Code,
    policy::{Outage, Policy},
    route::RuleId,
    time::{Monotonic, Now},
    token::{SessionId, TokenDigest},
};
pub use known::Known;
use std::rc::Rc;

/// The sessions that are remembered. One with a verdict takes some 200 bytes.
const SESSIONS: Bounds = Bounds { bytes: 16 << 20, entries: 65_536 };

/// The opaque tokens whose facts are remembered. One takes as much as its endpoint says about it.
const OPAQUE: Bounds = Bounds { bytes: 8 << 20, entries: 10_000 };

/// The maximum size of the scopes that one session is remembered to have lost, in bytes: many more sessions than one must
/// have room.
const LOST_BYTES_MAX: usize = 16 << 10;

/// The maximum number of token verdicts remembered per session.
const VERDICTS_MAX: usize = 16;

/// The last verdicts about each session, and the facts of opaque tokens.
pub(super) struct SessionMemory {
    /// Whether any rule lets requests pass in an outage.
    is_needed: bool,
    /// Scopes that need a live grant: without a verdict, nobody can tell whether there is one.
    approvals: Box<[Box<str>]>,
    sessions: BoundedCache<SessionId, Session>,
    opaque: BoundedCache<TokenDigest, Rc<Principal>>,
}

#[derive(Debug, Default)]
struct Session {
    /// The session was over, or its party blocked.
    is_refused: bool,
    /// More tokens were refused, or more scopes lost, than can be remembered, so that no token of the session can be trusted
    /// any more.
    is_full: bool,
    /// Scopes that tokens have but the session has lost.
    lost: Vec<String>,
    verdicts: Vec<TokenVerdict>,
}

/// The last verdict about one token.
#[derive(Debug)]
struct TokenVerdict {
    token: TokenDigest,
    /// The rule it applies to; `None` for every rule.
    rule: Option<RuleId>,
    /// When the token was granted; `None` if it was refused.
    granted_at: Option<Monotonic>,
}

impl SessionMemory {
    pub(super) fn new(policy: &Policy) -> Self {
        Self {
            is_needed: policy.rules.iter().any(|rule| rule.limits.on_outage != Outage::Deny),
            approvals: policy.register.approvals().map(Box::from).collect(),
            sessions: BoundedCache::new(SESSIONS),
            opaque: BoundedCache::new(OPAQUE),
        }
    }

    /// What is known about a request that will get no verdict.
    pub(super) fn recall(&mut self, inquiry: &Inquiry, now: Now) -> Known {
        let (rule, _) = inquiry.about();
        match inquiry {
            Inquiry::Session(question) => self.session(&question.principal, rule, now),
            Inquiry::Token(arrival) => {
                let principal = self.opaque.get(&TokenDigest::of(&arrival.token)).cloned();
                let principal = principal
                    .filter(|principal| now.wall_ms.is_some_and(|wall_ms| wall_ms < principal.facts.dies_at_ms));
                let known = principal.as_ref().map(|principal| self.session(principal, rule, now));
                Known { principal, ..known.unwrap_or_default() }
            }
        }
    }

    /// What is known about the session of `principal`, for a request that `rule` matched.
    pub(super) fn session(&mut self, principal: &Principal, rule: RuleId, now: Now) -> Known {
        let approvals = &self.approvals;
        let Some(session) = self.sessions.get(&principal.facts.session_id) else { return Known::default() };
        let token = &principal.facts.digest;
        let granted_at = session.verdict(token, Some(rule)).and_then(|verdict| verdict.granted_at);
        let is_refused = |rule| session.verdict(token, rule).is_some_and(|verdict| verdict.granted_at.is_none());
        let scopes = &principal.facts.scopes;
        let is_lost = |scope: &String| session.lost.contains(scope) || approvals.iter().any(|held| **held == **scope);
        let is_whole = !scopes.iter().any(is_lost);
        let left = || scopes.iter().filter(|scope| !is_lost(scope)).cloned().collect();
        Known {
            principal: None,
            is_refused: session.is_refused || session.is_full || is_refused(None) || is_refused(Some(rule)),
            narrowed: (!is_whole).then(left),
            granted_ago_ms: granted_at.map(|at| now.instant.since(at)),
            upstream_token: None,
        }
    }

    /// Records what an event reveals about a request's session.
    pub(super) fn record(&mut self, request: &Request, event: &Event, policy: &Policy, now: Monotonic) {
        if !self.is_needed {
            return;
        }
        match (request, event) {
            // It is about the request, and not about its session or token.
            (_, Event::Verdict(Verdict::Ended(Refusal { code: Code::InvalidDpopProof, .. }), _)) => {}
            (
                Request::Asked(Inquiry::Session(question)),
                Event::Verdict(verdict, _) | Event::VerdictWithToken(verdict, ..),
            ) => {
                self.note(&question.principal, question.rule, verdict, policy, now);
            }
            // It is no verdict, but tells when the service last confirmed one.
            (Request::Asked(Inquiry::Session(question)), Event::Leased(leased, _)) => {
                self.confirm(&question.principal, question.rule, policy, leased.confirmed_at);
            }
            (Request::Asked(Inquiry::Token(arrival)), Event::Proven(principal, _)) => {
                self.note(principal, arrival.rule, &Verdict::Active(None), policy, now);
                self.opaque.put(principal.facts.digest, Rc::clone(principal));
            }
            (Request::Asked(Inquiry::Token(arrival)), Event::Verdict(verdict, _)) => {
                if let Some(principal) = self.opaque.get(&TokenDigest::of(&arrival.token)).cloned() {
                    self.note(&principal, arrival.rule, verdict, policy, now);
                }
            }
            (Request::Released(Some(open)), Event::Followed(verdict)) => {
                self.note(&open.principal, open.rule, verdict, policy, now);
            }
            // A request that is cut because the service is silent reveals nothing about its session.
            (Request::Released(Some(_)), Event::Overdue(Refusal { code: Code::SessionUnavailable, .. })) => {}
            (Request::Released(Some(open)), Event::Overdue(refusal)) => {
                self.note(&open.principal, open.rule, &Verdict::Ended(refusal.clone()), policy, now);
            }
            _ => {}
        }
    }

    /// The service has confirmed its last positive verdict on a token at this time. Says nothing where there is none, or where
    /// the session is known to be over by now.
    fn confirm(&mut self, principal: &Principal, rule: RuleId, policy: &Policy, at: Monotonic) {
        let has_grace = policy.rule(rule).is_some_and(|rule| matches!(rule.limits.on_outage, Outage::Grace(_)));
        let session = principal.facts.session_id;
        if has_grace && self.sessions.get(&session).is_some() {
            self.sessions.change(session, |session| session.confirm(&principal.facts.digest, rule, at));
        }
    }

    /// Records the session service's verdict on the session of `principal`, for a request that `rule` matched.
    fn note(&mut self, principal: &Principal, rule: RuleId, verdict: &Verdict, policy: &Policy, now: Monotonic) {
        let token = principal.facts.digest;
        self.sessions.change(principal.facts.session_id, |session| match verdict {
            // These only concern this rule; every other refusal applies to the token everywhere.
            Verdict::Ended(Refusal {
                code: Code::StepUpRequired | Code::ApprovalRequired | Code::ConditionFailed,
                ..
            }) => {
                session.refuse(token, Some(rule));
            }
            Verdict::Ended(refusal) => {
                session.is_refused |= refusal.code.refuses_session();
                session.refuse(token, None);
            }
            Verdict::Active(narrowed) => {
                session.is_refused = false;
                session.lose(&principal.facts.scopes, narrowed.as_deref());
                let has_grace = policy.rule(rule).is_some_and(|rule| matches!(rule.limits.on_outage, Outage::Grace(_)));
                session.grant(token, rule, has_grace.then_some(now));
            }
        });
    }
}

impl Weigh for Session {
    fn bytes(&self) -> usize {
        let verdicts = self.verdicts.capacity().saturating_mul(size_of::<TokenVerdict>());
        size_of::<Self>().saturating_add(allocated(verdicts)).saturating_add(self.lost_bytes())
    }
}

impl Session {
    fn verdict(&self, token: &TokenDigest, rule: Option<RuleId>) -> Option<&TokenVerdict> {
        self.verdicts.iter().find(|verdict| verdict.token == *token && verdict.rule == rule)
    }

    /// A refusal on every rule also removes the token's grants.
    fn refuse(&mut self, token: TokenDigest, rule: Option<RuleId>) {
        self.verdicts.retain(|verdict| verdict.token != token || rule.is_some_and(|rule| verdict.rule != Some(rule)));
        self.push(TokenVerdict { token, rule, granted_at: None });
    }

    fn grant(&mut self, token: TokenDigest, rule: RuleId, granted_at: Option<Monotonic>) {
        self.verdicts.retain(|verdict| verdict.token != token || verdict.rule.is_some_and(|known| known != rule));
        if granted_at.is_some() {
            self.push(TokenVerdict { token, rule: Some(rule), granted_at });
        }
    }

    fn confirm(&mut self, token: &TokenDigest, rule: RuleId, at: Monotonic) {
        let mut verdicts = self.verdicts.iter_mut();
        let verdict = verdicts.find(|verdict| verdict.token == *token && verdict.rule == Some(rule));
        if let Some(granted_at) = verdict.and_then(|verdict| verdict.granted_at.as_mut()) {
            *granted_at = at.max(*granted_at);
        }
    }

    fn push(&mut self, verdict: TokenVerdict) {
        if self.verdicts.len() >= VERDICTS_MAX {
            // Forgetting a grant costs availability; forgetting a refusal would release a request that is known to be
            // over.
            let oldest =
                self.verdicts.iter().enumerate().filter_map(|(at, verdict)| Some((verdict.granted_at?, at))).min();
            match oldest {
                Some((_, at)) => drop(self.verdicts.remove(at)),
                None => {
                    self.is_full |= verdict.granted_at.is_none();
                    return;
                }
            }
        }
        self.verdicts.push(verdict);
    }

    fn lost_bytes(&self) -> usize {
        let texts = self.lost.iter().map(|scope| allocated(scope.capacity()));
        texts.fold(allocated(self.lost.capacity().saturating_mul(size_of::<String>())), usize::saturating_add)
    }

    /// Records the scopes that the session has lost: those of the token that are no longer among the remaining ones.
    fn lose(&mut self, scopes: &[String], left: Option<&[String]>) {
        match left {
            None => self.lost.retain(|scope| !scopes.contains(scope)),
            Some(left) => {
                self.lost.retain(|scope| !left.contains(scope));
                for scope in scopes.iter().filter(|scope| !left.contains(scope)) {
                    if !self.lost.contains(scope) {
                        self.lost.push(scope.clone());
                    }
                }
            }
        }
        if self.lost_bytes() > LOST_BYTES_MAX {
            self.is_full = true;
            self.lost = Vec::new();
        }
    }
}

#[cfg(test)]
mod tests;
