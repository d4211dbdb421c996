//! The counts of one token on one stream since they were last collected: what a question adds to, and nothing else.

use std::sync::Arc;

/// Kinds of questions that are kept apart until they are collected: a token is used on a few routes within a second.
const KINDS_MAX: usize = 16;

/// What the requests of a question mean for the scopes of their route.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Effect {
    /// They were released by the scopes of `all_of` and by that entry of `any_of`, if the route has any.
    Granted(Option<usize>),
    /// They were refused because of these scopes.
    Missing(Box<[Arc<str>]>),
    /// They were refused for another reason.
    Barred,
}

/// What has become of the requests of a question, as far as their counts differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// They were released.
    Released,
    /// Somebody has yet to approve one of their scopes.
    HeldBack,
    /// They were refused for another reason than a scope.
    Barred,
}

/// Whether counts have to be collected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fresh {
    /// The token was counted before.
    No,
    /// It is the first count of the token: it has to be collected at some time.
    First,
    /// There is no room for another kind: it has to be collected now.
    Full,
}

/// Counts of one kind.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) route: u32,
    fate: Fate,
    generation: u32,
    pub(super) effect: Effect,
    pub(super) count: u64,
    pub(super) last_ms: u64,
}

/// The counts of one token.
#[derive(Debug, Default)]
pub(crate) struct TokenUses(Vec<Entry>);

impl TokenUses {
    /// Counts a question on a route. What has become of it, and the generation of the session's scopes, determine its effect, which is only found out for the first question of its kind.
    pub(crate) fn count(
        &mut self,
        (route, fate, generation): (u32, Fate, u32),
        now_ms: u64,
        effect: impl FnOnce() -> Effect,
    ) -> Fresh {
        let same = |held: &&mut Entry| held.route == route && held.fate == fate && held.generation == generation;
        if let Some(held) = self.0.iter_mut().find(same) {
            held.count += 1;
            held.last_ms = held.last_ms.max(now_ms);
            return Fresh::No;
        }
        self.0.push(Entry { route, fate, generation, effect: effect(), count: 1, last_ms: now_ms });
        match self.0.len() {
            1 => Fresh::First,
            KINDS_MAX.. => Fresh::Full,
            _ => Fresh::No,
        }
    }

    /// Whether nothing was counted.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns and resets the counts.
    pub(super) fn take(&mut self) -> Vec<Entry> {
        std::mem::take(&mut self.0)
    }
}
