//! The book of all leases that streams have or may have. It is pure: time is an argument, in milliseconds of the steady clock.

use crate::clock::waited_out_ms;
use crate::fact_epochs::Counters;
use crate::replica::Place;
use portcullis_contract::SessionId;
use portcullis_contract::bounds::LEASES_MAX;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};

/// The book.
#[derive(Debug, Default)]
pub(super) struct Book {
    streams: BTreeMap<u64, Table>,
    streams_ever: u64,
    /// Session, stream, lease: those of one session are next to each other.
    by_session: BTreeSet<(SessionId, u64, u32)>,
    /// Counter of facts, stream, lease: only of those that conditions were asked about.
    by_fact: BTreeSet<(u16, u64, u32)>,
    /// The leases that are marked, by when; with the instant at which each has run out.
    pending: BTreeMap<(u64, u64, u32), u64>,
    tickets: u64,
    /// Places in the log whose changes have marked what they concern, with the tickets by which they had.
    places: VecDeque<(u64, Place)>,
    settled: Place,
}

/// The leases of one stream.
#[derive(Debug)]
struct Table {
    leases: HashMap<u32, Entry>,
    /// When it was extended last.
    renewed_ms: u64,
    /// A filter that has closed it drops its leases, and says so to nobody.
    is_open: bool,
    /// Those that are to be judged again.
    marked: HashSet<u32>,
    /// Those that a renewal does not extend.
    fixed: HashSet<u32>,
    /// The take-backs that are out, each with its leases.
    taken: HashMap<u32, Vec<u32>>,
    taken_ever: u32,
}

#[derive(Debug)]
struct Entry {
    session: SessionId,
    facts: Option<Counters>,
    /// For how long it is, or may be.
    length_ms: u64,
    /// When the question arrived that it is counted from; once it is fixed, or that of the renewal that extended it last.
    from_ms: u64,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// It is asked for: its filter does not have it.
    Asked,
    /// Its filter may have it.
    Given,
    /// The same, and a change since may concern it.
    Marked { ticket: u64, taken_by: Option<u32> },
}

impl Table {
    fn until_ms(&self, lease: u32, entry: &Entry) -> u64 {
        let from_ms = match self.fixed.contains(&lease) {
            true => entry.from_ms,
            false => entry.from_ms.max(self.renewed_ms),
        };
        from_ms.saturating_add(waited_out_ms(entry.length_ms))
    }

    /// It ends when it would have without any further renewal.
    fn fix(&mut self, lease: u32) {
        let renewed_ms = self.renewed_ms;
        if let Some(entry) = self.leases.get_mut(&lease)
            && self.fixed.insert(lease)
        {
            entry.from_ms = entry.from_ms.max(renewed_ms);
        }
    }
}

impl Book {
    /// Opens a stream.
    pub(super) fn open(&mut self) -> u64 {
        self.streams_ever = self.streams_ever.wrapping_add(1);
        let table = Table {
            leases: HashMap::new(),
            renewed_ms: 0,
            is_open: true,
            marked: HashSet::new(),
            fixed: HashSet::new(),
            taken: HashMap::new(),
            taken_ever: 0,
        };
        self.streams.insert(self.streams_ever, table);
        self.streams_ever
    }

    /// Closes a stream: its filter may have its leases for as long as they run, and does not have those that it has only asked
    /// for, because they were never sent.
    pub(super) fn close(&mut self, stream: u64) {
        let Some(table) = self.streams.get_mut(&stream) else { return };
        table.is_open = false;
        table.marked.clear();
        let asked = |(lease, entry): (&u32, &Entry)| (entry.state == State::Asked).then_some(*lease);
        let asked: Vec<u32> = table.leases.iter().filter_map(asked).collect();
        asked.into_iter().for_each(|lease| self.free(stream, lease));
        self.drop_empty(stream);
    }

