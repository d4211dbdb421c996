//! The order of a list of sessions, the places in it, and the ids that a prefix stands for.

use portcullis_contract::SessionId;
use std::cmp::Reverse;

/// The ids that begin with the same digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ids {
    first: SessionId,
    last: SessionId,
}

impl Default for Ids {
    fn default() -> Self {
        Self { first: SessionId([0; 16]), last: SessionId([0xff; 16]) }
    }
}

impl Ids {
    /// Those that begin with `prefix`: 1 to 32 lower-case hexadecimal digits.
    pub fn beginning_with(prefix: &str) -> Option<Self> {
        let is_hex = prefix.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        if prefix.is_empty() || !is_hex {
            return None;
        }
        let padded = |with: char| {
            format!("{prefix}{}", with.to_string().repeat(32_usize.checked_sub(prefix.len())?)).parse().ok()
        };
        Some(Self { first: padded('0')?, last: padded('f')? })
    }

    pub(super) fn hold(self, id: SessionId) -> bool {
        self.first <= id && id <= self.last
    }

    /// Whether all of them are before that id.
    pub(super) fn end_before(self, id: SessionId) -> bool {
        self.last < id
    }

    /// The id just before the first, if there is one.
    pub(super) fn before(self) -> Option<SessionId> {
        let first = u128::from_be_bytes(self.first.0);
        first.checked_sub(1).map(|before| SessionId(before.to_be_bytes()))
    }
}

/// The order of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Order {
    /// By id.
    #[default]
    Id,
    /// The session that opened last comes first.
    Newest,
}

/// The place of a session in a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    opened_at_ms: Reverse<u64>,
    pub(super) id: SessionId,
}

impl Place {
    pub(super) fn of(order: Order, opened_at_ms: u64, id: SessionId) -> Self {
        let opened_at_ms = match order {
            Order::Id => Reverse(0),
            Order::Newest => Reverse(opened_at_ms),
        };
        Self { opened_at_ms, id }
    }

    /// The place as a cursor.
    pub fn cursor(self, order: Order) -> String {
        match order {
            Order::Id => self.id.to_string(),
            Order::Newest => format!("{}-{}", self.opened_at_ms.0, self.id),
        }
    }

    /// The place of a cursor of a list in that order.
    pub fn read(order: Order, cursor: &str) -> Option<Self> {
        let (opened_at_ms, id) = match order {
            Order::Id => (0, cursor),
            Order::Newest => {
                let (opened_at_ms, id) = cursor.split_once('-')?;
                (opened_at_ms.parse().ok()?, id)
            }
        };
        Some(Self { opened_at_ms: Reverse(opened_at_ms), id: id.parse().ok()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_stands_for_the_ids_that_begin_with_it() {
        let id = |text: &str| text.parse::<SessionId>().unwrap();
        let (first, last) = (id("5d400000000000000000000000000000"), id("5d4fffffffffffffffffffffffffffff"));
        let ids = Ids::beginning_with("5d4").unwrap();
        assert!(ids.hold(first) && ids.hold(last));
        assert!(!ids.hold(id("5d3fffffffffffffffffffffffffffff")) && !ids.hold(id("5d500000000000000000000000000000")));
        assert_eq!(ids.before(), Some(id("5d3fffffffffffffffffffffffffffff")));
        assert_eq!(Ids::beginning_with("0").unwrap().before(), None);
        assert!(Ids::default().hold(first));
        let whole = first.to_string();
        assert_eq!(Ids::beginning_with(&whole), Some(Ids { first, last: first }));
        for wrong in ["", "5D4", "x", "5d4 ", "é", &format!("{whole}0")] {
            assert_eq!(Ids::beginning_with(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn the_newest_is_first_and_a_cursor_leads_back_to_its_place() {
        let id = |byte| SessionId([byte; 16]);
        let places = [(9, 1), (9, 2), (5, 0)].map(|(opened, byte)| Place::of(Order::Newest, opened, id(byte)));
        assert!(places.is_sorted());
        let by_id = [(5, 0), (9, 1), (3, 2)].map(|(opened, byte)| Place::of(Order::Id, opened, id(byte)));
        assert!(by_id.is_sorted());
        for order in [Order::Id, Order::Newest] {
            let place = Place::of(order, 7, id(3));
            assert_eq!(Place::read(order, &place.cursor(order)), Some(place));
        }
        assert_eq!(Place::read(Order::Newest, &id(3).to_string()), None);
        assert_eq!(Place::read(Order::Id, &format!("7-{}", id(3))), None);
    }
}
