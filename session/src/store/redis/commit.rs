//! Commits: lock the log's head, read what the others have written, append to the log, and write the journal.

use super::failover::unexpected;
use super::journal::{Committing, Locked, State, kept};
use super::open::{Redis, random};
use super::refusal::{LOST, Refusal};
use super::reply::Reply;
use super::script::{APPEND, LOCK, READ, UNLOCK};
use crate::replica::{Appended, Place};
use crate::store::batch::{Batch, Fate, wanted};
use crate::store::embedded::Logged;
use crate::store::entry::{self, Entry};
use crate::store::{Change, StoreError};
use portcullis_contract::SessionId;
use std::collections::BTreeMap;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// Entries that are read at a time.
const PAGE: usize = 32;

/// For how long others leave the log to who has locked it.
const LOCK_MS: u64 = 1_500;

/// How long a commit waits for the lock, and the pauses in between.
const LOCK_MAX: Duration = Duration::from_millis(3_500);
const LOCK_PAUSE: Duration = Duration::from_millis(2);

impl Redis {
    /// Applies what others have written since the last call, in order.
    pub(super) fn read_log(&self, each: &mut dyn FnMut(Change)) -> Result<(), Refusal> {
        loop {
            // Each page by itself: a long way to the end of the log holds up nobody.
            let mut committing = self.committing();
            committing.pending.drain(..).flat_map(|(_, changes)| changes).for_each(&mut *each);
            if !self.read_page(&mut committing, each)? {
                return Ok(());
            }
        }
    }

    /// Applies the next entries; returns whether there may be more.
    fn read_page(&self, committing: &mut Committing, each: &mut dyn FnMut(Change)) -> Result<bool, Refusal> {
        let (after, count) = (committing.state.number.to_string(), PAGE.to_string());
        let mut reply = self.ask(committing, &READ, &[after.as_bytes(), count.as_bytes()])?;
        must_be_ok(&reply)?;
        let head: Place = reply.number()?;
        let entries = reply.entries()?;
        let is_full = entries.len() >= PAGE;
        self.take(committing, entries, head, each)?;
        Ok(is_full)
    }

    /// Keeps others from committing for a while, and applies what they have written until then.
    pub(super) fn lock_log(&self, each: &mut dyn FnMut(Change)) -> Result<(), StoreError> {
        // First without the lock, which nobody is to hold for long.
        self.read_log(each)?;
        let token = random();
        let give_up_at = Instant::now() + LOCK_MAX;
        while !self.try_lock(&token, each)? {
            if Instant::now() >= give_up_at {
                return Err(StoreError("another replica does not let go of the log".to_owned()));
            }
            std::thread::sleep(LOCK_PAUSE);
        }
        Ok(())
    }

    fn try_lock(&self, token: &str, each: &mut dyn FnMut(Change)) -> Result<bool, StoreError> {
        let mut committing = self.committing();
        committing.locked = None;
        committing.pending.drain(..).flat_map(|(_, changes)| changes).for_each(&mut *each);
        let texts = [token.to_owned(), LOCK_MS.to_string(), committing.state.number.to_string(), PAGE.to_string()];
        let arguments: Vec<&[u8]> = texts.iter().map(String::as_bytes).collect();
        let mut reply = self.ask(&mut committing, &LOCK, &arguments)?;
        if reply.word() == "LOCKED" {
            return Ok(false);
        }
        must_be_ok(&reply)?;
        let (head, lead_ms): (Place, i64) = (reply.number()?, reply.number()?);
        let behind_ms = lead_ms.saturating_sub(self.clock_lead_ms.load(Ordering::Relaxed));
        self.clock_behind_ms.store(u64::try_from(behind_ms).unwrap_or_default(), Ordering::Relaxed);
        let entries = reply.entries()?;
        self.take(&mut committing, entries, head, each)?;
        while committing.state.number < head && self.read_page(&mut committing, each)? {}
        if committing.state.number != head {
            return Err(StoreError(LOST.to_owned()));
        }
        committing.locked = Some(Locked { token: token.to_owned(), head });
        Ok(true)
    }

    /// Ends a commit that changes nothing.
    pub(super) fn unlock_log(&self) {
        let mut committing = self.committing();
        if let Some(locked) = committing.locked.take()
            && let Err(refusal) = self.ask(&mut committing, &UNLOCK, &[locked.token.as_bytes()])
        {
            // It runs out.
            tracing::debug!(error = %StoreError::from(refusal), "could not let go of the log");
        }
    }

