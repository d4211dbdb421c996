//! The targets of the bench, each with what was measured.

use crate::{
    parts::{
        BEHIND, BEHIND_CONNECTIONS, COLD, COLD_ALGORITHMS, FEW_NEW, IN_FLIGHT_MAX, MAIN, ROUTE_COUNTS, ROUTES,
        TOKEN_COUNTS, TOKENS,
    },
    report::{Cell, Filter, Report, Sample},
    stats::{Spread, added_ratio, ratio},
    subject::Row,
    table::whole,
};
use serde::Serialize;

const MIB: f64 = 1_048_576.0;

/// A target.
#[derive(Debug, Serialize)]
pub(crate) struct Target {
    pub(crate) what: String,
    /// What was measured; `None` if its part was left out or is void.
    pub(crate) measured: Option<Spread>,
    pub(crate) bound: Bound,
    pub(crate) unit: &'static str,
}

/// The smallest or the largest value that meets the target.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Bound {
    AtLeast(f64),
    AtMost(f64),
}

impl Target {
    /// Whether the median is within the bound.
    pub(crate) fn met(&self) -> Option<bool> {
        let median = self.measured?.median;
        Some(match self.bound {
            Bound::AtLeast(bound) => median >= bound,
            Bound::AtMost(bound) => median <= bound,
        })
    }
}

/// All targets, by number.
pub(crate) fn of(report: &Report) -> Vec<Target> {
    let mut targets = vec![added_cpu(report, "1. added CPU of a request", Row::Portcullis, 0.35)];
    targets.extend(throughput(report));
    targets.push(added_cpu(report, "2. added CPU of a request under a lease", Row::PortcullisLease, 0.18));
    targets.extend(leased(report));
    targets.push(upstream_token(report));
    targets.push(latency(report));
    targets.extend(COLD_ALGORITHMS.map(|algorithm| cold(report, &algorithm.name())));
    targets.push(tokens(report));
    targets.push(routes(report));
    targets.extend(service(report));
    targets.extend(memory(report));
    targets
}

/// What a request costs in Envoy and in the services, less what it costs in Envoy alone. It does not depend on how much of
/// the machine the load generator takes.
fn added_cpu(report: &Report, what: &str, ours: Row, bound: f64) -> Target {
    let [ours, chain, alone] =
        [ours, Row::ExtAuthzGrpc, Row::Alone].map(|row| series(report.cell(MAIN, row.title(), "64"), cpu_of_a_request));
    Target {
        what: format!("{what} / {}", Row::ExtAuthzGrpc.title()),
        measured: added_ratio(&ours, &chain, &alone),
        bound: Bound::AtMost(bound),
        unit: "×",
    }
}

fn cpu_of_a_request(sample: &Sample) -> Option<f64> {
    let cpu_s = sample.cpu.envoy_s + sample.cpu.service_s;
    (sample.requests > 0).then(|| cpu_s / sample.requests as f64)
}

fn throughput(report: &Report) -> Vec<Target> {
    let mut targets = Vec::new();
    let behind = BEHIND_CONNECTIONS.to_string();
    for (row, bound) in [(Row::ExtAuthzGrpc, 1.8), (Row::Noop, 0.75)] {
        for (table, column, note) in [(MAIN, "64", ""), (MAIN, "256", ""), (BEHIND, &behind, ", with an upstream")] {
            let rps = |row: Row| series(report.cell(table, row.title(), column), |sample| Some(sample.rps));
            targets.push(Target {
                what: format!("1. requests per second at {column} connections{note} / {}", row.title()),
                measured: ratio(&rps(Row::Portcullis), &rps(row)),
                bound: Bound::AtLeast(bound),
                unit: "×",
            });
        }
    }
    targets
}

fn leased(report: &Report) -> [Target; 2] {
    ["64", "256"].map(|column| {
        let rps = |row: Row| series(report.cell(MAIN, row.title(), column), |sample| Some(sample.rps));
        Target {
            what: format!("2. requests per second at {column} connections under a lease / {}", Row::Noop.title()),
            measured: ratio(&rps(Row::PortcullisLease), &rps(Row::Noop)),
            bound: Bound::AtLeast(0.88),
            unit: "×",
        }
    })
}

fn upstream_token(report: &Report) -> Target {
    let rps = |row: Row| series(report.cell(MAIN, row.title(), "64"), |sample| Some(sample.rps));
    Target {
        what: "requests per second at 64 connections with a token for the upstream / without".to_owned(),
        measured: ratio(&rps(Row::PortcullisUpstreamToken), &rps(Row::Portcullis)),
        bound: Bound::AtLeast(0.9),
        unit: "×",
    }
}

