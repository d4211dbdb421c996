//! What goes on beside the streams: the longest lease is noted in the store before one that long is given, and what has run out is
//! dropped.

use super::waits::Leases;
use crate::clock::{steady_ms, waited_out_ms};
use crate::log::Sampler;
use crate::service::Service;
use crate::store::{Store, StoreError};
use portcullis_contract::bounds::LEASE_MS_MAX;
use std::sync::Arc;
use std::time::Duration;
use tracing::warn;

/// How often what has run out is dropped, and a store that could not note something is tried again.
const ROUND: Duration = Duration::from_secs(1);

/// Holds answers that promise something for as long as filters may use what the process before this one has given. Blocks.
pub(crate) fn hold_after_start(leases: &Leases, store: &dyn Store) -> Result<(), StoreError> {
    match noted(store)? {
        0 => {}
        longest_ms => leases.hold_until(steady_ms().saturating_add(waited_out_ms(longest_ms))),
    }
    Ok(())
}

/// The longest lease that the store says was given; the longest there is, if it does not say.
fn noted(store: &dyn Store) -> Result<u64, StoreError> {
    Ok(store.longest_lease_ms()?.unwrap_or(LEASE_MS_MAX))
}

/// Keeps them until the service stops.
pub(crate) async fn keep(service: Arc<Service>) {
    let leases = Arc::clone(service.registry.followers().leases());
    let (mut stop, mut wanted) = (service.stop.clone(), leases.wanted());
    let mut noted_ms = None;
    loop {
        let wanted_ms = *wanted.borrow_and_update();
        noted_ms = note(&service, noted_ms, wanted_ms, leases.is_held()).await;
        service.gives_leases_of(noted_ms.unwrap_or_default().min(wanted_ms));
        let (held, waited_out) = leases.sweep();
        service.metrics.leases.held(held);
        service.metrics.leases.waited_out(waited_out);
        tokio::select! {
            biased;
            _ = stop.wait_for(|stop| *stop) => return,
            _ = wanted.changed() => {}
            () = tokio::time::sleep(ROUND) => {}
        }
    }
}

/// Sees to it that the store has the longest lease that may be given; returns what it has then. What the process before this
/// one has noted is not undercut while its leases may run.
async fn note(service: &Arc<Service>, known_ms: Option<u64>, wanted_ms: u64, is_held: bool) -> Option<u64> {
    static FAILURES: Sampler = Sampler::new();
    if known_ms == Some(wanted_ms) {
        return known_ms;
    }
    let store = Arc::clone(&service.store);
    let noting = move || {
        let known_ms = known_ms.map_or_else(|| noted(&*store), Ok)?;
        let longest_ms = if is_held { wanted_ms.max(known_ms) } else { wanted_ms };
        if longest_ms != known_ms {
            store.note_longest_lease(longest_ms)?;
        }
        Ok::<_, StoreError>(longest_ms)
    };
    match service.blocking.spawn_blocking(noting).await {
        Ok(Ok(longest_ms)) => Some(longest_ms),
        Ok(Err(error)) => {
            if let Some(not_logged) = FAILURES.admit() {
                warn!(%error, not_logged, "could not note the longest lease: no longer one is given until the store can write");
            }
            known_ms
        }
        Err(_) => known_ms,
    }
}
