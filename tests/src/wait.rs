//! Waiting for conditions: by asking again and again, up to a generous deadline.

use std::time::{Duration, Instant};

/// The longest that anything may take before a test gives up.
pub const PATIENCE: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(20);

/// Asks until there is something; panics when patience ends.
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

/// Asks for the whole of `time`; panics as soon as the answer is no.
pub async fn holds_for(time: Duration, what: &str, mut probe: impl AsyncFnMut() -> bool) {
    let start = Instant::now();
    while start.elapsed() < time {
        assert!(probe().await, "did not hold for {time:?}: {what}");
        tokio::time::sleep(PAUSE).await;
    }
}
