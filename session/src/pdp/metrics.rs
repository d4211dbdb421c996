//! The metrics of another decision point.

use super::ruling::Ruling;
use prometheus::{Error, Histogram, HistogramOpts, IntCounter, IntCounterVec, Opts, Registry};
use std::time::Duration;

/// Buckets of the time that a decision takes, in seconds.
const SECONDS: [f64; 9] = [0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0];

/// Counters of decisions.
#[derive(Debug)]
pub(crate) struct PdpMetrics {
    permitted: IntCounter,
    denied: IntCounter,
    none: IntCounter,
    took: Histogram,
}

impl PdpMetrics {
    pub(crate) fn new(registry: &Registry) -> Result<Self, Error> {
        let help = "Decisions of another decision point; `none` where there was none in time.";
        let decisions = IntCounterVec::new(Opts::new("portcullis_pdp_decisions_total", help), &["decision"])?;
        registry.register(Box::new(decisions.clone()))?;
        let help = "Time that a decision of another decision point took.";
        let took = Histogram::with_opts(HistogramOpts::new("portcullis_pdp_seconds", help).buckets(SECONDS.to_vec()))?;
        registry.register(Box::new(took.clone()))?;
        let [permitted, denied, none] = ["permit", "deny", "none"].map(|name| decisions.with_label_values(&[name]));
        Ok(Self { permitted, denied, none, took })
    }

    pub(super) fn decided(&self, ruling: Ruling, took: Duration) {
        self.took.observe(took.as_secs_f64());
        match ruling {
            Ruling::Permit => self.permitted.inc(),
            Ruling::Deny => self.denied.inc(),
            Ruling::None => self.none.inc(),
        }
    }
}
