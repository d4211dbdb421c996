//! Sends records to an OpenTelemetry collector, from a thread of its own. The file does not wait for it: while a collector
//! takes nothing, a bounded number of records waits, and those beyond are counted and said to be missing.

use super::otlp::{Line, rejected, request};
use crate::clock::wall_ms;
use crate::log::Sampler;
use crate::signals::{Outbound, Url, trusted};
use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::Builder;
use std::time::Duration;
use tracing::warn;

/// Bytes of lines that wait for the collector. A batch may be on its way to it.
const WAITING_BYTES_MAX: usize = 4 * 1024 * 1024;

/// What a line takes besides its text, about.
const LINE_BYTES: usize = 128;

/// The most that is sent at a time.
const BATCH_LINES_MAX: usize = 512;
const BATCH_BYTES_MAX: usize = 1024 * 1024;

/// How long one request may take.
const REQUEST_MAX: Duration = Duration::from_secs(10);

/// How long a collector that fails is left alone: the time doubles with each failure.
const WAIT_MIN: Duration = Duration::from_secs(1);
const WAIT_MAX: Duration = Duration::from_secs(30);

/// Like the counts of the file, these belong to the process.
static EXPORTED: AtomicU64 = AtomicU64::new(0);
static NOT_EXPORTED: AtomicU64 = AtomicU64::new(0);

/// The records that the collector has taken.
pub(crate) fn exported() -> u64 {
    EXPORTED.load(Ordering::Relaxed)
}

/// The records that it will never get.
pub(crate) fn not_exported() -> u64 {
    NOT_EXPORTED.load(Ordering::Relaxed)
}

/// A collector: `audit.otlp` in `session.yaml`.
#[derive(Clone, PartialEq)]
pub struct OtlpSettings {
    /// Where logs are posted.
    pub(crate) url: Url,
    /// Headers of each request, which are secrets.
    pub(crate) headers: Vec<(String, String)>,
    /// Certificates of authorities, if not those of the system.
    pub ca: Option<PathBuf>,
}

impl fmt::Debug for OtlpSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OtlpSettings").field("url", &self.url).field("ca", &self.ca).finish_non_exhaustive()
    }
}

/// The queue before the thread that sends.
#[derive(Debug, Clone)]
pub(super) struct Exporter(Arc<Queue>);

#[derive(Debug, Default)]
struct Queue {
    waiting: Mutex<Waiting>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Waiting {
    lines: Vec<Line>,
    bytes: usize,
    /// Records dropped after those above. Until that is said, no other may wait: it would come before the gap.
    dropped: u64,
    is_closed: bool,
    is_over: bool,
}

/// A batch on its way: lines, after as many that are missing.
#[derive(Default)]
struct Batch {
    missing: u64,
    lines: Vec<Line>,
}

/// What a collector has made of a batch.
enum Taken {
    /// It has it, but for as many records.
    But(u64),
    /// It may take it later.
    Later(String),
    /// It never will.
    Never(String),
}

/// Without its thread nothing is ever sent again: the process does not go on like that.
struct Dying(Arc<Queue>);

impl Drop for Dying {
    fn drop(&mut self) {
        if std::thread::panicking() {
            std::process::abort();
        }
        self.0.lock().is_over = true;
        self.0.changed.notify_all();
    }
}

impl Exporter {
    /// Starts the thread.
    pub(super) fn start(settings: OtlpSettings, origin: &str) -> io::Result<Self> {
        let tls =
            trusted(settings.ca.as_ref(), &settings.url).map_err(|e| io::Error::other(format!("audit.otlp: {e}")))?;
        let (caller, queue, origin) = (Outbound::new(Some(tls)), Arc::<Queue>::default(), origin.to_owned());
        let thread = Dying(Arc::clone(&queue));
        Builder::new().name("audit-otlp".to_owned()).spawn(move || {
            let post = |batch: &Batch| {
                let body = request(&origin, batch.missing, &batch.lines, wall_ms());
                post(&caller, &settings, &body)
            };
            thread.0.send(&post);
        })?;
        Ok(Self(queue))
    }

