//! Two clocks: setting the wall clock neither shortens nor extends a wait, and without it no token is trusted.

use super::*;

/// `ms` after the start by the monotonic clock, when the wall clock is set to differ by this much.
fn set(ms: u64, by_ms: i64) -> Now {
    Now { wall_ms: NOW_MS.checked_add(ms).and_then(|ms| ms.checked_add_signed(by_ms)), instant: Monotonic(NOW_MS + ms) }
}

/// How far the wall clock is set, back and ahead. The tokens of these tests are good at all of these times.
const STEPS_MS: [i64; 3] = [-20_000, 0, 20_000];

fn codes(due: &[Due]) -> Vec<(ContextId, &'static str)> {
    due.iter().map(|(context, step)| (*context, code(step))).collect()
}

impl Bench {
    fn arrives(&mut self, context: ContextId, path: &str, token: &str, now: Now) -> Step {
        let headers = [(":method", "GET"), (":path", path), (":authority", "api.example")];
        let mut headers: Vec<_> =
            headers.map(|(name, value)| (name.to_owned(), value.as_bytes().to_vec())).into_iter().collect();
        headers.push(("authorization".to_owned(), format!("Bearer {token}").into_bytes()));
        self.gate.arrive(context, &Head::read(&headers), |_| None, now)
    }

    fn sent_at(&mut self, now: Now) -> wire::FilterMessage {
        match self.gate.act(now.instant) {
            Some(Act::Send { message, .. }) => wire::FilterMessage::decode(message.as_slice()).expect("a message"),
            other => panic!("nothing was sent: {other:?}"),
        }
    }

    fn says(&mut self, message: &wire::ServiceMessage, now: Now) -> Vec<Due> {
        self.gate.message(STREAM, &message.encode_to_vec(), now)
    }
}

fn active(id: u32) -> wire::ServiceMessage {
    let verdict = wire::Verdict { id, outcome: wire::Outcome::Active.into(), ..Default::default() };
    wire::ServiceMessage { verdicts: vec![verdict], received: true, ..Default::default() }
}

#[test]
fn a_question_times_out_at_its_timeout_however_the_wall_clock_is_set() {
    for by_ms in STEPS_MS {
        let mut bench = Bench::with_keys("enforce");
        let token = bench.token("read write");
        assert_eq!(code(&bench.arrives(1, "/both", &token, set(0, 0))), "wait");
        bench.sent_at(set(0, by_ms));
        assert_eq!(codes(&bench.gate.tick(set(199, by_ms))), [], "{by_ms}");
        assert_eq!(codes(&bench.gate.tick(set(200, by_ms))), [(1, "session_unavailable")], "{by_ms}");
    }
}

#[test]
fn a_request_waits_for_keys_as_long_as_it_may_however_the_wall_clock_is_set() {
    for by_ms in STEPS_MS {
        let mut bench = Bench::new("enforce");
        let token = bench.token("read write");
        assert_eq!(code(&bench.arrives(1, "/both", &token, set(0, 0))), "wait");
        assert_eq!(codes(&bench.gate.tick(set(199, by_ms))), [], "{by_ms}");
        assert_eq!(codes(&bench.gate.tick(set(200, by_ms))), [(1, "keys_unavailable")], "{by_ms}");
    }
}

#[test]
fn an_open_request_is_followed_and_cut_on_time_however_the_wall_clock_is_set() {
    for by_ms in STEPS_MS {
        let mut bench = Bench::with_keys("enforce");
        let token = bench.token("read write");
        bench.arrives(1, "/both", &token, set(0, 0));
        let id = bench.sent_at(set(0, 0)).questions[0].id;
        assert_eq!(codes(&bench.says(&active(id), set(0, by_ms))), [(1, "released")], "{by_ms}");
        bench.gate.tick(set(19, by_ms));
        assert_eq!(bench.gate.act(set(19, by_ms).instant), None, "{by_ms}");
        bench.gate.tick(set(20, by_ms));
        let follow = bench.sent_at(set(20, by_ms)).follows[0].id;
        // The service says when the session ends, and then nothing more about it.
        let alive = wire::Verdict { remaining_ms: Some(500), ..active(follow).verdicts.remove(0) };
        bench.says(&wire::ServiceMessage { followed: vec![alive], ..Default::default() }, set(30, by_ms));
        bench.beat(set(1_500, by_ms));
        assert_eq!(codes(&bench.gate.tick(set(1_529, by_ms))), [], "{by_ms}");
        assert_eq!(codes(&bench.gate.tick(set(1_630, by_ms))), [(1, "cut")], "{by_ms}");
    }
}

