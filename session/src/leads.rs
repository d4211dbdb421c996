//! How far the clocks of issuers are ahead of ours, which determines the instant of a revocation.
//!
//! If an issuer's clock is ahead, a token that was issued before a revocation can state that it was issued after it. So the
//! instant of a revocation lies ahead of the call by a margin: the largest lead that was seen, plus one second. A login
//! within that margin is refused as well.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

/// What is added to the largest lead: tokens carry whole seconds.
const MARGIN_MIN_MS: u64 = 1_000;

/// The largest margin: as far as a policy may let an issuer's clock be ahead (`clock_skew`).
const MARGIN_MAX_MS: u64 = 60_000;

/// The largest lead of each issuer that verified tokens have shown since the service started.
#[derive(Debug, Default)]
pub(crate) struct Leads(RwLock<HashMap<Arc<str>, u64>>);

impl Leads {
    /// Notes a token that states the instant `said_ms`.
    pub(crate) fn note(&self, issuer: &Arc<str>, said_ms: u64, now_ms: u64) {
        let lead = said_ms.saturating_sub(now_ms);
        if lead == 0 || lead <= self.of(issuer) {
            return;
        }
        let mut leads = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let held = leads.entry(Arc::clone(issuer)).or_default();
        *held = lead.max(*held);
    }

    /// The instant of a revocation that is made now, of a party whose newest token is from `newest_ms`.
    pub(crate) fn instant(&self, issuer: &str, newest_ms: u64, now_ms: u64) -> u64 {
        let margin = self.of(issuer).saturating_add(MARGIN_MIN_MS).min(MARGIN_MAX_MS);
        now_ms.max(newest_ms).saturating_add(margin)
    }

    fn of(&self, issuer: &str) -> u64 {
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(issuer).copied().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_instant_is_ahead_by_the_largest_lead_and_a_second_at_most_by_a_minute() {
        let leads = Leads::default();
        let issuer: Arc<str> = "i".into();
        assert_eq!(leads.instant("i", 0, 1_000_000), 1_001_000);
        leads.note(&issuer, 1_020_000, 1_000_000);
        leads.note(&issuer, 1_005_000, 1_000_000);
        leads.note(&issuer, 900_000, 1_000_000);
        assert_eq!(leads.instant("i", 0, 1_000_000), 1_021_000);
        assert_eq!(leads.instant("i", 1_030_000, 1_000_000), 1_051_000, "the newest token seen counts as well");
        assert_eq!(leads.instant("j", 0, 1_000_000), 1_001_000, "another issuer has another clock");
        leads.note(&issuer, u64::MAX, 1_000_000);
        assert_eq!(leads.instant("i", 0, 1_000_000), 1_060_000);
    }
}
