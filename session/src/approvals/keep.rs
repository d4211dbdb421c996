//! Keeps requests for access up to date: refused escalations become requests, what time has ended is noted, and a reload of
//! the rules takes effect.

use super::rules::Rules;
use crate::service::Service;
use crate::writer::Approving;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tracing::warn;

/// How often it is looked at what is due. No verdict waits for it: the judge ends a grant at its instant.
const INTERVAL: Duration = Duration::from_millis(500);

/// Runs until the service stops. The rules of the start are in force already.
pub(crate) async fn keep(service: Arc<Service>, mut rules: watch::Receiver<Arc<Rules>>) {
    let mut stop = service.stop.clone();
    // At the start, grants whose rule has gone end.
    let mut is_changed = true;
    loop {
        for asked in service.registry.take_escalations() {
            note(service.writer.approve(Approving::Ask(Box::new(asked)), service.clock.now_ms()).await.map(drop));
        }
        // With a clock that was set forward, everything would end for good.
        if !service.clock.agreement().is_parted() {
            let now_ms = service.clock.now_ms();
            let is_due = is_changed || has_due(&service, now_ms).await;
            if is_due {
                let swept = service.writer.approve(Approving::Sweep(is_changed), now_ms).await;
                is_changed &= swept.is_err();
                note(swept.map(drop));
            }
        }
        tokio::select! {
            biased;
            _ = stop.wait_for(|stop| *stop) => return,
            changed = rules.changed() => {
                if changed.is_err() {
                    return;
                }
                let new = Arc::clone(&rules.borrow_and_update());
                service.registry.set_approval_rules(new);
                is_changed = true;
            }
            () = tokio::time::sleep(INTERVAL) => {}
        }
    }
}

/// Whether something is over. The store may be asked, so not on this thread.
async fn has_due(service: &Arc<Service>, now_ms: u64) -> bool {
    let registry = Arc::clone(&service.registry);
    let looked = service.blocking.spawn_blocking(move || !registry.requests_due(false, now_ms).is_empty());
    looked.await.unwrap_or_default()
}

fn note(done: Result<(), crate::writer::NotWritten>) {
    if let Err(error) = done {
        warn!(?error, "could not note what has become of requests for access; it will be tried again");
    }
}
