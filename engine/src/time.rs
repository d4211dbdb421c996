//! Two clocks, two types: the wall clock for what tokens and people say, the monotonic one for every deadline, wait and
//! grace. A wall clock that is set must neither cut a wait short nor stretch it.

/// What both clocks show in one callback of the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// Milliseconds since the Unix epoch; none when the clock cannot be read, which is no reason to believe a token.
    pub wall_ms: Option<u64>,
    /// The instant for deadlines.
    pub instant: Monotonic,
}

/// An instant of a clock that only goes forward, in milliseconds since some moment of the past.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Monotonic(pub u64);

impl Monotonic {
    /// So many milliseconds later.
    #[must_use]
    pub const fn after(self, ms: u64) -> Self {
        Self(self.0.saturating_add(ms))
    }

    /// Milliseconds from `earlier` until now; none have passed when that lies in the future.
    pub const fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}
