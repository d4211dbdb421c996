//! The two clocks beside each other. When a virtual machine is suspended, one of them stands still, and leases would live on.

use crate::time::Now;

/// How far the clocks can move apart before leases are dropped, in milliseconds.
const APART_MS_MAX: u128 = 50;

/// How far the wall clock was ahead of the monotonic one when the first of the leases was asked for. It stays the same for as
/// long as there are leases: if it followed each reading, many short suspensions would add up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub(super) struct Clocks {
    ahead_ms: Option<i128>,
}

impl Clocks {
    pub(super) fn read(now: Now) -> Self {
        Self { ahead_ms: now.wall_ms.map(|wall_ms| i128::from(wall_ms) - i128::from(now.instant.0)) }
    }

    /// Whether both clocks could be read.
    pub(super) const fn are_read(self) -> bool {
        self.ahead_ms.is_some()
    }

    /// Whether both have passed the same time since.
    pub(super) fn are_steady(self, now: Now) -> bool {
        let ahead = self.ahead_ms.zip(Self::read(now).ahead_ms);
        ahead.is_some_and(|(then, now)| then.abs_diff(now) <= APART_MS_MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Monotonic;

    fn at(wall_ms: Option<u64>, instant: u64) -> Now {
        Now { wall_ms, instant: Monotonic(instant) }
    }

    #[test]
    fn clocks_that_part_by_more_than_fifty_milliseconds_are_not_steady() {
        let clocks = Clocks::read(at(Some(1_000_000), 5));
        assert!(clocks.are_read());
        for (wall_ms, instant, is_steady) in [
            (1_000_000, 5, true),
            (1_500_000, 500_005, true),
            // One of them stood still, or was set.
            (1_000_050, 5, true),
            (1_000_051, 5, false),
            (1_000_000, 55, true),
            (1_000_000, 56, false),
            (999_949, 5, false),
            (0, u64::MAX, false),
            (u64::MAX, 0, false),
        ] {
            assert_eq!(clocks.are_steady(at(Some(wall_ms), instant)), is_steady, "{wall_ms} {instant}");
        }
    }

    #[test]
    fn a_clock_that_cannot_be_read_is_not_steady() {
        let clocks = Clocks::read(at(None, 5));
        assert!(!clocks.are_read() && !clocks.are_steady(at(Some(5), 5)));
        assert!(!Clocks::read(at(Some(5), 5)).are_steady(at(None, 5)));
    }
}
