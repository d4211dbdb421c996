//! Counts of the requests that the filter decides by itself, for the session service's record of what is used: those of
//! public routes, those whose token lacks what their route requires, and those that leases release. The service counts what it
//! is asked about.

mod leased;

pub(super) use leased::granted;

use crate::{map::HashMap, route::RuleId, time::Monotonic, wire};
use leased::LeasedUses;

/// The most kinds of requests that are kept apart between two reports. Any more are counted together.
const KINDS_MAX: usize = 1_024;

/// The most bytes of the names in them, likewise.
const BYTES_MAX: usize = 64 << 10;

/// How often they are reported.
const REPORT_MS: u64 = 1_000;

/// Counts since the last report.
#[derive(Debug, Default)]
pub(super) struct Usage {
    released: HashMap<RuleId, u64>,
    refused: HashMap<Refused, u64>,
    /// Of the names in `refused`.
    bytes: usize,
    /// Requests of kinds for which there was no room.
    others: u64,
    leased: LeasedUses,
    reported_at: Monotonic,
}

/// Requests of one client that one rule refused for the same reason.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Refused {
    rule: RuleId,
    client: String,
    missing: Vec<String>,
}

impl Usage {
    /// A request was released that needs no token.
    pub(super) fn released(&mut self, rule: RuleId) {
        if let Some(count) = self.released.get_mut(&rule) {
            *count += 1;
        } else if self.has_room(0) {
            self.released.insert(rule, 1);
        } else {
            self.others += 1;
        }
    }

    /// A request with a valid token was refused; `missing` are the scopes that the token lacks, if that is why.
    pub(super) fn refused(&mut self, rule: RuleId, client: &str, mut missing: Vec<&str>) {
        missing.sort_unstable();
        missing.dedup();
        let bytes = client.len() + missing.iter().map(|scope| scope.len()).sum::<usize>();
        let missing = missing.into_iter().map(str::to_owned).collect();
        let kind = Refused { rule, client: client.to_owned(), missing };
        if let Some(count) = self.refused.get_mut(&kind) {
            *count += 1;
        } else if self.has_room(bytes) {
            self.bytes += bytes;
            self.refused.insert(kind, 1);
        } else {
            self.others += 1;
        }
    }

    /// The number of a kind of requests that leases release, for [`Usage::leased`]. `granted` are the scopes by which they are
    /// released.
    pub(super) fn kind(&mut self, rule: RuleId, client: &str, granted: Vec<String>) -> u16 {
        self.leased.kind(rule, client, granted)
    }

    /// A request was released by a lease.
    pub(super) fn leased(&mut self, kind: u16) {
        self.leased.count(kind);
    }

    fn has_room(&self, bytes: usize) -> bool {
        self.released.len() + self.refused.len() < KINDS_MAX && self.bytes + bytes <= BYTES_MAX
    }

    /// Whether there is something to report now.
    pub(super) fn is_due(&self, now: Monotonic) -> bool {
        let is_empty =
            self.released.is_empty() && self.refused.is_empty() && self.others == 0 && self.leased.is_empty();
        !is_empty && now.since(self.reported_at) >= REPORT_MS
    }

    /// Returns and resets the counts.
    pub(super) fn take(&mut self, now: Monotonic) -> Vec<wire::Use> {
        let mut leased = std::mem::take(&mut self.leased);
        let (released_by_leases, of_other_kinds) = leased.take();
        let Self { released, refused, others, .. } = std::mem::take(self);
        (self.leased, self.reported_at) = (leased, now);
        let others = others + of_other_kinds;
        let index = |rule: RuleId| u32::try_from(rule.0).ok();
        let released =
            released.into_iter().map(|(rule, count)| wire::Use { route: index(rule), count, ..wire::Use::default() });
        let refused = refused.into_iter().map(|(Refused { rule, client, missing }, count)| wire::Use {
            route: index(rule),
            client_id: client,
            missing,
            count,
            granted: Vec::new(),
        });
        let others = (others > 0).then(|| wire::Use { count: others, ..wire::Use::default() });
        released.chain(refused).chain(others).chain(released_by_leases).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use portcullis_contract::bounds::USES_MAX;

    const LATER: Monotonic = Monotonic(REPORT_MS);

    #[test]
    fn requests_of_one_kind_are_one_use_and_are_reported_once() {
        let mut usage = Usage::default();
        assert!(!usage.is_due(LATER));
        for _ in 0..3 {
            usage.released(RuleId(4));
            usage.refused(RuleId(1), "web", vec!["b", "a", "b"]);
            usage.refused(RuleId(1), "web", vec!["a", "b"]);
            usage.refused(RuleId(1), "app", Vec::new());
        }
        assert!(!usage.is_due(Monotonic(REPORT_MS - 1)) && usage.is_due(LATER));
        let mut uses = usage.take(LATER);
        uses.sort_by_key(|used| (used.route, used.client_id.clone()));
        let used = |route, client: &str, missing: &[&str], count| wire::Use {
            route: Some(route),
            client_id: client.to_owned(),
            missing: missing.iter().map(|scope| (*scope).to_owned()).collect(),
            count,
            ..wire::Use::default()
        };
        assert_eq!(uses, [used(1, "app", &[], 3), used(1, "web", &["a", "b"], 6), used(4, "", &[], 3)]);
        assert_eq!(usage.take(LATER), []);
    }

    #[test]
    fn kinds_without_end_take_bounded_memory_and_no_request_is_lost() {
        let mut usage = Usage::default();
        for n in 0..10_000 {
            usage.refused(RuleId(n), &format!("client {n}"), vec!["a"]);
            usage.released(RuleId(n));
        }
        usage.refused(RuleId(0), &"x".repeat(BYTES_MAX), Vec::new());
        let uses = usage.take(LATER);
        assert_eq!(uses.len(), KINDS_MAX + 1);
        const { assert!(KINDS_MAX + leased::KINDS_MAX < USES_MAX) };
        assert_eq!(uses.iter().map(|used| used.count).sum::<u64>(), 20_001);
        assert_eq!(uses.iter().filter(|used| used.route.is_none()).count(), 1);
    }
}
