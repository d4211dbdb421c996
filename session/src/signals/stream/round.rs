//! Looks after the stream of a transmitter until the service stops, and asks for verification events.

use super::super::keys::Endpoints;
use super::super::transmitter::Transmitter;
use super::Status;
use super::api::Verification;
use super::look::Making;
use super::managed::{Desk, Managed, State};
use crate::clock::rfc3339;
use crate::log::Sampler;
use crate::service::Service;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use tracing::{info, warn};

/// How often the stream is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(60);

/// The shortest time between two looks that something has asked for.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// How long a failing transmitter is left alone at first, and at most. The time doubles with each failure.
const RETRY_MIN: Duration = Duration::from_millis(500);
const RETRY_MAX: Duration = Duration::from_secs(60);

/// How long the transmitter's configuration is waited for.
const DISCOVERY_MAX: Duration = Duration::from_secs(5);

/// Looks after the stream of a transmitter until the service stops.
pub(crate) async fn manage(service: Arc<Service>, number: usize) {
    let mut stop = service.stop.clone();
    let managing = async {
        let transmitter = service.signals.get(number);
        if let Some((transmitter, managed)) = transmitter.and_then(|of| Some((of, of.managed.as_ref()?))) {
            forever(&service, transmitter, managed).await;
        }
    };
    tokio::select! {
        biased;
        _ = stop.wait_for(|stop| *stop) => {}
        () = managing => {}
    }
}

async fn forever(service: &Arc<Service>, transmitter: &Transmitter, managed: &Arc<Managed>) {
    let mut wait = RETRY_MIN;
    loop {
        if let Some(keys) = &transmitter.keys {
            keys.discovered_within(DISCOVERY_MAX).await;
        }
        let looked = {
            let mut desk = managed.desk.lock().await;
            let looked = round(service, transmitter, managed, &mut desk).await;
            if let Err(error) = &looked {
                failed(transmitter, managed, error);
            }
            looked
        };
        match looked {
            Ok(next) => {
                if wait > RETRY_MIN {
                    info!(transmitter = transmitter.name(), "the stream can be managed again");
                }
                wait = RETRY_MIN;
                tokio::time::sleep(next.min(LOOK_AGAIN)).await;
                let rest = next.min(LOOK_EVERY).saturating_sub(LOOK_AGAIN);
                drop(tokio::time::timeout(rest, managed.again.notified()).await);
            }
            Err(_) => {
                tokio::time::sleep(wait).await;
                wait = (wait * 2).min(RETRY_MAX);
            }
        }
    }
}

/// Looks at the stream, and asks for a verification event if that is due. Returns in how long the next one is.
async fn round(
    service: &Arc<Service>,
    transmitter: &Transmitter,
    managed: &Arc<Managed>,
    desk: &mut Desk,
) -> Result<Duration, String> {
    managed.look(service, transmitter, desk, Making::UnlessDeleted).await?;
    let at = managed.endpoints(transmitter)?;
    managed.verify_if_due(service, &at, desk).await
}

fn failed(transmitter: &Transmitter, managed: &Managed, error: &str) {
    static FAILED: Sampler = Sampler::new();
    *managed.state() = State::Failing(error.to_owned());
    if let Some(not_logged) = FAILED.admit() {
        warn!(transmitter = transmitter.name(), error, not_logged, "cannot manage the stream of a transmitter");
    }
}

impl Managed {
    /// Asks for a verification event if that is due; returns in how long the next one is.
    async fn verify_if_due(
        self: &Arc<Self>,
        service: &Service,
        at: &Endpoints,
        desk: &mut Desk,
    ) -> Result<Duration, String> {
        let delivers = matches!(&*self.state(), State::Kept(None | Some(Status::Enabled)));
        let id = self.known_id().filter(|_| delivers && at.verification.is_some());
        let Some(id) = id else { return Ok(LOOK_EVERY) };
        let waited = desk.verified_at.map(|at| at.elapsed());
        if let Some(left) =
            waited.and_then(|waited| desk.verify_every.checked_sub(waited)).filter(|left| !left.is_zero())
        {
            return Ok(left);
        }
        // Where it was asked for too often, another replica has done it.
        self.verify(service, at, desk, id).await?;
        Ok(desk.verify_every)
    }

    pub(super) async fn verify(
        self: &Arc<Self>,
        service: &Service,
        at: &Endpoints,
        desk: &mut Desk,
        id: String,
    ) -> Result<Verification, String> {
        // For people: nothing depends on what comes back, since another replica may receive it.
        let state = rfc3339(service.clock.now_ms());
        let asked = self.on_a_thread(at, move |managed, at| managed.api.verify(at, &id, &state)).await?;
        desk.verified_at = Some(Instant::now());
        Ok(asked)
    }
}
