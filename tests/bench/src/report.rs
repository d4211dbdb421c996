//! The results, as they are printed, plotted and written as JSON.

use crate::{meter::Cpu, stats::Spread, targets::Target, wrk::Seen};
use serde::Serialize;

/// One measurement of a cell.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct Sample {
    pub(crate) rps: f64,
    pub(crate) requests: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) p50_us: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) p99_us: Option<f64>,
    pub(crate) cpu: Cpu,
}

impl Sample {
    pub(crate) fn of(seen: &Seen) -> Self {
        Self {
            rps: seen.rps(),
            requests: seen.requests,
            p50_us: Some(seen.p50_us as f64),
            p99_us: Some(seen.p99_us as f64),
            cpu: Cpu::default(),
        }
    }
}

/// One row under one load, in all rounds.
#[derive(Debug, Serialize)]
pub(crate) struct Cell {
    pub(crate) table: &'static str,
    pub(crate) row: String,
    pub(crate) column: String,
    pub(crate) samples: Vec<Sample>,
    /// Why its samples do not count.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) void: Option<String>,
}

impl Cell {
    /// A figure of each round; empty if the cell is void.
    pub(crate) fn series(&self, figure: impl Fn(&Sample) -> Option<f64>) -> Vec<f64> {
        if self.void.is_some() {
            return Vec::new();
        }
        self.samples.iter().filter_map(figure).collect()
    }

    pub(crate) fn rps(&self) -> Vec<f64> {
        self.series(|sample| Some(sample.rps))
    }
}

/// The answers of a row before it was measured.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Check {
    pub(crate) row: String,
    pub(crate) good: u16,
    pub(crate) forged: u16,
    pub(crate) no_scope: u16,
    /// Whether these are the answers that the row should give.
    pub(crate) ok: bool,
}

/// The memory of a row after it was measured.
#[derive(Debug, Serialize)]
pub(crate) struct Memory {
    pub(crate) row: String,
    pub(crate) envoy_bytes: u64,
    pub(crate) service_bytes: Option<u64>,
}

/// From the 200 of a revocation to the end.
#[derive(Debug, Serialize)]
pub(crate) struct Revocation {
    pub(crate) revocations: usize,
    /// Requests that were sent after the 200, and released.
    pub(crate) released_after: usize,
    /// Answers that were neither a release nor the refusal of a revoked session.
    pub(crate) strange: usize,
    /// From the 200 to when the last released request was sent. It must be negative; otherwise the guarantee is broken.
    pub(crate) last_release_ms: Option<Spread>,
    pub(crate) streams: usize,
    pub(crate) cut_p50_ms: f64,
    pub(crate) cut_p99_ms: f64,
}

/// The session service alone.
#[derive(Debug, Serialize)]
pub(crate) struct Service {
    /// In process, on one core.
    pub(crate) judgements_per_s: Option<Spread>,
    /// Tokens for upstreams, signed on one core.
    pub(crate) minted: Vec<Minted>,
    pub(crate) wire: Vec<Wire>,
    pub(crate) with_audit: WithAudit,
    pub(crate) sessions: usize,
    pub(crate) sessions_bytes: u64,
    pub(crate) restart_s: f64,
}

/// Checks a second with an audit log in a file, as a part of those without.
#[derive(Debug, Serialize)]
pub(crate) struct WithAudit {
    /// One of 64 opens a session.
    pub(crate) few_new: Option<Spread>,
    /// Half of them do.
    pub(crate) half_new: Option<Spread>,
}

/// Tokens for upstreams that are signed with one algorithm.
#[derive(Debug, Serialize)]
pub(crate) struct Minted {
    pub(crate) algorithm: &'static str,
    pub(crate) per_s: Option<Spread>,
}

/// Checks over one connection.
#[derive(Debug, Serialize)]
pub(crate) struct Wire {
    pub(crate) in_flight: usize,
    pub(crate) checks_per_s: Option<Spread>,
    /// CPU seconds of the service for 100,000 checks.
    pub(crate) cpu_s: Option<Spread>,
}

/// The memory of the filter with many routes and a full cache.
#[derive(Debug, Serialize)]
pub(crate) struct Filter {
    pub(crate) routes: usize,
    pub(crate) tokens: usize,
    /// Envoy with Portcullis, with one worker and with two.
    pub(crate) envoy_bytes: [u64; 2],
    /// The same with the filter that does nothing.
    pub(crate) noop_bytes: [u64; 2],
}

impl Filter {
    /// What the filter adds to an Envoy with one worker: two VMs, the worker's and the main thread's, and the policy as Envoy
    /// itself holds it.
    pub(crate) fn first_bytes(&self) -> u64 {
        let [[ours, _], [noop, _]] = [self.envoy_bytes, self.noop_bytes];
        ours.saturating_sub(noop)
    }

    /// What it adds with one more worker: the VM of that worker.
    pub(crate) fn next_bytes(&self) -> u64 {
        let [ours, noop] = [self.envoy_bytes, self.noop_bytes].map(|[one, two]| two.saturating_sub(one));
        ours.saturating_sub(noop)
    }
}

/// Everything that was measured.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Report {
    pub(crate) rounds: usize,
    pub(crate) seconds: u64,
    pub(crate) workers: usize,
    pub(crate) cores: usize,
    pub(crate) checks: Vec<Check>,
    pub(crate) cells: Vec<Cell>,
    pub(crate) memory: Vec<Memory>,
    pub(crate) revocation: Option<Revocation>,
    pub(crate) service: Option<Service>,
    pub(crate) filter: Option<Filter>,
    pub(crate) targets: Vec<Target>,
    /// Parts that failed.
    pub(crate) broken: Vec<String>,
}

impl Report {
    pub(crate) fn cell(&self, table: &str, row: &str, column: &str) -> Option<&Cell> {
        self.cells.iter().find(|cell| cell.table == table && cell.row == row && cell.column == column)
    }

    /// The faults that make the run fail. A missed target is not a fault.
    pub(crate) fn faults(&self) -> Vec<String> {
        let checks = self.checks.iter().filter(|check| !check.ok).map(|check| {
            format!("{}: good {}, forged {}, no scope {}", check.row, check.good, check.forged, check.no_scope)
        });
        let voids = self.cells.iter().filter_map(|cell| {
            let why = cell.void.as_ref()?;
            Some(format!("{}, {}, {}: void: {why}", cell.table, cell.row, cell.column))
        });
        let broken =
            self.revocation.iter().filter(|revocation| revocation.released_after + revocation.strange > 0).map(
                |revocation| {
                    format!(
                        "revocation: {} released after it, {} strange answers",
                        revocation.released_after, revocation.strange
                    )
                },
            );
        checks.chain(voids).chain(broken).chain(self.broken.iter().cloned()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_void_cell_and_a_wrong_answer_are_faults_and_a_missed_target_is_none() {
        let cell = |void: Option<&str>| Cell {
            table: "main",
            row: "a row".to_owned(),
            column: "64".to_owned(),
            samples: vec![Sample { rps: 1.0, ..Sample::default() }],
            void: void.map(str::to_owned),
        };
        let check = |ok| Check { row: "a row".to_owned(), good: 200, forged: 200, no_scope: 200, ok };
        let faults = |void, ok| {
            let mut report = Report { cells: vec![cell(void)], checks: vec![check(ok)], ..Report::default() };
            report.targets = crate::targets::of(&report);
            report.faults().len()
        };
        assert_eq!([faults(None, true), faults(Some("refused"), true), faults(None, false)], [0, 1, 1]);
        assert!(cell(Some("refused")).rps().is_empty());
    }
}
