//! The queue before the thread that writes.

use super::DROPPED;
use super::writer::Writer;
use std::fmt;
use std::io;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::Builder;
use std::time::{Duration, Instant};

/// Bytes that wait for the disk. As many again may be on their way to it.
const WAITING_BYTES_MAX: usize = 4 * 1024 * 1024;

/// How long the first record of a batch waits for others: waking the thread and writing cost more than a record does.
const GATHER: Duration = Duration::from_millis(5);

/// So many bytes do not wait for more.
const BATCH_BYTES: usize = 512 * 1024;

/// What a record takes besides its members, about.
const ENTRY_BYTES: usize = 128;

/// How often files are searched for those that are past their retention.
const IDLE: Duration = Duration::from_hours(1);

/// A record that waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    /// When it happened.
    pub(super) ms: u64,
    /// The code.
    pub(super) code: String,
    /// The members as JSON, each with a comma before it.
    pub(super) members: String,
}

/// The queue.
pub(super) struct Queue {
    waiting: Mutex<Waiting>,
    changed: Condvar,
    bytes_max: usize,
}

#[derive(Debug, Default)]
struct Waiting {
    entries: Vec<Entry>,
    bytes: usize,
    /// Records dropped after those above. Until that is said, no other may wait: it would come before the gap.
    dropped: u64,
    is_started: bool,
    is_closed: bool,
    is_over: bool,
}

impl fmt::Debug for Queue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Queue")
    }
}

impl Default for Queue {
    fn default() -> Self {
        Self::bounded(WAITING_BYTES_MAX)
    }
}

impl Queue {
    pub(super) fn bounded(bytes_max: usize) -> Self {
        Self { waiting: Mutex::default(), changed: Condvar::new(), bytes_max }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Leaves a record, or counts it where there is no place.
    pub(super) fn put(&self, entry: Entry) {
        let bytes = entry.members.len() + ENTRY_BYTES;
        let mut waiting = self.lock();
        let is_first = waiting.entries.is_empty() && waiting.dropped == 0;
        if waiting.dropped > 0 || waiting.bytes + bytes > self.bytes_max {
            waiting.dropped += 1;
            DROPPED.fetch_add(1, Ordering::Relaxed);
        } else {
            waiting.bytes += bytes;
            waiting.entries.push(entry);
        }
        let is_awaited = is_first || waiting.bytes >= BATCH_BYTES || waiting.dropped > 0;
        drop(waiting);
        if is_awaited {
            self.changed.notify_all();
        }
    }

    /// What waits, and how much was dropped after it; empty when it took too long. `None` when it is closed and empty.
    pub(super) fn take(&self, max: Duration) -> Option<(Vec<Entry>, u64)> {
        let is_idle = |waiting: &mut Waiting| waiting.entries.is_empty() && waiting.dropped == 0 && !waiting.is_closed;
        let (waiting, waited) =
            self.changed.wait_timeout_while(self.lock(), max, is_idle).unwrap_or_else(PoisonError::into_inner);
        let is_gathering =
            |waiting: &mut Waiting| waiting.bytes < BATCH_BYTES && waiting.dropped == 0 && !waiting.is_closed;
        let gather = if waited.timed_out() { Duration::ZERO } else { GATHER };
        let (mut waiting, _) =
            self.changed.wait_timeout_while(waiting, gather, is_gathering).unwrap_or_else(PoisonError::into_inner);
        waiting.bytes = 0;
        let taken = (std::mem::take(&mut waiting.entries), std::mem::take(&mut waiting.dropped));
        (!waiting.is_closed || !taken.0.is_empty() || taken.1 > 0).then_some(taken)
    }

    fn over(&self) {
        self.lock().is_over = true;
        self.changed.notify_all();
    }

    pub(super) fn close(&self, max: Duration) {
        let mut waiting = self.lock();
        waiting.is_closed = true;
        self.changed.notify_all();
        drop(self.changed.wait_timeout_while(waiting, max, |waiting| waiting.is_started && !waiting.is_over));
    }
}

/// Without its thread nothing is ever audited again: the process does not go on like that.
struct Dying(Arc<Queue>);

impl Drop for Dying {
    fn drop(&mut self) {
        if std::thread::panicking() {
            std::process::abort();
        }
        self.0.over();
    }
}

/// Starts the thread.
pub(super) fn start(queue: Arc<Queue>, mut writer: Writer, every: Duration) -> io::Result<()> {
    queue.lock().is_started = true;
    let thread = Dying(queue);
    Builder::new().name("audit".to_owned()).spawn(move || write(&thread.0, &mut writer, every))?;
    Ok(())
}

pub(super) fn write(queue: &Queue, writer: &mut Writer, every: Duration) {
    // The latest time for a checkpoint, while one is due; what could not be written is tried again then, too.
    let mut due = writer.is_due().then(|| Instant::now() + every);
    loop {
        let max = due.map_or(IDLE, |due| due.saturating_duration_since(Instant::now()));
        let Some((entries, dropped)) = queue.take(max) else { break };
        writer.write(entries, dropped);
        if due.is_some_and(|due| due <= Instant::now()) {
            writer.settle();
            due = None;
        }
        due = if writer.is_due() { due.or_else(|| Some(Instant::now() + every)) } else { None };
        writer.retain();
    }
    writer.settle();
}
