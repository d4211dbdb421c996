//! A worker against the smallest session service that keeps its promise, over streams that delay, lose and outlive what is on
//! them: once the service has answered a revocation, no request that arrives afterwards is released.
//!
//! The service counts a lease from when it reads the question or the renewal, and waits for nothing but acknowledgements and
//! the ends of leases. It has no margin, so that a lease that lives too long here is found.

use super::*;
use crate::authorize::fixtures;
use serde_json::json;
use std::collections::{BTreeMap, HashMap as Map, VecDeque};

const LEASE_MS: u64 = 100;
const SESSIONS: usize = 3;
const STEPS: u32 = 600;
const RUNS: u64 = 400;

/// Numbers that look random and are the same in every run.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % end
    }

    fn pick(&mut self, end: usize) -> usize {
        usize::try_from(self.below(u64::try_from(end).unwrap())).unwrap()
    }
}

/// A lease, as the service counts it.
#[derive(Debug, Clone, Copy)]
struct Counted {
    session: usize,
    until: u64,
    take_back: Option<u32>,
}

/// One stream, with what is on its way.
#[derive(Default)]
struct Stream {
    up: VecDeque<Vec<u8>>,
    down: VecDeque<wire::ServiceMessage>,
    /// Verdicts that wait for the service's disk.
    waiting: Vec<wire::Verdict>,
    sessions: Map<u32, usize>,
    counted: BTreeMap<u32, Counted>,
    take_backs: u32,
    /// What is sent from now on is lost.
    is_cut: bool,
    /// Whether each side takes it for open.
    filter: bool,
    service: bool,
}

struct World {
    bench: Bench,
    tokens: Vec<String>,
    random: Numbers,
    time: u64,
    /// By how much the monotonic clock of the filter's machine is behind, and its wall clock ahead.
    stood_still: u64,
    wall_ahead: i64,
    streams: BTreeMap<u32, Stream>,
    next_stream: u32,
    is_revoked: [bool; SESSIONS],
    is_final: [bool; SESSIONS],
    /// Requests that wait, by whether they arrived after the answer.
    requests: Map<ContextId, (usize, bool)>,
    next_context: ContextId,
    by_lease: u64,
    finals: u64,
}

impl World {
    fn new(bench: Bench, tokens: Vec<String>, seed: u64) -> Self {
        Self {
            bench,
            tokens,
            random: Numbers(seed),
            time: 0,
            stood_still: 0,
            wall_ahead: 0,
            streams: BTreeMap::new(),
            next_stream: STREAM + 1,
            is_revoked: [false; SESSIONS],
            is_final: [false; SESSIONS],
            requests: Map::new(),
            next_context: 1,
            by_lease: 0,
            finals: 0,
        }
    }

    fn now(&self) -> Now {
        Now {
            wall_ms: (NOW_MS + self.time).checked_add_signed(self.wall_ahead),
            instant: Monotonic(NOW_MS + self.time - self.stood_still),
        }
    }

    fn step(&mut self) {
        match self.random.below(100) {
            0..30 => self.request(),
            30..50 => self.service_reads(),
            50..70 => self.filter_reads(),
            70..86 => self.pass(),
            86..92 => self.flush(),
            92 => self.revoke(),
            93 => self.lose(),
            94 => self.drain(),
            95 => self.set_clocks(),
            _ => self.beat(),
        }
        self.answer();
    }

    /// Carries out what the worker wants.
    fn pump(&mut self) {
        let now = self.now().instant;
        while let Some(act) = self.bench.gate.act(now) {
            match act {
                Act::Open => {
                    let id = self.next_stream;
                    self.next_stream += 1;
                    self.streams.insert(id, Stream { filter: true, service: true, ..Stream::default() });
                    self.bench.gate.opened(Some(id), now);
                }
                Act::Send { stream, message } => {
                    let stream = self.streams.get_mut(&stream).unwrap();
                    assert!(stream.filter, "sent on a stream that was left");
                    if !stream.is_cut {
                        stream.up.push_back(message);
                    }
                }
                Act::Close { stream } | Act::Cancel { stream } => self.streams.get_mut(&stream).unwrap().filter = false,
            }
        }
    }

    fn settle(&mut self, due: Vec<Due>) {
        for (context, step) in due {
            if let Step::Release(_) = &step
                && let Some((session, is_late)) = self.requests.get(&context)
            {
                assert!(!is_late, "a request of session {session} was released late");
            }
            if !matches!(step, Step::Wait) {
                self.requests.remove(&context);
                self.bench.gate.gone(context);
            }
        }
        self.pump();
    }