    /// Enters a lease that is asked for, before it is judged; `false` if there is no room. The filter has no other lease of
    /// that id any more.
    pub(super) fn enter(
        &mut self,
        stream: u64,
        lease: u32,
        session: SessionId,
        facts: Option<Counters>,
        length_ms: u64,
        now_ms: u64,
    ) -> bool {
        self.free(stream, lease);
        if self.streams.get(&stream).is_some_and(|table| table.leases.len() >= LEASES_MAX) {
            self.sweep_stream(stream, now_ms);
        }
        let Some(table) = self.streams.get_mut(&stream).filter(|table| table.leases.len() < LEASES_MAX) else {
            return false;
        };
        table.leases.insert(lease, Entry { session, facts, length_ms, from_ms: now_ms, state: State::Asked });
        self.by_session.insert((session, stream, lease));
        let counters = facts.map(Counters::each).unwrap_or_default();
        self.by_fact.extend(counters.into_iter().map(|counter| (counter, stream, lease)));
        true
    }

    /// Gives a lease that was entered, for so long; `false` if a change since may concern it.
    pub(super) fn give(&mut self, stream: u64, lease: u32, length_ms: u64) -> bool {
        let entry = self.streams.get_mut(&stream).and_then(|table| table.leases.get_mut(&lease));
        let Some(entry) = entry.filter(|entry| entry.state == State::Asked) else { return false };
        (entry.length_ms, entry.state) = (length_ms, State::Given);
        true
    }

    /// A lease that was entered is not given.
    pub(super) fn refuse(&mut self, stream: u64, lease: u32) {
        if self.state(stream, lease) == Some(State::Asked) {
            self.free(stream, lease);
        }
    }

    /// The filter has dropped leases.
    pub(super) fn end(&mut self, stream: u64, leases: &[u32]) {
        leases.iter().for_each(|lease| self.free(stream, *lease));
    }

    /// Extends the leases of a stream, as if each had been asked for at `now_ms`; returns those that are not extended.
    pub(super) fn renew(&mut self, stream: u64, refused: &[u32], now_ms: u64) -> Vec<u32> {
        self.sweep_if_late(stream, now_ms);
        let Some(table) = self.streams.get_mut(&stream) else { return refused.to_vec() };
        refused.iter().for_each(|lease| table.fix(*lease));
        table.renewed_ms = now_ms;
        table.fixed.iter().copied().collect()
    }

    /// The number of the last change so far.
    pub(super) fn ticket(&self) -> u64 {
        self.tickets
    }

    /// A change concerns a session; returns the streams that have something to judge again.
    pub(super) fn changed(&mut self, session: SessionId, now_ms: u64) -> BTreeSet<u64> {
        let leases = self.by_session.range((session, 0, 0)..=(session, u64::MAX, u32::MAX));
        let leases: Vec<_> = leases.map(|(_, stream, lease)| (*stream, *lease)).collect();
        self.mark_all(leases, now_ms)
    }

    /// The same of what is counted by these counters of facts.
    pub(super) fn facts_changed(&mut self, counters: &BTreeSet<u16>, now_ms: u64) -> BTreeSet<u64> {
        let of = |counter: &u16| self.by_fact.range((*counter, 0, 0)..=(*counter, u64::MAX, u32::MAX));
        let leases: Vec<_> = counters.iter().flat_map(of).map(|(_, stream, lease)| (*stream, *lease)).collect();
        self.mark_all(leases, now_ms)
    }

    /// The same of every lease that conditions were asked about.
    pub(super) fn all_facts_changed(&mut self, now_ms: u64) -> BTreeSet<u64> {
        let leases: Vec<_> = self.by_fact.iter().map(|(_, stream, lease)| (*stream, *lease)).collect();
        self.mark_all(leases, now_ms)
    }

    /// The same of every lease.
    pub(super) fn all_changed(&mut self, now_ms: u64) -> BTreeSet<u64> {
        let leases: Vec<_> = self.by_session.iter().map(|(_, stream, lease)| (*stream, *lease)).collect();
        self.mark_all(leases, now_ms)
    }

