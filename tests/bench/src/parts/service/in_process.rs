//! Judgements in a second of CPU time, so that other programs on the core do not count: the state of a check stream
//! receives messages as the service passes on those that it has read from the network.

use super::filter::{hello, question, token};
use crate::stats::Spread;
use portcullis_contract::wire::FilterMessage;
use portcullis_session::{
    access::AccessTypes,
    access::{Access, Growth, When},
    audit::Audit,
    check_stream::{Answers, StreamState},
    clock::Clock,
    judge::Limits,
    metrics::Metrics,
    registry::{Enrolment, Registry, Terms, UndatedLogins},
    store::embedded::Embedded,
};
use rustix::time::{ClockId, clock_gettime};
use std::{sync::Arc, time::Duration};

const SESSIONS: u32 = 100_000;
/// Questions in a message.
const BATCH: u32 = 64;

pub(crate) fn measure(rounds: usize, time: Duration) -> Option<Spread> {
    let folder = tempfile::tempdir().expect("a temporary directory");
    let (mut stream, clock) = (Stream::open(folder.path()), Clock::system());
    stream.state.receive(hello(), clock.now_ms()).expect("hello");
    let described = FilterMessage { tokens: (0..SESSIONS).map(token).collect(), ..FilterMessage::default() };
    stream.state.receive(described, clock.now_ms()).expect("tokens");
    // The first pass opens the sessions and is not measured.
    pass(&mut stream, &clock);
    let rates: Vec<f64> = (0..rounds).map(|_| round(&mut stream, &clock, time)).collect();
    Spread::of(&rates)
}

fn round(stream: &mut Stream, clock: &Clock, time: Duration) -> f64 {
    let (mut count, mut took) = (0.0, Duration::ZERO);
    while took < time {
        took += pass(stream, clock);
        count += f64::from(SESSIONS);
    }
    count / took.as_secs_f64()
}

/// Asks about every session once. The time includes dropping the questions but not writing them.
fn pass(stream: &mut Stream, clock: &Clock) -> Duration {
    let messages: Vec<_> = (0..SESSIONS)
        .step_by(BATCH as usize)
        .map(|first| FilterMessage {
            questions: (first..SESSIONS.min(first + BATCH)).map(|handle| question(handle - first, handle)).collect(),
            ..FilterMessage::default()
        })
        .collect();
    let start = cpu_time();
    for message in messages {
        std::hint::black_box(stream.answer(message, clock.now_ms()));
    }
    cpu_time() - start
}

/// The CPU time of this thread.
fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::try_from(time).expect("it runs forward")
}

/// One stream, and the registry behind it.
struct Stream {
    state: StreamState,
    registry: Arc<Registry>,
}

impl Stream {
    fn open(folder: &std::path::Path) -> Self {
        let store = Arc::new(Embedded::open(folder).expect("a store"));
        let limits = Limits { absolute_ms: Some(8 * 3_600_000), idle_ms: Some(30 * 60_000) };
        let access = AccessTypes::new([(
            When::default(),
            Access { name: "interactive".to_owned(), limits, growth: Growth::default() },
        )]);
        let terms = Terms { access, enrolment: Enrolment::FirstUse, undated_logins: UndatedLogins::Refuse };
        let metrics = Arc::new(Metrics::new().expect("metrics"));
        let audit = Arc::new(Audit::new(Arc::clone(&metrics), Clock::system()));
        let registry = Registry::new(terms, store, Arc::clone(&audit), Arc::clone(&metrics), Arc::default());
        let registry = Arc::new(registry);
        let state = StreamState::new(Arc::clone(&registry), audit, metrics, Arc::default());
        Self { state, registry }
    }

    /// Answers a message. The first questions about a session need a look-up on disk.
    fn answer(&mut self, message: FilterMessage, now_ms: u64) -> Answers {
        let mut answers = self.state.receive(message, now_ms).expect("answers");
        while !answers.look_ups.is_empty() {
            let look_up = |look_up| self.registry.look_up(&look_up).expect("a look-up");
            let found: Vec<_> = answers.look_ups.drain(..).map(look_up).collect();
            answers = self.state.looked_up(&found, now_ms);
        }
        answers
    }
}
