//! Refresh families: of two writers one is first, and what is past its time is dropped.

use super::*;
use crate::tokens::{FamilyId, StoredFamily};

fn family(id: u8, version: u64, until_ms: u64) -> StoredFamily {
    let id = FamilyId([id; FamilyId::BYTES]);
    StoredFamily { id, version, until_ms, is_ended: false, sealed: vec![7, 0, 255] }
}

pub(super) fn a_version_is_written_over_the_one_that_was_read(home: &impl Home) {
    let store = home.open();
    let (first, second) = (family(1, 1, 10), family(1, 2, 20));
    assert_eq!(store.family(first.id), Ok(None));
    assert_eq!(store.write_family(&first, Some(1)), Ok(false), "there is none");
    assert_eq!(store.write_family(&first, None), Ok(true));
    assert_eq!(store.write_family(&second, None), Ok(false), "there is one");
    assert_eq!(store.write_family(&second, Some(1)), Ok(true));
    let late = StoredFamily { sealed: Vec::new(), ..second.clone() };
    assert_eq!(store.write_family(&late, Some(1)), Ok(false), "another one was first");
    let store = home.reopen(store);
    assert_eq!(store.family(second.id), Ok(Some(second.clone())));
    store.drop_family(second.id, 1).unwrap();
    assert_eq!(store.family(second.id), Ok(Some(second.clone())), "it is another version");
    store.drop_family(second.id, 2).unwrap();
    assert_eq!(store.family(second.id), Ok(None));
}

pub(super) fn families_are_dropped_when_their_time_is_over_and_listed_when_they_are(home: &impl Home) {
    let store = home.open();
    let ended = |id: u8, until_ms| StoredFamily { is_ended: true, ..family(id, 1, until_ms) };
    for family in [family(1, 1, 10), ended(2, 20), ended(3, 30)] {
        assert_eq!(store.write_family(&family, None), Ok(true));
    }
    assert_eq!(store.ended_families(10), Ok(vec![ended(2, 20), ended(3, 30)]));
    assert_eq!(store.ended_families(1), Ok(vec![ended(2, 20)]));
    // It lives longer with each use.
    assert_eq!(store.write_family(&family(1, 2, 100), Some(1)), Ok(true));
    assert_eq!((store.drop_families(30), store.drop_families(30)), (Ok(1), Ok(0)));
    assert_eq!(store.ended_families(10), Ok(vec![ended(3, 30)]));
    assert_eq!((store.drop_families(101), store.ended_families(10)), (Ok(2), Ok(vec![])));
    assert_eq!(store.family(family(1, 2, 100).id), Ok(None));
}
