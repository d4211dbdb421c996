//! The routes of the filters' policies: every worker of every Envoy sends the same table, which is kept once.

use super::answers::Broken;
use crate::conditions::{Asking, Conditions, OnTable, Request, RouteFacts, Slot};
use crate::intern::ScopeSet;
use crate::judge::Asked;
use crate::minting::Wanted;
use crate::usage::RouteScopes;
use portcullis_contract::bounds::LEASE_MS_MAX;
use portcullis_contract::{Requirement, wire};
use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

/// A route, as far as the service needs to know it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Route {
    pub(super) asked: Asked,
    pub(super) requirement: Arc<Requirement<String>>,
    /// Its name, and what it requires, for the counts of what is used.
    pub(super) scopes: RouteScopes,
    /// Authentication contexts, one of which is required; empty: none.
    pub(super) acr: Arc<[String]>,
    /// What conditions know about it.
    pub(super) facts: RouteFacts,
    /// The token that its upstream wants, if any.
    pub(super) upstream: Option<Wanted>,
    /// The longest lease on it, in milliseconds; 0: none.
    pub(super) lease_ms: u64,
}

/// A route as a caller that is no filter knows it: by its name.
#[derive(Debug)]
pub(crate) struct Described {
    table: Arc<RouteTable>,
    index: u32,
    /// Its limits.
    pub(crate) asked: Asked,
    /// The scopes that it requires.
    pub(crate) requirement: Arc<Requirement<String>>,
    /// Authentication contexts, one of which is required; empty: none.
    pub(crate) acr: Arc<[String]>,
}

impl Described {
    /// The conditions of its policy's routes.
    pub(crate) fn conditions(&self, all: Arc<Conditions>) -> OnTable {
        OnTable::new(all, &self.table.conditions, self.table.len())
    }

    /// What conditions are asked about a request on it.
    pub(crate) fn asking<'a>(&'a self, on: &'a OnTable, request: Request<'a>) -> Option<Asking<'a>> {
        let route = self.table.route(self.index).ok()?;
        Some(on.asking(self.index, &route.facts, request))
    }

    fn is(&self, route: &Route) -> bool {
        self.table.route(self.index).is_ok_and(|own| own == route)
    }
}

/// The routes of one policy.
#[derive(Debug)]
pub(crate) struct RouteTable {
    /// Tells it from every other one, also from equal ones that are gone.
    #[cfg_attr(not(feature = "conditions"), expect(dead_code, reason = "there are no conditions to try on it"))]
    number: u64,
    policy_digest: String,
    routes: Box<[Route]>,
    /// The scopes that need a live grant.
    pub(super) approvals: ScopeSet,
    /// The conditions that concern the routes.
    pub(super) conditions: Slot,
}

/// Of the same policy; what was found out about it since does not matter.
impl PartialEq for RouteTable {
    fn eq(&self, other: &Self) -> bool {
        self.policy_digest == other.policy_digest && self.routes == other.routes && self.approvals == other.approvals
    }
}

impl RouteTable {
    /// The longest lease on any of its routes, in milliseconds.
    pub(super) fn longest_lease_ms(&self) -> u64 {
        self.routes.iter().map(|route| route.lease_ms).max().unwrap_or_default()
    }

    /// How many routes there are.
    pub(super) const fn len(&self) -> usize {
        self.routes.len()
    }

    /// Where the conditions that concern the routes are kept, and what they know about each.
    #[cfg(feature = "conditions")]
    pub(crate) fn conditions(&self) -> (&Slot, Vec<&RouteFacts>) {
        (&self.conditions, self.routes.iter().map(|route| &route.facts).collect())
    }

    /// Tells it from every other one.
    #[cfg(feature = "conditions")]
    pub(crate) const fn number(&self) -> u64 {
        self.number
    }

    pub(super) fn route(&self, index: u32) -> Result<&Route, Broken> {
        let found = usize::try_from(index).ok().and_then(|index| self.routes.get(index));
        found.ok_or_else(|| Broken::new(format!("there is no route {index}")))
    }
}

/// The tables that streams use.
#[derive(Debug, Default)]
pub struct RouteTables(Mutex<Vec<Weak<RouteTable>>>, AtomicU64);

impl RouteTables {
    /// The table of a hello; one that another stream uses, if it is equal. The digest of the policy is compared first,
    /// and is not believed: a filter states it.
    pub(super) fn share(
        &self,
        policy_digest: String,
        routes: Vec<wire::Route>,
        approvals: &[String],
    ) -> Arc<RouteTable> {
        let mut names = HashSet::new();
        let routes = routes.into_iter().map(|route| Route {
            scopes: scopes_of(&route, &mut names),
            facts: facts_of(&route, &mut names),
            requirement: Arc::new(Requirement::of(route.all_of, route.any_of)),
            acr: route.acr.into(),
            upstream: route.upstream_token.map(Wanted::from),
            lease_ms: route.lease_ms.min(LEASE_MS_MAX),
            asked: Asked { max_age_ms: route.max_age_ms, max_idle_ms: route.max_idle_ms, background: route.background },
        });
        let approvals = ScopeSet::new(approvals);
        let conditions = Slot::default();
        let number = self.1.fetch_add(1, Ordering::Relaxed);
        let table = RouteTable { number, policy_digest, routes: routes.collect(), approvals, conditions };
        let mut used = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        used.retain(|table| table.strong_count() > 0);
        if let Some(equal) = used.iter().filter_map(Weak::upgrade).find(|used| **used == table) {
            return equal;
        }
        let table = Arc::new(table);
        used.push(Arc::downgrade(&table));
        table
    }

