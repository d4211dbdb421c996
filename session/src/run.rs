//! The service from start to stop.

use crate::admin;
use crate::admins::{self, SignedIn};
use crate::approvals;
use crate::audit::{self, Audit};
use crate::authzen;
use crate::check_stream::{Checks, DRAIN_MAX};
use crate::clock::Clock;
use crate::conditions::{self, Conditions};
use crate::config::{Settings, Sharing};
use crate::leases;
use crate::listener::{ConnectionThreads, Served, serve};
use crate::metrics::Metrics;
use crate::minting::{self, Minter};
use crate::oauth;
use crate::pdp::Pdp;
use crate::proofs::Proofs;
use crate::registry::{Registry, SHARDS, Terms};
use crate::replica::{Barrier, Beats, Engine, Lease};
use crate::service::Service;
use crate::signals::{self, Transmitter};
use crate::store::{Store, StoreError};
use crate::tokens::{self, Tokens};
use crate::usage::day_of;
use crate::webhooks::{self, Webhooks};
use crate::whereabouts;
use crate::writer::{Among, Writer};
use portcullis_contract::bounds::MESSAGE_BYTES_MAX;
use portcullis_contract::token::dpop::NonceKey;
use portcullis_contract::wire::session_check_server::SessionCheckServer;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tonic::service::Routes;
use tracing::{info, warn};

/// Connections that the check listener keeps open.
const CHECKS_CONNECTIONS_MAX: usize = 10_000;

/// Connections that the admin listener keeps open: its callers are few, and file descriptors are for checks.
const ADMIN_CONNECTIONS_MAX: usize = 256;

/// Connections that the signals listener keeps open.
const SIGNALS_CONNECTIONS_MAX: usize = 256;

/// Connections that the listener of the token endpoint keeps open.
const TOKENS_CONNECTIONS_MAX: usize = 2_048;

/// How often the cleaner goes through one shard. A whole round takes this for each shard.
const CLEAN_INTERVAL: Duration = Duration::from_millis(100);

/// How often the store is searched for what is past its retention, and the pause between two pages.
const FORGET_INTERVAL: Duration = Duration::from_mins(1);
const FORGET_PAUSE: Duration = Duration::from_secs(1);

/// How long open requests of the admin listener may take to end when the service stops.
const ADMIN_DRAIN_MAX: Duration = Duration::from_secs(2);

/// How long open connections for checks may take to end: as long as their streams, and a moment for the last answers.
const CHECKS_DRAIN_MAX: Duration = DRAIN_MAX.saturating_add(Duration::from_secs(1));

/// The sockets of the service.
#[derive(Debug)]
pub struct Listeners {
    /// For checks.
    pub checks: TcpListener,
    /// For the admin API.
    pub admin: TcpListener,
    /// For signals, where there are transmitters.
    pub signals: Option<TcpListener>,
    /// For the token endpoint, where it has a listener of its own.
    pub tokens: Option<TcpListener>,
}

/// Why the service cannot run.
#[derive(Debug)]
pub enum Failure {
    /// The store cannot be read.
    Store(StoreError),
    /// The store no longer has the changes that this replica has missed.
    Outdated,
    /// The store could not take the last changes of this many sessions.
    Lost(usize),
    /// The machine lacks what the service needs.
    System(String),
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Store(error) => write!(f, "cannot read the store: {error}"),
            Self::Outdated => f.write_str(
                "this replica was away for longer than the store keeps changes: it must be restarted, and then reads everything",
            ),
            Self::Lost(usize::MAX) => f.write_str("the writer's thread died: changes are lost"),
            Self::Lost(sessions) => {
                write!(f, "the store cannot write: the last changes of {sessions} sessions are lost")
            }
            Self::System(error) => f.write_str(error),
        }
    }
}

impl std::error::Error for Failure {}

