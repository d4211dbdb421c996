//! How far the clocks of issuers are ahead of ours, which determines the instant of a revocation.
//!
//! If an issuer's clock is ahead, a token that was issued before a revocation can state that it was issued after it. So the
//! instant of a revocation lies ahead of the call by a margin: the largest lead that was seen, plus one second. A login
//! within that margin is refused as well.

use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

/// What is added to the largest lead: tokens carry whole seconds.
const MARGIN_MIN_MS: u64 = 1_000;

/// The largest margin: as far as a policy may let an issuer's clock be ahead (`clock_skew`).
const MARGIN_MAX_MS: u64 = 60_000;

/// Issuers whose leads are remembered.
const ISSUERS_MAX: usize = 10_000;

/// How far an issuer's clock was ahead of ours, as it is stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "(String, u64)", into = "(String, u64)")]
pub struct Lead {
    /// The issuer.
    pub issuer: Arc<str>,
    /// In milliseconds; at most a minute.
    pub lead_ms: u64,
}

impl From<(String, u64)> for Lead {
    fn from((issuer, lead_ms): (String, u64)) -> Self {
        Self { issuer: issuer.into(), lead_ms }
    }
}

impl From<Lead> for (String, u64) {
    fn from(Lead { issuer, lead_ms }: Lead) -> Self {
        (issuer.as_ref().to_owned(), lead_ms)
    }
}

/// The largest lead of each issuer that verified tokens have ever shown. The leads are also on disk: after a restart, an
/// issuer's next token may come too late to tell.
#[derive(Debug, Default)]
pub(crate) struct Leads {
    known: RwLock<HashMap<Arc<str>, Known>>,
    is_unwritten: AtomicBool,
    /// How far the clocks of other replicas, which have noted leads too, are ahead of ours.
    behind_ms: AtomicU64,
}

#[derive(Debug, Clone, Copy, Default)]
struct Known {
    lead_ms: u64,
    /// What the store has of it.
    written_ms: u64,
}

impl Leads {
    /// Notes a token that states the instant `said_ms`; returns whether it shows a lead that is not on disk.
    pub(crate) fn note(&self, issuer: &Arc<str>, said_ms: u64, now_ms: u64) -> bool {
        let lead_ms = said_ms.saturating_sub(now_ms).min(MARGIN_MAX_MS);
        if lead_ms <= self.known(issuer).written_ms {
            return false;
        }
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        let Some(held) = entry(&mut known, Arc::clone(issuer)) else {
            return false;
        };
        if lead_ms > held.lead_ms {
            held.lead_ms = lead_ms;
            self.unwritten();
        }
        lead_ms > held.written_ms
    }

    /// Loads the leads that are on disk, or notes that they are.
    pub(crate) fn load(&self, stored: impl IntoIterator<Item = Lead>) {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        for Lead { issuer, lead_ms } in stored {
            if let Some(held) = entry(&mut known, issuer) {
                held.lead_ms = lead_ms.max(held.lead_ms);
                held.written_ms = lead_ms.max(held.written_ms);
            }
        }
    }

    /// All leads, if the disk lacks some. From then on, the disk is assumed to have them.
    pub(crate) fn take_unwritten(&self) -> Option<Vec<Lead>> {
        self.is_unwritten.swap(false, Ordering::SeqCst).then(|| {
            let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
            known.iter().map(|(issuer, of)| Lead { issuer: Arc::clone(issuer), lead_ms: of.lead_ms }).collect()
        })
    }

    /// The disk may lack some of the leads.
    pub(crate) fn unwritten(&self) {
        self.is_unwritten.store(true, Ordering::SeqCst);
    }

    /// Notes how far the clocks of other replicas are ahead: a lead that they have seen is by that much larger here.
    pub(crate) fn behind(&self, ms: u64) {
        self.behind_ms.store(ms.min(MARGIN_MAX_MS), Ordering::Relaxed);
    }

    /// The instant of a revocation that is made now, of a party whose newest token is from `newest_ms`.
    pub(crate) fn instant(&self, issuer: &str, newest_ms: u64, now_ms: u64) -> u64 {
        now_ms.max(newest_ms).saturating_add(self.margin(self.known(issuer).lead_ms))
    }

    /// The same for a party whose issuer is not known: the lead of any could be the one of its first token.
    pub(crate) fn instant_of_any(&self, newest_ms: u64, now_ms: u64) -> u64 {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        let lead_ms = known.values().map(|of| of.lead_ms).max().unwrap_or_default();
        now_ms.max(newest_ms).saturating_add(self.margin(lead_ms))
    }

    fn margin(&self, lead_ms: u64) -> u64 {
        let margin = lead_ms.saturating_add(MARGIN_MIN_MS).min(MARGIN_MAX_MS);
        margin.saturating_add(self.behind_ms.load(Ordering::Relaxed))
    }

    fn known(&self, issuer: &str) -> Known {
        self.known.read().unwrap_or_else(PoisonError::into_inner).get(issuer).copied().unwrap_or_default()
    }
}

/// What is known of an issuer; nothing for one more than are remembered.
fn entry(known: &mut HashMap<Arc<str>, Known>, issuer: Arc<str>) -> Option<&mut Known> {
    let is_full = known.len() >= ISSUERS_MAX && !known.contains_key(&issuer);
    (!is_full).then(|| known.entry(issuer).or_default())
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
        leads.behind(700);
        assert_eq!(leads.instant("i", 0, 1_000_000), 1_060_700, "another replica has seen the issuer by a later clock");
    }

    #[test]
    fn the_number_of_issuers_is_bounded() {
        let leads = Leads::default();
        for number in 0..=ISSUERS_MAX {
            leads.note(&number.to_string().into(), 2_000, 0);
        }
        assert_eq!(leads.take_unwritten().map(|written| written.len()), Some(ISSUERS_MAX));
        leads.note(&"one more".into(), 2_000, 0);
        assert_eq!(leads.take_unwritten(), None);
    }

    #[test]
    fn a_lead_is_written_once_and_what_is_loaded_never_lessens_it() {
        let leads = Leads::default();
        let lead = |lead_ms| Lead { issuer: "i".into(), lead_ms };
        leads.load([lead(20_000)]);
        assert_eq!(leads.take_unwritten(), None);
        leads.note(&"i".into(), 1_010_000, 1_000_000);
        assert_eq!(leads.take_unwritten(), None, "a smaller one tells nothing");
        leads.note(&"i".into(), 1_030_000, 1_000_000);
        leads.load([lead(20_000)]);
        assert_eq!((leads.take_unwritten(), leads.take_unwritten()), (Some(vec![lead(30_000)]), None));
        assert_eq!(leads.instant("i", 0, 0), 31_000);
    }
}
