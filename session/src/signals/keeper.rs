//! What is done about transmitters now and then: their keys are fetched, and silence is noticed.

use super::transmitter::Transmitter;
use crate::clock::rfc3339;
use crate::service::Service;
use std::sync::Arc;
use std::time::Duration;
use tracing::{info, warn};

/// How often transmitters are looked after.
const INTERVAL: Duration = Duration::from_secs(1);

/// A signal that is held for longer is said, once an hour.
const HELD_MAX: Duration = Duration::from_secs(24 * 60 * 60);
const SAY_HELD_EVERY: u32 = 60 * 60;

/// How often receipts that are no longer needed are dropped, in intervals.
const FORGET_EVERY: u32 = 60;

/// Looks after the transmitters until the service stops.
pub(crate) async fn keep(service: Arc<Service>) {
    let mut stop = service.stop.clone();
    let mut were_stale = vec![false; service.signals.len()];
    let mut seconds: u32 = 0;
    for round in (1..=FORGET_EVERY).cycle() {
        let now_ms = service.clock.now_ms();
        seconds = seconds.wrapping_add(1);
        for transmitter in service.registry.transmitters_held() {
            let (held, since_ms) = service.registry.held_of(&transmitter);
            service.metrics.signals.waiting(&transmitter, held);
            if seconds % SAY_HELD_EVERY == 1 {
                say_held(&transmitter, held, since_ms, now_ms);
            }
        }
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

fn say_held(transmitter: &str, held: usize, since_ms: Option<u64>, now_ms: u64) {
    let limit_ms = u64::try_from(HELD_MAX.as_millis()).unwrap_or(u64::MAX);
    if let Some(since_ms) = since_ms.filter(|since_ms| now_ms.saturating_sub(*since_ms) > limit_ms) {
        warn!(
            transmitter,
            held,
            since = rfc3339(since_ms),
            "signals are held for more than a day: release or drop them"
        );
    }
}

fn say(transmitter: &Transmitter, is_stale: bool, was_stale: bool) {
    let name = &transmitter.settings.name;
    match (was_stale, is_stale) {
        (false, true) => warn!(
            transmitter = name,
            "no verification event for longer than stale_after: signals of this transmitter may be lost"
        ),
        (true, false) => info!(transmitter = name, "verification events arrive again"),
        _ => {}
    }
}
