//! Reminds people of emergencies that nobody has reviewed.

use crate::service::Service;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tracing::warn;

/// How often it is looked for reviews that are open.
const INTERVAL: Duration = Duration::from_secs(1);

/// For ever. Every replica asks, and the writer decides once.
pub(super) async fn remind(service: Arc<Service>) {
    loop {
        // With a clock that was set forward, everything would be due.
        let is_trusted = !service.clock.agreement().is_parted() && service.registry.lease().holds();
        if is_trusted && service.is_loaded.load(Ordering::SeqCst) {
            let now_ms = service.clock.now_ms();
            for request in service.registry.reviews_due(now_ms) {
                if let Err(error) = service.writer.remind(request, now_ms).await {
                    warn!(?error, "could not note that a review is open; it will be tried again");
                }
            }
        }
        tokio::time::sleep(INTERVAL).await;
    }
}
