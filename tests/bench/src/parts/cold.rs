//! Cold tokens: each request has a token that its worker has never seen or has evicted.

use super::rounds::{self, Plan};
use crate::{
    mint::list,
    report::{Cell, Report},
    subject::{Bench, DIRECT, Load, ROUTES, Row, Subject},
};
use portcullis_tests::Algorithm;

pub(crate) const TABLE: &str = "cold";
pub(crate) const ALGORITHMS: [Algorithm; 2] = [Algorithm::ES256, Algorithm::RS256];
pub(crate) const ROWS: [Row; 4] = [Row::Alone, Row::Portcullis, Row::JwtAuthnUncached, Row::ExtAuthzGrpcUncached];
pub(super) const CONNECTIONS: usize = 64;
pub(super) const SESSIONS: usize = 1_000;
/// The share of requests whose token may be cached all the same.
const KNOWN_MAX: f64 = 0.01;

pub(crate) async fn measure(bench: &Bench, report: &mut Report) {
    let workers = bench.options.workers();
    let lists: Vec<_> = ALGORITHMS
        .into_iter()
        .map(|algorithm| {
            let count = per_worker(algorithm) * workers;
            eprintln!("  signing {count} tokens with {algorithm:?}");
            let tokens = bench.mint.tokens(algorithm, count, SESSIONS);
            (algorithm, list(bench.dir.path(), &algorithm.name(), &tokens, ROUTES))
        })
        .collect();
    let mut subjects = Vec::new();
    for row in ROWS {
        subjects.push(Subject::start(bench, row, ROUTES, workers).await);
    }
    let mut plans = Vec::new();
    for subject in &subjects {
        report.checks.push(subject.check.clone());
        for (algorithm, list) in &lists {
            let load = Load::Http1 { list: list.clone(), host: DIRECT, connections: CONNECTIONS };
            plans.push(Plan { row: subject.row.title().to_owned(), column: algorithm.name(), subject, load });
        }
    }
    let mut cells = rounds::measure(bench, TABLE, plans).await;
    for subject in subjects.iter().filter(|subject| subject.row == Row::Portcullis) {
        let ours = cells.iter_mut().filter(|cell| cell.row == subject.row.title());
        void_if_known(subject, ours).await;
    }
    report.cells.extend(cells);
}

/// Voids the cells of a subject that had more than a few of its tokens cached.
pub(super) async fn void_if_known<'a>(subject: &Subject, cells: impl Iterator<Item = &'a mut Cell>) {
    let (hits, misses) = subject.cache().await;
    if hits as f64 > KNOWN_MAX * misses as f64 {
        cells.for_each(|cell| cell.void = Some(format!("{hits} tokens were known, {misses} were not")));
    }
}

/// Tokens for each worker. A worker's cache of 32 MiB holds some 70,000 of them, and workers do not get quite the same share of
/// the connections. Fewer of those that take long to sign: they are not verified fast enough to come round again often.
pub(super) fn per_worker(algorithm: Algorithm) -> usize {
    if algorithm == Algorithm::RS256 { 45_000 } else { 100_000 }
}
