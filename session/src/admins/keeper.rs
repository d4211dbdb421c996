//! Fetches the keys of OAuth issuers now and then: a key that was withdrawn must not be good for the next token that comes.

use crate::service::Service;
use std::sync::Arc;
use std::time::Duration;

/// How often it is looked at whether keys are due.
const INTERVAL: Duration = Duration::from_secs(1);

/// Looks after the keys until the service stops.
pub(crate) async fn keep(service: Arc<Service>) {
    let mut stop = service.stop.clone();
    loop {
        service.admins.read().refresh();
        tokio::select! {
            biased;
            _ = stop.wait_for(|stop| *stop) => return,
            () = tokio::time::sleep(INTERVAL) => {}
        }
    }
}