    /// Takes the leases of a stream that are to be judged again.
    pub(super) fn take_marked(&mut self, stream: u64) -> Vec<u32> {
        self.streams.get_mut(&stream).map(|table| table.marked.drain().collect()).unwrap_or_default()
    }

    /// A lease was judged again, and stands: unless a change has come since.
    pub(super) fn stands(&mut self, stream: u64, lease: u32) {
        let Some(table) = self.streams.get_mut(&stream).filter(|table| !table.marked.contains(&lease)) else { return };
        if let Some(entry) = table.leases.get_mut(&lease)
            && let State::Marked { ticket, taken_by: None } = entry.state
        {
            entry.state = State::Given;
            if entry.from_ms >= table.renewed_ms {
                // It has missed no renewal, of which its filter would have to be told.
                table.fixed.remove(&lease);
            }
            self.pending.remove(&(ticket, stream, lease));
        }
    }

    /// Leases that were judged again do not stand; returns the id of their take-back.
    pub(super) fn take_back(&mut self, stream: u64, leases: &[u32]) -> Option<u32> {
        let table = self.streams.get_mut(&stream).filter(|_| !leases.is_empty())?;
        table.taken_ever = table.taken_ever.wrapping_add(1);
        let id = table.taken_ever;
        for lease in leases {
            table.marked.remove(lease);
            if let Some(entry) = table.leases.get_mut(lease)
                && let State::Marked { taken_by, .. } = &mut entry.state
            {
                *taken_by = Some(id);
            }
        }
        table.taken.insert(id, leases.to_vec());
        Some(id)
    }

    /// The filter has carried out a take-back; returns its leases.
    pub(super) fn taken_back(&mut self, stream: u64, id: u32) -> Vec<u32> {
        let taken = self.streams.get_mut(&stream).and_then(|table| table.taken.remove(&id)).unwrap_or_default();
        for lease in &taken {
            // One that was asked for since under the same id is another one.
            if matches!(self.state(stream, *lease), Some(State::Marked { taken_by, .. }) if taken_by == Some(id)) {
                self.free(stream, *lease);
            }
        }
        taken
    }

    /// Until when leases may be used that changes up to that one have marked; `None`: there are none.
    pub(super) fn used_until_ms(&self, ticket: u64, now_ms: u64) -> Option<u64> {
        let marked = self.pending.range(..=(ticket, u64::MAX, u32::MAX));
        marked.map(|(_, until_ms)| *until_ms).filter(|until_ms| *until_ms > now_ms).max()
    }

    /// Until when any lease may be used.
    pub(super) fn all_until_ms(&self) -> Option<u64> {
        let of = |table: &Table| table.leases.iter().map(|(lease, entry)| table.until_ms(*lease, entry)).max();
        self.streams.values().filter_map(of).max()
    }

    /// The changes up to that place in the log have marked what they concern.
    pub(super) fn placed(&mut self, place: Place) {
        self.places.push_back((self.tickets, place));
    }

    /// The place in the log up to which no lease can be used any more that a change concerns. Everything up to `applied` has
    /// marked what it concerns, so that is the place where nothing is marked.
    pub(super) fn settled(&mut self, applied: Place, now_ms: u64) -> Place {
        let mut used = self.pending.iter().filter(|(_, until_ms)| **until_ms > now_ms);
        match used.next().map(|((ticket, ..), _)| *ticket) {
            None => {
                self.places.clear();
                self.settled = self.settled.max(applied);
            }
            Some(first) => {
                while let Some((_, place)) = self.places.pop_front_if(|(ticket, _)| *ticket < first) {
                    self.settled = self.settled.max(place);
                }
            }
        }
        self.settled
    }

    /// Drops what has run out; returns how many of these were to be taken back.
    pub(super) fn sweep(&mut self, now_ms: u64) -> usize {
        let streams: Vec<u64> = self.streams.keys().copied().collect();
        streams.into_iter().map(|stream| self.sweep_stream(stream, now_ms)).sum()
    }