    /// Leaves lines that are in the file, or counts those for which there is no place.
    pub(super) fn put(&self, lines: Vec<Line>) {
        let mut waiting = self.0.lock();
        for line in lines {
            let bytes = line.text.len() + LINE_BYTES;
            if waiting.dropped > 0 || waiting.bytes + bytes > WAITING_BYTES_MAX {
                waiting.dropped += 1;
                NOT_EXPORTED.fetch_add(1, Ordering::Relaxed);
            } else {
                waiting.bytes += bytes;
                waiting.lines.push(line);
            }
        }
        drop(waiting);
        self.0.changed.notify_all();
    }

    /// Waits until all is sent, or for as long as `max`. A batch that fails then is not sent again.
    pub(super) fn close(&self, max: Duration) {
        let mut waiting = self.0.lock();
        waiting.is_closed = true;
        self.0.changed.notify_all();
        drop(self.0.changed.wait_timeout_while(waiting, max, |waiting| !waiting.is_over));
    }
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn send(&self, post: &dyn Fn(&Batch) -> Taken) {
        // What is missing before the next line that is sent.
        let mut missing = 0;
        while let Some(mut batch) = self.take() {
            batch.missing += std::mem::take(&mut missing);
            if !self.send_batch(&batch, post) {
                missing = batch.missing + batch.lines.len() as u64;
            }
        }
    }

    /// Sends a batch, however long it takes until the collector takes it; whether it has.
    fn send_batch(&self, batch: &Batch, post: &dyn Fn(&Batch) -> Taken) -> bool {
        let (mut wait, lines) = (WAIT_MIN, batch.lines.len() as u64);
        let mut is_last = self.lock().is_closed;
        loop {
            let error = match post(batch) {
                Taken::But(rejected) => {
                    let rejected = rejected.min(lines);
                    EXPORTED.fetch_add(lines - rejected, Ordering::Relaxed);
                    NOT_EXPORTED.fetch_add(rejected, Ordering::Relaxed);
                    return true;
                }
                Taken::Later(error) if !is_last => error,
                Taken::Later(error) | Taken::Never(error) => {
                    NOT_EXPORTED.fetch_add(lines, Ordering::Relaxed);
                    failed(&error, lines);
                    return false;
                }
            };
            failed(&error, 0);
            // A stop tries it once more.
            is_last = !self.waits(wait);
            wait = (wait * 2).min(WAIT_MAX);
        }
    }

    /// Waits for that long; `false`, and sooner, when the service stops.
    fn waits(&self, wait: Duration) -> bool {
        let waited = self.changed.wait_timeout_while(self.lock(), wait, |waiting| !waiting.is_closed);
        let (waiting, _) = waited.unwrap_or_else(PoisonError::into_inner);
        !waiting.is_closed
    }

