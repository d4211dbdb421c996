//! What the audit log in a file costs verdicts: two services beside each other, one of which has it. Some questions open a
//! session, which is a record.

use super::filter::{Stream, question, token};
use crate::{build::Build, report::WithAudit, stats::ratio};
use portcullis_audit::note::SignerKey;
use portcullis_contract::wire::FilterMessage;
use portcullis_tests::Service;
use serde_json::json;
use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};
use tempfile::TempDir;

/// Questions in flight.
const IN_FLIGHT: u32 = 256;
/// One of so many questions opens a session.
pub(crate) const FEW_NEW: u32 = 64;
/// Sessions that are asked about again and again.
const KNOWN: u32 = 1_000;

/// A service, and a stream to it.
struct Side {
    _dir: TempDir,
    _service: Service,
    stream: Stream,
    /// The handle of the next new token.
    next: u32,
}

impl Side {
    async fn start(log: impl FnOnce(&Path) -> Option<PathBuf>) -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let log = log(dir.path());
        let key = dir.path().join("key");
        let signer = SignerKey::generate("bench.example/1").expect("a key");
        std::fs::write(&key, signer.secret()).expect("a key can be written");
        let build = Build::current();
        let service = Service::alone_with(&build.service, dir.path(), |config| {
            if let Some(file) = log {
                config["audit"] = json!({"file": file, "signing_key": {"file": key}});
            }
        });
        let service = service.await;
        let mut stream = Stream::open(&service).await;
        let tokens = (0..KNOWN).map(token).collect();
        let questions = (0..KNOWN).map(|handle| question(handle, handle)).collect();
        stream.ask(FilterMessage { tokens, questions, ..FilterMessage::default() }).await;
        Self { _dir: dir, _service: service, stream, next: KNOWN }
    }

    /// Verdicts a second, where so many of the questions in flight open a session.
    async fn round(&mut self, time: Duration, new: u32) -> f64 {
        let (start, mut count) = (Instant::now(), 0);
        while start.elapsed() < time {
            let new = self.next..self.next + new;
            let known = (0..IN_FLIGHT - (new.end - new.start)).map(|id| question(id, (count + id) % KNOWN));
            let questions = known.chain(new.clone().map(|handle| question(handle, handle))).collect();
            let (tokens, forgotten) = (new.clone().map(token).collect(), new.clone().collect());
            self.stream.ask(FilterMessage { tokens, questions, forgotten, ..FilterMessage::default() }).await;
            self.next = new.end;
            count += IN_FLIGHT;
        }
        f64::from(count) / start.elapsed().as_secs_f64()
    }
}

/// The rates with the log as parts of those without, round by round: where few and where half of the questions open a session.
pub(crate) async fn measure(rounds: usize, time: Duration) -> WithAudit {
    let mut log = PathBuf::new();
    let mut off = Side::start(|_| None).await;
    let mut on = Side::start(|dir| {
        log = dir.join("audit.jsonl");
        Some(log.clone())
    })
    .await;
    let mut parts = Vec::new();
    for new in [IN_FLIGHT / FEW_NEW, IN_FLIGHT / 2] {
        let (mut without, mut with) = (Vec::new(), Vec::new());
        for round in 0..rounds {
            // Who is first may find a machine that is less busy.
            if round.is_multiple_of(2) {
                without.push(off.round(time, new).await);
                with.push(on.round(time, new).await);
            } else {
                with.push(on.round(time, new).await);
                without.push(off.round(time, new).await);
            }
        }
        parts.push(ratio(&with, &without));
    }
    let written = std::fs::metadata(&log).map_or(0, |file| file.len());
    assert!(written > 0, "the service has written an audit log");
    WithAudit { half_new: parts.pop().flatten(), few_new: parts.pop().flatten() }
}
