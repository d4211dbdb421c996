//! The list of replicas and their beats.

use super::commit::{LOST, int, place};
use super::link::Connected;
use super::open::{Postgres, lock};
use crate::replica::{Beaten, Engine, NoBeat, Peer, Place, Stated, Woken};
use crate::store::StoreError;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A reading of the clocks that took longer than this says too little.
const READING_MS_MAX: i64 = 100;

impl Engine for Postgres {
    fn run(&self) -> &str {
        &self.run
    }

    fn stated(&self) -> &Stated {
        &self.stated
    }

    fn join(&self, settled: Place, relied_on_ms: u64) -> Result<(), StoreError> {
        let beat = self.next_beat();
        let (version, lead_ms) = (self.stated.text(), self.clock_lead_ms.load(Ordering::Relaxed));
        lock(&self.beats).run(async |c| {
            c.batch("BEGIN").await?;
            // In the order of the commits: each lists this replica, or is before the head that its next beat sees.
            c.one("SELECT head FROM meta FOR UPDATE", &[]).await?;
            c.execute(
                "INSERT INTO replicas (run, name, version, settled, serve_lease_ms, beat, beaten_at, clock_lead_ms) \
                 VALUES ($1, $2, $3, $4, $5, $7, clock_timestamp(), $6) ON CONFLICT (run) DO NOTHING",
                &[&self.run, &self.name, &version, &int(settled), &int(relied_on_ms), &lead_ms, &beat],
            )
            .await?;
            c.batch("COMMIT").await
        })
    }

    fn beat(&self, settled: Place, relied_on_ms: u64) -> Result<Option<Beaten>, NoBeat> {
        let (beat, lead_ms) = (self.next_beat(), self.clock_lead_ms.load(Ordering::Relaxed));
        let version = self.stated.text();
        let cursor = self.cursor();
        // The writer may have gone on since this place was read: then another beat follows.
        let tag = cursor.tag.filter(|_| cursor.number == settled);
        drop(cursor);
        let before_ms = wall_ms();
        let (row, peers) = lock(&self.beats)
            .run(async |c| {
                let row = c
                    .one(
                        "WITH mine AS (UPDATE replicas SET settled = $2, beat = $5, \
                         beaten_at = clock_timestamp(), clock_lead_ms = $4, version = $8, serve_lease_ms = $9 \
                         WHERE run = $1 \
                         AND EXISTS (SELECT FROM meta WHERE id = $6 AND head >= $2) \
                         AND NOT EXISTS (SELECT FROM log WHERE n = $2 AND tag <> $7) RETURNING run), \
                         told AS (SELECT pg_notify($3, 'settled ' || $1) FROM mine) \
                         SELECT id, head, (SELECT tag FROM log WHERE n = $2), (SELECT min(n) FROM log), \
                         (SELECT count(*) FROM told), (extract(epoch FROM clock_timestamp()) * 1000)::bigint FROM meta",
                        &[
                            &self.run,
                            &int(settled),
                            &self.channel,
                            &lead_ms,
                            &beat,
                            &self.id,
                            &tag,
                            &version,
                            &int(relied_on_ms),
                        ],
                    )
                    .await?;
                Ok((row, peers(c).await?))
            })
            .map_err(NoBeat::Failed)?;
        let after_ms = wall_ms();
        let head = place(row.get(1));
        let is_other = tag.zip(row.get::<_, Option<i64>>(2)).is_some_and(|(expected, tag)| expected != tag);
        self.fits(settled, row.get(0), head, is_other, row.get::<_, Option<i64>>(3).map(place))?;
        if row.get::<_, i64>(4) == 0 {
            return Ok(None);
        }
        if after_ms.saturating_sub(before_ms) <= READING_MS_MAX {
            let lead_ms = before_ms.midpoint(after_ms).saturating_sub(row.get(5));
            self.clock_lead_ms.store(lead_ms, Ordering::Relaxed);
        }
        let clock_lead_ms = self.clock_lead_ms.load(Ordering::Relaxed);
        Ok(Some(Beaten { head, peers, clock_lead_ms, failovers: None }))
    }

    fn peers(&self) -> Result<Vec<Peer>, StoreError> {
        lock(&self.beats).run(async |c| peers(c).await)
    }

    fn evict(&self, run: &str, beat: u64) -> Result<bool, StoreError> {
        lock(&self.beats)
            .run(async |c| c.execute("DELETE FROM replicas WHERE run = $1 AND beat = $2", &[&run, &int(beat)]).await)
            .map(|rows| rows > 0)
    }

    fn leave(&self) -> Result<(), StoreError> {
        lock(&self.beats)
            .run(async |c| {
                c.query(
                    "WITH gone AS (DELETE FROM replicas WHERE run = $1 RETURNING run) \
                     SELECT pg_notify($2, 'settled ' || run) FROM gone",
                    &[&self.run, &self.channel],
                )
                .await
            })
            .map(drop)
    }

    fn wait(&self, at_most: Duration) -> Woken {
        let mut link = lock(&self.beats);
        let first = match link.wait(at_most, self.woken.notified()) {
            None => return Woken::Late,
            Some(Err(())) => return Woken::Here,
            Some(Ok(first)) => first,
        };
        let mut news = link.take_news();
        news.push(first);
        let others = news.iter().filter_map(|text| text.split_once(' ')).filter(|(_, run)| *run != self.run);
        let is_appended = others.clone().any(|(what, _)| what == "appended");
        match (is_appended, others.count()) {
            (true, _) => Woken::Appended,
            (false, 0) => Woken::Here,
            (false, _) => Woken::Settled,
        }
    }

    fn wake(&self) {
        self.woken.notify_one();
    }
}

impl Postgres {
    /// A number for a beat, larger than every one before it in this run: whoever evicts names the last one that it saw.
    fn next_beat(&self) -> i64 {
        int(self.beats_ever.fetch_add(1, Ordering::Relaxed) + 1)
    }

    /// Whether the store is the one that this replica has its sessions from, as far as it can tell.
    fn fits(&self, settled: Place, id: &str, head: Place, is_other: bool, first: Option<Place>) -> Result<(), NoBeat> {
        if id != self.id {
            return Err(NoBeat::Foreign(
                "the database was replaced by another store: restart the service to use it".to_owned(),
            ));
        }
        if head < settled || is_other {
            return Err(NoBeat::Foreign(LOST.to_owned()));
        }
        match first {
            Some(first) if first <= settled + 1 => Ok(()),
            _ if head == settled => Ok(()),
            _ => Err(NoBeat::Outdated),
        }
    }
}

/// The replicas that are listed.
pub(super) async fn peers(connected: &mut Connected) -> Result<Vec<Peer>, StoreError> {
    let rows = connected
        .query(
            "SELECT run, name, version, settled, serve_lease_ms, beat, \
             (extract(epoch FROM clock_timestamp() - beaten_at) * 1000)::bigint, clock_lead_ms \
             FROM replicas ORDER BY name, run",
            &[],
        )
        .await?;
    let peer = |row: &tokio_postgres::Row| Peer {
        run: row.get(0),
        name: row.get(1),
        version: row.get(2),
        settled: place(row.get(3)),
        relied_on_ms: place(row.get(4)),
        beat: place(row.get(5)),
        beaten_ago_ms: place(row.get(6)),
        clock_lead_ms: row.get(7),
    };
    Ok(rows.iter().map(peer).collect())
}

fn wall_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
