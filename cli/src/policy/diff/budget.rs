//! How much a comparison may cost.

/// What one comparison may cost: some ten seconds, or half a gigabyte. Ten thousand routes for fifty hosts that all change take
/// less than half of it.
const UNITS_MAX: u64 = 4_000_000_000;

/// What is left to spend. Once it does not suffice, nothing is spent any more, and the comparison is known to be incomplete.
#[derive(Debug)]
pub(super) struct Budget {
    left: Option<u64>,
}

impl Default for Budget {
    fn default() -> Self {
        Self { left: Some(UNITS_MAX) }
    }
}

impl Budget {
    #[cfg(test)]
    pub(super) fn of(units: u64) -> Self {
        Self { left: Some(units) }
    }

    /// Takes these units, if they are there.
    pub(super) fn spend(&mut self, units: u64) -> bool {
        self.left = self.left.and_then(|left| left.checked_sub(units));
        self.left.is_some()
    }

    pub(super) fn is_exhausted(&self) -> bool {
        self.left.is_none()
    }

    /// Nothing is left from now on.
    pub(super) fn exhaust(&mut self) {
        self.left = None;
    }
}
