//! Every order of uses, retries, thefts, answers, failures and kills up to a depth, over the real decisions.

use super::*;
use std::collections::HashSet;

const TERMS: Terms = Terms { retry_window_ms: 10_000, idle_ms: 1_000_000, absolute_ms: 10_000_000 };

/// Handles are their numbers.
fn digest(generation: u64) -> HandleDigest {
    let mut digest = [0; 32];
    digest[..8].copy_from_slice(&generation.to_be_bytes());
    HandleDigest(digest)
}

fn shown(generation: u64) -> Shown {
    Shown { generation, digest: digest(generation), is_genuine: true }
}

/// A family that was used `generation` times, the last time at `rotated_at_ms`.
fn rotated(generation: u64, rotated_at_ms: u64) -> Rotation {
    let mut rotation = Rotation::new(digest(0), 0);
    for next in 1..=generation {
        rotation.begin(next, ME, rotated_at_ms);
        assert!(rotation.settle(next, digest(next), rotated_at_ms));
    }
    rotation
}

const ME: Process = Process { run: 1, started_at_ms: 0, is_alone: false };
const OTHER: Process = Process { run: 2, ..ME };

#[test]
fn what_becomes_of_a_handle_depends_on_its_generation_and_the_time() {
    let rotation = rotated(5, 100_000);
    let decide = |generation, now_ms| rotation.decide(shown(generation), &TERMS, ME, now_ms);
    for (generation, now_ms, decision) in [
        (5, 100_000, Decision::Ask),
        (5, 900_000, Decision::Ask),
        (4, 100_000, Decision::Repeat),
        (4, 109_999, Decision::Repeat),
        (4, 110_000, Decision::Reuse),
        (3, 100_000, Decision::Reuse),
        (0, 100_000, Decision::Reuse),
        (6, 100_000, Decision::Unknown),
        (5, 1_100_000, Decision::Expired),
        (4, 1_100_000, Decision::Expired),
        (3, 1_100_000, Decision::Expired),
        (6, 1_100_000, Decision::Unknown),
    ] {
        assert_eq!(decide(generation, now_ms), decision, "{generation} at {now_ms}");
    }
}

#[test]
fn what_was_made_up_is_unknown_and_never_theft() {
    let rotation = rotated(5, 100_000);
    for generation in 0..8 {
        let made_up = Shown { generation, digest: HandleDigest([9; 32]), is_genuine: false };
        assert_eq!(rotation.decide(made_up, &TERMS, ME, 200_000), Decision::Unknown, "{generation}");
    }
    // After the store was put back, clients have handles that it has never seen.
    for generation in 4..8 {
        let from_before = Shown { digest: HandleDigest([9; 32]), ..shown(generation) };
        assert_eq!(rotation.decide(from_before, &TERMS, ME, 200_000), Decision::Unknown, "{generation}");
    }
}

#[test]
fn a_family_ends_when_nobody_uses_it_and_in_any_case() {
    assert_eq!(rotated(1, 0).ends_at_ms(&TERMS), 1_000_000);
    assert_eq!(rotated(1, 500_000).ends_at_ms(&TERMS), 1_500_000);
    assert_eq!(rotated(1, 9_900_000).ends_at_ms(&TERMS), 10_000_000);
}

#[test]
fn of_two_processes_one_asks_and_the_other_takes_its_place_when_it_is_gone() {
    let mut rotation = rotated(1, 0);
    rotation.begin(7, OTHER, 1_000);
    let decide = |rotation: &Rotation, now_ms| rotation.decide(shown(1), &TERMS, ME, now_ms);
    assert_eq!(decide(&rotation, 1_000), Decision::Wait(1_000 + ASKING_MS_MAX));
    assert_eq!(decide(&rotation, 1_000 + ASKING_MS_MAX), Decision::Ask);
    assert_eq!(rotation.decide(shown(1), &TERMS, OTHER, 1_000), Decision::Ask, "its own intent holds up nobody");
    let alone = Process { is_alone: true, ..ME };
    assert_eq!(rotation.decide(shown(1), &TERMS, alone, 1_000), Decision::Ask, "nobody else is there");
    rotation.begin(8, ME, 20_000);
    assert!(!rotation.settle(7, digest(2), 20_001) && !rotation.withdraw(7), "the other one comes too late");
    assert!(rotation.settle(8, digest(3), 20_002));
    assert!(!rotation.settle(8, digest(4), 20_003), "once");
}

