//! Access types: which limits a session has, decided once, when it opens. The first type that matches wins; if none
//! matches, the token is refused.

use crate::intern::ScopeSet;
use crate::judge::Limits;
use portcullis_contract::KeyKind;
use std::sync::Arc;

/// The conditions of an access type on the token that opens a session. Every key that is present must hold; a key holds
/// when one of its entries does.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct When {
    /// The token has one of these scopes.
    pub scope: Option<Vec<String>>,
    /// The token's client is one of these.
    pub client: Option<Vec<String>>,
    /// The token's grant is one of these.
    pub grant: Option<Vec<String>>,
}

impl When {
    fn holds(&self, scopes: &ScopeSet, client: &str, grant: &str) -> bool {
        let one_of = |wanted: &Option<Vec<String>>, is_held: &dyn Fn(&str) -> bool| match wanted {
            None => true,
            Some(wanted) => wanted.iter().any(|entry| is_held(entry)),
        };
        one_of(&self.scope, &|entry| scopes.holds(entry))
            && one_of(&self.client, &|entry| entry == client)
            && one_of(&self.grant, &|entry| entry == grant)
    }
}

/// A name with limits, which a session keeps.
#[derive(Debug, PartialEq, Eq)]
pub struct Access {
    /// The operator's name for it.
    pub name: String,
    /// Its limits.
    pub limits: Limits,
    /// What tokens with scopes that the session was not granted do.
    pub growth: Growth,
}

/// What tokens with scopes that a session was not granted do.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Growth {
    /// They are refused as scope escalation for people, and grow the sessions of machine clients.
    #[default]
    ByKind,
    /// They are refused.
    Refuse,
    /// They grow the session.
    Allow,
    /// They grow the session by these scopes, and are refused with any other.
    Listed(ScopeSet),
}

impl Growth {
    /// Whether a session with a key of that kind may be granted these scopes as well. A machine client may ask for one
    /// scope with each token; a person's consent is for what was asked at the login.
    pub fn allows<'a>(&self, kind: KeyKind, mut scopes: impl Iterator<Item = &'a str>) -> bool {
        match self {
            Self::ByKind => kind == KeyKind::Machine,
            Self::Refuse => false,
            Self::Allow => true,
            Self::Listed(allowed) => scopes.all(|scope| allowed.holds(scope)),
        }
    }
}

/// The access types in the order of the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessTypes(Vec<(When, Arc<Access>)>);

impl AccessTypes {
    /// The types, in order.
    pub fn new(types: impl IntoIterator<Item = (When, Access)>) -> Self {
        let share = |(when, access)| (when, Arc::new(access));
        Self(types.into_iter().map(share).collect())
    }

    /// The first type whose conditions hold.
    pub fn of(&self, scopes: &ScopeSet, client: &str, grant: &str) -> Option<Arc<Access>> {
        self.0.iter().find(|(when, _)| when.holds(scopes, client, grant)).map(|(_, access)| Arc::clone(access))
    }

    /// The names of the types with an idle limit, and the limits in milliseconds.
    pub fn idle_limits(&self) -> impl Iterator<Item = (&str, u64)> {
        self.0.iter().filter_map(|(_, access)| Some((access.name.as_str(), access.limits.idle_ms?)))
    }

    /// The type of that name.
    pub fn named(&self, name: &str) -> Option<Arc<Access>> {
        self.0.iter().find(|(_, access)| access.name == name).map(|(_, access)| Arc::clone(access))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(name: &str, when: When) -> (When, Access) {
        let access = Access { name: name.to_owned(), limits: Limits::default(), growth: Growth::default() };
        (when, access)
    }

    fn list(entries: &[&str]) -> Option<Vec<String>> {
        Some(entries.iter().map(|&entry| entry.to_owned()).collect())
    }

    fn types() -> AccessTypes {
        AccessTypes::new([
            named("admin", When { scope: list(&["admin", "root"]), client: list(&["console"]), ..When::default() }),
            named("machine", When { grant: list(&["client_credentials"]), ..When::default() }),
            named("person", When { scope: list(&["openid"]), ..When::default() }),
        ])
    }

    #[test]
    fn the_first_type_whose_every_key_holds_wins() {
        let rows: &[(&[&str], &str, &str, Option<&str>)] = &[
            (&["root"], "console", "", Some("admin")),
            (&["root"], "other", "", None),
            (&["openid"], "console", "", Some("person")),
            (&["openid", "admin"], "console", "client_credentials", Some("admin")),
            (&["openid"], "x", "client_credentials", Some("machine")),
            (&[], "", "", None),
            (&["Root"], "console", "", None),
        ];
        for (scopes, client, grant, expected) in rows {
            let found = types().of(&ScopeSet::new(*scopes), client, grant);
            assert_eq!(found.map(|access| access.name.clone()).as_deref(), *expected, "{scopes:?} {client} {grant}");
        }
    }
}
