//! What is measured: one file for each table.

mod baseline;
mod cold;
mod many_routes;
mod many_tokens;
mod memory;
mod revocation;
mod rounds;
mod service;
mod warm;

pub(crate) use baseline::{COLD as BASELINE_COLD, ROWS as BUILDS, TABLE as BASELINE, WARM as BASELINE_WARM};
pub(crate) use cold::{ALGORITHMS as COLD_ALGORITHMS, ROWS as COLD_ROWS, TABLE as COLD};
pub(crate) use many_routes::{COUNTS as ROUTE_COUNTS, TABLE as ROUTES};
pub(crate) use many_tokens::{COUNTS as TOKEN_COUNTS, TABLE as TOKENS};
pub(crate) use service::{FEW_NEW, IN_FLIGHT_MAX};
pub(crate) use warm::{BEHIND, BEHIND_CONNECTIONS, CONNECTIONS, H2, TABLE as MAIN};

use crate::{
    build::Build,
    options::{Options, Part, cores},
    plot,
    report::Report,
    subject::Bench,
    table, targets,
};
use std::{path::Path, process::ExitCode, time::Instant};

/// Measures, prints the tables, and writes `bench.json`, `bench.md` and `bench.svg`.
pub(crate) async fn run(options: Options) -> ExitCode {
    let start = Instant::now();
    let baseline = match options.baseline.as_deref().map(Build::in_dir).transpose() {
        Ok(baseline) => baseline,
        Err(fault) => {
            eprintln!("error: the baseline can't be used: {fault}");
            return ExitCode::FAILURE;
        }
    };
    let bench = Bench::open(options).await;
    let options = &bench.options;
    let mut report = Report {
        rounds: options.rounds,
        seconds: options.seconds,
        workers: options.workers(),
        cores: cores(),
        ..Report::default()
    };
    if let Some(baseline) = baseline {
        say("this build beside the baseline");
        baseline::measure(&bench, baseline, &mut report).await;
    }
    if options.does(Part::Main) {
        say("all rows with warm tokens");
        warm::measure(&bench, &mut report).await;
    }
    if options.does(Part::Cold) {
        say("cold tokens");
        cold::measure(&bench, &mut report).await;
    }
    if options.does(Part::Routes) {
        say("few and many routes");
        many_routes::measure(&bench, &mut report).await;
    }
    if options.does(Part::Tokens) {
        say("few and many live tokens");
        many_tokens::measure(&bench, &mut report).await;
    }
    if options.does(Part::Revocation) {
        say("revocation");
        report.revocation = isolated(&mut report.broken, "revocation", revocation::measure).await;
    }
    if options.does(Part::Service) {
        say("the session service alone");
        let (rounds, time) = (options.rounds, options.time());
        let measure = move || service::measure(rounds, time);
        report.service = isolated(&mut report.broken, "the session service alone", measure).await;
    }
    if options.does(Part::Memory) {
        say("the memory of the filter");
        report.filter = Some(memory::measure(&bench, &mut report).await);
    }
    report.targets = targets::of(&report);
    let text = table::all(&report);
    println!("\n{text}");
    write(&options.out, &report, &text);
    eprintln!("» {} s; the results are in {}", start.elapsed().as_secs(), options.out.display());
    let faults = report.faults();
    for fault in &faults {
        eprintln!("error: {fault}");
    }
    if faults.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn write(dir: &Path, report: &Report, text: &str) {
    std::fs::create_dir_all(dir).expect("the folder of the results can be made");
    let json = serde_json::to_string_pretty(report).expect("a report is JSON");
    let drawn = plot::svg(report);
    for (name, content) in
        [("bench.json", Some(json.as_str())), ("bench.md", Some(text)), ("bench.svg", drawn.as_deref())]
    {
        if let Some(content) = content {
            std::fs::write(dir.join(name), content).expect("a result can be written");
        }
    }
}

/// Runs an independent measurement. If it panics, the rest of the run is not lost.
async fn isolated<T, F>(broken: &mut Vec<String>, what: &str, measure: impl FnOnce() -> F + Send + 'static) -> Option<T>
where
    T: Send + 'static,
    F: Future<Output = T>,
{
    let runtime = tokio::runtime::Handle::current();
    let measured = tokio::task::spawn_blocking(move || runtime.block_on(measure())).await;
    if let Err(fault) = &measured {
        broken.push(format!("{what}: broke off: {fault}"));
    }
    measured.ok()
}

/// Progress goes to standard error, the tables to standard output.
fn say(what: &str) {
    eprintln!("» {what}");
}