#[test]
fn an_answer_that_a_kill_has_lost_is_given_by_the_next_process() {
    let rotation = rotated(1, 100_000);
    let after =
        |started_at_ms, now_ms| rotation.decide(shown(0), &TERMS, Process { run: 3, started_at_ms, ..ME }, now_ms);
    assert_eq!(after(130_000, 139_999), Decision::Repeat);
    assert_eq!(after(130_000, 140_000), Decision::Reuse);
    assert_eq!(
        rotated(1, 0).decide(
            shown(0),
            &TERMS,
            Process { run: 3, started_at_ms: AWAY_MS_MAX + 1, ..ME },
            AWAY_MS_MAX + 1
        ),
        Decision::Expired
    );
    let long = Terms { idle_ms: u64::MAX, absolute_ms: u64::MAX, ..TERMS };
    let restarted =
        |started_at_ms| rotation.decide(shown(0), &long, Process { run: 3, started_at_ms, ..ME }, started_at_ms);
    assert_eq!(restarted(100_000 + AWAY_MS_MAX), Decision::Repeat);
    assert_eq!(restarted(100_001 + AWAY_MS_MAX), Decision::Reuse, "it was not that process that has lost it");
}

/// What can happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Event {
    /// The client uses the handle that it has.
    Use,
    /// It uses it while its last request is still out, or after that was lost.
    Again,
    /// Somebody who has copied the client's handle at the start uses it.
    Theft,
    /// The issuer answers whoever asks.
    Answer,
    /// It does not.
    Out,
    /// The answer reaches the client, or is lost on its way.
    Arrive,
    Lose,
    /// The process dies, and another one begins.
    Kill,
    /// Time passes: less than the retry window, or more.
    Tick,
    Late,
}

const EVENTS: [Event; 10] = [
    Event::Use,
    Event::Again,
    Event::Theft,
    Event::Answer,
    Event::Out,
    Event::Arrive,
    Event::Lose,
    Event::Kill,
    Event::Tick,
    Event::Late,
];

const DEPTH: usize = 8;

/// A client, a thief, an issuer and a family on disk.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct World {
    disk: Disk,
    now_ms: u64,
    process: u64,
    started_at_ms: u64,
    is_alone: bool,
    /// The handle that the client has.
    client: u64,
    /// When the client has used it for the first time, if it has.
    used_at_ms: Option<u64>,
    /// An attempt that is out at the issuer, and what it would make.
    asking: Option<u64>,
    /// An answer on its way to the client.
    on_its_way: Option<u64>,
    /// The thief's handle, and whether it was used by him.
    thief_has_used: bool,
    thief_gets: Option<u64>,
    attempts: u64,
    is_over: bool,
}

/// The family, so that worlds can be compared.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Disk(Rotation);

impl std::hash::Hash for Disk {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        let Rotation { generation, current, previous, rotated_at_ms, asking, .. } = &self.0;
        (generation, current.0, previous.map(|previous| previous.0), rotated_at_ms).hash(state);
        asking.map(|asking| (asking.attempt, asking.run, asking.since_ms)).hash(state);
    }
}

/// What must never be.
#[derive(Debug, PartialEq, Eq)]
enum Wrong {
    FalseAlarm,
    TheftUnnoticed,
    TwoAtOnce,
}

impl World {
    fn new(is_alone: bool) -> Self {
        Self {
            is_alone,
            disk: Disk(Rotation::new(digest(0), 0)),
            now_ms: 0,
            process: 1,
            started_at_ms: 0,
            client: 0,
            used_at_ms: None,
            asking: None,
            on_its_way: None,
            thief_has_used: false,
            thief_gets: None,
            attempts: 0,
            is_over: false,
        }
    }

    fn process(&self) -> Process {
        Process { run: self.process, started_at_ms: self.started_at_ms, is_alone: self.is_alone }
    }

