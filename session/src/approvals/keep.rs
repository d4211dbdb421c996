//! Keeps requests for access up to date: a reload of the rules takes effect, refused escalations become requests, and what time
//! has ended is noted. None of the three waits for another.

use super::rules::Rules;
use crate::service::Service;
use crate::writer::{Approving, NotWritten};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::watch;
use tracing::warn;

/// How often it is looked at what is due. No verdict waits for it: the judge ends a grant at its instant.
const INTERVAL: Duration = Duration::from_millis(500);

/// Runs until the service stops. The rules of the start are in force already; `is_alone` says that no other replica may have
/// newer ones, so that grants whose rule has gone end for good.
pub(crate) async fn keep(service: Arc<Service>, rules: watch::Receiver<Arc<Rules>>, is_alone: bool) {
    let mut stop = service.stop.clone();
    let is_changed = AtomicBool::new(is_alone);
    let all =
        async { tokio::join!(apply(&service, rules, &is_changed), escalate(&service), sweep(&service, &is_changed)) };
    tokio::select! {
        biased;
        _ = stop.wait_for(|stop| *stop) => {}
        _ = all => {}
    }
}

async fn apply(service: &Service, mut rules: watch::Receiver<Arc<Rules>>, is_changed: &AtomicBool) {
    while rules.changed().await.is_ok() {
        let new = Arc::clone(&rules.borrow_and_update());
        service.registry.set_approval_rules(new);
        is_changed.store(true, Ordering::SeqCst);
    }
}

async fn escalate(service: &Service) {
    loop {
        // With a clock that was set forward, they would wait for ever.
        let asked = match service.clock.agreement().is_parted() {
            true => Vec::new(),
            false => service.registry.take_escalations(),
        };
        for asked in asked {
            let made = service.writer.approve(Approving::Ask(Box::new(asked)), service.clock.now_ms()).await;
            let why = match &made {
                Ok(Ok(_)) => continue,
                Ok(Err(not_done)) => format!("{not_done:?}"),
                Err(error) => format!("{error:?}"),
            };
            warn!(why, "a refused escalation did not become a request: it will when it is refused at another stream");
        }
        tokio::time::sleep(INTERVAL).await;
    }
}

async fn sweep(service: &Arc<Service>, is_changed: &AtomicBool) {
    loop {
        // With a clock that was set forward, everything would end for good.
        if !service.clock.agreement().is_parted() {
            let (now_ms, rules_are_new) = (service.clock.now_ms(), is_changed.swap(false, Ordering::SeqCst));
            let swept = match is_due(service, rules_are_new, now_ms).await {
                true => service.writer.approve(Approving::Sweep(rules_are_new), now_ms).await.map(drop),
                false => Ok(()),
            };
            // There may be more than are noted at a time.
            if rules_are_new && (swept.is_err() || is_due(service, true, now_ms).await) {
                is_changed.store(true, Ordering::SeqCst);
            }
            note(swept);
        }
        tokio::time::sleep(INTERVAL).await;
    }
}

/// Whether something is over. The store may be asked, so not on this thread.
async fn is_due(service: &Arc<Service>, rules_are_new: bool, now_ms: u64) -> bool {
    let registry = Arc::clone(&service.registry);
    let looked = service.blocking.spawn_blocking(move || !registry.requests_due(rules_are_new, now_ms).is_empty());
    looked.await.unwrap_or_default()
}

fn note(done: Result<(), NotWritten>) {
    if let Err(error) = done {
        warn!(?error, "could not note what has become of requests for access; it will be tried again");
    }
}
