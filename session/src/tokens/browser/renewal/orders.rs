//! Every order of redemptions, answers, failures and kills at two replicas up to a depth, over the real decisions: an issuer that rotates
//! without grace is asked with a token that it has taken already only where a kill or a lost answer has cost the one after it.

use super::*;
use crate::tokens::handle::HandleDigest;
use crate::tokens::rotation::{self, Process, Rotation};
use std::collections::HashSet;

const TERMS: Terms = Terms { retry_window_ms: 10_000, idle_ms: 1_000_000_000, absolute_ms: 1_000_000_000 };
const LIFE_MS: u64 = 12_000;
const DEPTH: usize = 9;

/// What can happen, at one of two replicas.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Event {
    Redeem(usize),
    /// The issuer takes the request, and answers it.
    Taken(usize),
    /// The answer arrives, or the replica gives up.
    Answer(usize),
    Out(usize),
    Kill(usize),
    Tick,
    /// Longer than an intent holds.
    Late,
}

const EVENTS: [Event; 12] = [
    Event::Redeem(0),
    Event::Redeem(1),
    Event::Taken(0),
    Event::Taken(1),
    Event::Answer(0),
    Event::Answer(1),
    Event::Out(0),
    Event::Out(1),
    Event::Kill(0),
    Event::Kill(1),
    Event::Tick,
    Event::Late,
];

/// A call to the issuer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Call {
    attempt: u64,
    version: u64,
    shows: u64,
    since_ms: u64,
    answer: Option<Result<u64, ()>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct World {
    rotation: Rotation,
    version: u64,
    /// The refresh token on disk, by its number, and that which the issuer accepts.
    held: u64,
    good: u64,
    token: (u64, u64),
    calls: [Option<Call>; 2],
    runs: [u64; 2],
    attempts: u64,
    now_ms: u64,
    /// A kill, or an answer that did not arrive in time, has lost a refresh token.
    is_excused: bool,
    is_over: bool,
}

impl std::hash::Hash for World {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        let asking = self.rotation.asking.map(|asking| (asking.attempt, asking.run, asking.since_ms));
        (asking, self.version, self.held, self.good, self.token, self.calls, self.runs).hash(state);
        (self.attempts, self.now_ms, self.is_excused, self.is_over).hash(state);
    }
}

impl World {
    fn new() -> Self {
        Self {
            rotation: Rotation::new(HandleDigest([7; 32]), 0),
            version: 1,
            held: 1,
            good: 1,
            token: (0, LIFE_MS),
            calls: [None; 2],
            runs: [1, 2],
            attempts: 0,
            now_ms: 0,
            is_excused: false,
            is_over: false,
        }
    }

    fn redeem(&mut self, at: usize) -> Result<bool, &'static str> {
        let (since_ms, expires_at_ms) = self.token;
        let held = Held {
            since_ms,
            expires_at_ms,
            ends_at_ms: u64::MAX,
            idle_ms: TERMS.idle_ms,
            is_renewable: true,
            paused_ms: 0,
        };
        let decision = held.decide(self.now_ms);
        let is_good = expires_at_ms > self.now_ms + ENDING_MS;
        if is_good != matches!(decision, Decision::Current(_) | Decision::Due(_)) {
            return Err("whoever holds a good token waits");
        }
        // Of one process, one renews at a time.
        if !held.is_due(self.now_ms) || self.calls[at].is_some() {
            return Ok(false);
        }
        let process = Process { run: self.runs[at], started_at_ms: 0, is_alone: false };
        match self.rotation.decide(self.rotation.held(), &TERMS, process, self.now_ms) {
            rotation::Decision::Ask => {}
            rotation::Decision::Wait(_) => return Ok(false),
            _ => return Err("the handle is not good"),
        }
        let other = self.calls[1 - at].filter(|other| self.now_ms < other.since_ms + rotation::ASKING_MS_MAX);
        if other.is_some() {
            return Err("two ask at once");
        }
        // An answer that takes longer than an intent holds comes too late.
        self.is_excused |= self.calls[1 - at].is_some_and(|other| other.answer.is_some());
        self.attempts += 1;
        self.rotation.begin(self.attempts, process, self.now_ms);
        self.version += 1;
        let (attempt, version, shows, since_ms) = (self.attempts, self.version, self.held, self.now_ms);
        self.calls[at] = Some(Call { attempt, version, shows, since_ms, answer: None });
        Ok(true)
    }

    fn play(&mut self, event: Event) -> Result<bool, &'static str> {
        match event {
            Event::Redeem(at) => return self.redeem(at),
            Event::Taken(at) => {
                // No call takes as long as an intent holds.
                let is_out =
                    |call: &&mut Call| call.answer.is_none() && self.now_ms < call.since_ms + rotation::ASKING_MS_MAX;
                let Some(call) = self.calls[at].as_mut().filter(is_out) else { return Ok(false) };
                call.answer = Some(if call.shows == self.good { Ok(call.shows + 1) } else { Err(()) });
                if call.shows == self.good {
                    self.good += 1;
                } else if !self.is_excused {
                    return Err("a login is lost although nothing was");
                }
            }
            Event::Answer(at) => {
                let Some(call) = self.calls[at].filter(|call| call.answer.is_some()) else { return Ok(false) };
                self.calls[at] = None;
                // Written over the version of the intent, or not at all.
                let is_first = self.version == call.version;
                match call.answer {
                    Some(Ok(next)) if is_first && self.rotation.renew(call.attempt, self.now_ms) => {
                        (self.held, self.token) = (next, (self.now_ms, self.now_ms + LIFE_MS));
                        self.version += 1;
                        if self.held != self.good && !self.is_excused {
                            return Err("what is on disk is not what the issuer has given last");
                        }
                    }
                    Some(Err(())) if is_first => (self.is_over, self.version) = (true, self.version + 1),
                    // It came too late: another has asked since.
                    _ => self.is_excused = true,
                }
            }
            Event::Out(at) => {
                let Some(call) = self.calls[at].take() else { return Ok(false) };
                self.is_excused |= call.answer.is_some();
                if self.version == call.version && self.rotation.withdraw(call.attempt) {
                    self.version += 1;
                }
            }
            Event::Kill(at) => {
                // The issuer may still take what was sent.
                self.is_excused |= self.calls[at].take().is_some_and(|call| call.answer.is_some());
                self.runs[at] += 2;
            }
            Event::Tick => self.now_ms += LIFE_MS / 3,
            Event::Late => self.now_ms += rotation::ASKING_MS_MAX,
        }
        Ok(!self.is_over)
    }
}

#[test]
fn in_every_order_of_events_one_replica_asks_and_nothing_is_lost_that_arrived() {
    let (mut worlds, mut seen) = (vec![World::new()], HashSet::new());
    let (mut renewals, mut ends) = (0, 0);
    for _ in 0..DEPTH {
        let mut next = Vec::new();
        for world in &worlds {
            for event in EVENTS {
                let mut after = world.clone();
                match after.play(event) {
                    Ok(goes_on) => {
                        ends += usize::from(after.is_over);
                        renewals += usize::from(after.held > world.held);
                        if goes_on && seen.insert(after.clone()) {
                            next.push(after);
                        }
                    }
                    Err(wrong) => panic!("{wrong}: {event:?} after {world:#?}"),
                }
            }
        }
        worlds = next;
    }
    assert!(seen.len() > 5_000 && renewals > 500 && ends > 100, "{} {renewals} {ends}", seen.len());
}
