//! Lines that strangers can cause are logged a few times a second; the next one says how many were not.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Lines that pass in each second.
const PER_SECOND: u32 = 5;

/// Decides which lines of one kind are logged.
pub(crate) struct Sampler(Mutex<Second>);

struct Second {
    began: Option<Instant>,
    admitted: u32,
    not_logged: u64,
}

impl Sampler {
    pub(crate) const fn new() -> Self {
        Self(Mutex::new(Second { began: None, admitted: 0, not_logged: 0 }))
    }

    /// Whether the line is to be logged; then the number of those that were not since the last.
    pub(crate) fn admit(&self) -> Option<u64> {
        self.admit_at(Instant::now())
    }

    fn admit_at(&self, now: Instant) -> Option<u64> {
        let mut second = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if second.began.is_none_or(|began| now.saturating_duration_since(began) >= Duration::from_secs(1)) {
            (second.began, second.admitted) = (Some(now), 0);
        }
        if second.admitted >= PER_SECOND {
            second.not_logged += 1;
            return None;
        }
        second.admitted += 1;
        Some(std::mem::take(&mut second.not_logged))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_many_lines_in_a_second_a_few_are_logged_and_the_next_says_how_many_were_not() {
        let (sampler, start) = (Sampler::new(), Instant::now());
        let admitted: Vec<u64> = (0..1_000).filter_map(|_| sampler.admit_at(start)).collect();
        assert_eq!(admitted, [0; 5]);
        assert_eq!(sampler.admit_at(start + Duration::from_secs(1)), Some(995));
        assert_eq!(sampler.admit_at(start + Duration::from_secs(1)), Some(0));
    }
}
