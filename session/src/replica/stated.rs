//! What a replica states about itself in the list of replicas: its version and, where it judges by conditions, which ones.
//! Both are one text, in the form of a version with build metadata: so replicas of an older version can read the list.

use super::engine::Peer;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

/// What comes between the version and the digest of the conditions.
const CONDITIONS: &str = "+conditions.";

/// What this replica states.
#[derive(Debug, Default)]
pub struct Stated {
    conditions: Mutex<Option<String>>,
    leases_ms: AtomicU64,
}

impl Stated {
    /// It judges by the conditions with this digest from now on. The next beat says so.
    pub fn judges_by(&self, digest: &str) {
        *self.conditions.lock().unwrap_or_else(PoisonError::into_inner) = Some(digest.to_owned());
    }

    /// It is about to give leases to filters of up to so many milliseconds: never fewer than before, because those of before
    /// may still run. It does once a beat has said so.
    pub fn gives_leases_of(&self, ms: u64) {
        self.leases_ms.fetch_max(ms, Ordering::SeqCst);
    }

    /// The longest of them.
    pub fn leases_ms(&self) -> u64 {
        self.leases_ms.load(Ordering::SeqCst)
    }

    /// The text for the list.
    pub fn text(&self) -> String {
        let conditions = self.conditions.lock().unwrap_or_else(PoisonError::into_inner);
        let version = env!("CARGO_PKG_VERSION");
        conditions.as_ref().map_or_else(|| version.to_owned(), |digest| [version, CONDITIONS, digest].concat())
    }
}

impl Peer {
    /// Its version.
    pub fn release(&self) -> &str {
        self.version.split_once(CONDITIONS).map_or(&self.version, |(release, _)| release)
    }

    /// The digest of the conditions that it judges by; `None`: none.
    pub fn conditions(&self) -> Option<&str> {
        self.version.split_once(CONDITIONS).map(|(_, digest)| digest)
    }
}

/// How many of the others judge by other conditions than the replica with that run.
pub fn apart(peers: &[Peer], run: &str) -> usize {
    let own = peers.iter().find(|peer| peer.run == run).and_then(Peer::conditions);
    peers.iter().filter(|peer| peer.conditions() != own).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(run: &str, version: &str) -> Peer {
        Peer {
            run: run.to_owned(),
            name: String::new(),
            version: version.to_owned(),
            settled: 0,
            relied_on_ms: 3_000,
            beat: 1,
            beaten_ago_ms: 0,
            clock_lead_ms: 0,
        }
    }

    #[test]
    fn what_is_stated_is_read_back_and_a_version_alone_is_one_too() {
        let stated = Stated::default();
        let plain = peer("a", &stated.text());
        assert_eq!((plain.release(), plain.conditions()), (env!("CARGO_PKG_VERSION"), None));
        stated.judges_by("0a1b");
        let with = peer("a", &stated.text());
        assert_eq!((with.release(), with.conditions()), (env!("CARGO_PKG_VERSION"), Some("0a1b")));
    }

    #[test]
    fn a_replica_with_other_conditions_or_none_is_apart() {
        let rows = [("1+conditions.x", 0), ("2+conditions.x", 0), ("1+conditions.y", 1), ("1", 1)];
        for (other, count) in rows {
            assert_eq!(apart(&[peer("own", "1+conditions.x"), peer("b", other)], "own"), count, "{other}");
        }
        assert_eq!(apart(&[peer("own", "1"), peer("b", "2")], "own"), 0);
    }
}
