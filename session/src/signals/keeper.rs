//! What is done about transmitters now and then: their keys are fetched, and silence is noticed.

use super::transmitter::Transmitter;
use crate::service::Service;
use std::sync::Arc;
use std::time::Duration;
use tracing::{info, warn};

/// How often transmitters are looked after.
const INTERVAL: Duration = Duration::from_secs(1);

/// How often receipts that are no longer needed are dropped, in intervals.
const FORGET_EVERY: u32 = 60;

/// Looks after the transmitters until the service stops.
pub(crate) async fn keep(service: Arc<Service>) {
    let mut stop = service.stop.clone();
    let mut were_stale = vec![false; service.signals.len()];
    for round in (1..=FORGET_EVERY).cycle() {
        let now_ms = service.clock.now_ms();
        for (transmitter, was_stale) in service.signals.iter().zip(&mut were_stale) {
            if let Some(keys) = &transmitter.keys {
                keys.refresh();
            }
            if let Some(is_stale) = transmitter.is_stale(now_ms) {
                service.metrics.signals.stale(&transmitter.settings.name, is_stale);
                say(transmitter, is_stale, std::mem::replace(was_stale, is_stale));
            }
        }
        // With a clock that was set forward, all of them would be dropped.
        if round == FORGET_EVERY && !service.clock.agreement().is_parted() {
            service.writer.forget_received(now_ms);
        }
        tokio::select! {
            biased;
            _ = stop.wait_for(|stop| *stop) => return,
            () = tokio::time::sleep(INTERVAL) => {}
        }
    }
}

fn say(transmitter: &Transmitter, is_stale: bool, was_stale: bool) {
    let name = &transmitter.settings.name;
    match (was_stale, is_stale) {
        (false, true) => warn!(
            transmitter = name,
            "no verification event for longer than stale_after: what its provider knows may not arrive here"
        ),
        (true, false) => info!(transmitter = name, "verification events arrive again"),
        _ => {}
    }
}
