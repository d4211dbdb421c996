//! A worker's counts, accumulated here and reported to Envoy's statistics from time to time.

use super::{
    leases::LeaseCounts,
    question::Verdict,
    request::{Event, Mark, Permit, Step},
};
use crate::{answer::Code, map::HashMap, route::RuleId, token::Reason};

/// The number of routes with counters of their own, the first ones; all others share one, which bounds the number of counters.
const ROUTES_MAX: usize = 1_000;

/// The route of a count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Route {
    /// No rule was found.
    None,
    /// A rule with counters of its own.
    Rule(RuleId),
    /// One of the others.
    Other,
}

impl From<Option<RuleId>> for Route {
    fn from(rule: Option<RuleId>) -> Self {
        match rule {
            None => Self::None,
            Some(RuleId(index)) if index >= ROUTES_MAX => Self::Other,
            Some(id) => Self::Rule(id),
        }
    }
}

/// What is counted. Every label is a closed enum: the policy's routes bound the number of counters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Count {
    /// A request that was let through or refused, and the rule that decided.
    Decision(Decided, Route),
    /// A refusal that shadow mode did not carry out.
    Shadowed(Code, Route),
    /// A release without a verdict, by the outage policy that allowed it.
    Outage(OutageRelease, Route),
    /// A question to the session service.
    Check(CheckOutcome),
    /// An open request whose session is now followed.
    Followed,
    /// An open request that was ended, with the reason and the rule that had released it.
    Cut(Code, Route),
    /// A token looked up in the cache.
    Cache(CacheResult),
    /// The check stream.
    Stream(StreamEvent),
    /// A fetch of a key set.
    KeyFetch(FetchResult),
    /// A lease, or a request that one released.
    Lease(LeaseEvent),
    /// A handle that the session service was asked about.
    Redemption(RedemptionOutcome),
    /// A token that was refused as invalid, also where shadow mode did not carry it out.
    RefusedToken(Reason),
}

/// How a request was decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Decided {
    Released,
    Public,
    OAuth,
    Refused(Code),
}

/// The outage policy that released a request without a verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the policy's words")]
pub enum OutageRelease {
    ReadOnly,
    Grace,
}

/// The result of a question.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names say it")]
pub enum CheckOutcome {
    Active,
    Refused(Code),
    NoVerdict,
}

/// Whether a token had been verified before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names say it")]
pub enum CacheResult {
    Hit,
    Miss,
}

/// What happened to a check stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names say it")]
pub enum StreamEvent {
    Opened,
    Failed,
    Closed,
}

/// What happened to a lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LeaseEvent {
    /// A question was answered with one.
    Given,
    /// It released a request.
    Released,
    /// The session service took it back.
    TakenBack,
    /// It ran out, because it was not renewed.
    Expired,
    /// It was dropped: nobody used it, there was no room for it, its stream or its token was gone, or the clocks had moved apart.
    Dropped,
}

/// What has become of a handle.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RedemptionOutcome {
    /// There is a token.
    Token,
    /// It is of no use any more.
    Refused,
    /// There is no token now.
    Unavailable,
    /// There was no answer.
    NoAnswer,
}

/// Whether a key set could be fetched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names say it")]
pub enum FetchResult {
    Ok,
    Failed,
}

impl Count {
    /// The label of the count besides its rule, as in the counter's name; empty if it has none.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Decision(Decided::Released, _) => "ok",
            Self::Decision(Decided::Public, _) => "public",
            Self::Decision(Decided::OAuth, _) => "oauth",
            Self::Decision(Decided::Refused(code), _)
            | Self::Shadowed(code, _)
            | Self::Cut(code, _)
            | Self::Check(CheckOutcome::Refused(code)) => code.name(),
            Self::Outage(OutageRelease::ReadOnly, _) => "read_only",
            Self::Outage(OutageRelease::Grace, _) => "grace",
            Self::Check(CheckOutcome::Active) => "active",
            Self::Check(CheckOutcome::NoVerdict) => "no_verdict",
            Self::Followed => "",
            Self::Cache(CacheResult::Hit) => "hit",
            Self::Cache(CacheResult::Miss) => "miss",
            Self::Stream(StreamEvent::Opened) => "opened",
            Self::Stream(StreamEvent::Failed) | Self::KeyFetch(FetchResult::Failed) => "failed",
            Self::Stream(StreamEvent::Closed) => "closed",
            Self::KeyFetch(FetchResult::Ok) => "ok",
            Self::Lease(LeaseEvent::Given) => "given",
            Self::Lease(LeaseEvent::Released) => "released",
            Self::Lease(LeaseEvent::TakenBack) => "taken_back",
            Self::Lease(LeaseEvent::Expired) => "expired",
            Self::Lease(LeaseEvent::Dropped) => "dropped",
            Self::Redemption(RedemptionOutcome::Token) => "token",
            Self::Redemption(RedemptionOutcome::Refused) => "refused",
            Self::Redemption(RedemptionOutcome::Unavailable) => "unavailable",
            Self::Redemption(RedemptionOutcome::NoAnswer) => "no_answer",
            Self::RefusedToken(reason) => reason.name(),
        }
    }
}

