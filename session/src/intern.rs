//! Shared copies of what many sessions have in common: issuers, clients, scope sets. A million sessions of one
//! issuer hold its name once.

use std::collections::HashSet;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};

/// Entries before the first purge of those that are no longer in use.
const PURGE_AT_MIN: usize = 1024;

/// A set of scopes: sorted, without duplicates, cheap to clone.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct ScopeSet(Arc<[Box<str>]>);

impl ScopeSet {
    /// The set of `scopes`; empty strings are not scopes.
    pub fn new<S: AsRef<str>>(scopes: impl IntoIterator<Item = S>) -> Self {
        let mut sorted: Vec<Box<str>> =
            scopes.into_iter().filter(|scope| !scope.as_ref().is_empty()).map(|scope| scope.as_ref().into()).collect();
        sorted.sort_unstable();
        sorted.dedup();
        Self(sorted.into())
    }

    /// Whether `scope` is in the set: whole and case-sensitive.
    pub fn holds(&self, scope: &str) -> bool {
        self.0.binary_search_by(|held| (**held).cmp(scope)).is_ok()
    }

    /// Whether every scope of this set is in `other`.
    pub fn is_within(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || self.0.iter().all(|scope| other.holds(scope))
    }

    /// The scopes of this set that are not in `other`.
    pub fn beyond<'a>(&'a self, other: &'a Self) -> impl Iterator<Item = &'a str> {
        self.iter().filter(|scope| !other.holds(scope))
    }

    /// The scopes of this set that are in `other` too.
    pub fn and(&self, other: &Self) -> Vec<String> {
        self.iter().filter(|scope| other.holds(scope)).map(str::to_owned).collect()
    }

    /// The scopes of this set that are in `other` too, as a set.
    #[must_use]
    pub fn common(&self, other: &Self) -> Self {
        Self::new(self.iter().filter(|scope| other.holds(scope)))
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The scopes in order.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|scope| &**scope)
    }

    /// The scopes as owned strings.
    pub fn to_vec(&self) -> Vec<String> {
        self.iter().map(str::to_owned).collect()
    }
}

/// The pool of shared copies. It forgets those that are no longer in use each time it has doubled, so it stays within twice
/// their size.
#[derive(Debug, Default)]
pub struct Interner {
    names: Pool<Arc<str>>,
    scopes: Pool<ScopeSet>,
}

impl Interner {
    /// The shared copy of `name`.
    pub fn name(&self, name: &str) -> Arc<str> {
        self.names.get(name, |name| Arc::from(name), |held| Arc::strong_count(held) > 1)
    }

    /// The shared copy of the set.
    pub fn scopes(&self, set: ScopeSet) -> ScopeSet {
        self.scopes.get(&set, Clone::clone, |held| Arc::strong_count(&held.0) > 1)
    }
}

#[derive(Debug)]
struct Pool<T>(Mutex<(HashSet<T>, usize)>);

impl<T> Default for Pool<T> {
    fn default() -> Self {
        Self(Mutex::new((HashSet::new(), PURGE_AT_MIN)))
    }
}

impl<T: Clone + Eq + Hash> Pool<T> {
    fn get<Q>(&self, wanted: &Q, make: impl FnOnce(&Q) -> T, in_use: impl Fn(&T) -> bool) -> T
    where
        T: std::borrow::Borrow<Q>,
        Q: Eq + Hash + ?Sized,
    {
        let mut pool = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (held, purge_at) = &mut *pool;
        if let Some(shared) = held.get(wanted) {
            return shared.clone();
        }
        if held.len() >= *purge_at {
            held.retain(in_use);
            *purge_at = (2 * held.len()).max(PURGE_AT_MIN);
        }
        let new = make(wanted);
        held.insert(new.clone());
        new
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_are_compared_whole_and_case_sensitively() {
        let set = ScopeSet::new(["orders:read", "admin"]);
        assert!(set.holds("admin"));
        for other in ["Admin", "adm", "admin ", "orders", ""] {
            assert!(!set.holds(other), "{other}");
        }
    }

    #[test]
    fn equal_sets_share_one_copy_in_any_order() {
        let interner = Interner::default();
        let one = interner.scopes(ScopeSet::new(["a", "b", "a"]));
        let other = interner.scopes(ScopeSet::new(["b", "", "a"]));
        assert!(Arc::ptr_eq(&one.0, &other.0));
        assert!(Arc::ptr_eq(&interner.name("x"), &interner.name("x")));
    }

    #[test]
    fn what_is_no_longer_in_use_is_forgotten() {
        let interner = Interner::default();
        let kept = interner.name("kept");
        for n in 0..10 * PURGE_AT_MIN {
            interner.name(&n.to_string());
        }
        assert!(interner.names.0.lock().unwrap().0.len() <= PURGE_AT_MIN);
        assert!(Arc::ptr_eq(&kept, &interner.name("kept")));
    }
}
