//! A model of failovers, explored to the end: two replicas, a server that has everything, and a standby that lags behind and
//! is promoted at any moment while the old server goes on. Nothing is forced to happen. Each planted bug must be found.
//!
//! A history is a list of changes. Each replica makes one; it is answered once it is in that replica's journal and the other
//! has it too, or has no serve lease. A lease is a flag here: that it runs out is a step that may come at any time, and a
//! replica that another waits for has let it run out (the model of [`crate::replica`] has the clocks).

use std::collections::{HashSet, VecDeque};

/// A bug that the code could have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Bug {
    None,
    TakesChangesBeforeAllHaveReported,
    GivesLeasesBeforeAllHaveReported,
    ReadsBeforeAllHaveReported,
    GivesNothingBack,
    AnswersBeforeTheJournal,
    ForgetsItsEpoch,
    ReportsOfAnOlderEpochCount,
    TakesWhatRedisHasBeyond,
}

const BUGS: [Bug; 8] = [
    Bug::TakesChangesBeforeAllHaveReported,
    Bug::GivesLeasesBeforeAllHaveReported,
    Bug::ReadsBeforeAllHaveReported,
    Bug::GivesNothingBack,
    Bug::AnswersBeforeTheJournal,
    Bug::ForgetsItsEpoch,
    Bug::ReportsOfAnOlderEpochCount,
    Bug::TakesWhatRedisHasBeyond,
];

const REPLICAS: usize = 2;
const SERVERS: usize = 2;

/// Changes, oldest first: `a`'s is 1, `b`'s is 2, and 0 is none.
type History = [u8; REPLICAS];

fn len(history: History) -> usize {
    history.iter().filter(|change| **change != 0).count()
}

fn with(mut history: History, change: u8) -> History {
    if let Some(free) = history.iter_mut().find(|held| **held == 0) {
        *free = change;
    }
    history
}

