//! What was prepared for sessions, for all streams: bounded in number and in size. What was not asked for lately goes first.

use super::marks::{Stamp, Target};
use portcullis_conditions::{Decision, Prepared, Session};
use portcullis_contract::SessionId;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The number of shards; a power of two.
const SHARDS: usize = 64;

/// What each shard keeps at most, in bytes as they are estimated. Of all shards, both halves: 64 MiB.
const HALF_BYTES_MAX: usize = 512 << 10;

/// Results that are kept for one session. With more, all are found out again.
const PIECES_MAX: usize = 256;

/// What an entry and a prepared result take, as far as they are not counted, in bytes.
const LINE_BYTES: usize = 512;
const PIECE_BYTES: usize = 256;
/// What a result takes that is not settled.
const RESIDUAL_BYTES: usize = 4 << 10;

/// What tells the tokens of a session apart whose facts differ: their digest.
pub(super) type Fingerprint = u64;

/// What is prepared for a route, a method and a session.
#[derive(Debug)]
pub(super) struct Piece {
    /// The facts that it was prepared with.
    pub(super) session: Arc<Session>,
    /// The result.
    pub(super) prepared: Prepared,
}

impl Piece {
    /// Whether no condition forbids it, whatever the request.
    pub(super) fn is_allowed(&self) -> bool {
        matches!(self.prepared.settled(), Some(Decision::Allowed))
    }

    fn bytes(&self) -> usize {
        PIECE_BYTES + if self.prepared.settled().is_some() { 0 } else { RESIDUAL_BYTES }
    }
}

/// A session with the facts of one of its tokens, and what is prepared for it.
#[derive(Debug)]
struct Line {
    stamp: Stamp,
    session: Arc<Session>,
    pieces: Vec<(Target, Arc<Piece>)>,
    /// What it takes without what is prepared, and with it.
    own_bytes: usize,
    bytes: usize,
}

/// The key of an entry.
pub(super) type Key = (SessionId, Fingerprint);

#[derive(Debug, Default)]
struct Half {
    lines: HashMap<Key, Line>,
    bytes: usize,
}

impl Half {
    fn put(&mut self, key: Key, line: Line) {
        self.remove(&key);
        self.bytes += line.bytes;
        self.lines.insert(key, line);
    }

    fn remove(&mut self, key: &Key) -> Option<Line> {
        let line = self.lines.remove(key)?;
        self.bytes = self.bytes.saturating_sub(line.bytes);
        Some(line)
    }

    fn pieces(&self) -> usize {
        self.lines.values().map(|line| line.pieces.len()).sum()
    }
}

/// A shard. Entries that are used move to the young half; once that is full, it becomes the old one, whose entries go.
#[derive(Debug, Default)]
struct Shard {
    young: Half,
    old: Half,
}

impl Shard {
    /// The entry of a key, if it is not outdated.
    fn line(&mut self, key: &Key, is_current: impl FnOnce(&Stamp) -> bool) -> Option<&mut Line> {
        if let Some(line) = self.old.remove(key) {
            self.put(*key, line);
        }
        self.young.lines.get_mut(key).filter(|line| is_current(&line.stamp))
    }

    fn put(&mut self, key: Key, line: Line) {
        self.old.remove(&key);
        self.young.put(key, line);
        self.turn();
    }

    fn turn(&mut self) {
        if self.young.bytes > HALF_BYTES_MAX {
            self.old = std::mem::take(&mut self.young);
        }
    }
}

/// Everything that is prepared.
#[derive(Debug)]
pub(super) struct Cache([Mutex<Shard>; SHARDS]);

impl Default for Cache {
    fn default() -> Self {
        Self(std::array::from_fn(|_| Mutex::default()))
    }
}

impl Cache {
    /// The facts of a session, and until when they hold.
    pub(super) fn session(&self, key: &Key, is_current: impl FnOnce(&Stamp) -> bool) -> Option<(Stamp, Arc<Session>)> {
        self.shard(key).line(key, is_current).map(|line| (line.stamp, Arc::clone(&line.session)))
    }

    /// Keeps the facts of a session, in the place of older ones.
    pub(super) fn put_session(&self, key: Key, stamp: Stamp, session: &Arc<Session>) {
        let own_bytes = LINE_BYTES + bytes(session);
        let line = Line { stamp, session: Arc::clone(session), pieces: Vec::new(), own_bytes, bytes: own_bytes };
        self.shard(&key).put(key, line);
    }

