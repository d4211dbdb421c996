//! What a session, a block or a narrowing becomes when a store and a backup both have it: always the stricter of the two.
//!
//! The store's own rules merge ends and revocations. They do not merge two live records, two blocks or two narrowings,
//! because the service itself only ever writes later ones.

use crate::approvals::{AccessRequest, State};
use crate::attributes::Attribute;
use crate::blocks::Block;
use crate::judge::End;
use crate::narrowings::Narrowing;
use crate::store::Record;

/// Two live records of one session: the store's, which no longer accepts a token that either of them refuses.
pub(super) fn live(held: &Record, other: &Record) -> Record {
    Record {
        marks: held.marks.merged(other.marks),
        returned: returned(held.returned, other.returned),
        returned_from_ms: held.returned_from_ms.max(other.returned_from_ms),
        ..held.clone()
    }
}

/// A live record and a tombstone of the same session. `None`: the session has not come back after that end, so it has ended.
pub(super) fn outlives(held: &Record, tombstone: &Record) -> Option<Record> {
    let end = tombstone.ended?;
    held.returned.filter(|returned| end.at_ms <= returned.at_ms)?;
    Some(Record {
        returned: returned(held.returned, Some(end)),
        returned_from_ms: held.returned_from_ms.max(tombstone.returns_from_ms(end)),
        ..held.clone()
    })
}

/// The block that ends later.
pub(super) fn block(held: &Block, other: Block) -> Block {
    if other.ends_at_ms() > held.ends_at_ms() { other } else { held.clone() }
}

/// A narrowing that takes what either of them takes.
pub(super) fn narrowing(held: &Narrowing, other: Narrowing) -> Narrowing {
    let scopes = match (&held.scopes, other.scopes) {
        (Some(held), Some(other)) => Some(held.iter().filter(|scope| other.contains(scope)).cloned().collect()),
        (Some(held), None) => Some(held.clone()),
        (None, other) => other,
    };
    let mut removed: Vec<String> = held.removed.iter().cloned().chain(other.removed).collect();
    removed.sort();
    removed.dedup();
    let (made_at_ms, reason, by) = match other.made_at_ms > held.made_at_ms {
        true => (other.made_at_ms, other.reason, other.by),
        false => (held.made_at_ms, held.reason.clone(), held.by.clone()),
    };
    let mut signalled = held.signalled.clone();
    for (transmitter, left) in other.signalled {
        let both = |own: &mut Vec<String>| own.retain(|scope| left.contains(scope));
        signalled.entry(transmitter).and_modify(both).or_insert(left);
    }
    Narrowing { party: held.party.clone(), scopes, removed, signalled, made_at_ms, reason, by }
}

/// The attribute that was set later.
pub(super) fn attribute(held: &Attribute, other: Attribute) -> Attribute {
    let set_at_ms = |attribute: &Attribute| attribute.fact.as_ref().map(|fact| fact.set_at_ms);
    if set_at_ms(&other) > set_at_ms(held) { other } else { held.clone() }
}

/// The request of which more is over: one with a grant that has ended, before one that is closed without a grant, before one
/// that waits, before one whose grant was for one request that has come, before one whose grant lasts; of two grants that last,
/// the one that ends first.
pub(super) fn request(held: &AccessRequest, other: AccessRequest) -> AccessRequest {
    let rank = |request: &AccessRequest| match (&request.grant, request.state) {
        (Some(grant), _) if grant.ended.is_some() => (0, 0),
        (None, state) if state != State::Pending => (1, 0),
        (None, _) => (2, 0),
        (Some(grant), _) if grant.used.is_some() => (3, 0),
        (Some(grant), _) => (4, grant.until_ms.unwrap_or(u64::MAX)),
    };
    if rank(&other) < rank(held) { other } else { held.clone() }
}

fn returned(one: Option<End>, other: Option<End>) -> Option<End> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.merged(other)),
        (one, other) => one.or(other),
    }
}
