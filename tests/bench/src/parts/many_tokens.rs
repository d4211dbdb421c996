//! Portcullis with few and with many live tokens, which a worker's cache holds. Each number has an Envoy of its own, so that
//! none uses a cache that another has filled.

use super::rounds::{self, Plan};
use crate::{
    mint::list,
    report::Report,
    subject::{Bench, DIRECT, Load, ROUTES, Row, Subject},
};
use portcullis_tests::Algorithm;

pub(crate) const TABLE: &str = "tokens";
pub(crate) const COUNTS: [usize; 3] = [1, 1_000, 100_000];
const CONNECTIONS: usize = 64;

pub(crate) async fn measure(bench: &Bench, report: &mut Report) {
    let mut subjects = Vec::new();
    for count in COUNTS {
        let tokens = bench.mint.tokens(Algorithm::ES256, count, count);
        let list = list(bench.dir.path(), &format!("tokens-{count}"), &tokens, ROUTES);
        let subject = Subject::start(bench, Row::Portcullis, ROUTES, bench.options.workers()).await;
        subjects.push((count, list, subject));
    }
    let (mut plans, mut shown) = (Vec::new(), Vec::new());
    for (count, list, subject) in &subjects {
        report.checks.push(subject.check.clone());
        shown.push(rounds::show(subject, list, *count, bench.options.workers()).await);
        let load = Load::Http1 { list: list.clone(), host: DIRECT, connections: CONNECTIONS };
        plans.push(Plan { row: subject.row.title().to_owned(), column: count.to_string(), subject, load });
    }
    let mut cells = rounds::measure(bench, TABLE, plans).await;
    for (cell, shown) in cells.iter_mut().zip(shown) {
        cell.void = cell.void.take().or(shown.err());
    }
    report.cells.extend(cells);
}
