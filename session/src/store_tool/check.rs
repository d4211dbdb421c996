//! `store check`: how much there is in a store, and what is damaged.

use super::contents::{self, Counts};
use super::lines::Line;
use super::{Failure, Opened, open_existing};
use crate::config::StoreSettings;
use crate::replica::{Peer, Place};
use crate::store::Store;
use crate::store::postgres::Condition;
use std::fmt::Write as _;

/// Damaged entries that are named; any more are counted.
const NAMED_MAX: usize = 20;

/// What was found.
#[derive(Debug, Default)]
pub(super) struct Report {
    pub(super) counts: Counts,
    /// What is damaged, and what that means.
    pub(super) damage: Vec<String>,
}

pub(super) fn run(settings: &StoreSettings) -> Result<(), Failure> {
    let opened = open_existing(settings)?;
    let kind = match settings {
        StoreSettings::Embedded(folder) => format!("embedded in `{}`", folder.display()),
        StoreSettings::Postgres(source, _) => format!("PostgreSQL, schema `{}`", source.schema),
        StoreSettings::Redis(source, _) => format!("Redis, prefix `{}`", source.prefix),
    };
    println!("{:<14} {kind}\n{:<14} {}", "store", "id", opened.store().id());
    match &opened {
        Opened::Embedded(_) => {}
        Opened::Postgres(postgres) => {
            let Condition { layout, head, replicas, warnings } = postgres.condition()?;
            print!("{}", shown(&layout.to_string(), head, &replicas, &warnings));
        }
        Opened::Redis(redis) => {
            let found = redis.condition()?;
            print!("{}", shown(&found.layout.to_string(), found.head, &found.replicas, &found.warnings));
            println!("{:<14} {}\n{:<14} {}", "epoch", found.epoch, "names", found.names.join(", "));
        }
    }
    let report = of(opened.store(), opened.is_shared());
    println!("{}", report.counts);
    match report.damage.is_empty() {
        true => Ok(()),
        false => Err(Failure::Failed(report.damage.join("\n"))),
    }
}

/// Reads a store, as far as it can be read.
pub(super) fn of(store: &dyn Store, is_shared: bool) -> Report {
    let Report { mut counts, mut damage } = Report::default();
    let mut unreadable = Vec::new();
    let read = contents::sessions(store, is_shared, &mut |line| {
        counts.add(&line);
        if let Line::UnreadableTombstone(id) = line {
            unreadable.push(id);
        }
        Ok(())
    });
    match read {
        Ok(0) => {}
        Ok(damaged) => damage.push(format!(
            "sessions: {damaged} cannot be read: they are ended from now on, as after a start of the service"
        )),
        Err(error) => damage.push(format!("sessions: {error}")),
    }
    let more = unreadable.len().saturating_sub(NAMED_MAX);
    damage.extend(unreadable.iter().take(NAMED_MAX).map(|id| {
        format!(
            "tombstone {id} cannot be read: its session gets no verdict; `store restore --merge` repairs it from a backup"
        )
    }));
    if more > 0 {
        damage.push(format!("{more} other tombstones cannot be read"));
    }
    let rules = contents::rules(store, &mut |line| {
        counts.add(&line);
        Ok(())
    });
    if let Err(error) = rules {
        damage.push(format!(
            "rules: {error}: the service does not start without them: restore a backup into an empty store"
        ));
    }
    Report { counts, damage }
}

fn shown(layout: &str, head: Place, replicas: &[Peer], warnings: &[String]) -> String {
    let mut text =
        format!("{:<14} {layout}\n{:<14} {head}\n{:<14} {}\n", "layout", "log head", "replicas", replicas.len());
    for replica in replicas {
        let behind = head.saturating_sub(replica.settled);
        // Writing to a text cannot fail.
        let _ = writeln!(
            text,
            "  {} {}, version {}, {behind} entries behind, last beat {} ms ago",
            replica.name,
            replica.run,
            replica.release(),
            replica.beaten_ago_ms
        );
    }
    for warning in warnings {
        let _ = writeln!(text, "warning: {warning}");
    }
    text
}
