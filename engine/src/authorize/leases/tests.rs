//! What a book of leases does with each of its events.

use super::*;
use crate::route::RuleId;

pub(super) const LEASE_MS: u64 = 300;
pub(super) const PERIOD_MS: u64 = LEASE_MS / RENEWALS;

pub(super) fn at(ms: u64) -> Now {
    Now { wall_ms: Some(1_000_000 + ms), instant: Monotonic(ms) }
}

pub(super) fn key(token: u32) -> Key {
    Key::new(token, RuleId(0)).unwrap()
}

/// A lease without further limits.
pub(super) fn grant(sent_ms: u64) -> Grant {
    Grant {
        sent_at: Monotonic(sent_ms),
        lease_ms: LEASE_MS,
        remaining_ms: None,
        idle_ms: None,
        touches: true,
        left: Left::WHOLE,
        kind: 7,
    }
}

fn leases() -> Leases {
    let mut leases = Leases::on(Some(1), &mut Leases::default());
    leases.observe(at(0));
    leases
}

impl Leases {
    /// A question that was sent then is answered at once.
    fn given(&mut self, token: u32, grant: Grant) -> LeaseId {
        let id = self.ask(key(token)).unwrap();
        self.grant(id, &grant, PERIOD_MS, grant.sent_at);
        id
    }

    fn releases(&mut self, token: u32, ms: u64) -> bool {
        match self.find(key(token), Monotonic(ms)) {
            Some((id, _)) => self.note_use(id, Monotonic(ms)).is_some(),
            None => false,
        }
    }

    fn renew(&mut self, ms: u64) -> Option<wire::Renewal> {
        self.renewal(PERIOD_MS, Monotonic(ms))
    }
}

#[test]
fn a_lease_counts_from_the_sending_of_its_question_and_ends_at_its_instant() {
    let mut leases = leases();
    let id = leases.ask(key(1)).unwrap();
    assert!(!leases.releases(1, 0), "it is asked for");
    assert_eq!(leases.ask(key(1)), None, "one is asked for at a time");
    // The answer has taken long.
    leases.grant(id, &grant(10), PERIOD_MS, Monotonic(200));
    assert_eq!(leases.ask(key(1)), None);
    assert!(leases.releases(1, 10 + LEASE_MS - 1) && !leases.releases(2, 200));
    assert!(!leases.releases(1, 10 + LEASE_MS));
    assert!(leases.ask(key(1)).is_some(), "another one can be asked for");
    let late = leases.ask(key(2)).unwrap();
    leases.grant(late, &grant(10), PERIOD_MS, Monotonic(10 + LEASE_MS));
    assert!(!leases.releases(2, 10 + LEASE_MS), "it had run out when it arrived");
    let counts = LeaseCounts { given: 2, expired: 2, ..LeaseCounts::default() };
    assert_eq!((leases.take_counts(), leases.held()), (counts, 0));
}

#[test]
fn limits_of_the_session_end_a_lease() {
    for (remaining_ms, idle_ms, end) in
        [(None, None, LEASE_MS), (Some(50), None, 50), (None, Some(60), 60), (Some(50), Some(60), 50)]
    {
        let mut leases = leases();
        leases.given(1, Grant { remaining_ms, idle_ms, ..grant(0) });
        assert!(leases.releases(1, end - 1) && !leases.releases(1, end), "{remaining_ms:?} {idle_ms:?}");
    }
}

#[test]
fn a_renewal_extends_what_it_was_about_from_when_it_was_sent() {
    let mut leases = leases();
    assert_eq!(leases.renew(1_000), None, "there is nothing to renew");
    let (one, two) = (leases.given(1, grant(0)), leases.given(2, grant(0)));
    assert_eq!(leases.renew(PERIOD_MS - 1), None);
    assert!(leases.releases(1, 50));
    assert_eq!(leases.renew(PERIOD_MS), Some(wire::Renewal { active: vec![one.0], ended: vec![] }));
    assert_eq!(leases.renew(2 * PERIOD_MS), None, "one is unanswered");
    let three = leases.given(3, grant(110));
    leases.renewed(&[two.0], Monotonic(250));
    assert!(!leases.releases(2, LEASE_MS), "it was refused, and ends when it would have");
    assert!(leases.releases(1, PERIOD_MS + LEASE_MS - 1) && !leases.releases(1, PERIOD_MS + LEASE_MS));
    assert!(leases.places.lease(three).is_some_and(|lease| lease.confirmed_at == Monotonic(110)));
    leases.renewed(&[], Monotonic(260));
    assert!(!leases.releases(3, 110 + LEASE_MS), "nobody had asked for that");
}

