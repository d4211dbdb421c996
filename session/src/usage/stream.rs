//! The counts of one stream since they were last added to those of the service.

use super::token::{Effect, TokenUses};
use super::{Count, Usage};
use crate::metrics::Metrics;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// How often a stream adds its counts to those of the service.
const ADD_MS: u64 = 1_000;

/// Tokens with counts, and kinds of requests, after which that does not wait.
const WAITING_MAX: usize = 4_096;

/// Scopes of a route that are counted. If a route names more, its requests count for the scope without a name: then nobody
/// can tell what was not used.
const SCOPES_MAX: usize = 2_048;

/// A route, as far as its use is counted. Routes of one table share the names of their scopes.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct RouteScopes {
    /// Its name.
    pub(crate) name: Arc<str>,
    /// Scopes that are all required.
    pub(super) all_of: Box<[Arc<str>]>,
    /// Groups of scopes, one of which is required.
    pub(super) any_of: Box<[Box<[Arc<str>]>]>,
    /// All of these, each once.
    named: Box<[Arc<str>]>,
}

impl RouteScopes {
    /// A route of that name which requires these.
    pub(crate) fn new(name: Arc<str>, all_of: Box<[Arc<str>]>, any_of: Box<[Box<[Arc<str>]>]>) -> Self {
        let named = distinct(all_of.iter().chain(any_of.iter().flatten()).map(Arc::clone).collect());
        Self { name, all_of, any_of, named }
    }

    /// What requests that the service has answered with `ACTIVE` mean, if the filter looks at these scopes.
    pub(crate) fn effect(&self, holds: impl Fn(&str) -> bool) -> Effect {
        let missing = |scopes: &[Arc<str>]| -> Vec<Arc<str>> {
            scopes.iter().filter(|scope| !holds(scope)).map(Arc::clone).collect()
        };
        let groups: Vec<Vec<Arc<str>>> = self.any_of.iter().map(|group| missing(group)).collect();
        // An empty group is never met.
        let met = self.any_of.iter().zip(&groups).position(|(group, missing)| !group.is_empty() && missing.is_empty());
        let mut all = missing(&self.all_of);
        if met.is_none() {
            all.extend(groups.into_iter().flatten());
        }
        match all.is_empty() && (met.is_some() || self.any_of.is_empty()) {
            true => Effect::Granted(met),
            false => Effect::Missing(distinct(all)),
        }
    }

    /// What requests mean that the filter has refused because the token lacked these scopes, or for another reason. A name
    /// that the route does not have counts for nothing.
    pub(crate) fn refused(&self, missing: &[String]) -> Effect {
        let missing: HashSet<&str> = missing.iter().map(String::as_str).collect();
        let named: Vec<Arc<str>> =
            self.named.iter().filter(|scope| missing.contains(&***scope)).map(Arc::clone).collect();
        if named.is_empty() { Effect::Barred } else { Effect::Missing(named.into()) }
    }

    /// Calls `each` with every scope of the route, and what requests of that effect count for it.
    pub(super) fn each(&self, effect: &Effect, count: u64, last_ms: u64, each: &mut dyn FnMut(&Arc<str>, Count)) {
        let of = |is_it: bool| if is_it { count } else { 0 };
        if self.named.len() > SCOPES_MAX {
            let granted = of(matches!(effect, Effect::Granted(_)));
            return each(&Arc::default(), Count { asked: count, granted, last_ms, ..Count::default() });
        }
        let (granted, refused): (HashSet<&str>, HashSet<&str>) = match effect {
            Effect::Granted(group) => {
                let group = group.and_then(|group| self.any_of.get(group)).into_iter().flatten();
                (self.all_of.iter().chain(group).map(|scope| &**scope).collect(), HashSet::new())
            }
            Effect::Missing(missing) => (HashSet::new(), missing.iter().map(|scope| &**scope).collect()),
            Effect::Barred => (HashSet::new(), HashSet::new()),
        };
        for scope in &self.named {
            let (granted, refused) = (of(granted.contains(&**scope)), of(refused.contains(&**scope)));
            each(scope, Count { asked: count, granted, refused, last_ms });
        }
    }
}

