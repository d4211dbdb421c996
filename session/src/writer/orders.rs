//! Every order of questions, revocations, openings, commits and crashes about one session up to a depth, over the real
//! registry and the real commits, with a disk in memory. States that were reached before are not explored again.

use super::commit::Commit;
use super::op::{NotWritten, Op, Opening, Reply, Revoking, Unseen};
use super::prepare::{Behind, Group};
use crate::audit::{Actor, Audit};
use crate::bound_token::{BoundToken, Required};
use crate::fixtures::{IDLE, T0, audit, loaded, of_kind, person, types};
use crate::issuers::KnownIssuer;
use crate::judge::Asked;
use crate::life::{OnDisk, Stage};
use crate::metrics::Metrics;
use crate::registry::{Enrolment, LookedUp, NotOpened, Registry};
use crate::revocations::Revocation;
use crate::session::Session;
use crate::store::{Change, Lead, ReceiptId, Record, Rules, Store, StoreError};
use crate::token::Token;
use portcullis_contract::wire::Outcome;
use portcullis_contract::{KeyKind, SessionId};
use std::collections::{BTreeMap, HashSet, VecDeque};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, LazyLock, Mutex};
use tokio::sync::oneshot::Receiver;

/// Events in a row.
const DEPTH: usize = 8;

/// The time between two tokens: enough for a session to end.
const STEP: u64 = IDLE + 1;

#[derive(Debug, Default)]
struct Tables {
    sessions: BTreeMap<SessionId, Record>,
    tombstones: BTreeMap<SessionId, Record>,
    /// That of the session's id, if it was revoked before it was seen.
    revocation: Option<Revocation>,
}

/// A disk that keeps the rule of every store.
#[derive(Debug, Default)]
struct Disk(Mutex<Tables>);

impl Store for Disk {
    fn received(&self, _ids: &[&ReceiptId]) -> Result<HashSet<ReceiptId>, StoreError> {
        Ok(HashSet::new())
    }

    fn recover(&self) -> Result<bool, StoreError> {
        Ok(false)
    }

    fn issuers(&self) -> Result<Vec<KnownIssuer>, StoreError> {
        Ok(Vec::new())
    }

    fn id(&self) -> String {
        "0".to_owned()
    }

    fn secret(&self) -> String {
        "0".to_owned()
    }

    fn leads(&self) -> Result<Vec<Lead>, StoreError> {
        Ok(Vec::new())
    }

    fn usage(&self, _: u32, _: &mut dyn FnMut(crate::usage::Used)) -> Result<(), StoreError> {
        Ok(())
    }

    fn rules(&self) -> Result<Rules, StoreError> {
        let revocations = self.0.lock().unwrap().revocation.clone().into_iter().collect();
        Ok(Rules { revocations, ..Rules::default() })
    }

    fn sessions(&self, each: &mut dyn FnMut(Record)) -> Result<usize, StoreError> {
        self.0.lock().unwrap().sessions.values().cloned().for_each(each);
        Ok(0)
    }

    fn apply(&self, changes: &[Change]) -> Result<(), StoreError> {
        let mut disk = self.0.lock().unwrap();
        for change in changes {
            match change {
                Change::Write(record) | Change::Open(record) => {
                    let ended = disk.tombstones.get(&record.id()).and_then(|tombstone| tombstone.ended);
                    if record.may_replace(ended) {
                        disk.tombstones.remove(&record.id());
                        disk.sessions.insert(record.id(), record.clone());
                    }
                }
                Change::Seen(id, marks) => {
                    disk.sessions.entry(*id).and_modify(|r| r.marks = r.marks.merged(*marks));
                }
                Change::Tombstone(record) => {
                    let held = disk.tombstones.get(&record.id()).and_then(|tombstone| tombstone.ended);
                    disk.sessions.remove(&record.id());
                    disk.tombstones.insert(record.id(), record.clone().over(held));
                }
                Change::Revocation(revocation) => {
                    let held = disk.revocation.take();
                    disk.revocation = Some(held.map_or(revocation.clone(), |held| revocation.clone().merged(&held)));
                }
                Change::Forget(..)
                | Change::Lift(_)
                | Change::Block(_)
                | Change::Unblock(_)
                | Change::Received(_)
                | Change::ForgetReceived(_)
                | Change::Unreceived(_)
                | Change::Narrowing(_)
                | Change::Attribute(_)
                | Change::Hold(_)
                | Change::Unhold(_)
                | Change::Request(_)
                | Change::ForgetRequest(_)
                | Change::Issuers(_)
                | Change::Leads(_)
                | Change::Rules(_)
                | Change::Used(_)
                | Change::ForgetUsed(_) => {}
            }
        }
        Ok(())
    }