    /// The routes with these names, by the policies in use: where those differ, all of them.
    pub(crate) fn named(&self, names: &HashSet<&str>) -> HashMap<Box<str>, Vec<Described>> {
        let tables = self.in_use();
        let mut found = HashMap::<Box<str>, Vec<Described>>::new();
        for table in &tables {
            let named = (0..).zip(&table.routes).filter(|(_, route)| names.contains(&*route.scopes.name));
            for (index, route) in named {
                let same_name = found.entry((*route.scopes.name).into()).or_default();
                if !same_name.iter().any(|described| described.is(route)) {
                    same_name.push(Described {
                        table: Arc::clone(table),
                        index,
                        asked: route.asked,
                        requirement: Arc::clone(&route.requirement),
                        acr: Arc::clone(&route.acr),
                    });
                }
            }
        }
        found
    }

    /// Those that some stream uses.
    pub(crate) fn in_use(&self) -> Vec<Arc<RouteTable>> {
        let used = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        used.iter().filter_map(Weak::upgrade).collect()
    }

    /// The numbers of those: others, once a filter with other routes has connected or the last one with some has gone.
    #[cfg(feature = "conditions")]
    pub(crate) fn numbers(&self) -> Vec<u64> {
        self.in_use().iter().map(|table| table.number).collect()
    }

    /// The scopes that need a live grant by some policy in use.
    pub fn approvals(&self) -> ScopeSet {
        let tables = self.in_use();
        ScopeSet::new(tables.iter().flat_map(|table| table.approvals.iter()))
    }
}

/// The one copy of a name for the whole table.
fn shared(name: &str, names: &mut HashSet<Arc<str>>) -> Arc<str> {
    if let Some(name) = names.get(name) {
        return Arc::clone(name);
    }
    let new: Arc<str> = name.into();
    names.insert(Arc::clone(&new));
    new
}

/// What conditions know about a route.
fn facts_of(route: &wire::Route, names: &mut HashSet<Arc<str>>) -> RouteFacts {
    let any_of = route.any_of.iter().flat_map(|group| &group.scopes);
    let mut scopes: Vec<Arc<str>> = route.all_of.iter().chain(any_of).map(|scope| shared(scope, names)).collect();
    scopes.sort_unstable();
    scopes.dedup();
    let list = |texts: &[String]| texts.iter().map(|text| text.as_str().into()).collect();
    RouteFacts {
        name: shared(&route.name, names),
        class: route.class.as_str().into(),
        tags: list(&route.tags),
        scopes: scopes.into(),
        sets: list(&route.sets),
    }
}

/// A route's scopes, with one copy of each name for the whole table.
fn scopes_of(route: &wire::Route, names: &mut HashSet<Arc<str>>) -> RouteScopes {
    let mut shared = |scope: &String| shared(scope, names);
    let all_of = route.all_of.iter().map(&mut shared).collect();
    let any_of = route.any_of.iter().map(|group| group.scopes.iter().map(&mut shared).collect()).collect();
    RouteScopes::new(route.name.as_str().into(), all_of, any_of)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(tables: &RouteTables, digest: &str, names: &[&str]) -> Arc<RouteTable> {
        let route = |name: &&str| wire::Route { name: (*name).to_owned(), ..wire::Route::default() };
        tables.share(digest.to_owned(), names.iter().map(route).collect(), &[])
    }

    #[test]
    fn equal_tables_are_one_and_a_digest_alone_makes_none_equal() {
        let tables = RouteTables::default();
        let first = table(&tables, "d", &["a", "b"]);
        assert!(Arc::ptr_eq(&first, &table(&tables, "d", &["a", "b"])));
        let others = [table(&tables, "d", &["a", "c"]), table(&tables, "d", &["a"]), table(&tables, "e", &["a", "b"])];
        assert!(others.iter().all(|other| !Arc::ptr_eq(&first, other)));
    }

    #[cfg(feature = "conditions")]
    #[test]
    fn other_routes_are_told_from_those_in_use_before() {
        let tables = RouteTables::default();
        let first = table(&tables, "d", &["a"]);
        let before = tables.numbers();
        let same = table(&tables, "d", &["a"]);
        assert_eq!(tables.numbers(), before);
        let second = table(&tables, "d", &["b"]);
        assert_ne!(tables.numbers(), before);
        drop(second);
        assert_eq!(tables.numbers(), before);
        drop((first, same));
        // It may have the address of the one that is gone.
        let _again = table(&tables, "d", &["a"]);
        assert_ne!(tables.numbers(), before);
    }

    #[test]
    fn a_name_is_that_of_all_routes_that_policies_in_use_give_it() {
        let tables = RouteTables::default();
        let _plain = table(&tables, "d", &["a", "b"]);
        let _same = table(&tables, "e", &["a"]);
        let strict = wire::Route { name: "a".to_owned(), all_of: vec!["admin".to_owned()], ..wire::Route::default() };
        let strict = tables.share("f".to_owned(), vec![strict], &[]);
        let count = |name: &str| tables.named(&HashSet::from([name])).remove(name).map_or(0, |found| found.len());
        assert_eq!((count("a"), count("b"), count("c")), (2, 1, 0));
        drop(strict);
        assert_eq!(count("a"), 1);
    }

    #[test]
    fn a_table_that_no_stream_uses_is_forgotten() {
        let tables = RouteTables::default();
        let used = table(&tables, "used", &["a"]);
        drop(table(&tables, "unused", &["a"]));
        drop(table(&tables, "used", &["a"]));
        assert_eq!((tables.0.lock().unwrap().len(), Arc::strong_count(&used)), (1, 1));
    }
}