#[test]
fn silence_cuts_an_open_request_after_the_lease_however_the_wall_clock_is_set() {
    for by_ms in STEPS_MS {
        let mut bench = Bench::with_keys("enforce");
        bench.open(1, "read write", "/both");
        bench.gate.tick(set(50, by_ms));
        bench.beat(set(1_000, by_ms));
        assert_eq!(codes(&bench.gate.tick(set(2_999, by_ms))), [], "{by_ms}");
        assert_eq!(codes(&bench.gate.tick(set(3_000, by_ms))), [(1, "cut")], "{by_ms}");
    }
}

#[test]
fn grace_lasts_as_long_as_it_does_however_the_wall_clock_is_set() {
    for by_ms in STEPS_MS {
        for (ms, expected) in [(29_000, "released"), (30_001, "session_unavailable")] {
            let mut bench = Bench::with_keys("enforce");
            let token = bench.token("read");
            bench.arrives(1, "/grace", &token, set(0, 0));
            let id = bench.sent_at(set(0, 0)).questions[0].id;
            bench.says(&active(id), set(0, 0));
            bench.gate.gone(1);
            bench.gate.closed(STREAM, set(0, by_ms));
            assert_eq!(bench.gate.act(set(1_000, by_ms).instant), Some(Act::Open));
            bench.gate.opened(None, set(1_000, by_ms).instant);
            let step = bench.arrives(2, "/grace", &token, set(ms, by_ms));
            assert_eq!(code(&step), expected, "{ms} {by_ms}");
        }
    }
}

#[test]
fn a_token_expires_by_the_wall_clock() {
    let mut bench = Bench::with_keys("enforce");
    let token = bench.token("read write");
    for (by_ms, expected) in [(329_999, "wait"), (330_000, "token_expired")] {
        assert_eq!(code(&bench.arrives(1, "/both", &token, set(0, by_ms))), expected);
        bench.gate.gone(1);
    }
}

#[test]
fn a_wall_clock_that_cannot_be_read_refuses_every_token_and_cuts_nothing() {
    let blind = |ms| Now { wall_ms: None, instant: Monotonic(NOW_MS + ms) };
    let mut bench = Bench::with_keys("enforce");
    let token = bench.token("read write");
    bench.open(1, "read write", "/both");
    // The token is cached by now.
    for path in ["/both", "/read", "/grace"] {
        assert_eq!(code(&bench.arrives(2, path, &token, blind(10))), "session_unavailable", "{path}");
        bench.gate.gone(2);
    }
    assert_eq!(bench.gate.act(blind(10).instant), None, "nobody is asked");
    assert_eq!(codes(&bench.gate.tick(blind(100))), []);
    assert_eq!(code(&bench.arrives(3, "/open", &token, blind(100))), "released", "a public route needs no clock");
}

#[test]
fn a_verdict_at_a_time_that_cannot_be_read_releases_nobody() {
    let mut bench = Bench::with_keys("enforce");
    let token = bench.token("read write");
    bench.arrives(1, "/both", &token, set(0, 0));
    let id = bench.sent_at(set(0, 0)).questions[0].id;
    let blind = Now { wall_ms: None, ..set(10, 0) };
    assert_eq!(codes(&bench.says(&active(id), blind)), [(1, "session_unavailable")]);
}
