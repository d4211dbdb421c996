//! What a worker counts, added up here and handed to Envoy's statistics on the tick.

use crate::{map::HashMap, route::RuleId};

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Count {
    /// A request that was let through or refused, by the name of its code, and the rule that decided.
    Decision(&'static str, Option<RuleId>),
    /// A refusal that shadow mode did not carry out.
    Shadowed(&'static str, Option<RuleId>),
    /// A release without a verdict, by the outage policy that allowed it.
    Outage(&'static str, Option<RuleId>),
    /// A question to the session service, by its outcome.
    Check(&'static str),
    /// An open request whose session is followed from now on.
    Followed,
    /// An open request that was ended, by the code of the reason and the rule that had released it.
    Cut(&'static str, Option<RuleId>),
    /// A token that was looked up in the cache: `hit` or `miss`.
    Cache(&'static str),
    /// The check stream: `opened`, `failed`, `closed`.
    Stream(&'static str),
    /// A fetch of a key set: `ok` or `failed`.
    KeyFetch(&'static str),
}

/// Counts since the last tick.
#[derive(Debug, Default)]
pub struct Tally {
    counts: HashMap<Count, u64>,
}

impl Tally {
    pub(super) fn add(&mut self, count: Count) {
        *self.counts.entry(count).or_default() += 1;
    }

    /// Takes what has been counted, leaving nothing.
    pub fn drain(&mut self) -> impl Iterator<Item = (Count, u64)> + '_ {
        self.counts.drain()
    }
}
