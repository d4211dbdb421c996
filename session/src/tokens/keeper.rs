//! What is done now and then: issuers are told again of families that are over, and what is past its time is dropped.

use super::ending;
use super::state::Tokens;
use crate::service::Service;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// How often issuers are told again.
const TELL_EVERY: Duration = Duration::from_secs(5);

/// Families that are told of at a time.
const TOLD_MAX: usize = 100;

/// How often what is past its time is dropped.
const DROP_EVERY: Duration = Duration::from_mins(1);

/// Goes on until the service stops.
pub(crate) async fn keep(service: Arc<Service>, tokens: Arc<Tokens>) {
    let mut stop = service.stop.clone();
    let mut drops_at = Instant::now();
    loop {
        tokio::select! {
            biased;
            _ = stop.wait_for(|stop| *stop) => return,
            () = tokio::time::sleep(TELL_EVERY) => {}
        }
        let round = async {
            // With a clock that was set forward, everything would be dropped.
            if Instant::now() >= drops_at && !service.clock.agreement().is_parted() {
                drops_at = Instant::now() + DROP_EVERY;
                let now_ms = service.clock.now_ms();
                while tokens.at_store(move |store| store.drop_families(now_ms)).await.is_ok_and(|dropped| dropped > 0) {
                }
            }
            tell(&tokens).await;
        };
        tokio::select! {
            biased;
            _ = stop.wait_for(|stop| *stop) => return,
            () = round => {}
        }
    }
}

async fn tell(tokens: &Arc<Tokens>) {
    let Ok(over) = tokens.at_store(|store| store.ended_families(TOLD_MAX)).await else { return };
    for stored in over {
        ending::tell_again(tokens, &stored).await;
    }
}
