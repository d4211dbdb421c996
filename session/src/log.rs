//! The log: lines leave through a bounded queue and a thread of its own, so that nobody who writes one waits for whoever
//! reads standard output. What does not fit is dropped, counted, and said in a line of its own where the gap is.

mod sampler;
#[cfg(test)]
mod tests;

pub(crate) use sampler::Sampler;

use crate::clock::{Clock, rfc3339};
use std::collections::VecDeque;
use std::io::{self, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::Builder;
use std::time::Duration;
use tracing_subscriber::fmt::MakeWriter;

/// Bytes that wait for the reader. As many again may be on their way to it.
const WAITING_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Standard output belongs to the process, and so does the count of what never got there.
static DROPPED: AtomicU64 = AtomicU64::new(0);

/// The lines that this process has dropped.
pub(crate) fn dropped() -> u64 {
    DROPPED.load(Ordering::Relaxed)
}

/// The log.
#[derive(Clone)]
pub struct Log(Arc<Queue>);

#[derive(Default)]
struct Queue {
    waiting: Mutex<Waiting>,
    changed: Condvar,
    bytes_max: usize,
}

#[derive(Default)]
struct Waiting {
    lines: VecDeque<Box<[u8]>>,
    bytes: usize,
    /// Lines dropped after those above. Until it is said, no other line may wait: it would come before the gap.
    dropped: u64,
    is_closed: bool,
    is_over: bool,
}

impl Log {
    /// Starts the thread, which writes to `out`.
    pub fn start(out: impl Write + Send + 'static) -> io::Result<Self> {
        Self::bounded(out, WAITING_BYTES_MAX)
    }

    fn bounded(mut out: impl Write + Send + 'static, bytes_max: usize) -> io::Result<Self> {
        let log = Self(Arc::new(Queue { bytes_max, ..Queue::default() }));
        let thread = Dying(Arc::clone(&log.0));
        Builder::new().name("log".to_owned()).spawn(move || thread.0.write(&mut out))?;
        Ok(log)
    }

    /// Waits until all lines are written, or for as long as `max`: a reader that has stopped does not keep the process.
    pub fn close(&self, max: Duration) {
        let mut waiting = self.0.lock();
        waiting.is_closed = true;
        self.0.changed.notify_all();
        drop(self.0.changed.wait_timeout_while(waiting, max, |waiting| !waiting.is_over));
    }
}

/// Without its thread nothing is ever audited again: the process does not go on like that.
struct Dying(Arc<Queue>);

impl Drop for Dying {
    fn drop(&mut self) {
        if std::thread::panicking() {
            std::process::abort();
        }
    }
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn put(&self, line: &[u8]) {
        let mut waiting = self.lock();
        if waiting.dropped > 0 || waiting.bytes + line.len() > self.bytes_max {
            waiting.dropped += 1;
            DROPPED.fetch_add(1, Ordering::Relaxed);
        } else {
            waiting.bytes += line.len();
            waiting.lines.push_back(line.into());
        }
        drop(waiting);
        self.changed.notify_all();
    }

    /// The next lines, and how many were dropped after them. `None` when the log is closed and empty.
    fn take(&self) -> Option<(VecDeque<Box<[u8]>>, u64)> {
        let is_idle = |waiting: &mut Waiting| waiting.lines.is_empty() && waiting.dropped == 0 && !waiting.is_closed;
        let mut waiting = self.changed.wait_while(self.lock(), is_idle).unwrap_or_else(PoisonError::into_inner);
        waiting.bytes = 0;
        let taken = (std::mem::take(&mut waiting.lines), std::mem::take(&mut waiting.dropped));
        if taken.0.is_empty() && taken.1 == 0 {
            waiting.is_over = true;
            self.changed.notify_all();
            return None;
        }
        Some(taken)
    }

    fn write(&self, out: &mut impl Write) {
        // Lines that could not be written count as dropped, too.
        let mut unsaid = 0;
        while let Some((lines, dropped)) = self.take() {
            for line in lines {
                if unsaid > 0 && gap(out, unsaid).is_ok() {
                    unsaid = 0;
                }
                if out.write_all(&line).is_err() {
                    unsaid += 1;
                    DROPPED.fetch_add(1, Ordering::Relaxed);
                }
            }
            unsaid += dropped;
            if unsaid > 0 && gap(out, unsaid).is_ok() {
                unsaid = 0;
            }
            // What it could not flush is tried again with the next line.
            drop(out.flush());
        }
    }
}

fn gap(out: &mut impl Write, dropped: u64) -> io::Result<()> {
    let at = rfc3339(Clock::system().now_ms());
    let message = "lines are missing here: nobody took them in time";
    writeln!(
        out,
        r#"{{"timestamp":"{at}","level":"WARN","message":"{message}","dropped":{dropped},"target":"portcullis_session::log"}}"#
    )
}

/// One line on its way into the queue.
pub struct Line(Arc<Queue>);

impl Write for Line {
    /// Tracing hands a line over as a whole.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.put(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Log {
    type Writer = Line;

    fn make_writer(&self) -> Line {
        Line(Arc::clone(&self.0))
    }
}
