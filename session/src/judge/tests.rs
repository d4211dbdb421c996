//! The judge's table, its boundaries, and what holds for every session and question.

use super::*;
use proptest::prelude::*;

const START: u64 = 1_000_000;
const MINUTE: u64 = 60_000;
const ABSOLUTE: u64 = 480 * MINUTE;
const IDLE: u64 = 30 * MINUTE;

fn session() -> Facts {
    Facts {
        ended: None,
        outlived: None,
        login_at_ms: START,
        last_seen_ms: START,
        limits: Limits { absolute_ms: Some(ABSOLUTE), idle_ms: Some(IDLE) },
        is_blocked: false,
        is_revoked: false,
        escalates: false,
        is_verified: true,
        is_same_party: true,
        is_other_subject: false,
        is_covered: true,
        is_too_weak: false,
        is_unapproved: false,
    }
}

fn judge(facts: Facts, asked: Asked, now_ms: u64) -> Judgement {
    super::judge(&Known::Session(facts), asked, now_ms)
}

fn seen(after: u64) -> Facts {
    Facts { last_seen_ms: START + after, ..session() }
}

fn ended(reason: Reason, after: u64) -> Judgement {
    Judgement::Ended(End { reason, at_ms: START + after })
}

fn active(remaining_ms: u64, idle_ms: u64, touches: bool) -> Judgement {
    Judgement::Active { remaining_ms: Some(remaining_ms), idle_ms: Some(idle_ms), touches }
}

const PLAIN: Asked = Asked { max_age_ms: None, max_idle_ms: None, background: false };
const BACKGROUND: Asked = Asked { background: true, ..PLAIN };

fn route(max_age: Option<u64>, max_idle: Option<u64>) -> Asked {
    Asked { max_age_ms: max_age, max_idle_ms: max_idle, ..PLAIN }
}

