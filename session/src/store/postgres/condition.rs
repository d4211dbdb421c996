//! What people ask about a database, besides what it stores.

use super::commit::place;
use super::link::Connected;
use super::open::{Postgres, lock};
use crate::replica::{Peer, Place};
use crate::store::StoreError;

/// The state of a database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Condition {
    /// The layout of the tables.
    pub layout: i32,
    /// The last entry of the log.
    pub head: Place,
    /// The replicas that are listed, also those that have stopped beating.
    pub replicas: Vec<Peer>,
    /// What the server's settings take from the promise.
    pub warnings: Vec<String>,
}

impl Postgres {
    /// The state of the database. Blocks.
    pub fn condition(&self) -> Result<Condition, StoreError> {
        lock(&self.lists).run(async |connected| {
            let meta = connected.one("SELECT layout, head FROM meta", &[]).await?;
            Ok(Condition {
                layout: meta.get(0),
                head: place(meta.get(1)),
                replicas: super::engine::peers(connected).await?,
                warnings: promises(connected).await?,
            })
        })
    }
}

/// What the server's settings take from the promise, in words for people.
pub(super) async fn promises(connected: &mut Connected) -> Result<Vec<String>, StoreError> {
    let row = connected
        .one(
            "SELECT current_setting('fsync'), current_setting('full_page_writes'), \
             current_setting('synchronous_standby_names'), (SELECT count(*) FROM pg_stat_replication)",
            &[],
        )
        .await?;
    let is_off = |at: usize| row.get::<_, &str>(at) == "off";
    let mut warnings = Vec::new();
    if is_off(0) || is_off(1) {
        warnings.push(
            "PostgreSQL runs with fsync or full_page_writes off: a crash of its machine can lose revocations"
                .to_owned(),
        );
    }
    let is_synchronous = !row.get::<_, &str>(2).is_empty();
    if row.get::<_, i64>(3) > 0 && !is_synchronous {
        warnings.push(
            "PostgreSQL has standbys, and synchronous_standby_names is empty: a failover can lose revocations that \
             were answered"
                .to_owned(),
        );
    }
    Ok(warnings)
}
