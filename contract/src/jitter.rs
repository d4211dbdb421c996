//! Waits that end at different times for different parties, so that they do not retry in step.

/// Shortens waits at random. The default shortens nothing.
#[derive(Debug, Clone, Default)]
pub struct Jitter(u64);

impl Jitter {
    /// `seed` distinguishes the parties.
    pub const fn new(seed: u64) -> Self {
        // Xorshift never leaves 0, and its first numbers resemble a small seed.
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// A wait, less a random part of up to a half.
    pub fn shorten(&mut self, wait_ms: u64) -> u64 {
        wait_ms - self.random() % (wait_ms / 2 + 1)
    }

    /// Xorshift: it only has to distinguish.
    const fn random(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn a_wait_loses_at_most_a_half_and_neighbours_do_not_wait_alike() {
        let waits = |seed| {
            let mut jitter = Jitter::new(seed);
            [1_000; 8].map(|wait_ms| jitter.shorten(wait_ms))
        };
        let all: BTreeSet<_> = (0..100).map(waits).collect();
        assert_eq!(all.len(), 100);
        assert!(all.iter().flatten().all(|wait_ms| (500..=1_000).contains(wait_ms)), "{all:?}");
        let firsts: BTreeSet<_> = all.iter().map(|waits| waits[0] / 100).collect();
        assert!(firsts.len() > 3, "{firsts:?}");
        assert_eq!([0, 1, u64::MAX].map(|wait_ms| Jitter::default().shorten(wait_ms)), [0, 1, u64::MAX]);
    }
}
