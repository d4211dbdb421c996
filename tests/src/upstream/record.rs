//! What the upstream has seen: the requests that it answered, and the streams that it holds open.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

const REMEMBERED_MAX: usize = 1_000;

/// A request that was released.
#[derive(Debug, Clone)]
pub struct ReceivedRequest {
    /// Its method.
    pub method: String,
    /// Its path and query.
    pub path: String,
    /// Its headers; values that are not UTF-8 contain replacement characters.
    pub headers: BTreeMap<String, Vec<String>>,
    /// The length of its body.
    pub body_bytes: usize,
}

#[derive(Default)]
pub(super) struct Record {
    count: AtomicUsize,
    streams: AtomicUsize,
    last: Mutex<VecDeque<ReceivedRequest>>,
}

impl Record {
    pub(super) fn count(&self) -> usize {
        self.count.load(Ordering::SeqCst)
    }

    pub(super) fn streams(&self) -> usize {
        self.streams.load(Ordering::SeqCst)
    }

    pub(super) fn last(&self) -> Vec<ReceivedRequest> {
        self.last.lock().expect("not poisoned").iter().cloned().collect()
    }

    pub(super) fn add(&self, received: ReceivedRequest) {
        self.count.fetch_add(1, Ordering::SeqCst);
        let mut last = self.last.lock().expect("not poisoned");
        if last.len() == REMEMBERED_MAX {
            last.pop_front();
        }
        last.push_back(received);
    }
}

/// Counts a stream as open until it is dropped.
pub(super) struct OpenStream(Arc<Record>);

impl OpenStream {
    pub(super) fn new(record: Arc<Record>) -> Self {
        record.streams.fetch_add(1, Ordering::SeqCst);
        Self(record)
    }
}

impl Drop for OpenStream {
    fn drop(&mut self) {
        self.0.streams.fetch_sub(1, Ordering::SeqCst);
    }
}