    fn tombstones_of(&self, ids: &[SessionId]) -> Result<Vec<(SessionId, Option<Record>)>, StoreError> {
        let disk = self.0.lock().unwrap();
        Ok(ids.iter().filter_map(|id| Some((*id, Some(disk.tombstones.get(id)?.clone())))).collect())
    }

    fn tombstones(
        &self,
        _: Option<SessionId>,
        _: &mut dyn FnMut(SessionId, Option<Record>) -> bool,
    ) -> Result<(), StoreError> {
        Ok(())
    }
}

/// What can happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Event {
    /// A question about the token that was issued at this step.
    Ask(u64),
    /// The look-up for that question is made early, and may be outdated by the time of the question.
    LookUp(u64),
    /// Time passes: what lives is over.
    Expire,
    /// The admin API revokes the session, in memory or on disk.
    Revoke,
    /// The admin API opens the session.
    Open,
    /// The writer prepares the durable changes that wait, or what is written later.
    Prepare,
    PrepareBehind,
    /// What was prepared is committed.
    Commit,
    /// The disk refuses what was prepared.
    Fail,
    Crash,
    /// The same, after a commit of which memory has not heard.
    CommitAndCrash,
}

const EVENTS: [Event; 13] = [
    Event::Ask(0),
    Event::Ask(1),
    Event::LookUp(0),
    Event::LookUp(1),
    Event::Expire,
    Event::Revoke,
    Event::Open,
    Event::Prepare,
    Event::PrepareBehind,
    Event::Commit,
    Event::Fail,
    Event::Crash,
    Event::CommitAndCrash,
];

/// A caller that waits for the writer.
enum Caller {
    Asked(u64, Receiver<Result<(), NotWritten>>),
    Revokes(Receiver<Result<Option<Box<Record>>, NotWritten>>),
    Opens(Receiver<Result<Result<Arc<Session>, NotOpened>, NotWritten>>),
}

enum Prepared {
    Group(Group),
    Behind(Behind),
}

impl Prepared {
    fn changes(&self) -> &[Change] {
        match self {
            Self::Group(group) => &group.changes,
            Self::Behind(behind) => &behind.changes,
        }
    }
}

struct World {
    kind: KeyKind,
    /// Its tokens say `auth_time`: the later one is a login.
    has_logins: bool,
    disk: Arc<Disk>,
    registry: Arc<Registry>,
    commit: Commit,
    step: u64,
    waiting: Vec<Op>,
    callers: Vec<Caller>,
    prepared: Option<Prepared>,
    found: [Option<LookedUp>; 2],
    /// How often the session has left memory since each look-up.
    left: [u8; 2],
    /// Every session object, in the order of appearance.
    seen: Vec<Arc<Session>>,
    /// The operations that were prepared, for the fingerprint.
    trace: String,
    /// Tokens whose refusal has left: they must be refused for ever.
    refused: [bool; 2],
    /// The admin API has opened the session, and nothing has ended it since.
    must_live: bool,
}

/// Counting is not part of what is explored: all worlds share one audit, which takes time to make.
static AUDIT: LazyLock<(Arc<Audit>, Arc<Metrics>)> = LazyLock::new(audit);

fn parts(disk: &Arc<Disk>) -> (Arc<Registry>, Commit) {
    let (audit, metrics) = AUDIT.clone();
    let registry = loaded(disk.clone(), Enrolment::FirstUse, &audit, &metrics);
    let commit = Commit::new(Arc::clone(&registry), disk.clone(), audit, metrics, Arc::new(AtomicBool::new(true)));
    (registry, commit)
}

impl World {
    fn new((kind, has_logins): (KeyKind, bool)) -> Self {
        let disk = Arc::<Disk>::default();
        let (registry, commit) = parts(&disk);
        Self {
            kind,
            has_logins,
            disk,
            registry,
            commit,
            step: 0,
            waiting: Vec::new(),
            callers: Vec::new(),
            prepared: None,
            found: [None, None],
            left: [0; 2],
            seen: Vec::new(),
            trace: String::new(),
            refused: [false; 2],
            must_live: false,
        }
    }

