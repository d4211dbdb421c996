//! The report as Markdown.

mod baseline;

use crate::{
    parts::{
        BEHIND, BEHIND_CONNECTIONS, COLD, COLD_ALGORITHMS, COLD_ROWS, CONNECTIONS, FEW_NEW, H2, MAIN, ROUTE_COUNTS,
        ROUTES, TOKEN_COUNTS, TOKENS,
    },
    report::{Cell, Report, Sample},
    stats::{Spread, ratio},
    subject::Row,
    targets::{Bound, Target},
};
use std::fmt::Write;

const MIB: f64 = 1_048_576.0;

/// All tables that have results.
pub(crate) fn all(report: &Report) -> String {
    let mut out = format!(
        "{} rounds of {} s for each cell, Envoy with {} workers, {} cores for all of it.\n\
         Medians; in brackets the least and the greatest of the rounds. CPU: seconds for 100,000 requests, Envoy + service.\n",
        report.rounds, report.seconds, report.workers, report.cores
    );
    baseline::write(report, &mut out);
    if report.cells.iter().any(|cell| cell.table == MAIN) {
        main(report, &mut out);
        ratios(report, &mut out);
        rates(
            report,
            &mut out,
            BEHIND,
            "Warm tokens, with an upstream behind, requests a second",
            &Row::MAIN,
            &[BEHIND_CONNECTIONS.to_string()],
        );
    }
    rates(
        report,
        &mut out,
        COLD,
        "Cold tokens, requests a second at 64 connections",
        &COLD_ROWS,
        &COLD_ALGORITHMS.map(|a| a.name()),
    );
    rates(
        report,
        &mut out,
        ROUTES,
        "By number of routes, requests a second at 64 connections",
        &[Row::Portcullis],
        &ROUTE_COUNTS.map(|c| c.to_string()),
    );
    rates(
        report,
        &mut out,
        TOKENS,
        "By number of live tokens, requests a second at 64 connections",
        &[Row::Portcullis],
        &TOKEN_COUNTS.map(|c| c.to_string()),
    );
    revocation(report, &mut out);
    service(report, &mut out);
    filter(report, &mut out);
    targets(&report.targets, &mut out);
    out
}

fn main(report: &Report, out: &mut String) {
    let mut rows = Vec::new();
    for row in Row::MAIN {
        let cell = |column: &str| report.cell(MAIN, row.title(), column);
        let mut line = vec![row.title().to_owned(), checked(report, row)];
        line.extend(
            CONNECTIONS.map(|connections| median(cell(&connections.to_string()), |sample| Some(sample.rps), whole)),
        );
        line.push(median(cell(H2), |sample| Some(sample.rps), whole));
        for connections in CONNECTIONS {
            let ms = |us: f64| format!("{:.2}", us / 1e3);
            let cell = cell(&connections.to_string());
            let (p50, p99) = (median(cell, |sample| sample.p50_us, ms), median(cell, |sample| sample.p99_us, ms));
            line.push(if p50 == p99 { p50 } else { format!("{p50} / {p99}") });
        }
        line.push(cpu(cell("64"), |sample| sample.cpu.envoy_s));
        line.push(cpu(cell("64"), |sample| sample.cpu.service_s));
        let memory = report.memory.iter().find(|memory| memory.row == row.title());
        line.push(memory.map_or_else(dash, |memory| mib(memory.envoy_bytes)));
        line.push(memory.and_then(|memory| memory.service_bytes).map_or_else(dash, mib));
        rows.push(line);
    }
    out.push_str("\n### Warm tokens\n\nEnvoy answers by itself, so that the filters are what is measured. rps: requests a second at so many connections. CPU: at 64 connections.\n\n");
    let head = [
        "row",
        "checked",
        "rps 1",
        "rps 64",
        "rps 256",
        "rps h2 64",
        "p50 / p99 ms 1",
        "ms 64",
        "ms 256",
        "CPU Envoy",
        "CPU service",
        "MiB Envoy",
        "MiB service",
    ];
    table(out, &head, &rows);
    out.push_str(
        "\nChecked: the answers to a good token, a forged one, and one without the scope. The first two rows refuse nothing; \
         jwt_authn compares no scopes.\n",
    );
}

