//! `store restore` and `store migrate`: putting everything of a backup, or of another store, into a store.

use super::contents::{self, Counts};
use super::file::Backup;
use super::lines::Line;
use super::{Failure, Options, merge};
use crate::approvals::AccessRequest;
use crate::attributes::{Attribute, Holder};
use crate::blocks::Block;
use crate::narrowings::{Narrowing, Party};
use crate::per_party::OfParty;
use crate::store::{Change, Record, Store, StoreError};
use crate::usage::{Count, Kind, Used};
use portcullis_contract::SessionId;
use portcullis_contract::bounds::LEASE_MS_MAX;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// Changes that are made at a time. A shared store keeps everyone else from committing meanwhile.
const CHANGES_MAX: usize = 500;

/// Puts a backup into a store.
pub(super) fn from_file(backup: &Backup, store: &dyn Store, options: Options) -> Result<(), Failure> {
    refuse_unreadable(backup.counts.unreadable, options)?;
    let mut restore = Restore::into(store, options)?;
    for is_rule in [true, false] {
        backup.each(&mut |line| match line.is_rule() == is_rule {
            true => restore.put(line).map_err(unfinished),
            false => Ok(()),
        })?;
    }
    restore.finish()
}

/// Copies a store that nobody else uses into another.
pub(super) fn from_store(source: &dyn Store, store: &dyn Store, options: Options) -> Result<(), Failure> {
    let mut unreadable = 0;
    // Everything is read before anything is written, so that what cannot be read is known.
    let mut count = |line: Line| {
        unreadable += u64::from(matches!(line, Line::UnreadableTombstone(_)));
        Ok(())
    };
    contents::rules(source, &mut count)?;
    contents::sessions(source, false, &mut count)?;
    refuse_unreadable(unreadable, options)?;
    let mut restore = Restore::into(store, options)?;
    let mut put = |line| restore.put(line);
    contents::rules(source, &mut put).map_err(unfinished)?;
    contents::sessions(source, false, &mut put).map_err(unfinished)?;
    restore.finish()
}

fn refuse_unreadable(unreadable: u64, options: Options) -> Result<(), Failure> {
    match unreadable {
        0 => Ok(()),
        _ if options.skip_unreadable => {
            eprintln!("warning: {unreadable} ended sessions cannot be read and are left out");
            Ok(())
        }
        _ => Err(Failure::Failed(format!(
            "{unreadable} ended sessions cannot be read, so the new store would not know their ends: `--skip-unreadable` \
             leaves them out, and their tokens may then open them again until they expire"
        ))),
    }
}

fn unfinished(error: StoreError) -> Failure {
    Failure::Failed(format!(
        "not everything was restored: {error}: before a service uses the store, run this again with `--merge`"
    ))
}

/// What a store has before anything is put into it.
#[derive(Default)]
struct Held {
    live: HashMap<SessionId, Record>,
    blocks: HashMap<String, Block>,
    narrowings: HashMap<Party, Narrowing>,
    attributes: HashMap<(Holder, String, String), Attribute>,
    issuers: HashSet<String>,
    leads: HashMap<Arc<str>, u64>,
    requests: HashMap<String, AccessRequest>,
    used: HashMap<(u32, Kind, String, String), Count>,
    has_more: bool,
}

impl Held {
    fn of(store: &dyn Store) -> Result<Self, StoreError> {
        let mut held = Self::default();
        let mut has_tombstones = false;
        let damaged = store.sessions(&mut |record| {
            held.live.insert(record.id(), record);
        })?;
        store.tombstones(None, &mut |_, _| {
            has_tombstones = true;
            false
        })?;
        let rules = store.rules()?;
        held.has_more = has_tombstones || damaged > 0 || !rules.revocations.is_empty() || !rules.held.is_empty();
        held.requests = rules.requests.into_iter().map(|request| (request.id.clone(), request)).collect();
        held.blocks = rules.blocks.into_iter().map(|block| (block.id(), block)).collect();
        held.narrowings = rules.narrowings.into_iter().map(|narrowing| (narrowing.party.clone(), narrowing)).collect();
        let keyed = |attribute: Attribute| (attribute.identity(), attribute);
        held.attributes = rules.attributes.into_iter().map(keyed).collect();
        held.issuers = store.issuers()?.into_iter().map(|issuer| issuer.name).collect();
        held.leads = store.leads()?.into_iter().map(|lead| (lead.issuer, lead.lead_ms)).collect();
        store.usage(0, &mut |Used { day, kind, name, client, count }| {
            held.used.insert((day, kind, name, client), count);
        })?;
        Ok(held)
    }

