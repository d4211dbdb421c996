//! Reading and writing families. A version is written only over the one that was read, so that of two replicas one is first.

use super::family::{Family, FamilyId, StoredFamily};
use super::fault::Fault;
use super::state::Tokens;
use super::vault::Sealed;
use crate::log::Sampler;
use crate::store::{Store, StoreError};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use tracing::error;

/// How long what an issuer has answered is tried to be written: it cannot be had again.
const SAVE_MAX: Duration = Duration::from_mins(5);

/// How long the writing of a new family may take.
const OPEN_MAX: Duration = Duration::from_secs(5);

/// The pauses between two tries.
const PAUSE_FIRST: Duration = Duration::from_millis(50);
const PAUSE_MAX: Duration = Duration::from_secs(2);

/// What has become of a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Written {
    /// It is durable, as this version.
    As(u64),
    /// Another version was there.
    Late,
    /// The store has failed: nobody knows.
    Failed,
}

impl Tokens {
    /// Reads a family, with its version.
    pub(super) async fn load(&self, id: FamilyId) -> Result<Option<(Family, u64)>, Fault> {
        let stored = self.at_store(move |store| store.family(id)).await?;
        stored.map(|stored| self.open(&stored)).transpose()
    }

    /// Opens a family, with its version.
    pub(super) fn open(&self, stored: &StoredFamily) -> Result<(Family, u64), Fault> {
        static FAILED: Sampler = Sampler::new();
        let opened = Family::open(&self.vault, stored).map(|family| (family, stored.version));
        opened.map_err(|why| {
            if let Some(not_logged) = FAILED.admit() {
                let why = match why {
                    Sealed::NoKey => "the key that sealed it is no longer among `tokens.encryption.keys`",
                    Sealed::Damaged => "it is damaged",
                };
                error!(family = %stored.id, why, not_logged, "cannot read a refresh family");
            }
            Fault::Unavailable
        })
    }

    /// Writes a family over that version, or as a new one.
    pub(super) async fn write(&self, id: FamilyId, family: &Family, over: Option<u64>) -> Written {
        let version = over.map_or(1, |version| version.saturating_add(1));
        let Some(stored) = family.seal(&self.vault, &self.settings.terms, id, version) else { return Written::Failed };
        match self.at_store(move |store| write(store, &stored, over)).await {
            Ok(true) => Written::As(version),
            Ok(false) => Written::Late,
            Err(_) => Written::Failed,
        }
    }

    /// Writes what cannot be had again, as often as it takes.
    pub(super) async fn save(&self, id: FamilyId, family: &Family, over: Option<u64>) -> Written {
        let at_most = if over.is_some() { SAVE_MAX } else { OPEN_MAX };
        let (gives_up_at, mut pause) = (Instant::now() + at_most, PAUSE_FIRST);
        loop {
            let written = self.write(id, family, over).await;
            if written != Written::Failed || Instant::now() + pause > gives_up_at {
                return written;
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }

    /// Uses the store, on a thread that may wait.
    pub(super) async fn at_store<T: Send + 'static>(
        &self,
        run: impl FnOnce(&dyn Store) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, Fault> {
        static FAILED: Sampler = Sampler::new();
        let store = Arc::clone(&self.store);
        let done = self.runtime.spawn_blocking(move || run(&*store)).await;
        let done = done.unwrap_or_else(|_| Err(StoreError("the service is stopping".to_owned())));
        done.map_err(|why| {
            if let Some(not_logged) = FAILED.admit() {
                error!(%why, not_logged, "the store has failed: no refresh handle is used");
            }
            Fault::Unavailable
        })
    }
}

/// A store that has failed may have written all the same: then it has this very text.
fn write(store: &dyn Store, stored: &StoredFamily, over: Option<u64>) -> Result<bool, StoreError> {
    match store.write_family(stored, over) {
        Ok(false) => Ok(store.family(stored.id)?.as_ref() == Some(stored)),
        done => done,
    }
}