#[test]
fn a_renewal_that_is_answered_too_late_extends_nothing_and_one_that_is_not_answered_neither() {
    let mut leases = leases();
    let id = leases.given(1, grant(0));
    assert!(leases.releases(1, 50) && leases.renew(PERIOD_MS).is_some());
    leases.renewed(&[], Monotonic(LEASE_MS));
    assert!(!leases.releases(1, LEASE_MS));
    assert_eq!(leases.renew(LEASE_MS), Some(wire::Renewal { active: vec![], ended: vec![id.0] }));
    leases.given(1, grant(LEASE_MS));
    assert!(leases.releases(1, 2 * LEASE_MS - 1) && !leases.releases(1, 2 * LEASE_MS));
}

#[test]
fn what_is_taken_back_is_gone_and_so_is_what_is_still_to_come() {
    let mut leases = leases();
    let held = leases.given(1, grant(0));
    let asked = leases.ask(key(2)).unwrap();
    leases.take_back(&[held.0, asked.0, 12_345]);
    assert!(!leases.releases(1, 1));
    leases.grant(asked, &grant(0), PERIOD_MS, Monotonic(1));
    assert!(!leases.releases(2, 1), "its verdict is only good for its own request");
    // The service knows that they have ended.
    assert_eq!(leases.renew(1_000), None);
    assert_eq!(leases.take_counts(), LeaseCounts { given: 1, taken_back: 1, ..LeaseCounts::default() });
    // A take-back that comes late is not about what has their places now.
    leases.given(3, grant(0));
    leases.given(4, grant(0));
    leases.take_back(&[held.0, asked.0]);
    assert!(leases.releases(3, 1) && leases.releases(4, 1));
}

#[test]
fn a_lease_that_nobody_uses_is_not_renewed_for_ever() {
    let mut leases = leases();
    let (used, unused) = (leases.given(1, grant(0)), leases.given(2, grant(0)));
    for round in 1..=3 {
        let now = round * PERIOD_MS;
        assert!(leases.releases(1, now - 1));
        let renewal = leases.renew(now).unwrap();
        assert_eq!(renewal.active, [used.0]);
        assert_eq!(renewal.ended, if round == 3 { vec![unused.0] } else { vec![] });
        leases.renewed(&[], Monotonic(now + 1));
    }
    assert!(leases.releases(1, 2 * LEASE_MS - 1) && !leases.releases(2, 3 * PERIOD_MS + 2));
    assert_eq!(leases.take_counts(), LeaseCounts { given: 2, dropped: 1, ..LeaseCounts::default() });
}

#[test]
fn activity_while_a_renewal_is_out_is_reported_by_the_next_one_and_counts_as_of_the_first() {
    let idle = Grant { idle_ms: Some(350), touches: true, ..grant(0) };
    let mut leases = leases();
    let id = leases.given(1, idle);
    assert!(leases.renew(100).unwrap().active.is_empty());
    assert!(leases.releases(1, 101));
    leases.renewed(&[], Monotonic(102));
    assert_eq!(leases.renew(200).unwrap().active, [id.0]);
    leases.renewed(&[], Monotonic(202));
    assert!(leases.releases(1, 449) && !leases.releases(1, 450), "the activity was not before 100");
}

#[test]
fn activity_moves_the_idle_end_and_that_of_background_routes_does_not() {
    for (touches, end) in [(true, 100 + 350), (false, 350)] {
        let mut leases = leases();
        let id = leases.given(1, Grant { idle_ms: Some(350), touches, ..grant(0) });
        leases.renew(100);
        leases.renewed(&[], Monotonic(102));
        assert!(leases.releases(1, 150));
        assert_eq!(leases.renew(200).unwrap().active, if touches { vec![id.0] } else { vec![] });
        leases.renewed(&[], Monotonic(201));
        assert!(leases.releases(1, end - 1) && !leases.releases(1, end), "{touches}");
    }
}

#[test]
fn activity_of_leases_that_have_ended_is_reported_with_them() {
    let mut leases = leases();
    let (one, two) = (leases.given(1, grant(0)), leases.given(2, grant(0)));
    assert!(leases.releases(1, 50));
    leases.drop_token(1);
    leases.drop_token(2);
    assert!(!leases.releases(1, 51));
    let renewal = wire::Renewal { active: vec![one.0], ended: vec![one.0, two.0] };
    assert_eq!(leases.renew(PERIOD_MS), Some(renewal));
}

