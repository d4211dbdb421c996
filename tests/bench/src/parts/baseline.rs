//! This build beside another one: what a warm and a cold request costs with each, in the same rounds.
//!
//! Each build has two Envoys, so that cold tokens do not evict warm ones from a cache.

use super::{
    cold::{self, CONNECTIONS, SESSIONS},
    rounds::{self, Plan},
    warm::TOKENS,
};
use crate::{
    build::Build,
    mint::list,
    report::Report,
    subject::{Bench, DIRECT, Load, ROUTES, Row, Subject},
};
use portcullis_tests::Algorithm;

pub(crate) const TABLE: &str = "baseline";
pub(crate) const ROWS: [&str; 2] = ["this build", "baseline"];
pub(crate) const WARM: &str = "warm";
pub(crate) const COLD: &str = "cold";

pub(crate) async fn measure(bench: &Bench, baseline: Build, report: &mut Report) {
    let workers = bench.options.workers();
    let lists = [(WARM, TOKENS, TOKENS), (COLD, cold::per_worker(Algorithm::ES256) * workers, SESSIONS)];
    let builds = [Build::current(), baseline];
    let mut subjects = Vec::new();
    for (column, tokens, sessions) in lists {
        let tokens = bench.mint.tokens(Algorithm::ES256, tokens, sessions);
        let list = list(bench.dir.path(), &format!("baseline-{column}"), &tokens, ROUTES);
        for (row, build) in ROWS.into_iter().zip(&builds) {
            let subject = Subject::start_build(bench, Row::Portcullis, build, ROUTES, workers).await;
            let mut check = subject.check.clone();
            check.row = format!("{row}, {column}");
            report.checks.push(check);
            if column == WARM {
                rounds::warm_up(&subject, &list).await;
            }
            subjects.push((row, column, list.clone(), subject));
        }
    }
    let mut plans = Vec::new();
    for (row, column, list, subject) in &subjects {
        let load = Load::Http1 { list: list.clone(), host: DIRECT, connections: CONNECTIONS };
        plans.push(Plan { row: (*row).to_owned(), column: (*column).to_owned(), subject, load });
    }
    let mut cells = rounds::measure(bench, TABLE, plans).await;
    for (row, _, _, subject) in subjects.iter().filter(|(_, column, ..)| *column == COLD) {
        let cold = cells.iter_mut().filter(|cell| cell.row == *row && cell.column == COLD);
        cold::void_if_known(subject, cold).await;
    }
    report.cells.extend(cells);
}
