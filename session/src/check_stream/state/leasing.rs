//! What the filter may decide by itself: leases are given with verdicts, extended by renewals, and judged again when a change may
//! concern them.

use super::asking::Asking;
use super::counted::Counted;
use super::{StreamState, is_asked, route};
use crate::bound_token::{Answer, Once, Required};
use crate::check_stream::answers::Answers;
use crate::check_stream::leases::{Lease, StreamLeases};
use crate::check_stream::routes::Route;
use crate::conditions::{self, OnTable, Request};
use crate::judge;
use crate::metrics::Metrics;
use crate::registry::Registry;
use crate::token::Token;
use portcullis_contract::wire::{self, Outcome, Renewal, Renewed, Verdict};
use std::sync::Arc;

/// A lease that a question asks for, and that is in the book.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted {
    pub(super) id: u32,
    length_ms: u64,
}

/// What a lease depends on besides its verdict.
pub(super) struct Giving<'a> {
    pub(super) registry: &'a Registry,
    pub(super) metrics: &'a Metrics,
    pub(super) handle: u32,
    pub(super) index: u32,
    pub(super) now_ms: u64,
}

impl Giving<'_> {
    /// Gives the lease that a question asks for, if it has one: its verdict depends on nothing but the token and the route, and
    /// nothing has changed since it was entered.
    pub(super) fn give(
        &self,
        leases: &mut StreamLeases,
        wanted: Wanted,
        asking: &Asking<'_>,
        token: &mut Counted,
        answer: &mut Answer,
    ) {
        let given = self.lease(wanted, asking, token, answer).filter(|lease| lease.length_ms > 0);
        let Some(lease) = given else { return leases.line().refuse(wanted.id) };
        let length_ms = lease.length_ms;
        if leases.give(wanted.id, lease) {
            answer.verdict.lease_ms = Some(length_ms);
            self.metrics.leases.given();
        }
    }

    fn lease(&self, wanted: Wanted, asking: &Asking<'_>, token: &mut Counted, answer: &Answer) -> Option<Lease> {
        let Self { registry, handle, index, now_ms, .. } = *self;
        let Answer { verdict, awaits, once, .. } = answer;
        let is_active = verdict.outcome() == Outcome::Active && awaits.is_none() && once.is_empty();
        if !is_active || !may_lease(registry, asking.route) || !asking.is_covered(&token.bound, verdict) {
            return None;
        }
        let limit_at_ms = limit_at_ms(registry, asking.conditions.as_ref(), token, answer, now_ms)?;
        let left_ms = limit_at_ms.map(|at_ms| at_ms.saturating_sub(now_ms));
        let length_ms = left_ms.map_or(wanted.length_ms, |left_ms| left_ms.min(wanted.length_ms));
        Some(Lease {
            token: Arc::clone(token.bound.token()),
            handle,
            route: index,
            session: Arc::clone(token.bound.live_session()?),
            narrowed: verdict.narrowed.clone(),
            length_ms,
            since_ms: now_ms,
            counts_ms: now_ms,
            limit_at_ms,
            is_background: asking.route.asked.background,
            is_fixed: false,
        })
    }
}

/// The first instant at which the verdict on a token may be another one although nothing was changed. The outer `None`: it
/// depends on more of a request than that.
fn limit_at_ms(
    registry: &Registry,
    conditions: Option<&conditions::Asking<'_>>,
    token: &mut Counted,
    answer: &Answer,
    now_ms: u64,
) -> Option<Option<u64>> {
    let conditions_at_ms = match conditions {
        Some(asking) => token.bound.leasable(registry, asking, now_ms)?,
        None => None,
    };
    let Answer { verdict, again_in_ms, .. } = answer;
    let in_ms = [verdict.remaining_ms, verdict.idle_ms, *again_in_ms].into_iter().flatten();
    let at_ms = in_ms.map(|in_ms| now_ms.saturating_add(in_ms)).chain(conditions_at_ms);
    Some(at_ms.chain(Some(token.bound.token().expires_at_ms)).min())
}

/// Whether requests of a route may be decided without the service at all.
fn may_lease(registry: &Registry, route: &Route) -> bool {
    // Tokens for upstreams name their requests, and what is unusual about a session shows in each of them. While the clocks
    // disagree, nobody knows when a limit is reached.
    route.upstream.is_none() && !registry.whereabouts().is_watching() && !registry.agreement().is_parted()
}

