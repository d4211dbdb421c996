//! The clock that is passed in: milliseconds since the Unix epoch, and whether they can be trusted.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};
use tracing::{error, info};

/// How far the two clocks may diverge before neither is trusted. Time synchronization corrects less than this at a time.
const PARTED_MS_MIN: u64 = 1_000;

/// The readings of the machine's two clocks, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reading {
    /// Since the Unix epoch, as in tokens. It can be set.
    pub wall_ms: u64,
    /// Since an arbitrary instant. It only moves forward, also while the machine sleeps.
    pub steady_ms: u64,
}

/// Whether the clocks agree. When the wall clock is set while the service runs, the service cannot know which of the two is
/// right, and ends no session for good.
#[derive(Debug)]
pub struct Agreement {
    is_parted: AtomicBool,
    /// The time by the steady clock when it was read last.
    believed_ms: AtomicU64,
}

impl Default for Agreement {
    fn default() -> Self {
        Self { is_parted: AtomicBool::new(false), believed_ms: AtomicU64::new(u64::MAX) }
    }
}

impl Agreement {
    /// Whether the wall clock was set, and has neither been set back nor been confirmed.
    pub fn is_parted(&self) -> bool {
        self.is_parted.load(Ordering::Relaxed)
    }

    /// The instant of an activity that is noted at `now_ms`, by the steady clock: with a clock that was set forward,
    /// sessions would outlive their limits.
    pub fn activity_ms(&self, now_ms: u64) -> u64 {
        now_ms.min(self.believed_ms.load(Ordering::Relaxed))
    }

    /// Whether a limit that is over since `at_ms` may end a session for good. Not by a time that was read before the clocks
    /// agreed again.
    pub fn may_end(&self, at_ms: u64) -> bool {
        !self.is_parted() && at_ms <= self.believed_ms.load(Ordering::Relaxed)
    }
}

/// The source of the time.
#[derive(Clone)]
pub struct Clock {
    read: Arc<dyn Fn() -> Reading + Send + Sync>,
    /// The wall clock less the steady one when they last agreed, modulo 2^64: either may be ahead.
    offset_ms: Arc<AtomicU64>,
    agreement: Arc<Agreement>,
}

impl Clock {
    /// The time as `read` returns it.
    pub fn new(read: impl Fn() -> Reading + Send + Sync + 'static) -> Self {
        let first = read();
        let offset_ms = first.wall_ms.wrapping_sub(first.steady_ms);
        Self { read: Arc::new(read), offset_ms: Arc::new(AtomicU64::new(offset_ms)), agreement: Arc::default() }
    }

    /// The machine's clocks.
    pub fn system() -> Self {
        Self::new(|| Reading { wall_ms: wall_ms(), steady_ms: steady_ms() })
    }

    /// Milliseconds since the epoch. While the clocks disagree, the later of the two: a session that is over by either is
    /// refused, and a revocation is later than every token.
    pub fn now_ms(&self) -> u64 {
        let Reading { wall_ms, steady_ms } = (self.read)();
        let expected_ms = steady_ms.wrapping_add(self.offset_ms.load(Ordering::Relaxed));
        let parted_ms = wall_ms.abs_diff(expected_ms);
        if parted_ms <= PARTED_MS_MIN {
            self.agree(wall_ms, steady_ms);
            return wall_ms;
        }
        let now_ms = wall_ms.max(expected_ms);
        self.agreement.believed_ms.store(expected_ms, Ordering::Relaxed);
        if !self.agreement.is_parted.swap(true, Ordering::Relaxed) {
            error!(
                parted_ms,
                "the wall clock was set: sessions that are over by either clock are refused, and none ends for good, \
                 until the clocks agree again or POST /v1/clock/confirm confirms the wall clock"
            );
        }
        now_ms
    }

    /// An operator confirms that the wall clock is right. Returns its time.
    pub fn confirm(&self) -> u64 {
        let Reading { wall_ms, steady_ms } = (self.read)();
        self.agree(wall_ms, steady_ms);
        wall_ms
    }

    fn agree(&self, wall_ms: u64, steady_ms: u64) {
        self.offset_ms.store(wall_ms.wrapping_sub(steady_ms), Ordering::Relaxed);
        self.agreement.believed_ms.store(wall_ms, Ordering::Relaxed);
        if self.agreement.is_parted.swap(false, Ordering::Relaxed) {
            info!("the clocks agree again");
        }
    }

    /// Whether its two clocks agree, for code that only receives the time.
    pub fn agreement(&self) -> &Arc<Agreement> {
        &self.agreement
    }
}