    fn now_ms(&self) -> u64 {
        T0 + self.step * STEP
    }

    fn token(&self, step: u64) -> Token {
        let at_ms = T0 + step * STEP;
        let token = of_kind(self.kind, person("s", at_ms));
        Token { authenticated_ms: self.has_logins.then_some(at_ms), ..token }
    }

    fn in_memory(&self) -> Option<Arc<Session>> {
        self.registry.find(self.token(0).id)
    }

    fn is_enabled(&self, event: Event) -> bool {
        match event {
            Event::Ask(step) => step <= self.step,
            Event::LookUp(step) => step <= self.step && self.in_memory().is_none() && self.slot(step).is_none(),
            Event::Expire => self.step < 2,
            Event::Revoke => self.waiting.len() < 3 && !self.waiting.iter().any(|op| matches!(op, Op::Revoke(..))),
            Event::Open => self.waiting.len() < 3,
            Event::Prepare => self.prepared.is_none() && !self.waiting.is_empty(),
            Event::PrepareBehind => self.prepared.is_none(),
            Event::Commit | Event::Fail | Event::CommitAndCrash => self.prepared.is_some(),
            Event::Crash => true,
        }
    }

    fn slot(&self, step: u64) -> &Option<LookedUp> {
        &self.found[usize::try_from(step).unwrap()]
    }

    fn play(&mut self, event: Event) {
        let before = self.in_memory();
        match event {
            Event::Ask(step) => self.ask(step),
            Event::LookUp(step) => {
                let mut bound = BoundToken::new(Arc::new(self.token(step)));
                let look_up = bound.bind(&self.registry, true, None, self.now_ms()).unwrap_err();
                let slot = usize::try_from(step).unwrap();
                (self.found[slot], self.left[slot]) = (Some(self.registry.look_up(&look_up).unwrap()), 0);
            }
            Event::Expire => {
                self.step += 1;
                self.must_live = false;
            }
            Event::Revoke => {
                self.must_live = false;
                let now_ms = self.now_ms();
                let id = self.token(0).id;
                let revoking = Revoking { id, reason: String::new(), unseen: Unseen::Revoked, now_ms };
                self.send(|reply| Op::Revoke(revoking, reply), Caller::Revokes);
            }
            Event::Open => {
                let access = types().named("person").unwrap();
                let opening = Opening { token: self.token(self.step), access, now_ms: self.now_ms() };
                self.send(|reply| Op::Open(Box::new(opening), reply), Caller::Opens);
            }
            Event::Prepare => {
                let ops = std::mem::take(&mut self.waiting);
                self.trace = self.describe(&ops);
                self.prepared = Some(Prepared::Group(self.commit.prepare(ops)));
                self.hear();
            }
            Event::PrepareBehind => {
                let behind = self.commit.take_changed();
                self.trace = format!("{:?}", behind.iter().map(|session| self.index(session)).collect::<Vec<_>>());
                self.prepared = Some(Prepared::Behind(self.commit.prepare_behind(&behind)));
            }
            Event::Commit => {
                let prepared = self.prepared.take().unwrap();
                let made = self.commit.apply(prepared.changes());
                self.finish(prepared, made);
            }
            Event::Fail => {
                let prepared = self.prepared.take().unwrap();
                self.finish(prepared, Err(StoreError("full".to_owned())));
            }
            Event::Crash => self.crash(),
            Event::CommitAndCrash => {
                self.commit.apply(self.prepared.take().unwrap().changes()).unwrap();
                self.crash();
            }
        }
        self.note_sessions(before);
        self.check();
    }

    /// What memory believes of the disk is true of the disk: no tombstone has overwritten the record of the session that
    /// came in its place, and nothing has brought back a record that a tombstone ended.
    fn check(&self) {
        let Some(session) = self.in_memory() else {
            return;
        };
        let disk = self.disk.0.lock().unwrap();
        let of_it = |r: &&Record| (r.opened_at_ms, r.returned) == (session.opened_at_ms, session.returned);
        let has_record = disk.sessions.get(&session.id).filter(of_it).is_some();
        let has_tombstone = disk.tombstones.contains_key(&session.id);
        match session.life().stage() {
            Stage::Recorded | Stage::Ended(_, OnDisk::Record) => assert!(has_record && !has_tombstone, "{disk:?}"),
            Stage::Ended(_, OnDisk::OtherTombstone | OnDisk::Tombstone) => assert!(has_tombstone, "{disk:?}"),
            Stage::Unrecorded | Stage::Ended(_, OnDisk::Nothing) | Stage::Replaced(..) => {}
        }
    }