    /// The next lines. `None` when it is closed and empty.
    fn take(&self) -> Option<Batch> {
        let is_idle = |waiting: &mut Waiting| waiting.lines.is_empty() && waiting.dropped == 0 && !waiting.is_closed;
        let mut waiting = self.changed.wait_while(self.lock(), is_idle).unwrap_or_else(PoisonError::into_inner);
        if waiting.lines.is_empty() {
            // The gap is after all lines.
            let missing = std::mem::take(&mut waiting.dropped);
            return (missing > 0).then(|| Batch { missing, lines: Vec::new() });
        }
        let mut bytes = 0;
        let fits = |line: &&Line| {
            bytes += line.text.len() + LINE_BYTES;
            bytes <= BATCH_BYTES_MAX
        };
        // A line is never larger than a batch.
        let count = waiting.lines.iter().take(BATCH_LINES_MAX).take_while(fits).count().max(1);
        let count = count.min(waiting.lines.len());
        let lines: Vec<Line> = waiting.lines.drain(..count).collect();
        let taken: usize = lines.iter().map(|line| line.text.len() + LINE_BYTES).sum();
        waiting.bytes = waiting.bytes.saturating_sub(taken);
        Some(Batch { missing: 0, lines })
    }
}

/// Which answers mean that a batch may be taken later (OTLP specification, failures).
const LATER: [u16; 4] = [429, 502, 503, 504];

fn post(caller: &Outbound, settings: &OtlpSettings, body: &[u8]) -> Taken {
    let headers: Vec<(&str, &str)> = settings.headers.iter().map(|(name, value)| (&**name, &**value)).collect();
    match caller.post_as(&settings.url, &headers, body, REQUEST_MAX) {
        Err(error) => Taken::Later(error),
        Ok(answer) if (200..300).contains(&answer.status) => Taken::But(rejected(&answer.body)),
        Ok(answer) if LATER.contains(&answer.status) => Taken::Later(format!("it answered {}", answer.status)),
        Ok(answer) => Taken::Never(format!("it answered {}", answer.status)),
    }
}

fn failed(error: &str, lost: u64) {
    static FAILED: Sampler = Sampler::new();
    if let Some(not_logged) = FAILED.admit() {
        warn!(error, lost, not_logged, "cannot send the audit log to the OpenTelemetry collector");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    fn lines(numbers: std::ops::Range<u64>) -> Vec<Line> {
        let line = |seq| Line { ms: 1, seq, code: "login".to_owned(), text: "x".repeat(1_000) };
        numbers.map(line).collect()
    }

    fn closed(exporter: &Exporter) {
        exporter.0.lock().is_closed = true;
    }

    /// Sends all that waits; the answers in turn, then success. Returns the missing ones and the numbers of each request.
    fn sent(exporter: &Exporter, answers: Vec<Taken>) -> Vec<(u64, Vec<u64>)> {
        let (sent, answers) = (Mutex::new(Vec::new()), Mutex::new(answers.into_iter()));
        exporter.0.send(&|batch| {
            sent.lock().unwrap().push((batch.missing, batch.lines.iter().map(|line| line.seq).collect()));
            answers.lock().unwrap().next().unwrap_or(Taken::But(0))
        });
        sent.into_inner().unwrap()
    }

    #[test]
    fn lines_are_sent_in_order_and_in_bounded_batches() {
        let exporter = Exporter(Arc::default());
        exporter.put(lines(0..1_200));
        closed(&exporter);
        let sent = sent(&exporter, Vec::new());
        let counts: Vec<usize> = sent.iter().map(|(_, numbers)| numbers.len()).collect();
        assert_eq!(counts, [512, 512, 176]);
        let numbers: Vec<u64> = sent.into_iter().flat_map(|(_, numbers)| numbers).collect();
        assert_eq!(numbers, (0..1_200).collect::<Vec<_>>());
    }

    #[test]
    fn what_has_no_place_is_missing_and_said_after_what_waited() {
        let exporter = Exporter(Arc::default());
        exporter.put(lines(0..5_000));
        let kept = exporter.0.lock().lines.len() as u64;
        assert!(kept < 5_000 && exporter.0.lock().bytes <= WAITING_BYTES_MAX);
        exporter.put(lines(5_000..5_001));
        closed(&exporter);
        let sent = sent(&exporter, Vec::new());
        assert_eq!(
            sent.last(),
            Some(&(5_001 - kept, Vec::new())),
            "nothing comes between the gap and what was dropped"
        );
    }

    #[test]
    fn a_batch_that_is_refused_is_missing_before_the_next() {
        let exporter = Exporter(Arc::default());
        exporter.put(lines(0..520));
        closed(&exporter);
        let sent = sent(&exporter, vec![Taken::Never("it answered 400".to_owned())]);
        assert_eq!((sent[0].1.len(), sent[1].0, sent[1].1.len()), (512, 512, 8));
    }

    #[test]
    fn a_stop_tries_once_what_fails() {
        let exporter = Exporter(Arc::default());
        exporter.put(lines(0..3));
        closed(&exporter);
        let sent = sent(&exporter, vec![Taken::Later("refused".to_owned())]);
        assert_eq!(sent, [(0, vec![0, 1, 2])]);
    }
}
