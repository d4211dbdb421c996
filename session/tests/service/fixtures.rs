//! The service in this process, on ports of its own, with a clock that the test moves and a store that can fail.

use crate::client::{ADMIN, Answer, FILTER, Filter, http};
use portcullis_contract::SessionId;
use portcullis_session::clock::{Clock, Reading};
use portcullis_session::config::{self, Reload, Settings};
use portcullis_session::issuers::KnownIssuer;
use portcullis_session::proofs::UsedProof;
use portcullis_session::store::embedded::Embedded;
use portcullis_session::store::{Change, Lead, ReceiptId, Record, Rules, Store, StoreError};
use portcullis_session::tokens::{FamilyId, StoredFamily};
use portcullis_session::usage::Used;
use portcullis_session::{Failure, Listeners, run};
use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

pub(crate) const T0: u64 = 1_700_000_000_000;
pub(crate) const MINUTE: u64 = 60_000;

/// How long anything may take before a test gives up.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

fn passed_ms(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_millis()).unwrap()
}

/// What the store does to its callers.
#[derive(Default)]
pub(crate) struct Faults {
    /// It refuses to write.
    pub(crate) fails: AtomicBool,
    /// Writing panics.
    pub(crate) panics: AtomicBool,
    /// It refuses to look sessions up.
    pub(crate) fails_to_read: AtomicBool,
    /// Look-ups wait until this is over.
    pub(crate) slow_reads: Gate,
    /// Lists of ended sessions wait until this is over.
    pub(crate) slow_lists: Gate,
    /// The lists of ended sessions that have begun to be read.
    pub(crate) lists: AtomicUsize,
    /// Commits wait until this is over.
    pub(crate) slow_writes: Gate,
}

/// Holds up its callers while it is shut.
#[derive(Default)]
pub(crate) struct Gate(Mutex<bool>, Condvar);

impl Gate {
    pub(crate) fn shut(&self, is_shut: bool) {
        *self.0.lock().unwrap() = is_shut;
        self.1.notify_all();
    }

    pub(crate) fn pass(&self) {
        drop(self.1.wait_while(self.0.lock().unwrap(), |is_shut| *is_shut).unwrap());
    }
}

struct Faulty(Embedded, Arc<Faults>);

impl Store for Faulty {
    fn issuers(&self) -> Result<Vec<KnownIssuer>, StoreError> {
        self.0.issuers()
    }

    fn id(&self) -> String {
        self.0.id()
    }

    fn secret(&self) -> String {
        self.0.secret()
    }

    fn leads(&self) -> Result<Vec<Lead>, StoreError> {
        self.0.leads()
    }

    fn rules(&self) -> Result<Rules, StoreError> {
        self.0.rules()
    }

    fn usage(&self, since: u32, each: &mut dyn FnMut(Used)) -> Result<(), StoreError> {
        self.0.usage(since, each)
    }

    fn sessions(&self, each: &mut dyn FnMut(Record)) -> Result<usize, StoreError> {
        self.0.sessions(each)
    }

    fn apply(&self, changes: &[Change]) -> Result<(), StoreError> {
        self.1.slow_writes.pass();
        assert!(!self.1.panics.load(Ordering::SeqCst), "as the test wants it");
        match self.1.fails.load(Ordering::SeqCst) {
            true => Err(StoreError("/secret/path: disk on fire".to_owned())),
            false => self.0.apply(changes),
        }
    }

    fn recover(&self) -> Result<bool, StoreError> {
        match self.1.fails.load(Ordering::SeqCst) {
            true => Err(StoreError("/secret/path: disk on fire".to_owned())),
            false => self.0.recover(),
        }
    }

    fn keep_proofs(&self, proofs: &[UsedProof], now_ms: u64) -> Result<Vec<bool>, StoreError> {
        match self.1.fails.load(Ordering::SeqCst) {
            true => Err(StoreError("/secret/path: disk on fire".to_owned())),
            false => self.0.keep_proofs(proofs, now_ms),
        }
    }

    fn longest_lease_ms(&self) -> Result<Option<u64>, StoreError> {
        self.0.longest_lease_ms()
    }

    fn note_longest_lease(&self, ms: u64) -> Result<(), StoreError> {
        match self.1.fails.load(Ordering::SeqCst) {
            true => Err(StoreError("/secret/path: disk on fire".to_owned())),
            false => self.0.note_longest_lease(ms),
        }
    }

