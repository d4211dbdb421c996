//! The decision point as `session.yaml` describes it.

use crate::conditions::Classes;
use crate::signals::Url;
use crate::store::postgres::Secret;
use std::path::PathBuf;

/// A decision point.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PdpSettings {
    /// Its identifier, without a slash at the end: where its metadata is, and its endpoints unless that says otherwise.
    pub base: String,
    /// The same, as what can be called.
    pub(crate) url: Url,
    /// What it is presented as a bearer token.
    pub(crate) credential: Option<Secret>,
    /// How long a decision may take, in milliseconds.
    pub timeout_ms: u64,
    /// What becomes of requests without a decision.
    pub on_outage: OnOutage,
    /// Certificates of authorities, if not those of the system.
    pub ca: Option<PathBuf>,
    /// The routes that it decides about.
    pub classes: Classes,
}

/// What becomes of requests without a decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnOutage {
    /// They are refused.
    #[default]
    Deny,
    /// Those that only read are released.
    ReadOnly,
}

impl OnOutage {
    /// Whether a request of this method is released.
    pub(crate) fn releases(self, method: &str) -> bool {
        self == Self::ReadOnly && matches!(method, "GET" | "HEAD" | "OPTIONS" | "TRACE")
    }
}
