//! A token bound to its session, and the one path by which it is answered: stream questions, follows and introspection
//! all bind and answer here, and the judge decides.

mod once;

pub(crate) use once::Once;
use once::Pass;

use crate::approvals::Grant;
use crate::attributes::Contexts;
use crate::audit::{Audit, Condition, EndedBy, RefusedQuestion, StepUp};
use crate::conditions::{Asking, Decided, Marks, Mode, Of};
use crate::intern::ScopeSet;
use crate::judge::{Asked, Facts, Judgement, Known, Reason, Refusal, judge_on};
use crate::registry::{Binding, FirstUse, LookUp, LookedUp, Registry};
use crate::session::Session;
use crate::token::Token;
use portcullis_contract::Requirement;
use portcullis_contract::wire::{Outcome, Scopes, Verdict};
use std::sync::Arc;

/// An answer to a question.
#[derive(Debug)]
pub(crate) struct Answer {
    /// The verdict, without an id.
    pub(crate) verdict: Verdict,
    /// A session that must be on disk before the verdict is sent: the verdict depends on an end that would be unknown after
    /// a crash.
    pub(crate) awaits: Option<Arc<Session>>,
    /// After how many milliseconds it may be another one although nothing was changed: a grant ends, a fact expires, or a
    /// condition depends on the time.
    pub(crate) again_in_ms: Option<u64>,
    /// When the first of the grants ends that it rests on.
    pub(crate) grant_until_ms: Option<u64>,
    /// The condition that refuses, or would refuse.
    pub(crate) condition: Option<Condition>,
    /// Grants for one request that it rests on. With [`Once::Takes`], they must be noted as used, on disk, before the verdict is
    /// sent.
    pub(crate) once: Vec<String>,
}

/// What the route of a question requires, besides its limits.
#[derive(Clone, Copy, Default)]
pub(crate) struct Required<'r> {
    /// Scopes. Whoever asks looks at them as well: without them, what is asked is not activity.
    pub(crate) scopes: Option<&'r Requirement<String>>,
    /// Authentication contexts, one of which is required; empty: none.
    pub(crate) acr: &'r [String],
    /// What grants for one request mean to it.
    pub(crate) once: Once<'r>,
    /// What conditions are asked; `None`: nothing.
    pub(crate) conditions: Option<Asking<'r>>,
}

/// A token, and how it relates to its session.
pub(crate) struct BoundToken {
    token: Arc<Token>,
    is_verified: bool,
    /// It is only bound to end its session.
    ends: bool,
    /// Those of its scopes that its session needs a live grant of.
    held_back: ScopeSet,
    state: State,
    /// It names no session because its first question was not activity.
    awaits_activity: bool,
    /// It was blocked until this instant when it was bound, so its session has not heard of it.
    blocked_until_ms: Option<u64>,
    /// The refusals that the audit has received: one bit for each outcome.
    reported: u32,
    /// Those by conditions: one bit for each that refuses or would refuse. Two may share one.
    reported_conditions: u64,
    /// Somebody was asked to approve its scopes, in this generation of its session: after a grant, he can be asked again.
    asked_in: Option<u32>,
}

enum State {
    Unbound,
    /// Its session was in memory when it was bound.
    Session(Standing),
    /// There was none in memory.
    None(Known, Epochs),
}

/// The epochs of the registry: rules for parties, and openings.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Epochs {
    rules: u64,
    openings: u64,
}

/// How a token relates to its session.
struct Standing {
    session: Arc<Session>,
    /// A refusal by an end that existed at binding is valid for these epochs.
    over_since: Option<Epochs>,
    rules_epoch: u64,
    blocked_until_ms: Option<u64>,
    is_blocked: bool,
    is_revoked: bool,
    is_same_party: bool,
    is_other_subject: bool,
    compared: Compared,
    /// What conditions say about it on the routes that it was used on.
    marks: Marks,
}

impl BoundToken {
    /// A token that its caller has verified, before the first question about it.
    pub(crate) fn new(token: Arc<Token>) -> Self {
        Self {
            token,
            is_verified: true,
            ends: false,
            held_back: ScopeSet::default(),
            state: State::Unbound,
            awaits_activity: false,
            blocked_until_ms: None,
            reported: 0,
            reported_conditions: 0,
            asked_in: None,
        }
    }

    /// A token that nobody has verified.
    pub(crate) fn unverified(token: Arc<Token>) -> Self {
        Self { is_verified: false, ..Self::new(token) }
    }

