//! Held signals: those of a transmitter that has sent more than it usually does. They are durable and have no effect until
//! somebody releases or drops them: a key that was stolen must not log everybody out.

use crate::signals::Order;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::ops::Bound;
use std::sync::atomic::{AtomicU32, Ordering};

/// Held signals of one transmitter. More are to be sent again.
const COUNT_MAX: usize = 10_000;

/// All that they say, in bytes.
const BYTES_MAX: usize = 16 << 20;

/// A signal that is held.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldSignal {
    /// Its public id: 32 random hexadecimal digits.
    pub id: String,
    /// The name of its transmitter.
    pub transmitter: String,
    /// `jti`, if its kind has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jti: Option<String>,
    /// When it arrived.
    pub received_at_ms: u64,
    /// Tells those apart that arrived in one millisecond.
    number: u32,
    /// What it does when it is released.
    pub order: Order,
}

impl HeldSignal {
    /// One that has just arrived.
    pub fn new(transmitter: &str, jti: Option<&str>, order: Order, received_at_ms: u64) -> Self {
        static ARRIVED: AtomicU32 = AtomicU32::new(0);
        // The standard library seeds its hashers at random.
        let random = || RandomState::new().build_hasher().finish();
        let id = format!("{:016x}{:016x}", random(), random());
        let number = ARRIVED.fetch_add(1, Ordering::Relaxed);
        Self { id, transmitter: transmitter.to_owned(), jti: jti.map(str::to_owned), received_at_ms, number, order }
    }

    /// Its place in lists: places are in the order of arrival.
    pub fn place(&self) -> String {
        format!("{:013}-{:010}-{}", self.received_at_ms, self.number, self.id)
    }

    fn bytes(&self) -> usize {
        serde_json::to_vec(self).map_or(BYTES_MAX, |json| json.len())
    }
}

/// What is held of one transmitter.
#[derive(Debug, Default, Clone, Copy)]
struct Sum {
    count: usize,
    bytes: usize,
}

/// All held signals.
#[derive(Debug, Default)]
pub struct HeldSignals {
    by_place: BTreeMap<String, HeldSignal>,
    places: HashMap<String, String>,
    sums: HashMap<String, Sum>,
}

impl HeldSignals {
    /// Adds one.
    pub fn add(&mut self, signal: HeldSignal) {
        drop(self.remove(&signal.id));
        let sum = self.sums.entry(signal.transmitter.clone()).or_default();
        *sum = Sum { count: sum.count + 1, bytes: sum.bytes + signal.bytes() };
        self.places.insert(signal.id.clone(), signal.place());
        self.by_place.insert(signal.place(), signal);
    }

    /// Removes the one with that id; returns it if it was there.
    pub fn remove(&mut self, id: &str) -> Option<HeldSignal> {
        let removed = self.by_place.remove(&self.places.remove(id)?)?;
        if let Some(sum) = self.sums.get_mut(&removed.transmitter) {
            let bytes = sum.bytes.saturating_sub(removed.bytes());
            *sum = Sum { count: sum.count.saturating_sub(1), bytes };
        }
        Some(removed)
    }

    /// The one with that id.
    pub fn get(&self, id: &str) -> Option<&HeldSignal> {
        self.by_place.get(self.places.get(id)?)
    }

    /// All of them, the oldest first.
    pub fn all(&self) -> impl Iterator<Item = &HeldSignal> {
        self.by_place.values()
    }

    /// Those after a place, the oldest first.
    pub fn after(&self, place: Option<&str>) -> impl Iterator<Item = &HeldSignal> {
        let from = place.map_or(Bound::Unbounded, Bound::Excluded);
        self.by_place.range::<str, _>((from, Bound::Unbounded)).map(|(_, signal)| signal)
    }

    /// Whether there is room for another one of a transmitter.
    pub fn has_room(&self, transmitter: &str) -> bool {
        self.sums.get(transmitter).is_none_or(|sum| sum.count < COUNT_MAX && sum.bytes < BYTES_MAX)
    }

    /// Those who have sent any, with transmitters that are no longer configured.
    pub fn transmitters(&self) -> impl Iterator<Item = &str> {
        self.sums.keys().map(String::as_str)
    }

    /// How many there are of a transmitter, and when the oldest one arrived.
    pub fn waiting(&self, transmitter: &str) -> (usize, Option<u64>) {
        let count = self.sums.get(transmitter).map_or(0, |sum| sum.count);
        let oldest = (count > 0).then(|| self.all().find(|signal| signal.transmitter == transmitter)).flatten();
        (count, oldest.map(|signal| signal.received_at_ms))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signal(transmitter: &str, at_ms: u64) -> HeldSignal {
        HeldSignal::new(transmitter, Some("1"), Order::default(), at_ms)
    }

    #[test]
    fn they_are_counted_for_each_transmitter_and_have_room_only_up_to_a_number() {
        let mut held = HeldSignals::default();
        let first = signal("a", 7);
        held.add(first.clone());
        held.add(first.clone());
        assert_eq!(held.waiting("a"), (1, Some(7)), "applied twice, it is one");
        (1..COUNT_MAX).for_each(|n| held.add(signal("a", 7 + n as u64)));
        assert!(!held.has_room("a") && held.has_room("b"));
        assert_eq!(held.remove(&first.id), Some(first.clone()));
        assert_eq!(held.remove(&first.id), None);
        assert!(held.has_room("a"));
        assert_eq!(held.waiting("a"), (COUNT_MAX - 1, Some(8)));
        assert_eq!(held.waiting("b"), (0, None));
    }

    #[test]
    fn they_are_listed_in_the_order_of_their_arrival() {
        let mut held = HeldSignals::default();
        let arrived: Vec<HeldSignal> = (0..100).map(|at_ms| signal("a", 1_700_000_000_000 + at_ms / 10)).collect();
        arrived.iter().rev().cloned().for_each(|signal| held.add(signal));
        assert!(held.all().eq(&arrived));
        assert!(held.after(Some(&arrived[41].place())).eq(&arrived[42..]));
    }

    #[test]
    fn what_they_say_is_bounded_as_well() {
        let mut held = HeldSignals::default();
        let long = Order { reason: "x".repeat(BYTES_MAX), ..Order::default() };
        held.add(HeldSignal::new("a", None, long, 1));
        assert!(!held.has_room("a"));
    }
}
