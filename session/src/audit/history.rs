//! The latest events of the audit: a listener reads them at its own pace, and after a lost connection goes on where it was.
//!
//! Each kind of event has a bounded queue of its own, so that a flood of refusals pushes out older refusals and not the
//! end of a session. A position counts the events of each kind that a listener has passed; what it missed is the
//! difference to what has been pushed out.

use super::event::{Event, Kind};
use crate::clock::Clock;
use crate::narrowings::Party;
use portcullis_contract::SessionId;
use std::collections::VecDeque;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::watch;

/// Events of each kind that are kept.
const KEPT_MAX: usize = 4_096;
/// Events of one session that are shown.
const SHOWN_MAX: usize = 100;

const KINDS: usize = Kind::ALL.len();

/// How many events of each kind a listener has passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position([u64; KINDS]);

/// What a listener reads.
#[derive(Debug)]
pub enum Next {
    /// The next event that is still there.
    Event(Arc<Event>),
    /// That many were pushed out before they were read.
    Missed(u64),
}

/// What is still known of one session.
#[derive(Debug)]
pub struct OfSession {
    /// Its latest events, the oldest first.
    pub events: Vec<Arc<Event>>,
    /// No event from this instant on is missing.
    pub held_since_ms: u64,
}

/// An event with its place among all events, and when it was noted. That is not when it happened: a limit can have passed
/// long before anybody asks.
#[derive(Debug)]
struct Kept {
    place: u64,
    noted_ms: u64,
    event: Arc<Event>,
}

/// The kept events of one kind, the oldest first.
#[derive(Debug, Default)]
struct Queue {
    kept: VecDeque<Kept>,
    pushed_out: u64,
    /// When the latest of these was noted.
    pushed_out_ms: Option<u64>,
}

impl Queue {
    fn made(&self) -> u64 {
        self.pushed_out.saturating_add(u64::try_from(self.kept.len()).unwrap_or(u64::MAX))
    }

    fn after(&self, passed: u64) -> Option<&Kept> {
        self.kept.get(usize::try_from(passed.checked_sub(self.pushed_out)?).ok()?)
    }

    fn push(&mut self, kept: Kept) {
        if self.kept.len() >= KEPT_MAX
            && let Some(oldest) = self.kept.pop_front()
        {
            self.pushed_out += 1;
            self.pushed_out_ms = self.pushed_out_ms.max(Some(oldest.noted_ms));
        }
        self.kept.push_back(kept);
    }

    /// The events before the first that was noted at an instant or later. The clock may have been set back in between: then
    /// more are replayed, and none is left out.
    fn before(&self, since_ms: u64) -> u64 {
        let earlier = self.kept.iter().take_while(|kept| kept.noted_ms < since_ms).count();
        self.pushed_out.saturating_add(u64::try_from(earlier).unwrap_or(u64::MAX))
    }
}

/// The kept events.
#[derive(Debug)]
pub struct History {
    /// Tells the positions of this process from those of another.
    run: u64,
    clock: Clock,
    started_ms: u64,
    queues: Mutex<[Queue; KINDS]>,
    /// How many events were made.
    made: watch::Sender<u64>,
}

impl History {
    /// A history that begins now.
    pub(super) fn new(clock: Clock) -> Self {
        // The standard library seeds its hashers at random.
        let run = RandomState::new().build_hasher().finish();
        let started_ms = clock.now_ms();
        Self { run, clock, started_ms, queues: Mutex::default(), made: watch::Sender::default() }
    }

    /// Keeps an event, and wakes the listeners.
    pub(super) fn push(&self, event: Event) {
        let kind = event.kind as usize;
        let event = Arc::new(event);
        let mut queues = self.lock();
        // Read under the lock, so that a later place is not an earlier instant.
        let noted_ms = self.clock.now_ms();
        self.made.send_modify(|made| *made += 1);
        let place = *self.made.borrow();
        if let Some(queue) = queues.get_mut(kind) {
            queue.push(Kept { place, noted_ms, event });
        }
    }

    /// Changes with every event.
    pub fn made(&self) -> watch::Receiver<u64> {
        self.made.subscribe()
    }

    /// The position behind all events so far.
    pub fn end(&self) -> Position {
        Position(self.lock().each_ref().map(Queue::made))
    }

    /// The position before the oldest events that are kept.
    pub fn start(&self) -> Position {
        Position(self.lock().each_ref().map(|queue| queue.pushed_out))
    }

    /// The position before the first event that was noted at an instant or later, and whether all of these are kept.
    pub fn since(&self, since_ms: u64) -> (Position, bool) {
        let queues = self.lock();
        let position = Position(queues.each_ref().map(|queue| queue.before(since_ms)));
        (position, since_ms >= self.held_since_ms_of(&queues))
    }

    /// The instant from which on no event is missing: the start of this process, or later.
    pub fn held_since_ms(&self) -> u64 {
        self.held_since_ms_of(&self.lock())
    }