    /// A token whose caller, trusted with its session, wants it ended. Nobody has to have verified it.
    pub(crate) fn to_be_ended(token: Arc<Token>) -> Self {
        Self { ends: true, ..Self::new(token) }
    }

    /// The same token, of whose scopes those among `approvals` need a live grant.
    pub(crate) fn holding_back(self, approvals: &ScopeSet) -> Self {
        Self { held_back: self.token.scopes.common(approvals), ..self }
    }

    pub(crate) fn token(&self) -> &Arc<Token> {
        &self.token
    }

    /// Its session, if that is live and the token belongs to it.
    pub(crate) fn live_session(&self) -> Option<&Arc<Session>> {
        match &self.state {
            State::Session(standing) if self.is_verified && !standing.is_blocked => {
                Some(&standing.session).filter(|session| session.ended().is_none() && standing.may_speak(&self.token))
            }
            State::Session(_) | State::Unbound | State::None(..) => None,
        }
    }

    /// Whether its caller has verified it.
    pub(crate) fn is_verified(&self) -> bool {
        self.is_verified
    }

    /// How often what its session holds has changed.
    pub(crate) fn generation(&self) -> u32 {
        match &self.state {
            State::Session(standing) => standing.compared.generation,
            State::Unbound | State::None(..) => 0,
        }
    }

    /// Whether the token has this scope, and its session still does.
    pub(crate) fn holds(&self, scope: &str) -> bool {
        let left = match &self.state {
            State::Session(standing) => standing.compared.narrowed.as_deref(),
            State::Unbound | State::None(..) => None,
        };
        match left {
            Some(left) => left.iter().any(|held| held == scope),
            None => self.token.scopes.holds(scope),
        }
    }

    /// Whether it was bound.
    pub(crate) fn is_bound(&self) -> bool {
        !matches!(self.state, State::Unbound)
    }

    /// Whether it must be bound: it never was, another session may have opened since, this question may open one, or it was
    /// blocked and no longer is.
    pub(crate) fn is_outdated(&self, registry: &Registry, touches: bool, now_ms: u64) -> bool {
        if self.blocked_until_ms.is_some_and(|until_ms| registry.has_run_out(until_ms, now_ms)) {
            return true;
        }
        if self.awaits_activity && (touches || registry.find(self.token.id).is_some()) {
            return true;
        }
        match &self.state {
            State::Unbound => true,
            State::Session(Standing { session, over_since: None, rules_epoch, .. }) => {
                let may_be_lifted = self.blocked_until_ms.is_some() && *rules_epoch != registry.rules_epoch();
                session.ended().is_some() || may_be_lifted
            }
            State::Session(Standing { over_since: Some(epochs), .. }) | State::None(_, epochs) => {
                *epochs != Epochs::of(registry)
            }
        }
    }

    /// Looks up its session, which opens when this is its first use; `touches` says that the use is activity. The error
    /// is a look-up on disk that has to be made first.
    pub(crate) fn bind(
        &mut self,
        registry: &Registry,
        touches: bool,
        looked_up: Option<&LookedUp>,
        now_ms: u64,
    ) -> Result<(), LookUp> {
        let first_use = match (self.is_verified, touches) {
            _ if self.ends => FirstUse::Ends,
            (false, _) => FirstUse::Nothing,
            (true, false) => FirstUse::Opens,
            (true, true) => FirstUse::Touches,
        };
        // Read before binding: a change in between is seen at the next question.
        let epochs = Epochs::of(registry);
        let binding = registry.bind(&self.token, first_use, looked_up, now_ms)?;
        let is_absent = matches!(binding, Binding::Absent);
        let mut blocked_until_ms = None;
        self.state = match binding {
            Binding::Session(session) => {
                let mut standing = Standing::new(session, (&self.token, &self.held_back), registry, epochs, now_ms);
                blocked_until_ms = standing.blocked_until_ms;
                // A blocked token neither touches its session nor adds to it, but it may end it.
                let is_heard = self.is_verified && (self.ends || blocked_until_ms.is_none());
                if is_heard && standing.may_speak(&self.token) {
                    standing.grow((&self.token, &self.held_back), registry, now_ms);
                    if !standing.compared.escalates {
                        registry.note(&standing.session, &self.token);
                    }
                }
                State::Session(standing)
            }
            Binding::Over(end) => State::None(Known::Over(end), epochs),
            Binding::Blocked(until_ms) => {
                blocked_until_ms = Some(until_ms);
                State::None(Known::Blocked, epochs)
            }
            Binding::Revoked => State::None(Known::Revoked, epochs),
            Binding::Undated => State::None(Known::Undated, epochs),
            Binding::Unknown | Binding::Absent => State::None(Known::Nothing, epochs),
        };
        self.awaits_activity = is_absent;
        self.blocked_until_ms = blocked_until_ms;
        Ok(())
    }

