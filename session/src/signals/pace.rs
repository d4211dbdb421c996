//! The pace of a transmitter: how many of its signals have an effect within a minute. More are held.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The time within which signals are counted.
const WINDOW: Duration = Duration::from_secs(60);

/// A sliding window over the signals of one transmitter that had an effect at this replica.
#[derive(Debug)]
pub(super) struct Pace {
    /// `None`: any number.
    limit: Option<usize>,
    acted: Mutex<VecDeque<Instant>>,
}

impl Pace {
    pub(super) fn new(limit: Option<usize>) -> Self {
        Self { limit, acted: Mutex::default() }
    }

    /// Whether a signal that arrives now may act, which counts it.
    pub(super) fn admits(&self, now: Instant) -> bool {
        let Some(limit) = self.limit else {
            return true;
        };
        let mut acted = self.acted();
        while acted.front().is_some_and(|at| now.saturating_duration_since(*at) >= WINDOW) {
            acted.pop_front();
        }
        let is_admitted = acted.len() < limit;
        if is_admitted {
            acted.push_back(now);
        }
        is_admitted
    }

    /// One that was admitted had no effect.
    pub(super) fn forget_one(&self) {
        self.acted().pop_back();
    }

    fn acted(&self) -> MutexGuard<'_, VecDeque<Instant>> {
        self.acted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn within_any_minute_no_more_signals_act_than_the_limit() {
        let (pace, start) = (Pace::new(Some(2)), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        let admitted = [0, 30, 31, 59, 60, 61, 89, 90].map(|seconds| pace.admits(at(seconds)));
        assert_eq!(admitted, [true, true, false, false, true, false, false, true]);
        pace.forget_one();
        assert!(pace.admits(at(91)) && !pace.admits(at(92)), "one without an effect does not count");
    }

    #[test]
    fn without_a_limit_all_act() {
        let pace = Pace::new(None);
        assert!((0..1_000).all(|_| pace.admits(Instant::now())));
    }
}
