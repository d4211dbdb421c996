//! Delivers notices: for each webhook one after another, the new ones first. Nobody waits for it.

use super::endpoint::{Endpoint, Message};
use super::metrics::Became;
use super::{checkpoints, message, remind};
use crate::approvals::AccessRequest;
use crate::log::Sampler;
use crate::notices::{Key, Noticing};
use crate::service::Service;
use std::collections::VecDeque;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tracing::warn;

/// How often it is looked for notices that are due.
const INTERVAL: Duration = Duration::from_millis(500);

/// How long a store that cannot write is left alone.
const WRITE_AGAIN: Duration = Duration::from_millis(500);

/// Shows the counts of every webhook from the start.
pub(crate) fn expect(service: &Service) {
    service.webhooks.endpoints.iter().for_each(|endpoint| service.metrics.webhooks.expect(&endpoint.name));
}

/// Starts what delivers to all webhooks, until the service stops.
pub(crate) fn keep(service: &Arc<Service>) -> Vec<JoinHandle<()>> {
    let mut tasks = Vec::new();
    for endpoint in &service.webhooks.endpoints {
        tasks.push(tokio::spawn(until_stop(service.stop.clone(), deliver(Arc::clone(service), Arc::clone(endpoint)))));
        if service.webhooks.checkpoints_to.as_ref() == Some(&endpoint.name) {
            let sending = checkpoints::send(Arc::clone(service), Arc::clone(endpoint));
            tasks.push(tokio::spawn(until_stop(service.stop.clone(), sending)));
        }
    }
    if !tasks.is_empty() {
        tasks.push(tokio::spawn(until_stop(service.stop.clone(), remind::remind(Arc::clone(service)))));
    }
    tasks
}

async fn until_stop(mut stop: watch::Receiver<bool>, work: impl Future<Output = ()>) {
    tokio::select! {
        biased;
        _ = stop.wait_for(|stop| *stop) => {}
        () = work => {}
    }
}

async fn deliver(service: Arc<Service>, endpoint: Arc<Endpoint>) {
    let name = &*endpoint.name;
    let mut left = None;
    loop {
        let woken = service.registry.notices_wake();
        let mut woken = pin!(woken);
        // From here on: a notice that is made while it is looked for others is not missed.
        woken.as_mut().enable();
        if service.is_loaded.load(Ordering::SeqCst) && service.registry.lease().holds() {
            // What another run of this service has left is tried at once, unless another replica may be trying it.
            let left = left.get_or_insert_with(|| match service.registry.lease().is_shared() {
                true => VecDeque::new(),
                false => service.registry.due_notices(name, u64::MAX).into(),
            });
            while let Some((key, claimed)) = next(&service, name, left) {
                attempt(&service, &endpoint, key, claimed).await;
            }
        }
        tokio::select! {
            () = woken => {}
            () = tokio::time::sleep(INTERVAL) => {}
        }
    }
}

/// The next notice, and after how many attempts it has to be claimed; `None`: it is this replica's.
fn next(service: &Service, name: &str, left: &mut VecDeque<(Key, u32)>) -> Option<(Key, Option<u32>)> {
    if let Some(key) = service.registry.new_notice(name) {
        return Some((key, None));
    }
    let due = left.pop_front().or_else(|| service.registry.due_notice(name, service.clock.now_ms()));
    due.map(|(key, attempts)| (key, Some(attempts)))
}

async fn attempt(service: &Service, endpoint: &Arc<Endpoint>, key: Key, claimed: Option<u32>) {
    if let Some(attempts) = claimed {
        // One that another replica has claimed, or that cannot be written, is not tried.
        let claim = Noticing::Claim(key.clone(), attempts);
        if !matches!(service.writer.notice(claim, service.clock.now_ms()).await, Ok(Ok(Some((_, true))))) {
            tokio::time::sleep(WRITE_AGAIN).await;
            return;
        }
    }
    let attempt = claimed.unwrap_or_default() + 1;
    let found = service.registry.request(&key.request);
    let notice =
        found.as_ref().and_then(|request| request.notices.iter().find(|notice| notice.key(&request.id) == key));
    let (Some(request), Some(notice)) = (&found, notice) else { return };
    if claimed.is_none() && notice.attempts > 0 {
        // It was tried meanwhile.
        return;
    }
    let body = message::about(request, notice, service.webhooks.external_url.as_deref());
    let now_ms = service.clock.now_ms();
    let delivered = endpoint.deliver(Message { id: key.id(), timestamp: now_ms / 1_000, body }).await;
    let (became, noticing) = match delivered {
        Ok(()) => (Became::Delivered, Noticing::Delivered(key)),
        Err(error) => {
            failed(endpoint, &key, &error);
            (Became::Failed, Noticing::Failed(key, attempt, error))
        }
    };
    service.metrics.webhooks.count(&endpoint.name, became);
    if is_given_up(note(service, &noticing).await, noticing.key()) {
        service.metrics.webhooks.count(&endpoint.name, Became::GivenUp);
        warn!(
            webhook = endpoint.name,
            message = noticing.key().id(),
            "a message could not be delivered for a day: it is given up"
        );
    }
}

/// Notes what has become of an attempt, however long the store takes: else it would be delivered twice.
async fn note(service: &Service, noticing: &Noticing) -> Option<Box<AccessRequest>> {
    loop {
        match service.writer.notice(noticing.clone(), service.clock.now_ms()).await {
            Ok(made) => return made.ok().flatten().map(|(request, _)| request),
            Err(_) => tokio::time::sleep(WRITE_AGAIN).await,
        }
    }
}

fn is_given_up(request: Option<Box<AccessRequest>>, key: &Key) -> bool {
    let is_it = |request: &AccessRequest| {
        request.notices.iter().any(|notice| notice.given_up && notice.key(&request.id) == *key)
    };
    request.is_some_and(|request| is_it(&request))
}

fn failed(endpoint: &Endpoint, key: &Key, error: &str) {
    static FAILED: Sampler = Sampler::new();
    if let Some(not_logged) = FAILED.admit() {
        warn!(webhook = endpoint.name, message = key.id(), error, not_logged, "cannot deliver to a webhook");
    }
}