    /// Answers a question about it. One that was never bound names no session.
    pub(crate) fn answer(&mut self, registry: &Registry, asked: Asked, required: Required<'_>, now_ms: u64) -> Answer {
        let mut pass = None;
        let known = match &mut self.state {
            State::Unbound => Known::Nothing,
            State::None(known, _) => *known,
            State::Session(standing) => {
                let token = (&*self.token, &self.held_back);
                standing.refresh(token, registry, now_ms);
                let facts =
                    |compared: &Compared| standing.facts(compared, &self.token, self.is_verified, required, now_ms);
                let own = facts(&standing.compared);
                if own.escalates || own.is_unapproved {
                    pass = standing.pass(token, required, now_ms);
                }
                Known::Session(pass.as_ref().map_or(own, |pass| facts(&pass.compared)))
            }
        };
        let mut condition = None;
        let mut decided_again_ms = None;
        let decide = || {
            let State::Session(standing) = &mut self.state else { return None };
            let asking = required.conditions?;
            let decided = standing.decide(&self.token, &asking, pass.as_ref(), registry, now_ms);
            decided_again_ms = decided.again_at_ms;
            let (refused, mode) = (decided.refused?, asking.on.mode());
            let refusal = (mode == Mode::Enforce).then(|| refused.refusal());
            condition = Some(Condition { refused, mode });
            refusal
        };
        let judgement = judge_on(&known, asked, decide, now_ms);
        let session = match &self.state {
            State::Session(standing) => Some(standing),
            State::Unbound | State::None(..) => None,
        };
        let rests_on_end = matches!(judgement, Judgement::Ended(_) | Judgement::Refused(Refusal::Outlived(_)));
        let verdict = match judgement {
            Judgement::Active { remaining_ms, idle_ms, touches } => {
                // One that is yet to take a grant may be refused, and a refused question is not activity.
                let takes = pass.is_some() && required.once == Once::Takes;
                if let Some(standing) = session.filter(|_| touches && !takes) {
                    registry.touch(&standing.session, now_ms);
                }
                let compared = pass.as_ref().map(|pass| &pass.compared).or(session.map(|standing| &standing.compared));
                let left = compared.and_then(|compared| compared.narrowed.clone());
                let narrowed = left.map(|scopes| Scopes { scopes });
                Verdict { outcome: Outcome::Active as i32, remaining_ms, idle_ms, narrowed, ..Verdict::default() }
            }
            Judgement::Ended(end) => {
                let stands = session.and_then(|standing| {
                    registry.end(&standing.session, end, EndedBy::Judge);
                    // Another end may have been first: that one is the session's.
                    standing.session.ended()
                });
                refusal(outcome_of(stands.unwrap_or(end).reason))
            }
            Judgement::Refused(refused) => refusal(match refused {
                Refusal::UnknownSession => Outcome::UnknownSession,
                Refusal::Blocked => Outcome::Blocked,
                Refusal::Revoked => Outcome::Revoked,
                Refusal::Undated => Outcome::Undated,
                Refusal::Outlived(reason) => outcome_of(reason),
                Refusal::ScopeEscalation => Outcome::ScopeEscalation,
                Refusal::ApprovalRequired => Outcome::ApprovalRequired,
                Refusal::StepUpRequired => Outcome::StepUpRequired,
                Refusal::RouteIdle => Outcome::IdleTimeout,
                Refusal::ConditionFailed => Outcome::ConditionFailed,
            }),
        };
        let verdict = match &condition {
            Some(Condition { refused, mode: Mode::Enforce }) => {
                Verdict { condition: Some(refused.to_wire()), ..verdict }
            }
            Some(_) | None => verdict,
        };
        let is_lost = |session: &&Arc<Session>| rests_on_end && !session.life().stage().is_durable();
        let awaits = session.map(|standing| &standing.session).filter(is_lost).cloned();
        let compared = pass.as_ref().map(|pass| &pass.compared).or(session.map(|standing| &standing.compared));
        let ends_ms = compared.and_then(|compared| compared.grant_until_ms);
        let again_at_ms = [ends_ms, decided_again_ms].into_iter().flatten().min();
        let again_in_ms = again_at_ms.map(|at_ms| at_ms.saturating_sub(now_ms));
        let once = pass.filter(|_| verdict.outcome() == Outcome::Active).map(|pass| pass.grants).unwrap_or_default();
        self.release();
        Answer { verdict, awaits, again_in_ms, grant_until_ms: ends_ms, condition, once }
    }

