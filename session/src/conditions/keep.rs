//! Keeps the conditions up to date: a change of their files, of `session.yaml`, or a call of the admin API has them read again,
//! tried on the routes of all connected filters, and put in force. A fault leaves what is in force as it is.

use super::directory::Watched;
use super::{Cause, ConditionSettings, Conditions, InForce};
use crate::audit::{self, Actor};
use crate::service::Service;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::watch;
use tracing::{error, info};

/// How often the directory is looked at.
const INTERVAL: Duration = Duration::from_millis(100);

/// Runs until the service stops.
pub(crate) async fn keep(service: Arc<Service>, configured: watch::Receiver<Option<ConditionSettings>>) {
    let Some(conditions) = service.conditions.clone() else { return };
    let mut stop = service.stop.clone();
    let all = async { tokio::join!(follow(&service, configured), look(&service, &conditions)) };
    tokio::select! {
        biased;
        _ = stop.wait_for(|stop| *stop) => {}
        _ = all => {}
    }
}

/// Takes over what `session.yaml` says after a reload. That conditions are gone counts with the next start.
async fn follow(service: &Arc<Service>, mut configured: watch::Receiver<Option<ConditionSettings>>) {
    while configured.changed().await.is_ok() {
        let new = configured.borrow_and_update().clone();
        if let Some(new) = new {
            away(service, move |service| take(service, new)).await;
        }
    }
}

/// Takes over what the files say after a change.
async fn look(service: &Arc<Service>, conditions: &Conditions) {
    let mut watched = Watched::default();
    loop {
        let (directory, now) = (conditions.settings().directory, Instant::now());
        let looked = away(service, move |_| {
            let is_due = watched.is_due(&directory, now);
            (watched, is_due)
        });
        // One that panicked starts anew.
        let (next, is_due) = looked.await.unwrap_or_default();
        watched = next;
        if is_due {
            away(service, |service| read_again(service, Cause::Files, &Actor::Nobody)).await;
        } else if let Some(put_off) = conditions.worth_another_try(|| service.route_tables.numbers()) {
            away(service, move |service| try_again(service, &put_off)).await;
        }
        tokio::time::sleep(INTERVAL).await;
    }
}

/// The same for the caller of the admin API, who learns of the faults.
pub(crate) async fn reload(service: &Arc<Service>, by: Actor) -> Result<InForce, Vec<String>> {
    let read = away(service, move |service| read_again(service, Cause::Admin, &by)).await;
    read.unwrap_or_else(|| Err(vec!["the conditions could not be read".to_owned()]))
}

/// Policies are parsed and validated away from the threads that answer.
async fn away<T: Send + 'static>(
    service: &Arc<Service>,
    task: impl FnOnce(&Service) -> T + Send + 'static,
) -> Option<T> {
    let own = Arc::clone(service);
    service.blocking.spawn_blocking(move || task(&own)).await.ok()
}

/// Reads the directory again.
fn read_again(service: &Service, cause: Cause, by: &Actor) -> Result<InForce, Vec<String>> {
    let Some(conditions) = &service.conditions else { return Err(Vec::new()) };
    let _reloading = conditions.reloading.lock().unwrap_or_else(PoisonError::into_inner);
    let read = conditions.settings().read_again();
    taken(service, conditions, read, cause, by)
}

/// Tries again what routes have refused that are no longer in use, as its files are now.
fn try_again(service: &Service, put_off: &ConditionSettings) -> Result<InForce, Vec<String>> {
    let Some(conditions) = &service.conditions else { return Err(Vec::new()) };
    let _reloading = conditions.reloading.lock().unwrap_or_else(PoisonError::into_inner);
    taken(service, conditions, put_off.read_again(), Cause::Routes, &Actor::Nobody)
}

/// Takes over what `session.yaml` says now.
fn take(service: &Service, new: ConditionSettings) -> Result<InForce, Vec<String>> {
    let Some(conditions) = &service.conditions else { return Err(Vec::new()) };
    let _reloading = conditions.reloading.lock().unwrap_or_else(PoisonError::into_inner);
    taken(service, conditions, Ok(new), Cause::Configuration, &Actor::Nobody)
}

/// Puts what was read in force, and says so, unless it is in force already.
fn taken(
    service: &Service,
    conditions: &Conditions,
    read: Result<ConditionSettings, Vec<String>>,
    cause: Cause,
    by: &Actor,
) -> Result<InForce, Vec<String>> {
    let is_known = |new: &ConditionSettings| *new == conditions.settings();
    conditions.put_nothing_off();
    let taken = read.and_then(|new| {
        if is_known(&new) {
            return Ok(None);
        }
        let stated = new.stated();
        let tables = service.route_tables.in_use();
        let on = tables.iter().map(|table| table.conditions());
        conditions.replace(new.clone(), on, service.clock.now_ms()).inspect_err(|_| {
            conditions.put_off(new, tables.iter().map(|table| table.number()).collect());
        })?;
        Ok(Some(stated))
    });
    match taken {
        Ok(stated) => {
            conditions.note(&[]);
            let in_force = conditions.in_force();
            if stated.is_some() || cause == Cause::Admin {
                audit::conditions_reloaded(&in_force, cause, by);
            }
            if let Some(stated) = stated {
                if let Some(barrier) = &service.barrier {
                    barrier.judges_by(&stated);
                }
                // What they forbid now is cut.
                service.registry.followers().all_changed();
                info!(digest = in_force.digest, policies = in_force.policies, "took over the conditions");
            }
            Ok(in_force)
        }
        Err(faults) => {
            conditions.note(&faults);
            service.metrics.conditions.reload_failures.inc();
            audit::conditions_refused(faults.len(), cause, by);
            for fault in &faults {
                error!(fault, "the conditions were not taken over: those before them stay in force");
            }
            Err(faults)
        }
    }
}