/// Counts since the last tick.
#[derive(Debug, Default)]
pub struct Tally {
    counts: HashMap<Count, u64>,
}

impl Tally {
    pub(super) fn add(&mut self, count: Count) {
        self.add_several(count, 1);
    }

    pub(super) fn add_several(&mut self, count: Count, several: u64) {
        if several > 0 {
            *self.counts.entry(count).or_default() += several;
        }
    }

    /// Counts what has become of leases.
    pub(super) fn leases(&mut self, counts: LeaseCounts) {
        let LeaseCounts { given, taken_back, expired, dropped } = counts;
        self.add_several(Count::Lease(LeaseEvent::Given), given);
        self.add_several(Count::Lease(LeaseEvent::TakenBack), taken_back);
        self.add_several(Count::Lease(LeaseEvent::Expired), expired);
        self.add_several(Count::Lease(LeaseEvent::Dropped), dropped);
    }

    /// Counts the result of a question to the session service.
    pub(super) fn event(&mut self, event: &Event) {
        self.add(Count::Check(match event {
            Event::Proven(..)
            | Event::Verdict(Verdict::Active(_), _)
            | Event::VerdictWithToken(Verdict::Active(_), ..) => CheckOutcome::Active,
            Event::Verdict(Verdict::Ended(refusal), _) | Event::VerdictWithToken(Verdict::Ended(refusal), ..) => {
                CheckOutcome::Refused(refusal.code)
            }
            Event::NoVerdict(..) => CheckOutcome::NoVerdict,
            Event::Leased(..)
            | Event::Decided(_)
            | Event::NoKeys
            | Event::Followed(_)
            | Event::NoNews(_)
            | Event::Overdue(_) => return,
        }));
    }

    /// Counts the result of a request.
    pub(super) fn step(&mut self, step: &Step) {
        let reason = step.refusal().and_then(|refusal| refusal.reason);
        reason.into_iter().for_each(|reason| self.add(Count::RefusedToken(reason)));
        if let Step::Release(Permit { is_leased: true, .. }) = step {
            self.add(Count::Lease(LeaseEvent::Released));
        }
        self.add(match step {
            Step::Release(permit) => match (&permit.mark, &permit.principal) {
                (Some(Mark::Shadow(refusal)), _) => Count::Shadowed(refusal.code, permit.rule.into()),
                (Some(Mark::OutageReadOnly), _) => Count::Outage(OutageRelease::ReadOnly, permit.rule.into()),
                (Some(Mark::OutageGrace), _) => Count::Outage(OutageRelease::Grace, permit.rule.into()),
                (None, Some(_)) => Count::Decision(Decided::Released, permit.rule.into()),
                (None, None) if permit.is_oauth => Count::Decision(Decided::OAuth, Route::None),
                (None, None) => Count::Decision(Decided::Public, permit.rule.into()),
            },
            Step::Deny(denial) => Count::Decision(Decided::Refused(denial.refusal.code), denial.rule.into()),
            Step::Cut(denial) => Count::Cut(denial.refusal.code, denial.rule.into()),
            Step::Spare(denial) => Count::Shadowed(denial.refusal.code, denial.rule.into()),
            Step::Wait | Step::Ask(_) => return,
        });
    }

    /// Returns and resets the counts.
    pub fn drain(&mut self) -> impl Iterator<Item = (Count, u64)> + '_ {
        self.counts.drain()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn routes_beyond_the_first_thousand_share_a_counter() {
        let counted = [None, Some(0), Some(ROUTES_MAX - 1), Some(ROUTES_MAX), Some(usize::MAX)];
        let routes = counted.map(|rule| Route::from(rule.map(RuleId)));
        let own = |index| Route::Rule(RuleId(index));
        assert_eq!(routes, [Route::None, own(0), own(ROUTES_MAX - 1), Route::Other, Route::Other]);
    }
}
