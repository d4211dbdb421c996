//! The tables of sessions and rules: what a commit reads of them, and what it changes.

use super::commit::{id_of, int};
use super::link::Connected;
use super::read::parse;
use crate::blocks::Block;
use crate::revocations::Revocation;
use crate::store::batch::{Batch, Fate, Found, Held, Wanted, text};
use crate::store::{Marks, Receipt, Record, StoreError};
use crate::usage::Count;
use portcullis_contract::SessionId;

/// What the tables have of what a commit wants to know.
pub(super) async fn find(connected: &mut Connected, wanted: &Wanted) -> Result<Found, StoreError> {
    let mut found = Found::default();
    if !wanted.tombstones.is_empty() {
        let ids: Vec<&[u8]> = wanted.tombstones.iter().map(|id| id.0.as_slice()).collect();
        let rows = connected.query("SELECT id, record FROM tombstones WHERE id = ANY($1)", &[&ids]).await?;
        for row in rows {
            let held = match parse::<Record>(row.get(1)) {
                Ok(record) => Held::Tombstone(record.ended),
                Err(_) => Held::Damaged,
            };
            found.tombstones.insert(id_of(row.get(0))?, held);
        }
    }
    if !wanted.parties.is_empty() {
        let parties: Vec<&[u8]> = wanted.parties.iter().map(Vec::as_slice).collect();
        let rows = connected.query("SELECT kind, party, rule FROM rules WHERE party = ANY($1)", &[&parties]).await?;
        for row in rows {
            let (party, rule): (Vec<u8>, &[u8]) = (row.get(1), row.get(2));
            // One that cannot be read is mended: memory has what it said.
            match row.get(0) {
                "revocation" => found.revocations.extend(parse::<Revocation>(rule).ok().map(|rule| (party, rule))),
                "block" => found.blocks.extend(parse::<Block>(rule).ok().map(|rule| (party, rule))),
                _ => {}
            }
        }
    }
    Ok(found)
}

/// Sessions as columns of the tables.
#[derive(Default)]
struct Columns {
    ids: Vec<Vec<u8>>,
    records: Vec<Vec<u8>>,
    marks: [Vec<i64>; 4],
}

impl Columns {
    fn add(&mut self, id: SessionId, marks: Marks) {
        self.ids.push(id.0.to_vec());
        let Marks { last_seen_ms, login_at_ms, authenticated_ms, issued_ms } = marks;
        for (column, ms) in self.marks.iter_mut().zip([last_seen_ms, login_at_ms, authenticated_ms, issued_ms]) {
            column.push(int(ms));
        }
    }
}

/// Changes the tables.
pub(super) async fn write(connected: &mut Connected, batch: &Batch) -> Result<(), StoreError> {
    let (mut lives, mut tombstones) = (Columns::default(), Columns::default());
    let (mut not_live, mut not_buried) = (Vec::new(), Vec::new());
    for (id, fate) in &batch.fates {
        match fate {
            Fate::Live(record) => {
                lives.add(*id, record.marks);
                lives.records.push(text(record)?);
                not_buried.push(id.0.to_vec());
            }
            Fate::Buried(record) => {
                tombstones.add(*id, record.marks);
                tombstones.records.push(text(record)?);
                not_live.push(id.0.to_vec());
            }
            Fate::Forgotten => not_buried.push(id.0.to_vec()),
        }
    }
    if !not_live.is_empty() {
        connected.execute("DELETE FROM sessions WHERE id = ANY($1)", &[&not_live]).await?;
        connected
            .execute(
                "INSERT INTO tombstones (id, record) SELECT * FROM unnest($1::bytea[], $2::bytea[]) \
                 ON CONFLICT (id) DO UPDATE SET record = excluded.record",
                &[&tombstones.ids, &tombstones.records],
            )
            .await?;
    }
    if !not_buried.is_empty() {
        connected.execute("DELETE FROM tombstones WHERE id = ANY($1)", &[&not_buried]).await?;
    }
    if !lives.ids.is_empty() {
        let [seen, login, authenticated, issued] = &lives.marks;
        connected
            .execute(
                "INSERT INTO sessions AS held (id, record, last_seen_ms, login_at_ms, authenticated_ms, issued_ms) \
                 SELECT * FROM unnest($1::bytea[], $2::bytea[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[]) \
                 ON CONFLICT (id) DO UPDATE SET record = excluded.record, \
                 last_seen_ms = greatest(held.last_seen_ms, excluded.last_seen_ms), \
                 login_at_ms = greatest(held.login_at_ms, excluded.login_at_ms), \
                 authenticated_ms = greatest(held.authenticated_ms, excluded.authenticated_ms), \
                 issued_ms = greatest(held.issued_ms, excluded.issued_ms)",
                &[&lives.ids, &lives.records, seen, login, authenticated, issued],
            )
            .await?;
    }
    write_seen(connected, batch).await?;
    write_received(connected, batch).await?;
    write_used(connected, batch).await?;
    write_rules(connected, batch).await
}

