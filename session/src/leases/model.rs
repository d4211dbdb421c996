//! The book beside filters that believe what they were told, step by step. A filter never decides by a lease that an answered change
//! concerns; [`super::orders`] plays the steps in many orders, with planted bugs and without.

use super::book::Book;
use portcullis_contract::{KeyKind, SessionId};
use std::collections::{HashMap, VecDeque};

/// Of a lease, in milliseconds; and for how much longer a slow clock lets it run.
pub(super) const LENGTH: u64 = 1_000;
pub(super) const SLOW: u64 = 10;

/// A bug that the code could have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Bug {
    None,
    JudgesBeforeItEnters,
    GivesWhatHasChangedSince,
    FreesWhatAClosedStreamHas,
    TakesATakeBackForCarriedOut,
    LetsStandWhatHasChanged,
    HidesThatItDoesNotExtend,
    CountsLess,
    ForgetsAMarkDuringAReview,
}

/// When a change comes while a question is answered, or a stream reviews.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum During {
    Nothing,
    BeforeTheJudge,
    AfterTheJudge,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Step {
    Ask(usize, u32, usize),
    /// The service reads the next message of a stream.
    Up(usize, During),
    /// The filter reads the next one.
    Down(usize),
    Change(usize),
    /// The same, but the verdict stays what it was.
    Touch(usize),
    Review(usize, During),
    Renew(usize),
    CloseAtService(usize),
    CloseAtFilter(usize),
    Wait(u64),
    Sweep,
}

#[derive(Debug, Clone)]
enum Up {
    Question { lease: u32, session: usize },
    Renewal { ended: Vec<u32> },
    TakenBack(u32),
}

#[derive(Debug, Clone)]
enum Down {
    Verdict { lease: u32, version: u64, is_leased: bool },
    Renewed { refused: Vec<u32> },
    TakeBack { id: u32, leases: Vec<u32> },
}

/// A lease that a filter has, or has asked for.
#[derive(Debug, Clone, Copy)]
struct Belief {
    session: usize,
    /// When it was asked for.
    sent_ms: u64,
    /// The version of its session that it was given for, and until when it runs; none while it is asked for.
    given: Option<(u64, u64)>,
    is_struck: bool,
}

#[derive(Debug, Default)]
struct Stream {
    number: u64,
    is_open_at_service: bool,
    is_open_at_filter: bool,
    up: VecDeque<Up>,
    down: VecDeque<Down>,
    beliefs: HashMap<u32, Belief>,
    renewal_ms: Option<u64>,
    /// What the service has given on it, by lease.
    given: HashMap<u32, (usize, u64)>,
}

pub(super) struct World {
    bug: Bug,
    book: Book,
    now_ms: u64,
    versions: Vec<u64>,
    /// Changes that are not answered yet: the session, its version since, and the ticket.
    unanswered: Vec<(usize, u64, u64)>,
    answered: Vec<u64>,
    streams: Vec<Stream>,
}

fn id(session: usize) -> SessionId {
    SessionId::of(KeyKind::Claim, "https://id", &session.to_string(), "web")
}

impl World {
    pub(super) fn new(bug: Bug, streams: usize, sessions: usize) -> Self {
        let mut book = Book::default();
        let open =
            |_| Stream { number: book.open(), is_open_at_service: true, is_open_at_filter: true, ..Stream::default() };
        let streams = (0..streams).map(open).collect();
        let (versions, answered) = (vec![0; sessions], vec![0; sessions]);
        Self { bug, book, now_ms: 1_000_000, versions, unanswered: Vec::new(), answered, streams }
    }

    fn change(&mut self, session: usize) {
        self.versions[session] += 1;
        self.book.changed(id(session), self.now_ms);
        self.unanswered.push((session, self.versions[session], self.book.ticket()));
    }

    pub(super) fn step(&mut self, step: Step) {
        let now_ms = self.now_ms;
        match step {
            Step::Ask(stream, lease, session) => {
                let stream = &mut self.streams[stream];
                let is_over = |belief: &Belief| belief.given.is_some_and(|(_, until_ms)| until_ms <= now_ms);
                if stream.is_open_at_filter && stream.beliefs.get(&lease).is_none_or(is_over) {
                    let belief = Belief { session, sent_ms: now_ms, given: None, is_struck: false };
                    stream.beliefs.insert(lease, belief);
                    stream.up.push_back(Up::Question { lease, session });
                }
            }
            Step::Up(stream, during) => self.read(stream, during),
            Step::Down(stream) => self.receive(stream),
            Step::Change(session) => self.change(session),
            Step::Touch(session) => drop(self.book.changed(id(session), now_ms)),
            Step::Review(stream, during) => self.review(stream, during),
            Step::Renew(stream) => {
                let stream = &mut self.streams[stream];
                if stream.is_open_at_filter && stream.renewal_ms.is_none() {
                    let is_over = |belief: &Belief| belief.given.is_some_and(|(_, until_ms)| until_ms <= now_ms);
                    let ended: Vec<u32> =
                        stream.beliefs.iter().filter(|(_, belief)| is_over(belief)).map(|(lease, _)| *lease).collect();
                    stream.beliefs.retain(|lease, _| !ended.contains(lease));
                    stream.renewal_ms = Some(now_ms);
                    stream.up.push_back(Up::Renewal { ended });
                }
            }
            Step::CloseAtService(stream) => {
                let stream = &mut self.streams[stream];
                if std::mem::take(&mut stream.is_open_at_service) {
                    if self.bug == Bug::FreesWhatAClosedStreamHas {
                        self.book.end(stream.number, &stream.given.keys().copied().collect::<Vec<_>>());
                    }
                    self.book.close(stream.number);
                    stream.up.clear();
                }
            }
            Step::CloseAtFilter(stream) => {
                let stream = &mut self.streams[stream];
                stream.is_open_at_filter = false;
                stream.beliefs.clear();
                stream.down.clear();
            }
            Step::Wait(ms) => self.now_ms += ms,
            Step::Sweep => drop(self.book.sweep(now_ms)),
        }
        self.answer();
    }

