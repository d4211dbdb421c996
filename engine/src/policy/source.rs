//! The parts of a policy document that the filter does not need, kept for tools that explain and check policies.

use super::{
    Freshness, Outage,
    raw::{RawRoute, Texts},
};
use crate::route::Match;

/// The parts of a policy document that only tools need.
#[derive(Debug, Default)]
pub struct Source {
    /// The routes, in the order of [`super::Policy::rules`].
    pub routes: Vec<RouteSource>,
    /// The names of the sets, sorted, each with its scopes.
    pub sets: Vec<(String, Vec<String>)>,
    /// The `on_outage` of routes without one of their own.
    pub on_outage: Outage,
    /// The `freshness` of routes without one of their own.
    pub freshness: Freshness,
}

/// A route of a policy document.
#[derive(Debug)]
pub struct RouteSource {
    /// Which requests it matches.
    pub matches: Match,
    /// The path, with the names of its parameters.
    pub path: String,
    /// For each group of the requirement's `any_of`, the name of its set without `@`; `None` for a scope.
    pub any_of: Vec<Option<String>>,
    /// The sets that `all_of` requires, without `@`.
    pub all_of_sets: Vec<String>,
    /// Whether it has an `on_outage` of its own.
    pub has_own_outage: bool,
    /// Whether it has a `freshness` of its own.
    pub has_own_freshness: bool,
}

impl RouteSource {
    /// Saves what tools need from a route before the rest of it is read.
    pub(super) fn of(raw: &RawRoute) -> impl FnOnce(Match) -> Self + use<> {
        let path = raw.r#match.get().and_then(|raw| raw.path.get()).cloned().unwrap_or_default();
        let require = raw.require.get();
        let any_of = require.map(|raw| names(&raw.any_of).map(set_of).collect()).unwrap_or_default();
        let all_of_sets = require.map(|raw| names(&raw.all_of).filter_map(set_of).collect()).unwrap_or_default();
        let has_own_outage = raw.session.get().is_some_and(|raw| !raw.on_outage.is_absent());
        let has_own_freshness = raw.session.get().is_some_and(|raw| !raw.freshness.is_absent());
        move |matches| Self { matches, path, any_of, all_of_sets, has_own_outage, has_own_freshness }
    }
}

fn names(texts: &Texts) -> impl Iterator<Item = &str> {
    texts.get().into_iter().flatten().filter_map(|text| text.get().map(String::as_str))
}

fn set_of(name: &str) -> Option<String> {
    name.strip_prefix('@').map(str::to_owned)
}
