//! Who has signed in lately: the audit says so once an hour, and not with every call.

use crate::credential::Presented;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

/// For how long a credential or a token that was seen is not reported again.
const QUIET_MS: u64 = 60 * 60 * 1_000;

/// The most that are remembered. When there are more, all are reported once again.
const REMEMBERED_MAX: usize = 10_000;

/// What was presented lately, and when that was reported.
#[derive(Debug, Default)]
pub(crate) struct SignedIn(Mutex<HashMap<Presented, u64>>);

impl SignedIn {
    /// Whether to report that this was accepted: it was not within the last hour of this process.
    pub(crate) fn is_news(&self, presented: &Presented, now_ms: u64) -> bool {
        let mut reported = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if reported.get(presented).is_some_and(|at_ms| now_ms.saturating_sub(*at_ms) < QUIET_MS) {
            return false;
        }
        if reported.len() >= REMEMBERED_MAX {
            reported.clear();
        }
        reported.insert(presented.clone(), now_ms);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_credential_is_news_once_an_hour() {
        let (signed_in, one, other) = (SignedIn::default(), Presented::of(b"one"), Presented::of(b"other"));
        assert!(signed_in.is_news(&one, 0) && !signed_in.is_news(&one, QUIET_MS - 1));
        assert!(signed_in.is_news(&other, 5) && signed_in.is_news(&one, QUIET_MS));
        assert!(!signed_in.is_news(&one, 0), "a clock that was set back is no news");
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let signed_in = SignedIn::default();
        for number in 0..=REMEMBERED_MAX {
            assert!(signed_in.is_news(&Presented::of(&number.to_be_bytes()), 0));
        }
        assert_eq!(signed_in.0.lock().unwrap().len(), 1);
    }
}
