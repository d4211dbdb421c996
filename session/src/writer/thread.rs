//! The loop of the writer's thread: groups of durable changes first, and chunks of what is written later in between.

use super::commit::Commit;
use super::op::Op;
use crate::session::Session;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

/// How often last activity is written. After a crash it can be this much older than it was.
const FLUSH_INTERVAL: Duration = Duration::from_secs(1);

/// How often first uses are written: those of this time are lost in a crash, and happen again. Short, because until
/// then a revocation by the id of a session that an operator has seen could find nothing.
const OPENED_INTERVAL: Duration = Duration::from_millis(50);

/// Changes that share one commit.
const GROUP_MAX: usize = 512;

/// Sessions written in one commit of what is written later: a revocation may have to wait for one such commit.
const CHUNK: usize = 2048;

/// Runs until all handles are gone, then writes what is left.
pub(super) fn run(commit: &Commit, ops: &Receiver<Op>) {
    let mut behind: Vec<Arc<Session>> = Vec::new();
    let mut flush_at = Instant::now() + FLUSH_INTERVAL;
    let mut opened_at = Instant::now() + OPENED_INTERVAL;
    // After a failure the rest waits for the next flush: a broken disk is tried once a second, not as fast as it fails.
    let mut is_failing = false;
    loop {
        let wait = if behind.is_empty() || is_failing {
            flush_at.min(opened_at).saturating_duration_since(Instant::now())
        } else {
            Duration::ZERO
        };
        match ops.recv_timeout(wait) {
            Ok(first) => {
                let group = std::iter::once(first).chain(ops.try_iter()).take(GROUP_MAX);
                commit.make(group.collect());
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => {
                behind.extend(commit.take_changed());
                for chunk in behind.chunks(CHUNK) {
                    commit.write_behind(chunk);
                }
                return;
            }
        }
        if Instant::now() >= flush_at {
            behind.extend(commit.take_changed());
            flush_at = Instant::now() + FLUSH_INTERVAL;
            is_failing = false;
        }
        if Instant::now() >= opened_at {
            behind.extend(commit.take_opened());
            opened_at = Instant::now() + OPENED_INTERVAL;
        }
        if is_failing {
            continue;
        }
        let rest = behind.len().saturating_sub(CHUNK);
        let chunk = behind.split_off(rest);
        is_failing = !commit.write_behind(&chunk);
    }
}
