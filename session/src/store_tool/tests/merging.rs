//! Every pair of what a store and a backup can have of one session or party: the stricter one is kept.

use super::*;
use crate::approvals::{Decision, For};

/// A store with `held`, after a merge with one that has `other`.
fn merged(home: &dyn Home, held: Change, other: Change) -> Box<dyn Store> {
    let (store, from) = (home.open(), Folder::new().open());
    store.apply(&[held]).unwrap();
    from.apply(&[other]).unwrap();
    restore(&backup(&*from, false), &*store, MERGE).unwrap();
    store
}

pub(super) fn a_merge_weakens_no_end(new_home: &dyn Fn() -> Box<dyn Home>) {
    let live = |returned: Option<u64>| {
        Change::Write(Record {
            returned: returned.and_then(end),
            returned_from_ms: returned.unwrap_or_default(),
            ..record("s")
        })
    };
    let ended = |at_ms| Change::Tombstone(tombstone("s", at_ms));
    // What the store has, what the backup has; then the end, or the end that the live session has come back after.
    let rows = [
        (live(None), live(None), Err(None)),
        (live(None), live(Some(7)), Err(Some(7))),
        (live(Some(7)), live(None), Err(Some(7))),
        (live(Some(7)), live(Some(9)), Err(Some(9))),
        (live(None), ended(7), Ok(7)),
        (live(Some(7)), ended(7), Err(Some(7))),
        (live(Some(9)), ended(7), Err(Some(9))),
        (live(Some(7)), ended(9), Ok(9)),
        (ended(7), live(None), Ok(7)),
        (ended(7), live(Some(6)), Ok(7)),
        (ended(7), live(Some(7)), Err(Some(7))),
        (ended(7), ended(9), Ok(9)),
        (ended(9), ended(7), Ok(9)),
    ];
    for (held, other, expected) in rows {
        let home = new_home();
        let shown = format!("{held:?} and {other:?}");
        let store = merged(&*home, held, other);
        let dead = store.tombstone(record("s").id()).unwrap();
        let live = sessions(&*store);
        match expected {
            Ok(at_ms) => assert_eq!((dead.and_then(|dead| dead.ended), live.len()), (end(at_ms), 0), "{shown}"),
            Err(returned) => {
                assert_eq!((dead, live.len()), (None, 1), "{shown}");
                assert_eq!(live[0].returned, returned.and_then(end), "{shown}");
                assert_eq!(live[0].returned_from_ms, returned.unwrap_or_default(), "{shown}");
            }
        }
    }
}

pub(super) fn a_merge_weakens_no_rule(new_home: &dyn Fn() -> Box<dyn Home>) {
    for (held, other) in [(9, 5), (5, 9)] {
        let home = new_home();
        let changes = [held, other].map(|before_ms| Change::Revocation(revocation("s", before_ms)));
        let [held, other] = changes;
        assert_eq!(merged(&*home, held, other).rules().unwrap().revocations[0].before_ms, 9);
    }
    for (held, other, expected) in
        [(None, Some(5), None), (Some(5), None, None), (Some(5), Some(9), Some(9)), (Some(9), Some(5), Some(9))]
    {
        let home = new_home();
        let store = merged(&*home, Change::Block(block(held)), Change::Block(block(other)));
        assert_eq!(store.rules().unwrap().blocks, [block(expected)], "{held:?} {other:?}");
    }
    let (rule, ben) = (crate::fixtures::approval_rule(), crate::fixtures::approver("ben"));
    let pending = crate::fixtures::request();
    let (once, life) = (Decision::Approve(For::Once(None)), pending.asked_in);
    let open = pending.decided(&once, &ben, "", Some(&rule), Some(life), crate::fixtures::T0).unwrap();
    let used = open.used("deploy", crate::fixtures::T0).unwrap();
    for (held, other) in [(&open, &used), (&used, &open)] {
        let home = new_home();
        let [held, other] = [held, other].map(|request| Change::Request(Box::new(request.clone())));
        let requests = merged(&*home, held, other).rules().unwrap().requests;
        assert_eq!(requests.as_slice(), std::slice::from_ref(&used), "nobody uses it a second time");
    }
    type Left<'a> = (Option<&'a [&'a str]>, &'a [&'a str]);
    let rows: [(Left<'_>, Left<'_>, Left<'_>); 4] = [
        ((Some(&["a", "b"]), &[]), (Some(&["b", "c"]), &[]), (Some(&["b"]), &[])),
        ((Some(&["a"]), &[]), (None, &["b"]), (Some(&["a"]), &["b"])),
        ((None, &["b"]), (Some(&["a"]), &[]), (Some(&["a"]), &["b"])),
        ((None, &["b"]), (None, &["a", "b"]), (None, &["a", "b"])),
    ];
    for (held, other, expected) in rows {
        let home = new_home();
        let [held, other] = [held, other].map(|(scopes, removed)| Change::Narrowing(narrowing(scopes, removed)));
        let rules = merged(&*home, held, other).rules().unwrap();
        assert_eq!(rules.narrowings, [narrowing(expected.0, expected.1)]);
    }
}