/// Runs until `shutdown` is done, then drains the check streams, writes what is only in memory so far, and returns.
/// The admin listener answers until the streams are drained.
pub async fn run(
    listeners: Listeners,
    settings: Settings,
    store: Arc<dyn Store>,
    clock: Clock,
    shutdown: impl Future<Output = ()>,
) -> Result<(), Failure> {
    say_addresses(&listeners);
    settings.warn_of_open_doors();
    audit::configuration_loaded(&settings.digest);
    let (drain, draining) = watch::channel(false);
    let (stop, stopped) = watch::channel(false);
    let (serves, serving) = watch::channel(true);
    let kept = Kept { retention_ms: settings.retention_ms, usage_retained_ms: settings.usage_retained_ms };
    let sharing = settings.store.sharing();
    let shared = Arc::clone(&store).engine().zip(sharing).map(|(engine, sharing)| Shared::new(engine, sharing));
    let (tls, admin_tls, signals_tls) =
        (settings.tls.clone(), settings.admin_tls.clone(), settings.signals_tls.clone());
    let tokens_tls = settings.tokens_tls.clone();
    let rules = settings.approvals.watch();
    let (geoip, anomalies) = (settings.geoip.clone(), settings.anomalies.clone());
    let conditions = settings.conditions.watch();
    let service =
        Arc::new(build(settings, &store, clock, shared.as_ref(), [draining.clone(), stopped.clone(), serving])?);

    webhooks::expect(&service);
    let watchers = whereabouts::start(&service, geoip, anomalies).await.map_err(Failure::System)?;
    let admin = Served {
        threads: ConnectionThreads::here(),
        tls: admin_tls,
        router: admin::router(&service),
        connections_max: ADMIN_CONNECTIONS_MAX,
        speaks_http2: true,
    };
    let admin = tokio::spawn(serve(listeners.admin, admin, stopped.clone(), ADMIN_DRAIN_MAX));
    load(&service).await?;
    audit::started();
    let beats = shared.map(|shared| shared.start(&service)).transpose()?;
    let watcher = tokio::spawn(watch_lease(Arc::clone(&service), serves));

    let checks = SessionCheckServer::new(Checks(Arc::clone(&service))).max_decoding_message_size(MESSAGE_BYTES_MAX);
    let routes = Routes::new(checks).into_axum_router().merge(oauth::router(&service));
    let mut routes = routes.merge(authzen::router(&service, tls.clone())).merge(minting::router(&service));
    if listeners.tokens.is_none() {
        routes = routes.merge(tokens::router(&service));
    }
    // Start the threads outside this runtime: if one cannot be spawned its Tokio runtime is dropped, and dropping a
    // runtime inside another panics.
    let started = tokio::task::spawn_blocking(ConnectionThreads::start).await;
    let threads = started.map_err(std::io::Error::other).and_then(|threads| threads);
    let threads = threads.map_err(|e| Failure::System(format!("cannot start the threads of the checks: {e}")))?;
    let checks = Served { threads, tls, router: routes, connections_max: CHECKS_CONNECTIONS_MAX, speaks_http2: true };
    let checks = tokio::spawn(serve(listeners.checks, checks, draining, CHECKS_DRAIN_MAX));
    let mut signals = Vec::new();
    if let Some(listener) = listeners.signals {
        let (threads, router) = (ConnectionThreads::here(), signals::router(&service));
        let served =
            Served { threads, tls: signals_tls, router, connections_max: SIGNALS_CONNECTIONS_MAX, speaks_http2: false };
        signals.push(tokio::spawn(serve(listener, served, stopped.clone(), ADMIN_DRAIN_MAX)));
    }
    if let Some(listener) = listeners.tokens {
        let (threads, router) = (ConnectionThreads::here(), tokens::router(&service).merge(minting::router(&service)));
        let served =
            Served { threads, tls: tokens_tls, router, connections_max: TOKENS_CONNECTIONS_MAX, speaks_http2: true };
        signals.push(tokio::spawn(serve(listener, served, stopped, ADMIN_DRAIN_MAX)));
    }
    if let Some(tokens) = &service.tokens {
        signals.push(tokio::spawn(tokens::keep(Arc::clone(&service), Arc::clone(tokens))));
    }
    // Signals may still be held whose transmitter is gone.
    signals.push(tokio::spawn(signals::keep(Arc::clone(&service))));
    for (number, _) in service.signals.iter().enumerate().filter(|(_, transmitter)| transmitter.is_polled()) {
        signals.push(tokio::spawn(signals::poll(Arc::clone(&service), number)));
    }
    for (number, _) in service.signals.iter().enumerate().filter(|(_, transmitter)| transmitter.is_managed()) {
        signals.push(tokio::spawn(signals::manage(Arc::clone(&service), number)));
    }
    signals.extend(webhooks::keep(&service));
    signals.extend(watchers);
    signals.push(tokio::spawn(conditions::keep(Arc::clone(&service), conditions)));
    signals.push(tokio::spawn(approvals::keep(Arc::clone(&service), rules, sharing.is_none())));
    signals.push(tokio::spawn(leases::keep(Arc::clone(&service))));
    let admins = tokio::spawn(admins::keep(Arc::clone(&service)));
    let cleaner = tokio::spawn(clean(Arc::clone(&service)));
    let forgetter = tokio::spawn(forget(Arc::clone(&service), kept));

    tokio::select! {
        () = shutdown => {}
        // Nothing can be revoked without it: whoever supervises the process is to start another.
        () = service.writer.ended() => return Err(Failure::Lost(usize::MAX)),
        () = outdated(beats.as_ref()) => return Err(Failure::Outdated),
    }
    info!("draining");
    drain.send_replace(true);
    join(checks).await;
    info!("stopping");
    stop.send_replace(true);
    join(admin).await;
    for task in signals {
        join(task).await;
    }
    join(admins).await;
    join(cleaner).await;
    join(forgetter).await;
    join(watcher).await;
    let stopping = tokio::task::spawn_blocking(move || {
        service.proofs.stop();
        let stopped = service.writer.stop();
        // Last: what was written last is known to the others before they stop waiting for this one.
        beats.iter().for_each(Beats::stop);
        stopped
    })
    .await;
    let stopped = stopping.map_err(|e| Failure::System(format!("cannot write the last changes: {e}")))?;
    stopped.map_err(Failure::Lost)?;
    audit::stopped();
    Ok(())
}