fn latency(report: &Report) -> Target {
    let p50 = |row: Row| series(report.cell(MAIN, row.title(), "1"), |sample| sample.p50_us);
    Target {
        what: format!("3. added median latency at 1 connection / {}", Row::ExtAuthzGrpc.title()),
        measured: added_ratio(&p50(Row::Portcullis), &p50(Row::ExtAuthzGrpc), &p50(Row::Alone)),
        bound: Bound::AtMost(0.6),
        unit: "×",
    }
}

fn cold(report: &Report, algorithm: &str) -> Target {
    let rps = |row: Row| series(report.cell(COLD, row.title(), algorithm), |sample| Some(sample.rps));
    Target {
        what: format!("4. cold {algorithm} tokens per second / {}", Row::JwtAuthnUncached.title()),
        measured: ratio(&rps(Row::Portcullis), &rps(Row::JwtAuthnUncached)),
        bound: Bound::AtLeast(0.7),
        unit: "×",
    }
}

fn tokens(report: &Report) -> Target {
    let [one, _, many] = TOKEN_COUNTS;
    let rps = |count: usize| {
        series(report.cell(TOKENS, Row::Portcullis.title(), &count.to_string()), |sample| Some(sample.rps))
    };
    Target {
        what: format!("4. requests per second with {} live tokens / with {one}", whole(many as f64)),
        measured: ratio(&rps(many), &rps(one)),
        bound: Bound::AtLeast(0.7),
        unit: "×",
    }
}

fn routes(report: &Report) -> Target {
    let [few, _, many] = ROUTE_COUNTS;
    let cpu = |count: usize| series(report.cell(ROUTES, Row::Portcullis.title(), &count.to_string()), cpu_of_a_request);
    Target {
        what: format!("5. CPU of a request with {} routes / with {few}", whole(many as f64)),
        measured: ratio(&cpu(many), &cpu(few)),
        bound: Bound::AtMost(1.05),
        unit: "×",
    }
}

fn service(report: &Report) -> Vec<Target> {
    let service = report.service.as_ref();
    let wire = service.and_then(|service| service.wire.iter().max_by_key(|wire| wire.in_flight));
    let target = |what: String, measured, bound| Target { what, measured, bound: Bound::AtLeast(bound), unit: "/s" };
    let minted = service.into_iter().flat_map(|service| &service.minted);
    let minted = minted.map(|minted| {
        let what = format!("7. tokens for upstreams minted on one core, {}", minted.algorithm);
        target(what, minted.per_s, 20_000.0)
    });
    let others = [
        target(
            "6. judgements on one core in memory".to_owned(),
            service.and_then(|service| service.judgements_per_s),
            1_000_000.0,
        ),
        target(
            format!("6. checks over the wire, {} in flight", IN_FLIGHT_MAX),
            wire.and_then(|wire| wire.checks_per_s),
            100_000.0,
        ),
        Target {
            what: format!("6. checks over the wire with an audit log, one of {FEW_NEW} opens a session / without"),
            measured: service.and_then(|service| service.with_audit.few_new),
            bound: Bound::AtLeast(0.95),
            unit: "×",
        },
    ];
    others.into_iter().chain(minted).collect()
}

fn memory(report: &Report) -> [Target; 2] {
    let target = |what: &str, bytes: Option<u64>, bound| Target {
        what: what.to_owned(),
        measured: bytes.and_then(|bytes| Spread::of(&[bytes as f64 / MIB])),
        bound: Bound::AtMost(bound),
        unit: " MiB",
    };
    let filter = report.filter.as_ref().map(Filter::next_bytes);
    let sessions = report.service.as_ref().map(|service| service.sessions_bytes);
    [
        target("7. a worker's filter with 10,000 routes and a full cache", filter, 64.0),
        target("7. 1,000,000 sessions", sessions, 512.0),
    ]
}

fn series(cell: Option<&Cell>, figure: impl Fn(&Sample) -> Option<f64>) -> Vec<f64> {
    cell.map(|cell| cell.series(figure)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(median: Option<f64>, bound: Bound) -> Target {
        let measured = median.map(|median| Spread { median, min: median, max: median });
        Target { what: String::new(), measured, bound, unit: "" }
    }

    #[test]
    fn a_bound_is_met_at_the_bound_itself() {
        for (median, bound, met) in [
            (Some(2.5), Bound::AtLeast(2.5), Some(true)),
            (Some(2.4), Bound::AtLeast(2.5), Some(false)),
            (Some(0.6), Bound::AtMost(0.6), Some(true)),
            (Some(0.7), Bound::AtMost(0.6), Some(false)),
            (None, Bound::AtMost(0.6), None),
        ] {
            assert_eq!(target(median, bound).met(), met, "{median:?} {bound:?}");
        }
    }

    #[test]
    fn what_was_not_measured_is_neither_met_nor_missed() {
        let targets = of(&Report::default());
        assert!(targets.iter().all(|target| target.met().is_none()), "{targets:?}");
    }
}
