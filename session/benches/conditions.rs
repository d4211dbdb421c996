//! What conditions cost a judgement: `cargo bench -p portcullis-session --bench conditions`. The state of a check stream receives
//! messages as the service passes on those of a filter; all rows are measured in turns, and the ratios are those of the same turn.
#![expect(clippy::expect_used, clippy::print_stdout, reason = "a program that measures")]

use portcullis_conditions::Declared;
use portcullis_contract::wire::{Circumstances, FilterMessage, Hello, Place, Question, Route, SessionKey, Token};
use portcullis_session::{
    access::{Access, AccessTypes, Growth, When},
    audit::Audit,
    check_stream::{Answers, StreamState},
    clock::Clock,
    conditions::{ConditionSettings, Conditions, Mode},
    judge::Limits,
    metrics::Metrics,
    registry::{Enrolment, Registry, Terms, UndatedLogins},
    store::embedded::Embedded,
};
use rustix::time::{ClockId, clock_gettime};
use std::{fmt::Write, sync::Arc, time::Duration};

const SESSIONS: u32 = 10_000;
/// Questions in a message.
const BATCH: u32 = 64;
const ROUNDS: usize = 9;
/// Passes over all sessions that are one measurement.
const PASSES: u32 = 20;
/// Sessions of the measurement of memory: more than results are kept for.
const MANY: u32 = 200_000;
const HOUR_MS: u64 = 3_600_000;

/// A condition that the session decides.
const SETTLED: &str = r#"context.risk == "high" && resource.tags.contains("pii")"#;
/// Conditions that depend on the question.
const PLACE: &str = r#"!(context.place has country && ["CH", "DE", "AT"].contains(context.place.country))"#;
const ADDRESS: &str = r#"context.place has ip && context.place.ip.isInRange(ip("198.51.100.0/24"))"#;
const TIME: &str = r#"context.login_age > duration("2h")"#;

fn main() {
    let rows = [
        ("no conditions", Row::open("", SESSIONS)),
        ("1,000 conditions, nothing left", Row::open(&conditions(SETTLED, 1_000), SESSIONS)),
        ("1 condition left, about the country", Row::open(&conditions(PLACE, 1), SESSIONS)),
        ("1 condition left, about the address", Row::open(&conditions(ADDRESS, 1), SESSIONS)),
        ("1 condition left, about the time", Row::open(&conditions(TIME, 1), SESSIONS)),
        ("4 conditions left, about the country", Row::open(&conditions(PLACE, 4), SESSIONS)),
    ];
    compare(rows);
    memory("no conditions", "");
    memory("1 condition left", &conditions(PLACE, 1));
    memory("100 conditions left", &conditions(PLACE, 100));
}

fn conditions(when: &str, count: usize) -> String {
    let mut text = String::new();
    for n in 0..count {
        writeln!(text, "@id(\"c{n}\") forbid (principal, action, resource) when {{ {when} }};").expect("text");
    }
    text
}

/// Judges by all rows in turns, and prints what each costs, and how many judgements the first one makes of it.
fn compare<const N: usize>(mut rows: [(&str, Row); N]) {
    let mut times = vec![Vec::new(); N];
    for _ in 0..ROUNDS {
        for ((_, row), times) in rows.iter_mut().zip(&mut times) {
            times.push(row.judgement_ns());
        }
    }
    let median = |mut values: Vec<f64>| {
        values.sort_by(f64::total_cmp);
        values.get(values.len() / 2).copied().unwrap_or_default()
    };
    let none = times.first().cloned().unwrap_or_default();
    for ((name, _), times) in rows.iter().zip(&times) {
        let ratio = median(none.iter().zip(times).map(|(none, time)| none / time).collect());
        let more = median(none.iter().zip(times).map(|(none, time)| time - none).collect());
        println!("{:>7.0} ns  {:>+7.0} ns  judgements {ratio:.2}×  {name}", median(times.clone()), more);
    }
}

/// Prints what memory the process takes once it has judged a session each for many tokens.
fn memory(name: &str, policies: &str) {
    let before = resident_mib();
    let mut row = Row::open(policies, MANY);
    row.pass();
    println!("{:>4} MiB  {MANY} sessions, {name}", resident_mib().saturating_sub(before));
}

fn resident_mib() -> u64 {
    let text = std::fs::read_to_string("/proc/self/status").expect("the state of the process");
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("its memory");
    line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") / 1024
}

/// A stream with sessions of its own.
struct Row {
    state: StreamState,
    registry: Arc<Registry>,
    clock: Clock,
    sessions: u32,
    _folder: tempfile::TempDir,
}