impl StreamState {
    /// Enters the lease that a question asks for, before it is judged. The question had arrived by `steady_ms`.
    pub(super) fn enter_lease(&mut self, question: &wire::Question, steady_ms: u64) -> Option<Wanted> {
        let (id, route) = (question.lease?, route(self.routes.as_deref(), question.route).ok()?);
        let length_ms = route.lease_ms.min(self.registry.lease().for_filters_ms());
        let is_single = question.proof.is_some() || is_asked(self.point.as_ref(), route);
        if length_ms == 0 || is_single || !may_lease(&self.registry, route) {
            return None;
        }
        let token: &Token = self.tokens.get(&question.token)?.bound.token();
        let asking = self.on_table.as_ref().map(|on| on.asking(question.route, &route.facts, Request::of(question)));
        let facts = asking.filter(|asking| !asking.is_free()).map(|_| {
            let device = &token.further().device;
            self.registry.fact_epochs().of(token.bearer(), device)
        });
        let is_entered = self.leases.enter(id, token.id, facts, length_ms, steady_ms);
        is_entered.then_some(Wanted { id, length_ms })
    }

    /// Extends the leases of the stream. Without the serve lease nothing is extended, and nothing answered.
    pub(super) fn renew(&mut self, renewal: &Renewal, serves: bool, now_ms: u64, steady_ms: u64) -> Option<Renewed> {
        for (session, at_ms) in renewal.active.iter().filter_map(|id| self.leases.used(*id)) {
            self.registry.touch(session, at_ms);
        }
        self.leases.end(&renewal.ended);
        if !serves {
            return None;
        }
        let refused = match self.registry.agreement().is_parted() || self.registry.whereabouts().is_watching() {
            true => self.leases.all(),
            false => {
                let limited = self.leases.limited(now_ms);
                limited.into_iter().filter(|id| !self.is_renewable(*id, now_ms)).collect()
            }
        };
        Some(Renewed { refused: self.leases.renew(&refused, now_ms, steady_ms) })
    }

    /// Whether a lease can be extended by its whole length, by its limits as they are now.
    fn is_renewable(&mut self, id: u32, now_ms: u64) -> bool {
        let limit_at_ms = self.judge_lease(id, now_ms);
        limit_at_ms.is_some_and(|limit_at_ms| self.leases.limit(id, limit_at_ms, now_ms))
    }

    /// Judges the leases that are marked: those that do not stand are taken back.
    pub(super) fn review_leases(&mut self, serves: bool, now_ms: u64, answers: &mut Answers) {
        // Without this look, each message would take the lock of the book.
        if !self.follows.notifier().take_lease_marks() {
            return;
        }
        let marked = self.leases.line().take_marked();
        let (stand, over): (Vec<u32>, Vec<u32>) =
            marked.into_iter().partition(|id| serves && self.lease_stands(*id, now_ms));
        self.leases.line().stand(&stand);
        self.metrics.leases.taken_back(over.len());
        answers.take_backs.extend(self.leases.take_back(over));
    }

    fn lease_stands(&mut self, id: u32, now_ms: u64) -> bool {
        let Some(limit_at_ms) = self.judge_lease(id, now_ms) else { return false };
        let Some(lease) = self.leases.get(id) else { return false };
        limit_at_ms.is_none_or(|at_ms| self.leases.ends_at_ms(lease) <= at_ms)
    }

    /// Judges a lease again: the first instant at which a limit may end it. The outer `None`: its verdict would be another one.
    fn judge_lease(&mut self, id: u32, now_ms: u64) -> Option<Option<u64>> {
        let lease = self.leases.get(id)?;
        let (registry, route) = (&*self.registry, route(self.routes.as_deref(), lease.route).ok()?);
        if !may_lease(registry, route) {
            return None;
        }
        // What a forgotten token, or one whose session is another one, may do: its next question finds that out.
        let token =
            self.tokens.get_mut(&lease.handle).filter(|token| Arc::ptr_eq(token.bound.token(), &lease.token))?;
        if token.bound.is_outdated(registry, false, now_ms) {
            return None;
        }
        let required =
            Required { scopes: Some(&route.requirement), acr: &route.acr, once: Once::Ignored, conditions: None };
        let asked = judge::Asked { background: true, ..route.asked };
        let answer = token.bound.answer(registry, asked, required, now_ms);
        let Verdict { narrowed, .. } = &answer.verdict;
        let is_same = token.bound.live_session().is_some_and(|session| Arc::ptr_eq(session, &lease.session));
        if answer.verdict.outcome() != Outcome::Active || *narrowed != lease.narrowed || !is_same {
            return None;
        }
        let on_table: Option<&OnTable> = self.on_table.as_ref();
        let conditions = on_table.map(|on| on.asking(lease.route, &route.facts, Request::default()));
        limit_at_ms(registry, conditions.as_ref(), token, &answer, now_ms)
    }
}
