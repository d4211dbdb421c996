//! Portcullis with few and with many routes, all of them requested.

use super::{
    rounds::{self, Plan},
    warm::TOKENS,
};
use crate::{
    mint::list,
    report::Report,
    subject::{Bench, DIRECT, Load, Row, Subject},
};
use portcullis_tests::Algorithm;

pub(crate) const TABLE: &str = "routes";
pub(crate) const COUNTS: [usize; 3] = [10, 1_000, 10_000];
const CONNECTIONS: usize = 64;

pub(crate) async fn measure(bench: &Bench, report: &mut Report) {
    let tokens = bench.mint.tokens(Algorithm::ES256, TOKENS, TOKENS);
    let mut subjects = Vec::new();
    for count in COUNTS {
        let subject = Subject::start(bench, Row::Portcullis, count, bench.options.workers()).await;
        subjects.push((count, list(bench.dir.path(), &format!("routes-{count}"), &tokens, count), subject));
    }
    let mut plans = Vec::new();
    for (count, list, subject) in &subjects {
        report.checks.push(subject.check.clone());
        rounds::warm_up(subject, list).await;
        let load = Load::Http1 { list: list.clone(), host: DIRECT, connections: CONNECTIONS };
        plans.push(Plan { row: subject.row.title().to_owned(), column: count.to_string(), subject, load });
    }
    report.cells.extend(rounds::measure(bench, TABLE, plans).await);
}
