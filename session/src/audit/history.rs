//! The latest events of the audit: a listener reads them at its own pace, and after a lost connection goes on where it was.
//!
//! Each kind of event has a bounded queue of its own, so that a flood of refusals pushes out older refusals and not the
//! end of a session. A position counts the events of each kind that a listener has passed; what it missed is the
//! difference to what has been pushed out.

use crate::access::Access;
use crate::clock::rfc3339;
use portcullis_contract::SessionId;
use serde::{Serialize, Serializer};
use std::collections::VecDeque;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::watch;

/// Events of each kind that are kept.
const KEPT_MAX: usize = 4_096;

/// What happened, in the order of importance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A session ended.
    Ended,
    /// A session opened.
    Opened,
    /// A question was refused.
    Denied,
}

const KINDS: usize = 3;

impl Kind {
    /// The event's name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ended => "ended",
            Self::Opened => "opened",
            Self::Denied => "denied",
        }
    }
}

/// An event of `GET /v1/events`. It is made for every decision, listened to or not: it shares what it can.
#[derive(Debug, Clone, Serialize)]
pub struct Event {
    /// What happened.
    #[serde(skip)]
    pub kind: Kind,
    #[serde(serialize_with = "session_id")]
    pub(super) id: SessionId,
    #[serde(serialize_with = "text")]
    pub(super) issuer: Arc<str>,
    pub(super) subject: Box<str>,
    #[serde(serialize_with = "text")]
    pub(super) client_id: Arc<str>,
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "access_name")]
    pub(super) access: Option<Arc<Access>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) reason: Option<&'static str>,
    #[serde(rename = "at", serialize_with = "instant")]
    pub(super) at_ms: u64,
}

fn session_id<S: Serializer>(id: &SessionId, to: S) -> Result<S::Ok, S::Error> {
    to.collect_str(id)
}

fn text<S: Serializer>(text: &Arc<str>, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(text)
}

fn access_name<S: Serializer>(access: &Option<Arc<Access>>, to: S) -> Result<S::Ok, S::Error> {
    access.as_ref().map(|access| &access.name).serialize(to)
}

fn instant<S: Serializer>(at_ms: &u64, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(&rfc3339(*at_ms))
}

/// How many events of each kind a listener has passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position([u64; KINDS]);

/// What a listener reads.
#[derive(Debug)]
pub enum Next {
    /// The next event that is still there.
    Event(Event),
    /// That many were pushed out before they were read.
    Missed(u64),
}

/// The kept events of one kind, the oldest first, each with its place among all events.
#[derive(Debug, Default)]
struct Queue {
    kept: VecDeque<(u64, Event)>,
    pushed_out: u64,
}

impl Queue {
    fn made(&self) -> u64 {
        self.pushed_out.saturating_add(u64::try_from(self.kept.len()).unwrap_or(u64::MAX))
    }

    fn after(&self, passed: u64) -> Option<&(u64, Event)> {
        self.kept.get(usize::try_from(passed.checked_sub(self.pushed_out)?).ok()?)
    }
}

/// The kept events.
#[derive(Debug)]
pub struct History {
    /// Tells the positions of this process from those of another.
    run: u64,
    queues: Mutex<[Queue; KINDS]>,
    /// How many events were made.
    made: watch::Sender<u64>,
}

impl Default for History {
    fn default() -> Self {
        // The standard library seeds its hashers at random.
        let run = RandomState::new().build_hasher().finish();
        Self { run, queues: Mutex::default(), made: watch::Sender::default() }
    }
}

impl History {
    /// Keeps an event, and wakes the listeners.
    pub(super) fn push(&self, event: Event) {
        let mut queues = self.lock();
        self.made.send_modify(|made| *made += 1);
        let place = *self.made.borrow();
        if let Some(queue) = queues.get_mut(event.kind as usize) {
            if queue.kept.len() >= KEPT_MAX {
                queue.kept.pop_front();
                queue.pushed_out += 1;
            }
            queue.kept.push_back((place, event));
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

    /// The id of a position: opaque to listeners.
    pub fn id(&self, position: Position) -> String {
        let [ended, opened, denied] = position.0;
        format!("{:016x}-{ended}-{opened}-{denied}", self.run)
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
        let (_, event) = both().filter_map(|(queue, passed)| queue.after(passed)).min_by_key(|(place, _)| *place)?;
        if let Some(passed) = position.0.get_mut(event.kind as usize) {
            *passed += 1;
        }
        Some(Next::Event(event.clone()))
    }

    fn lock(&self) -> MutexGuard<'_, [Queue; KINDS]> {
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use portcullis_contract::KeyKind;

    fn event(kind: Kind, subject: &str) -> Event {
        let id = SessionId::of(KeyKind::Claim, "i", subject, "web");
        let (issuer, client_id) = (Arc::from("i"), Arc::from("c"));
        Event { kind, id, issuer, subject: subject.into(), client_id, access: None, reason: None, at_ms: 0 }
    }

    /// The subjects of the events after a position; `+N` for a gap.
    fn read(history: &History, position: &mut Position) -> Vec<String> {
        let mut read = Vec::new();
        while let Some(next) = history.next(position) {
            read.push(match next {
                Next::Event(event) => event.subject.into(),
                Next::Missed(missed) => format!("+{missed}"),
            });
        }
        read
    }

    #[test]
    fn events_are_read_in_the_order_in_which_they_happened_and_once() {
        let history = History::default();
        history.push(event(Kind::Opened, "before"));
        let mut position = history.end();
        for (kind, subject) in [(Kind::Denied, "a"), (Kind::Opened, "b"), (Kind::Denied, "c"), (Kind::Ended, "d")] {
            history.push(event(kind, subject));
        }
        assert_eq!(read(&history, &mut position), ["a", "b", "c", "d"]);
        assert_eq!(read(&history, &mut position), [""; 0]);
        assert_eq!(read(&history, &mut history.start()), ["before", "a", "b", "c", "d"]);
    }

    #[test]
    fn a_flood_of_refusals_pushes_out_no_end_and_is_counted() {
        let history = History::default();
        let mut position = history.end();
        history.push(event(Kind::Ended, "end"));
        for number in 0..KEPT_MAX + 5 {
            history.push(event(Kind::Denied, &number.to_string()));
        }
        let read = read(&history, &mut position);
        assert_eq!((read.len(), &read[..3]), (KEPT_MAX + 2, &["+5", "end", "5"].map(str::to_owned)[..]));
    }

    #[test]
    fn a_position_is_found_again_by_its_id_and_only_in_the_same_process() {
        let history = History::default();
        for subject in ["a", "b", "c"] {
            history.push(event(Kind::Ended, subject));
        }
        let mut position = history.start();
        history.next(&mut position);
        let id = history.id(position);
        assert_eq!(history.position(&id), Some(position));
        assert_eq!(read(&history, &mut history.position(&id).unwrap()), ["b", "c"]);
        assert_eq!(History::default().position(&id), None);
        let run = id.split('-').next().unwrap();
        for wrong in ["", "7", run, "-1-0-0", &format!("{run}-1-0"), &format!("{run}-1-0-0-0"), &format!("{run}-9-0-0")]
        {
            assert_eq!(history.position(wrong), None, "{wrong}");
        }
    }
}