#[test]
fn the_table() {
    use Judgement::Refused;
    use Reason::*;
    let revoked = End { reason: Revoked, at_ms: START + 5 };
    let gone = Facts { ended: Some(revoked), ..session() };
    let barred = Facts { is_revoked: true, ..session() };
    let outlived = Facts { outlived: Some(End { reason: IdleTimeout, at_ms: START + 5 }), ..session() };
    let unverified = Facts { is_verified: false, ..session() };
    let stranger = Facts { is_same_party: false, ..unverified };
    let narrowed = Facts { is_covered: false, ..session() };
    let escalates = Facts { escalates: true, ..session() };
    let m = MINUTE;
    let rows: &[(&str, Facts, Asked, u64, Judgement)] = &[
        ("a fresh session", session(), PLAIN, 0, active(ABSOLUTE, IDLE, true)),
        ("a touch gives the whole idle limit", session(), PLAIN, 10 * m, active(ABSOLUTE - 10 * m, IDLE, true)),
        ("background counts down", session(), BACKGROUND, 10 * m, active(ABSOLUTE - 10 * m, 20 * m, false)),
        ("1 ms before idle", session(), BACKGROUND, IDLE - 1, active(ABSOLUTE - IDLE + 1, 1, false)),
        ("exactly idle", session(), PLAIN, IDLE, ended(IdleTimeout, IDLE)),
        ("idle ends when it was reached", session(), PLAIN, IDLE + 7 * m, ended(IdleTimeout, IDLE)),
        ("1 ms before the lifetime", seen(ABSOLUTE - m), PLAIN, ABSOLUTE - 1, active(1, IDLE, true)),
        ("exactly the lifetime", seen(ABSOLUTE - m), PLAIN, ABSOLUTE, ended(LifetimeExceeded, ABSOLUTE)),
        ("the earlier limit ended it", session(), PLAIN, ABSOLUTE, ended(IdleTimeout, IDLE)),
        ("a tie is the lifetime's", seen(ABSOLUTE - IDLE), PLAIN, ABSOLUTE, ended(LifetimeExceeded, ABSOLUTE)),
        ("an end is final", gone, PLAIN, 1, ended(Revoked, 5)),
        ("an end keeps its reason past other limits", gone, PLAIN, ABSOLUTE, ended(Revoked, 5)),
        ("an end comes before a revocation", Facts { ended: Some(revoked), ..barred }, PLAIN, 1, ended(Revoked, 5)),
        ("a revocation", barred, PLAIN, 1, Refused(Refusal::Revoked)),
        ("a revocation comes before expiry", barred, PLAIN, ABSOLUTE, Refused(Refusal::Revoked)),
        ("an outlived token", outlived, PLAIN, 1, Refused(Refusal::Outlived(IdleTimeout))),
        ("outlived comes before expiry", outlived, PLAIN, ABSOLUTE, Refused(Refusal::Outlived(IdleTimeout))),
        (
            "a revocation comes before outlived",
            Facts { is_revoked: true, ..outlived },
            PLAIN,
            1,
            Refused(Refusal::Revoked),
        ),
        ("an unverified token is no activity", unverified, PLAIN, 10 * m, active(ABSOLUTE - 10 * m, 20 * m, false)),
        ("nor one that lacks scopes", narrowed, PLAIN, 10 * m, active(ABSOLUTE - 10 * m, 20 * m, false)),
        ("an unverified token of another party", stranger, PLAIN, 1, Refused(Refusal::UnknownSession)),
        (
            "an end is not for the unverified",
            Facts { ended: Some(revoked), ..unverified },
            PLAIN,
            1,
            Refused(Refusal::UnknownSession),
        ),
        ("a limit is", unverified, PLAIN, IDLE, ended(IdleTimeout, IDLE)),
        (
            "a token of another subject",
            Facts { is_other_subject: true, ..session() },
            PLAIN,
            1,
            Refused(Refusal::UnknownSession),
        ),
        (
            "nor does it learn of an end",
            Facts { is_other_subject: true, ..gone },
            PLAIN,
            1,
            Refused(Refusal::UnknownSession),
        ),
        ("escalation", escalates, PLAIN, 1, Refused(Refusal::ScopeEscalation)),
        ("expiry comes before escalation", escalates, PLAIN, IDLE, ended(IdleTimeout, IDLE)),
        ("escalation comes before the route", escalates, route(Some(1), None), 1, Refused(Refusal::ScopeEscalation)),
        (
            "an approval comes before a login",
            Facts { is_unapproved: true, is_too_weak: true, is_covered: false, ..session() },
            PLAIN,
            1,
            Refused(Refusal::ApprovalRequired),
        ),
        (
            "and after the end of the session",
            Facts { is_unapproved: true, is_covered: false, ..session() },
            PLAIN,
            IDLE,
            ended(IdleTimeout, IDLE),
        ),
        ("1 ms before max_age", session(), route(Some(m), None), m - 1, active(1, IDLE, true)),
        ("exactly max_age", session(), route(Some(m), None), m, Refused(Refusal::StepUpRequired)),
        ("1 ms before max_idle", session(), route(None, Some(m)), m - 1, active(ABSOLUTE - m + 1, m, true)),
        ("exactly max_idle", session(), route(None, Some(m)), m, Refused(Refusal::RouteIdle)),
        (
            "a login that is too weak comes before max_idle",
            Facts { is_too_weak: true, ..session() },
            route(None, Some(m)),
            m,
            Refused(Refusal::StepUpRequired),
        ),
        ("max_age comes before max_idle", session(), route(Some(m), Some(m)), m, Refused(Refusal::StepUpRequired)),
        ("a wider max_age adds nothing", session(), route(Some(2 * ABSOLUTE), None), 0, active(ABSOLUTE, IDLE, true)),
        ("a wider max_idle adds nothing", session(), route(None, Some(2 * IDLE)), IDLE, ended(IdleTimeout, IDLE)),
    ];
    for (name, facts, asked, after, expected) in rows {
        assert_eq!(judge(*facts, *asked, START + after), *expected, "{name}");
    }
}