    /// What is prepared for a method on a route.
    pub(super) fn piece(&self, key: &Key, stamp: &Stamp, of: Target) -> Option<Arc<Piece>> {
        let mut shard = self.shard(key);
        let line = shard.line(key, |held| held == stamp)?;
        line.pieces.iter().find(|(held, _)| *held == of).map(|(_, piece)| Arc::clone(piece))
    }

    /// Keeps what was prepared.
    pub(super) fn put_piece(&self, key: &Key, stamp: &Stamp, of: Target, piece: &Arc<Piece>) {
        let mut shard = self.shard(key);
        let Some(line) = shard.line(key, |held| held == stamp) else { return };
        let shares = Arc::ptr_eq(&piece.session, &line.session);
        let own = piece.bytes() + if shares { 0 } else { bytes(&piece.session) };
        // Two streams may have prepared the same.
        if line.pieces.iter().any(|(held, _)| *held == of) {
            return;
        }
        let mut freed = 0;
        if line.pieces.len() >= PIECES_MAX {
            line.pieces.clear();
            freed = std::mem::replace(&mut line.bytes, line.own_bytes) - line.own_bytes;
        }
        line.pieces.push((of, Arc::clone(piece)));
        line.bytes += own;
        shard.young.bytes = (shard.young.bytes + own).saturating_sub(freed);
        shard.turn();
    }

    /// How many results it holds.
    pub(super) fn len(&self) -> usize {
        let count = |shard: &Mutex<Shard>| {
            let shard = lock(shard);
            shard.young.pieces() + shard.old.pieces()
        };
        self.0.iter().map(count).sum()
    }

    /// Drops everything: other conditions are in force.
    pub(super) fn clear(&self) {
        self.0.iter().for_each(|shard| *lock(shard) = Shard::default());
    }

    fn shard(&self, (id, _): &Key) -> MutexGuard<'_, Shard> {
        let [_, second, ..] = id.0;
        #[expect(clippy::indexing_slicing, reason = "the remainder is below the array's length")]
        lock(&self.0[usize::from(second) % SHARDS])
    }
}

/// What the facts of a session take, about.
fn bytes(session: &Session) -> usize {
    let lists = [&session.groups, &session.scopes, &session.amr];
    let maps = [&session.attributes, &session.subject_attributes];
    let of_text = |text: &String| text.len() + size_of::<String>();
    let in_lists: usize = lists.into_iter().flatten().map(of_text).sum();
    let in_maps: usize = maps.into_iter().flatten().map(|(name, value)| of_text(name) + of_text(value)).sum();
    size_of::<Session>() + session.subject.len() + session.issuer.len() + session.client.len() + in_lists + in_maps
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What these locks guard is consistent between any two statements: a panic elsewhere does not spoil it.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fact_epochs::Counters;
    use portcullis_contract::KeyKind;

    fn stamp(generation: u32) -> Stamp {
        let counters = Counters::default();
        Stamp { generation, facts: 0, counters, conditions: 1, from_ms: 0, until_ms: None }
    }

    fn key(number: u32) -> Key {
        (SessionId::of(KeyKind::Claim, "i", &number.to_string(), ""), 7)
    }

    #[test]
    fn what_was_found_out_for_an_older_generation_is_not_given() {
        let cache = Cache::default();
        cache.put_session(key(1), stamp(1), &Arc::default());
        assert!(cache.session(&key(1), |held| *held == stamp(1)).is_some());
        assert!(cache.session(&key(1), |held| *held == stamp(2)).is_none());
        cache.put_session(key(1), stamp(2), &Arc::default());
        assert!(cache.session(&key(1), |held| *held == stamp(1)).is_none());
        cache.clear();
        assert!(cache.session(&key(1), |_| true).is_none());
    }

    #[test]
    fn it_is_bounded_and_keeps_what_is_used() {
        let cache = Cache::default();
        let is_kept = |number| cache.session(&key(number), |_| true).is_some();
        cache.put_session(key(0), stamp(1), &Arc::default());
        for number in 1..200_000 {
            cache.put_session(key(number), stamp(1), &Arc::default());
            if number % 64 == 0 {
                assert!(is_kept(0), "{number}");
            }
        }
        assert!(!is_kept(1), "the oldest one is still there");
        let bytes_of = |shard: &Mutex<Shard>| {
            let shard = lock(shard);
            shard.young.bytes + shard.old.bytes
        };
        let held: usize = cache.0.iter().map(bytes_of).sum();
        assert!(held <= SHARDS * 2 * (HALF_BYTES_MAX + LINE_BYTES * 4), "{held}");
    }
}
