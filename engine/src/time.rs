//! Two clocks with two types: the wall clock for the dates of tokens and for people, the monotonic one for every
//! deadline, wait and grace period. Setting the wall clock must neither shorten nor extend a wait.

/// The readings of both clocks in one callback of the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// Milliseconds since the Unix epoch; `None` if the clock cannot be read, in which case no token is trusted.
    pub wall_ms: Option<u64>,
    /// The instant for deadlines.
    pub instant: Monotonic,
}

/// An instant of a monotonic clock, in milliseconds since an arbitrary moment in the past.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Monotonic(pub u64);

impl Monotonic {
    /// The instant this many milliseconds later.
    #[must_use]
    pub const fn after(self, ms: u64) -> Self {
        Self(self.0.saturating_add(ms))
    }

    /// Milliseconds since `earlier`; 0 if that is in the future.
    pub const fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}