    /// Whether every request with it, on a route about which conditions are asked, is allowed by them: see
    /// [`Asking::leasable`]. It must have just been answered.
    pub(crate) fn leasable(&mut self, registry: &Registry, asking: &Asking<'_>, now_ms: u64) -> Option<Option<u64>> {
        let State::Session(Standing { session, compared, marks, .. }) = &mut self.state else { return None };
        let (left, contexts) = (compared.narrowed.as_deref(), &compared.contexts);
        asking.leasable(marks, &Of { registry, session, token: &self.token, left, once: &[], contexts }, now_ms)
    }

    /// Drops an ended session whose end is on disk: an old token must not keep it in memory.
    fn release(&mut self) {
        if let State::Session(Standing { session, over_since: Some(epochs), .. }) = &self.state
            && session.life().stage().is_durable()
            && let Some(end) = session.ended()
        {
            self.state = State::None(Known::Over(end), *epochs);
        }
    }

    /// The session that refuses its token, because the session came back after an end and the token is from before that
    /// end.
    pub(crate) fn successor(&self) -> Option<&Arc<Session>> {
        match &self.state {
            State::Session(standing) if standing.session.ended().is_none() => {
                Some(&standing.session).filter(|_| standing.outlived(&self.token).is_some())
            }
            State::Session(_) | State::Unbound | State::None(..) => None,
        }
    }

    /// Whether the token may end its session: it is not from before an end that the session came back after.
    pub(crate) fn may_end(&self) -> bool {
        match &self.state {
            State::Session(standing) => {
                let speaks = !standing.is_revoked && standing.outlived(&self.token).is_none();
                !standing.is_other_subject && (speaks || standing.session.ended().is_some())
            }
            State::None(known, _) => matches!(known, Known::Over(_)),
            State::Unbound => false,
        }
    }

    /// The authentication contexts that its session's login counts as; empty: what the token says.
    pub(crate) fn contexts(&self, now_ms: u64) -> Vec<String> {
        match &self.state {
            State::Session(standing) => {
                standing.compared.contexts.of(standing.session.bearer(), now_ms).map(str::to_owned).collect()
            }
            State::Unbound | State::None(..) => Vec::new(),
        }
    }

