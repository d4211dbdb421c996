//! When tokens are renewed: a table, and every moment of lives of many lengths.

use super::*;
use proptest::prelude::*;

const T0: u64 = 1_700_000_000_000;
const FOR_EVER: u64 = u64::MAX;

fn held(life_ms: u64) -> Held {
    Held {
        since_ms: T0,
        expires_at_ms: T0 + life_ms,
        ends_at_ms: FOR_EVER,
        idle_ms: FOR_EVER,
        is_renewable: true,
        paused_ms: 0,
    }
}

#[test]
fn a_token_of_ten_seconds_is_renewed_after_two_thirds_of_them_and_waited_for_in_its_last_second() {
    let (token, paused) = (held(10_000), Held { paused_ms: 3_000, ..held(10_000) });
    let dead = Held { is_renewable: false, ..held(10_000) };
    for (after_ms, decision, while_paused, without_refresh_token) in [
        (0, Decision::Current(6_667), Decision::Current(6_667), Decision::Current(10_000)),
        (6_000, Decision::Current(667), Decision::Current(667), Decision::Current(4_000)),
        (6_666, Decision::Current(SOON_MS_MIN), Decision::Current(SOON_MS_MIN), Decision::Current(3_334)),
        (6_667, Decision::Due(833), Decision::Current(3_000), Decision::Current(3_333)),
        (8_000, Decision::Due(500), Decision::Current(2_000), Decision::Current(2_000)),
        (8_999, Decision::Due(250), Decision::Current(1_001), Decision::Current(1_001)),
        (9_000, Decision::Wait, Decision::Current(1_000), Decision::Current(1_000)),
        (9_999, Decision::Wait, Decision::Current(SOON_MS_MIN), Decision::Current(SOON_MS_MIN)),
        (10_000, Decision::Wait, Decision::Paused, Decision::Over),
        (60_000, Decision::Wait, Decision::Paused, Decision::Over),
    ] {
        let now_ms = T0 + after_ms;
        let decisions = [token, paused, dead].map(|held| held.decide(now_ms));
        assert_eq!(decisions, [decision, while_paused, without_refresh_token], "{after_ms}");
        assert_eq!(token.is_due(now_ms), after_ms >= 6_667, "{after_ms}");
        assert!(!paused.is_due(now_ms) && !dead.is_due(now_ms));
    }
}

#[test]
fn a_family_that_is_over_gives_nothing_and_the_filter_asks_when_it_is() {
    let token = Held { ends_at_ms: T0 + 5_000, ..held(10_000) };
    assert_eq!(token.decide(T0), Decision::Current(5_000));
    assert_eq!(token.decide(T0 + 5_000), Decision::Over);
}

#[test]
fn a_browser_that_is_used_keeps_its_family_although_its_token_would_live_for_longer() {
    let token = Held { idle_ms: 600_000, ends_at_ms: T0 + 600_000, ..held(3_600_000) };
    assert_eq!(token.decide(T0), Decision::Current(400_000));
    assert_eq!(token.decide(T0 + 400_000), Decision::Due(SOON_MS_MAX));
}

#[test]
fn a_token_that_had_ended_when_it_came_or_that_is_from_the_future_is_no_trouble() {
    assert_eq!(held(0).decide(T0), Decision::Wait);
    // The clock was set back.
    assert_eq!(held(10_000).decide(T0 - 60_000), Decision::Current(66_667));
    assert_eq!(held(u64::MAX - T0).decide(0), Decision::Current(held(u64::MAX - T0).due_at_ms()));
}

proptest! {
    /// A filter that asks when it is told, of an issuer that answers within a tenth of a token's life, never waits.
    #[test]
    fn nobody_who_asks_in_time_ever_waits(life_ms in 2_000..600_000_u64, takes in 0..100_u64) {
        let (mut token, mut now_ms, mut asked_at_ms) = (held(life_ms), T0, None::<u64>);
        let takes_ms = life_ms * takes / 1_000;
        for _ in 0..200 {
            if let Some(since_ms) = asked_at_ms && since_ms + takes_ms <= now_ms {
                // It has come.
                let came_at_ms = since_ms + takes_ms;
                token = Held { since_ms: came_at_ms, expires_at_ms: came_at_ms + life_ms, ..token };
                asked_at_ms = None;
            }
            match token.decide(now_ms) {
                Decision::Current(again_ms) => now_ms += again_ms,
                Decision::Due(again_ms) => {
                    asked_at_ms.get_or_insert(now_ms);
                    now_ms += again_ms;
                }
                other => prop_assert!(false, "{other:?} at {}", now_ms - T0),
            }
            prop_assert!(now_ms < token.expires_at_ms || asked_at_ms.is_some());
        }
    }

    /// No answer has the filter ask at once for ever, or go on with a token after its end.
    #[test]
    fn a_filter_asks_again_before_the_end_and_not_all_the_time(
        life_ms in 0..10_000_000_u64, after_ms in 0..10_000_000_u64, paused_ms in 0..40_000_u64, is_renewable: bool
    ) {
        let token = Held { paused_ms, is_renewable, ..held(life_ms) };
        match token.decide(T0 + after_ms) {
            Decision::Current(again_ms) | Decision::Due(again_ms) => {
                prop_assert!(after_ms < life_ms, "it has ended");
                prop_assert!((SOON_MS_MIN..=(life_ms - after_ms).max(SOON_MS_MIN)).contains(&again_ms));
            }
            Decision::Wait => prop_assert!(is_renewable && paused_ms == 0),
            Decision::Paused => prop_assert!(is_renewable && after_ms >= life_ms),
            Decision::Over => prop_assert!(!is_renewable && after_ms >= life_ms),
        }
    }
}