    fn note_sessions(&mut self, before: Option<Arc<Session>>) {
        let now = self.in_memory();
        if before.is_some() && now.is_none() {
            self.left = self.left.map(|left| (left + 1).min(1));
        }
        if let Some(session) = now {
            self.index(&session);
        }
    }

    fn index(&mut self, session: &Arc<Session>) -> usize {
        if let Some(known) = self.seen.iter().position(|known| Arc::ptr_eq(known, session)) {
            return known;
        }
        self.seen.push(Arc::clone(session));
        self.seen.len() - 1
    }

    fn ask(&mut self, step: u64) {
        let mut bound = BoundToken::new(Arc::new(self.token(step)));
        let mut found = self.found[usize::try_from(step).unwrap()].take();
        while let Err(look_up) = bound.bind(&self.registry, true, found.as_ref(), self.now_ms()) {
            found = Some(self.registry.look_up(&look_up).unwrap());
        }
        let answer = bound.answer(&self.registry, Asked::default(), Required::default(), self.now_ms());
        match (answer.verdict.outcome(), answer.awaits) {
            (Outcome::Active, None) => {
                assert!(!self.refused[usize::try_from(step).unwrap()], "an answered end is lost");
            }
            (Outcome::IdleTimeout | Outcome::Revoked, None) => self.refuse(step),
            (Outcome::IdleTimeout | Outcome::Revoked, Some(session)) => {
                self.send(|reply| Op::MakeDurable(vec![session], reply), |heard| Caller::Asked(step, heard));
            }
            other => panic!("{other:?}"),
        }
        if self.must_live && step == self.step {
            assert_eq!(answer.verdict.outcome(), Outcome::Active, "an opened session is lost");
        }
    }

    /// A refusal of that token has left.
    fn refuse(&mut self, step: u64) {
        for (issued, refused) in (0..).zip(&mut self.refused) {
            // A session that is named by a claim comes back by a login only, another by a later token.
            *refused |= issued == step || self.kind == KeyKind::Claim && !self.has_logins;
        }
    }

    fn send<T>(
        &mut self,
        op: impl FnOnce(Reply<T>) -> Op,
        caller: impl FnOnce(Receiver<Result<T, NotWritten>>) -> Caller,
    ) {
        let (reply, heard) = tokio::sync::oneshot::channel();
        self.waiting.push(op(Reply { by: Actor::Nobody, to: reply }));
        self.callers.push(caller(heard));
    }

    fn finish(&mut self, prepared: Prepared, made: Result<(), StoreError>) {
        if self.trace.contains("revoke") && made.is_ok() {
            // Look-ups from before a revocation are made again.
            self.left = self.left.map(|left| (left + 1).min(1));
        }
        match prepared {
            Prepared::Group(group) => self.commit.write_all(self.commit.finish(group, made)),
            Prepared::Behind(behind) => drop(self.commit.finish_behind(behind, made)),
        }
        self.trace.clear();
        self.hear();
    }

    /// The callers whose answers have come.
    fn hear(&mut self) {
        let now_ms = self.now_ms();
        // One that waits ends it, at any time from now on: even where nobody hears of it.
        let is_revoking = self.callers.iter().any(|caller| matches!(caller, Caller::Revokes(_)));
        for mut caller in std::mem::take(&mut self.callers) {
            match &mut caller {
                Caller::Asked(step, heard) => match heard.try_recv() {
                    Ok(Ok(())) => self.refuse(*step),
                    Ok(Err(_)) => {}
                    Err(_) => self.callers.push(caller),
                },
                Caller::Revokes(heard) => match heard.try_recv() {
                    Ok(Ok(Some(record))) => {
                        let at_ms = record.ended.unwrap().at_ms;
                        (0..2).filter(|step| T0 + step * STEP <= at_ms).for_each(|step| self.refuse(step));
                    }
                    Ok(Ok(None)) => {
                        let before_ms = self.disk.0.lock().unwrap().revocation.as_ref().unwrap().before_ms;
                        (0..2).filter(|step| T0 + step * STEP < before_ms).for_each(|step| self.refuse(step));
                    }
                    Ok(Err(_)) => {}
                    Err(_) => self.callers.push(caller),
                },
                Caller::Opens(heard) => match heard.try_recv() {
                    // It may have been over by its limits while it waited to be opened.
                    Ok(Ok(Ok(session))) => {
                        let is_over = session.expiry(now_ms).or(session.ended()).is_some();
                        self.must_live = !is_over && !is_revoking;
                    }
                    Ok(_) => {}
                    Err(_) => self.callers.push(caller),
                },
            }
        }
    }

