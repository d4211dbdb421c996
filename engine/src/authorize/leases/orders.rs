//! Every order of the events of a book of leases, against the smallest service that keeps its promise. It counts a lease from
//! when it reads the question or the renewal, has no margin, and waits for nothing else: so a lease that lives one millisecond
//! too long here releases a request after the service has answered.

use super::{
    LeaseId, Leases,
    tests::{LEASE_MS, PERIOD_MS, grant, key},
};
use crate::time::{Monotonic, Now};
use std::{
    collections::{BTreeMap, HashSet, VecDeque, hash_map::DefaultHasher},
    hash::{Hash, Hasher},
};

/// Sessions, each with a token of the same number. The first is revoked.
const SESSIONS: u32 = 2;
const TICK_MS: u64 = LEASE_MS / 3;
/// How long a machine is suspended: one of the filter's clocks stands still.
const SUSPENDED_MS: u64 = LEASE_MS;
const DEPTH: u32 = 10;

#[derive(Debug, Clone, Hash)]
enum Up {
    Question { session: u32, lease: Option<LeaseId> },
    Renewal { ended: Vec<u32> },
    TakenBack { id: u32 },
}

#[derive(Debug, Clone, Hash)]
enum Down {
    Verdict { session: u32, is_active: bool },
    Renewed { refused: Vec<u32> },
    TakeBack { id: u32, leases: Vec<u32> },
}

/// A lease, as the service counts it.
#[derive(Debug, Clone, Copy, Hash)]
struct Counted {
    session: u32,
    until: u64,
    take_back: Option<u32>,
}

#[derive(Clone)]
struct World {
    /// The time that really passes.
    time: u64,
    suspended: bool,
    leases: Leases,
    is_connected: bool,
    /// What a question asked for that is out, and when it was sent.
    out: [Option<(Option<LeaseId>, u64)>; SESSIONS as usize],
    up: VecDeque<Up>,
    down: VecDeque<Down>,
    counted: BTreeMap<u32, Counted>,
    /// A verdict that is given and waits for the service's disk.
    waiting: Option<Down>,
    is_revoked: bool,
    /// The revocation was answered.
    is_final: bool,
    releases: u64,
}

#[derive(Debug, Clone, Copy)]
enum Event {
    Request(u32),
    Renew,
    ServiceReads,
    /// The same, but the verdict waits for the service's disk.
    ServiceReadsSlowly,
    ServiceWrites,
    FilterReads,
    Tick,
    Suspend,
    Revoke,
    Close,
}

const EVENTS: [Event; 11] = [
    Event::Request(0),
    Event::Request(1),
    Event::Renew,
    Event::ServiceReads,
    Event::ServiceReadsSlowly,
    Event::ServiceWrites,
    Event::FilterReads,
    Event::Tick,
    Event::Suspend,
    Event::Revoke,
    Event::Close,
];

impl World {
    fn new() -> Self {
        Self {
            time: 0,
            suspended: false,
            leases: Leases::on(Some(1), &mut Leases::default()),
            is_connected: true,
            out: [None; SESSIONS as usize],
            up: VecDeque::new(),
            down: VecDeque::new(),
            counted: BTreeMap::new(),
            waiting: None,
            is_revoked: false,
            is_final: false,
            releases: 0,
        }
    }

    /// The filter's clocks.
    fn now(&self) -> Now {
        let stood_still = if self.suspended { SUSPENDED_MS } else { 0 };
        Now { wall_ms: Some(1_000_000 + self.time), instant: Monotonic(self.time - stood_still) }
    }

    /// Returns false if the event cannot happen.
    fn on(&mut self, event: Event) -> bool {
        match event {
            Event::Request(session) => self.request(session),
            Event::Renew => {
                self.leases.observe(self.now());
                let renewal = self.leases.renewal(PERIOD_MS, self.now().instant);
                let Some(renewal) = renewal.filter(|_| self.is_connected) else { return false };
                self.up.push_back(Up::Renewal { ended: renewal.ended });
                true
            }
            Event::ServiceReads => match self.up.pop_front() {
                Some(message) => self.service(message),
                None => false,
            },
            Event::ServiceReadsSlowly => {
                let is_question = matches!(self.up.front(), Some(Up::Question { .. }));
                if !is_question || self.waiting.is_some() {
                    return false;
                }
                let reads = self.on(Event::ServiceReads);
                self.waiting = self.down.pop_back();
                reads
            }
            Event::ServiceWrites => match self.waiting.take() {
                Some(verdict) => {
                    self.down.push_back(verdict);
                    self.is_connected
                }
                None => false,
            },
            Event::FilterReads => match self.down.pop_front() {
                Some(message) => self.filter(message),
                None => false,
            },
            Event::Tick => {
                self.time += TICK_MS;
                self.answer()
            }
            Event::Suspend if self.suspended => false,
            Event::Suspend => {
                (self.time, self.suspended) = (self.time + SUSPENDED_MS, true);
                self.answer()
            }
            Event::Revoke if self.is_revoked => false,
            Event::Revoke => self.revoke(),
            Event::Close if !self.is_connected => false,
            Event::Close => {
                // What is on its way up still arrives; the service may not know for a long time.
                self.is_connected = false;
                self.leases = Leases::on(None, &mut self.leases);
                self.out = [None; SESSIONS as usize];
                self.down.clear();
                true
            }
        }
    }

