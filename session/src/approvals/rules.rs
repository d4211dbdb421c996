//! The rules of `approvals`: who may ask for which scopes, who decides, and for how long.

use super::request::{Person, User};
use crate::admins::Caller;

/// People, by what the admin API knows of a caller. Nobody is in an empty list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct People {
    /// The names of admins.
    pub admins: Vec<String>,
    /// Claims that a caller's token must have, each with one of the values that count.
    pub claims: Vec<(String, Vec<String>)>,
}

impl People {
    /// Whether a caller is one of them.
    pub fn include(&self, caller: &Caller) -> bool {
        self.name(caller) || self.have_claim_of(caller)
    }

    /// Whether a caller may ask for access of this user. Whoever is named may for everybody, and others only for themselves.
    pub fn may_ask_for(&self, user: &User, caller: &Caller) -> bool {
        let is_own = || Person::of(caller).user.as_ref() == Some(user);
        self.name(caller) || (self.have_claim_of(caller) && is_own())
    }

    fn name(&self, caller: &Caller) -> bool {
        self.admins.iter().any(|name| **name == *caller.name)
    }

    fn have_claim_of(&self, caller: &Caller) -> bool {
        let has = |(claim, values): &(String, Vec<String>)| values.iter().any(|value| caller.has(claim, value));
        !self.claims.is_empty() && self.claims.iter().all(has)
    }
}

/// Who may help himself in an emergency.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BreakGlass {
    /// Who.
    pub who: People,
    /// For how long at most, in milliseconds.
    pub max_duration_ms: u64,
    /// The webhook that is told.
    pub notify: Option<String>,
}

/// A rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// Its name.
    pub name: String,
    /// The scopes that it is about.
    pub scopes: Vec<String>,
    /// Who may ask.
    pub ask: People,
    /// Who decides each step: one or two.
    pub decide: Vec<People>,
    /// The longest grant, in milliseconds.
    pub max_duration_ms: u64,
    /// How long a request waits for its decision, in milliseconds.
    pub pending_for_ms: u64,
    /// A request must say why.
    pub needs_reason: bool,
    /// A request must name a ticket.
    pub needs_ticket: bool,
    /// A grant outlives a later login in its session.
    pub survives_login: bool,
    /// Who may help himself in an emergency.
    pub break_glass: Option<BreakGlass>,
}

impl Rule {
    /// Whether it is about all of these scopes.
    pub fn covers(&self, scopes: &[String]) -> bool {
        scopes.iter().all(|scope| self.scopes.contains(scope))
    }
}

/// All rules, in the order of the configuration.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rules(pub Vec<Rule>);

impl Rules {
    /// The rule with that name.
    pub fn named(&self, name: &str) -> Option<&Rule> {
        self.0.iter().find(|rule| rule.name == name)
    }

    /// The first rule that is about all of these scopes.
    pub fn covering(&self, scopes: &[String]) -> Option<&Rule> {
        self.0.iter().find(|rule| rule.covers(scopes))
    }

    /// The parts in which scopes can be asked for, each with the rule that decides it: all of them if a rule is about all, else
    /// each scope with the first rule about it. `None`: nobody can approve one of them.
    pub fn parts(&self, scopes: &[String]) -> Option<Vec<(&Rule, Vec<String>)>> {
        if let Some(rule) = self.covering(scopes) {
            return Some(vec![(rule, scopes.to_vec())]);
        }
        let mut parts: Vec<(&Rule, Vec<String>)> = Vec::new();
        for scope in scopes {
            let rule = self.covering(std::slice::from_ref(scope))?;
            match parts.iter_mut().find(|(of, _)| of.name == rule.name) {
                Some((_, part)) => part.push(scope.clone()),
                None => parts.push((rule, vec![scope.clone()])),
            }
        }
        Some(parts)
    }

    /// The scopes that some rule is about.
    pub fn scopes(&self) -> impl Iterator<Item = &str> {
        self.0.iter().flat_map(|rule| rule.scopes.iter().map(String::as_str))
    }
}