    /// Reads a message of a filter, as the state of a stream does.
    fn read(&mut self, at: usize, during: During) {
        let now_ms = self.now_ms;
        if !self.streams[at].is_open_at_service {
            return;
        }
        let Some(message) = self.streams[at].up.pop_front() else { return };
        let number = self.streams[at].number;
        match message {
            Up::Question { lease, session } => {
                let mut judged = self.versions[session];
                if self.bug == Bug::JudgesBeforeItEnters && during == During::BeforeTheJudge {
                    self.change(session);
                }
                let length_ms = if self.bug == Bug::CountsLess { LENGTH / 2 } else { LENGTH };
                assert!(self.book.enter(number, lease, id(session), None, length_ms, now_ms));
                if self.bug != Bug::JudgesBeforeItEnters {
                    if during == During::BeforeTheJudge {
                        self.change(session);
                    }
                    judged = self.versions[session];
                }
                if during == During::AfterTheJudge {
                    self.change(session);
                }
                let is_given = self.book.give(number, lease, length_ms);
                let is_leased = is_given || self.bug == Bug::GivesWhatHasChangedSince;
                if is_leased {
                    self.streams[at].given.insert(lease, (session, judged));
                }
                self.streams[at].down.push_back(Down::Verdict { lease, version: judged, is_leased });
            }
            Up::Renewal { ended } => {
                self.book.end(number, &ended);
                let refused = self.book.renew(number, &[], now_ms);
                let refused = if self.bug == Bug::HidesThatItDoesNotExtend { Vec::new() } else { refused };
                self.streams[at].down.push_back(Down::Renewed { refused });
            }
            Up::TakenBack(id) => drop(self.book.taken_back(number, id)),
        }
    }

    fn review(&mut self, at: usize, during: During) {
        if !self.streams[at].is_open_at_service {
            return;
        }
        let number = self.streams[at].number;
        let marked = self.book.take_marked(number);
        let versions = self.versions.clone();
        if during != During::Nothing {
            self.change(0);
            if self.bug == Bug::ForgetsAMarkDuringAReview {
                self.book.take_marked(number);
            }
        }
        let stands = |lease: &u32| {
            let given = self.streams[at].given.get(lease);
            self.bug == Bug::LetsStandWhatHasChanged
                || given.is_some_and(|(session, version)| versions[*session] == *version)
        };
        let (stand, over): (Vec<u32>, Vec<u32>) = marked.into_iter().partition(stands);
        stand.iter().for_each(|lease| self.book.stands(number, *lease));
        if let Some(id) = self.book.take_back(number, &over) {
            if self.bug == Bug::TakesATakeBackForCarriedOut {
                self.book.taken_back(number, id);
            }
            self.streams[at].down.push_back(Down::TakeBack { id, leases: over });
        }
    }

    /// A filter reads a message.
    fn receive(&mut self, at: usize) {
        let now_ms = self.now_ms;
        let stream = &mut self.streams[at];
        if !stream.is_open_at_filter {
            return;
        }
        match stream.down.pop_front() {
            None => {}
            Some(Down::Verdict { lease, version, is_leased }) => {
                let Some(belief) = stream.beliefs.get_mut(&lease) else { return };
                if is_leased && !belief.is_struck {
                    belief.given = Some((version, belief.sent_ms + LENGTH + SLOW));
                } else {
                    stream.beliefs.remove(&lease);
                }
            }
            Some(Down::Renewed { refused }) => {
                let sent_ms = stream.renewal_ms.take().unwrap();
                for (lease, belief) in &mut stream.beliefs {
                    if let Some((_, until_ms)) = &mut belief.given
                        && *until_ms > now_ms
                        && !refused.contains(lease)
                    {
                        *until_ms = (*until_ms).max(sent_ms + LENGTH + SLOW);
                    }
                }
            }
            Some(Down::TakeBack { id, leases }) => {
                for lease in leases {
                    if let Some(belief) = stream.beliefs.get_mut(&lease).filter(|belief| belief.given.is_none()) {
                        belief.is_struck = true;
                    } else {
                        stream.beliefs.remove(&lease);
                    }
                }
                stream.up.push_back(Up::TakenBack(id));
            }
        }
    }

    /// Answers the changes that no filter can overlook any more, and looks whether one does.
    fn answer(&mut self) {
        let (book, now_ms) = (&self.book, self.now_ms);
        let answered = &mut self.answered;
        self.unanswered.retain(|(session, version, ticket)| {
            let waits = book.used_until_ms(*ticket, now_ms).is_some();
            if !waits {
                answered[*session] = answered[*session].max(*version);
            }
            waits
        });
        for belief in self.streams.iter().flat_map(|stream| stream.beliefs.values()) {
            if let Some((version, until_ms)) = belief.given.filter(|(_, until_ms)| *until_ms > now_ms) {
                assert!(
                    version >= self.answered[belief.session],
                    "a filter decides until {until_ms} by version {version}, and it is {now_ms}"
                );
            }
        }
    }

    /// Nothing is waited for longer than a lease can run.
    pub(super) fn ends(&mut self) {
        self.now_ms += LENGTH + SLOW + 1;
        self.answer();
        assert!(self.unanswered.is_empty(), "{:?}", self.unanswered);
        self.book.sweep(self.now_ms);
        let leases = self.streams.iter().filter(|stream| !stream.is_open_at_service).count();
        assert!(leases < self.streams.len() || self.book.count() == 0);
    }
}