    fn kept_proofs(&self, now_ms: u64, each: &mut dyn FnMut(UsedProof)) -> Result<(), StoreError> {
        self.0.kept_proofs(now_ms, each)
    }

    fn family(&self, id: FamilyId) -> Result<Option<StoredFamily>, StoreError> {
        match self.1.fails_to_read.load(Ordering::SeqCst) {
            true => Err(StoreError("/secret/path: no such block".to_owned())),
            false => self.0.family(id),
        }
    }

    fn write_family(&self, family: &StoredFamily, over: Option<u64>) -> Result<bool, StoreError> {
        match self.1.fails.load(Ordering::SeqCst) {
            true => Err(StoreError("/secret/path: disk on fire".to_owned())),
            false => self.0.write_family(family, over),
        }
    }

    fn ended_families(&self, max: usize) -> Result<Vec<StoredFamily>, StoreError> {
        self.0.ended_families(max)
    }

    fn drop_family(&self, id: FamilyId, version: u64) -> Result<(), StoreError> {
        self.0.drop_family(id, version)
    }

    fn drop_families(&self, before_ms: u64) -> Result<usize, StoreError> {
        self.0.drop_families(before_ms)
    }

    fn received(&self, ids: &[&ReceiptId]) -> Result<HashSet<ReceiptId>, StoreError> {
        self.0.received(ids)
    }

    fn tombstones_of(&self, ids: &[SessionId]) -> Result<Vec<(SessionId, Option<Record>)>, StoreError> {
        self.1.slow_reads.pass();
        match self.1.fails_to_read.load(Ordering::SeqCst) {
            true => Err(StoreError("/secret/path: no such block".to_owned())),
            false => self.0.tombstones_of(ids),
        }
    }

    fn tombstones(
        &self,
        after: Option<SessionId>,
        each: &mut dyn FnMut(SessionId, Option<Record>) -> bool,
    ) -> Result<(), StoreError> {
        self.1.lists.fetch_add(1, Ordering::SeqCst);
        self.1.slow_lists.pass();
        self.0.tombstones(after, each)
    }
}

fn settings(more: &str) -> Settings {
    settings_for(&[FILTER], more)
}

/// The settings with these credentials for filters.
fn settings_for(filters: &[&str], more: &str) -> Settings {
    let named: Vec<_> = (0..filters.len()).map(|number| format!("{{env: F{number}}}")).collect();
    let text = format!(
        "listen: 127.0.0.1:0\nadmin: 127.0.0.1:0\nfilter_credential: [{}]\nadmin_credential: {{env: A}}\n\
         store: {{embedded: {{path: unused}}}}\n{more}\n",
        named.join(", ")
    );
    let env = |name: &str| match name.strip_prefix('F') {
        None if name == "P" => Some(format!("Bearer {ADMIN}")),
        None if name.starts_with("SIGNING_") => Some(crate::upstream_tokens::pem(name)),
        None if name == "HOOK" => Some(crate::webhooks::SECRET.to_owned()),
        None if name.starts_with("SEALING_") => Some(crate::tokens::sealing_key(name)),
        None if name.starts_with("ADMIN_") => Some(format!("the-secret-of-{name}")),
        None if name == "RECEIVER" => Some("receiver-secret".to_owned()),
        Some(number) => filters.get(number.parse::<usize>().ok()?).map(|&secret| secret.to_owned()),
        None => Some(ADMIN.to_owned()),
    };
    config::read(&text, &env).unwrap()
}

pub(crate) struct Fixture {
    pub(crate) checks: SocketAddr,
    pub(crate) admin: SocketAddr,
    pub(crate) signals: Option<SocketAddr>,
    pub(crate) tokens: Option<SocketAddr>,
    pub(crate) clock: Arc<AtomicU64>,
    /// By how much the wall clock was set, in milliseconds.
    pub(crate) wall: Arc<AtomicI64>,
    pub(crate) faults: Arc<Faults>,
    stop: Option<oneshot::Sender<()>>,
    settings: Settings,
    running: JoinHandle<Result<(), Failure>>,
    folder: Option<TempDir>,
}

impl Fixture {
    pub(crate) async fn open() -> Self {
        Self::with("").await
    }

    /// A fixture with more lines in its configuration.
    pub(crate) async fn with(more: &str) -> Self {
        Self::in_folder(tempfile::tempdir().unwrap(), more).await
    }

