//! The list of replicas and their beats.

use super::commit::must_be_ok;
use super::failover::unexpected;
use super::link::Link;
use super::open::{Redis, lock};
use super::refusal::{LOST, Refusal, ask};
use super::reply::Reply;
use super::script::{BEAT, EVICT, JOIN, LEAVE, LIST, Script};
use crate::replica::{Beaten, Engine, Failovers, NoBeat, Peer, Place, Stated, Woken};
use crate::store::StoreError;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A reading of the clocks that took longer than this says too little.
const READING_MS_MAX: i64 = 100;

impl Engine for Redis {
    fn run(&self) -> &str {
        &self.run
    }

    fn stated(&self) -> &Stated {
        &self.stated
    }

    fn join(&self, settled: Place, relied_on_ms: u64) -> Result<(), StoreError> {
        self.relied_on_ms.store(relied_on_ms, Ordering::SeqCst);
        // First: a failover that falls between this and its answer must list this replica as well.
        self.has_beaten.store(true, Ordering::SeqCst);
        let record = self.record(settled);
        let reply = self.ask_beside(&mut lock(&self.beats), &JOIN, &[self.run.as_bytes(), record.as_bytes()])?;
        must_be_ok(&reply)
    }

    fn beat(&self, settled: Place, relied_on_ms: u64) -> Result<Option<Beaten>, NoBeat> {
        self.relied_on_ms.store(relied_on_ms, Ordering::SeqCst);
        let (record, place) = (self.record(settled), settled.to_string());
        let before_ms = wall_ms();
        let arguments = [self.run.as_bytes(), record.as_bytes(), place.as_bytes()];
        let mut reply = self.ask_beside(&mut lock(&self.beats), &BEAT, &arguments)?;
        let after_ms = wall_ms();
        self.beaten(&mut reply, settled, [before_ms, after_ms])
    }

    fn peers(&self) -> Result<Vec<Peer>, StoreError> {
        let mut reply = self.ask_beside(&mut lock(&self.beats), &LIST, &[])?;
        must_be_ok(&reply)?;
        let now_ms = reply.number()?;
        peers_of(reply.pairs()?, now_ms)
    }

    fn evict(&self, run: &str, beat: u64) -> Result<bool, StoreError> {
        let beat = beat.to_string();
        let mut reply = self.ask_beside(&mut lock(&self.beats), &EVICT, &[run.as_bytes(), beat.as_bytes()])?;
        must_be_ok(&reply)?;
        Ok(reply.text()? == "1")
    }

    fn leave(&self) -> Result<(), StoreError> {
        let reply = self.ask_beside(&mut lock(&self.beats), &LEAVE, &[self.run.as_bytes()])?;
        must_be_ok(&reply)
    }

    fn wait(&self, at_most: Duration) -> Woken {
        self.news.wait(at_most)
    }

    fn wake(&self) {
        self.news.wake();
    }
}

impl Redis {
    /// Runs a script on a connection that no commit waits for.
    fn ask_beside(&self, link: &mut Link, script: &Script, arguments: &[&[u8]]) -> Result<Reply, Refusal> {
        let epoch = self.epoch().clone();
        let refusal = match ask(link, &self.id, &epoch, script, arguments) {
            Err(refusal @ (Refusal::Moved(_) | Refusal::Waiting(_))) => refusal,
            other => return other,
        };
        // It may wait for this very replica.
        let mut committing = self.committing();
        if let Refusal::Moved(_) = refusal {
            committing.reported = 0;
        } else if committing.reported > 0 && committing.reported == committing.state.epoch.counter {
            return Err(refusal);
        }
        self.settle(&mut committing)?;
        drop(committing);
        let epoch = self.epoch().clone();
        ask(link, &self.id, &epoch, script, arguments)
    }

