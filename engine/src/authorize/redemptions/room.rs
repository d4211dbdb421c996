//! Bounded room, apart for what is known and for what anybody can make up.

/// What is known of a handle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// The session service has given a token for it.
    Known,
    /// Nothing.
    Stranger,
}

/// How much is taken by each kind.
#[derive(Debug)]
pub(super) struct Room {
    max: usize,
    known: usize,
    strangers: usize,
}

impl Room {
    /// Room for so many of each kind.
    pub(super) const fn of(max: usize) -> Self {
        Self { max, known: 0, strangers: 0 }
    }

    /// Takes a place; returns false if there is none.
    pub(super) const fn take(&mut self, kind: Kind) -> bool {
        let max = self.max;
        let taken = self.taken(kind);
        let has_room = *taken < max;
        if has_room {
            *taken += 1;
        }
        has_room
    }

    pub(super) const fn give_back(&mut self, kind: Kind) {
        let taken = self.taken(kind);
        *taken = taken.saturating_sub(1);
    }

    #[cfg(test)]
    pub(super) const fn is_empty(&self) -> bool {
        self.known == 0 && self.strangers == 0
    }

    const fn taken(&mut self, kind: Kind) -> &mut usize {
        match kind {
            Kind::Known => &mut self.known,
            Kind::Stranger => &mut self.strangers,
        }
    }
}
