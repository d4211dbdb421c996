//! Reading a whole store, in an order in which a session that changes meanwhile is never read as better than it is.

use super::lines::Line;
use crate::judge::End;
use crate::store::{Record, Store, StoreError};
use portcullis_contract::SessionId;
use std::collections::HashMap;
use std::fmt;

/// How much there is of each kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) sessions: u64,
    pub(super) tombstones: u64,
    pub(super) unreadable: u64,
    pub(super) revocations: u64,
    pub(super) blocks: u64,
    pub(super) narrowings: u64,
    pub(super) attributes: u64,
    pub(super) held: u64,
    pub(super) requests: u64,
    pub(super) issuers: u64,
    pub(super) used: u64,
}

impl Counts {
    pub(super) fn add(&mut self, line: &Line) {
        let count = match line {
            Line::Session(_) => &mut self.sessions,
            Line::Tombstone(_) => &mut self.tombstones,
            Line::UnreadableTombstone(_) => &mut self.unreadable,
            Line::Revocation(_) => &mut self.revocations,
            Line::Block(_) => &mut self.blocks,
            Line::Narrowing(_) => &mut self.narrowings,
            Line::Attribute(_) => &mut self.attributes,
            Line::Held(_) => &mut self.held,
            Line::Request(_) => &mut self.requests,
            Line::Issuer(_) => &mut self.issuers,
            Line::Used(_) => &mut self.used,
            Line::Lead(_) | Line::End(_) => return,
        };
        *count += 1;
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { sessions, tombstones, revocations, blocks, narrowings, attributes, .. } = self;
        let Self { held, requests, issuers, used, .. } = self;
        let rows = [
            ("live sessions", sessions),
            ("tombstones", tombstones),
            ("revocations", revocations),
            ("blocks", blocks),
            ("narrowings", narrowings),
            ("attributes", attributes),
            ("held signals", held),
            ("requests", requests),
            ("issuers", issuers),
            ("usage counts", used),
        ];
        for (index, (name, count)) in rows.into_iter().enumerate() {
            write!(f, "{}{name:<14} {count}", if index == 0 { "" } else { "\n" })?;
        }
        Ok(())
    }
}

/// What takes the lines.
pub(super) type Each<'a> = &'a mut dyn FnMut(Line) -> Result<(), StoreError>;

/// Reads everything but the rules. Returns how many live records could not be read: they are tombstones now, as after a
/// start of the service.
///
/// In a store that others write meanwhile, a session can come back to life after the live ones were read, or end before the
/// tombstones were: so tombstones are read on both sides of the live sessions, and the later line counts.
pub(super) fn sessions(store: &dyn Store, is_shared: bool, each: Each<'_>) -> Result<usize, StoreError> {
    let mut passed: HashMap<SessionId, Option<End>> = HashMap::new();
    tombstones(store, &mut |id, record| {
        let line = line(id, record);
        passed.insert(id, end_of(&line));
        each(line)
    })?;
    let damaged = live(store, each)?;
    if is_shared || damaged > 0 {
        tombstones(store, &mut |id, record| {
            let line = line(id, record);
            match passed.get(&id) == Some(&end_of(&line)) {
                true => Ok(()),
                false => each(line),
            }
        })?;
    }
    store.issuers()?.into_iter().try_for_each(|issuer| each(Line::Issuer(issuer)))?;
    store.leads()?.into_iter().try_for_each(|lead| each(Line::Lead(lead)))?;
    usage(store, each)?;
    Ok(damaged)
}

fn usage(store: &dyn Store, each: Each<'_>) -> Result<(), StoreError> {
    let mut done = Ok(());
    store.usage(0, &mut |used| {
        if done.is_ok() {
            done = each(Line::Used(used));
        }
    })?;
    done
}

/// Reads the rules. One that cannot be read is an error, because nobody knows whom it is about.
pub(super) fn rules(store: &dyn Store, each: Each<'_>) -> Result<(), StoreError> {
    let rules = store.rules()?;
    rules.revocations.into_iter().try_for_each(|revocation| each(Line::Revocation(revocation)))?;
    rules.blocks.into_iter().try_for_each(|block| each(Line::Block(block)))?;
    rules.narrowings.into_iter().try_for_each(|narrowing| each(Line::Narrowing(narrowing)))?;
    rules.attributes.into_iter().try_for_each(|attribute| each(Line::Attribute(attribute)))?;
    rules.held.into_iter().try_for_each(|signal| each(Line::Held(signal)))?;
    rules.requests.into_iter().try_for_each(|request| each(Line::Request(Box::new(request))))
}

fn line(id: SessionId, record: Option<Record>) -> Line {
    match record.filter(|record| record.id() == id && record.ended.is_some()) {
        Some(record) => Line::Tombstone(record),
        None => Line::UnreadableTombstone(id.to_string()),
    }
}

/// The end that a line states; none when it cannot be read.
fn end_of(line: &Line) -> Option<End> {
    match line {
        Line::Tombstone(record) => record.ended,
        _ => None,
    }
}

fn live(store: &dyn Store, each: Each<'_>) -> Result<usize, StoreError> {
    let mut done = Ok(());
    let damaged = store.sessions(&mut |record| {
        if done.is_ok() {
            done = each(Line::Session(record));
        }
    })?;
    done.map(|()| damaged)
}

fn tombstones(
    store: &dyn Store,
    each: &mut dyn FnMut(SessionId, Option<Record>) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let mut done = Ok(());
    store.tombstones(None, &mut |id, record| {
        done = each(id, record);
        done.is_ok()
    })?;
    done
}
