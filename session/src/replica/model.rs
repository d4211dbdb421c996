//! A model of the protocol between one replica that revokes and one that judges, explored to the end: nothing is forced to
//! happen, so every pause, every slow network and every crash is one of the paths. Each planted bug must be found.

use std::collections::{HashSet, VecDeque};

/// The serve lease, and the end of time, in steps of a clock that both share: only differences are used.
const LEASE: u8 = 2;
const END: u8 = 9;

/// A bug that the code could have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Bug {
    None,
    AnswersWithoutWaiting,
    WaitsFromBeforeTheAppendWasAnswered,
    WaitsForLessThanTheLease,
    LeaseRunsFromTheAnswer,
    LeaseWithoutTheEntriesOfTheBeat,
    LeaseOfAReplicaThatIsNotListed,
    SettledBeforeItIsApplied,
    MembersReadBeforeTheAppend,
    EvictsOneThatHasBeatenSince,
    BelievesAnOldList,
}

const BUGS: [Bug; 10] = [
    Bug::AnswersWithoutWaiting,
    Bug::WaitsFromBeforeTheAppendWasAnswered,
    Bug::WaitsForLessThanTheLease,
    Bug::LeaseRunsFromTheAnswer,
    Bug::LeaseWithoutTheEntriesOfTheBeat,
    Bug::LeaseOfAReplicaThatIsNotListed,
    Bug::SettledBeforeItIsApplied,
    Bug::MembersReadBeforeTheAppend,
    Bug::EvictsOneThatHasBeatenSince,
    Bug::BelievesAnOldList,
];

/// The row of the judging replica in the list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Row {
    beat: u8,
    settled: bool,
}

/// A beat under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Beat {
    Sent {
        at: u8,
        settled: bool,
    },
    /// The store has taken it; `head`: the revocation was in the log.
    Taken {
        at: u8,
        head: bool,
        listed: bool,
    },
}

/// The revocation, at the replica that makes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Append {
    None,
    Sent { at: u8, listed: Option<Row> },
    Committed { at: u8, members: Option<Row> },
    Answered { since: u8, members: Option<Row> },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct World {
    now: u8,
    row: Option<Row>,
    /// The list as the revoking replica read it last, and whether that was after its append was answered.
    listed: (bool, Option<Row>),
    head: bool,
    append: Append,
    answered_200: bool,
    beat: Option<Beat>,
    /// A beat whose entries are not applied yet, by when it was sent.
    waiting: Option<u8>,
    lease_until: u8,
    applied: bool,
}

impl World {
    fn start(row: Option<Row>) -> Self {
        Self {
            now: 0,
            row,
            listed: (false, row),
            head: false,
            append: Append::None,
            answered_200: false,
            beat: None,
            waiting: None,
            lease_until: 0,
            applied: false,
        }
    }

    /// The session is released although its revocation was answered.
    fn releases_late(&self) -> bool {
        self.answered_200 && !self.applied && self.now < self.lease_until
    }

    fn next(self, bug: Bug) -> Vec<Self> {
        let mut next = Vec::new();
        if self.now < END {
            next.push(Self { now: self.now + 1, ..self });
        }
        next.extend(self.judging(bug));
        next.extend(self.revoking(bug));
        next
    }