    fn held_since_ms_of(&self, queues: &[Queue; KINDS]) -> u64 {
        let pushed_out_ms = queues.iter().filter_map(|queue| queue.pushed_out_ms).max();
        pushed_out_ms.map_or(self.started_ms, |last_ms| self.started_ms.max(last_ms.saturating_add(1)))
    }

    /// The latest events of a session and, if it is known, of its party. The lock is held for one kind at a time: verdicts
    /// wait for it.
    pub fn of(&self, session: SessionId, party: Option<&Party>) -> OfSession {
        let mut found: Vec<(u64, Arc<Event>)> = Vec::new();
        for kind in Kind::ALL {
            let queues = self.lock();
            let newest_first = queues.get(kind as usize).into_iter().flat_map(|queue| queue.kept.iter().rev());
            let theirs = newest_first.filter(|kept| kept.event.concerns(session, party)).take(SHOWN_MAX);
            found.extend(theirs.map(|kept| (kept.place, Arc::clone(&kept.event))));
        }
        found.sort_unstable_by_key(|(place, _)| *place);
        let more = found.len().saturating_sub(SHOWN_MAX);
        let events = found.into_iter().skip(more).map(|(_, event)| event).collect();
        OfSession { events, held_since_ms: self.held_since_ms() }
    }

    /// The id of a position: opaque to listeners.
    pub fn id(&self, position: Position) -> String {
        let counts = position.0.map(|count| format!("-{count}")).concat();
        format!("{:016x}{counts}", self.run)
    }

    /// The position with that id; none for ids of another process, and for what is not an id.
    pub fn position(&self, id: &str) -> Option<Position> {
        let (run, counts) = id.split_once('-')?;
        let counts: Vec<u64> = counts.split('-').map(str::parse).collect::<Result<_, _>>().ok()?;
        let position = Position(counts.try_into().ok()?);
        let is_passed = position.0.iter().zip(self.end().0).all(|(passed, made)| *passed <= made);
        (run == format!("{:016x}", self.run) && is_passed).then_some(position)
    }

    /// What comes after a position, which moves on; nothing when a listener has read everything.
    pub fn next(&self, position: &mut Position) -> Option<Next> {
        let queues = self.lock();
        let both = || queues.iter().zip(position.0);
        let missed = both().map(|(queue, passed)| queue.pushed_out.saturating_sub(passed)).sum();
        if missed > 0 {
            for (passed, queue) in position.0.iter_mut().zip(queues.iter()) {
                *passed = queue.pushed_out.max(*passed);
            }
            return Some(Next::Missed(missed));
        }
        let kept = both().filter_map(|(queue, passed)| queue.after(passed)).min_by_key(|kept| kept.place)?;
        if let Some(passed) = position.0.get_mut(kept.event.kind as usize) {
            *passed += 1;
        }
        Some(Next::Event(Arc::clone(&kept.event)))
    }

    fn lock(&self) -> MutexGuard<'_, [Queue; KINDS]> {
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::super::event::{About, Details};
    use super::*;
    use crate::clock::Reading;
    use portcullis_contract::KeyKind;
    use std::sync::atomic::{AtomicU64, Ordering};

    const T0: u64 = 1_700_000_000_000;

    fn id(subject: &str) -> SessionId {
        SessionId::of(KeyKind::Claim, "i", subject, "web")
    }

    fn event(kind: Kind, subject: &str) -> Event {
        let (issuer, client_id) = (Arc::from("i"), Arc::from("c"));
        let about = About::Session { id: id(subject), issuer, subject: subject.into(), client_id };
        Event { kind, about, details: Details::default(), at_ms: 0 }
    }

    fn of_party(party: Party) -> Event {
        Event { kind: Kind::ScopesNarrowed, about: About::Party(party), details: Details::default(), at_ms: 0 }
    }

    fn subject(event: &Event) -> String {
        match &event.about {
            About::Session { subject, .. } | About::Request { subject, .. } => subject.to_string(),
            About::Party(party) => format!("party {}", party.subject),
        }
    }

    /// A history, and its clock.
    fn history() -> (History, Arc<AtomicU64>) {
        let clock = Arc::new(AtomicU64::new(T0));
        let read = Arc::clone(&clock);
        let read = move || read.load(Ordering::Relaxed);
        (History::new(Clock::new(move || Reading { wall_ms: read(), steady_ms: read() })), clock)
    }

    /// The subjects of the events after a position; `+N` for a gap.
    fn read(history: &History, position: &mut Position) -> Vec<String> {
        let mut read = Vec::new();
        while let Some(next) = history.next(position) {
            read.push(match next {
                Next::Event(event) => subject(&event),
                Next::Missed(missed) => format!("+{missed}"),
            });
        }
        read
    }

