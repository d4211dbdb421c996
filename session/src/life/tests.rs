//! Every stage, every transition from it, and what holds after each. The orders of events over memory, writer and disk
//! are explored beside the writer.

use super::*;

const INSTANT_MAX: u64 = u64::MAX >> INSTANT_SHIFT;

fn ends() -> Vec<End> {
    let reasons = [Reason::IdleTimeout, Reason::LifetimeExceeded, Reason::Revoked];
    let at = |at_ms| reasons.map(|reason| End { reason, at_ms });
    [0, 1, 1_700_000_000_000, INSTANT_MAX].into_iter().flat_map(at).collect()
}

fn stages() -> Vec<Stage> {
    let on_disk = [OnDisk::Nothing, OnDisk::Record, OnDisk::OtherTombstone, OnDisk::Tombstone];
    let mut stages = vec![Stage::Unrecorded, Stage::Recorded];
    for end in ends() {
        stages.extend(on_disk.map(|on_disk| Stage::Ended(end, on_disk)));
        stages.extend([false, true].map(|is_on_disk| Stage::Replaced(end, is_on_disk)));
    }
    stages
}

/// Every transition, with its name.
fn after(stage: Stage) -> Vec<(String, Stage)> {
    let mut all = vec![
        ("replaced".to_owned(), stage.replaced()),
        ("succeeded".to_owned(), stage.succeeded()),
        ("overwritten".to_owned(), stage.overwritten()),
        ("record".to_owned(), stage.written(Write::Record)),
        ("last seen".to_owned(), stage.written(Write::LastSeen)),
    ];
    for end in ends() {
        all.push((format!("ended {end:?}"), stage.ended(end)));
        all.push((format!("tombstone {end:?}"), stage.written(Write::Tombstone(end))));
    }
    all
}

#[test]
fn every_stage_fits_in_one_word_with_and_without_the_queue() {
    for stage in stages() {
        assert_eq!(unpack(pack(stage)), stage);
        assert_eq!(unpack(pack(stage) | QUEUED), stage);
        let life = Life::new(stage);
        assert!(life.enqueue() && !life.enqueue(), "{stage:?}");
        life.change(Stage::replaced);
        assert!(!life.enqueue(), "a transition keeps the place in the queue: {stage:?}");
        life.dequeue();
        assert!(life.enqueue(), "{stage:?}");
    }
}

#[test]
fn no_transition_takes_back_an_end_makes_it_earlier_or_a_revocation_a_limit() {
    for stage in stages() {
        let Some(end) = stage.end() else { continue };
        for (name, next) in after(stage) {
            let kept = next.end().map(|next| next.merged(end));
            assert!(kept.is_some() && kept == next.end(), "{stage:?}: {name}: {next:?}");
        }
    }
}

#[test]
fn a_replaced_session_has_nothing_to_write_and_stays_replaced() {
    for stage in stages().into_iter().map(Stage::replaced).filter(|stage| matches!(stage, Stage::Replaced(..))) {
        assert_eq!(stage.to_write(), None);
        for (name, next) in after(stage) {
            assert!(next == stage || next == stage.succeeded(), "{stage:?}: {name}: {next:?}");
        }
    }
}

#[test]
fn writing_what_is_to_be_written_leaves_nothing_but_activity_to_write() {
    for stage in stages() {
        let Some(write) = stage.to_write() else { continue };
        let left = stage.written(write).to_write();
        assert!(matches!(left, None | Some(Write::LastSeen)), "{stage:?}: {left:?}");
    }
}

#[test]
fn a_stage_is_durable_where_the_disk_would_say_the_same() {
    for stage in stages() {
        let is_lost = matches!(stage, Stage::Unrecorded | Stage::Ended(_, OnDisk::Nothing) | Stage::Replaced(_, false));
        assert_eq!(stage.is_durable(), !is_lost, "{stage:?}");
        // Nothing makes it less durable but the record of another session.
        for (name, next) in after(stage) {
            assert!(next.is_durable() || is_lost || name == "overwritten", "{stage:?}: {name}");
        }
    }
}

#[test]
fn a_revocation_that_the_judge_overtook_stands_and_a_later_limit_is_still_to_be_written_with_it() {
    let end = |reason, at_ms| End { reason, at_ms };
    let (expired, revoked) = (end(Reason::IdleTimeout, 7), end(Reason::Revoked, 7));
    for stage in [Stage::Unrecorded, Stage::Recorded] {
        assert_eq!(stage.written(Write::Tombstone(revoked)), Stage::Ended(revoked, OnDisk::Tombstone));
        let overtaken = stage.ended(expired).written(Write::Tombstone(revoked));
        assert_eq!(overtaken, Stage::Ended(revoked, OnDisk::Tombstone));
        let later = stage.ended(end(Reason::IdleTimeout, 9)).written(Write::Tombstone(revoked));
        let merged = end(Reason::Revoked, 9);
        assert_eq!(later, Stage::Ended(merged, OnDisk::OtherTombstone));
        assert_eq!((later.is_durable(), later.to_write()), (true, Some(Write::Tombstone(merged))));
    }
}

#[test]
fn a_revocation_of_what_has_ended_moves_the_end_and_is_written() {
    let end = |reason, at_ms| End { reason, at_ms };
    let expired = end(Reason::IdleTimeout, 7);
    let ended = Stage::Recorded.ended(expired).written(Write::Tombstone(expired));
    let moved = ended.ended(end(Reason::Revoked, 9));
    assert_eq!(moved, Stage::Ended(end(Reason::Revoked, 9), OnDisk::OtherTombstone));
    assert_eq!(moved.to_write(), Some(Write::Tombstone(end(Reason::Revoked, 9))));
    assert_eq!(ended.written(Write::Tombstone(end(Reason::Revoked, 9))).end(), Some(end(Reason::Revoked, 9)));
}
