//! What a caller of the admin API may do.

/// A scope of the admin API. None implies another, except that [`Scope::Admin`] implies all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// To read.
    View,
    /// To change sessions, revocations, blocks, narrowings and attributes, and to handle signals.
    Operate,
    /// To decide requests for access, and to revoke grants.
    Approve,
    /// Everything, and what concerns the service itself.
    Admin,
}

impl Scope {
    /// What the names of all scopes begin with.
    pub const PREFIX: &'static str = "portcullis:";

    /// Every scope.
    pub const ALL: [Self; 4] = [Self::View, Self::Operate, Self::Approve, Self::Admin];

    /// Its name in tokens and in `session.yaml`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::View => "portcullis:view",
            Self::Operate => "portcullis:operate",
            Self::Approve => "portcullis:approve",
            Self::Admin => "portcullis:admin",
        }
    }

    /// The scope with that name, which is compared exactly.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|scope| scope.as_str() == name)
    }

    const fn bit(self) -> u8 {
        1 << self as u8
    }
}

/// A set of scopes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Scopes(u8);

impl Scopes {
    /// Whether they allow what needs `scope`.
    pub const fn allow(self, scope: Scope) -> bool {
        self.0 & (scope.bit() | Scope::Admin.bit()) != 0
    }

    /// The names of those that are held, in order.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        Scope::ALL.into_iter().filter(move |scope| self.0 & scope.bit() != 0).map(Scope::as_str)
    }
}

impl FromIterator<Scope> for Scopes {
    fn from_iter<I: IntoIterator<Item = Scope>>(scopes: I) -> Self {
        Self(scopes.into_iter().fold(0, |bits, scope| bits | scope.bit()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_scope_but_admin_allows_what_needs_another() {
        for held in Scope::ALL {
            for needed in Scope::ALL {
                let expected = held == needed || held == Scope::Admin;
                assert_eq!(Scopes::from_iter([held]).allow(needed), expected, "{held:?} {needed:?}");
            }
        }
        assert!(Scope::ALL.into_iter().all(|needed| !Scopes::default().allow(needed)));
        let both = Scopes::from_iter([Scope::Approve, Scope::View]);
        assert!(both.allow(Scope::View) && both.allow(Scope::Approve) && !both.allow(Scope::Operate));
        assert_eq!(both.names().collect::<Vec<_>>(), ["portcullis:view", "portcullis:approve"]);
    }

    #[test]
    fn a_scope_has_exactly_one_spelling() {
        for scope in Scope::ALL {
            assert!(scope.as_str().starts_with(Scope::PREFIX));
            assert_eq!(Scope::named(scope.as_str()), Some(scope));
        }
        for other in
            ["", "portcullis:", "portcullis:Admin", "portcullis:admin ", "admin", "portcullis:*", "portcullis:root"]
        {
            assert_eq!(Scope::named(other), None, "{other}");
        }
    }
}
