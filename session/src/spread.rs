//! Waits of many open requests, which would otherwise end in step: all that were opened, or judged again, in the same instant.

use portcullis_contract::{Jitter, SessionId};
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};

/// A wait that begins now, less a part of up to a half: another one for each session, number and instant.
pub(crate) fn spread(session: SessionId, number: u32, now_ms: u64, wait_ms: u64) -> u64 {
    let seed = BuildHasherDefault::<DefaultHasher>::default().hash_one((session, number, now_ms));
    Jitter::new(seed).shorten(wait_ms)
}

#[cfg(test)]
mod tests {
    use super::*;
    use portcullis_contract::KeyKind;
    use std::collections::BTreeSet;

    #[test]
    fn what_begins_in_one_instant_ends_in_many() {
        let session = |number: u32| SessionId::of(KeyKind::Claim, "https://id", &number.to_string(), "");
        let by_session: BTreeSet<u64> = (0..500).map(|number| spread(session(number), 1, 7, 1_000)).collect();
        let by_number: BTreeSet<u64> = (0..500).map(|number| spread(session(1), number, 7, 1_000)).collect();
        for waits in [by_session, by_number] {
            assert!(waits.len() > 200 && waits.iter().all(|wait_ms| (500..=1_000).contains(wait_ms)), "{waits:?}");
        }
    }
}
