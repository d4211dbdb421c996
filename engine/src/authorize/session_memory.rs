//! What was last heard of each session: all that decides a request without a verdict.
//!
//! Every word of the session service passes through [`LastHeard::hear`]; [`LastHeard::of`] gives the request machine one
//! value to judge by. Nothing is kept where every rule refuses in an outage.

use super::{
    principal::Principal,
    question::{Inquiry, Verdict},
    request::{Event, Request},
};
use crate::{
    answer::Code,
    policy::{Outage, Policy},
    route::RuleId,
    time::{Monotonic, Now},
    token::TokenDigest,
};
use lru::LruCache;
use std::{num::NonZeroUsize, rc::Rc};

/// Sessions that are remembered.
const SESSIONS_MAX: NonZeroUsize = NonZeroUsize::new(65_536).unwrap();

/// Opaque tokens of which it is remembered what they meant.
const OPAQUE_MAX: NonZeroUsize = NonZeroUsize::new(10_000).unwrap();

/// Words about single tokens that are remembered of one session.
const WORDS_MAX: usize = 16;

/// What is known of a request's session when there is no verdict.
#[derive(Debug, Clone, Default)]
pub struct Known {
    /// What an opaque token meant when it was last good.
    pub principal: Option<Rc<Principal>>,
    /// The session was over, or this token refused, when it was last asked about.
    pub is_refused: bool,
    /// The scopes that the session had left, if fewer than the token's.
    pub narrowed: Option<Rc<[String]>>,
    /// How long ago the same token was granted the same rule, in milliseconds.
    pub granted_ago_ms: Option<u64>,
}

/// What was last heard of each session, and what opaque tokens meant.
pub(super) struct LastHeard {
    /// Whether any rule lets requests pass in an outage.
    is_needed: bool,
    sessions: LruCache<String, Session>,
    opaque: LruCache<TokenDigest, Rc<Principal>>,
}

#[derive(Debug, Default)]
struct Session {
    /// It was over.
    is_over: bool,
    /// More tokens were refused than are remembered: none is good enough any more.
    is_full: bool,
    /// Scopes that tokens have and the session has lost.
    lost: Vec<String>,
    words: Vec<Word>,
}

/// The last word about one token.
#[derive(Debug)]
struct Word {
    token: TokenDigest,
    /// On this rule; none: everywhere.
    rule: Option<RuleId>,
    /// When it was granted; none: it was refused.
    granted_at: Option<Monotonic>,
}

impl LastHeard {
    pub(super) fn new(policy: &Policy) -> Self {
        Self {
            is_needed: policy.rules.iter().any(|rule| rule.limits.on_outage != Outage::Deny),
            sessions: LruCache::sparse(SESSIONS_MAX),
            opaque: LruCache::sparse(OPAQUE_MAX),
        }
    }

    /// What is known for a request that will have no verdict.
    pub(super) fn of(&mut self, inquiry: &Inquiry, now: Now) -> Known {
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

    fn session(&mut self, principal: &Principal, rule: RuleId, now: Now) -> Known {
        let Some(session) = self.sessions.get(&principal.facts.session_id) else { return Known::default() };
        let token = &principal.facts.digest;
        let granted_at = session.word(token, Some(rule)).and_then(|word| word.granted_at);
        let is_refused = |rule| session.word(token, rule).is_some_and(|word| word.granted_at.is_none());
        let scopes = &principal.facts.scopes;
        let is_whole = !scopes.iter().any(|scope| session.lost.contains(scope));
        let left = || scopes.iter().filter(|scope| !session.lost.contains(scope)).cloned().collect();
        Known {
            principal: None,
            is_refused: session.is_over || session.is_full || is_refused(None) || is_refused(Some(rule)),
            narrowed: (!is_whole).then(left),
            granted_ago_ms: granted_at.map(|at| now.instant.since(at)),
        }
    }

    /// Takes note of what an event tells of a request's session.
    pub(super) fn hear(&mut self, request: &Request, event: &Event, policy: &Policy, now: Monotonic) {
        if !self.is_needed {
            return;
        }
        match (request, event) {
            (Request::Asked(Inquiry::Session(question)), Event::Verdict(verdict, _)) => {
                self.note(&question.principal, question.rule, verdict, policy, now);
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
            // A request that is cut because nobody was heard tells nothing of its session.
            (Request::Released(Some(_)), Event::Overdue(Code::SessionUnavailable)) => {}
            (Request::Released(Some(open)), Event::Overdue(code)) => {
                self.note(&open.principal, open.rule, &Verdict::Ended(*code), policy, now);
            }
            _ => {}
        }
    }

    /// The session service has spoken of the session of `principal`, for a request that `rule` answers.
    fn note(&mut self, principal: &Principal, rule: RuleId, verdict: &Verdict, policy: &Policy, now: Monotonic) {
        let id = &principal.facts.session_id;
        if !self.sessions.contains(id) {
            self.sessions.put(id.clone(), Session::default());
        }
        let Some(session) = self.sessions.get_mut(id) else { return };
        let token = principal.facts.digest;
        match verdict {
            // A step-up is asked of this rule alone; everything else is true of the token everywhere.
            Verdict::Ended(Code::StepUpRequired) => session.refuse(token, Some(rule)),
            Verdict::Ended(code) => {
                session.is_over |= code.ends_session();
                session.refuse(token, None);
            }
            Verdict::Active(narrowed) => {
                session.is_over = false;
                session.lose(&principal.facts.scopes, narrowed.as_deref());
                let has_grace = policy.rule(rule).is_some_and(|rule| matches!(rule.limits.on_outage, Outage::Grace(_)));
                session.grant(token, rule, has_grace.then_some(now));
            }
        }
    }
}

impl Session {
    fn word(&self, token: &TokenDigest, rule: Option<RuleId>) -> Option<&Word> {
        self.words.iter().find(|word| word.token == *token && word.rule == rule)
    }

    /// A refusal everywhere takes the token's grants with it.
    fn refuse(&mut self, token: TokenDigest, rule: Option<RuleId>) {
        self.words.retain(|word| word.token != token || rule.is_some_and(|rule| word.rule != Some(rule)));
        self.push(Word { token, rule, granted_at: None });
    }

    fn grant(&mut self, token: TokenDigest, rule: RuleId, granted_at: Option<Monotonic>) {
        self.words.retain(|word| word.token != token || word.rule.is_some_and(|known| known != rule));
        if granted_at.is_some() {
            self.push(Word { token, rule: Some(rule), granted_at });
        }
    }

    fn push(&mut self, word: Word) {
        if self.words.len() >= WORDS_MAX {
            // Forgetting a grant costs availability, forgetting a refusal would release what is known to be over.
            let oldest = self.words.iter().enumerate().filter_map(|(at, word)| Some((word.granted_at?, at))).min();
            match oldest {
                Some((_, at)) => drop(self.words.remove(at)),
                None => {
                    self.is_full |= word.granted_at.is_none();
                    return;
                }
            }
        }
        self.words.push(word);
    }

    /// What a token with these scopes still has tells which of them the session has lost.
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
    }
}

#[cfg(test)]
mod tests;