    /// Reports a refusal to the audit, once for each outcome. `asked` is the question that was refused.
    pub(crate) fn report(
        &mut self,
        outcome: Outcome,
        route: &str,
        asked: (Asked, Required<'_>),
        audit: &Audit,
        now_ms: u64,
    ) {
        let bit = 1 << outcome as u32;
        if self.reported & bit == 0 {
            self.reported |= bit;
            audit.refused(self.refused(outcome, route, asked, now_ms));
        }
    }

    /// What a route asks of the session's login and that does not meet. The judge looks at both in this order.
    fn step_up(&self, (asked, required): (Asked, Required<'_>), now_ms: u64) -> Option<StepUp> {
        let State::Session(Standing { session, compared, .. }) = &self.state else { return None };
        let mut contexts = compared.contexts.of(session.bearer(), now_ms);
        let is_accepted = |context: &str| required.acr.iter().any(|accepted| accepted == context);
        if let Some(had) = contexts.find(|context| !required.acr.is_empty() && !is_accepted(context)) {
            return Some(StepUp::Acr { wanted: required.acr.join(" "), had: had.to_owned() });
        }
        let wanted_ms = asked.max_age_ms?;
        Some(StepUp::MaxAge { wanted_s: wanted_ms / 1_000, login_at_ms: session.login_at_ms() })
    }

    /// Reports what a condition refuses, or would refuse, once for each.
    pub(crate) fn report_condition(&mut self, condition: &Condition, route: &str, audit: &Audit, now_ms: u64) {
        let bit = 1 << (condition.digest() % u64::from(u64::BITS));
        if self.reported_conditions & bit == 0 {
            self.reported_conditions |= bit;
            let outcome = condition.refused.outcome();
            audit.refused(RefusedQuestion {
                token: &self.token,
                outcome,
                route,
                granted: None,
                step_up: None,
                condition: Some(condition),
                now_ms,
            });
        }
    }

    /// Has somebody asked whether its session may have the scopes beyond its grant, once.
    pub(crate) fn ask_for_approval(&mut self, registry: &Registry, now_ms: u64) {
        if let State::Session(standing) = &self.state {
            let generation = standing.compared.generation;
            if self.asked_in != Some(generation) && registry.escalates(&standing.session, &self.token, now_ms) {
                self.asked_in = Some(generation);
            }
        }
    }

    /// A refusal of this token, for the audit.
    pub(crate) fn refused<'r>(
        &'r self,
        outcome: Outcome,
        route: &'r str,
        asked: (Asked, Required<'_>),
        now_ms: u64,
    ) -> RefusedQuestion<'r> {
        let granted = match &self.state {
            State::Session(standing) if outcome == Outcome::ScopeEscalation => Some(standing.session.granted()),
            State::Session(_) | State::Unbound | State::None(..) => None,
        };
        let step_up = match outcome {
            Outcome::StepUpRequired => self.step_up(asked, now_ms),
            _ => None,
        };
        RefusedQuestion { token: &self.token, outcome, route, granted, step_up, condition: None, now_ms }
    }
}

impl Standing {
    fn new(
        session: Arc<Session>,
        (token, held_back): (&Token, &ScopeSet),
        registry: &Registry,
        epochs: Epochs,
        now_ms: u64,
    ) -> Self {
        let compared = Compared::of(&session, token, held_back, now_ms);
        let blocked_until_ms = registry.blocked_until_ms(token, now_ms);
        Self {
            over_since: session.ended().map(|_| epochs),
            rules_epoch: epochs.rules,
            blocked_until_ms,
            is_blocked: blocked_until_ms.is_some(),
            is_revoked: registry.is_revoked(token),
            // One that the admin API opened without a subject is anybody's who has its key.
            is_other_subject: !session.subject.is_empty() && session.subject != token.subject,
            is_same_party: session.subject == token.subject && session.client == token.client,
            session,
            compared,
            marks: Marks::default(),
        }
    }

    /// Updates what may have changed since. If nothing has, as nearly always, this takes no lock.
    fn refresh(&mut self, (token, held_back): (&Token, &ScopeSet), registry: &Registry, now_ms: u64) {
        let epoch = registry.rules_epoch();
        if self.rules_epoch != epoch {
            self.rules_epoch = epoch;
            self.is_revoked = registry.is_revoked(token);
            self.blocked_until_ms = registry.blocked_until_ms(token, now_ms);
        }
        self.is_blocked = self.blocked_until_ms.is_some_and(|until_ms| !registry.has_run_out(until_ms, now_ms));
        let is_over = self.compared.grant_until_ms.is_some_and(|at_ms| at_ms <= now_ms);
        if is_over || self.compared.generation != self.session.generation() {
            self.compared = Compared::of(&self.session, token, held_back, now_ms);
        }
    }

    /// Grants the session the token's further scopes, if its access type allows that.
    fn grow(&mut self, (token, held_back): (&Token, &ScopeSet), registry: &Registry, now_ms: u64) {
        if self.compared.escalates && self.session.ended().is_none() && registry.grow(&self.session, token) {
            self.compared = Compared::of(&self.session, token, held_back, now_ms);
        }
    }

    /// Asks the conditions, with what the question is released by.
    fn decide(
        &mut self,
        token: &Token,
        asking: &Asking<'_>,
        pass: Option<&Pass>,
        registry: &Registry,
        now_ms: u64,
    ) -> Decided {
        // What is marked is about the session without grants for one request.
        let mut with_pass = Marks::default();
        let marks = if pass.is_some() { &mut with_pass } else { &mut self.marks };
        let compared = pass.map_or(&self.compared, |pass| &pass.compared);
        let (left, contexts) = (compared.narrowed.as_deref(), &compared.contexts);
        let once = pass.map_or(&[][..], |pass| &pass.grants);
        asking.decide(marks, &Of { registry, session: &self.session, token, left, once, contexts }, now_ms)
    }

