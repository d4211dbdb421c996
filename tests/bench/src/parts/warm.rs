//! The main table: all rows, with tokens that they have seen before.

use super::rounds::{self, Plan};
use crate::{
    mint::{list, path},
    report::{Memory, Report},
    subject::{House, Load, ROUTES, Row, Subject},
};
use portcullis_tests::Algorithm;

pub(crate) const TABLE: &str = "main";
pub(crate) const CONNECTIONS: [usize; 3] = [1, 64, 256];
pub(crate) const H2: &str = "h2";
const H2_CONNECTIONS: usize = 64;
pub(crate) const TOKENS: usize = 1_000;

pub(crate) async fn measure(house: &House, report: &mut Report) {
    let tokens = house.mint.tokens(Algorithm::ES256, TOKENS, TOKENS);
    let list = list(house.dir.path(), "main", &tokens, ROUTES);
    let mut subjects = Vec::new();
    for row in Row::MAIN {
        subjects.push(Subject::start(house, row, ROUTES, house.options.workers()).await);
    }
    let mut plans = Vec::new();
    for subject in &subjects {
        report.checks.push(subject.check.clone());
        rounds::warm_up(subject, &list).await;
        let plan = |column: String, load| Plan { row: subject.row.title().to_owned(), column, subject, load };
        for connections in CONNECTIONS {
            plans.push(plan(connections.to_string(), Load::Http1 { list: list.clone(), connections }));
        }
        let load = Load::Http2 { path: path(0, ROUTES), token: tokens[0].clone(), connections: H2_CONNECTIONS };
        plans.push(plan(H2.to_owned(), load));
    }
    report.cells.extend(rounds::measure(house, TABLE, plans).await);
    for subject in subjects {
        let (envoy_bytes, service_bytes) = subject.memory();
        report.memory.push(Memory { row: subject.row.title().to_owned(), envoy_bytes, service_bytes });
    }
}
