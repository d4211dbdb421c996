//! What this Envoy process remembers of the policies that a filter was given, in proxy-wasm's shared data.
//!
//! Envoy configures a filter first in a VM of its own on the main thread, and once more on every worker. It takes an
//! update back as a whole if the first of these fails: the listener or the extension keeps the configuration that it
//! had, and `update_rejected` counts it.

use crate::envoy;
use std::hash::{DefaultHasher, Hash, Hasher};

/// The policies of the filters that have this name. Filters with policies of their own should have names of their own.
pub(crate) struct History {
    filter: String,
}

/// What becomes of an invalid policy.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Invalid {
    /// Envoy rejects it, and keeps what it had. The last valid policy has this digest.
    Rejected { in_force: String },
    /// There is no other: the filter takes it, and refuses all requests.
    RefusesAll,
}

impl History {
    /// The history of the filter that is being configured.
    pub(crate) fn of_this_filter() -> Self {
        Self { filter: envoy::filter_name() }
    }

    /// The filter's `name` in Envoy's configuration.
    pub(crate) fn filter(&self) -> &str {
        &self.filter
    }

    /// A policy is in force.
    pub(crate) fn accept(&self, digest: &str) {
        envoy::set_shared(&self.key("in_force"), digest);
    }

    /// Decides about an invalid policy, alike on the main thread and on every worker: Envoy remembers what the first of
    /// them said of a configuration, and a worker that contradicts it makes Envoy reject every update that follows.
    pub(crate) fn refuse(&self, configuration: &[u8]) -> Invalid {
        // Unkeyed, so it is the same in every VM.
        let mut hash = DefaultHasher::new();
        configuration.hash(&mut hash);
        let taken = self.key(&format!("refuses_all.{:016x}", hash.finish()));
        match envoy::shared(&self.key("in_force")) {
            Some(in_force) if envoy::shared(&taken).is_none() => Invalid::Rejected { in_force },
            _ => {
                envoy::set_shared(&taken, "");
                Invalid::RefusesAll
            }
        }
    }

    fn key(&self, what: &str) -> String {
        format!("portcullis.policy.{}.{what}", self.filter)
    }
}