/// Whether one history is the beginning of another.
fn begins(short: History, long: History) -> bool {
    short.iter().zip(long).take(len(short)).all(|(one, other)| *one == other)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Server {
    log: History,
    epoch: u8,
    /// Which server the epoch was recorded by: a copy of its data has it as well.
    lineage: u8,
    reported: [bool; REPLICAS],
}

impl Server {
    fn is_complete(&self) -> bool {
        self.reported.iter().all(|reported| *reported)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Change {
    New,
    /// In the log of that server, and the answer is under way.
    Appended(u8),
    Journaled,
    Answered,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Replica {
    journal: History,
    memory: History,
    epoch: u8,
    lineage: u8,
    has_lease: bool,
    own: Change,
    crashes: u8,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct World {
    servers: [Server; SERVERS],
    is_promoted: bool,
    replicas: [Replica; REPLICAS],
}

impl World {
    fn start() -> Self {
        let server = Server { log: [0; REPLICAS], epoch: 1, lineage: 0, reported: [true; REPLICAS] };
        let replica = Replica {
            journal: [0; REPLICAS],
            memory: [0; REPLICAS],
            epoch: 1,
            lineage: 0,
            has_lease: true,
            own: Change::New,
            crashes: 0,
        };
        Self { servers: [server; SERVERS], is_promoted: false, replicas: [replica; REPLICAS] }
    }

    /// A change that was answered, and by which somebody who gives verdicts does not judge.
    fn is_broken(&self) -> bool {
        (1..).zip(&self.replicas).any(|(change, replica)| {
            replica.own == Change::Answered
                && self.replicas.iter().any(|judge| judge.has_lease && !judge.memory.contains(&change))
        })
    }

    fn next(self, bug: Bug) -> Vec<Self> {
        let mut next = Vec::new();
        if !self.is_promoted {
            // The standby has any beginning of the log, with whatever the server had recorded.
            let mut behind = self;
            behind.servers[1] = self.servers[0];
            next.push(behind);
            next.push(Self { is_promoted: true, ..self });
        }
        for at in 0..REPLICAS {
            for server in 0..SERVERS {
                if server == 0 || self.is_promoted {
                    next.extend(self.asks(at, server, bug));
                }
            }
            next.extend(self.alone(at, bug));
        }
        next
    }

    /// What one replica may do at one server.
    fn asks(self, at: usize, to: usize, bug: Bug) -> Vec<Self> {
        let mut world = self;
        let lineage = u8::try_from(to).unwrap();
        let (server, replica) = (&mut world.servers[to], &mut world.replicas[at]);
        if replica.epoch > 3 || server.epoch > 3 {
            return Vec::new();
        }
        if server.lineage != lineage
            || replica.epoch > server.epoch
            || (replica.epoch == server.epoch && replica.lineage != lineage)
        {
            server.epoch = server.epoch.max(replica.epoch) + 1;
            server.lineage = lineage;
            if bug != Bug::ReportsOfAnOlderEpochCount {
                server.reported = [false; REPLICAS];
            }
        }
        if (replica.epoch, replica.lineage) != (server.epoch, lineage) {
            (replica.epoch, replica.lineage) = (server.epoch, lineage);
        }
        let mut next = vec![world];
        if !world.servers[to].reported[at] {
            next.push(world.reports(at, to, bug));
            if bug != Bug::ReadsBeforeAllHaveReported {
                return next;
            }
        }
        next.extend(world.works(at, to, bug));
        next
    }

    fn reports(mut self, at: usize, to: usize, bug: Bug) -> Self {
        let (server, journal) = (&mut self.servers[to], self.replicas[at].journal);
        let has_less = len(server.log) < len(journal);
        let differs = !begins(journal, server.log) && !begins(server.log, journal);
        if (has_less || differs && bug != Bug::TakesWhatRedisHasBeyond) && bug != Bug::GivesNothingBack {
            server.log = journal;
        }
        server.reported[at] = true;
        self
    }

    /// What it may do once it has reported.
    fn works(self, at: usize, to: usize, bug: Bug) -> Vec<Self> {
        let mut next = Vec::new();
        let (server, replica) = (self.servers[to], self.replicas[at]);
        let is_complete = server.is_complete();
        let change = u8::try_from(at + 1).unwrap();
        if is_complete || bug == Bug::ReadsBeforeAllHaveReported {
            let mut read = self;
            (read.replicas[at].journal, read.replicas[at].memory) = (server.log, server.log);
            next.push(read);
        }
        if is_complete || bug == Bug::GivesLeasesBeforeAllHaveReported {
            let mut beaten = self;
            // It has applied all that the log had.
            beaten.replicas[at].has_lease |= begins(server.log, replica.memory);
            next.push(beaten);
        }
        let may_append = is_complete || bug == Bug::TakesChangesBeforeAllHaveReported;
        if may_append && replica.own == Change::New && server.log == replica.journal && !server.log.contains(&change) {
            let mut appended = self;
            appended.servers[to].log = with(server.log, change);
            appended.replicas[at].own = Change::Appended(replica.epoch);
            next.push(appended);
        }
        next
    }

    /// What it may do without any server.
    fn alone(self, at: usize, bug: Bug) -> Vec<Self> {
        let mut next = Vec::new();
        let (replica, other) = (self.replicas[at], self.replicas[1 - at]);
        let change = u8::try_from(at + 1).unwrap();
        let mut put = |changed: Replica| {
            let mut world = self;
            world.replicas[at] = changed;
            next.push(world);
        };
        put(Replica { has_lease: false, ..replica });
        match replica.own {
            // The commit and the move to another epoch exclude each other, so this is of the same epoch.
            Change::Appended(epoch) if epoch == replica.epoch && !replica.journal.contains(&change) => {
                let memory = with(replica.memory, change);
                if bug == Bug::AnswersBeforeTheJournal {
                    put(Replica { memory, own: Change::Journaled, ..replica });
                }
                put(Replica { journal: with(replica.journal, change), memory, own: Change::Journaled, ..replica });
            }
            // The other has it, or was waited out.
            Change::Journaled if other.memory.contains(&change) || !other.has_lease => {
                put(Replica { own: Change::Answered, ..replica });
            }
            _ => {}
        }
        if replica.crashes == 0 {
            let (epoch, lineage) = if bug == Bug::ForgetsItsEpoch { (0, 0) } else { (replica.epoch, replica.lineage) };
            let own = if replica.own == Change::Answered { Change::Answered } else { Change::Journaled };
            // What was under way is never answered by a new process.
            let own =
                if own == Change::Journaled && replica.own != Change::New { Change::Appended(0) } else { replica.own };
            put(Replica { memory: replica.journal, epoch, lineage, has_lease: false, own, crashes: 1, ..replica });
        }
        next
    }
}

/// Explores everything; returns the number of states, or a state in which the promise is broken.
fn explore(bug: Bug) -> Result<usize, Box<World>> {
    let mut left = VecDeque::from([World::start()]);
    let mut seen: HashSet<World> = left.iter().copied().collect();
    while let Some(world) = left.pop_front() {
        if world.is_broken() {
            return Err(Box::new(world));
        }
        left.extend(world.next(bug).into_iter().filter(|next| seen.insert(*next)));
    }
    Ok(seen.len())
}

#[test]
fn no_failover_loses_a_change_that_was_answered() {
    let states = explore(Bug::None).unwrap_or_else(|world| panic!("{world:?}"));
    assert!(states > 10_000, "{states}");
}

#[test]
fn every_planted_bug_is_found() {
    for bug in BUGS {
        assert!(explore(bug).is_err(), "{bug:?} was not found");
    }
}
