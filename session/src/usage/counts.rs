//! The counts of the service that are not in the store yet.

use super::{Count, KEPT_MAX, Kind, NAME_BYTES_MAX, Used, day_of};
use crate::store::{Store, StoreError};
use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};

/// Scopes and routes whose uses by any more clients are counted under the scope or route itself. Beyond these, not even that
/// is kept apart.
const NAMES_MAX: usize = 100_000;

/// What is counted under one number.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Key {
    day: u32,
    kind: Kind,
    name: Arc<str>,
    client: Arc<str>,
}

/// The counts that are not in the store yet.
#[derive(Debug, Default)]
pub struct Usage {
    counts: Mutex<Counts>,
    /// Held while counts are on their way into the store, and while the store is read: what is on its way is neither missed
    /// nor counted twice.
    moving: Mutex<()>,
}

/// The counts, locked.
#[derive(Debug, Default)]
pub(super) struct Counts {
    unwritten: HashMap<Key, Count>,
    /// Digests of what this day has counts for, in the store or here. A digest is eight bytes, and names can be long.
    day: u32,
    known: HashSet<u64>,
    hasher: RandomState,
    /// Requests counted together since they were last asked for.
    together: u64,
    no_name: Arc<str>,
}

impl Usage {
    pub(super) fn lock(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Learns what the store has counts for today, so that a restart does not make room for as many again.
    pub fn load(&self, store: &dyn Store, now_ms: u64) -> Result<(), StoreError> {
        let mut counts = self.lock();
        let today = day_of(now_ms);
        counts.turn_to(today);
        store.usage(today, &mut |used| {
            let Used { day, kind, name, client, .. } = used;
            if day == today && counts.known.len() < KEPT_MAX {
                let digest = counts.digest(&Key { day, kind, name: name.into(), client: client.into() });
                counts.known.insert(digest);
            }
        })
    }

    /// Has at most `max` counts written. Returns whether there are more, which is not now if the store is being read.
    pub(crate) fn write(&self, max: usize, write: impl FnOnce(Vec<Used>) -> Result<(), StoreError>) -> bool {
        let _moving = match self.moving.try_lock() {
            Ok(moving) => moving,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return false,
        };
        let taken = self.lock().take(max);
        if taken.is_empty() {
            return false;
        }
        let written = write(taken.iter().map(|(key, count)| key.used(*count)).collect());
        let mut counts = self.lock();
        match written {
            Ok(()) => !counts.unwritten.is_empty(),
            Err(_) => {
                taken.into_iter().for_each(|(key, count)| counts.unwritten.entry(key).or_default().add(count));
                false
            }
        }
    }

    /// Calls `each` with every count since a day: those of the store, and those that it lacks.
    pub fn read(&self, store: &dyn Store, since: u32, each: &mut dyn FnMut(Used)) -> Result<(), StoreError> {
        let _moving = self.moving.lock().unwrap_or_else(PoisonError::into_inner);
        store.usage(since, each)?;
        let counts = self.lock();
        let recent = counts.unwritten.iter().filter(|(key, _)| key.day >= since);
        recent.for_each(|(key, count)| each(key.used(*count)));
        Ok(())
    }
}

impl Counts {
    /// Counts requests of a route.
    pub(super) fn route(&mut self, route: &Arc<str>, client: &Arc<str>, asked: u64, last_ms: u64) {
        self.count(Kind::Route, route, client, Count { asked, last_ms, ..Count::default() });
    }

    /// Counts what requests mean for a scope.
    pub(super) fn scope(&mut self, scope: &Arc<str>, client: &Arc<str>, count: Count) {
        self.count(Kind::Scope, scope, client, count);
    }

    /// Counts requests of which nothing else is known.
    pub(super) fn others(&mut self, asked: u64, last_ms: u64) {
        let none = Arc::clone(&self.no_name);
        self.together = self.together.saturating_add(asked);
        self.count(Kind::Route, &none, &none, Count { asked, last_ms, ..Count::default() });
    }

    fn count(&mut self, kind: Kind, name: &Arc<str>, client: &Arc<str>, count: Count) {
        let day = day_of(count.last_ms);
        if day > self.day {
            self.turn_to(day);
        }
        let key = Key { day, kind, name: Arc::clone(name), client: Arc::clone(client) };
        if let Some(held) = self.unwritten.get_mut(&key) {
            return held.add(count);
        }
        let key = self.kept(key, count.asked);
        self.unwritten.entry(key).or_default().add(count);
    }

    /// The key under which this is counted: its own, as long as there is room.
    fn kept(&mut self, key: Key, asked: u64) -> Key {
        let is_long = key.name.len() > NAME_BYTES_MAX || key.client.len() > NAME_BYTES_MAX;
        if !is_long && self.admits(&key, KEPT_MAX) {
            return key;
        }
        self.together = self.together.saturating_add(asked);
        let is_long = key.name.len() > NAME_BYTES_MAX;
        let of_name = Key { client: Arc::clone(&self.no_name), ..key };
        match !is_long && self.admits(&of_name, KEPT_MAX + NAMES_MAX) {
            true => of_name,
            false => Key { name: Arc::clone(&self.no_name), ..of_name },
        }
    }

    fn admits(&mut self, key: &Key, max: usize) -> bool {
        let digest = self.digest(key);
        if self.known.contains(&digest) {
            return true;
        }
        // A store that has been away for days leaves what those days have counted here.
        let has_room = self.known.len() < max && self.unwritten.len() < 2 * max;
        if has_room {
            self.known.insert(digest);
        }
        has_room
    }

    fn digest(&self, key: &Key) -> u64 {
        self.hasher.hash_one(key)
    }

    fn turn_to(&mut self, day: u32) {
        self.day = day;
        self.known = HashSet::new();
    }

    fn take(&mut self, max: usize) -> Vec<(Key, Count)> {
        if self.unwritten.len() <= max {
            return std::mem::take(&mut self.unwritten).into_iter().collect();
        }
        let mut left = max;
        let some = self.unwritten.extract_if(|_, _| {
            let is_taken = left > 0;
            left = left.saturating_sub(1);
            is_taken
        });
        some.collect()
    }

    /// Returns and resets how many requests were counted together.
    pub(super) fn take_kept_together(&mut self) -> u64 {
        std::mem::take(&mut self.together)
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.unwritten.len()
    }
}

impl Key {
    fn used(&self, count: Count) -> Used {
        let (name, client) = (self.name.as_ref().to_owned(), self.client.as_ref().to_owned());
        Used { day: self.day, kind: self.kind, name, client, count }
    }
}
