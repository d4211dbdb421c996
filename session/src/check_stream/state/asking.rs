//! A question that is about to be answered: by the session as it is now, or after a look-up.

use super::counted::Counted;
use crate::audit::Audit;
use crate::bound_token::{Answer, BoundToken, Once, Required};
use crate::check_stream::point;
use crate::check_stream::routes::Route;
use crate::conditions;
use crate::judge;
use crate::metrics::{Metrics, Tally};
use crate::minting::{self, Minter};
use crate::registry::{LookUp, LookedUp, Registry};
use crate::usage::{Effect, Fate, Fresh, StreamUsage};
use portcullis_contract::wire::{MintedToken, Outcome, Verdict};

/// A question that is about to be answered.
pub(super) struct Asking<'a> {
    pub(super) registry: &'a Registry,
    pub(super) audit: &'a Audit,
    pub(super) metrics: &'a Metrics,
    pub(super) route: &'a Route,
    /// The index of the route.
    pub(super) index: u32,
    /// What conditions are asked, if there are any.
    pub(super) conditions: Option<conditions::Asking<'a>>,
    /// What mints tokens, if anything does, with the proxy's name and what the question says for a token.
    pub(super) mint: Option<(&'a Minter, &'a str, minting::Request<'a>)>,
    pub(super) id: u32,
    pub(super) once: Once<'a>,
    pub(super) now_ms: u64,
    /// Another decision point denies it, unless something else refuses it.
    pub(super) denied: bool,
}

/// What is answered to a question.
#[expect(clippy::large_enum_variant, reason = "nearly every question is answered now, and should cost no allocation")]
pub(super) enum Answered {
    /// This, and whether its token is to be collected.
    Now(Answer, Fresh),
    /// Nothing yet: first, these grants must be noted as used.
    Uses(Vec<String>),
}

impl Asking<'_> {
    /// Whether nothing refuses it so far. Nothing is touched, and no grant is used.
    pub(super) fn would_pass(&self, token: &mut Counted, looked_up: Option<&LookedUp>) -> Result<bool, LookUp> {
        let Self { registry, route, once, now_ms, .. } = *self;
        let touches = !route.asked.background;
        if token.bound.is_outdated(registry, touches, now_ms) {
            token.bound.bind(registry, touches, looked_up, now_ms)?;
        }
        let required =
            Required { scopes: Some(&route.requirement), acr: &route.acr, once, conditions: self.conditions };
        let asked = judge::Asked { background: true, ..route.asked };
        let verdict = token.bound.answer(registry, asked, required, now_ms).verdict;
        Ok(verdict.outcome() == Outcome::Active && self.is_covered(&token.bound, &verdict))
    }

    /// Answers it, if the disk is not needed for that, and counts it.
    pub(super) fn answer(
        &self,
        token: &mut Counted,
        looked_up: Option<&LookedUp>,
        tally: &mut Tally,
        usage: &mut StreamUsage,
    ) -> Result<Answered, LookUp> {
        let Self { registry, route, once, now_ms, .. } = *self;
        if token.bound.is_outdated(registry, !route.asked.background, now_ms) {
            // What was counted was about the session that it had.
            token.collect(usage, now_ms);
            token.bound.bind(registry, !route.asked.background, looked_up, now_ms)?;
        }
        let Counted { bound, uses, .. } = token;
        let required =
            Required { scopes: Some(&route.requirement), acr: &route.acr, once, conditions: self.conditions };
        // A refused question is not activity.
        let asked = judge::Asked { background: route.asked.background || self.denied, ..route.asked };
        let mut answer = bound.answer(registry, asked, required, now_ms);
        if self.denied && answer.verdict.outcome() == Outcome::Active {
            answer = point::denied();
        }
        if once == Once::Takes && !answer.once.is_empty() {
            return Ok(Answered::Uses(answer.once));
        }
        answer.verdict.id = self.id;
        let outcome = answer.verdict.outcome();
        tally.add(outcome);
        if let Some(condition) = &answer.condition {
            self.metrics.conditions.refused(&condition.refused, condition.mode);
            bound.report_condition(condition, &route.scopes.name, self.audit, now_ms);
        } else if outcome != Outcome::Active {
            bound.report(outcome, &route.scopes.name, (route.asked, required), self.audit, now_ms);
            if outcome == Outcome::ScopeEscalation {
                bound.ask_for_approval(registry, now_ms);
            }
        }
        // What it was released with may be more than its session has: a grant for this one request.
        let holds = |scope: &str| match (outcome, &answer.verdict.narrowed) {
            (Outcome::Active, Some(left)) => left.scopes.iter().any(|held| held == scope),
            (Outcome::Active, None) => bound.token().scopes.holds(scope),
            _ => bound.holds(scope),
        };
        let fate = match outcome {
            Outcome::Active => Fate::Released,
            Outcome::ApprovalRequired => Fate::HeldBack,
            _ => Fate::Barred,
        };
        let fresh = uses.count((self.index, fate, bound.generation()), now_ms, || match fate {
            // Those that nobody has approved are missing.
            Fate::Released | Fate::HeldBack => route.scopes.effect(holds),
            Fate::Barred => Effect::Barred,
        });
        if outcome == Outcome::Active {
            answer.verdict.upstream_token = self.minted(&token.bound, &answer);
        }
        if fresh == Fresh::Full {
            token.collect(usage, now_ms);
        }
        Ok(Answered::Now(answer, fresh))
    }

    /// Whether the scopes that are left cover the route. The filter refuses what they do not cover.
    pub(super) fn is_covered(&self, bound: &BoundToken, verdict: &Verdict) -> bool {
        self.route.requirement.met_by(|scope| match &verdict.narrowed {
            Some(left) => left.scopes.contains(scope),
            None => bound.token().scopes.holds(scope),
        })
    }

    /// The token for the upstream of a question that is released.
    fn minted(&self, bound: &BoundToken, answer: &Answer) -> Option<MintedToken> {
        let Self { route, now_ms, .. } = *self;
        let (wanted, (minter, workload, request)) = (route.upstream.as_ref()?, self.mint?);
        let verdict = &answer.verdict;
        let session = bound.live_session().filter(|_| self.is_covered(bound, verdict))?;
        let left = verdict.narrowed.as_ref().map(|left| left.scopes.as_slice());
        let in_ms = [verdict.remaining_ms, verdict.idle_ms].into_iter().flatten();
        let ends_ms = in_ms.map(|in_ms| now_ms.saturating_add(in_ms)).chain(answer.grant_until_ms).min();
        let (generation, is_once) = (bound.generation(), !answer.once.is_empty());
        let subject = minting::Subject { session, generation, token: bound.token(), left, ends_ms, is_once };
        let route = minting::Route { wanted, name: &route.scopes.name, scopes: &route.facts.scopes, workload };
        minter.answer(route, subject, request, now_ms)
    }
}
