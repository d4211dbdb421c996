//! The metrics of the databases of places.

use super::files::Condition;
use prometheus::{Error, IntGauge, Registry};

/// How old the databases are, and whether their newest files can be used.
#[derive(Debug)]
pub(crate) struct GeoIpMetrics {
    age_s: IntGauge,
    faulty: IntGauge,
}

impl GeoIpMetrics {
    pub(crate) fn new(registry: &Registry) -> Result<Self, Error> {
        let gauge = |name: &str, help: &str| {
            let gauge = IntGauge::new(name, help)?;
            registry.register(Box::new(gauge.clone()))?;
            Ok::<_, Error>(gauge)
        };
        Ok(Self {
            age_s: gauge(
                "portcullis_geoip_age_seconds",
                "Time since the oldest database of places was built; 0 without one.",
            )?,
            faulty: gauge(
                "portcullis_geoip_faulty",
                "Databases of places whose file was replaced by one that cannot be used.",
            )?,
        })
    }

    pub(super) fn show(&self, condition: Condition, now_ms: u64) {
        let age_s = (now_ms / 1_000).saturating_sub(condition.built_at_s);
        self.age_s.set(i64::try_from(age_s).unwrap_or(i64::MAX));
        self.faulty.set(i64::try_from(condition.faulty).unwrap_or(i64::MAX));
    }
}
