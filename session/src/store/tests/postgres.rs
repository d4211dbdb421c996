//! The store in PostgreSQL, in the server that `tests/postgres.sh run` starts.

use super::*;
use crate::made_by::MadeBy;
use crate::store::postgres::{Postgres, Source, Target};
use std::sync::atomic::{AtomicU64, Ordering};
use tokio_postgres::NoTls;
use tokio_postgres::types::ToSql;

/// A schema of its own in the tests' server, which is gone with the server.
pub(crate) struct Schema {
    url: String,
    pub(crate) name: String,
}

impl Schema {
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let url = std::env::var("PORTCULLIS_TEST_POSTGRES");
        let url = url.expect("PORTCULLIS_TEST_POSTGRES is the URL of a server: see tests/postgres.sh run");
        let name = format!("t{}_{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        Self { url, name }
    }

    pub(crate) fn source(&self) -> Source {
        Source {
            url: crate::store::postgres::Secret(self.url.clone()),
            schema: self.name.clone(),
            ca: None,
            password: None,
        }
    }

    pub(crate) fn target(&self) -> Target {
        Target::read(&self.source()).unwrap()
    }

    fn batch(&self, sql: &str) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (client, driver) = tokio_postgres::connect(&self.url, NoTls).await.unwrap();
            let driver = tokio::spawn(driver);
            client.batch_execute(&format!("SET search_path TO {}; {sql}", self.name)).await.unwrap();
            driver.abort();
        });
    }

    fn execute(&self, sql: &str, parameters: &[&(dyn ToSql + Sync)]) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let changed = runtime.block_on(async {
            let (client, driver) = tokio_postgres::connect(&self.url, NoTls).await.unwrap();
            let driver = tokio::spawn(driver);
            client.batch_execute(&format!("SET search_path TO {}", self.name)).await.unwrap();
            let changed = client.execute(sql, parameters).await.unwrap();
            driver.abort();
            changed
        });
        assert_ne!(changed, 0, "{sql}");
    }
}

impl Home for Schema {
    fn open(&self) -> Box<dyn Store> {
        Box::new(Postgres::open(&self.target()).unwrap())
    }

    fn damage(&self, table: &str, id: SessionId) {
        let sql = format!("UPDATE {table} SET record = set_byte(record, 0, 33) WHERE id = $1");
        self.execute(&sql, &[&id.0.as_slice()]);
    }

    fn damage_revocations(&self) {
        self.execute("UPDATE rules SET rule = '!' WHERE kind = 'revocation'", &[]);
    }
}

