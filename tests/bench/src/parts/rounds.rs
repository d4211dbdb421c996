//! Rounds: every cell is measured once before any is measured again, so that other load on the machine affects all alike.

use crate::{
    report::Cell,
    subject::{Bench, DIRECT, Load, Subject},
};
use std::{path::Path, time::Duration};

const WARM_UP: Duration = Duration::from_secs(1);
const WARM_UP_CONNECTIONS: usize = 64;

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
    for round in 1..=bench.options.rounds {
        eprintln!("  round {round} of {}", bench.options.rounds);
        for (plan, cell) in plans.iter().zip(&mut cells).filter(|(_, cell)| cell.void.is_none()) {
            // Requests that were in flight when wrk stopped were not counted, but their tokens were used.
            let uncounted = plan.load.connections() as u64;
            let sent = cell.samples.iter().map(|sample| sample.requests + uncounted).sum();
            match plan.subject.measure(&plan.load, sent, bench.options.time()).await {
                Ok(sample) => cell.samples.push(sample),
                Err(fault) => cell.void = Some(fault),
            }
        }
    }
    cells
}

/// Sends a list of tokens to a subject before it is measured. A fault will show in the measurement.
pub(crate) async fn warm_up(subject: &Subject, list: &Path) {
    let load = Load::Http1 { list: list.to_owned(), host: DIRECT, connections: WARM_UP_CONNECTIONS };
    let _ = subject.measure(&load, 0, WARM_UP).await;
}
