//! The main table: all rows with warm tokens, where Envoy answers itself. Then the same rows with an
//! upstream.

use super::rounds::{self, Plan};
use crate::{
    mint::{list, path},
    report::{Memory, Report},
    subject::{Bench, DIRECT, Load, ROUTES, Row, Subject, UPSTREAM},
};
use portcullis_tests::Algorithm;

pub(crate) const TABLE: &str = "main";
pub(crate) const BEHIND: &str = "upstream";
pub(crate) const BEHIND_CONNECTIONS: usize = 64;
pub(crate) const CONNECTIONS: [usize; 3] = [1, 64, 256];
pub(crate) const H2: &str = "h2";
const H2_CONNECTIONS: usize = 64;
pub(crate) const TOKENS: usize = 1_000;

pub(crate) async fn measure(bench: &Bench, report: &mut Report) {
    let tokens = bench.mint.tokens(Algorithm::ES256, TOKENS, TOKENS);
    let list = list(bench.dir.path(), "main", &tokens, ROUTES);
    let mut subjects = Vec::new();
    for row in Row::MAIN {
        subjects.push(Subject::start(bench, row, ROUTES, bench.options.workers()).await);
    }
    for subject in &subjects {
        report.checks.push(subject.check.clone());
        rounds::warm_up(subject, &list).await;
    }
    // Cells that are compared are measured consecutively: all rows of a column, then the next column.
    let column = |name: &str, load: Load| {
        let plan =
            |subject| Plan { row: Subject::title(subject), column: name.to_owned(), subject, load: load.clone() };
        subjects.iter().map(plan).collect::<Vec<_>>()
    };
    let h1 = |host, connections| Load::Http1 { list: list.clone(), host, connections };
    let h2 = Load::Http2 { path: path(0, ROUTES), token: tokens[0].clone(), connections: H2_CONNECTIONS };
    let mut plans: Vec<_> =
        CONNECTIONS.iter().flat_map(|count| column(&count.to_string(), h1(DIRECT, *count))).collect();
    plans.extend(column(H2, h2));
    report.cells.extend(rounds::measure(bench, TABLE, plans).await);
    let behind = column(&BEHIND_CONNECTIONS.to_string(), h1(UPSTREAM, BEHIND_CONNECTIONS));
    report.cells.extend(rounds::measure(bench, BEHIND, behind).await);
    for subject in subjects {
        let (envoy_bytes, service_bytes) = subject.memory();
        report.memory.push(Memory { row: subject.title(), envoy_bytes, service_bytes });
    }
}