async fn join(task: JoinHandle<()>) {
    if let Err(error) = task.await {
        warn!(%error, "a task failed while stopping");
    }
}

fn build(
    settings: Settings,
    store: &Arc<dyn Store>,
    clock: Clock,
    shared: Option<&Shared>,
    [draining, stop, serving]: [watch::Receiver<bool>; 3],
) -> Result<Service, Failure> {
    let metrics = Metrics::new().map_err(|e| Failure::System(format!("cannot set up metrics: {e}")))?;
    let metrics = Arc::new(metrics);
    let audit = Arc::new(Audit::new(Arc::clone(&metrics), clock.clone()));
    let Settings { access, enrolment, undated_logins, .. } = settings;
    let now_ms = clock.now_ms();
    let transmitters = settings.signals.into_iter().map(|settings| {
        let name = settings.name.clone();
        let failed = |error| Failure::System(format!("cannot set up the transmitter `{name}`: {error}"));
        Transmitter::new(settings, now_ms).map_err(failed)
    });
    let transmitters: Vec<Transmitter> = transmitters.collect::<Result<_, _>>()?;
    transmitters.iter().for_each(|transmitter| metrics.signals.expect(transmitter.name(), signals::errs()));
    let terms = Terms { access, enrolment, undated_logins };
    let conditions = settings.conditions.read().clone().map(|settings| {
        if let Some(shared) = shared {
            shared.barrier.judges_by(&settings.stated());
        }
        Arc::new(Conditions::start(settings, Arc::clone(&metrics), now_ms))
    });
    let started = settings.pdp.map(|settings| Pdp::start(settings, Arc::clone(&metrics.pdp)).map(Arc::new));
    let pdp = started.transpose().map_err(|e| Failure::System(format!("cannot set up the decision point: {e}")))?;
    let counted = Arc::clone(&metrics.tokens);
    let started = settings.tokens.map(|tokens| {
        let issues = tokens.issue.is_some();
        let signing = settings.signing.clone();
        Tokens::new(tokens, signing, Arc::clone(store), counted, now_ms).map(|tokens| (Arc::new(tokens), issues))
    });
    let started = started.transpose().map_err(|e| Failure::System(format!("cannot set up the token endpoint: {e}")))?;
    let (tokens, issues) = started.unzip();
    let own_issuer =
        settings.signing.read().as_ref().map(|keys| keys.issuer.to_string()).filter(|_| issues == Some(true));
    let minter = Minter::new(settings.signing, Arc::clone(&metrics.minting)).map(Arc::new);
    let registry = Registry::new(
        terms,
        Arc::clone(store),
        Arc::clone(&audit),
        Arc::clone(&metrics),
        Arc::clone(clock.agreement()),
    );
    let registry = Arc::new(match shared {
        None => registry,
        Some(shared) => registry.sharing(Arc::clone(&shared.lease)),
    });
    if let Some(own) = own_issuer {
        registry.issuers().mint_as(&own);
    }
    registry.set_approval_rules(Arc::clone(&settings.approvals.read()));
    let checkpoints_to = settings.audit.as_ref().and_then(|audit| audit.webhook.clone());
    let webhooks = Webhooks::new(settings.webhooks, settings.external_url.clone(), checkpoints_to)
        .map_err(|e| Failure::System(format!("cannot set up the webhook {e}")))?;
    registry.set_subscribers(webhooks.subscribers().clone());
    metrics.undated_logins.set(registry.reopens_undated_logins().into());
    leases::hold_after_start(registry.followers().leases(), &**store).map_err(Failure::Store)?;
    let (stored, audited, counted) = (Arc::clone(store), Arc::clone(&audit), Arc::clone(&metrics));
    let writer = Writer::start(Arc::clone(&registry), stored, audited, counted, shared.map(Shared::among))
        .map_err(|e| Failure::System(format!("cannot start the writer's thread: {e}")))?;
    let proofs = Proofs::start(Arc::clone(store), clock.clone()).map_err(Failure::Store)?;
    Ok(Service {
        proofs,
        nonce_key: NonceKey::derive(&store.secret()),
        registry,
        audit,
        metrics,
        route_tables: Arc::default(),
        filters: Arc::default(),
        store_id: store.id(),
        store: Arc::clone(store),
        writer,
        clock,
        filter_credential: settings.filter_credential,
        admins: settings.admins,
        metrics_access: settings.metrics,
        signed_in: SignedIn::default(),
        draining,
        stop,
        serving,
        barrier: shared.map(|shared| Arc::clone(&shared.barrier)),
        conditions,
        pdp,
        minter,
        tokens,
        requests_url: requests_url(settings.external_url.as_deref()),
        is_loaded: AtomicBool::new(false),
        long_list: Arc::default(),
        signals: transmitters,
        webhooks,
        blocking: Handle::current(),
    })
}

