//! The metrics of conditions.

use super::{Mode, Refused};
use portcullis_contract::wire::Outcome;
use prometheus::{Error, IntCounter, IntCounterVec, IntGauge, Opts, Registry};

/// The outcomes of refusals by conditions, by the label they are counted under.
const OUTCOMES: [(Outcome, &str); 3] = [
    (Outcome::ConditionFailed, "condition_failed"),
    (Outcome::ApprovalRequired, "approval_required"),
    (Outcome::StepUpRequired, "step_up_required"),
];

/// Counters of conditions.
#[derive(Debug)]
pub(crate) struct ConditionMetrics {
    policies: IntGauge,
    outdated: IntGauge,
    apart: IntGauge,
    kept: IntGauge,
    /// Reloads that failed.
    pub(crate) reload_failures: IntCounter,
    /// Results that were found in the cache, and that were not.
    pub(crate) found: IntCounter,
    pub(crate) prepared: IntCounter,
    /// Questions that something was evaluated for.
    pub(crate) evaluated: IntCounter,
    refusals: IntCounterVec,
}

impl ConditionMetrics {
    pub(crate) fn new(registry: &Registry) -> Result<Self, Error> {
        let gauge = |name: &str, help: &str| {
            let gauge = IntGauge::new(name, help)?;
            registry.register(Box::new(gauge.clone()))?;
            Ok::<_, Error>(gauge)
        };
        let counter = |name: &str, help: &str| {
            let counter = IntCounter::new(name, help)?;
            registry.register(Box::new(counter.clone()))?;
            Ok::<_, Error>(counter)
        };
        let family = |name: &str, help: &str, labels: &[&str]| {
            let family = IntCounterVec::new(Opts::new(name, help), labels)?;
            registry.register(Box::new(family.clone()))?;
            Ok::<_, Error>(family)
        };
        let lookups = family(
            "portcullis_conditions_lookups_total",
            "Look-ups of prepared conditions that a stream did not have itself, by result.",
            &["result"],
        )?;
        let refusals = family(
            "portcullis_conditions_refusals_total",
            "Refusals by conditions, by mode and outcome; in shadow mode they are not carried out.",
            &["mode", "outcome"],
        )?;
        for mode in [Mode::Enforce, Mode::Shadow] {
            for (_, outcome) in OUTCOMES {
                refusals.with_label_values(&[mode.as_str(), outcome]);
            }
        }
        Ok(Self {
            policies: gauge("portcullis_conditions_policies", "Conditions that are in force.")?,
            outdated: gauge(
                "portcullis_conditions_outdated",
                "1 while the directory of the conditions has a fault, and those before it are in force.",
            )?,
            apart: gauge("portcullis_conditions_replicas_apart", "Other replicas that judge by other conditions.")?,
            kept: gauge("portcullis_conditions_prepared", "Prepared results that are kept.")?,
            reload_failures: counter("portcullis_conditions_reload_failures_total", "Failed reloads of conditions.")?,
            found: lookups.with_label_values(&["hit"]),
            prepared: lookups.with_label_values(&["miss"]),
            evaluated: counter(
                "portcullis_conditions_evaluations_total",
                "Questions whose conditions depended on the request.",
            )?,
            refusals,
        })
    }

    /// Notes how many are in force, and whether they are what the directory has.
    pub(crate) fn in_force(&self, policies: usize, are_current: bool) {
        self.policies.set(i64::try_from(policies).unwrap_or(i64::MAX));
        self.outdated.set((!are_current).into());
    }

    /// Notes how many other replicas judge by others.
    pub(crate) fn apart(&self, replicas: usize) {
        self.apart.set(i64::try_from(replicas).unwrap_or(i64::MAX));
    }

    /// Notes how many results are kept.
    pub(crate) fn kept(&self, results: usize) {
        self.kept.set(i64::try_from(results).unwrap_or(i64::MAX));
    }

    /// Counts a refusal.
    pub(crate) fn refused(&self, refused: &Refused, mode: Mode) {
        if let Some((_, outcome)) = OUTCOMES.iter().find(|(outcome, _)| *outcome == refused.outcome()) {
            self.refusals.with_label_values(&[mode.as_str(), outcome]).inc();
        }
    }
}
