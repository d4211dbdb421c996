//! Snapshots: everything up to one entry, in chunks. With them Redis can drop old entries, and a replica with an empty journal
//! has where to begin.

use super::commit::must_be_ok;
use super::journal::{Committing, State};
use super::link::Link;
use super::open::{Redis, random};
use super::refusal::{Refusal, ask};
use super::script::{PUBLISHED, READ, SNAPSHOT, TRIM};
use crate::replica::Place;
use crate::store::entry;
use crate::store::{Change, StoreError};
use std::time::{Duration, Instant};

/// For how long one replica is the only one to make a snapshot; and after which an unfinished one is gone, in seconds.
const MAKING_MS: u64 = 600_000;
const UNFINISHED_S: u64 = 3_600;

/// The log is dropped once it is longer than the last snapshot, and than this.
const LOG_BYTES_MIN: u64 = 16 * 1024 * 1024;

/// How long a replica with an empty journal waits for the others when it starts.
const OTHERS_MAX: Duration = Duration::from_secs(60);
const OTHERS_PAUSE: Duration = Duration::from_millis(200);

/// A snapshot in Redis that nothing leads to yet.
pub(super) struct Uploaded {
    pub(super) key: String,
    pub(super) number: Place,
    pub(super) tag: i64,
    pub(super) chunks: u64,
    pub(super) bytes: u64,
}

impl Redis {
    /// Copies the journal, as it is at one moment, into Redis.
    pub(super) fn upload(&self, link: &mut Link) -> Result<Uploaded, StoreError> {
        let key = link.keys().snapshot(&random());
        let (mut chunks, mut bytes) = (0, 0);
        let state: State = self.embedded.snapshot(&mut |changes| {
            let chunk = entry::write(&changes)?;
            (chunks, bytes) = (chunks + 1, bytes + u64::try_from(chunk.len()).unwrap_or_default());
            let _: u64 = link.command(redis::cmd("RPUSH").arg(&key).arg(chunk))?;
            if chunks == 1 {
                let _: u64 = link.command(redis::cmd("EXPIRE").arg(&key).arg(UNFINISHED_S))?;
            }
            Ok(())
        })?;
        Ok(Uploaded { key, number: state.number, tag: state.tag, chunks, bytes })
    }

    /// Replaces the journal by the snapshot that Redis has.
    fn download(&self, committing: &mut Committing) -> Result<(), Refusal> {
        let mut reply = self.ask(committing, &SNAPSHOT, &[])?;
        if reply.word() == "NONE" {
            return Err(StoreError("Redis has neither the log from its beginning nor a snapshot".to_owned()).into());
        }
        must_be_ok(&reply)?;
        let key = reply.text()?;
        let state = State { number: reply.number()?, tag: reply.number()?, ..committing.state.clone() };
        let count: i64 = reply.number()?;
        let (link, mut next) = (&mut committing.link, 0..count);
        self.embedded.replace(&state, &mut || {
            let Some(at) = next.next() else { return Ok(None) };
            let chunk: Option<Vec<u8>> = link.command(redis::cmd("LINDEX").arg(&key).arg(at))?;
            let chunk = chunk.ok_or_else(|| StoreError("the snapshot was replaced by a newer one".to_owned()))?;
            let changes: Vec<Change> = serde_json::from_slice(&chunk).map_err(|_| StoreError::damage())?;
            Ok(Some(changes))
        })?;
        committing.state = state;
        Ok(())
    }

    /// Whether Redis takes changes.
    pub(super) fn is_complete(&self) -> Result<(), StoreError> {
        let mut committing = self.committing();
        let place = committing.state.number.to_string();
        let reply = self.ask(&mut committing, &READ, &[place.as_bytes(), b"1"])?;
        must_be_ok(&reply)
    }

    /// Brings the journal to the end of the log, while memory has nothing of it.
    pub(super) fn read_everything(&self) -> Result<(), Refusal> {
        match self.read_log(&mut |_| ()) {
            Err(Refusal::Trimmed) => {
                self.download(&mut self.committing())?;
                self.read_log(&mut |_| ())
            }
            other => other,
        }
    }

    /// The same at a start: while others are missing, a replica begins with what its journal has. One whose journal is empty
    /// waits for them if the store is not.
    pub(super) fn read_at_start(&self) -> Result<(), StoreError> {
        let give_up_at = Instant::now() + OTHERS_MAX;
        loop {
            match self.read_everything() {
                Err(Refusal::Waiting(why)) => {
                    // One after the other: both lock the same.
                    let number = self.committing().place();
                    let head = self.head()?;
                    if number > 0 || head == 0 {
                        tracing::warn!(why, "begins with what its journal has");
                        return Ok(());
                    }
                    if Instant::now() >= give_up_at {
                        return Err(StoreError(why));
                    }
                    std::thread::sleep(OTHERS_PAUSE);
                }
                other => return other.map_err(StoreError::from),
            }
        }
    }

    /// Drops entries of the log that every replica has applied and a snapshot has, and makes a snapshot when it is time.
    pub(super) fn trim_log(&self) -> Result<(), StoreError> {
        // Beside the commits: a snapshot takes a while.
        let mut link = Link::new(&self.target);
        let (epoch, token) = (self.epoch().clone(), random());
        let (making_ms, bytes_min) = (MAKING_MS.to_string(), LOG_BYTES_MIN.to_string());
        let arguments = [token.as_bytes(), making_ms.as_bytes(), bytes_min.as_bytes()];
        let mut reply = match ask(&mut link, &self.id, &epoch, &TRIM, &arguments) {
            // There is nothing to drop as long as somebody may miss it.
            Err(Refusal::Waiting(_) | Refusal::Moved(_)) => return Ok(()),
            other => other?,
        };
        must_be_ok(&reply)?;
        if reply.text()? != "1" {
            return Ok(());
        }
        let uploaded = self.upload(&mut link)?;
        let texts = [
            token,
            uploaded.number.to_string(),
            uploaded.tag.to_string(),
            uploaded.key,
            uploaded.chunks.to_string(),
            uploaded.bytes.to_string(),
        ];
        let arguments: Vec<&[u8]> = texts.iter().map(String::as_bytes).collect();
        let reply = ask(&mut link, &self.id, &epoch, &PUBLISHED, &arguments)?;
        if reply.word() == "RACED" {
            return Err(StoreError("another replica has made a snapshot meanwhile".to_owned()));
        }
        must_be_ok(&reply)?;
        tracing::info!(up_to = uploaded.number, bytes = uploaded.bytes, "made a snapshot in Redis");
        Ok(())
    }
}
