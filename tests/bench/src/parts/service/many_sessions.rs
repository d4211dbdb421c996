//! A million sessions: their memory, and how long the service takes to start with them.

use super::filter::{Stream, question, token};
use crate::{
    build::Build,
    meter::{cpu_s, resident_bytes},
};
use portcullis_contract::wire::FilterMessage;
use portcullis_tests::Service;
use std::time::{Duration, Instant};

pub(crate) const SESSIONS: usize = 1_000_000;
const BATCH: u32 = 256;
/// The service writes sessions asynchronously. It has finished when it is almost idle.
const QUIET: Duration = Duration::from_secs(1);
const QUIET_CPU_S: f64 = 0.05;
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
    settle(service.id()).await;
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

async fn settle(id: u32) {
    let start = Instant::now();
    loop {
        let before = cpu_s(id);
        tokio::time::sleep(QUIET).await;
        if cpu_s(id) - before < QUIET_CPU_S {
            return;
        }
        assert!(start.elapsed() < QUIET_WITHIN, "the service still writes after {QUIET_WITHIN:?}");
    }
}
