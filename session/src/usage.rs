//! What is used: counts of each scope and each route by client and day, so that an operator learns which scopes nobody needs.
//!
//! A stream counts what it judges beside each token (`token`, `stream`), which costs a question one addition. Once a second
//! the counts of a stream are added to those of the service ([`Usage`]), which the writer adds to the store every two
//! seconds. A list reads the store and adds what is not written yet ([`Summary`]), so replicas need not tell each other: each
//! adds its own counts to the same rows.

mod counts;
mod metrics;
mod stream;
mod summary;
#[cfg(test)]
mod tests;
mod token;

pub use counts::Usage;
pub(crate) use metrics::UsageMetrics;
pub(crate) use stream::{RouteScopes, StreamUsage};
pub use summary::Summary;
pub(crate) use token::{Effect, Fate, Fresh, TokenUses};

use serde::{Deserialize, Serialize};

/// A day in milliseconds.
pub const DAY_MS: u64 = 24 * 60 * 60 * 1_000;

/// Counts that are kept apart for one day by one process: of scopes and routes, by client. Any more are counted together.
pub const KEPT_MAX: usize = 200_000;

/// The longest name of a client, scope or route that is kept apart, in bytes.
const NAME_BYTES_MAX: usize = 512;

/// What a count is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A scope.
    Scope,
    /// A route.
    Route,
}

impl Kind {
    /// The store's number for it.
    pub const fn number(self) -> u8 {
        match self {
            Self::Scope => 0,
            Self::Route => 1,
        }
    }

    /// The kind with that number.
    pub const fn of(number: u8) -> Option<Self> {
        match number {
            0 => Some(Self::Scope),
            1 => Some(Self::Route),
            _ => None,
        }
    }
}

/// How often something was used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Count {
    /// Requests that needed it.
    pub asked: u64,
    /// Of a scope: requests that it helped to release.
    pub granted: u64,
    /// Of a scope: requests that were refused because it was missing.
    pub refused: u64,
    /// The last of these requests.
    pub last_ms: u64,
}

impl Count {
    /// Adds another count of the same.
    pub fn add(&mut self, other: Self) {
        self.asked = self.asked.saturating_add(other.asked);
        self.granted = self.granted.saturating_add(other.granted);
        self.refused = self.refused.saturating_add(other.refused);
        self.last_ms = self.last_ms.max(other.last_ms);
    }

    /// How much more this is than another count of the same.
    #[must_use]
    pub fn beyond(self, other: Self) -> Self {
        Self {
            asked: self.asked.saturating_sub(other.asked),
            granted: self.granted.saturating_sub(other.granted),
            refused: self.refused.saturating_sub(other.refused),
            last_ms: self.last_ms,
        }
    }
}

/// A count of one scope or route by one client on one day, as it is stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Used {
    /// Days since the epoch.
    pub day: u32,
    /// What it is about.
    pub kind: Kind,
    /// The scope or route; empty for those that are counted together.
    pub name: String,
    /// The client; empty for requests without one, and for those that are counted together.
    pub client: String,
    /// How often.
    #[serde(flatten)]
    pub count: Count,
}

/// The day of an instant.
pub fn day_of(ms: u64) -> u32 {
    u32::try_from(ms / DAY_MS).unwrap_or(u32::MAX)
}