    fn facts(
        &self,
        compared: &Compared,
        token: &Token,
        is_verified: bool,
        required: Required<'_>,
        now_ms: u64,
    ) -> Facts {
        let session = &self.session;
        let left = compared.narrowed.as_deref();
        let login_at_ms = session.login_at_ms();
        let is_covered = left
            .zip(required.scopes)
            .is_none_or(|(left, requirement)| requirement.met_by(|scope| left.contains(scope)));
        let with_approvals = compared.with_approvals.as_deref().zip(required.scopes);
        Facts {
            ended: session.ended(),
            outlived: self.outlived(token),
            login_at_ms,
            last_seen_ms: session.last_seen_ms(),
            limits: session.access.limits,
            is_blocked: self.is_blocked,
            is_revoked: self.is_revoked,
            escalates: compared.escalates,
            is_verified,
            is_same_party: self.is_same_party,
            is_other_subject: self.is_other_subject,
            is_covered,
            is_too_weak: !required.acr.is_empty()
                && compared.contexts.are_beyond(required.acr, session.bearer(), now_ms),
            is_unapproved: !is_covered
                && with_approvals.is_some_and(|(all, requirement)| requirement.met_by(|scope| all.contains(scope))),
        }
    }

    /// The end that the session came back after, if the token is from before that end.
    fn outlived(&self, token: &Token) -> Option<crate::judge::End> {
        self.session.returned.filter(|_| token.returns_from_ms() <= self.session.returned_from_ms)
    }

    /// Whether the token belongs to the session, apart from its scopes.
    fn may_speak(&self, token: &Token) -> bool {
        !self.is_other_subject && !self.is_revoked && self.outlived(token).is_none()
    }
}

impl Epochs {
    fn of(registry: &Registry) -> Self {
        Self { rules: registry.rules_epoch(), openings: registry.openings_epoch() }
    }
}

/// A token's scopes compared with its session's.
struct Compared {
    /// The generation of the session that the other fields were computed for.
    generation: u32,
    /// It has scopes that the session was never granted.
    escalates: bool,
    /// The scopes that are left of the token's, when they are fewer.
    narrowed: Option<Vec<String>>,
    /// The same with those that somebody has yet to approve, if there are any.
    with_approvals: Option<Vec<String>>,
    /// When the first of the grants ends that this rests on.
    grant_until_ms: Option<u64>,
    /// What the session's logins count as.
    contexts: Contexts,
}

impl Compared {
    fn of(session: &Session, token: &Token, held_back: &ScopeSet, now_ms: u64) -> Self {
        Self::counting(session, (token, held_back), now_ms, |grant| !grant.once)
    }

    /// The same, by the grants that count.
    fn counting(
        session: &Session,
        (token, held_back): (&Token, &ScopeSet),
        now_ms: u64,
        counts: impl Fn(&Grant) -> bool,
    ) -> Self {
        // Read in this order: what changes in between has a newer generation.
        let (generation, scopes) = session.scopes();
        let mut grants = session.live_grants(now_ms);
        grants.retain(|(_, grant)| counts(grant));
        let approved = ScopeSet::new(grants.iter().flat_map(|(scopes, _)| scopes.iter()));
        let beyond = !token.scopes.is_within(&scopes.granted);
        let all = if beyond && !approved.is_empty() { scopes.with(&approved) } else { scopes.now };
        let is_free = |scope: &str| !held_back.holds(scope) || approved.holds(scope);
        let is_missing = token.scopes.iter().any(|scope| all.holds(scope) && !is_free(scope));
        let is_whole = !is_missing && token.scopes.is_within(&all);
        let left =
            || token.scopes.iter().filter(|scope| all.holds(scope) && is_free(scope)).map(str::to_owned).collect();
        // Only the grants that say something about this token.
        let used = grants.iter().filter(|(scopes, _)| scopes.iter().any(|scope| token.scopes.holds(scope)));
        Self {
            generation,
            escalates: beyond && token.scopes.beyond(&scopes.granted).any(|scope| !approved.holds(scope)),
            narrowed: (!is_whole).then(left),
            with_approvals: is_missing.then(|| token.scopes.and(&all)),
            grant_until_ms: used.filter_map(|(_, grant)| grant.until_ms).min(),
            contexts: session.contexts(),
        }
    }
}

fn outcome_of(reason: Reason) -> Outcome {
    match reason {
        Reason::IdleTimeout => Outcome::IdleTimeout,
        Reason::LifetimeExceeded => Outcome::LifetimeExceeded,
        Reason::Revoked => Outcome::Revoked,
    }
}

/// The verdict of a refusal, without an id.
pub(crate) fn refusal(outcome: Outcome) -> Verdict {
    Verdict { outcome: outcome as i32, ..Verdict::default() }
}