/// Facts with every combination of what can be wrong with a session or token.
fn every_fault() -> impl Iterator<Item = Facts> {
    (0..1024u32).map(|bits| {
        let is = |bit: u32| bits >> bit & 1 == 1;
        let end = End { reason: Reason::Revoked, at_ms: START + 5 };
        Facts {
            ended: is(0).then_some(end),
            outlived: is(1).then_some(end),
            is_revoked: is(2),
            escalates: is(3),
            is_verified: is(4),
            is_same_party: is(5),
            is_other_subject: is(6),
            is_covered: is(7),
            is_too_weak: is(9),
            last_seen_ms: if is(8) { START } else { START + ABSOLUTE - 1 },
            ..session()
        }
    })
}

#[test]
fn a_block_answers_first_whatever_else_is_wrong() {
    let route_asks = [PLAIN, BACKGROUND, route(Some(1), None), route(None, Some(1))];
    for now_ms in [START + 1, START + IDLE, START + ABSOLUTE - 1, START + ABSOLUTE] {
        for (facts, asked) in every_fault().flat_map(|facts| route_asks.map(|asked| (facts, asked))) {
            let unblocked = judge(facts, asked, now_ms);
            // Whoever could have made the token up learns no more than before: that a live session of its party is refused.
            let learns = facts.is_verified || !facts.is_other_subject && facts.is_same_party && facts.ended.is_none();
            let expected = if learns { Judgement::Refused(Refusal::Blocked) } else { unblocked };
            assert!(!matches!(expected, Judgement::Active { .. }), "{facts:?}");
            let blocked = Facts { is_blocked: true, ..facts };
            assert_eq!(judge(blocked, asked, now_ms), expected, "{blocked:?}");
        }
    }
}

#[test]
fn ends_are_merged_a_revocation_stands_against_a_limit_and_the_later_instant_stands() {
    use Reason::*;
    let end = |reason, at_ms| End { reason, at_ms };
    let rows = [
        (end(IdleTimeout, 5), end(Revoked, 3), end(Revoked, 5)),
        (end(IdleTimeout, 3), end(Revoked, 5), end(Revoked, 5)),
        (end(Revoked, 3), end(Revoked, 5), end(Revoked, 5)),
        (end(IdleTimeout, 3), end(LifetimeExceeded, 5), end(LifetimeExceeded, 5)),
        (end(IdleTimeout, 5), end(LifetimeExceeded, 5), end(LifetimeExceeded, 5)),
    ];
    for (one, other, merged) in rows {
        assert_eq!((one.merged(other), other.merged(one)), (merged, merged), "{one:?} {other:?}");
        assert_eq!(merged.merged(one), merged);
    }
}

#[test]
fn a_session_without_limits_never_expires_and_says_none() {
    let facts = Facts { limits: Limits::default(), ..session() };
    let expected = Judgement::Active { remaining_ms: None, idle_ms: None, touches: true };
    assert_eq!(judge(facts, PLAIN, u64::MAX), expected);
}

#[test]
fn a_clock_that_went_back_gives_no_more_than_the_whole_limit() {
    assert_eq!(judge(session(), BACKGROUND, START - 5), active(ABSOLUTE, IDLE, false));
}

fn limit() -> impl Strategy<Value = Option<u64>> {
    prop_oneof![Just(None), (1u64..50).prop_map(Some), Just(Some(u64::MAX))]
}

#[test]
fn without_a_session_in_memory_every_question_is_refused() {
    let end = End { reason: Reason::IdleTimeout, at_ms: START };
    for (known, expected) in [
        (Known::Nothing, Judgement::Refused(Refusal::UnknownSession)),
        (Known::Revoked, Judgement::Refused(Refusal::Revoked)),
        (Known::Blocked, Judgement::Refused(Refusal::Blocked)),
        (Known::Undated, Judgement::Refused(Refusal::Undated)),
        (Known::Over(end), Judgement::Ended(end)),
    ] {
        for asked in [PLAIN, BACKGROUND, route(Some(1), Some(1))] {
            assert_eq!(super::judge(&known, asked, START), expected, "{known:?}");
        }
    }
}