    /// Makes changes, under the lock that is held or one of their own.
    pub(super) fn commit(&self, changes: &[Change]) -> Result<(), StoreError> {
        self.committing().appended = None;
        if self.committing().locked.is_none() {
            let mut read: Vec<Change> = Vec::new();
            let first = self.committing().place() + 1;
            let locked = self.lock_log(&mut |change| read.push(change));
            let mut committing = self.committing();
            if !read.is_empty() {
                // Memory gets these when it asks the next time.
                committing.pending.push_back((first, read));
            }
            drop(committing);
            locked?;
        }
        let ahead_ms = u64::try_from(self.clock_lead_ms.load(Ordering::Relaxed)).unwrap_or_default();
        let changes = &*entry::by_the_stores_clock(changes, ahead_ms);
        let found = self.embedded.find(&wanted(changes)?)?;
        let batch = Batch::of(changes, found)?;
        let made = logged(changes, batch);
        if made.is_empty() {
            self.unlock_log();
            return Ok(());
        }
        self.append(made)
    }

    fn append(&self, changes: Vec<Change>) -> Result<(), StoreError> {
        let mut committing = self.committing();
        let locked = committing.locked.take();
        let Locked { token, head } =
            locked.ok_or_else(|| StoreError("Redis has begun a new epoch before the commit".to_owned()))?;
        let entry = Entry {
            number: head + 1,
            tag: RandomState::new().build_hasher().finish().cast_signed(),
            format: entry::format_of(&changes),
            // What a clock ahead has stamped was set back already.
            clock_lead_ms: self.clock_lead_ms.load(Ordering::Relaxed).min(0),
            changes: entry::write(&changes)?,
        };
        let texts =
            [head.to_string(), entry.tag.to_string(), entry.format.to_string(), entry.clock_lead_ms.to_string()];
        let [head, tag, format, lead] = texts.each_ref().map(String::as_bytes);
        let arguments = [token.as_bytes(), head, self.run.as_bytes(), tag, format, lead, &entry.changes];
        let mut reply = self.ask(&mut committing, &APPEND, &arguments)?;
        if reply.word() == "RACED" {
            return Err(StoreError("another replica has committed in between: ask again".to_owned()));
        }
        must_be_ok(&reply)?;
        let (number, now_ms): (Place, i64) = (reply.number()?, reply.number()?);
        let members = super::engine::peers_of(reply.pairs()?, now_ms)?;
        // Whoever is answered relies on this file, should Redis lose the entry.
        let state = State { number, tag: entry.tag, ..committing.state.clone() };
        let bytes = kept(&entry);
        self.embedded.write_journal(&state, &[Logged { number, bytes, changes }])?;
        committing.state = state;
        committing.appended = Some(Appended { number, members });
        Ok(())
    }

    /// Writes entries that others have made into the journal, and passes their changes on to memory.
    fn take(
        &self,
        committing: &mut Committing,
        entries: Vec<Entry>,
        head: Place,
        each: &mut dyn FnMut(Change),
    ) -> Result<(), Refusal> {
        let mut state = committing.state.clone();
        if head < state.number {
            return Err(Refusal::Foreign(LOST.to_owned()));
        }
        let (mut all, mut here) = (Vec::new(), Vec::new());
        for entry in entries {
            let missing = state.number + 1;
            if entry.number != missing {
                return Err(StoreError(format!("the log no longer has entry {missing}")).into());
            }
            (state.number, state.tag) = (entry.number, entry.tag);
            here.extend(entry.read(self.clock_lead_ms.load(Ordering::Relaxed))?);
            all.push(Logged { number: entry.number, bytes: kept(&entry), changes: entry.changes()? });
        }
        if all.is_empty() {
            return Ok(());
        }
        self.embedded.write_journal(&state, &all)?;
        committing.state = state;
        here.into_iter().for_each(each);
        Ok(())
    }
}

/// What the log gets of a commit: its effects, and what is of nobody's memory and is in every journal.
fn logged(changes: &[Change], batch: Batch) -> Vec<Change> {
    let fates: BTreeMap<SessionId, Fate> = batch.fates;
    let is_forgotten = |change: &&Change| match change {
        Change::Forget(id, _) => fates.get(id) == Some(&Fate::Forgotten),
        _ => false,
    };
    let is_for_tables = |change: &&Change| {
        matches!(
            change,
            Change::Received(_)
                | Change::ForgetReceived(_)
                | Change::Unreceived(_)
                | Change::Used(_)
                | Change::ForgetUsed(_)
        )
    };
    let forgotten = changes.iter().filter(is_forgotten).cloned();
    let for_tables = changes.iter().filter(is_for_tables).cloned();
    forgotten.chain(batch.changes).chain(for_tables).collect()
}

pub(super) fn must_be_ok(reply: &Reply) -> Result<(), StoreError> {
    if reply.word() == "OK" { Ok(()) } else { Err(unexpected(reply)) }
}
