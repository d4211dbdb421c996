//! The conditions that are in force, and what of them concerns each route of the connected filters.

use super::cache::Cache;
use super::metrics::ConditionMetrics;
use super::settings::ConditionSettings;
use super::{InForce, Mode, RouteFacts, Slot};
use crate::metrics::Metrics;
use portcullis_conditions::{Declared, Fault, Route, Set, Sliced};
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};
use tracing::error;

/// The conditions of the service.
#[derive(Debug)]
pub struct Conditions {
    current: RwLock<Arc<Current>>,
    /// The number of what is current: streams compare it with what they have.
    number: AtomicU64,
    tables_ever: AtomicU64,
    /// What is wrong with the directory, if it could not be taken.
    faults: Mutex<Vec<String>>,
    /// What is tried again once other routes are in use.
    put_off: Mutex<Option<PutOff>>,
    /// Held by the one reload at a time.
    pub(super) reloading: Mutex<()>,
    cache: Cache,
    hasher: RandomState,
    metrics: Arc<Metrics>,
}

/// Conditions that routes have refused.
#[derive(Debug)]
struct PutOff {
    settings: ConditionSettings,
    /// The tables that they were tried on.
    tables: Vec<u64>,
}

/// What is in force.
#[derive(Debug)]
struct Current {
    number: u64,
    since_ms: u64,
    settings: ConditionSettings,
}

/// What concerns one route.
#[derive(Debug)]
pub(super) enum Slice {
    /// No condition does.
    Free,
    /// These do.
    Some(Box<Sliced>),
    /// It cannot be found out.
    Faulty,
}

/// What concerns the routes of one table.
#[derive(Debug)]
pub(crate) struct OnRoutes {
    current: Arc<Current>,
    /// Tells it from every other one.
    table: u64,
    slices: Box<[OnceLock<Slice>]>,
}

impl OnRoutes {
    fn new(current: Arc<Current>, table: u64, routes: usize) -> Self {
        Self { current, table, slices: (0..routes).map(|_| OnceLock::new()).collect() }
    }

    /// The number of the conditions.
    pub(crate) fn number(&self) -> u64 {
        self.current.number
    }

    /// Whether what they refuse is refused.
    pub(crate) fn mode(&self) -> Mode {
        self.current.settings.mode
    }

    /// Whether they decide about a route: there are some, and no other engine does.
    pub(super) fn are_about(&self, route: &RouteFacts) -> bool {
        let ConditionSettings { set, classes, .. } = &self.current.settings;
        !set.is_empty() && classes.hold(&route.class)
    }

    pub(super) const fn table(&self) -> u64 {
        self.table
    }

    pub(super) fn declared(&self) -> &Declared {
        &self.current.settings.declared
    }

    /// What concerns a route: found out when the first question asks about it, or when the conditions were read again.
    pub(super) fn slice(&self, index: u32, route: &RouteFacts) -> &Slice {
        if !self.are_about(route) {
            return &Slice::Free;
        }
        let slot = usize::try_from(index).ok().and_then(|index| self.slices.get(index));
        slot.map_or(&Slice::Faulty, |slot| {
            slot.get_or_init(|| {
                slice(&self.current.settings.set, route).unwrap_or_else(|faults| {
                    for fault in faults {
                        error!(route = &*route.name, %fault, "the conditions cannot be applied to a route: it is refused");
                    }
                    Slice::Faulty
                })
            })
        })
    }
}

fn slice(set: &Set, route: &RouteFacts) -> Result<Slice, Vec<Fault>> {
    let owned = |names: &[Box<str>]| names.iter().map(|name| name.to_string()).collect();
    let sliced = set.for_route(&Route {
        name: route.name.to_string(),
        class: route.class.to_string(),
        tags: owned(&route.tags),
        scopes: route.scopes.iter().map(|scope| scope.to_string()).collect(),
        sets: owned(&route.sets),
    })?;
    Ok(if sliced.is_empty() { Slice::Free } else { Slice::Some(Box::new(sliced)) })
}

impl Conditions {
    /// Those of a configuration.
    pub fn start(settings: ConditionSettings, metrics: Arc<Metrics>, now_ms: u64) -> Self {
        metrics.conditions.in_force(settings.set.len(), true);
        Self {
            current: RwLock::new(Arc::new(Current { number: 1, since_ms: now_ms, settings })),
            number: AtomicU64::new(1),
            tables_ever: AtomicU64::new(0),
            faults: Mutex::default(),
            put_off: Mutex::default(),
            reloading: Mutex::default(),
            cache: Cache::default(),
            hasher: RandomState::new(),
            metrics,
        }
    }

    /// The number of what is in force: another one after each change.
    pub(crate) fn number(&self) -> u64 {
        self.number.load(Ordering::SeqCst)
    }

    /// Whether there are conditions whose refusals are refused.
    pub(crate) fn are_enforced(&self) -> bool {
        let current = self.current();
        current.settings.mode == Mode::Enforce && !current.settings.set.is_empty()
    }

