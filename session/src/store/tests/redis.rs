//! The store in Redis, in the server that `tests/redis.sh run` starts.

use super::*;
use crate::store::postgres::Secret;
use crate::store::redis::{At, Redis, Source, forget};
use crate::store::tests::embedded::{damage, damage_all};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tempfile::TempDir;

/// The URL of the tests' server.
pub(crate) fn server() -> String {
    let url = std::env::var("PORTCULLIS_TEST_REDIS");
    url.expect("PORTCULLIS_TEST_REDIS is the URL of a server: see tests/redis.sh run")
}

/// Keys of its own in the tests' server, with the journals of replicas.
pub(crate) struct Prefix {
    pub(crate) name: String,
    folder: TempDir,
}

impl Prefix {
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let name = format!("t{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        Self { name, folder: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn source(&self, replica: &str) -> Source {
        Source {
            at: At::Url(Secret(server())),
            prefix: self.name.clone(),
            ca: None,
            password: None,
            journal: self.folder.path().join(replica),
            replicas: 1,
        }
    }

    fn journal(&self) -> PathBuf {
        self.folder.path().join("a")
    }
}

impl Home for Prefix {
    fn open(&self) -> Box<dyn Store> {
        Box::new(Redis::open(&self.source("a"), false).unwrap())
    }

    fn damage(&self, table: &str, id: SessionId) {
        damage(&self.journal(), table, id);
    }

    fn damage_revocations(&self) {
        damage_all(&self.journal(), "revocations");
    }
}

claims!(#[test] #[ignore = "needs Redis: run by `make test-faults`"], Prefix::new());

mod failovers;

#[test]
#[ignore = "needs Redis: run by `make test-faults`"]
fn of_two_replicas_one_has_a_proof_used() {
    use crate::proofs::UsedProof;
    use portcullis_contract::token::dpop::ProofId;
    let prefix = Prefix::new();
    let [one, two] = ["a", "b"].map(|name| Redis::open(&Source { replicas: 2, ..prefix.source(name) }, false).unwrap());
    let proof = |asker| UsedProof { id: ProofId([1; ProofId::BYTES]), asker, until_ms: 60_000 };
    assert_eq!(one.keep_proofs(&[proof(u64::MAX)], 0), Ok(vec![true]));
    assert_eq!(two.keep_proofs(&[proof(1)], 0), Ok(vec![false]));
    assert_eq!(two.keep_proofs(&[proof(u64::MAX)], 0), Ok(vec![true]), "asked again at another replica");
}

#[test]
#[ignore = "needs Redis: run by `make test-faults`"]
fn an_append_lists_for_how_long_each_replica_is_relied_on_as_its_last_beat_has_stated() {
    use crate::replica::Engine;
    let prefix = Prefix::new();
    let [one, two] = ["a", "b"].map(|name| Redis::open(&Source { replicas: 2, ..prefix.source(name) }, false).unwrap());
    one.join(0, 3_000).unwrap();
    one.beat(0, 3_500).unwrap().unwrap();
    two.begin(&mut |_| ()).unwrap();
    two.apply(&[Change::Tombstone(tombstone("s", 7))]).unwrap();
    let members = two.take_appended().unwrap().members;
    assert_eq!(members.iter().map(|member| member.relied_on_ms).collect::<Vec<_>>(), [3_500]);
}

#[test]
#[ignore = "needs Redis: run by `make test-faults`"]
fn a_replica_reports_once_the_leases_have_run_out_that_it_gave_before_its_restart() {
    let prefix = Prefix::new();
    let store = prefix.open();
    assert_eq!(store.longest_lease_ms(), Ok(Some(0)));
    store.note_longest_lease(300).unwrap();
    drop(store);
    let started = std::time::Instant::now();
    let store = prefix.open();
    assert!(started.elapsed() >= std::time::Duration::from_millis(300));
    assert_eq!(store.longest_lease_ms(), Ok(Some(0)), "of this run");
}