/// Where people ask for approvals: the id of their session is appended.
fn requests_url(external_url: Option<&str>) -> String {
    external_url.map(|url| format!("{url}/requests/new?session=")).unwrap_or_default()
}

/// Flushes of activity in an activity interval.
const FLUSHES_PER_INTERVAL: u64 = 5;

/// What a replica shares with the others.
struct Shared {
    engine: Arc<dyn Engine>,
    barrier: Arc<Barrier>,
    lease: Arc<Lease>,
    sharing: Sharing,
}

impl Shared {
    fn new(engine: Arc<dyn Engine>, sharing: Sharing) -> Self {
        let lease = Arc::new(Lease::of(sharing.serve_lease_ms));
        let barrier = Arc::new(Barrier::new(Arc::clone(&engine), Arc::clone(&lease)));
        Self { engine, barrier, lease, sharing }
    }

    fn among(&self) -> Among {
        let flush_every = Duration::from_millis(self.sharing.activity_interval_ms / FLUSHES_PER_INTERVAL);
        Among { engine: Arc::clone(&self.engine), barrier: Arc::clone(&self.barrier), flush_every }
    }

    fn start(self, service: &Arc<Service>) -> Result<Beats, Failure> {
        let Self { engine, barrier, lease, sharing } = self;
        let writer = Arc::clone(service);
        let catch_up = Box::new(move || writer.writer.catch_up());
        lease.applied(service.store.place());
        let (leases, metrics) = (Arc::clone(service.registry.followers().leases()), Arc::clone(&service.metrics));
        let waked = Arc::clone(&engine);
        leases.on_settled(move || waked.wake());
        Beats::start(engine, lease, barrier, leases, metrics, sharing.serve_lease_ms, catch_up)
            .map_err(|e| Failure::System(format!("cannot start the thread of the beats: {e}")))
    }
}