    fn request(&mut self) {
        let session = self.random.pick(SESSIONS);
        let context = self.next_context;
        self.next_context += 1;
        let path = ["/me", "/read"][self.random.pick(2)];
        let token = self.tokens[session].clone();
        let headers = [(":method", "GET"), (":path", path), (":authority", "api.example")]
            .map(|(name, value)| (name.to_owned(), value.as_bytes().to_vec()));
        let authorization = ("authorization".to_owned(), format!("Bearer {token}").into_bytes());
        let headers: Vec<_> = headers.into_iter().chain([authorization]).collect();
        let step = self.bench.gate.arrive(context, &Head::read(&headers), address, self.now());
        if let Step::Release(permit) = &step {
            self.by_lease += u64::from(permit.is_leased);
        }
        self.requests.insert(context, (session, self.is_final[session]));
        self.settle(vec![(context, step)]);
    }

    fn open_streams(&self, is_open: impl Fn(&Stream) -> bool) -> Vec<u32> {
        self.streams.iter().filter(|(_, stream)| is_open(stream)).map(|(id, _)| *id).collect()
    }

    fn service_reads(&mut self) {
        let readable = self.open_streams(|stream| stream.service && !stream.up.is_empty());
        if readable.is_empty() {
            return;
        }
        let id = readable[self.random.pick(readable.len())];
        let Some(message) = self.streams.get_mut(&id).and_then(|stream| stream.up.pop_front()) else { return };
        let message = wire::FilterMessage::decode(message.as_slice()).unwrap();
        let (until, time) = (self.time + LEASE_MS, self.time);
        let stream = self.streams.get_mut(&id).unwrap();
        let mut answer = wire::ServiceMessage { received: !message.questions.is_empty(), ..Default::default() };
        if message.hello.is_some() {
            let capabilities = [wire::BEAT, wire::LEASES].map(str::to_owned).to_vec();
            answer.welcome = Some(wire::Welcome { capabilities, ..Default::default() });
        }
        for token in message.tokens {
            stream.sessions.insert(token.handle, token.session_key.strip_prefix('s').unwrap().parse().unwrap());
        }
        for question in message.questions {
            let session = stream.sessions[&question.token];
            let outcome = if self.is_revoked[session] { wire::Outcome::Revoked } else { wire::Outcome::Active };
            let is_given = !self.is_revoked[session] && question.lease.is_some();
            if let Some(lease) = question.lease.filter(|_| is_given) {
                let before = stream.counted.insert(lease, Counted { session, until, take_back: None });
                assert!(before.is_none_or(|before| before.until <= time), "the id is in use");
            }
            let lease_ms = is_given.then_some(LEASE_MS);
            let verdict = wire::Verdict { id: question.id, outcome: outcome.into(), lease_ms, ..Default::default() };
            match self.random.below(4) {
                0 => stream.waiting.push(verdict),
                _ => answer.verdicts.push(verdict),
            }
        }
        if let Some(renewal) = message.renewal {
            stream.counted.retain(|id, _| !renewal.ended.contains(id));
            let mut renewed = wire::Renewed::default();
            for (lease, counted) in stream.counted.iter_mut().filter(|(_, counted)| time < counted.until) {
                match self.is_revoked[counted.session] {
                    true => renewed.refused.push(*lease),
                    false => counted.until = until,
                }
            }
            answer.renewed = Some(renewed);
        }
        for take_back in message.taken_back {
            stream.counted.retain(|_, counted| counted.take_back != Some(take_back));
        }
        if answer != wire::ServiceMessage::default() {
            Self::send(stream, answer);
        }
    }

    fn send(stream: &mut Stream, message: wire::ServiceMessage) {
        if !stream.is_cut {
            stream.down.push_back(message);
        }
    }

    /// What has waited for the disk is sent.
    fn flush(&mut self) {
        for stream in self.streams.values_mut().filter(|stream| stream.service) {
            let verdicts = std::mem::take(&mut stream.waiting);
            if !verdicts.is_empty() {
                Self::send(stream, wire::ServiceMessage { verdicts, ..Default::default() });
            }
        }
    }

    fn filter_reads(&mut self) {
        let readable = self.open_streams(|stream| stream.filter && !stream.down.is_empty());
        if readable.is_empty() {
            return;
        }
        let id = readable[self.random.pick(readable.len())];
        let Some(message) = self.streams.get_mut(&id).and_then(|stream| stream.down.pop_front()) else { return };
        let due = self.bench.gate.message(id, &message.encode_to_vec(), self.now());
        self.settle(due);
    }