/// The ratios between rows, so that readers need not calculate them.
fn ratios(report: &Report, out: &mut String) {
    let mut columns: Vec<(&str, String)> = CONNECTIONS.iter().map(|count| (MAIN, count.to_string())).collect();
    columns.extend([(MAIN, H2.to_owned()), (BEHIND, BEHIND_CONNECTIONS.to_string())]);
    let mut rows = Vec::new();
    for (ours, theirs) in [
        (Row::Portcullis, Row::ExtAuthzGrpc),
        (Row::Portcullis, Row::ExtAuthzHttp),
        (Row::Portcullis, Row::Noop),
        (Row::PortcullisLease, Row::Noop),
        (Row::PortcullisUpstreamToken, Row::Portcullis),
        (Row::Portcullis, Row::Alone),
        (Row::Introspection, Row::ExtAuthzHttp),
    ] {
        let mut line = vec![format!("{} / {}", ours.title(), theirs.title())];
        for (table, column) in &columns {
            let rps = |row: Row| report.cell(table, row.title(), column).map(Cell::rps).unwrap_or_default();
            line.push(
                ratio(&rps(ours), &rps(theirs)).map_or_else(void, |ratio| spread(ratio, |value| format!("{value:.2}"))),
            );
        }
        rows.push(line);
    }
    out.push_str("\n### Requests a second, as ratios\n\n");
    table(out, &["", "1", "64", "256", "h2 64", "64, with an upstream"], &rows);
}

fn rates(report: &Report, out: &mut String, name: &str, title: &str, rows: &[Row], columns: &[String]) {
    if !report.cells.iter().any(|cell| cell.table == name) {
        return;
    }
    let line = |row: &Row| {
        let cell = |column: &String| report.cell(name, row.title(), column);
        let rps = columns.iter().map(|column| {
            let rps = cell(column).map(Cell::rps).unwrap_or_default();
            Spread::of(&rps).map_or_else(void, |rps| spread(rps, whole))
        });
        let cpu = columns.iter().map(|column| {
            let of = |used: fn(&Sample) -> f64| cpu(cell(column), used);
            format!("{} + {}", of(|sample| sample.cpu.envoy_s), of(|sample| sample.cpu.service_s))
        });
        std::iter::once(row.title().to_owned()).chain(rps).chain(cpu).collect()
    };
    let lines: Vec<Vec<String>> = rows.iter().map(line).collect();
    let shown = columns.iter().map(|column| column.parse().map_or_else(|_| column.clone(), whole));
    let head: Vec<String> = std::iter::once("row".to_owned())
        .chain(shown.clone())
        .chain(shown.map(|column| format!("CPU {column}")))
        .collect();
    let head: Vec<&str> = head.iter().map(String::as_str).collect();
    let _ = write!(out, "\n### {title}\n\n");
    table(out, &head, &lines);
}

fn revocation(report: &Report, out: &mut String) {
    let Some(revocation) = &report.revocation else { return };
    let last = revocation.last_release_ms.map_or_else(void, |last| spread(last, |ms| format!("{ms:.2}")));
    let _ = write!(
        out,
        "\n### Revocation\n\n\
         - requests sent after the 200 of {} revocations, and released: {}\n\
         - from the 200 to when the last released request was sent, ms: {last}\n\
         - from the 200 to the cut of {} open streams, ms: p50 {:.2}, p99 {:.2}\n",
        revocation.revocations,
        revocation.released_after,
        revocation.streams,
        revocation.cut_p50_ms,
        revocation.cut_p99_ms
    );
}

fn service(report: &Report, out: &mut String) {
    let Some(service) = &report.service else { return };
    let rate = |rate: Option<Spread>| rate.map_or_else(void, |rate| spread(rate, whole));
    let _ = write!(
        out,
        "\n### The session service alone\n\n- judgements a second on one core, in process: {}\n",
        rate(service.judgements_per_s)
    );
    for minted in &service.minted {
        let per_s = rate(minted.per_s);
        let _ = writeln!(out, "- tokens for upstreams minted a second on one core, {}: {per_s}", minted.algorithm);
    }
    for wire in &service.wire {
        let cpu = wire.cpu_s.map_or_else(void, |cpu| format!("{:.2}", cpu.median));
        let _ = writeln!(
            out,
            "- checks a second over one connection, {} in flight: {}; CPU of the service for 100,000: {cpu} s",
            wire.in_flight,
            rate(wire.checks_per_s)
        );
    }
    let [few, half] = [service.with_audit.few_new, service.with_audit.half_new]
        .map(|part| part.map_or_else(void, |part| format!("{:.2}", part.median)));
    let _ = writeln!(
        out,
        "- checks a second with an audit log in a file, as a part of those without: {few} where one of {FEW_NEW} opens a session, {half} \
         where half of them do"
    );
    let _ = writeln!(
        out,
        "- {} sessions: {} MiB, {} bytes each; restart with them: {:.2} s",
        whole(service.sessions as f64),
        mib(service.sessions_bytes),
        service.sessions_bytes / service.sessions as u64,
        service.restart_s
    );
}

