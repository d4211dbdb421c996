//! The memory of the filter with many routes and a full token cache: Envoy's memory, less Envoy's memory with the
//! filter that does nothing. With one worker there are two VMs, the worker's and the main thread's, so this overstates
//! one worker's filter. The memory that a second worker adds is its true size.

use super::rounds;
use crate::{
    mint::list,
    report::{Cell, Filter, Report},
    subject::{Bench, Row, Subject},
};
use portcullis_tests::Algorithm;
use std::path::Path;

const ROUTES: usize = 10_000;
/// More than a worker's cache holds, with this many scopes each: what is reckoned for many short texts is to hold.
const TOKENS: usize = 15_000;
const SCOPES: usize = 100;

pub(crate) async fn measure(bench: &Bench, report: &mut Report) -> Filter {
    let scopes =
        (0..SCOPES).map(|number| format!("group-{number}")).fold("orders:read".to_owned(), |all, one| all + " " + &one);
    let tokens = bench.mint.tokens_with(Algorithm::ES256, TOKENS, TOKENS, |token| token.scopes(&scopes));
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
    if let Err(fault) = rounds::show(&subject, list, TOKENS, workers).await {
        let (row, column) = (row.title().to_owned(), format!("{workers} workers"));
        report.cells.push(Cell { table: "memory", row, column, samples: Vec::new(), void: Some(fault) });
    }
    subject.memory().0
}
