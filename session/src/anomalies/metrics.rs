//! The metrics of anomalies.

use super::kind::Anomaly;
use prometheus::{Error, IntCounter, IntCounterVec, Opts, Registry};

/// Counters of anomalies.
#[derive(Debug)]
pub(crate) struct AnomalyMetrics {
    found: IntCounterVec,
    lost: IntCounter,
}

impl AnomalyMetrics {
    pub(crate) fn new(registry: &Registry) -> Result<Self, Error> {
        let help = "Anomalies found in sessions, by kind.";
        let found = IntCounterVec::new(Opts::new("portcullis_anomalies_total", help), &["anomaly"])?;
        registry.register(Box::new(found.clone()))?;
        for anomaly in Anomaly::ALL {
            found.with_label_values(&[anomaly.as_str()]);
        }
        let help = "Anomalies, and countries of subjects, that could not be written.";
        let lost = IntCounter::new("portcullis_anomalies_lost_total", help)?;
        registry.register(Box::new(lost.clone()))?;
        Ok(Self { found, lost })
    }

    pub(super) fn found(&self, anomaly: Anomaly) {
        self.found.with_label_values(&[anomaly.as_str()]).inc();
    }

    pub(super) fn lost(&self) {
        self.lost.inc();
    }
}
