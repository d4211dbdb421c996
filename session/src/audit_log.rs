//! The audit log as a file that can be proved: every line of the tracing target `audit` becomes a record, which leaves
//! through a bounded queue and a thread of its own. What cannot be written is counted, and said in a record of its own
//! where the gap is: no verdict ever waits.

mod disk;
mod export;
mod handed;
mod otlp;
mod queue;
mod sample;
mod start;
mod tap;
#[cfg(test)]
mod tests;
mod writer;

pub use export::OtlpSettings;
pub(crate) use export::{exported, not_exported};
pub(crate) use handed::{Signed, signed};
pub use sample::{ALL_MILLIONTHS, SAMPLED, Sample};
pub use tap::Tap;

use export::Exporter;
use portcullis_audit::note::SignerKey;
use portcullis_audit::record::Format;
use queue::Queue;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};
use writer::Writer;

/// The file, and so are the counts of it, belong to the process.
static WRITTEN: AtomicU64 = AtomicU64::new(0);
static DROPPED: AtomicU64 = AtomicU64::new(0);

/// The records that this process has written.
pub(crate) fn written() -> u64 {
    WRITTEN.load(Ordering::Relaxed)
}

/// The records that this process has dropped.
pub(crate) fn dropped() -> u64 {
    DROPPED.load(Ordering::Relaxed)
}

/// Where the records go, and how they are proved: `audit` in `session.yaml`.
#[derive(Debug, Clone, PartialEq)]
pub struct AuditFile {
    /// The file.
    pub path: PathBuf,
    /// The shape of its lines.
    pub format: Format,
    /// What checkpoints are signed with.
    pub key: SignerKey,
    /// A checkpoint is due after so many records.
    pub records: u64,
    /// A checkpoint is due so long after the first record without one.
    pub every: Duration,
    /// A file that is larger is closed.
    pub size_bytes: u64,
    /// A file that is older is closed.
    pub age_ms: u64,
    /// A closed file that is older is deleted.
    pub retain_ms: u64,
    /// Of which refusals only a share is kept; the first rule that is about one decides.
    pub sample: Vec<Sample>,
    /// The webhook that checkpoints are handed to.
    pub webhook: Option<String>,
    /// The collector that records are sent to, too.
    pub otlp: Option<OtlpSettings>,
}

/// The audit log. Records can be given to it before it has started.
#[derive(Debug, Clone, Default)]
pub struct AuditLog(Arc<Queue>, Arc<OnceLock<Exporter>>);

impl AuditLog {
    /// What takes the records, as a layer of the subscriber.
    pub fn tap(&self, sample: &[Sample]) -> Tap {
        Tap::new(Arc::clone(&self.0), sample)
    }

    /// Continues the file, and starts the thread that writes it.
    pub fn start(&self, file: AuditFile) -> io::Result<()> {
        let named = |error: io::Error| {
            io::Error::new(error.kind(), format!("audit.file: cannot use `{}`: {error}", file.path.display()))
        };
        let every = file.every;
        let origin = file.key.verifier().name();
        let export = file.otlp.clone().map(|otlp| Exporter::start(otlp, origin)).transpose()?;
        let writer = Writer::start(file.clone(), Box::new(disk::open), export.clone()).map_err(named)?;
        if let Some(export) = export {
            // It is started once.
            let _ = self.1.set(export);
        }
        queue::start(Arc::clone(&self.0), writer, every)
    }

    /// Waits until all records are written, signed and sent, or for as long as `max`.
    pub fn close(&self, max: Duration) {
        let until = Instant::now() + max;
        self.0.close(max);
        if let Some(export) = self.1.get() {
            export.close(until.saturating_duration_since(Instant::now()));
        }
    }
}
