//! What a stream keeps beside each of its tokens, so that a question whose conditions are settled takes no lock and allocates
//! nothing.

use super::cache::Piece;
use crate::fact_epochs::Counters;
use std::sync::{Arc, Weak};

/// Routes and methods that are kept for a token. With more, all are found out again.
const MARKS_MAX: usize = 16;

/// What conditions say about a token on some routes.
#[derive(Debug, Default)]
pub(crate) struct Marks(Option<Box<Held>>);

/// For what a mark holds: once one of these is another, it is found out again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stamp {
    /// The generation of the session.
    pub(super) generation: u32,
    /// What has changed of its facts, and where that is counted.
    pub(super) facts: u64,
    pub(super) counters: Counters,
    /// The number of the conditions.
    pub(super) conditions: u64,
    /// When it was found out, and the first instant at which a fact expires.
    pub(super) from_ms: u64,
    pub(super) until_ms: Option<u64>,
}

impl Stamp {
    /// Whether it still holds, given the rest.
    pub(super) fn holds_at(&self, now_ms: u64) -> bool {
        // A clock that was set back may bring back what had expired.
        self.from_ms <= now_ms && self.until_ms.is_none_or(|until_ms| now_ms < until_ms)
    }
}

#[derive(Debug)]
struct Held {
    stamp: Stamp,
    /// Tells the table of the routes from others.
    table: u64,
    device: Box<str>,
    marks: Vec<(u32, Mark)>,
}

/// What is known of a route and a method.
#[derive(Debug, Clone)]
pub(super) enum Mark {
    /// No condition forbids it, whatever the request.
    Allowed,
    /// What is prepared, while it is kept.
    Prepared(Weak<Piece>),
}

impl Marks {
    /// The stamp of what is kept, for a device and a table.
    pub(super) fn stamp(&self, device: &str, table: u64) -> Option<&Stamp> {
        let held = self.0.as_deref()?;
        (held.table == table && *held.device == *device).then_some(&held.stamp)
    }

    /// What is kept of a route and a method.
    pub(super) fn get(&self, key: u32) -> Option<&Mark> {
        self.0.as_deref()?.marks.iter().find(|(of, _)| *of == key).map(|(_, mark)| mark)
    }

    /// Forgets everything, and keeps what holds for that from now on.
    pub(super) fn renew(&mut self, stamp: Stamp, device: &str, table: u64) {
        let mut marks = self.0.take().map(|held| held.marks).unwrap_or_default();
        marks.clear();
        self.0 = Some(Box::new(Held { stamp, table, device: device.into(), marks }));
    }

    /// Keeps what was found out of a route and a method.
    pub(super) fn put(&mut self, key: u32, piece: &Arc<Piece>) {
        let Some(held) = &mut self.0 else { return };
        held.marks.retain(|(of, _)| *of != key);
        if held.marks.len() >= MARKS_MAX {
            held.marks.clear();
        }
        let mark = if piece.is_allowed() { Mark::Allowed } else { Mark::Prepared(Arc::downgrade(piece)) };
        held.marks.push((key, mark));
    }
}