/// Waits until this replica cannot go on without a restart; for ever where there are no others.
async fn outdated(beats: Option<&Beats>) {
    match beats {
        Some(beats) => beats.outdated().await,
        None => std::future::pending().await,
    }
}

/// How often it is looked at whether the serve lease holds.
const LEASE_INTERVAL: Duration = Duration::from_millis(50);

/// Tells the streams when the serve lease is lost or gained.
async fn watch_lease(service: Arc<Service>, serves: watch::Sender<bool>) {
    let (mut stop, lease) = (service.stop.clone(), Arc::clone(service.registry.lease()));
    loop {
        let holds = lease.holds();
        service.metrics.serve_lease(&lease.state());
        serves.send_if_modified(|serves| std::mem::replace(serves, holds) != holds);
        if !lease.is_shared() {
            return stop.wait_for(|stop| *stop).await.map(drop).unwrap_or_default();
        }
        tokio::select! {
            biased;
            _ = stop.wait_for(|stop| *stop) => return,
            () = tokio::time::sleep(LEASE_INTERVAL) => {}
        }
    }
}

/// Loads the registry from the store. Meanwhile the admin listener answers health, and the check listener nothing.
async fn load(service: &Arc<Service>) -> Result<(), Failure> {
    let (registry, store) = (Arc::clone(&service.registry), service.store_id.clone());
    let (stored, now_ms) = (Arc::clone(&service.store), service.clock.now_ms());
    let loading = tokio::task::spawn_blocking(move || {
        let sessions = registry.load()?;
        registry.usage().load(&*stored, now_ms)?;
        info!(sessions, store, "loaded");
        Ok(())
    });
    loading.await.map_err(|e| Failure::System(format!("cannot load the store: {e}")))?.map_err(Failure::Store)?;
    service.is_loaded.store(true, Ordering::SeqCst);
    Ok(())
}

/// Ends expired sessions that there are no questions about, one shard at a time. No verdict waits for it.
async fn clean(service: Arc<Service>) {
    let mut stop = service.stop.clone();
    for shard in (0..SHARDS).cycle() {
        tokio::select! {
            biased;
            _ = stop.wait_for(|stop| *stop) => return,
            () = tokio::time::sleep(CLEAN_INTERVAL) => {}
        }
        let now_ms = service.clock.now_ms();
        service.registry.clean(shard, now_ms);
        service.metrics.clocks_parted.set(service.clock.agreement().is_parted().into());
    }
}

/// For how long things are kept that are over, in milliseconds.
#[derive(Clone, Copy)]
struct Kept {
    retention_ms: u64,
    usage_retained_ms: u64,
}

/// Drops what ended so long ago that no token can need it, a page a second. It pauses while the clocks disagree: with a
/// clock that was set forward, everything would be dropped.
async fn forget(service: Arc<Service>, kept: Kept) {
    let mut stop = service.stop.clone();
    let mut after = None;
    loop {
        let pause = if after.is_some() { FORGET_PAUSE } else { FORGET_INTERVAL };
        tokio::select! {
            biased;
            _ = stop.wait_for(|stop| *stop) => return,
            () = tokio::time::sleep(pause) => {}
        }
        let trimming = Arc::clone(&service.store);
        if let Ok(Err(error)) = tokio::task::spawn_blocking(move || trimming.trim()).await {
            warn!(%error, "could not trim the log in the database");
        }
        let now_ms = service.clock.now_ms();
        let before_ms = now_ms.saturating_sub(kept.retention_ms);
        if !service.clock.agreement().is_parted() {
            // What the store refuses now is dropped in a later round.
            after = service.writer.forget(after, before_ms).await.unwrap_or_default();
            service.writer.forget_used(day_of(now_ms.saturating_sub(kept.usage_retained_ms)));
        }
    }
}

fn say_addresses(listeners: &Listeners) {
    let signals = listeners.signals.as_ref().map(|socket| ("signals", socket));
    let others = signals.into_iter().chain(listeners.tokens.as_ref().map(|socket| ("tokens", socket)));
    for (listener, socket) in [("checks", &listeners.checks), ("admin", &listeners.admin)].into_iter().chain(others) {
        match socket.local_addr() {
            Ok(address) => info!(listener, %address, "listening"),
            Err(error) => warn!(listener, %error, "listening, on an unknown address"),
        }
    }
}