impl Row {
    fn open(policies: &str, sessions: u32) -> Self {
        let folder = tempfile::tempdir().expect("a temporary directory");
        let store = Arc::new(Embedded::open(&folder.path().join("store")).expect("a store"));
        let limits = Limits { absolute_ms: Some(8 * HOUR_MS), idle_ms: Some(HOUR_MS / 2) };
        let access = Access { name: "interactive".to_owned(), limits, growth: Growth::default() };
        let access = AccessTypes::new([(When::default(), access)]);
        let terms = Terms { access, enrolment: Enrolment::FirstUse, undated_logins: UndatedLogins::Refuse };
        let (metrics, clock) = (Arc::new(Metrics::new().expect("metrics")), Clock::system());
        let audit = Arc::new(Audit::new(Arc::clone(&metrics), Clock::system()));
        let registry = Arc::new(Registry::new(terms, store, Arc::clone(&audit), Arc::clone(&metrics), Arc::default()));
        let asked = (!policies.is_empty()).then(|| {
            std::fs::write(folder.path().join("bench.cedar"), policies).expect("a file");
            let settings = ConditionSettings::load(folder.path(), Mode::Enforce, Declared::default());
            Arc::new(Conditions::start(settings.expect("conditions"), Arc::clone(&metrics), clock.now_ms()))
        });
        let state = StreamState::new(Arc::clone(&registry), audit, metrics, Arc::default()).judging_by(asked);
        let mut row = Self { state, registry, clock, sessions, _folder: folder };
        let now_ms = row.clock.now_ms();
        row.answer(hello());
        row.answer(FilterMessage {
            tokens: (0..sessions).map(|handle| token(handle, now_ms)).collect(),
            ..FilterMessage::default()
        });
        // The first pass opens the sessions and is not measured.
        row.pass();
        row
    }

    /// What a judgement takes of the CPU time of this thread: other programs do not count.
    fn judgement_ns(&mut self) -> f64 {
        let time: Duration = (0..PASSES).map(|_| self.pass()).sum();
        time.as_secs_f64() * 1e9 / f64::from(PASSES * self.sessions)
    }

    /// Asks about every session once. The time does not include writing the questions.
    fn pass(&mut self) -> Duration {
        let messages: Vec<_> = (0..self.sessions)
            .step_by(BATCH as usize)
            .map(|first| FilterMessage {
                questions: (first..self.sessions.min(first + BATCH))
                    .map(|handle| question(handle - first, handle))
                    .collect(),
                ..FilterMessage::default()
            })
            .collect();
        let start = cpu_time();
        for message in messages {
            std::hint::black_box(self.answer(message));
        }
        cpu_time() - start
    }

    /// Answers a message. The first questions about a session need a look-up on disk. All are released.
    fn answer(&mut self, message: FilterMessage) -> Answers {
        let now_ms = self.clock.now_ms();
        let mut answers = self.state.receive(message, now_ms).expect("answers");
        while !answers.look_ups.is_empty() {
            let look_up = |look_up| self.registry.look_up(&look_up).expect("a look-up");
            let found: Vec<_> = answers.look_ups.drain(..).map(look_up).collect();
            answers = self.state.looked_up(&found, now_ms);
        }
        assert!(answers.verdicts.iter().all(|verdict| verdict.condition.is_none()), "nothing is refused");
        answers
    }
}

fn cpu_time() -> Duration {
    Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).expect("it runs forward")
}

fn hello() -> FilterMessage {
    let route = Route {
        name: "customers.change".to_owned(),
        all_of: vec!["customers:write".to_owned()],
        tags: vec!["pii".to_owned()],
        ..Route::default()
    };
    let hello = Hello { filter_version: "bench".to_owned(), routes: vec![route], ..Hello::default() };
    FilterMessage { hello: Some(hello), ..FilterMessage::default() }
}

fn token(handle: u32, now_ms: u64) -> Token {
    Token {
        handle,
        issuer: "https://id.example.com".to_owned(),
        key_kind: SessionKey::Claim.into(),
        session_key: format!("5e1a7c30-0000-4000-8000-{handle:012}"),
        subject: format!("user-{handle:08}"),
        client_id: "web".to_owned(),
        scopes: vec!["customers:read".to_owned(), "customers:write".to_owned()],
        issued_at_ms: now_ms,
        expires_at_ms: now_ms + HOUR_MS,
        authenticated_at_ms: Some(now_ms),
        jti: format!("token-{handle}"),
        digest: handle.to_be_bytes().repeat(8),
        ..Token::default()
    }
}

/// A question as a filter asks it of a service with conditions.
fn question(id: u32, token: u32) -> Question {
    let place = Place { country: "CH".to_owned(), ..Place::default() };
    let circumstances =
        Circumstances { host: "api.example.com".to_owned(), place: Some(place), ..Circumstances::default() };
    Question {
        id,
        token,
        route: 0,
        method: "PUT".to_owned(),
        client_address: "192.0.2.17".to_owned(),
        user_agent_digest: Some(0x5bd1_e995),
        circumstances: Some(circumstances),
        ..Question::default()
    }
}