/// On Linux, the clock that also runs while the machine sleeps: sessions become idle during that time, too.
#[cfg(target_os = "linux")]
pub(crate) fn steady_ms() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    let [seconds, nanos] = [now.tv_sec, now.tv_nsec].map(|part| u64::try_from(part).unwrap_or_default());
    seconds.saturating_mul(1_000).saturating_add(nanos / 1_000_000)
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn steady_ms() -> u64 {
    static STARTED: std::sync::LazyLock<std::time::Instant> = std::sync::LazyLock::new(std::time::Instant::now);
    u64::try_from(STARTED.elapsed().as_millis()).unwrap_or(u64::MAX)
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Clock")
    }
}

/// What is added by whoever waits for the end of a lease, besides a thousandth of it: clocks of bounded rate differ.
const WAIT_MARGIN_MS: u64 = 10;

/// How long somebody waits who waits for the end of a lease of that length that another clock counts.
pub(crate) const fn waited_out_ms(lease_ms: u64) -> u64 {
    lease_ms.saturating_add(lease_ms.div_ceil(1_000)).saturating_add(WAIT_MARGIN_MS)
}

/// The wall clock, in milliseconds since the Unix epoch.
pub(crate) fn wall_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

/// The instant in RFC 3339, UTC, always with milliseconds.
pub(crate) fn rfc3339_ms(ms: u64) -> String {
    let instant = i64::try_from(ms).ok().and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
    instant.unwrap_or(jiff::Timestamp::MAX).strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string()
}

/// The instant in RFC 3339, UTC. One that RFC 3339 cannot express (after the year 9999) becomes the last that it can.
pub fn rfc3339(ms: u64) -> String {
    i64::try_from(ms)
        .ok()
        .and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok())
        .unwrap_or(jiff::Timestamp::MAX)
        .to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    const T0: u64 = 1_700_000_000_000;

    /// A clock that is set with the two cells.
    fn clock() -> (Clock, Arc<AtomicU64>, Arc<AtomicU64>) {
        let cells = [T0, 5_000].map(|at| Arc::new(AtomicU64::new(at)));
        let [wall, steady] = cells.clone();
        let read = move || Reading { wall_ms: wall.load(Ordering::Relaxed), steady_ms: steady.load(Ordering::Relaxed) };
        let [wall, steady] = cells;
        (Clock::new(read), wall, steady)
    }

    #[test]
    fn a_wall_clock_that_is_set_parts_from_the_steady_one_until_it_comes_back_or_is_confirmed() {
        // (wall, steady) after the start; the time to judge by; the instant of an activity; parted.
        let rows = [
            ((10, 10), 10, 10, false),
            ((1_010, 20), 1_010, 1_010, false),
            ((1_000_000, 1_000), 1_000_000, 1_990, true),
            ((1_003_000, 4_000), 1_003_000, 4_990, true),
            ((5_500, 5_000), 5_500, 5_500, false),
            ((0, 5_400_000), 5_400_500, 5_400_500, true),
            ((5_401_000, 5_401_000), 5_401_000, 5_401_000, false),
        ];
        let (clock, wall, steady) = clock();
        for ((wall_ms, steady_ms), now, activity, parted) in rows {
            wall.store(T0 + wall_ms, Ordering::Relaxed);
            steady.store(5_000 + steady_ms, Ordering::Relaxed);
            assert_eq!(clock.now_ms(), T0 + now, "{wall_ms} {steady_ms}");
            assert_eq!(clock.agreement().activity_ms(T0 + now), T0 + activity, "{wall_ms} {steady_ms}");
            assert_eq!(clock.agreement().is_parted(), parted, "{wall_ms} {steady_ms}");
        }
        // A time that was read before the clocks agreed again ends nothing, and is no activity.
        assert!(clock.agreement().may_end(T0 + 5_401_000) && !clock.agreement().may_end(T0 + 9_000_000));
        assert_eq!(clock.agreement().activity_ms(T0 + 9_000_000), T0 + 5_401_000);
        wall.store(T0 + 9_000_000, Ordering::Relaxed);
        clock.now_ms();
        assert!(clock.agreement().is_parted());
        assert_eq!(clock.confirm(), T0 + 9_000_000);
        assert_eq!((clock.now_ms(), clock.agreement().is_parted()), (T0 + 9_000_000, false));
    }

    #[test]
    fn the_machines_clocks_agree() {
        let clock = Clock::system();
        assert!(clock.now_ms() > T0);
        assert!(!clock.agreement().is_parted());
    }

    #[test]
    fn instants_read_in_rfc_3339() {
        assert_eq!(rfc3339(0), "1970-01-01T00:00:00Z");
        assert_eq!(rfc3339(1_700_000_000_123), "2023-11-14T22:13:20.123Z");
        assert!(rfc3339(u64::MAX).starts_with("9999-12-30"));
        assert_eq!(rfc3339_ms(1_700_000_000_100), "2023-11-14T22:13:20.100Z");
    }
}
