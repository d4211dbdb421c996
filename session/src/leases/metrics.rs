//! The metrics of leases.

use prometheus::{Error, Histogram, HistogramOpts, IntCounter, IntGauge, Registry};
use std::time::Duration;

/// Upper bounds of the time that an answer waits: a round trip to a worker, or as long as a lease runs.
const WAIT_SECONDS: [f64; 10] = [0.001, 0.005, 0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.5];

/// The metrics of leases.
#[derive(Debug)]
pub(crate) struct LeaseMetrics {
    held: IntGauge,
    given: IntCounter,
    taken_back: IntCounter,
    waited_out: IntCounter,
    waits: Histogram,
}

impl LeaseMetrics {
    pub(crate) fn new(registry: &Registry) -> Result<Self, Error> {
        let counter = |name: &str, help: &str| {
            let counter = IntCounter::new(name, help)?;
            registry.register(Box::new(counter.clone()))?;
            Ok::<_, Error>(counter)
        };
        let held = IntGauge::new("portcullis_leases_outstanding", "Leases that filters may have.")?;
        registry.register(Box::new(held.clone()))?;
        let waits = Histogram::with_opts(
            HistogramOpts::new(
                "portcullis_lease_wait_seconds",
                "How long answers that promise something have waited for filters to give leases back.",
            )
            .buckets(WAIT_SECONDS.to_vec()),
        )?;
        registry.register(Box::new(waits.clone()))?;
        Ok(Self {
            held,
            given: counter("portcullis_leases_given_total", "Leases given to filters, without renewals.")?,
            taken_back: counter("portcullis_leases_taken_back_total", "Leases that filters were told to drop.")?,
            waited_out: counter(
                "portcullis_leases_waited_out_total",
                "Leases that ran out before their filters had dropped them as told.",
            )?,
            waits,
        })
    }

    /// Notes how many filters may have.
    pub(super) fn held(&self, count: usize) {
        self.held.set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    /// Counts one that was given.
    pub(crate) fn given(&self) {
        self.given.inc();
    }

    /// Counts those that a filter is told to drop.
    pub(crate) fn taken_back(&self, count: usize) {
        self.taken_back.inc_by(u64::try_from(count).unwrap_or_default());
    }

    /// Counts those that ran out instead.
    pub(super) fn waited_out(&self, count: u64) {
        self.waited_out.inc_by(count);
    }

    /// Notes how long an answer has waited.
    pub(crate) fn waited(&self, time: Duration) {
        self.waits.observe(time.as_secs_f64());
    }
}
