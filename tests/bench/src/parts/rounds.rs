//! Rounds: every cell is measured once before any is measured again, so that other load on the machine affects all alike.

use crate::{
    report::Cell,
    subject::{Bench, DIRECT, Load, Subject},
};
use std::{path::Path, time::Duration};

const WARM_UP: Duration = Duration::from_secs(1);
const WARM_UP_CONNECTIONS: usize = 64;
/// How often each token is shown, for each worker: nearly every worker then has seen nearly every token.
const CYCLES: usize = 3;
const TURNS_MAX: usize = 120;

/// A cell that is to be measured.
pub(crate) struct Plan<'a> {
    pub(crate) row: String,
    pub(crate) column: String,
    pub(crate) subject: &'a Subject,
    pub(crate) load: Load,
}

/// Measures the cells of a table.
pub(crate) async fn measure(bench: &Bench, table: &'static str, plans: Vec<Plan<'_>>) -> Vec<Cell> {
    let cell = |plan: &Plan<'_>| Cell {
        table,
        row: plan.row.clone(),
        column: plan.column.clone(),
        samples: Vec::new(),
        void: None,
    };
    let mut cells: Vec<Cell> = plans.iter().map(cell).collect();
    let mut order: Vec<usize> = (0..plans.len()).collect();
    for round in 1..=bench.options.rounds {
        eprintln!("  round {round} of {}", bench.options.rounds);
        for &index in &order {
            let (plan, cell) = (&plans[index], &mut cells[index]);
            if cell.void.is_some() {
                continue;
            }
            // Requests that were in flight when wrk stopped were not counted, but their tokens were used.
            let uncounted = plan.load.connections() as u64;
            let sent = cell.samples.iter().map(|sample| sample.requests + uncounted).sum();
            match plan.subject.measure(&plan.load, sent, bench.options.time()).await {
                Ok(sample) => cell.samples.push(sample),
                Err(fault) => cell.void = Some(fault),
            }
        }
        // Compared cells take turns at going first.
        order.reverse();
    }
    cells
}

/// Sends a list of tokens to a subject before it is measured. A fault will show in the measurement.
pub(crate) async fn warm_up(subject: &Subject, list: &Path) {
    let load = Load::Http1 { list: list.to_owned(), host: DIRECT, connections: WARM_UP_CONNECTIONS };
    let _ = subject.measure(&load, 0, WARM_UP).await;
}

/// Shows every worker of a subject nearly every one of the tokens in a list.
pub(crate) async fn show(subject: &Subject, list: &Path, tokens: usize, workers: usize) -> Result<(), String> {
    let load = Load::Http1 { list: list.to_owned(), host: DIRECT, connections: WARM_UP_CONNECTIONS };
    let mut sent = 0;
    for _ in 0..TURNS_MAX {
        sent += subject.measure(&load, sent, WARM_UP).await?.requests;
        if sent >= (CYCLES * tokens * workers) as u64 {
            return Ok(());
        }
    }
    Err(format!("only {sent} requests were answered"))
}
