//! The metrics of decisions for other enforcement points.

use super::decision::Decision;
use prometheus::{Error, IntCounter, IntCounterVec, Opts, Registry};

/// Counters of decisions.
#[derive(Debug)]
pub(crate) struct AuthZenMetrics {
    permitted: IntCounter,
    denied: IntCounter,
}

impl AuthZenMetrics {
    pub(crate) fn new(registry: &Registry) -> Result<Self, Error> {
        let help = "Decisions for other enforcement points (AuthZEN).";
        let decisions = IntCounterVec::new(Opts::new("portcullis_authzen_decisions_total", help), &["decision"])?;
        registry.register(Box::new(decisions.clone()))?;
        let [permitted, denied] = ["permit", "deny"].map(|decision| decisions.with_label_values(&[decision]));
        Ok(Self { permitted, denied })
    }

    pub(super) fn decided(&self, decision: &Decision) {
        if decision.decision { self.permitted.inc() } else { self.denied.inc() }
    }
}
