//! What a stream keeps beside each of its tokens, so that a question whose conditions are settled takes no lock, allocates
//! nothing, and reads one place of memory besides the token's own: most of what a look-up costs is waiting for memory.

use super::cache::Piece;
use crate::fact_epochs::Counters;
use std::sync::{Arc, Weak};

/// Routes that are kept as allowed for a token, and routes with methods of which something is prepared. With more, all are
/// found out again.
const ALLOWED_MAX: usize = 8;
const PREPARED_MAX: usize = 16;

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

/// A method on a route of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Target {
    /// Tells the table from others.
    pub(super) table: u64,
    /// The number of the route in it.
    pub(super) route: u32,
    /// The number of the method, below 8.
    pub(super) method: u8,
}

/// What is kept under one stamp.
#[derive(Debug)]
pub(super) struct Held {
    /// For what it holds.
    pub(super) stamp: Stamp,
    table: u64,
    /// The device that the requests name; empty: that of the token.
    device: Box<str>,
    allowed: [Allowed; ALLOWED_MAX],
    prepared: Vec<(Target, Weak<Piece>)>,
}

/// The methods of a route that no condition forbids, whatever the request: a bit for each.
#[derive(Debug, Clone, Copy, Default)]
struct Allowed {
    route: u32,
    methods: u8,
}

impl Marks {
    /// What is kept of requests on a table that name this device.
    pub(super) fn held(&self, table: u64, device: &str) -> Option<&Held> {
        self.0.as_deref().filter(|held| held.is_of(table, device))
    }

    /// Keeps what was found out. What is kept under another stamp is forgotten.
    pub(super) fn keep(&mut self, stamp: Stamp, device: &str, target: Target, piece: &Arc<Piece>) {
        let held = self.0.take().filter(|held| held.stamp == stamp && held.is_of(target.table, device));
        let mut held = held.unwrap_or_else(|| Box::new(Held::new(stamp, target.table, device)));
        match piece.is_allowed() {
            true => held.allow(target),
            false => held.prepare(target, piece),
        }
        self.0 = Some(held);
    }
}

impl Held {
    fn new(stamp: Stamp, table: u64, device: &str) -> Self {
        Self { stamp, table, device: device.into(), allowed: Default::default(), prepared: Vec::new() }
    }

    fn is_of(&self, table: u64, device: &str) -> bool {
        self.table == table && *self.device == *device
    }

    /// Whether no condition forbids it, whatever the request, as far as that is kept.
    pub(super) fn allows(&self, target: Target) -> bool {
        let is_allowed = |allowed: &Allowed| allowed.route == target.route && allowed.methods & bit(target) != 0;
        self.table == target.table && self.allowed.iter().any(is_allowed)
    }

    /// What is prepared for it, while that is kept.
    pub(super) fn prepared(&self, target: Target) -> Option<Arc<Piece>> {
        self.prepared.iter().find(|(of, _)| *of == target)?.1.upgrade()
    }

    fn allow(&mut self, target: Target) {
        let is_empty = |allowed: &Allowed| allowed.methods == 0;
        let of_route = self.allowed.iter().position(|allowed| allowed.route == target.route && !is_empty(allowed));
        let at = of_route.or_else(|| self.allowed.iter().position(is_empty)).unwrap_or_else(|| {
            self.allowed = Default::default();
            0
        });
        if let Some(allowed) = self.allowed.get_mut(at) {
            *allowed = Allowed { route: target.route, methods: allowed.methods | bit(target) };
        }
    }

    fn prepare(&mut self, target: Target, piece: &Arc<Piece>) {
        self.prepared.retain(|(of, _)| *of != target);
        if self.prepared.len() >= PREPARED_MAX {
            self.prepared.clear();
        }
        self.prepared.push((target, Arc::downgrade(piece)));
    }
}