    fn crash(&mut self) {
        self.waiting.clear();
        self.callers.clear();
        self.prepared = None;
        self.found = [None, None];
        self.seen.clear();
        self.trace.clear();
        (self.registry, self.commit) = parts(&self.disk);
    }

    fn describe(&mut self, ops: &[Op]) -> String {
        let mut text = String::new();
        for op in ops {
            text += &match op {
                Op::Revoke(revoking, _) => format!("revoke {};", revoking.now_ms),
                Op::Open(opening, _) => format!("open {};", opening.now_ms),
                Op::MakeDurable(sessions, _) => format!("tombstone {};", self.index(&sessions[0])),
                Op::Narrow(..)
                | Op::ChangeScopes(..)
                | Op::Revocation(..)
                | Op::Lift(..)
                | Op::Block(..)
                | Op::Unblock(..)
                | Op::Attribute(..)
                | Op::Approval(..)
                | Op::Signal(..)
                | Op::ForgetReceived(_)
                | Op::ForgetUsed(_)
                | Op::Forget(..)
                | Op::Enrol(..)
                | Op::CatchUp(_) => unreachable!(),
            };
        }
        text
    }

    /// Everything that what may happen next depends on.
    fn fingerprint(&mut self) -> String {
        let waiting = std::mem::take(&mut self.waiting);
        let waits = self.describe(&waiting);
        self.waiting = waiting;
        let (memory, disk) = (self.in_memory().map(|session| self.index(&session)), self.disk.0.lock().unwrap());
        let of = |session: &Arc<Session>| {
            let life = session.life();
            let is_queued = !life.enqueue();
            if !is_queued {
                life.dequeue();
            }
            (life.stage(), is_queued, session.returned, session.opened_at_ms, session.marks())
        };
        let seen: Vec<_> = self.seen.iter().map(of).collect();
        let callers = self.callers.iter().map(|caller| match caller {
            Caller::Asked(step, _) => *step,
            Caller::Revokes(_) => 10,
            Caller::Opens(_) => 11,
        });
        let callers: Vec<u64> = callers.collect();
        let prepared = self.prepared.as_ref().map(Prepared::changes);
        let found = self.found.iter().zip(self.left).map(|(found, left)| (found.is_some(), left)).collect::<Vec<_>>();
        format!(
            "{} {waits} {memory:?} {seen:?} {disk:?} {callers:?} {prepared:?} {} {found:?} {:?} {} {:?}",
            self.step,
            self.trace,
            self.refused,
            self.must_live,
            self.registry.rules().revocations
        )
    }
}

fn played(of: (KeyKind, bool), events: &[Event]) -> World {
    let mut world = World::new(of);
    for event in events {
        world.play(*event);
    }
    world
}

fn explore(of: (KeyKind, bool)) -> usize {
    let mut known = HashSet::new();
    let mut open = VecDeque::from([Vec::new()]);
    while let Some(events) = open.pop_front() {
        let world = played(of, &events);
        for event in EVENTS.into_iter().filter(|event| world.is_enabled(*event)) {
            let next: Vec<Event> = events.iter().copied().chain([event]).collect();
            let reached = std::panic::catch_unwind(|| played(of, &next).fingerprint());
            let Ok(fingerprint) = reached else { panic!("{of:?}: {next:?}") };
            if known.insert(fingerprint) && next.len() < DEPTH {
                open.push_back(next);
            }
        }
    }
    known.len()
}

fn holds(of: (KeyKind, bool)) {
    let states = explore(of);
    println!("{of:?}: {states} states");
    assert!(states > 50_000, "{of:?}: {states}");
}

#[test]
fn no_order_loses_an_answered_end_or_an_opened_session_that_never_comes_back() {
    holds((KeyKind::Claim, false));
}

#[test]
fn no_order_loses_an_answered_end_or_an_opened_session_that_may_come_back() {
    holds((KeyKind::Machine, false));
}

#[test]
fn no_order_loses_an_answered_end_or_an_opened_session_that_comes_back_by_a_login() {
    holds((KeyKind::Claim, true));
}