    fn request(&mut self, session: u32) -> bool {
        self.leases.observe(self.now());
        if let Some((id, _)) = self.leases.find(key(session), self.now().instant) {
            assert!(session != 0 || !self.is_final, "released although the revocation was answered");
            self.releases += 1;
            return self.leases.note_use(id, self.now().instant).is_some();
        }
        let out = &mut self.out[session as usize];
        if out.is_some() || !self.is_connected {
            return false;
        }
        let lease = self.leases.ask(key(session));
        *out = Some((lease, self.time - if self.suspended { SUSPENDED_MS } else { 0 }));
        self.up.push_back(Up::Question { session, lease });
        true
    }

    fn service(&mut self, message: Up) -> bool {
        let until = self.time + LEASE_MS;
        let is_revoked = self.is_revoked;
        match message {
            Up::Question { session, lease } => {
                let is_active = session != 0 || !is_revoked;
                if let Some(id) = lease.filter(|_| is_active) {
                    self.counted.insert(id.0, Counted { session, until, take_back: None });
                }
                self.down.push_back(Down::Verdict { session, is_active });
            }
            Up::Renewal { ended } => {
                self.counted.retain(|id, _| !ended.contains(id));
                let mut refused = Vec::new();
                for (id, counted) in self.counted.iter_mut().filter(|(_, counted)| self.time < counted.until) {
                    match counted.session == 0 && is_revoked {
                        true => refused.push(*id),
                        false => counted.until = until,
                    }
                }
                self.down.push_back(Down::Renewed { refused });
            }
            Up::TakenBack { id } => self.counted.retain(|_, counted| counted.take_back != Some(id)),
        }
        self.answer()
    }

    fn filter(&mut self, message: Down) -> bool {
        self.leases.observe(self.now());
        let now = self.now().instant;
        match message {
            Down::Verdict { session, is_active } => {
                let Some((Some(id), sent_at)) = self.out[session as usize].take() else { return true };
                match is_active {
                    true => self.leases.grant(id, &grant(sent_at), PERIOD_MS, now),
                    false => self.leases.decline(id),
                }
            }
            Down::Renewed { refused } => self.leases.renewed(&refused, now),
            Down::TakeBack { id, leases } => {
                self.leases.take_back(&leases);
                self.up.push_back(Up::TakenBack { id });
            }
        }
        true
    }

    fn revoke(&mut self) -> bool {
        self.is_revoked = true;
        let alive = self.counted.iter_mut().filter(|(_, counted)| counted.session == 0 && self.time < counted.until);
        let leases: Vec<u32> = alive
            .map(|(id, counted)| {
                counted.take_back = Some(1);
                *id
            })
            .collect();
        if !leases.is_empty() && self.is_connected {
            self.down.push_back(Down::TakeBack { id: 1, leases });
        }
        self.answer()
    }

    /// The revocation is answered as soon as nothing is counted any more.
    fn answer(&mut self) -> bool {
        let is_over = |counted: &Counted| counted.session != 0 || counted.until <= self.time;
        self.is_final = self.is_revoked && self.counted.values().all(is_over);
        true
    }

    fn fingerprint(&mut self) -> u64 {
        self.leases.take_counts();
        let mut hash = DefaultHasher::new();
        (self.time, self.suspended, &self.leases, self.is_connected, self.out).hash(&mut hash);
        (&self.up, &self.down, &self.counted, &self.waiting, self.is_revoked, self.is_final).hash(&mut hash);
        hash.finish()
    }
}

#[test]
fn no_order_of_events_releases_a_request_by_a_lease_that_the_service_counts_as_gone() {
    let mut seen = HashSet::new();
    let mut worlds = vec![World::new()];
    let (mut releases, mut finals) = (0, 0);
    for _ in 0..DEPTH {
        let mut next = Vec::new();
        for world in worlds {
            for event in EVENTS {
                let mut after = world.clone();
                if after.on(event) && seen.insert(after.fingerprint()) {
                    releases += after.releases - world.releases;
                    finals += u64::from(after.is_final && !world.is_final);
                    next.push(after);
                }
            }
        }
        worlds = next;
    }
    println!("{} states, {releases} releases by leases, {finals} final answers", seen.len());
    assert!(releases > 1_000 && finals > 1_000);
}