    /// What the judging replica, and the store for it, may do.
    fn judging(self, bug: Bug) -> Vec<Self> {
        let mut next = Vec::new();
        match self.beat {
            None => {
                let settled = self.applied || bug == Bug::SettledBeforeItIsApplied && self.head;
                next.push(Self { beat: Some(Beat::Sent { at: self.now, settled }), ..self });
            }
            Some(Beat::Sent { at, settled }) => {
                let row = self.row.map(|row| Row { beat: row.beat + 1, settled: row.settled || settled });
                let taken = Beat::Taken { at, head: self.head, listed: row.is_some() };
                // Beats are few: their numbers stay small.
                if row.is_none_or(|row| row.beat < 4) {
                    next.push(Self { row, beat: Some(taken), ..self });
                }
            }
            Some(Beat::Taken { at, head, listed }) => {
                let from = if bug == Bug::LeaseRunsFromTheAnswer { self.now } else { at };
                let got = Self { beat: None, ..self };
                if !listed && bug != Bug::LeaseOfAReplicaThatIsNotListed {
                    // It joins, in the order of the appends, and beats again.
                    let row = Some(Row { beat: 0, settled: self.applied });
                    next.push(Self { row, ..got });
                } else if !head || self.applied || bug == Bug::LeaseWithoutTheEntriesOfTheBeat {
                    next.push(Self { lease_until: got.lease_until.max(from + LEASE), ..got });
                } else {
                    next.push(Self { waiting: Some(from), ..got });
                }
            }
        }
        if self.head && !self.applied {
            let until = self.waiting.map_or(0, |from| from + LEASE);
            next.push(Self { applied: true, waiting: None, lease_until: self.lease_until.max(until), ..self });
        }
        next
    }

    /// What the revoking replica, and the store for it, may do.
    fn revoking(self, bug: Bug) -> Vec<Self> {
        let is_answered = matches!(self.append, Append::Answered { .. });
        let mut next = vec![Self { listed: (is_answered, self.row), ..self }];
        match self.append {
            Append::None => next.push(Self { append: Append::Sent { at: self.now, listed: self.row }, ..self }),
            Append::Sent { at, listed } => {
                let members = if bug == Bug::MembersReadBeforeTheAppend { listed } else { self.row };
                next.push(Self { head: true, append: Append::Committed { at, members }, ..self });
            }
            Append::Committed { at, members } => {
                let since = if bug == Bug::WaitsFromBeforeTheAppendWasAnswered { at } else { self.now };
                next.push(Self { append: Append::Answered { since, members }, ..self });
            }
            Append::Answered { since, members } => {
                let wait = if bug == Bug::WaitsForLessThanTheLease { LEASE - 1 } else { LEASE };
                let is_over = self.now >= since + wait;
                let (is_new, read) = self.listed;
                let is_settled = match (members, read) {
                    (None, _) => true,
                    (Some(member), _) if member.settled => true,
                    (Some(_), Some(row)) => row.settled,
                    (Some(_), None) => is_new || bug == Bug::BelievesAnOldList,
                };
                if is_settled || is_over || bug == Bug::AnswersWithoutWaiting {
                    next.push(Self { answered_200: true, ..self });
                }
            }
        }
        // An earlier revocation, answered at the beginning, has seen the first beat, and has waited for the lease.
        if let Some(row) = self.row
            && self.now >= LEASE
            && (row.beat == 0 || bug == Bug::EvictsOneThatHasBeatenSince)
        {
            next.push(Self { row: None, ..self });
        }
        next
    }
}

/// Explores everything; returns the number of states, or a path's last state in which the promise is broken.
fn explore(bug: Bug) -> Result<usize, Box<World>> {
    let row = Row { beat: 0, settled: false };
    let mut left: VecDeque<World> = [World::start(Some(row)), World::start(None)].into();
    let mut seen: HashSet<World> = left.iter().copied().collect();
    while let Some(world) = left.pop_front() {
        if world.releases_late() {
            return Err(Box::new(world));
        }
        left.extend(world.next(bug).into_iter().filter(|next| seen.insert(*next)));
    }
    Ok(seen.len())
}

#[test]
fn no_order_of_steps_releases_a_session_after_its_revocation_was_answered() {
    let states = explore(Bug::None).unwrap_or_else(|world| panic!("{world:?}"));
    assert!(states > 10_000, "{states}");
}

#[test]
fn every_planted_bug_is_found() {
    for bug in BUGS {
        assert!(explore(bug).is_err(), "{bug:?} was not found");
    }
}