async fn write_received(connected: &mut Connected, batch: &Batch) -> Result<(), StoreError> {
    for Receipt { id, until_ms } in &batch.received {
        connected
            .execute(
                "INSERT INTO received (id, until_ms) VALUES ($1, $2) \
                 ON CONFLICT (id) DO UPDATE SET until_ms = excluded.until_ms",
                &[&id.0, &int(*until_ms)],
            )
            .await?;
    }
    if !batch.unreceived.is_empty() {
        let ids: Vec<&str> = batch.unreceived.iter().map(|id| id.0.as_str()).collect();
        connected.execute("DELETE FROM received WHERE id = ANY($1)", &[&ids]).await?;
    }
    if let Some(before_ms) = batch.forget_received_before_ms {
        connected
            .execute(
                "DELETE FROM received WHERE id IN (SELECT id FROM received WHERE until_ms < $1 LIMIT 4096)",
                &[&int(before_ms)],
            )
            .await?;
    }
    Ok(())
}

async fn write_used(connected: &mut Connected, batch: &Batch) -> Result<(), StoreError> {
    if !batch.used.is_empty() {
        let (mut days, mut kinds, mut names, mut clients) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        let mut counts: [Vec<i64>; 4] = Default::default();
        for ((day, kind, name, client), count) in &batch.used {
            days.push(i64::from(*day));
            kinds.push(i16::from(kind.number()));
            names.push(name.as_bytes());
            clients.push(client.as_bytes());
            let Count { asked, granted, refused, last_ms } = *count;
            for (column, count) in counts.iter_mut().zip([asked, granted, refused, last_ms]) {
                column.push(int(count));
            }
        }
        let [asked, granted, refused, last] = &counts;
        connected
            .execute(
                "INSERT INTO used AS held (day, kind, name, client, asked, granted, refused, last_ms) \
                 SELECT * FROM unnest($1::bigint[], $2::smallint[], $3::bytea[], $4::bytea[], $5::bigint[], $6::bigint[], \
                 $7::bigint[], $8::bigint[]) \
                 ON CONFLICT (day, kind, name, client) DO UPDATE SET asked = held.asked + excluded.asked, \
                 granted = held.granted + excluded.granted, refused = held.refused + excluded.refused, \
                 last_ms = greatest(held.last_ms, excluded.last_ms)",
                &[&days, &kinds, &names, &clients, asked, granted, refused, last],
            )
            .await?;
    }
    if let Some(before) = batch.forget_used_before {
        connected
            .execute(
                "DELETE FROM used WHERE ctid IN (SELECT ctid FROM used WHERE day < $1 LIMIT 4096)",
                &[&i64::from(before)],
            )
            .await?;
    }
    Ok(())
}

async fn write_seen(connected: &mut Connected, batch: &Batch) -> Result<(), StoreError> {
    if batch.seen.is_empty() {
        return Ok(());
    }
    let mut moved = Columns::default();
    batch.seen.iter().for_each(|(id, marks)| moved.add(*id, *marks));
    let [seen, login, authenticated, issued] = &moved.marks;
    connected
        .execute(
            "UPDATE sessions AS held SET last_seen_ms = greatest(held.last_seen_ms, new.seen), \
             login_at_ms = greatest(held.login_at_ms, new.login), \
             authenticated_ms = greatest(held.authenticated_ms, new.authenticated), \
             issued_ms = greatest(held.issued_ms, new.issued) \
             FROM unnest($1::bytea[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[]) \
             AS new (id, seen, login, authenticated, issued) WHERE held.id = new.id",
            &[&moved.ids, seen, login, authenticated, issued],
        )
        .await?;
    Ok(())
}

async fn write_rules(connected: &mut Connected, batch: &Batch) -> Result<(), StoreError> {
    for ((kind, party), rule) in &batch.rules {
        let kind = kind.as_str();
        match rule {
            Some(rule) => {
                connected
                    .execute(
                        "INSERT INTO rules (kind, party, rule) VALUES ($1, $2, $3) \
                         ON CONFLICT (kind, party) DO UPDATE SET rule = excluded.rule",
                        &[&kind, party, rule],
                    )
                    .await?
            }
            None => connected.execute("DELETE FROM rules WHERE kind = $1 AND party = $2", &[&kind, party]).await?,
        };
    }
    for issuer in &batch.issuers {
        connected
            .execute(
                "INSERT INTO issuers (name, issuer) VALUES ($1, $2) \
                 ON CONFLICT (name) DO UPDATE SET issuer = excluded.issuer",
                &[&issuer.name.as_bytes(), &text(issuer)?],
            )
            .await?;
    }
    for lead in &batch.leads {
        connected
            .execute(
                "INSERT INTO leads AS held (issuer, lead_ms) VALUES ($1, $2) \
                 ON CONFLICT (issuer) DO UPDATE SET lead_ms = greatest(held.lead_ms, excluded.lead_ms)",
                &[&lead.issuer.as_bytes(), &int(lead.lead_ms)],
            )
            .await?;
    }
    Ok(())
}