    /// How many leases filters may have.
    pub(super) fn count(&self) -> usize {
        self.by_session.len()
    }

    fn state(&self, stream: u64, lease: u32) -> Option<State> {
        self.streams.get(&stream)?.leases.get(&lease).map(|entry| entry.state)
    }

    fn mark_all(&mut self, leases: Vec<(u64, u32)>, now_ms: u64) -> BTreeSet<u64> {
        self.tickets += 1;
        let mut woken = BTreeSet::new();
        for (stream, lease) in leases {
            if self.mark(stream, lease, now_ms) {
                woken.insert(stream);
            }
        }
        woken
    }

    /// A change may concern a lease; whether its stream has something to judge again.
    fn mark(&mut self, stream: u64, lease: u32, now_ms: u64) -> bool {
        let ticket = self.tickets;
        let Some(table) = self.streams.get_mut(&stream) else { return false };
        match table.leases.get(&lease).map(|entry| entry.state) {
            None | Some(State::Marked { taken_by: Some(_), .. }) => return false,
            Some(State::Marked { taken_by: None, .. }) => {}
            Some(State::Asked) => {
                // Its verdict is good for its own request only.
                self.free(stream, lease);
                return false;
            }
            Some(State::Given) => {
                table.fix(lease);
                let until_ms = table.leases.get(&lease).map_or(0, |entry| table.until_ms(lease, entry));
                if until_ms <= now_ms {
                    self.free(stream, lease);
                    return false;
                }
                if let Some(entry) = table.leases.get_mut(&lease) {
                    entry.state = State::Marked { ticket, taken_by: None };
                }
                self.pending.insert((ticket, stream, lease), until_ms);
            }
        }
        if table.is_open {
            table.marked.insert(lease);
        }
        table.is_open
    }

    /// Takes a lease out: its filter does not have it.
    fn free(&mut self, stream: u64, lease: u32) {
        let Some(table) = self.streams.get_mut(&stream) else { return };
        let Some(entry) = table.leases.remove(&lease) else { return };
        table.marked.remove(&lease);
        table.fixed.remove(&lease);
        self.by_session.remove(&(entry.session, stream, lease));
        for counter in entry.facts.map(Counters::each).unwrap_or_default() {
            self.by_fact.remove(&(counter, stream, lease));
        }
        if let State::Marked { ticket, .. } = entry.state {
            self.pending.remove(&(ticket, stream, lease));
        }
    }

    /// What has run out before a renewal arrived is not extended by it. Looked for only where it can have happened.
    fn sweep_if_late(&mut self, stream: u64, now_ms: u64) {
        let Some(table) = self.streams.get(&stream) else { return };
        let shortest_ms = table.leases.values().map(|entry| entry.length_ms).min().unwrap_or_default();
        if now_ms.saturating_sub(table.renewed_ms) >= waited_out_ms(shortest_ms) {
            self.sweep_stream(stream, now_ms);
        }
    }

    fn sweep_stream(&mut self, stream: u64, now_ms: u64) -> usize {
        let Some(table) = self.streams.get(&stream) else { return 0 };
        let is_over = |(lease, entry): &(&u32, &Entry)| {
            // One that is asked for waits for a disk, and is given for what is left.
            entry.state != State::Asked && table.until_ms(**lease, entry) <= now_ms
        };
        let over = table.leases.iter().filter(is_over).map(|(lease, entry)| (*lease, entry.state));
        let over: Vec<_> = over.collect();
        for (lease, _) in &over {
            self.free(stream, *lease);
        }
        self.drop_empty(stream);
        over.iter().filter(|(_, state)| matches!(state, State::Marked { .. })).count()
    }

    fn drop_empty(&mut self, stream: u64) {
        if self.streams.get(&stream).is_some_and(|table| !table.is_open && table.leases.is_empty()) {
            self.streams.remove(&stream);
        }
    }
}
