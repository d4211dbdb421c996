//! Looks whether the databases have been replaced, now and then.

use super::files::{GeoIp, News};
use crate::service::Service;
use std::sync::Arc;
use std::time::Duration;
use tracing::{error, info};

/// How often the files are looked at.
const INTERVAL: Duration = Duration::from_secs(2);

/// Looks after the databases until the service stops.
pub(crate) async fn keep(service: Arc<Service>, geoip: Arc<GeoIp>) {
    let mut stop = service.stop.clone();
    loop {
        service.metrics.geoip.show(geoip.condition(), service.clock.now_ms());
        tokio::select! {
            biased;
            _ = stop.wait_for(|stop| *stop) => return,
            () = tokio::time::sleep(INTERVAL) => {}
        }
        let looking = Arc::clone(&geoip);
        let news = tokio::task::spawn_blocking(move || looking.look()).await;
        news.unwrap_or_default().into_iter().for_each(say);
    }
}

fn say(news: News) {
    match news {
        News::Loaded { path, kind } => {
            info!(database = %path.display(), kind, "loaded a database of places that was replaced");
        }
        News::Kept(fault) => error!(fault, "a new database of places cannot be used: the one before stays in use"),
    }
}