proptest! {
    #[test]
    fn time_never_revives_an_ended_session(
        opened in 0u64..100, seen in 0u64..50, absolute in limit(), idle in limit(), now in 0u64..200, later in 0u64..200,
    ) {
        let limits = Limits { absolute_ms: absolute, idle_ms: idle };
        let seen = opened + seen;
        if let Some(end) = expiry(opened, seen, limits, now) {
            prop_assert!(end.at_ms <= now);
            prop_assert_eq!(expiry(opened, seen, limits, now + later), Some(end));
        }
    }

    #[test]
    fn what_is_left_is_exactly_when_it_ends(
        opened in 0u64..100, seen in 0u64..50, absolute in limit(), idle in limit(),
        max_age in limit(), max_idle in limit(), background: bool, ahead in 0u64..200,
    ) {
        let facts = Facts {
            login_at_ms: opened, last_seen_ms: opened + seen,
            limits: Limits { absolute_ms: absolute, idle_ms: idle }, ..session()
        };
        let asked = Asked { max_age_ms: max_age, max_idle_ms: max_idle, background };
        let now = opened + ahead;
        if let Judgement::Active { remaining_ms, idle_ms, touches } = judge(facts, asked, now) {
            let after = Facts { last_seen_ms: if touches { now.max(facts.last_seen_ms) } else { facts.last_seen_ms }, ..facts };
            let asks = |ms: u64| judge(after, Asked { background: true, ..asked }, ms);
            let is_active = |ms: u64| matches!(asks(ms), Judgement::Active { .. });
            let end = [remaining_ms, idle_ms].into_iter().flatten().min();
            if let Some(end) = end.filter(|end| *end < u64::MAX / 2) {
                prop_assert!(is_active(now + end - 1));
                if facts.last_seen_ms <= now {
                    prop_assert!(!is_active(now + end));
                }
            } else {
                prop_assert!(is_active(now + 1_000_000));
            }
        }
    }

    #[test]
    fn a_route_only_narrows(
        seen in 0u64..50, absolute in limit(), idle in limit(), max_age in limit(), max_idle in limit(), now in 0u64..200,
    ) {
        let facts = Facts {
            login_at_ms: 0, last_seen_ms: seen, limits: Limits { absolute_ms: absolute, idle_ms: idle }, ..session()
        };
        let narrowed = judge(facts, Asked { max_age_ms: max_age, max_idle_ms: max_idle, background: true }, now);
        if matches!(narrowed, Judgement::Active { .. }) {
            let is_active = matches!(judge(facts, BACKGROUND, now), Judgement::Active { .. });
            prop_assert!(is_active);
        }
    }

    #[test]
    fn conditions_are_asked_where_nothing_else_refuses_and_can_only_refuse(
        seen in 0u64..50, absolute in limit(), idle in limit(), max_age in limit(), now in 0u64..200,
        flags in proptest::array::uniform10(proptest::bool::weighted(0.2)), refuses: bool,
    ) {
        let [blocked, revoked, escalates, unverified, other_party, other_subject, uncovered, weak, unapproved, over] = flags;
        let facts = Facts {
            login_at_ms: 0, last_seen_ms: seen, limits: Limits { absolute_ms: absolute, idle_ms: idle },
            is_blocked: blocked, is_revoked: revoked, escalates, is_verified: !unverified, is_same_party: !other_party,
            is_other_subject: other_subject, is_covered: !uncovered, is_too_weak: weak, is_unapproved: unapproved,
            ended: over.then_some(End { reason: Reason::Revoked, at_ms: 0 }), ..session()
        };
        let asked = Asked { max_age_ms: max_age, ..PLAIN };
        let without = judge(facts, asked, now);
        let mut is_asked = false;
        let conditions = || {
            is_asked = true;
            refuses.then_some(Refusal::ConditionFailed)
        };
        let with = judge_on(&Known::Session(facts), asked, conditions, now);
        let is_good = matches!(without, Judgement::Active { .. }) && facts.is_covered;
        prop_assert_eq!(is_asked, is_good);
        let expected = if is_good && refuses { Judgement::Refused(Refusal::ConditionFailed) } else { without };
        prop_assert_eq!(with, expected);
    }
}