fn filter(report: &Report, out: &mut String) {
    let Some(filter) = &report.filter else { return };
    let [ours, noop] = [filter.envoy_bytes, filter.noop_bytes].map(|bytes| bytes.map(mib));
    let _ = write!(
        out,
        "\n### The memory of the filter, {} routes and {} tokens\n\n\
         - Envoy with one worker: {} MiB, with the filter that does nothing {} MiB; so two VMs and Envoy's own copy of the policy \
         hold {} MiB\n\
         - Envoy with two workers: {} MiB, with the filter that does nothing {} MiB; so the second worker's VM holds {} MiB\n",
        whole(filter.routes as f64),
        whole(filter.tokens as f64),
        ours[0],
        noop[0],
        mib(filter.first_bytes()),
        ours[1],
        noop[1],
        mib(filter.next_bytes()),
    );
}

fn targets(targets: &[Target], out: &mut String) {
    if targets.iter().all(|target| target.measured.is_none()) {
        return;
    }
    let line = |target: &Target| {
        let number = |value: f64| match target.unit {
            "×" => format!("{value:.2}"),
            _ => whole(value),
        };
        let unit = target.unit;
        let bound = match target.bound {
            Bound::AtLeast(bound) => format!("≥ {}{unit}", number(bound)),
            Bound::AtMost(bound) => format!("≤ {}{unit}", number(bound)),
        };
        let measured = target.measured.map_or_else(dash, |measured| spread(measured, number));
        let met = match target.met() {
            Some(true) => "met",
            Some(false) => "missed",
            None => "not measured",
        };
        vec![target.what.clone(), measured, bound, met.to_owned()]
    };
    let lines: Vec<Vec<String>> = targets.iter().map(line).collect();
    out.push_str("\n### What it must show\n\n");
    table(out, &["", "measured", "target", ""], &lines);
}

fn checked(report: &Report, row: Row) -> String {
    report.checks.iter().find(|check| check.row == row.title()).map_or_else(dash, |check| {
        let failed = if check.ok { "" } else { " FAILED" };
        format!("{} {} {}{failed}", check.good, check.forged, check.no_scope)
    })
}

fn median(cell: Option<&Cell>, figure: impl Fn(&Sample) -> Option<f64>, text: impl Fn(f64) -> String) -> String {
    let values = cell.map(|cell| cell.series(figure)).unwrap_or_default();
    Spread::of(&values).map_or_else(void, |spread| text(spread.median))
}

/// Seconds for 100,000 requests.
fn cpu(cell: Option<&Cell>, used: fn(&Sample) -> f64) -> String {
    median(cell, |sample| Some(used(sample) * 1e5 / sample.requests as f64), |seconds| format!("{seconds:.1}"))
}

fn spread(spread: Spread, text: impl Fn(f64) -> String) -> String {
    let Spread { median, min, max } = spread;
    if min == max {
        return text(median);
    }
    format!("{} ({}–{})", text(median), text(min), text(max))
}

fn void() -> String {
    "void".to_owned()
}

fn dash() -> String {
    "–".to_owned()
}

fn mib(bytes: u64) -> String {
    format!("{:.0}", bytes as f64 / MIB)
}

/// A whole number with thousands separators.
pub(crate) fn whole(value: f64) -> String {
    let digits = format!("{value:.0}");
    let mut out = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index) % 3 == 0 {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

fn table(out: &mut String, head: &[&str], rows: &[Vec<String>]) {
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column)).map(String::as_str).chain([head[column]]);
        cells.map(|cell| cell.chars().count()).max().unwrap_or_default()
    };
    let widths: Vec<usize> = (0..head.len()).map(width).collect();
    let mut line = |cells: &mut dyn Iterator<Item = &str>| {
        for (cell, width) in cells.zip(&widths) {
            let _ = write!(out, "| {cell:width$} ");
        }
        out.push_str("|\n");
    };
    line(&mut head.iter().copied());
    let dashes: Vec<String> = widths.iter().map(|width| "-".repeat(*width)).collect();
    line(&mut dashes.iter().map(String::as_str));
    for row in rows {
        line(&mut row.iter().map(String::as_str));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_set_apart() {
        for (value, text) in [(0.0, "0"), (999.0, "999"), (1_000.4, "1,000"), (1_234_567.0, "1,234,567")] {
            assert_eq!(whole(value), text);
        }
    }

    #[test]
    fn columns_are_aligned() {
        let mut out = String::new();
        table(&mut out, &["a", "b"], &[vec!["long".to_owned(), "×".to_owned()]]);
        assert_eq!(out, "| a    | b |\n| ---- | - |\n| long | × |\n");
    }

    #[test]
    fn a_void_cell_has_no_figures() {
        let cell = Cell {
            table: MAIN,
            row: String::new(),
            column: String::new(),
            samples: vec![Sample { rps: 1.0, ..Sample::default() }],
            void: Some("refused".to_owned()),
        };
        assert_eq!(median(Some(&cell), |sample| Some(sample.rps), whole), "void");
    }
}