    /// One shows a handle. `None`: it waits for an attempt of this process, or nothing becomes of it.
    fn show(&mut self, generation: u64) -> Result<Option<Decision>, Wrong> {
        if self.is_over || self.asking.is_some() {
            return Ok(None);
        }
        let decision = self.disk.0.decide(shown(generation), &TERMS, self.process(), self.now_ms);
        if decision == Decision::Ask {
            self.attempts += 1;
            self.disk.0.begin(self.attempts, self.process(), self.now_ms);
            if self.asking.replace(self.attempts).is_some() {
                return Err(Wrong::TwoAtOnce);
            }
        }
        self.is_over |= decision == Decision::Reuse;
        Ok(Some(decision))
    }

    fn play(&mut self, event: Event) -> Result<bool, Wrong> {
        match event {
            Event::Use | Event::Again => {
                let is_first = self.used_at_ms.is_none();
                if is_first != (event == Event::Use) || self.on_its_way.is_some() {
                    return Ok(false);
                }
                let since_ms = *self.used_at_ms.get_or_insert(self.now_ms);
                match self.show(self.client)? {
                    Some(Decision::Repeat) => self.on_its_way = Some(self.disk.0.generation),
                    // A client that asks again in time, or soon after a restart, has done nothing wrong.
                    Some(Decision::Reuse)
                        if !self.thief_has_used
                            && self.now_ms - since_ms.max(self.started_at_ms) < TERMS.retry_window_ms =>
                    {
                        return Err(Wrong::FalseAlarm);
                    }
                    _ => {}
                }
            }
            Event::Theft => {
                let has_been_used_up = self.disk.0.generation >= 2;
                match self.show(0)? {
                    // Two generations back: it must be noticed, whoever has used the handle before.
                    Some(Decision::Ask | Decision::Repeat) if has_been_used_up => return Err(Wrong::TheftUnnoticed),
                    Some(Decision::Ask | Decision::Repeat) => {
                        self.thief_has_used = true;
                        self.thief_gets = Some(self.disk.0.generation);
                    }
                    Some(_) => {}
                    None => return Ok(false),
                }
            }
            Event::Answer => {
                let Some(attempt) = self.asking.take() else { return Ok(false) };
                let next = self.disk.0.generation + 1;
                assert!(self.disk.0.settle(attempt, digest(next), self.now_ms));
                self.on_its_way = Some(next);
            }
            Event::Out => {
                let Some(attempt) = self.asking.take() else { return Ok(false) };
                assert!(self.disk.0.withdraw(attempt));
            }
            Event::Arrive => {
                let Some(handle) = self.on_its_way.take() else { return Ok(false) };
                (self.client, self.used_at_ms) = (handle, None);
            }
            Event::Lose => return Ok(self.on_its_way.take().is_some()),
            Event::Kill => {
                self.process += 1;
                self.started_at_ms = self.now_ms;
                // What was out at the issuer, and what was on its way, is gone with it.
                (self.asking, self.on_its_way) = (None, None);
            }
            Event::Tick => self.now_ms += TERMS.retry_window_ms / 4,
            Event::Late => self.now_ms += TERMS.retry_window_ms * 2,
        }
        Ok(true)
    }
}

#[test]
fn in_every_order_of_events_theft_is_noticed_and_nothing_else_is_taken_for_it() {
    let (mut worlds, mut seen) = ([true, false].map(World::new).to_vec(), HashSet::new());
    let (mut alarms, mut repeats) = (0, 0);
    for _ in 0..DEPTH {
        let mut next = Vec::new();
        for world in &worlds {
            for event in EVENTS {
                let mut after = world.clone();
                match after.play(event) {
                    Ok(true) if seen.insert(after.clone()) => {
                        alarms += usize::from(after.is_over && !world.is_over);
                        repeats += usize::from(event == Event::Again && after.on_its_way.is_some());
                        next.push(after);
                    }
                    Ok(_) => {}
                    Err(wrong) => panic!("{wrong:?} by {event:?} after {world:#?}"),
                }
            }
        }
        worlds = next;
    }
    assert!(seen.len() > 10_000 && alarms > 100 && repeats > 100, "{} {alarms} {repeats}", seen.len());
}
