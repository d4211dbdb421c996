//! Checks a second over one h2 connection to the release-built service, with messages as the filter sends them.

use super::filter::{Stream, question, token};
use crate::{build::Build, meter::cpu_s, report::Wire, stats::Spread};
use portcullis_contract::wire::FilterMessage;
use portcullis_tests::Service;
use std::time::{Duration, Instant};

/// Numbers of questions in flight: one for each request in a worker of Envoy.
const IN_FLIGHT: [usize; 3] = [1, 64, IN_FLIGHT_MAX];
pub(crate) const IN_FLIGHT_MAX: usize = 256;
const SESSIONS: u32 = 1_000;

pub(crate) async fn measure(rounds: usize, time: Duration) -> Vec<Wire> {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let service = Service::alone(&Build::current().service, dir.path()).await;
    let mut stream = Stream::open(&service).await;
    let tokens = (0..SESSIONS).map(token).collect();
    let questions = (0..SESSIONS).map(|handle| question(handle, handle)).collect();
    stream.ask(FilterMessage { tokens, questions, ..FilterMessage::default() }).await;
    let mut rates = IN_FLIGHT.map(|in_flight| (in_flight, Vec::new(), Vec::new()));
    for _ in 0..rounds {
        for (in_flight, checks, cpu) in &mut rates {
            let (rate, cpu_s) = round(&service, &mut stream, *in_flight as u32, time).await;
            checks.push(rate);
            cpu.push(cpu_s);
        }
    }
    rates
        .into_iter()
        .map(|(in_flight, checks, cpu)| Wire { in_flight, checks_per_s: Spread::of(&checks), cpu_s: Spread::of(&cpu) })
        .collect()
}

/// Checks a second, and the CPU seconds of the service for 100,000 of them.
async fn round(service: &Service, stream: &mut Stream, in_flight: u32, time: Duration) -> (f64, f64) {
    let (before, start) = (cpu_s(service.id()), Instant::now());
    let mut count = 0;
    while start.elapsed() < time {
        let questions = (0..in_flight).map(|id| question(id, (count + id) % SESSIONS)).collect();
        stream.ask(FilterMessage { questions, ..FilterMessage::default() }).await;
        count += in_flight;
    }
    let (rate, used) = (f64::from(count) / start.elapsed().as_secs_f64(), cpu_s(service.id()) - before);
    (rate, used * 1e5 / f64::from(count))
}