claims!(#[test] #[ignore = "needs PostgreSQL: run by `make test-faults`"], Schema::new());
claims!(@not_redis [#[test] #[ignore = "needs PostgreSQL: run by `make test-faults`"]] Schema::new());

#[test]
#[ignore = "needs PostgreSQL: run by `make test-faults`"]
fn what_is_read_only_is_not_made() {
    let schema = Schema::new();
    let missing = Postgres::open_existing(&schema.target()).map(drop).unwrap_err();
    assert!(missing.0.contains("there is no store in schema"), "{missing}");
    drop(schema.open());
    assert!(Postgres::open_existing(&schema.target()).is_ok());
}

#[test]
#[ignore = "needs PostgreSQL: run by `make test-faults`"]
fn tables_of_another_layout_are_refused() {
    let schema = Schema::new();
    drop(schema.open());
    schema.execute("UPDATE meta SET layout = layout + 1", &[]);
    let refused = Postgres::open(&schema.target()).map(drop).unwrap_err();
    assert!(refused.0.contains("its layout is 9, but this version reads layout 8 only"), "{refused}");
}

#[test]
#[ignore = "needs PostgreSQL: run by `make test-faults`"]
fn tables_of_the_first_layout_are_brought_to_this_one() {
    let schema = Schema::new();
    drop(schema.open());
    schema.execute("UPDATE meta SET layout = 1", &[]);
    schema.batch("DROP TABLE received; ALTER TABLE meta DROP COLUMN secret");
    let refused = Postgres::open_existing(&schema.target()).map(drop).unwrap_err();
    assert!(refused.0.contains("its layout is 1"), "who only reads changes nothing: {refused}");
    let store = schema.open();
    let receipt = Receipt { id: ReceiptId::of("idp", "1"), until_ms: 9 };
    store.apply(&[Change::Received(receipt.clone())]).unwrap();
    assert_eq!(store.received(&[&receipt.id]).unwrap().len(), 1);
}

#[test]
#[ignore = "needs PostgreSQL: run by `make test-faults`"]
fn all_rules_leave_those_that_another_replica_has_made() {
    let party = |name: &str| crate::revocations::RevokedParty::Sid(name.to_owned());
    let revocation = |name: &str| Revocation {
        issuer: "i".to_owned(),
        party: party(name),
        before_ms: 9,
        made_at_ms: 9,
        ends_at_ms: 9,
        reason: String::new(),
        by: MadeBy::default(),
    };
    let schema = Schema::new();
    let store = schema.open();
    schema.open().apply(&[Change::Revocation(revocation("other"))]).unwrap();
    let own = Rules { revocations: vec![revocation("own")], ..Rules::default() };
    store.apply(&[Change::Rules(own)]).unwrap();
    assert_eq!(store.rules().unwrap().revocations.len(), 2);
}

#[test]
#[ignore = "needs PostgreSQL: run by `make test-faults`"]
fn a_commit_whose_connection_was_lost_after_it_had_begun_changes_nothing() {
    let schema = Schema::new();
    let store = schema.open();
    store.begin(&mut |_| ()).unwrap();
    schema.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE state = 'idle in transaction' \
         AND pid IN (SELECT pid FROM pg_locks WHERE relation = 'meta'::regclass)",
        &[],
    );
    assert!(store.apply(&[Change::Tombstone(tombstone("s", 7))]).is_err());
    assert_eq!(store.tombstone(record("s").id()), Ok(None));
    store.begin(&mut |_| ()).unwrap();
    store.apply(&[Change::Tombstone(tombstone("s", 7))]).unwrap();
    assert_eq!(store.tombstone(record("s").id()), Ok(Some(tombstone("s", 7))));
    assert_eq!(store.place(), 1, "and one entry of the log tells of it");
}

#[test]
#[ignore = "needs PostgreSQL: run by `make test-faults`"]
fn of_two_replicas_one_has_a_proof_used() {
    use crate::proofs::UsedProof;
    use portcullis_contract::token::dpop::ProofId;
    let schema = Schema::new();
    let [one, two] = [schema.open(), schema.open()];
    let proof = |asker| UsedProof { id: ProofId([1; ProofId::BYTES]), asker, until_ms: 1 };
    assert_eq!(one.keep_proofs(&[proof(u64::MAX)], 0), Ok(vec![true]));
    assert_eq!(two.keep_proofs(&[proof(1)], 0), Ok(vec![false]));
    assert_eq!(two.keep_proofs(&[proof(u64::MAX)], 0), Ok(vec![true]), "asked again at another replica");
    one.trim().unwrap();
    assert_eq!(two.keep_proofs(&[proof(1)], 0), Ok(vec![true]), "it had ended long ago");
}

#[test]
#[ignore = "needs PostgreSQL: run by `make test-faults`"]
fn an_append_lists_for_how_long_each_replica_is_relied_on_as_its_last_beat_has_stated() {
    use crate::replica::Engine;
    let schema = Schema::new();
    let [one, two] = [(); 2].map(|()| Postgres::open(&schema.target()).unwrap());
    one.join(0, 3_000).unwrap();
    one.beat(0, 3_500).unwrap().unwrap();
    two.begin(&mut |_| ()).unwrap();
    two.apply(&[Change::Tombstone(tombstone("s", 7))]).unwrap();
    let members = two.take_appended().unwrap().members;
    assert_eq!(members.iter().map(|member| member.relied_on_ms).collect::<Vec<_>>(), [3_500]);
}
