//! Which scope each route of the admin API needs: one closed table. What is not in it is refused, whoever asks.

use crate::admins::{Caller, Scope};

/// What a caller needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Needed {
    /// A credential, of whatever scopes.
    Credential,
    /// A scope.
    Scope(Scope),
}

impl Needed {
    /// Whether a caller has it.
    pub(super) const fn is_met_by(self, caller: &Caller) -> bool {
        match self {
            Self::Credential => true,
            Self::Scope(scope) => caller.may(scope),
        }
    }
}

const CREDENTIAL: Needed = Needed::Credential;
const VIEW: Needed = Needed::Scope(Scope::View);
const OPERATE: Needed = Needed::Scope(Scope::Operate);
const APPROVE: Needed = Needed::Scope(Scope::Approve);
const ADMIN: Needed = Needed::Scope(Scope::Admin);

/// What each method of each route needs. `HEAD` is a `GET`.
const TABLE: &[(&str, &str, Needed)] = &[
    ("GET", "/v1/whoami", CREDENTIAL),
    ("GET", "/v1/sessions", VIEW),
    ("POST", "/v1/sessions", OPERATE),
    ("GET", "/v1/sessions/{id}", VIEW),
    ("PATCH", "/v1/sessions/{id}", OPERATE),
    ("GET", "/v1/sessions/{id}/events", VIEW),
    ("POST", "/v1/sessions/{id}/revoke", OPERATE),
    ("GET", "/v1/narrowings", VIEW),
    ("POST", "/v1/narrowings", OPERATE),
    ("GET", "/v1/revocations", VIEW),
    ("POST", "/v1/revocations", OPERATE),
    ("DELETE", "/v1/revocations/{id}", OPERATE),
    ("GET", "/v1/blocks", VIEW),
    ("POST", "/v1/blocks", OPERATE),
    ("DELETE", "/v1/blocks/{id}", OPERATE),
    ("POST", "/v1/clock/confirm", ADMIN),
    ("GET", "/v1/events", VIEW),
    ("GET", "/v1/filters", VIEW),
    ("GET", "/v1/replicas", VIEW),
    ("GET", "/v1/usage", VIEW),
    ("GET", "/v1/conditions", VIEW),
    ("POST", "/v1/conditions", ADMIN),
    ("GET", "/v1/attributes/{kind}/{id}", VIEW),
    ("GET", "/v1/attributes/{kind}/{id}/{name}", VIEW),
    ("PUT", "/v1/attributes/{kind}/{id}/{name}", OPERATE),
    ("DELETE", "/v1/attributes/{kind}/{id}/{name}", OPERATE),
    ("GET", "/v1/signals", VIEW),
    ("GET", "/v1/signals/held", VIEW),
    ("POST", "/v1/signals/held/{id}/release", OPERATE),
    ("POST", "/v1/signals/held/{id}/drop", OPERATE),
    ("GET", "/v1/signals/{name}", VIEW),
    ("POST", "/v1/signals/{name}/stream/{command}", OPERATE),
    // The rules say who may ask, and whoever has asked may see that, and cancel it.
    ("GET", "/v1/requests", CREDENTIAL),
    ("POST", "/v1/requests", CREDENTIAL),
    ("GET", "/v1/requests/{id}", CREDENTIAL),
    ("POST", "/v1/requests/{id}/approve", APPROVE),
    ("POST", "/v1/requests/{id}/deny", APPROVE),
    ("POST", "/v1/requests/{id}/cancel", CREDENTIAL),
    ("POST", "/v1/requests/{id}/review", APPROVE),
    ("GET", "/v1/grants", VIEW),
    ("POST", "/v1/grants/{id}/revoke", APPROVE),
    ("GET", "/v1/webhooks/undelivered", VIEW),
    ("GET", "/metrics", VIEW),
];

/// What a method of a route needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Entry {
    /// This.
    Needs(Needed),
    /// The route has other methods.
    OtherMethods,
    /// It is not in the table.
    Missing,
}

/// The entry of a method of a route.
pub(super) fn entry(method: &str, route: &str) -> Entry {
    let method = if method == "HEAD" { "GET" } else { method };
    let mut of_route = TABLE.iter().filter(|(_, path, _)| *path == route).peekable();
    if of_route.peek().is_none() {
        return Entry::Missing;
    }
    let found = of_route.find(|(of, _, _)| *of == method);
    found.map_or(Entry::OtherMethods, |(_, _, needed)| Entry::Needs(*needed))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::{BTreeMap, BTreeSet};

    /// The methods of each route, as the router's source registers them: axum cannot be asked.
    fn registered() -> BTreeSet<(String, String)> {
        let source = include_str!("router.rs");
        let (_, from) = source.split_once("Router::new()").unwrap();
        let (routes, _) = from.split_once(".fallback(").unwrap();
        let mut found = BTreeSet::new();
        for route in routes.split(concat!(".rou", "te(")).skip(1) {
            let path = route.split('"').nth(1).unwrap();
            for method in ["get", "post", "put", "patch", "delete"] {
                if route.contains(&format!("{method}(")) {
                    found.insert((method.to_uppercase(), path.to_owned()));
                }
            }
        }
        found
    }

    #[test]
    fn every_route_has_an_entry_and_no_entry_is_without_a_route() {
        let listed: BTreeSet<_> =
            TABLE.iter().map(|(method, path, _)| ((*method).to_owned(), (*path).to_owned())).collect();
        assert_eq!(listed, registered());
        assert_eq!(listed.len(), TABLE.len(), "an entry is there twice");
    }

    #[test]
    fn every_get_needs_view_but_for_what_is_the_callers_own_and_nothing_else_does() {
        let mut others = BTreeMap::new();
        for (method, path, needed) in TABLE {
            match (*method, *needed) {
                ("GET", VIEW) => {}
                (_, VIEW) => panic!("{method} {path}"),
                (method, needed) => drop(others.insert((method, *path), needed)),
            }
        }
        let unusual: Vec<_> = others.into_iter().filter(|(_, needed)| *needed != OPERATE).collect();
        let expected = [
            (("GET", "/v1/requests"), CREDENTIAL),
            (("GET", "/v1/requests/{id}"), CREDENTIAL),
            (("GET", "/v1/whoami"), CREDENTIAL),
            (("POST", "/v1/clock/confirm"), ADMIN),
            (("POST", "/v1/conditions"), ADMIN),
            (("POST", "/v1/grants/{id}/revoke"), APPROVE),
            (("POST", "/v1/requests"), CREDENTIAL),
            (("POST", "/v1/requests/{id}/approve"), APPROVE),
            (("POST", "/v1/requests/{id}/cancel"), CREDENTIAL),
            (("POST", "/v1/requests/{id}/deny"), APPROVE),
            (("POST", "/v1/requests/{id}/review"), APPROVE),
        ];
        assert_eq!(unusual, expected);
    }

    #[test]
    fn what_is_not_in_the_table_is_refused() {
        assert_eq!(entry("GET", "/v1/blocks"), Entry::Needs(VIEW));
        assert_eq!(entry("HEAD", "/v1/blocks"), Entry::Needs(VIEW));
        assert_eq!(entry("POST", "/v1/blocks"), Entry::Needs(OPERATE));
        for method in ["PUT", "get", "TRACE", ""] {
            assert_eq!(entry(method, "/v1/blocks"), Entry::OtherMethods, "{method}");
        }
        for route in ["", "/", "/v1", "/v1/blocks/", "/v1/blocks/1", "/v1/unknown"] {
            assert_eq!(entry("GET", route), Entry::Missing, "{route}");
        }
    }
}
