//! A million sessions: their memory, and how long the service takes to start with them.

use super::filter::{Stream, question, token};
use crate::{build::Build, meter::resident_bytes};
use portcullis_contract::wire::FilterMessage;
use portcullis_tests::Service;
use std::time::{Duration, Instant};

pub(crate) const SESSIONS: usize = 1_000_000;
const BATCH: u32 = 256;
/// The service writes sessions asynchronously. It has finished when it has committed nothing for this time.
const QUIET: Duration = Duration::from_secs(3);
const QUIET_WITHIN: Duration = Duration::from_secs(180);

pub(crate) struct Measured {
    pub(crate) bytes: u64,
    pub(crate) restart: Duration,
}

pub(crate) async fn measure() -> Measured {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let service = Service::alone(&Build::current().service, dir.path()).await;
    let before = resident_bytes(service.id());
    open(&service).await;
    settle(&service).await;
    let bytes = resident_bytes(service.id()) - before;
    assert!(service.terminate().await.success(), "the service ends well");
    let start = Instant::now();
    service.restart().await;
    Measured { bytes, restart: start.elapsed() }
}

/// Opens them as a filter does: each token is sent, asked about and forgotten.
async fn open(service: &Service) {
    let mut stream = Stream::open(service).await;
    let count = SESSIONS as u32;
    for first in (0..count).step_by(BATCH as usize) {
        let handles = first..count.min(first + BATCH);
        let tokens = handles.clone().map(token).collect();
        let questions = handles.clone().map(|handle| question(handle, handle)).collect();
        stream.ask(FilterMessage { tokens, questions, forgotten: handles.collect(), ..FilterMessage::default() }).await;
    }
}

async fn settle(service: &Service) {
    let start = Instant::now();
    loop {
        let before = commits(service).await;
        tokio::time::sleep(QUIET).await;
        if commits(service).await == before {
            return;
        }
        assert!(start.elapsed() < QUIET_WITHIN, "the service still writes after {QUIET_WITHIN:?}");
    }
}

/// The line of the metrics that counts commits.
async fn commits(service: &Service) -> String {
    let answer = service.admin().call("GET", "/metrics").await;
    let metrics = String::from_utf8_lossy(&answer.body);
    let count = metrics.lines().find(|line| line.starts_with("portcullis_store_commit_seconds_count"));
    count.expect("commits are counted").to_owned()
}
