//! How often what is known of each holder of attributes has changed: what conditions were prepared with is outdated once this
//! has moved.
//!
//! Holders share counters, so that nothing has to be entered and forgotten. A change of one holder now and then has another's
//! conditions prepared again, to the same result.

use crate::attributes::Holder;
use crate::revocations::Bearer;
use std::collections::BTreeSet;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};

/// The number of counters.
const COUNTERS: u16 = 4_096;

/// The counters of all holders.
#[derive(Debug)]
pub(crate) struct FactEpochs {
    counters: Box<[AtomicU64]>,
    hasher: RandomState,
}

/// The counters of one session: its own, that of its session claim, of its subject and of its device. What it does not have
/// is its own once more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counters([u16; 4]);

impl Counters {
    /// Each of them.
    pub fn each(self) -> BTreeSet<u16> {
        self.0.into()
    }
}

impl Default for FactEpochs {
    fn default() -> Self {
        Self { counters: (0..COUNTERS).map(|_| AtomicU64::new(0)).collect(), hasher: RandomState::new() }
    }
}

impl FactEpochs {
    /// What is known of a holder has changed. Must be called after the change is applied in memory; returns the counter that
    /// has moved.
    pub(crate) fn changed(&self, holder: &Holder) -> u16 {
        let counter = self.counter(holder);
        if let Some(counter) = self.counters.get(usize::from(counter)) {
            counter.fetch_add(1, Ordering::SeqCst);
        }
        counter
    }

    /// The counters of a session with that device; empty: without one.
    pub(crate) fn of(&self, bearer: Bearer<'_>, device: &str) -> Counters {
        let device = Holder::device(bearer.issuer, device);
        let own = self.counter(&Holder::Session(bearer.id()));
        let mut counters = [own; 4];
        let holders = Holder::of(bearer).chain(device);
        counters.iter_mut().zip(holders).for_each(|(counter, holder)| *counter = self.counter(&holder));
        Counters(counters)
    }

    /// Moves with each change of what is known of one of their holders. To be read before the attributes are.
    #[cfg(any(test, feature = "conditions"))]
    pub(crate) fn read(&self, counters: Counters) -> u64 {
        let read = |counter: u16| self.counters.get(usize::from(counter)).map_or(0, |at| at.load(Ordering::SeqCst));
        counters.0.into_iter().map(read).fold(0, u64::wrapping_add)
    }

    fn counter(&self, holder: &Holder) -> u16 {
        let hash = self.hasher.hash_one(holder) % u64::from(COUNTERS);
        u16::try_from(hash).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use portcullis_contract::KeyKind;

    fn bearer(key: &str) -> Bearer<'_> {
        let (issuer, subject, client) = ("https://id", "alice", "web");
        Bearer { issuer, subject, client, kind: KeyKind::Claim, key, start_ms: 1, login_ms: 1 }
    }

    #[test]
    fn a_change_of_each_of_its_holders_moves_the_counters_of_a_session() {
        let epochs = FactEpochs::default();
        let counters = epochs.of(bearer("s"), "d");
        let issuer = || "https://id".to_owned();
        let holders = [
            Holder::Session(bearer("s").id()),
            Holder::Sid { issuer: issuer(), sid: "s".to_owned() },
            Holder::Subject { issuer: issuer(), subject: "alice".to_owned() },
            Holder::Device { issuer: issuer(), device: "d".to_owned() },
        ];
        for holder in holders {
            let before = epochs.read(counters);
            let moved = epochs.changed(&holder);
            assert!(epochs.read(counters) != before && counters.each().contains(&moved), "{holder:?}");
        }
    }

    #[test]
    fn few_others_move_them() {
        let epochs = FactEpochs::default();
        let counters = epochs.of(bearer("s"), "");
        let before = epochs.read(counters);
        let other =
            |number: u32| Holder::Subject { issuer: "https://id".to_owned(), subject: format!("other {number}") };
        for number in 0..100 {
            epochs.changed(&other(number));
        }
        assert!(epochs.read(counters) - before < 10);
    }
}