#[test]
fn clocks_that_move_apart_end_all_leases_and_what_is_asked_for() {
    for stood_still in [true, false] {
        let mut leases = leases();
        let (held, asked) = (leases.given(1, grant(0)), leases.ask(key(2)).unwrap());
        leases.observe(at(50));
        assert!(leases.releases(1, 50));
        let mut now = at(60);
        match stood_still {
            true => now.instant = Monotonic(60 - 51),
            false => now.wall_ms = None,
        }
        leases.observe(now);
        assert!(!leases.releases(1, 60));
        leases.grant(asked, &grant(0), PERIOD_MS, Monotonic(60));
        assert!(!leases.releases(2, 60));
        // Where one of the clocks cannot be read, no lease is asked for.
        assert_eq!(leases.ask(key(3)).is_some(), stood_still);
        leases.observe(now);
        assert_eq!(leases.renew(1_000).unwrap().ended, [held.0, asked.0]);
    }
}

#[test]
fn small_differences_of_the_clocks_add_up() {
    let mut leases = leases();
    leases.given(1, grant(0));
    for step in 1..=5 {
        // It stands still for 12 ms each time.
        leases.observe(Now { wall_ms: Some(1_000_000 + 13 * step), instant: Monotonic(step) });
        assert_eq!(leases.releases(1, step), step <= 4);
    }
}

#[test]
fn a_token_or_a_stream_that_is_gone_has_no_leases() {
    let mut leases = leases();
    leases.given(1, grant(0));
    leases.given(2, grant(0));
    let asked = leases.ask(Key::new(1, RuleId(9)).unwrap()).unwrap();
    leases.drop_token(1);
    leases.grant(asked, &grant(0), PERIOD_MS, Monotonic(1));
    assert!(!leases.releases(1, 1) && leases.find(Key::new(1, RuleId(9)).unwrap(), Monotonic(1)).is_none());
    assert!(leases.releases(2, 1));
    let mut next = Leases::on(Some(2), &mut leases);
    assert_eq!((next.stream(), next.held(), next.find(key(2), Monotonic(1)).is_none()), (Some(2), 0, true));
    assert_eq!(next.take_counts(), LeaseCounts { given: 2, dropped: 2, ..LeaseCounts::default() });
}

#[test]
fn a_stream_that_is_left_is_told_all_its_leases() {
    let mut leases = leases();
    assert!(leases.farewell().is_none());
    let held = leases.given(1, grant(0));
    let asked = leases.ask(key(2)).unwrap();
    assert!(leases.releases(1, 1));
    let Farewell { stream, waits, renewal } = leases.farewell().unwrap();
    assert_eq!((stream, waits), (1, false));
    assert_eq!(renewal, wire::Renewal { active: vec![held.0], ended: vec![held.0, asked.0] });
    assert!(!leases.releases(1, 2) && leases.held() == 0);

    leases.given(1, grant(0));
    assert!(leases.renew(PERIOD_MS).is_some());
    assert!(leases.farewell().unwrap().waits, "one renewal is out at a time");
}

#[test]
fn a_question_without_an_answer_may_have_been_given_a_lease() {
    let mut leases = leases();
    let (refused, lost) = (leases.ask(key(1)).unwrap(), leases.ask(key(2)).unwrap());
    leases.decline(refused);
    leases.abandon(lost);
    leases.abandon(refused);
    assert_eq!(leases.renew(0), Some(wire::Renewal { active: vec![], ended: vec![lost.0] }));
    assert!(leases.ask(key(1)).is_some() && leases.ask(key(2)).is_some());
}

#[test]
fn leases_are_bounded_and_those_that_were_unused_for_longest_leave_first() {
    let mut leases = leases();
    let most = u32::try_from(PLACES_MAX).unwrap();
    for token in 0..most {
        leases.given(token, grant(0));
    }
    for token in (0..most).filter(|token| token % 2 == 0) {
        assert!(leases.releases(token, 1));
    }
    leases.given(most, grant(1));
    assert_eq!(leases.held(), PLACES_MAX - PLACES_MAX / EVICTED_PART + 1);
    assert!((0..=most).filter(|token| token % 2 == 0).all(|token| leases.releases(token, 2)));
    // What the service has not been told yet counts there as well.
    for token in 0..most {
        leases.drop_token(token);
    }
    let asked = (0..most).filter(|token| leases.ask(key(*token)).is_some()).count();
    assert_eq!(leases.places.len() + leases.ended.len(), LEASES_MAX);
    assert_eq!(asked, LEASES_MAX - PLACES_MAX - 1);
    let renewal = leases.renew(PERIOD_MS).unwrap();
    assert_eq!(renewal.ended.len(), PLACES_MAX);
    assert!((0..most).all(|token| leases.places.id(key(token)).is_some() || leases.ask(key(token)).is_some()));
    assert_eq!(leases.ask(key(most + 1)), None);
}
