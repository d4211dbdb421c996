//! The memory of the filter with many routes and a full token cache: Envoy's memory, less Envoy's memory with the
//! filter that does nothing. With one worker there are two VMs, the worker's and the main thread's, so this overstates
//! one worker's filter. The memory that a second worker adds is its true size.

use crate::{
    mint::list,
    report::{Cell, Filter, Report},
    subject::{Bench, DIRECT, Load, Row, Subject},
};
use portcullis_tests::Algorithm;
use std::{path::Path, time::Duration};

const ROUTES: usize = 10_000;
/// The capacity of a worker's cache.
const TOKENS: usize = 10_000;
const CONNECTIONS: usize = 16;
/// How often each token is sent, for each worker: often enough that nearly every worker has seen nearly every token.
const CYCLES: usize = 3;
const TURNS_MAX: usize = 60;

pub(crate) async fn measure(bench: &Bench, report: &mut Report) -> Filter {
    let tokens = bench.mint.tokens(Algorithm::ES256, TOKENS, TOKENS);
    let list = list(bench.dir.path(), "memory", &tokens, ROUTES);
    let mut filter = Filter { routes: ROUTES, tokens: TOKENS, envoy_bytes: [0; 2], noop_bytes: [0; 2] };
    for workers in [1, 2] {
        filter.envoy_bytes[workers - 1] = held(bench, report, Row::Portcullis, workers, &list).await;
        filter.noop_bytes[workers - 1] = held(bench, report, Row::Noop, workers, &list).await;
    }
    filter
}

async fn held(bench: &Bench, report: &mut Report, row: Row, workers: usize, list: &Path) -> u64 {
    let subject = Subject::start(bench, row, ROUTES, workers).await;
    report.checks.push(subject.check.clone());
    if let Err(fault) = show(&subject, list, workers).await {
        let (row, column) = (row.title().to_owned(), format!("{workers} workers"));
        report.cells.push(Cell { table: "memory", row, column, samples: Vec::new(), void: Some(fault) });
    }
    subject.memory().0
}

/// Sends every token of the list.
async fn show(subject: &Subject, list: &Path, workers: usize) -> Result<(), String> {
    let load = Load::Http1 { list: list.to_owned(), host: DIRECT, connections: CONNECTIONS };
    let mut sent = 0;
    for _ in 0..TURNS_MAX {
        sent += subject.measure(&load, sent, Duration::from_secs(1)).await?.requests;
        if sent >= (CYCLES * TOKENS * workers) as u64 {
            return Ok(());
        }
    }
    Err(format!("only {sent} requests were answered"))
}
