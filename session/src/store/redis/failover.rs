//! Moving to a new epoch: report how far the journal goes, and give back what Redis lacks.

use super::journal::{Committing, Epoch, State, entry_of};
use super::open::Redis;
use super::refusal::{LOST, Refusal, ask};
use super::reply::Reply;
use super::script::{PUSH, REPORT, RESET, Script};
use crate::replica::Place;
use crate::store::StoreError;
use std::sync::atomic::Ordering;
use tracing::{info, warn};

/// Entries that are given back at a time.
const PAGE: usize = 32;

/// Steps of one move. Each gives back a page, or meets somebody who was faster.
const STEPS_MAX: usize = 128;

/// What Redis has said to a report.
enum Reported {
    Taken,
    /// It has this entry last, with this tag, and lacks what came after.
    Behind(Place, i64),
    /// It has an entry that is not in this replica's history.
    Differs(Place, i64),
}

impl Redis {
    /// Runs a script in the epoch of the journal, and moves to another one first if there is one.
    pub(super) fn ask(
        &self,
        committing: &mut Committing,
        script: &Script,
        arguments: &[&[u8]],
    ) -> Result<Reply, Refusal> {
        self.settle(committing)?;
        match self.try_ask(committing, script, arguments) {
            Err(Refusal::Moved(epoch)) => {
                self.move_to(committing, epoch)?;
                self.settle(committing)?;
                self.try_ask(committing, script, arguments)
            }
            other => other,
        }
    }

    fn try_ask(&self, committing: &mut Committing, script: &Script, arguments: &[&[u8]]) -> Result<Reply, Refusal> {
        let Committing { link, state, .. } = committing;
        ask(link, &state.store, &state.epoch, script, arguments)
    }

    /// Sees to it that this replica has reported in its epoch.
    pub(super) fn settle(&self, committing: &mut Committing) -> Result<(), Refusal> {
        if committing.reported == committing.state.epoch.counter && committing.reported > 0 {
            return Ok(());
        }
        for _ in 0..STEPS_MAX {
            if self.is_visitor {
                // It has nothing to report, and is asked for nothing.
                let known = self.epoch_of(committing)?;
                return self.move_to(committing, known);
            }
            match self.report(committing) {
                Ok(Reported::Taken) => {
                    committing.reported = committing.state.epoch.counter;
                    return Ok(());
                }
                Ok(Reported::Behind(head, tag)) => self.give_back(committing, head, tag)?,
                Ok(Reported::Differs(head, tag)) => self.give_everything(committing, head, tag)?,
                Err(Refusal::Moved(epoch)) => self.move_to(committing, epoch)?,
                Err(refusal) => return Err(refusal),
            }
        }
        Err(Refusal::Failed(StoreError("Redis goes from one epoch to the next".to_owned())))
    }

    /// On disk first: whoever has moved never goes back, also after a crash.
    fn move_to(&self, committing: &mut Committing, epoch: Epoch) -> Result<(), Refusal> {
        if epoch.counter <= committing.state.epoch.counter && !self.is_visitor {
            return Err(Refusal::Foreign(LOST.to_owned()));
        }
        let state = State { epoch, ..committing.state.clone() };
        self.embedded.write_journal(&state, &[])?;
        info!(epoch = state.epoch.counter, "Redis has begun a new epoch");
        *self.epoch() = state.epoch.clone();
        committing.locked = None;
        committing.reported = if self.is_visitor { state.epoch.counter } else { 0 };
        committing.state = state;
        Ok(())
    }

    fn report(&self, committing: &mut Committing) -> Result<Reported, Refusal> {
        let place = committing.place();
        let State { name, number, tag, roster, .. } = &committing.state;
        // Who never had a serve lease is not waited for.
        let (run, record) = match self.has_beaten.load(Ordering::SeqCst) {
            true => (self.run.clone(), self.record(place)),
            false => Default::default(),
        };
        let texts =
            [name.clone(), self.replicas.to_string(), number.to_string(), tag.to_string(), roster.text(), run, record];
        let arguments: Vec<&[u8]> = texts.iter().map(String::as_bytes).collect();
        let mut reply = self.try_ask(committing, &REPORT, &arguments)?;
        match reply.word() {
            "OK" => Ok(Reported::Taken),
            "BEHIND" => Ok(Reported::Behind(reply.number()?, reply.number()?)),
            "DIFFERS" => Ok(Reported::Differs(reply.number()?, reply.number()?)),
            _ => Err(unexpected(&reply).into()),
        }
    }

    /// Gives back the entries after the last one that Redis has, or everything if that one is not known here.
    fn give_back(&self, committing: &mut Committing, head: Place, tag: i64) -> Result<(), Refusal> {
        let kept = self.embedded.tail(head.max(1), PAGE + 1)?;
        let entries = kept.iter().map(|(number, bytes)| entry_of(*number, bytes)).collect::<Result<Vec<_>, _>>()?;
        let rest = match (head, entries.split_first()) {
            (0, Some((first, _))) if first.number == 1 => entries.as_slice(),
            (1.., Some((first, rest))) if first.number == head && first.tag == tag => rest,
            _ => return self.give_everything(committing, head, tag),
        };
        let mut texts = vec![head.to_string().into_bytes(), tag.to_string().into_bytes()];
        for entry in rest {
            texts.extend([
                entry.number.to_string().into_bytes(),
                entry.tag.to_string().into_bytes(),
                entry.format.to_string().into_bytes(),
                entry.clock_lead_ms.to_string().into_bytes(),
                entry.changes.clone(),
            ]);
        }
        let arguments: Vec<&[u8]> = texts.iter().map(Vec::as_slice).collect();
        let reply = self.try_ask(committing, &PUSH, &arguments)?;
        match reply.word() {
            "OK" => {
                let count = u64::try_from(rest.len()).unwrap_or_default();
                self.given_back.fetch_add(count, Ordering::Relaxed);
                warn!(entries = count, after = head, "gave back changes that Redis had lost");
                Ok(())
            }
            // Another replica was faster.
            "RACED" => Ok(()),
            _ => Err(unexpected(&reply).into()),
        }
    }

    /// Replaces what Redis has by what this replica has. Redis lacks some of it, and what Redis has beyond that is in nobody's
    /// journal, so it was never answered.
    fn give_everything(&self, committing: &mut Committing, head: Place, tag: i64) -> Result<(), Refusal> {
        let uploaded = self.upload(&mut committing.link)?;
        let texts = [
            head.to_string(),
            tag.to_string(),
            uploaded.number.to_string(),
            uploaded.tag.to_string(),
            uploaded.key,
            uploaded.chunks.to_string(),
            uploaded.bytes.to_string(),
        ];
        let arguments: Vec<&[u8]> = texts.iter().map(String::as_bytes).collect();
        let reply = self.try_ask(committing, &RESET, &arguments)?;
        match reply.word() {
            "OK" => {
                self.given_back.fetch_add(uploaded.number.saturating_sub(head).max(1), Ordering::Relaxed);
                warn!(up_to = uploaded.number, had = head, "gave back everything, because Redis had another history");
                Ok(())
            }
            "RACED" => Ok(()),
            _ => Err(unexpected(&reply).into()),
        }
    }
}

pub(super) fn unexpected(reply: &Reply) -> StoreError {
    StoreError(format!("Redis has given an answer that this version does not understand: {}", reply.word()))
}
