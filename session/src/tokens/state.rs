//! What requests share.

use super::browser::Renewals;
use super::family::FamilyId;
use super::metrics::TokenMetrics;
use super::rotation::Process;
use super::settings::TokenSettings;
use super::upstream::Upstream;
use super::vault::{Vault, random};
use crate::config::Reloadable;
use crate::minting::SigningKeys;
use crate::store::Store;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::runtime::Handle as Runtime;
use tokio::sync::{OwnedMutexGuard, Semaphore};

/// Requests that are served at a time: that many bodies are in memory at most.
const REQUESTS_MAX: usize = 512;

/// Redemptions that are answered at a time.
const REDEMPTIONS_MAX: usize = 4_096;

/// The token endpoint.
pub struct Tokens {
    pub(super) settings: TokenSettings,
    pub(super) vault: Vault,
    pub(super) upstream: Vec<Arc<Upstream>>,
    pub(super) signing: Reloadable<Option<Arc<SigningKeys>>>,
    pub(super) store: Arc<dyn Store>,
    pub(super) metrics: Arc<TokenMetrics>,
    pub(super) process: Process,
    pub(super) requests: Arc<Semaphore>,
    pub(super) redemptions: Arc<Semaphore>,
    pub(super) families: Arc<Families>,
    pub(super) renewals: Renewals,
    /// Where work goes on that must not end with its client's connection, and on whose blocking threads the store is used.
    pub(super) runtime: Runtime,
}

impl Tokens {
    /// Starts with what is configured. Within a runtime.
    pub(crate) fn new(
        settings: TokenSettings,
        signing: Reloadable<Option<Arc<SigningKeys>>>,
        store: Arc<dyn Store>,
        metrics: Arc<TokenMetrics>,
        now_ms: u64,
    ) -> Result<Self, String> {
        let is_alone = Arc::clone(&store).engine().is_none();
        let run = random().ok_or("the system has no random numbers")?;
        Ok(Self {
            vault: Vault::new(settings.keys.clone()),
            upstream: Upstream::all(&settings.issuers, &metrics)?,
            settings,
            signing,
            store,
            metrics,
            process: Process { run: u64::from_be_bytes(run), started_at_ms: now_ms, is_alone },
            requests: Arc::new(Semaphore::new(REQUESTS_MAX)),
            redemptions: Arc::new(Semaphore::new(REDEMPTIONS_MAX)),
            families: Arc::default(),
            renewals: Renewals::default(),
            runtime: Runtime::current(),
        })
    }

    /// The issuer of that name.
    pub(super) fn issuer(&self, name: &str) -> Option<&Arc<Upstream>> {
        self.upstream.iter().find(|upstream| upstream.issuer() == name)
    }
}

/// The families that are in use: one request after another.
#[derive(Default)]
pub(super) struct Families(Mutex<HashMap<FamilyId, Arc<tokio::sync::Mutex<()>>>>);

/// A family that nobody else in this process uses.
pub(super) struct Held {
    id: FamilyId,
    guard: Option<OwnedMutexGuard<()>>,
    families: Arc<Families>,
}

impl Families {
    /// Waits until nobody else uses a family.
    pub(super) async fn hold(self: &Arc<Self>, id: FamilyId) -> Held {
        let turn = Arc::clone(self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(id).or_default());
        let mut held = Held { id, guard: None, families: Arc::clone(self) };
        held.guard = Some(turn.lock_owned().await);
        held
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let mut families = self.families.0.lock().unwrap_or_else(PoisonError::into_inner);
        drop(self.guard.take());
        // Nobody waits: whoever does has another reference.
        if families.get(&self.id).is_some_and(|turn| Arc::strong_count(turn) == 1) {
            families.remove(&self.id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_family_is_held_by_one_and_forgotten_when_nobody_waits() {
        let (families, id) = (Arc::<Families>::default(), FamilyId([1; FamilyId::BYTES]));
        let held = families.hold(id).await;
        let waiting = tokio::spawn({
            let families = Arc::clone(&families);
            async move { families.hold(id).await }
        });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        drop(families.hold(FamilyId([2; FamilyId::BYTES])).await);
        drop(held);
        drop(waiting.await.unwrap());
        assert!(families.0.lock().unwrap().is_empty());
    }

    #[tokio::test]
    async fn whoever_stops_waiting_leaves_nothing_behind() {
        let (families, id) = (Arc::<Families>::default(), FamilyId([1; FamilyId::BYTES]));
        let held = families.hold(id).await;
        let waiting = families.hold(id);
        assert!(tokio::time::timeout(std::time::Duration::from_millis(1), waiting).await.is_err());
        drop(held);
        assert!(families.0.lock().unwrap().is_empty());
    }
}