    fn is_empty(&self) -> bool {
        let Self { live, blocks, narrowings, attributes, issuers, leads, requests, used, has_more } = self;
        !has_more
            && live.is_empty()
            && blocks.is_empty()
            && narrowings.is_empty()
            && attributes.is_empty()
            && issuers.is_empty()
            && leads.is_empty()
            && requests.is_empty()
            && used.is_empty()
    }

    /// What a line changes, if it changes anything.
    fn change(&mut self, line: Line) -> Option<Change> {
        match line {
            Line::Session(record) => match self.live.get_mut(&record.id()) {
                Some(held) => replaced(held, merge::live(held, &record)),
                None => Some(Change::Write(record)),
            },
            Line::Tombstone(record) => {
                let id = record.id();
                match self.live.get_mut(&id) {
                    Some(held) => match merge::outlives(held, &record) {
                        Some(merged) => replaced(held, merged),
                        None => {
                            self.live.remove(&id);
                            Some(Change::Tombstone(record))
                        }
                    },
                    None => Some(Change::Tombstone(record)),
                }
            }
            Line::Revocation(revocation) => Some(Change::Revocation(revocation)),
            Line::Block(block) => Some(Change::Block(match self.blocks.get(&block.id()) {
                Some(held) => merge::block(held, block),
                None => block,
            })),
            Line::Narrowing(narrowing) => Some(Change::Narrowing(match self.narrowings.get(&narrowing.party) {
                Some(held) => merge::narrowing(held, narrowing),
                None => narrowing,
            })),
            Line::Attribute(attribute) => Some(Change::Attribute(match self.attributes.get(&attribute.identity()) {
                Some(held) => merge::attribute(held, attribute),
                None => attribute,
            })),
            Line::Held(signal) => Some(Change::Hold(signal)),
            Line::Request(request) => Some(Change::Request(match self.requests.get(&request.id) {
                Some(held) => Box::new(merge::request(held, *request)),
                None => request,
            })),
            // How claims are read now was described later.
            Line::Issuer(issuer) => (!self.issuers.contains(&issuer.name)).then(|| Change::Issuers(vec![issuer])),
            Line::Lead(lead) => {
                let is_larger = self.leads.get(&lead.issuer).is_none_or(|held_ms| *held_ms < lead.lead_ms);
                is_larger.then(|| Change::Leads(vec![lead]))
            }
            Line::Used(used) => self.used_more(used),
            Line::UnreadableTombstone(_) | Line::End(_) => None,
        }
    }

    /// The larger of two counts: restoring again what was restored adds nothing.
    fn used_more(&mut self, used: Used) -> Option<Change> {
        let key = (used.day, used.kind, used.name.clone(), used.client.clone());
        let held = self.used.entry(key).or_default();
        let more = used.count.beyond(*held);
        if *held == used.count || (more.asked, more.granted, more.refused) == (0, 0, 0) {
            return None;
        }
        held.add(more);
        Some(Change::Used(vec![Used { count: more, ..used }]))
    }
}

fn replaced(held: &mut Record, merged: Record) -> Option<Change> {
    if *held == merged {
        return None;
    }
    held.clone_from(&merged);
    Some(Change::Write(merged))
}

/// A restore under way.
struct Restore<'a> {
    store: &'a dyn Store,
    held: Held,
    changes: Vec<Change>,
    counts: Counts,
}

impl<'a> Restore<'a> {
    fn into(store: &'a dyn Store, options: Options) -> Result<Self, Failure> {
        let held = Held::of(store)?;
        if !held.is_empty() && !options.merge {
            return Err(Failure::Failed(
                "the store is not empty: `--merge` adds to it, and keeps the stricter of two ends, revocations, blocks and \
                 narrowings"
                    .to_owned(),
            ));
        }
        Ok(Self { store, held, changes: Vec::new(), counts: Counts::default() })
    }

    fn put(&mut self, line: Line) -> Result<(), StoreError> {
        self.counts.add(&line);
        self.changes.extend(self.held.change(line));
        if self.changes.len() < CHANGES_MAX {
            return Ok(());
        }
        self.write()
    }

    fn write(&mut self) -> Result<(), StoreError> {
        if self.changes.is_empty() {
            return Ok(());
        }
        self.store.apply(&self.changes)?;
        self.changes.clear();
        Ok(())
    }

    fn finish(mut self) -> Result<(), Failure> {
        self.write().map_err(unfinished)?;
        // Who had its sessions may have given leases that still run.
        self.store.note_longest_lease(LEASE_MS_MAX).map_err(unfinished)?;
        println!("{}", self.counts);
        Ok(())
    }
}
