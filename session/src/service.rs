//! The state that both listeners share.

use crate::admins::{Admins, MetricsAccess, SignedIn};
use crate::audit::Audit;
use crate::bound_token::BoundToken;
use crate::check_stream::{RouteTables, Taken, Using};
use crate::clock::Clock;
use crate::conditions::Conditions;
use crate::config::Reloadable;
use crate::credential::Credentials;
use crate::filters::Filters;
use crate::intern::ScopeSet;
use crate::log::Sampler;
use crate::metrics::Metrics;
use crate::minting::Minter;
use crate::pdp::Pdp;
use crate::proofs::Proofs;
use crate::registry::{LookUp, LookedUp, Registry};
use crate::replica::{Barrier, State};
use crate::session::Session;
use crate::signals::Transmitter;
use crate::store::{Store, StoreError};
use crate::tokens::Tokens;
use crate::webhooks::Webhooks;
use crate::writer::{Using as Uses, Writer};
use futures_util::future::join_all;
use portcullis_contract::SessionId;
use portcullis_contract::token::dpop::NonceKey;
use portcullis_contract::wire::{APPROVALS, BEAT, CONDITIONS, COOKIES, LEASES, PROOFS, UPSTREAM_TOKENS, USAGE};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::{Mutex, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tracing::{error, warn};

/// How long a shared store that cannot be read is read again, and how often. As long as a change may take.
const READ_MAX: Duration = Duration::from_secs(5);
const READ_AGAIN: Duration = Duration::from_millis(50);

/// The running service.
pub struct Service {
    /// The sessions.
    pub registry: Arc<Registry>,
    /// Where decisions are reported.
    pub audit: Arc<Audit>,
    /// Where they are counted.
    pub metrics: Arc<Metrics>,
    /// The route tables of the streams.
    pub route_tables: Arc<RouteTables>,
    /// The filters that are connected.
    pub filters: Arc<Filters>,
    /// Tells the store from every other one.
    pub store_id: String,
    /// The store.
    pub store: Arc<dyn Store>,
    /// Changes the store.
    pub writer: Writer,
    /// The time.
    pub clock: Clock,
    /// What filters present; `None` admits any caller.
    pub filter_credential: Reloadable<Option<Credentials>>,
    /// Who may call the admin API.
    pub admins: Reloadable<Admins>,
    /// Who may read the metrics.
    pub metrics_access: Reloadable<MetricsAccess>,
    /// Who has called the admin API lately.
    pub(crate) signed_in: SignedIn,
    /// Turns `true` when the service is about to stop: it accepts no new connections for checks, and the open check
    /// streams are drained.
    pub draining: watch::Receiver<bool>,
    /// Turns `true` once the streams are drained and the rest must stop.
    pub stop: watch::Receiver<bool>,
    /// Whether this replica may judge; `true` for ever where there are no others.
    pub serving: watch::Receiver<bool>,
    /// What answers wait for at the other replicas.
    pub barrier: Option<Arc<Barrier>>,
    /// The conditions, if there are any.
    pub conditions: Option<Arc<Conditions>>,
    /// Another decision point that decides about some routes.
    pub(crate) pdp: Option<Arc<Pdp>>,
    /// Which proofs of possession were used.
    pub(crate) proofs: Proofs,
    /// What the nonces of proofs are made with.
    pub nonce_key: NonceKey,
    /// Mints tokens for upstreams, if it has keys.
    pub(crate) minter: Option<Arc<Minter>>,
    /// The token endpoint, if there is one.
    pub(crate) tokens: Option<Arc<Tokens>>,
    /// Where people ask for approvals: the session's id is appended; empty: nowhere.
    pub requests_url: String,
    /// Set once the stored sessions are loaded into the registry.
    pub is_loaded: AtomicBool,
    /// Held by the one list that reads every ended session.
    pub long_list: Arc<Mutex<()>>,
    /// Who sends signals.
    pub(crate) signals: Vec<Transmitter>,
    /// Who is told about requests for access.
    pub(crate) webhooks: Webhooks,
    /// The runtime on whose blocking threads the store is read: the threads of connections must not wait for a disk.
    pub blocking: Handle,
}

/// What one attempt to read has found.
#[derive(Default)]
struct Reading {
    read: Vec<LookedUp>,
    /// The store was away.
    unread: Vec<LookUp>,
    /// Their entries are there, and cannot be read.
    damaged: Vec<SessionId>,
}

/// The results of look-ups.
#[derive(Debug, Default)]
pub struct Found {
    /// What the disk has.
    pub read: Vec<LookedUp>,
    /// The sessions about which it could not be read.
    pub unreadable: Vec<SessionId>,
}

impl Service {
    /// Whether callers should be sent here: the stored sessions are loaded, the store accepts changes, and the service is
    /// not about to stop.
    pub fn is_ready(&self) -> bool {
        self.is_loaded.load(Ordering::SeqCst)
            && self.writer.is_healthy()
            && self.registry.lease().holds()
            && !*self.draining.borrow()
    }

    /// Why the service cannot do all of its work, in words that any caller may see.
    pub fn fault(&self) -> Option<String> {
        if let State::Out(why) = self.registry.lease().state() {
            return Some(format!("this replica gives no verdicts: {why}"));
        }
        let unwritten = "the store cannot write: nothing can be revoked or changed until it can";
        (!self.writer.is_healthy()).then(|| unwritten.to_owned())
    }

    /// Filters are given leases of up to so many milliseconds, once the other replicas know.
    pub(crate) fn gives_leases_of(&self, ms: u64) {
        match &self.barrier {
            Some(barrier) => barrier.gives_leases_of(ms),
            None => self.registry.lease().may_give(ms),
        }
    }

    /// The scopes that need a live grant, for tokens that no filter presents: those of the policies of connected filters, and all
    /// that somebody can approve, for the filter that holds them back may not be connected here.
    pub fn approvals(&self) -> ScopeSet {
        let (described, rules) = (self.route_tables.approvals(), self.registry.approval_rules());
        ScopeSet::new(described.iter().chain(rules.scopes()))
    }

    /// What it can beyond the first version of the contract.
    pub(crate) fn capabilities(&self) -> impl Iterator<Item = &'static str> {
        // A filter only tells where a request comes from if somebody wants to know.
        let needs_facts = self.conditions.is_some() || self.pdp.is_some() || self.registry.whereabouts().is_watching();
        let mints = self.minter.is_some().then_some(UPSTREAM_TOKENS);
        let redeems = self.tokens.is_some().then_some(COOKIES);
        let always = [BEAT, APPROVALS, USAGE, PROOFS, LEASES].into_iter();
        always.chain(needs_facts.then_some(CONDITIONS)).chain(mints).chain(redeems)
    }

    /// Looks sessions up on disk, on another thread. What a shared store cannot tell is read again for a while: its server may
    /// be back in a moment, and when the serve lease is over, the filter asks elsewhere.
    pub fn look_up(self: &Arc<Self>, look_ups: Vec<LookUp>) -> impl Future<Output = Found> + Send + use<> {
        let (candidates, look_ups): (Vec<_>, Vec<_>) =
            look_ups.into_iter().partition(|look_up| look_up.candidate.is_some());
        let asked: Vec<SessionId> = look_ups.iter().map(|look_up| look_up.id).collect();
        let mut reading = (!look_ups.is_empty()).then(|| self.read(look_ups));
        let gives_up_at = Instant::now() + READ_MAX;
        let service = Arc::clone(self);
        async move {
            let mut found = Found::default();
            while let Some(read) = reading.take() {
                let Ok(Reading { read, unread, damaged }) = read.await else {
                    let is_read = |id: &SessionId| found.read.iter().any(|read| read.asked.id == *id);
                    found.unreadable = asked.into_iter().filter(|id| !is_read(id)).collect();
                    break;
                };
                found.read.extend(read);
                // What is damaged stays so, and must not hold the others.
                found.unreadable.extend(damaged);
                if !unread.is_empty() && service.registry.lease().is_shared() && Instant::now() < gives_up_at {
                    tokio::time::sleep(READ_AGAIN).await;
                    reading = Some(service.read(unread));
                } else {
                    found.unreadable.extend(unread.iter().map(|look_up| look_up.id));
                }
            }
            service.enrol(candidates, &mut found).await;
            found
        }
    }

    /// Reads from the store.
    fn read(&self, look_ups: Vec<LookUp>) -> JoinHandle<Reading> {
        let (registry, metrics) = (Arc::clone(&self.registry), Arc::clone(&self.metrics));
        let is_suspect = self.writer.suspicion();
        self.blocking.spawn_blocking(move || {
            let reading = read(&registry, &metrics, look_ups);
            if !(reading.unread.is_empty() && reading.damaged.is_empty()) {
                is_suspect.store(true, Ordering::SeqCst);
            }
            reading
        })
    }

    /// Has the shared store decide first uses. They are asked for together, and so decided in one commit.
    async fn enrol(&self, look_ups: Vec<LookUp>, found: &mut Found) {
        let enrolled = look_ups.into_iter().filter_map(|look_up| {
            let candidate = look_up.candidate.clone()?;
            Some(async move { (look_up.id, self.writer.enrol(look_up, candidate).await) })
        });
        for (id, enrolled) in join_all(enrolled).await {
            match enrolled {
                Ok(looked_up) => found.read.push(looked_up),
                Err(_) => {
                    self.metrics.store_unreadable.inc();
                    found.unreadable.push(id);
                }
            }
        }
    }

    /// Binds a token, with the look-ups that this needs.
    pub(crate) async fn bind(
        self: &Arc<Self>,
        bound: &mut BoundToken,
        touches: bool,
        now_ms: u64,
    ) -> Result<(), StoreError> {
        let mut found = Vec::new();
        while let Err(look_up) = bound.bind(&self.registry, touches, found.first(), now_ms) {
            found = self.look_up(vec![look_up]).await.read;
            if found.is_empty() {
                return Err(StoreError("a session could not be looked up".to_owned()));
            }
        }
        Ok(())
    }

    /// Notes grants for one request as used. Unless that is on disk, the request must not be released because of them.
    pub(crate) async fn use_grants(&self, using: &Using) -> Taken {
        static FAILURES: Sampler = Sampler::new();
        let uses = Uses { session: using.session, grants: using.grants.clone(), route: using.route.to_string() };
        match self.writer.use_grants(uses, self.clock.now_ms()).await {
            Ok(Ok(_)) => Taken::Own,
            Ok(Err(_)) => Taken::Others,
            Err(error) => {
                if let Some(not_logged) = FAILURES.admit() {
                    warn!(?error, not_logged, "could not note that a grant for one request is used: no verdict");
                }
                Taken::Unknown
            }
        }
    }

    /// Has sessions written that an answer depends on.
    pub(crate) async fn make_durable(&self, sessions: Vec<Arc<Session>>) {
        if let Err(error) = self.writer.make_durable(sessions).await {
            // The verdict is a refusal, which memory keeps: it stands without the disk.
            warn!(?error, "could not write the ends of sessions that refusals depend on; they will be written later");
        }
    }
}

fn read(registry: &Registry, metrics: &Metrics, look_ups: Vec<LookUp>) -> Reading {
    static FAILURES: Sampler = Sampler::new();
    let mut reading = Reading::default();
    for look_up in look_ups {
        match registry.look_up(&look_up) {
            Ok(read) => reading.read.push(read),
            Err(error) => {
                metrics.store_unreadable.inc();
                if let Some(not_logged) = FAILURES.admit() {
                    let session = look_up.id;
                    error!(%error, %session, not_logged, "the store could not read a session: no verdict");
                }
                match error.is_damage() {
                    true => reading.damaged.push(look_up.id),
                    false => reading.unread.push(look_up),
                }
            }
        }
    }
    reading
}
