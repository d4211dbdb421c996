//! Envoy's counters and histograms. Names contain their labels as `.label.value`; `envoy/envoy.yaml` has the tag rules.

use portcullis_engine::{
    authorize::{Count, Gate, Route},
    map::HashMap,
    policy::Policy,
    time::{Monotonic, Now},
    token::IssuerId,
};
use proxy_wasm::{hostcalls, types::MetricType};

/// The interval between two reports of gauges and counters. A busy worker ticks a hundred times as often, and each counter
/// costs a call.
const REPORT_MS: u64 = 1_000;

/// Metric ids, defined when first needed.
#[derive(Debug, Default)]
pub(crate) struct Metrics {
    ids: HashMap<Count, u32>,
    key_ages: HashMap<IssuerId, u32>,
    wait: Option<u32>,
    connected: Option<u32>,
    was_connected: bool,
    leases: Option<u32>,
    held_leases: i64,
    reported_at: Monotonic,
}

impl Metrics {
    /// Reports what the gate has counted since the last call.
    pub(crate) fn flush(&mut self, gate: &mut Gate, now: Now) {
        for wait_ms in std::mem::take(&mut gate.waits_ms) {
            let id = *self.wait.get_or_insert_with(|| define(MetricType::Histogram, "portcullis.check_ms"));
            let _ = hostcalls::record_metric(id, wait_ms);
        }
        if now.instant.since(self.reported_at) < REPORT_MS {
            return;
        }
        self.reported_at = now.instant;
        self.gauge(gate, now);
        let counts: Vec<(Count, u64)> = gate.tally.drain().collect();
        for (count, amount) in counts {
            let id = *self.ids.entry(count).or_insert_with(|| define(MetricType::Counter, &name(count, gate.policy())));
            let _ = hostcalls::increment_metric(id, i64::try_from(amount).unwrap_or(i64::MAX));
        }
    }
}

impl Metrics {
    /// Takes back what this worker has added to shared gauges: it ends, and the process goes on.
    pub(crate) fn withdraw(&mut self) {
        if let (true, Some(id)) = (self.was_connected, self.connected) {
            let _ = hostcalls::increment_metric(id, -1);
            self.was_connected = false;
        }
        if let (1.., Some(id)) = (self.held_leases, self.leases) {
            let _ = hostcalls::increment_metric(id, -self.held_leases);
            self.held_leases = 0;
        }
    }

    /// All workers share one gauge: connected workers and their leases are added up, and the age of a key set is the one reported last.
    fn gauge(&mut self, gate: &Gate, now: Now) {
        let connected = gate.is_connected();
        if connected != self.was_connected {
            self.was_connected = connected;
            let name = "portcullis.check_stream.connected";
            let id = *self.connected.get_or_insert_with(|| define(MetricType::Gauge, name));
            let _ = hostcalls::increment_metric(id, if connected { 1 } else { -1 });
        }
        let held = i64::try_from(gate.leases_held()).unwrap_or(i64::MAX);
        if held != self.held_leases {
            let id = *self.leases.get_or_insert_with(|| define(MetricType::Gauge, "portcullis.leases.held"));
            let _ = hostcalls::increment_metric(id, held - self.held_leases);
            self.held_leases = held;
        }
        for (issuer, age_s) in gate.key_ages_s(now.instant) {
            let id = *self.key_ages.entry(issuer).or_insert_with(|| {
                let name = gate.policy().issuers.get(issuer.0).map_or("unknown", |issuer| &*issuer.issuer);
                define(MetricType::Gauge, &format!("portcullis.key_set_age_s.issuer.{}", label(name)))
            });
            let _ = hostcalls::record_metric(id, age_s);
        }
    }
}

/// Reports whether the policy that a filter was given last is invalid.
pub(crate) fn set_rejected(filter: &str, rejected: bool) {
    let gauge = define(MetricType::Gauge, &format!("portcullis.policy.rejected.filter.{}", label(filter)));
    let _ = hostcalls::record_metric(gauge, u64::from(rejected));
}

/// A name as a label: Envoy ends a label at a dot, and a line at a colon.
fn label(name: &str) -> String {
    name.chars().map(|char| if char.is_ascii_alphanumeric() || char == '-' { char } else { '_' }).collect()
}

fn define(kind: MetricType, name: &str) -> u32 {
    hostcalls::define_metric(kind, name).unwrap_or_default()
}

fn name(count: Count, policy: &Policy) -> String {
    let label = count.label();
    match count {
        Count::Decision(_, route) => format!("portcullis.decisions.code.{label}.route.{}", route_label(route, policy)),
        Count::Shadowed(_, route) => format!("portcullis.shadowed.code.{label}.route.{}", route_label(route, policy)),
        Count::Outage(_, route) => {
            format!("portcullis.outage_releases.kind.{label}.route.{}", route_label(route, policy))
        }
        Count::Check(_) => format!("portcullis.checks.outcome.{label}"),
        Count::Followed => "portcullis.followed_requests".to_owned(),
        Count::Cut(_, route) => format!("portcullis.cuts.code.{label}.route.{}", route_label(route, policy)),
        Count::Cache(_) => format!("portcullis.token_cache.result.{label}"),
        Count::Stream(_) => format!("portcullis.check_stream.event.{label}"),
        Count::Lease(_) => format!("portcullis.leases.event.{label}"),
        Count::Redemption(_) => format!("portcullis.redemptions.result.{label}"),
        Count::KeyFetch(_) => format!("portcullis.key_fetches.result.{label}"),
        Count::RefusedToken(_) => format!("portcullis.refused_tokens.reason.{label}"),
    }
}

fn route_label(route: Route, policy: &Policy) -> &str {
    match route {
        Route::None => "none",
        Route::Rule(id) => policy.rule(id).map_or("none", |rule| rule.name.as_str()),
        Route::Other => "other",
    }
}
