//! The memory of the filter with many routes and a full cache of tokens: what Envoy holds, less what it holds with the
//! filter that does nothing. With one worker there are two VMs, the worker's and the main thread's, so that this is more
//! than one worker's filter can hold.

use crate::{
    mint::list,
    report::{Cell, Filter, Report},
    subject::{House, Load, Row, Subject},
};
use portcullis_tests::Algorithm;
use std::{path::Path, time::Duration};

const ROUTES: usize = 10_000;
/// As many as a worker's cache holds.
const TOKENS: usize = 10_000;
const CONNECTIONS: usize = 16;
/// How often each token is shown.
const CYCLES: u64 = 2;
const TURNS_MAX: usize = 60;

pub(crate) async fn measure(house: &House, report: &mut Report) -> Filter {
    let tokens = house.mint.tokens(Algorithm::ES256, TOKENS, TOKENS);
    let list = list(house.dir.path(), "memory", &tokens, ROUTES);
    let mut held = [0; 2];
    for (row, bytes) in [Row::Portcullis, Row::Noop].into_iter().zip(&mut held) {
        let subject = Subject::start(house, row, ROUTES, 1).await;
        report.checks.push(subject.check.clone());
        if let Err(fault) = show(&subject, &list).await {
            let (row, column) = (row.title().to_owned(), ROUTES.to_string());
            report.cells.push(Cell { table: "memory", row, column, samples: Vec::new(), void: Some(fault) });
        }
        *bytes = subject.memory().0;
    }
    let [envoy_bytes, noop_bytes] = held;
    Filter { routes: ROUTES, tokens: TOKENS, envoy_bytes, noop_bytes }
}

/// Shows every token of the list.
async fn show(subject: &Subject, list: &Path) -> Result<(), String> {
    let load = Load::Http1 { list: list.to_owned(), connections: CONNECTIONS };
    let mut sent = 0;
    for _ in 0..TURNS_MAX {
        sent += subject.measure(&load, sent, Duration::from_secs(1)).await?.requests;
        if sent >= CYCLES * TOKENS as u64 {
            return Ok(());
        }
    }
    Err(format!("only {sent} requests were answered"))
}
