//! Judgements in a second of CPU time, so that other programs on the core do not count: the desk of a check stream is given messages, as the service gives it those that it has
//! read from the network.

use super::filter::{hello, question, token};
use crate::stats::Spread;
use portcullis_session::{
    access::AccessTypes,
    access::{Access, When},
    audit::Audit,
    book::{Book, Enrolment},
    checks::desk::Desk,
    clock::Clock,
    judge::Limits,
    metrics::Metrics,
    store::embedded::Embedded,
    wire::FilterMessage,
};
use rustix::time::{ClockId, clock_gettime};
use std::{sync::Arc, time::Duration};

const SESSIONS: u32 = 100_000;
/// Questions in a message.
const BATCH: u32 = 64;

pub(crate) fn measure(rounds: usize, time: Duration) -> Option<Spread> {
    let folder = tempfile::tempdir().expect("a temporary directory");
    let (mut desk, clock) = (desk(folder.path()), Clock::system());
    desk.read(hello(), clock.now_ms()).expect("hello");
    let told = FilterMessage { tokens: (0..SESSIONS).map(token).collect(), ..FilterMessage::default() };
    desk.read(told, clock.now_ms()).expect("tokens");
    // The first pass opens the sessions and is not measured.
    pass(&mut desk, &clock);
    let rates: Vec<f64> = (0..rounds).map(|_| round(&mut desk, &clock, time)).collect();
    Spread::of(&rates)
}

fn round(desk: &mut Desk, clock: &Clock, time: Duration) -> f64 {
    let (mut count, mut took) = (0.0, Duration::ZERO);
    while took < time {
        took += pass(desk, clock);
        count += f64::from(SESSIONS);
    }
    count / took.as_secs_f64()
}

/// Asks about every session once. The time includes dropping the questions but not writing them.
fn pass(desk: &mut Desk, clock: &Clock) -> Duration {
    let messages: Vec<_> = (0..SESSIONS)
        .step_by(BATCH as usize)
        .map(|first| FilterMessage {
            questions: (first..SESSIONS.min(first + BATCH)).map(|handle| question(handle - first, handle)).collect(),
            ..FilterMessage::default()
        })
        .collect();
    let start = cpu_time();
    for message in messages {
        let answers = desk.read(message, clock.now_ms()).expect("answers");
        std::hint::black_box(answers);
    }
    cpu_time() - start
}

/// The CPU time of this thread.
fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::try_from(time).expect("it runs forward")
}

fn desk(folder: &std::path::Path) -> Desk {
    let store = Arc::new(Embedded::open(folder).expect("a store"));
    let limits = Limits { absolute_ms: Some(8 * 3_600_000), idle_ms: Some(30 * 60_000) };
    let access = AccessTypes::new([(When::default(), Access { name: "interactive".to_owned(), limits })]);
    let audit = Arc::new(Audit::new(Metrics::new().expect("metrics")));
    Desk::new(Arc::new(Book::new(access, Enrolment::FirstUse, store, audit)))
}
