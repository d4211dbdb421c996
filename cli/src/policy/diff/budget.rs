//! Limits the cost of a comparison.

/// The budget of one comparison: about ten seconds or half a gigabyte. Changing all of ten thousand routes for fifty hosts takes
/// less than half of it.
const UNITS_MAX: u64 = 4_000_000_000;

/// The remaining budget. Once it does not suffice for a step it is exhausted, and the comparison is known to be incomplete.
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

    /// Spends these units, if they are left.
    pub(super) fn spend(&mut self, units: u64) -> bool {
        self.left = self.left.and_then(|left| left.checked_sub(units));
        self.left.is_some()
    }

    pub(super) fn is_exhausted(&self) -> bool {
        self.left.is_none()
    }

    /// Marks the comparison as incomplete.
    pub(super) fn exhaust(&mut self) {
        self.left = None;
    }
}
