//! Pauses for an issuer that does not answer. Pure.
//!
//! However many browsers there are: once some calls in a row have failed, one is made at a time, at growing intervals, until one
//! succeeds.

/// Failures in a row after which calls pause: one or two may be about something else than the issuer.
const FAILURES_FREE: u32 = 3;

/// The pauses, in milliseconds.
const PAUSE_MS_MIN: u64 = 1_000;
pub(super) const PAUSE_MS_MAX: u64 = 30_000;

/// How long nobody tries again after so many failures in a row.
pub(super) fn pause_ms(failures: u32) -> u64 {
    let doubled = 1_u64.checked_shl(failures.saturating_sub(1)).unwrap_or(u64::MAX);
    PAUSE_MS_MIN.saturating_mul(doubled).min(PAUSE_MS_MAX)
}

/// How long until that instant. One that is further away than any pause was set before the clock was set back.
pub(super) fn left_ms(until_ms: u64, now_ms: u64) -> u64 {
    let left_ms = until_ms.saturating_sub(now_ms);
    if left_ms > PAUSE_MS_MAX { 0 } else { left_ms }
}

/// The calls to an issuer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(in crate::tokens) struct Pause {
    failures: u32,
    until_ms: u64,
}

impl Pause {
    /// How long no call is made.
    pub(in crate::tokens) fn left_ms(self, now_ms: u64) -> u64 {
        if self.failures < FAILURES_FREE { 0 } else { left_ms(self.until_ms, now_ms) }
    }

    /// Whether a call is made now. The next one is not, for a while, unless this one succeeds.
    pub(in crate::tokens) fn admits(&mut self, now_ms: u64) -> bool {
        if self.left_ms(now_ms) > 0 {
            return false;
        }
        self.until_ms = now_ms.saturating_add(pause_ms(self.failures.saturating_sub(FAILURES_FREE)));
        true
    }

    /// A call was answered.
    pub(in crate::tokens) const fn succeeded(&mut self) {
        self.failures = 0;
    }

    /// A call was not answered.
    pub(in crate::tokens) fn failed(&mut self, now_ms: u64) {
        self.failures = self.failures.saturating_add(1);
        self.until_ms = now_ms.saturating_add(pause_ms((self.failures + 1).saturating_sub(FAILURES_FREE)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn pauses_double_up_to_a_bound() {
        let pauses: Vec<_> = (0..=7).map(pause_ms).collect();
        assert_eq!(pauses, [1_000, 1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000]);
        assert_eq!(pause_ms(u32::MAX), PAUSE_MS_MAX);
    }

    /// Calls that are made in `seconds`, one wanted each 10 ms, of which none is answered.
    fn calls_to_a_dead_issuer(pause: &mut Pause, from_ms: u64, seconds: u64) -> usize {
        let mut calls = 0;
        for now_ms in (from_ms..from_ms + seconds * 1_000).step_by(10) {
            if pause.admits(now_ms) {
                calls += 1;
                pause.failed(now_ms);
            }
        }
        calls
    }

    #[test]
    fn a_dead_issuer_is_called_now_and_then_however_many_want_to() {
        let mut pause = Pause::default();
        assert_eq!(calls_to_a_dead_issuer(&mut pause, 1_000, 1), 3);
        assert!((4..=7).contains(&calls_to_a_dead_issuer(&mut pause, 2_000, 60)));
        assert!((1..=2).contains(&calls_to_a_dead_issuer(&mut pause, 62_000, 30)));
    }

    #[test]
    fn while_one_asks_whether_it_is_back_the_others_wait_and_then_all_may_again() {
        let mut pause = Pause::default();
        (0..3).for_each(|_| pause.failed(1_000));
        assert!(!pause.admits(1_999));
        assert!(pause.admits(2_000) && !pause.admits(2_001), "one");
        pause.succeeded();
        assert!((0..10).all(|_| pause.admits(2_002)));
        // Some failures among successes are about something else.
        for _ in 0..10 {
            (0..2).for_each(|_| pause.failed(3_000));
            assert!(pause.admits(3_000));
            pause.succeeded();
        }
    }

    proptest! {
        #[test]
        fn a_clock_that_is_set_keeps_nobody_out_for_longer_than_the_longest_pause(
            times in proptest::collection::vec(0..1_000_000_u64, 1..50), after in 0..1_000_000_u64
        ) {
            let mut pause = Pause::default();
            times.iter().for_each(|now_ms| pause.failed(*now_ms));
            prop_assert!(pause.left_ms(after) <= PAUSE_MS_MAX);
            prop_assert!(pause.admits(after) || pause.admits(after + PAUSE_MS_MAX));
        }
    }
}
