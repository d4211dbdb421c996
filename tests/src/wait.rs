//! Waiting for conditions by polling, up to a generous deadline.

use std::time::{Duration, Instant};

/// How long a test waits for anything before it fails.
pub const PATIENCE: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(20);

/// Polls until `probe` returns a value; panics after [`PATIENCE`].
pub async fn until<T>(what: &str, mut probe: impl AsyncFnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = probe().await {
            return found;
        }
        assert!(start.elapsed() < PATIENCE, "waited {PATIENCE:?} for: {what}");
        tokio::time::sleep(PAUSE).await;
    }
}

/// Polls for the whole of `time`; panics as soon as `probe` returns false.
pub async fn holds_for(time: Duration, what: &str, mut probe: impl AsyncFnMut() -> bool) {
    let start = Instant::now();
    while start.elapsed() < time {
        assert!(probe().await, "did not hold for {time:?}: {what}");
        tokio::time::sleep(PAUSE).await;
    }
}
