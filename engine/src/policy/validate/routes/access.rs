//! Who can use a route: exactly one of `public`, `authenticated` and `require`.

use super::Reader;
use crate::{
    policy::{
        Access,
        deserialize::Given,
        json_path::At,
        raw::{RawAuthenticated, RawRequire, Texts},
    },
    scope::Requirement,
};

impl Reader<'_> {
    pub(super) fn access(
        &mut self,
        public: Given<bool>,
        authenticated: Given<RawAuthenticated>,
        require: Given<RawRequire>,
        at: &At<'_>,
        index: usize,
    ) -> Option<Access> {
        let is_faulty = public.is_faulty() || authenticated.is_faulty() || require.is_faulty();
        let public = public == Given::Value(true);
        let authenticated = match authenticated {
            Given::Value(RawAuthenticated::Yes) => Some(Access::Authenticated),
            Given::Value(RawAuthenticated::Optional) => Some(Access::Optional),
            Given::Value(RawAuthenticated::No) | Given::Absent | Given::Faulty => None,
        };
        let is_required = !require.is_absent();
        if authenticated.is_some() || is_required {
            self.routes.guarded.get_or_insert(index);
        }
        // The names are checked even if the requirement itself cannot be used.
        let requirement = require.value().and_then(|raw| self.requirement(raw, &at.key("require"), index));
        match (public, authenticated, is_required) {
            _ if is_faulty => None,
            (true, None, false) => Some(Access::Public),
            (false, Some(access), false) => Some(access),
            (false, None, true) => requirement.map(Access::Scopes),
            (false, None, false) => {
                self.faults
                    .add(at, "specify who can use the route: `public: true`, `authenticated: true` or `require`");
                None
            }
            _ => {
                self.faults.add(at, "specify exactly one of `public`, `authenticated` and `require`");
                None
            }
        }
    }

    fn requirement(&mut self, raw: RawRequire, at: &At<'_>, index: usize) -> Option<Requirement> {
        let is_empty = |texts: &Texts| match texts {
            Given::Absent => true,
            Given::Faulty => false,
            Given::Value(items) => items.is_empty(),
        };
        if is_empty(&raw.all_of) && is_empty(&raw.any_of) {
            self.faults
                .add(at, "must name a scope; if a token and an active session are enough, use `authenticated: true`");
            return None;
        }
        self.note_needs(&raw, index);
        let all_of = self.scopes.named(raw.all_of, &at.key("all_of"), self.faults);
        let any_of = self.scopes.named(raw.any_of, &at.key("any_of"), self.faults);
        Some(self.scopes.register.requirement(&all_of?.concat(), &any_of?))
    }

    fn note_needs(&mut self, raw: &RawRequire, index: usize) {
        for texts in [&raw.all_of, &raw.any_of] {
            let Given::Value(items) = texts else { continue };
            for item in items {
                match item {
                    Given::Value(name) if name.starts_with('@') => self.routes.asks_set.get_or_insert(index),
                    Given::Value(_) => self.routes.asks_scope.get_or_insert(index),
                    Given::Faulty | Given::Absent => continue,
                };
            }
        }
    }
}