    /// What is in force.
    pub(crate) fn in_force(&self) -> InForce {
        let current = self.current();
        let ConditionSettings { mode, set, .. } = &current.settings;
        InForce {
            digest: set.digest().to_owned(),
            policies: set.len(),
            mode: *mode,
            since_ms: current.since_ms,
            faults: self.faults.lock().unwrap_or_else(PoisonError::into_inner).clone(),
        }
    }

    /// Where they come from.
    pub(crate) fn settings(&self) -> ConditionSettings {
        self.current().settings.clone()
    }

    /// How many results are kept, counted for the metrics.
    pub(crate) fn count_kept(&self) {
        self.metrics.conditions.kept(self.cache.len());
    }

    /// What of them concerns the routes of a table.
    pub(super) fn on(&self, slot: &Slot, routes: usize) -> Arc<OnRoutes> {
        let current = self.current();
        match slot.get() {
            Some(there) if there.number() >= current.number => there,
            _ => slot.put(Arc::new(OnRoutes::new(current, self.new_table(), routes))),
        }
    }

    /// Tries others on the routes of tables, each with its slot. Without a fault, they are in force when this returns; the
    /// error has the faults, and nothing has changed. One at a time.
    pub(crate) fn replace<'t>(
        &self,
        settings: ConditionSettings,
        tables: impl Iterator<Item = (&'t Slot, Vec<&'t RouteFacts>)>,
        now_ms: u64,
    ) -> Result<(), Vec<String>> {
        let number = self.number() + 1;
        let current = Arc::new(Current { number, since_ms: now_ms, settings });
        let (mut tried, mut faults) = (Vec::new(), Vec::new());
        for (slot, routes) in tables {
            let on = OnRoutes::new(Arc::clone(&current), self.new_table(), routes.len());
            for (route, to) in routes.into_iter().zip(&on.slices) {
                match slice(&current.settings.set, route) {
                    Ok(slice) => drop(to.set(slice)),
                    Err(found) => faults.extend(found.iter().map(|fault| format!("route `{}`: {fault}", route.name))),
                }
            }
            tried.push((slot, Arc::new(on)));
        }
        if !faults.is_empty() {
            faults.sort_unstable();
            faults.dedup();
            return Err(faults);
        }
        let policies = current.settings.set.len();
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = current;
        for (slot, on) in tried {
            slot.put(on);
        }
        // Last: whoever sees the number finds the rest.
        self.number.store(number, Ordering::SeqCst);
        self.cache.clear();
        self.metrics.conditions.in_force(policies, true);
        Ok(())
    }

    /// Notes what is wrong with the directory, or that nothing is.
    pub(super) fn note(&self, faults: &[String]) {
        faults.clone_into(&mut self.faults.lock().unwrap_or_else(PoisonError::into_inner));
        self.metrics.conditions.in_force(self.current().settings.set.len(), faults.is_empty());
    }

    /// Puts conditions off until other routes are in use than those that have refused them.
    pub(super) fn put_off(&self, settings: ConditionSettings, tables: Vec<u64>) {
        *self.put_off.lock().unwrap_or_else(PoisonError::into_inner) = Some(PutOff { settings, tables });
    }

    /// Others were taken, or have faults of their own: nothing is put off any more.
    pub(super) fn put_nothing_off(&self) {
        *self.put_off.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// What was put off, if other tables are in use since. Where nothing is, nobody looks at the tables.
    pub(super) fn worth_another_try(&self, in_use: impl FnOnce() -> Vec<u64>) -> Option<ConditionSettings> {
        let put_off = self.put_off.lock().unwrap_or_else(PoisonError::into_inner);
        put_off.as_ref().filter(|put_off| put_off.tables != in_use()).map(|put_off| put_off.settings.clone())
    }

    pub(super) const fn cache(&self) -> &Cache {
        &self.cache
    }

    pub(super) fn hasher(&self) -> impl std::hash::Hasher + use<> {
        self.hasher.build_hasher()
    }

    pub(super) fn metrics(&self) -> &ConditionMetrics {
        &self.metrics.conditions
    }

    fn current(&self) -> Arc<Current> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn new_table(&self) -> u64 {
        self.tables_ever.fetch_add(1, Ordering::SeqCst)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_routes_have_refused_is_tried_again_once_others_are_in_use() {
        let folder = tempfile::tempdir().unwrap();
        let settings = ConditionSettings::load(folder.path(), Mode::Enforce, Declared::default()).unwrap();
        let conditions = Conditions::start(settings.clone(), Arc::new(Metrics::new().unwrap()), 1);
        let nobody_looks = || unreachable!("nothing is put off");
        assert_eq!(conditions.worth_another_try(nobody_looks), None);
        conditions.put_off(settings.clone(), vec![1, 2]);
        assert_eq!(conditions.worth_another_try(|| vec![1, 2]), None);
        for in_use in [vec![1, 2, 3], vec![2], vec![1, 3], vec![]] {
            assert_eq!(conditions.worth_another_try(|| in_use), Some(settings.clone()));
        }
        conditions.put_nothing_off();
        assert_eq!(conditions.worth_another_try(nobody_looks), None);
    }
}
