//! Conditions: whether access that scopes and session grant is right at this moment, by device, place, risk and time. What they
//! say and how they are evaluated is `portcullis-conditions`'; here is what they are asked about and when, and where they come
//! from.
//!
//! What a session, a route and a method decide is found out once and kept until one of the facts behind it changes: a stream
//! keeps a few marks beside each token and looks at five numbers to know that they still hold. Only what depends on the request
//! itself is evaluated for each question.
//!
//! Without the feature `conditions` a service cannot have any.

#![cfg_attr(not(feature = "conditions"), expect(dead_code, reason = "who asks conditions is there without them, too"))]

mod classes;
mod layers;
mod metrics;
mod refused;
mod request;
mod route;

#[cfg(feature = "conditions")]
mod asking;
#[cfg(feature = "conditions")]
mod cache;
#[cfg(feature = "conditions")]
mod directory;
#[cfg(feature = "conditions")]
mod facts;
#[cfg(feature = "conditions")]
mod in_force;
#[cfg(feature = "conditions")]
mod keep;
#[cfg(feature = "conditions")]
mod marks;
#[cfg(feature = "conditions")]
mod settings;

#[cfg(not(feature = "conditions"))]
mod absent;

#[cfg(not(feature = "conditions"))]
pub use absent::{ConditionSettings, Conditions};
#[cfg(not(feature = "conditions"))]
pub(crate) use absent::{Marks, OnRoutes, keep, reload};
pub use classes::Classes;
#[cfg(feature = "conditions")]
pub use in_force::Conditions;
#[cfg(feature = "conditions")]
pub(crate) use in_force::OnRoutes;
#[cfg(feature = "conditions")]
pub(crate) use keep::{keep, reload};
#[cfg(feature = "conditions")]
pub(crate) use layers::Layers;
#[cfg(feature = "conditions")]
pub(crate) use marks::Marks;
pub(crate) use metrics::ConditionMetrics;
pub(crate) use refused::{Decided, Refused};
pub(crate) use request::{METHODS, OwnRequest, Request};
pub(crate) use route::{Asking, Of, OnTable, RouteFacts, Slot};
#[cfg(feature = "conditions")]
pub use settings::ConditionSettings;

/// Whether what conditions refuse is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// It is.
    #[default]
    Enforce,
    /// It is released, counted and audited.
    Shadow,
}

impl Mode {
    /// Its name in `session.yaml`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Enforce => "enforce",
            Self::Shadow => "shadow",
        }
    }
}

/// The conditions that are in force, for the admin API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InForce {
    /// Tells them from others.
    pub digest: String,
    /// How many there are.
    pub policies: usize,
    /// Whether what they refuse is refused.
    pub mode: Mode,
    /// Since when, in milliseconds since the epoch.
    pub since_ms: u64,
    /// What is wrong with the directory, if it was changed since and could not be taken.
    pub faults: Vec<String>,
}

/// What had the directory read again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// A call of the admin API.
    Admin,
    /// A change of its files.
    Files,
    /// A change of `session.yaml`.
    Configuration,
    /// Other routes in use, after some have refused what was read.
    Routes,
}

impl Cause {
    /// Its name in the audit.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::Files => "files",
            Self::Configuration => "configuration",
            Self::Routes => "routes",
        }
    }
}
