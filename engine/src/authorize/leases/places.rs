//! Where the leases of a stream are, by id and by what they are for.

use super::Lease;
use crate::route::RuleId;
use std::collections::BTreeMap;

/// What a lease is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(in crate::authorize) struct Key {
    /// The token's handle on the stream.
    token: u32,
    /// The index of the route.
    rule: u32,
}

impl Key {
    pub(in crate::authorize) fn new(token: u32, rule: RuleId) -> Option<Self> {
        Some(Self { token, rule: u32::try_from(rule.0).ok()? })
    }
}

/// A lease's id on the check stream: its place, and how often the place was taken before. So a message about a lease that is
/// gone is not taken for one about its successor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(in crate::authorize) struct LeaseId(pub(in crate::authorize) u32);

impl LeaseId {
    fn new(turn: u16, place: u16) -> Self {
        Self(u32::from(turn) << u16::BITS | u32::from(place))
    }

    /// Its place.
    fn place(self) -> usize {
        usize::from((self.0 & u32::from(u16::MAX)) as u16)
    }
}

/// Leases that are asked for or held.
#[derive(Debug, Clone, Default, Hash)]
pub(super) struct Places {
    places: Vec<Place>,
    free: Vec<u16>,
    ids: BTreeMap<Key, LeaseId>,
    held: usize,
}

#[derive(Debug, Clone, Hash)]
struct Place {
    turn: u16,
    entry: Entry,
}

#[derive(Debug, Clone, Hash)]
enum Entry {
    Free,
    /// A question that asks for it is waiting for its answer.
    Asked(Key),
    Held(Lease),
}

impl Places {
    /// How many are held.
    pub(super) const fn held(&self) -> usize {
        self.held
    }

    /// How many are held or asked for.
    pub(super) fn len(&self) -> usize {
        self.ids.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// The lease that is held or asked for.
    pub(super) fn id(&self, key: Key) -> Option<LeaseId> {
        self.ids.get(&key).copied()
    }

    /// Takes a place for a lease that is to be asked for.
    pub(super) fn ask(&mut self, key: Key) -> Option<LeaseId> {
        let place = match self.free.pop() {
            Some(place) => place,
            None => self.grow()?,
        };
        let entry = self.places.get_mut(usize::from(place))?;
        entry.entry = Entry::Asked(key);
        let id = LeaseId::new(entry.turn, place);
        self.ids.insert(key, id);
        Some(id)
    }

    /// Another place. A vector doubles otherwise, and half of it would be empty.
    fn grow(&mut self) -> Option<u16> {
        let place = u16::try_from(self.places.len()).ok()?;
        if self.places.len() == self.places.capacity() {
            self.places.reserve_exact(64 + self.places.len() / 8);
        }
        self.places.push(Place { turn: 0, entry: Entry::Free });
        Some(place)
    }

    /// Whether a lease is asked for, and was neither given nor taken back.
    pub(super) fn is_asked(&self, id: LeaseId) -> bool {
        matches!(self.entry(id), Some(Entry::Asked(_)))
    }

    /// A lease that was asked for is given.
    pub(super) fn hold(&mut self, id: LeaseId, lease: impl FnOnce(Key) -> Lease) {
        let Some(entry) = self.entry_mut(id) else { return };
        if let Entry::Asked(key) = *entry {
            *entry = Entry::Held(lease(key));
            self.held += 1;
        }
    }

    /// A lease that is held.
    pub(super) fn lease(&self, id: LeaseId) -> Option<&Lease> {
        match self.entry(id) {
            Some(Entry::Held(lease)) => Some(lease),
            Some(Entry::Free | Entry::Asked(_)) | None => None,
        }
    }

    pub(super) fn lease_mut(&mut self, id: LeaseId) -> Option<&mut Lease> {
        match self.entry_mut(id) {
            Some(Entry::Held(lease)) => Some(lease),
            Some(Entry::Free | Entry::Asked(_)) | None => None,
        }
    }

    /// The place of a lease is free for another one.
    pub(super) fn free(&mut self, id: LeaseId) {
        let Some(entry) = self.entry_mut(id) else { return };
        let (key, was_held) = match entry {
            Entry::Free => return,
            Entry::Asked(key) => (*key, false),
            Entry::Held(lease) => (lease.key, true),
        };
        *entry = Entry::Free;
        self.ids.remove(&key);
        self.held = self.held.saturating_sub(usize::from(was_held));
        if let (Some(place), Ok(number)) = (self.places.get_mut(id.place()), u16::try_from(id.place())) {
            place.turn = place.turn.wrapping_add(1);
            self.free.push(number);
        }
    }

    /// The leases of a token, held or asked for.
    pub(super) fn of_token(&self, token: u32) -> Vec<LeaseId> {
        let range = Key { token, rule: 0 }..=Key { token, rule: u32::MAX };
        self.ids.range(range).map(|(_, id)| *id).collect()
    }

    /// Everything that is held or asked for.
    pub(super) fn all(&self) -> Vec<LeaseId> {
        self.ids.values().copied().collect()
    }

    /// Everything that is held.
    pub(super) fn leases(&self) -> impl Iterator<Item = (LeaseId, &Lease)> {
        (0..).zip(&self.places).filter_map(|(number, place)| match &place.entry {
            Entry::Held(lease) => Some((LeaseId::new(place.turn, number), lease)),
            Entry::Free | Entry::Asked(_) => None,
        })
    }

    pub(super) fn leases_mut(&mut self) -> impl Iterator<Item = (LeaseId, &mut Lease)> {
        (0..).zip(&mut self.places).filter_map(|(number, place)| match &mut place.entry {
            Entry::Held(lease) => Some((LeaseId::new(place.turn, number), lease)),
            Entry::Free | Entry::Asked(_) => None,
        })
    }

    fn entry(&self, id: LeaseId) -> Option<&Entry> {
        let place = self.places.get(id.place())?;
        (LeaseId::new(place.turn, 0).0 == id.0 & !u32::from(u16::MAX)).then_some(&place.entry)
    }

    fn entry_mut(&mut self, id: LeaseId) -> Option<&mut Entry> {
        let place = self.places.get_mut(id.place())?;
        (LeaseId::new(place.turn, 0).0 == id.0 & !u32::from(u16::MAX)).then_some(&mut place.entry)
    }
}