    #[test]
    fn events_are_read_in_the_order_in_which_they_happened_and_once() {
        let (history, _) = history();
        history.push(event(Kind::Opened, "before"));
        let mut position = history.end();
        for (kind, subject) in [(Kind::Refused, "a"), (Kind::Opened, "b"), (Kind::Refused, "c"), (Kind::Ended, "d")] {
            history.push(event(kind, subject));
        }
        assert_eq!(read(&history, &mut position), ["a", "b", "c", "d"]);
        assert_eq!(read(&history, &mut position), [""; 0]);
        assert_eq!(read(&history, &mut history.start()), ["before", "a", "b", "c", "d"]);
    }

    #[test]
    fn a_flood_of_refusals_pushes_out_no_end_and_is_counted() {
        let (history, _) = history();
        let mut position = history.end();
        history.push(event(Kind::Ended, "end"));
        for number in 0..KEPT_MAX + 5 {
            history.push(event(Kind::Refused, &number.to_string()));
        }
        let read = read(&history, &mut position);
        assert_eq!((read.len(), &read[..3]), (KEPT_MAX + 2, &["+5", "end", "5"].map(str::to_owned)[..]));
    }

    #[test]
    fn events_since_an_instant_are_replayed_and_it_is_said_if_some_are_not_held() {
        let (history, clock) = history();
        for (number, kind) in [Kind::Opened, Kind::Refused, Kind::Opened, Kind::Ended].into_iter().enumerate() {
            clock.store(T0 + 10 + number as u64, Ordering::Relaxed);
            history.push(event(kind, &number.to_string()));
        }
        let since = |after_ms: u64| {
            let (mut position, is_whole) = history.since(T0 + after_ms);
            (read(&history, &mut position), is_whole)
        };
        assert_eq!(since(12), (vec!["2".to_owned(), "3".to_owned()], true));
        assert_eq!(since(14), (vec![], true));
        assert_eq!(since(0).0.len(), 4);
        let (mut position, is_whole) = history.since(T0 - 1);
        assert_eq!((read(&history, &mut position).len(), is_whole), (4, false), "the process had not started");
        for number in 0..KEPT_MAX {
            clock.store(T0 + 100 + number as u64, Ordering::Relaxed);
            history.push(event(Kind::Refused, "flood"));
        }
        let (mut position, is_whole) = history.since(T0 + 11);
        assert_eq!((read(&history, &mut position).len(), is_whole), (KEPT_MAX + 2, false));
        assert_eq!(history.held_since_ms(), T0 + 12);
        assert!(history.since(T0 + 12).1);
    }

    #[test]
    fn a_clock_that_is_set_back_leaves_no_event_out() {
        let (history, clock) = history();
        for (after_ms, subject) in [(500, "a"), (100, "b"), (600, "c")] {
            clock.store(T0 + after_ms, Ordering::Relaxed);
            history.push(event(Kind::Opened, subject));
        }
        assert_eq!(read(&history, &mut history.since(T0 + 550).0), ["c"]);
        assert_eq!(read(&history, &mut history.since(T0 + 200).0), ["a", "b", "c"]);
    }

    #[test]
    fn the_events_of_a_session_are_its_own_and_those_of_its_party() {
        let (history, _) = history();
        let party = Party::of("i", "alice", "web", "");
        for pushed in [
            event(Kind::Opened, "alice"),
            event(Kind::Opened, "bob"),
            of_party(Party::of_subject("i", "alice")),
            of_party(Party::of("i", "alice", "cli", "")),
            event(Kind::Ended, "alice"),
        ] {
            history.push(pushed);
        }
        let of = |party| history.of(id("alice"), party).events.iter().map(|event| subject(event)).collect::<Vec<_>>();
        assert_eq!(of(Some(&party)), ["alice", "party alice", "alice"]);
        assert_eq!(of(None), ["alice", "alice"]);
        for _ in 0..SHOWN_MAX {
            history.push(event(Kind::Refused, "alice"));
        }
        let shown = history.of(id("alice"), None).events;
        assert!(shown.len() == SHOWN_MAX && shown.iter().all(|event| event.kind == Kind::Refused), "the latest");
    }

    #[test]
    fn a_position_is_found_again_by_its_id_and_only_in_the_same_process() {
        let (history, _) = history();
        for subject in ["a", "b", "c"] {
            history.push(event(Kind::Ended, subject));
        }
        let mut position = history.start();
        history.next(&mut position);
        let id = history.id(position);
        assert_eq!(history.position(&id), Some(position));
        assert_eq!(read(&history, &mut history.position(&id).unwrap()), ["b", "c"]);
        assert_eq!(self::history().0.position(&id), None);
        let (run, counts) = id.split_once('-').unwrap();
        let beyond = counts.replacen('1', "9", 1);
        for wrong in
            ["", "7", run, &format!("-{counts}"), &format!("{run}-1-0"), &format!("{id}-0"), &format!("{run}-{beyond}")]
        {
            assert_eq!(history.position(wrong), None, "{wrong}");
        }
    }
}
