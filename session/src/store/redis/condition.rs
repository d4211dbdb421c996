//! What people ask about Redis, besides what it stores.

use super::commit::must_be_ok;
use super::engine::peers_of;
use super::journal::Epoch;
use super::link::Link;
use super::open::{Redis, target};
use super::refusal::{Refusal, ask, waiting};
use super::script::{FORGET, STATE};
use super::source::Source;
use crate::replica::{Peer, Place};
use crate::store::StoreError;

/// The state of a store in Redis.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Condition {
    /// The layout of the keys.
    pub layout: u32,
    /// The last entry of the log.
    pub head: Place,
    /// The number of failovers and restarts, as far as replicas had to deal with them.
    pub epoch: u64,
    /// The names of the replicas that have to report after a failover.
    pub names: Vec<String>,
    /// The replicas that are listed, also those that have stopped beating.
    pub replicas: Vec<Peer>,
    /// What the server's settings take from the promise, and whom the replicas wait for.
    pub warnings: Vec<String>,
}

impl Redis {
    /// The state of Redis. Blocks.
    pub fn condition(&self) -> Result<Condition, StoreError> {
        let mut link = Link::new(&self.target);
        let mut reply = ask(&mut link, &self.id, &Epoch::default(), &STATE, &[])?;
        must_be_ok(&reply)?;
        let (layout, head, epoch) = (reply.number()?, reply.number()?, reply.number()?);
        let (unknown, missing, names) = (reply.number()?, reply.texts()?, reply.texts()?);
        let now_ms = reply.number()?;
        let replicas = peers_of(reply.pairs()?, now_ms)?;
        let mut warnings = promises(&mut link)?;
        if unknown > 0 || !missing.is_empty() {
            warnings.push(waiting(&missing, unknown));
        }
        Ok(Condition { layout, head, epoch, names, replicas, warnings })
    }

    /// The last entry that Redis has, also in an epoch that is not complete.
    pub(super) fn head(&self) -> Result<Place, StoreError> {
        let mut committing = self.committing();
        if !self.is_visitor {
            self.settle(&mut committing)?;
        }
        let mut reply = ask(&mut committing.link, &self.id, &Epoch::default(), &STATE, &[])?;
        must_be_ok(&reply)?;
        let _layout: u32 = reply.number()?;
        reply.number()
    }
}

/// Gives up a replica that will not come back: after a failover it is not waited for. What only its journal had is lost.
/// Blocks.
pub fn forget(source: &Source, name: &str) -> Result<(), StoreError> {
    let mut link = Link::new(&target(source)?);
    let reply = match ask(&mut link, "", &Epoch::default(), &FORGET, &[name.as_bytes()]) {
        Err(Refusal::Foreign(_)) => Err(StoreError(format!("there is no store with the prefix `{}`", source.prefix))),
        other => other.map_err(StoreError::from),
    }?;
    match reply.word() {
        "UNKNOWN" => Err(StoreError(format!("there is no replica `{name}`: `store check` lists the names"))),
        "ALIVE" => Err(StoreError(format!(
            "`{name}` has been heard from in the last minute: stop it first, and wait a minute if it has crashed"
        ))),
        _ => must_be_ok(&reply),
    }
}

/// What the server's settings take from the promise, in words for people. Settings with which it drops data are an error.
pub(super) fn promises(link: &mut Link) -> Result<Vec<String>, StoreError> {
    let info: String = link.command(&redis::cmd("INFO"))?;
    let policy = field(&info, "maxmemory_policy").unwrap_or("noeviction");
    if policy != "noeviction" {
        return Err(StoreError(format!(
            "Redis runs with maxmemory-policy {policy}: it would drop revocations when its memory is full; set noeviction"
        )));
    }
    let mut warnings = Vec::new();
    // A managed service may not tell.
    let fsync = setting(link, "appendfsync");
    let quorum = setting(link, "min-replicas-to-write");
    if field(&info, "aof_enabled") == Some("0") {
        warnings.push(
            "Redis runs with appendonly no: a restart can lose everything, and the replicas have to give it back"
                .to_owned(),
        );
    } else if fsync.as_deref().is_some_and(|fsync| fsync != "always") {
        warnings.push(
            "Redis runs with appendfsync other than always: a crash can lose the last changes, and the replicas have to \
             give them back"
                .to_owned(),
        );
    }
    let has_replicas = field(&info, "connected_slaves").is_some_and(|count| count != "0");
    if has_replicas && quorum.as_deref() == Some("0") {
        warnings.push(
            "Redis has replicas, and min-replicas-to-write is 0: a failover can lose the last changes, and the replicas of \
             the session service have to give them back"
                .to_owned(),
        );
    }
    Ok(warnings)
}

fn setting(link: &mut Link, name: &str) -> Option<String> {
    let pair: Vec<String> = link.command(redis::cmd("CONFIG").arg("GET").arg(name)).ok()?;
    pair.into_iter().nth(1)
}

fn field<'a>(info: &'a str, name: &str) -> Option<&'a str> {
    info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_found_by_its_whole_name() {
        let info = "# Memory\r\nmaxmemory:0\r\nmaxmemory_policy:noeviction\r\n";
        assert_eq!(field(info, "maxmemory"), Some("0"));
        assert_eq!(field(info, "maxmemory_policy"), Some("noeviction"));
        assert_eq!(field(info, "memory"), None);
    }
}
