//! Where requests come from: the place that a filter vouches for, else the one that a database knows for the address; and
//! what is unusual about it, where that is watched.

use crate::anomalies::{self, Memo, Watch};
use crate::conditions::Request;
use crate::geoip::{self, GeoIp};
use crate::place::Place;
use crate::registry::Registry;
use crate::service::Service;
use crate::session::Session;
use std::path::PathBuf;
use std::sync::Arc;
use tokio::task::JoinHandle;

/// Finds out where requests come from. By default, it only knows what filters vouch for, and watches nothing.
#[derive(Default)]
pub(crate) struct Whereabouts {
    geoip: Option<Arc<GeoIp>>,
    watch: Option<Watch>,
}

impl Whereabouts {
    /// The place of a request. One that the filter vouches for wins as a whole: where an edge has looked the client up, the
    /// address that the proxy knows may be the edge's own.
    pub(crate) fn place(&self, request: Request<'_>) -> Option<Place> {
        let looked_up = || self.geoip.as_ref()?.place(request.address()?);
        request.place().and_then(Place::stated).or_else(looked_up)
    }

    /// Whether anomalies are watched.
    pub(crate) fn is_watching(&self) -> bool {
        self.watch.is_some()
    }

    /// Notes a request with a token of a live session, if anomalies are watched.
    pub(crate) fn note(
        &self,
        registry: &Registry,
        session: &Arc<Session>,
        memo: &mut Memo,
        request: Request<'_>,
        now_ms: u64,
    ) {
        if let Some(watch) = &self.watch {
            watch.note(registry, session, memo, request, || self.place(request), now_ms);
        }
    }
}

/// Opens the databases and begins to watch, as the configuration says; returns what runs for that until the service stops.
pub(crate) async fn start(
    service: &Arc<Service>,
    databases: Vec<PathBuf>,
    anomalies: Option<anomalies::Settings>,
) -> Result<Vec<JoinHandle<()>>, String> {
    let mut tasks = Vec::new();
    let mut whereabouts = Whereabouts::default();
    if !databases.is_empty() {
        let opened = tokio::task::spawn_blocking(move || GeoIp::open(&databases)).await;
        let opened = opened.map_err(|e| format!("cannot read the databases of places: {e}"))?;
        let geoip = Arc::new(opened.map_err(|faults| faults.join("; "))?);
        tasks.push(tokio::spawn(geoip::keep(Arc::clone(service), Arc::clone(&geoip))));
        whereabouts.geoip = Some(geoip);
    }
    if let Some(settings) = anomalies {
        let (watch, found) = Watch::new(settings.clone(), Arc::clone(&service.metrics.anomalies));
        tasks.push(tokio::spawn(anomalies::keep(Arc::clone(service), settings, found)));
        whereabouts.watch = Some(watch);
    }
    service.registry.set_whereabouts(whereabouts);
    Ok(tasks)
}
