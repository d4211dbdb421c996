//! The metrics of what is used. Their labels are bounded.

use prometheus::{Error, IntCounter, IntCounterVec, Opts, Registry};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Scopes with counters of their own, the first ones; all others share the one without a name.
const SCOPES_MAX: usize = 1_000;

/// Counters of uses.
#[derive(Debug)]
pub(crate) struct UsageMetrics {
    used: IntCounterVec,
    own: Mutex<HashMap<Arc<str>, IntCounter>>,
    together: IntCounter,
}

impl UsageMetrics {
    pub(crate) fn new(registry: &Registry) -> Result<Self, Error> {
        let help = "Requests that a scope helped to release; the first 1,000 scopes have names.";
        let used = IntCounterVec::new(Opts::new("portcullis_scope_used_total", help), &["scope"])?;
        registry.register(Box::new(used.clone()))?;
        // There is one also while nothing is used.
        used.with_label_values(&[""]);
        let help = "Counts of usage kept without their client, because there were too many.";
        let together = IntCounter::new("portcullis_usage_others_total", help)?;
        registry.register(Box::new(together.clone()))?;
        Ok(Self { used, own: Mutex::default(), together })
    }

    /// Counts requests that a scope helped to release.
    pub(super) fn granted(&self, scope: &Arc<str>, count: u64) {
        if count == 0 {
            return;
        }
        let mut own = self.own.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(counter) = own.get(scope) {
            return counter.inc_by(count);
        }
        let has_room = own.len() < SCOPES_MAX;
        let counter = self.used.with_label_values(&[if has_room { &**scope } else { "" }]);
        counter.inc_by(count);
        if has_room {
            own.insert(Arc::clone(scope), counter);
        }
    }

    /// Counts what is kept without its client.
    pub(super) fn kept_together(&self, count: u64) {
        self.together.inc_by(count);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_without_end_have_a_bounded_number_of_counters() {
        let registry = Registry::new();
        let metrics = UsageMetrics::new(&registry).unwrap();
        for n in 0..SCOPES_MAX + 50 {
            metrics.granted(&format!("scope {n}").into(), 2);
        }
        metrics.granted(&"scope 0".into(), 3);
        let families = registry.gather();
        let used = families.iter().find(|family| family.name() == "portcullis_scope_used_total").unwrap();
        assert_eq!(used.get_metric().len(), SCOPES_MAX + 1);
        assert_eq!(metrics.used.with_label_values(&["scope 0"]).get(), 5);
        assert_eq!(metrics.used.with_label_values(&[""]).get(), 100);
    }
}