/// The bit of its method; none if it is not below 8.
fn bit(target: Target) -> u8 {
    1_u8.checked_shl(target.method.into()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use portcullis_conditions::{Declared, Route, Session, Set, Source};

    fn stamp(generation: u32) -> Stamp {
        let counters = Counters::default();
        Stamp { generation, facts: 0, counters, conditions: 1, from_ms: 10, until_ms: Some(20) }
    }

    fn target(route: u32, method: u8) -> Target {
        Target { table: 1, route, method }
    }

    /// What these policies leave of a request.
    fn piece(policies: &str) -> Arc<Piece> {
        let source = Source { file: "a.cedar".to_owned(), text: policies.to_owned() };
        let set = Set::load(&[source], &Declared::default()).unwrap();
        let session = Arc::new(Session::default());
        let prepared = set.for_route(&Route::default()).unwrap().prepare(&session, "GET");
        Arc::new(Piece { session, prepared })
    }

    fn allowed() -> Arc<Piece> {
        piece("")
    }

    fn depends() -> Arc<Piece> {
        piece(r#"@id("a") forbid (principal, action, resource) when { context.host == "x" };"#)
    }

    #[test]
    fn exactly_what_was_allowed_is_allowed() {
        let (mut marks, piece) = (Marks::default(), allowed());
        for (route, method) in [(0, 0), (0, 7), (3, 1)] {
            marks.keep(stamp(1), "", target(route, method), &piece);
        }
        let held = marks.held(1, "").unwrap();
        for route in 0..5 {
            for method in 0..=8 {
                let is_kept = [(0, 0), (0, 7), (3, 1)].contains(&(route, method));
                assert_eq!(held.allows(target(route, method)), is_kept, "{route} {method}");
                assert!(!held.allows(Target { table: 2, ..target(route, method) }), "{route} {method}");
            }
        }
    }

    #[test]
    fn with_more_routes_than_are_kept_the_last_one_is_always_known() {
        let (mut marks, piece) = (Marks::default(), allowed());
        for route in 0..100 {
            marks.keep(stamp(1), "", target(route, 4), &piece);
            let held = marks.held(1, "").unwrap();
            assert!(held.allows(target(route, 4)) && !held.allows(target(route + 1, 4)), "{route}");
        }
    }

    #[test]
    fn another_stamp_table_or_device_forgets_what_was_kept() {
        let piece = allowed();
        let kept = || {
            let mut marks = Marks::default();
            marks.keep(stamp(1), "d", target(0, 0), &piece);
            marks.keep(stamp(1), "d", target(5, 2), &depends());
            marks
        };
        for (stamp, device, table) in [(stamp(2), "d", 1), (stamp(1), "e", 1), (stamp(1), "d", 2)] {
            let mut marks = kept();
            assert!(marks.held(table, device).is_none_or(|held| held.stamp != stamp));
            marks.keep(stamp, device, Target { table, ..target(0, 1) }, &piece);
            let held = marks.held(table, device).unwrap();
            assert!(held.allows(Target { table, ..target(0, 1) }));
            assert!(!held.allows(Target { table, ..target(0, 0) }), "{device} {table}");
            assert!(held.prepared.is_empty());
        }
        assert!(kept().held(1, "d").unwrap().allows(target(0, 0)));
    }

    #[test]
    fn what_depends_on_the_request_is_not_allowed_and_is_found_while_it_is_kept() {
        let (mut marks, piece) = (Marks::default(), depends());
        marks.keep(stamp(1), "", target(0, 0), &piece);
        let held = marks.held(1, "").unwrap();
        assert!(!held.allows(target(0, 0)) && held.prepared(target(0, 1)).is_none());
        assert!(Arc::ptr_eq(&held.prepared(target(0, 0)).unwrap(), &piece));
        drop(piece);
        assert!(marks.held(1, "").unwrap().prepared(target(0, 0)).is_none());
        for route in 0..100 {
            marks.keep(stamp(1), "", target(route, 0), &depends());
            assert!(marks.held(1, "").unwrap().prepared.len() <= PREPARED_MAX);
        }
    }

    #[test]
    fn a_stamp_holds_from_when_it_was_found_out_until_a_fact_expires() {
        assert_eq!([9, 10, 19, 20].map(|now_ms| stamp(1).holds_at(now_ms)), [false, true, true, false]);
        assert!(Stamp { until_ms: None, ..stamp(1) }.holds_at(u64::MAX));
    }
}