    fn beaten(
        &self,
        reply: &mut Reply,
        settled: Place,
        [before_ms, after_ms]: [i64; 2],
    ) -> Result<Option<Beaten>, NoBeat> {
        if reply.word() != "OK" {
            return Err(NoBeat::Failed(unexpected(reply)));
        }
        let mut read = || {
            let (listed, head, first): (u8, Place, Place) = (reply.number()?, reply.number()?, reply.number()?);
            let now_ms: i64 = reply.number()?;
            self.learn(reply.pairs()?, reply.texts()?)?;
            Ok((listed == 1, head, first, now_ms, peers_of(reply.pairs()?, now_ms)?))
        };
        let (is_listed, head, first, now_ms, peers) = read().map_err(NoBeat::Failed)?;
        if head < settled {
            return Err(NoBeat::Foreign(LOST.to_owned()));
        }
        if first > settled + 1 {
            return Err(NoBeat::Outdated);
        }
        if !is_listed {
            return Ok(None);
        }
        if after_ms.saturating_sub(before_ms) <= READING_MS_MAX {
            let lead_ms = before_ms.midpoint(after_ms).saturating_sub(now_ms);
            self.clock_lead_ms.store(lead_ms, Ordering::Relaxed);
        }
        let failovers = Failovers { epoch: self.epoch().counter, given_back: self.given_back.load(Ordering::Relaxed) };
        let clock_lead_ms = self.clock_lead_ms.load(Ordering::Relaxed);
        Ok(Some(Beaten { head, peers, clock_lead_ms, failovers: Some(failovers) }))
    }

    /// Notes who has to report after the next failover, before anything is promised on the strength of this beat.
    fn learn(&self, names: Vec<(String, String)>, forgotten: Vec<String>) -> Result<(), StoreError> {
        let mut committing = self.committing();
        let mut state = committing.state.clone();
        if state.roster.learn(names, forgotten) {
            self.embedded.write_journal(&state, &[])?;
            committing.state = state;
        }
        Ok(())
    }
}

/// The replicas of a list, by the clock of Redis.
pub(super) fn peers_of(runs: Vec<(String, String)>, now_ms: i64) -> Result<Vec<Peer>, StoreError> {
    let mut peers: Vec<Peer> = runs
        .into_iter()
        .map(|(run, record)| {
            peer_of(run, &record, now_ms)
                .ok_or_else(|| StoreError("a replica in Redis has a strange record".to_owned()))
        })
        .collect::<Result<_, _>>()?;
    peers.sort_by(|one, other| (&one.name, &one.run).cmp(&(&other.name, &other.run)));
    Ok(peers)
}

fn peer_of(run: String, record: &str, now_ms: i64) -> Option<Peer> {
    let mut parts = record.split('\t');
    let (name, version) = (parts.next()?.to_owned(), parts.next()?.to_owned());
    let [settled, relied_on_ms, beat] = [parts.next()?, parts.next()?, parts.next()?];
    let (lead, at) = (parts.next()?, parts.next()?);
    Some(Peer {
        run,
        name,
        version,
        settled: settled.parse().ok()?,
        relied_on_ms: relied_on_ms.parse().ok()?,
        beat: beat.parse().ok()?,
        beaten_ago_ms: u64::try_from(now_ms.saturating_sub(at.parse().ok()?)).unwrap_or_default(),
        clock_lead_ms: lead.parse().ok()?,
    })
}

fn wall_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replica_is_read_from_its_record() {
        let peers = peers_of(vec![("r".to_owned(), "n-1\t0.1\t7\t3000\t5\t-20\t900".to_owned())], 1_000).unwrap();
        let [peer] = peers.as_slice() else { panic!("{peers:?}") };
        assert_eq!((peer.name.as_str(), peer.settled, peer.beat), ("n-1", 7, 5));
        assert_eq!((peer.relied_on_ms, peer.beaten_ago_ms, peer.clock_lead_ms), (3_000, 100, -20));
        assert!(peers_of(vec![("r".to_owned(), "n\t0.1\tx".to_owned())], 0).is_err());
    }
}
