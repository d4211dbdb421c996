//! The table of this build beside the baseline.

use super::{cpu, spread, table, void};
use crate::{
    parts::{BASELINE, BASELINE_COLD, BASELINE_WARM, BUILDS},
    report::{Report, Sample},
    stats::ratio,
};

/// Appends the table if there was a baseline.
pub(super) fn write(report: &Report, out: &mut String) {
    if !report.cells.iter().any(|cell| cell.table == BASELINE) {
        return;
    }
    let figures: [fn(&Sample) -> f64; 3] = [
        |sample| sample.cpu.envoy_s,
        |sample| sample.cpu.service_s,
        |sample| sample.cpu.envoy_s + sample.cpu.service_s,
    ];
    let row = |column: &str| {
        let [this, baseline] = BUILDS.map(|build| report.cell(BASELINE, build, column));
        let costs = [this, baseline].map(|cell| format!("{} + {}", cpu(cell, figures[0]), cpu(cell, figures[1])));
        let ratios = figures.map(|used| {
            let per_request = |sample: &Sample| Some(used(sample) / sample.requests as f64);
            let [this, baseline] =
                [this, baseline].map(|cell| cell.map(|cell| cell.series(per_request)).unwrap_or_default());
            ratio(&this, &baseline).map_or_else(void, |ratio| spread(ratio, |value| format!("{value:.2}")))
        });
        [column.to_owned()].into_iter().chain(costs).chain(ratios).collect()
    };
    let rows: Vec<Vec<String>> = [BASELINE_WARM, BASELINE_COLD].into_iter().map(row).collect();
    out.push_str(
        "\n### This build and the baseline\n\nCPU for each request at 64 connections. Ratios: this build / baseline, round by round; below 1 this build is cheaper.\n\n",
    );
    table(out, &["tokens", "CPU this build", "CPU baseline", "Envoy ×", "service ×", "both ×"], &rows);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{meter::Cpu, report::Cell};

    #[test]
    fn the_ratio_is_of_the_cpu_for_each_request() {
        let cell = |build: &str, requests| Cell {
            table: BASELINE,
            row: build.to_owned(),
            column: BASELINE_WARM.to_owned(),
            samples: vec![Sample { requests, cpu: Cpu { envoy_s: 1.0, service_s: 3.0 }, ..Sample::default() }],
            void: None,
        };
        let [this, baseline] = BUILDS;
        let report = Report { cells: vec![cell(this, 200), cell(baseline, 100)], ..Report::default() };
        let mut out = String::new();
        write(&report, &mut out);
        let line = |column: &str| out.lines().find(|line| line.starts_with(&format!("| {column}"))).unwrap_or_default();
        assert_eq!(line(BASELINE_WARM).matches("0.50").count(), 3, "{out}");
        // Cold tokens were not measured.
        assert_eq!(line(BASELINE_COLD).matches("void").count(), 7, "{out}");
    }
}
