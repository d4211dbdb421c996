//! What a question is about: a route of a filter's policy, and a token with its session.

use super::{Conditions, OnRoutes, Request};
use crate::attributes::Contexts;
use crate::registry::Registry;
use crate::session::Session;
use crate::token::Token;
use std::sync::{Arc, PoisonError, RwLock};

/// A route, as conditions see it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct RouteFacts {
    /// Its name.
    pub(crate) name: Arc<str>,
    /// `class`; may be empty.
    pub(crate) class: Box<str>,
    /// `tags`.
    pub(crate) tags: Box<[Box<str>]>,
    /// The scopes that it can require.
    pub(crate) scopes: Box<[Arc<str>]>,
    /// The scope sets that its requirement names.
    pub(crate) sets: Box<[Box<str>]>,
}

/// Where a table of routes keeps the conditions that concern them.
#[derive(Debug, Default)]
pub(crate) struct Slot(RwLock<Option<Arc<OnRoutes>>>);

impl Slot {
    /// What is in it.
    pub(crate) fn get(&self) -> Option<Arc<OnRoutes>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Puts something in it, unless newer conditions are there; returns what is there then.
    #[cfg(feature = "conditions")]
    pub(crate) fn put(&self, new: Arc<OnRoutes>) -> Arc<OnRoutes> {
        let mut held = self.0.write().unwrap_or_else(PoisonError::into_inner);
        match &*held {
            Some(there) if there.number() >= new.number() => Arc::clone(there),
            _ => Arc::clone(held.insert(new)),
        }
    }
}

/// The conditions of one table of routes, as the holder of a stream keeps them.
#[derive(Debug, Clone)]
pub(crate) struct OnTable {
    conditions: Arc<Conditions>,
    on: Arc<OnRoutes>,
}

impl OnTable {
    /// Those of the table with that slot and that number of routes.
    pub(crate) fn new(conditions: Arc<Conditions>, slot: &Slot, routes: usize) -> Self {
        let on = conditions.on(slot, routes);
        Self { conditions, on }
    }

    /// Takes over other conditions that are in force now.
    pub(crate) fn renew(&mut self, slot: &Slot, routes: usize) {
        if self.conditions.number() != self.on.number() {
            self.on = self.conditions.on(slot, routes);
        }
    }

    /// Whether another one has the same conditions.
    pub(crate) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.on, &other.on)
    }

    /// What is asked about a request on a route of the table.
    pub(crate) fn asking<'a>(&'a self, index: u32, route: &'a RouteFacts, request: Request<'a>) -> Asking<'a> {
        Asking { conditions: &self.conditions, on: &self.on, index, route, request }
    }
}

/// A question to the conditions, besides its token.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asking<'a> {
    /// The conditions.
    pub(crate) conditions: &'a Conditions,
    /// Those that concern the routes of its table.
    pub(crate) on: &'a OnRoutes,
    /// The number of its route in the table.
    pub(crate) index: u32,
    /// Its route.
    pub(crate) route: &'a RouteFacts,
    /// Its request.
    pub(crate) request: Request<'a>,
}

/// The token of a question, and its session.
#[derive(Clone, Copy)]
pub(crate) struct Of<'a> {
    /// Where what is known of them is.
    pub(crate) registry: &'a Registry,
    /// The session.
    pub(crate) session: &'a Session,
    /// The token.
    pub(crate) token: &'a Token,
    /// The scopes that are left of the token's; `None`: all.
    pub(crate) left: Option<&'a [String]>,
    /// The grants for one request that the question rests on.
    pub(crate) once: &'a [String],
    /// What the session's logins count as.
    pub(crate) contexts: &'a Contexts,
}