    fn pass(&mut self) {
        self.time += 1 + self.random.below(LEASE_MS / 4);
        let due = self.bench.gate.tick(self.now());
        self.settle(due);
    }

    fn revoke(&mut self) {
        let session = self.random.pick(SESSIONS);
        if std::mem::replace(&mut self.is_revoked[session], true) {
            return;
        }
        for stream in self.streams.values_mut() {
            stream.take_backs += 1;
            let id = stream.take_backs;
            let alive = stream.counted.iter_mut();
            let alive = alive.filter(|(_, counted)| counted.session == session && self.time < counted.until);
            let leases: Vec<u32> = alive
                .map(|(lease, counted)| {
                    counted.take_back = Some(id);
                    *lease
                })
                .collect();
            if !leases.is_empty() && stream.service {
                let take_backs = vec![wire::TakeBack { id, leases }];
                Self::send(stream, wire::ServiceMessage { take_backs, ..Default::default() });
            }
        }
    }

    /// A revocation is answered as soon as none of its leases is counted any more, whatever has become of their streams.
    fn answer(&mut self) {
        for session in 0..SESSIONS {
            let counted = self.streams.values().flat_map(|stream| stream.counted.values());
            let is_over = |counted: &Counted| counted.session != session || counted.until <= self.time;
            if self.is_revoked[session] && !self.is_final[session] && counted.into_iter().all(is_over) {
                self.is_final[session] = true;
                self.finals += 1;
            }
        }
    }

    /// A connection breaks, or one side takes it for broken, or only the filter learns of it.
    fn lose(&mut self) {
        let open = self.open_streams(|stream| stream.filter);
        if open.is_empty() {
            return;
        }
        let id = open[self.random.pick(open.len())];
        let stream = self.streams.get_mut(&id).unwrap();
        match self.random.below(3) {
            0 => stream.is_cut = true,
            1 => stream.service = false,
            _ => {}
        }
        if !stream.is_cut || self.random.below(2) == 0 {
            stream.filter = false;
            let due = self.bench.gate.closed(id, self.now());
            self.settle(due);
        }
    }

    fn drain(&mut self) {
        if let Some(stream) = self.streams.values_mut().rfind(|stream| stream.service) {
            Self::send(stream, wire::ServiceMessage { drain: true, ..Default::default() });
        }
    }

    /// The wall clock is set, or the machine is suspended: its monotonic clock stands still.
    fn set_clocks(&mut self) {
        match self.random.below(2) {
            0 => self.wall_ahead += 2_000 - i64::try_from(self.random.below(4_000)).unwrap(),
            _ => {
                let ms = 51 + self.random.below(LEASE_MS);
                self.time += ms;
                self.stood_still += ms;
            }
        }
    }

    fn beat(&mut self) {
        for stream in self.streams.values_mut().filter(|stream| stream.service) {
            Self::send(stream, wire::ServiceMessage { beat: true, ..Default::default() });
        }
    }
}

#[test]
fn no_request_is_released_after_its_revocation_was_answered() {
    let (mut by_lease, mut finals) = (0, 0);
    let mut keys = Bench::with_keys("enforce");
    let tokens: Vec<String> = (0..SESSIONS).map(|n| keys.token_of(&format!("s{n}"), "read")).collect();
    let key_set = keys.key_set();
    for seed in 0..RUNS {
        let mut policy = fixtures::document("enforce");
        policy["session"]["freshness"] = json!({"lease": format!("{LEASE_MS}ms")});
        // With the shorter one, streams whose service is silent are left while their leases live.
        policy["session"]["timeout"] = json!(if seed % 2 == 0 { "20ms" } else { "200ms" });
        policy["routes"][3]["session"] = json!({});
        let policy = Policy::parse(policy.to_string().as_bytes()).unwrap();
        let gate = Gate::new(policy, |_| None, seed).unwrap_or_else(|(_, error)| panic!("{error}"));
        let mut bench = Bench { gate, key: ES256KeyPair::from_bytes(&keys.key.to_bytes()).unwrap() };
        assert_eq!(bench.gate.fetches(at(NOW_MS).instant).len(), 1);
        assert!(bench.gate.fetched(IssuerId(0), Some((200, key_set.as_bytes())), at(NOW_MS)).0.is_ok());
        let mut world = World::new(bench, tokens.clone(), seed);
        (0..STEPS).for_each(|_| world.step());
        by_lease += world.by_lease;
        finals += world.finals;
    }
    keys.gate.tick(at(NOW_MS));
    println!("{by_lease} requests released by leases, {finals} revocations answered");
    assert!(by_lease > RUNS && finals > RUNS);
}