    pub(crate) async fn in_folder(folder: TempDir, more: &str) -> Self {
        Self::built(folder, more, false).await
    }

    /// A fixture whose clock also goes by itself, for limits that are met without a question.
    pub(crate) async fn ticking(more: &str) -> Self {
        Self::built(tempfile::tempdir().unwrap(), more, true).await
    }

    /// A fixture whose clock is right and goes by itself, for callers that have a clock of their own.
    pub(crate) async fn today(more: &str) -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let now_ms = u64::try_from(now.as_millis()).unwrap();
        Self::started(tempfile::tempdir().unwrap(), more, true, now_ms).await
    }

    async fn built(folder: TempDir, more: &str, ticks: bool) -> Self {
        Self::started(folder, more, ticks, T0).await
    }

    async fn started(folder: TempDir, more: &str, ticks: bool, now_ms: u64) -> Self {
        let settings = settings(more);
        let listeners = Listeners {
            checks: TcpListener::bind(settings.listen).await.unwrap(),
            admin: TcpListener::bind(settings.admin).await.unwrap(),
            signals: match settings.signals_listen {
                Some(address) => Some(TcpListener::bind(address).await.unwrap()),
                None => None,
            },
            tokens: match settings.tokens_listen {
                Some(address) => Some(TcpListener::bind(address).await.unwrap()),
                None => None,
            },
        };
        let tokens = listeners.tokens.as_ref().map(|listener| listener.local_addr().unwrap());
        let signals = listeners.signals.as_ref().map(|listener| listener.local_addr().unwrap());
        let (checks, admin) = (listeners.checks.local_addr().unwrap(), listeners.admin.local_addr().unwrap());
        let faults = Arc::<Faults>::default();
        let store = Faulty(Embedded::open(folder.path()).unwrap(), Arc::clone(&faults));
        let clock = Arc::new(AtomicU64::new(now_ms));
        let (read, started) = (Arc::clone(&clock), Instant::now());
        let wall = Arc::<AtomicI64>::default();
        let set = Arc::clone(&wall);
        let (stop, stopped) = oneshot::channel::<()>();
        let running = tokio::spawn(run(
            listeners,
            settings.clone(),
            Arc::new(store),
            Clock::new(move || {
                let steady_ms = read.load(Ordering::SeqCst) + if ticks { passed_ms(started) } else { 0 };
                Reading { wall_ms: steady_ms.saturating_add_signed(set.load(Ordering::SeqCst)), steady_ms }
            }),
            async {
                let _ = stopped.await;
            },
        ));
        let fixture = Self {
            checks,
            admin,
            signals,
            tokens,
            clock,
            wall,
            faults,
            stop: Some(stop),
            settings,
            running,
            folder: Some(folder),
        };
        // With TLS, only a caller with the right certificates could ask.
        while !more.contains("admin_tls") && http(admin, "", "GET", "/readyz", "").await.status != 200 {}
        fixture
    }

    /// Reloads it with other lines in its configuration.
    pub(crate) fn reload(&self, more: &str) -> Reload {
        self.settings.take_over(&settings(more))
    }

    /// Reloads it with these two credentials for filters.
    pub(crate) fn reload_with(&self, one: &'static str, other: &'static str) -> Reload {
        self.settings.take_over(&settings_for(&[one, other], ""))
    }

    pub(crate) fn at(&self, after_ms: u64) {
        self.clock.store(T0 + after_ms, Ordering::SeqCst);
    }

    pub(crate) async fn filter(&self) -> Filter {
        Filter::open(self.checks, FILTER).await.unwrap()
    }

    pub(crate) async fn call(&self, method: &str, path: &str, body: &str) -> Answer {
        http(self.admin, &format!("Bearer {ADMIN}"), method, path, body).await
    }

    /// Waits until it ends by itself.
    pub(crate) async fn ended(&mut self) -> Result<(), Failure> {
        let ran = tokio::time::timeout(PATIENCE, &mut self.running).await;
        ran.expect("it goes on").unwrap()
    }

    /// Asks it to stop; it drains first.
    pub(crate) fn drain(&mut self) {
        drop(self.stop.take());
    }

    /// Stops well, and gives the folder for the next start.
    pub(crate) async fn stop(mut self) -> TempDir {
        self.drain();
        let ran = tokio::time::timeout(PATIENCE, &mut self.running).await;
        ran.expect("it does not stop").unwrap().unwrap();
        self.folder.take().unwrap()
    }
}