/// Each once, in order.
fn distinct(mut scopes: Vec<Arc<str>>) -> Box<[Arc<str>]> {
    scopes.sort_unstable();
    scopes.dedup();
    scopes.into()
}

/// The counts of one stream. Clients are interned, so their addresses tell them apart.
#[derive(Debug, Default)]
pub(crate) struct StreamUsage {
    /// Handles of tokens with counts of their own.
    counted: Vec<u32>,
    /// What was collected from tokens, and what the filter has reported.
    collected: HashMap<(usize, Option<u32>, Effect), Collected>,
    add_at_ms: Option<u64>,
}

#[derive(Debug)]
struct Collected {
    client: Arc<str>,
    count: u64,
    last_ms: u64,
}

impl StreamUsage {
    /// Notes that a token has its first count.
    pub(crate) fn has_counts(&mut self, handle: u32, now_ms: u64) {
        self.counted.push(handle);
        self.wait(now_ms);
    }

    /// Collects the counts of a token.
    pub(crate) fn collect(&mut self, client: &Arc<str>, uses: &mut TokenUses, now_ms: u64) {
        for entry in uses.take() {
            self.put(client, Some(entry.route), entry.effect, entry.count, entry.last_ms);
            self.wait(now_ms);
        }
    }

    /// Notes what the filter has reported.
    pub(crate) fn reported(&mut self, client: &Arc<str>, route: Option<u32>, effect: Effect, count: u64, now_ms: u64) {
        if count > 0 {
            self.put(client, route, effect, count, now_ms);
            self.wait(now_ms);
        }
    }

    fn put(&mut self, client: &Arc<str>, route: Option<u32>, effect: Effect, count: u64, last_ms: u64) {
        let key = (Arc::as_ptr(client).cast::<()>().addr(), route, effect);
        let new = || Collected { client: Arc::clone(client), count: 0, last_ms };
        let held = self.collected.entry(key).or_insert_with(new);
        held.count = held.count.saturating_add(count);
        held.last_ms = held.last_ms.max(last_ms);
    }

    fn wait(&mut self, now_ms: u64) {
        self.add_at_ms.get_or_insert(now_ms.saturating_add(ADD_MS));
    }

    /// When [`StreamUsage::add`] is to be called, if there is something to add.
    pub(crate) fn add_at_ms(&self) -> Option<u64> {
        self.add_at_ms
    }

    /// Whether that is now.
    pub(crate) fn is_due(&self, now_ms: u64) -> bool {
        // A clock that was set back does not put it off.
        self.add_at_ms.is_some_and(|at_ms| at_ms <= now_ms || at_ms > now_ms.saturating_add(ADD_MS))
            || self.counted.len() >= WAITING_MAX
            || self.collected.len() >= WAITING_MAX
    }

    /// The tokens whose counts are to be collected before they are added.
    pub(crate) fn take_counted(&mut self) -> Vec<u32> {
        std::mem::take(&mut self.counted)
    }

    /// Adds what was collected to the counts of the service.
    pub(crate) fn add<'r>(&mut self, to: &Usage, metrics: &Metrics, route: impl Fn(u32) -> Option<&'r RouteScopes>) {
        self.add_at_ms = None;
        let mut counts = to.lock();
        for ((_, index, effect), Collected { client, count, last_ms }) in self.collected.drain() {
            match index.and_then(&route) {
                Some(scopes) => {
                    counts.route(&scopes.name, &client, count, last_ms);
                    scopes.each(&effect, count, last_ms, &mut |scope, count| {
                        counts.scope(scope, &client, count);
                        metrics.usage.granted(scope, count.granted);
                    });
                }
                None => counts.others(count, last_ms),
            }
        }
        metrics.usage.kept_together(counts.take_kept_together());
    }
}
