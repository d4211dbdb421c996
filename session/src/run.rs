//! The service from start to stop.

use crate::admin;
use crate::audit::Audit;
use crate::book::{Book, SHARDS};
use crate::checks::{Checks, DRAIN_MAX};
use crate::clock::Clock;
use crate::config::Settings;
use crate::lanes::Lanes;
use crate::metrics::Metrics;
use crate::oauth::{self, Told};
use crate::serve::serve;
use crate::service::Service;
use crate::store::{Store, StoreError};
use crate::wire::session_check_server::SessionCheckServer;
use crate::writer::Writer;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use tonic::service::Routes;
use tracing::{info, warn};

/// The largest message that a filter may send: a table of ten thousand routes fits many times.
const MESSAGE_BYTES_MAX: usize = 16 * 1024 * 1024;

/// How often the cleaner looks at one part of the memory. A whole round takes as many times as there are parts.
const CLEAN_INTERVAL: Duration = Duration::from_millis(100);

/// How long open requests of the admin listener may take to end when the service stops.
const ADMIN_DRAIN_MAX: Duration = Duration::from_secs(2);

/// How long connections for checks may: as long as their streams, and a moment for the last answers to leave.
const CHECKS_DRAIN_MAX: Duration = DRAIN_MAX.saturating_add(Duration::from_secs(1));

/// The two sockets of the service.
#[derive(Debug)]
pub struct Listeners {
    /// For checks.
    pub checks: TcpListener,
    /// For the admin API.
    pub admin: TcpListener,
}

/// Why the service cannot run.
#[derive(Debug)]
pub enum Failure {
    /// What was stored cannot be read.
    Store(StoreError),
    /// The machine lacks what the service needs.
    System(String),
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Store(error) => write!(f, "cannot read the store: {error}"),
            Self::System(error) => f.write_str(error),
        }
    }
}

impl std::error::Error for Failure {}

/// Runs until `shutdown` is done, then drains the check streams, writes what is still in memory only, and returns.
/// The admin listener answers until the streams are drained.
pub async fn run(
    listeners: Listeners,
    settings: Settings,
    store: Arc<dyn Store>,
    clock: Clock,
    shutdown: impl Future<Output = ()>,
) -> Result<(), Failure> {
    warn_of_open_doors(&settings, &listeners);
    let (drain, draining) = watch::channel(false);
    let (stop, stopped) = watch::channel(false);
    let tls = settings.tls.clone().map(TlsAcceptor::from);
    let service = Arc::new(build(settings, &store, clock, draining.clone(), stopped.clone())?);

    let here = Lanes::here();
    let admin = tokio::spawn(serve(listeners.admin, here, None, admin::router(&service), stopped, ADMIN_DRAIN_MAX));
    load(&service).await?;

    let checks = SessionCheckServer::new(Checks(Arc::clone(&service))).max_decoding_message_size(MESSAGE_BYTES_MAX);
    let routes = Routes::new(checks).into_axum_router().merge(oauth::router(&service));
    // Away from this runtime: a lane whose thread can't be had lets its own runtime go, which is not allowed within another.
    let started =
        tokio::task::spawn_blocking(Lanes::start).await.map_err(std::io::Error::other).and_then(|lanes| lanes);
    let lanes = started.map_err(|e| Failure::System(format!("cannot start the threads of the checks: {e}")))?;
    let checks = tokio::spawn(serve(listeners.checks, lanes, tls, routes, draining, CHECKS_DRAIN_MAX));
    let cleaner = tokio::spawn(clean(Arc::clone(&service)));

    shutdown.await;
    info!("draining");
    drain.send_replace(true);
    join(checks).await;
    info!("stopping");
    stop.send_replace(true);
    join(admin).await;
    join(cleaner).await;
    let stopping = tokio::task::spawn_blocking(move || service.writer.stop()).await;
    stopping.map_err(|e| Failure::System(format!("cannot write the last changes: {e}")))
}

async fn join(task: JoinHandle<()>) {
    if let Err(error) = task.await {
        warn!(%error, "a task did not stop well");
    }
}

fn build(
    settings: Settings,
    store: &Arc<dyn Store>,
    clock: Clock,
    draining: watch::Receiver<bool>,
    stop: watch::Receiver<bool>,
) -> Result<Service, Failure> {
    let metrics = Metrics::new().map_err(|e| Failure::System(format!("cannot set up metrics: {e}")))?;
    let audit = Arc::new(Audit::new(metrics));
    let book = Book::new(settings.access, settings.enrolment, Arc::clone(store), audit);
    let book = Arc::new(book);
    let writer = Writer::start(Arc::clone(&book), Arc::clone(store))
        .map_err(|e| Failure::System(format!("cannot start the writer's thread: {e}")))?;
    Ok(Service {
        book,
        writer,
        clock,
        filter_credential: settings.filter_credential,
        admin_credential: settings.admin_credential,
        draining,
        stop,
        told: Told::default(),
        is_loaded: AtomicBool::new(false),
    })
}

/// Fills the book from the store. The admin listener answers health meanwhile, the check listener nothing.
async fn load(service: &Arc<Service>) -> Result<(), Failure> {
    let book = Arc::clone(&service.book);
    let loading = tokio::task::spawn_blocking(move || {
        let sessions = book.load()?;
        info!(sessions, "loaded");
        Ok(())
    });
    loading.await.map_err(|e| Failure::System(format!("cannot load what was stored: {e}")))?.map_err(Failure::Store)?;
    service.is_loaded.store(true, Ordering::SeqCst);
    Ok(())
}

/// Ends expired sessions that nobody asks about, a part of the memory at a time. No verdict waits for it.
async fn clean(service: Arc<Service>) {
    let mut stop = service.stop.clone();
    for shard in (0..SHARDS).cycle() {
        tokio::select! {
            biased;
            _ = stop.wait_for(|stop| *stop) => return,
            () = tokio::time::sleep(CLEAN_INTERVAL) => {}
        }
        service.book.clean(shard, service.clock.now_ms());
    }
}

fn warn_of_open_doors(settings: &Settings, listeners: &Listeners) {
    for (listener, socket) in [("checks", &listeners.checks), ("admin", &listeners.admin)] {
        match socket.local_addr() {
            Ok(address) => info!(listener, %address, "listening"),
            Err(error) => warn!(listener, %error, "listening, the address is unknown"),
        }
    }
    if settings.filter_credential.is_none() {
        warn!("no filter_credential: anyone who reaches the check listener may ask, and open sessions");
    }
    let is_local = |socket: &TcpListener| socket.local_addr().is_ok_and(|at| at.ip().is_loopback());
    if !is_local(&listeners.admin) {
        warn!("the admin listener has no TLS and is not on a loopback address: keep its network private");
    }
}
