//! Asks the decision point, on threads of its own: what waits when a thread is free is asked in one call.

use super::endpoints::{Endpoints, metadata_of};
use super::metrics::PdpMetrics;
use super::query::Query;
use super::ruling::Ruling;
use super::settings::PdpSettings;
use crate::log::Sampler;
use crate::signals::{Outbound, trusted};
use crate::store::postgres::Secret;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::oneshot;
use tracing::warn;

/// Calls that are made at the same time.
const CALLS_MAX: usize = 8;

/// Questions of one call.
const TOGETHER_MAX: usize = 50;

/// Questions that wait. More have no decision.
const WAITING_MAX: usize = 4_096;

/// How long what is known of the endpoints is used; if the metadata could not be fetched, for less.
const KNOWN_FOR: Duration = Duration::from_mins(5);
const GUESSED_FOR: Duration = Duration::from_secs(30);

/// A decision point.
pub(crate) struct Pdp {
    settings: PdpSettings,
    waiting: SyncSender<Ask>,
    metrics: Arc<PdpMetrics>,
}

/// A question that waits.
struct Ask {
    query: Query,
    until: Instant,
    to: oneshot::Sender<Ruling>,
}

/// What the threads share.
struct Calls {
    settings: PdpSettings,
    outbound: Outbound,
    endpoints: Mutex<Option<(Endpoints, Instant)>>,
    /// What tells requests apart.
    run: u64,
    made: AtomicU64,
}

impl Pdp {
    /// Starts the threads. They end with it.
    pub(crate) fn start(settings: PdpSettings, metrics: Arc<PdpMetrics>) -> Result<Self, String> {
        let outbound = Outbound::new(Some(trusted(settings.ca.as_ref(), &settings.url)?));
        let calls = Arc::new(Calls {
            settings: settings.clone(),
            outbound,
            endpoints: Mutex::default(),
            run: RandomState::new().hash_one(&settings.base),
            made: AtomicU64::new(0),
        });
        let (waiting, asked) = sync_channel(WAITING_MAX);
        let asked = Arc::new(Mutex::new(asked));
        for _ in 0..CALLS_MAX {
            let (calls, asked) = (Arc::clone(&calls), Arc::clone(&asked));
            let thread = std::thread::Builder::new().name("pdp".to_owned());
            thread.spawn(move || calls.run(&asked)).map_err(|e| format!("cannot start a thread: {e}"))?;
        }
        Ok(Self { settings, waiting, metrics })
    }

    /// How it is configured.
    pub(crate) const fn settings(&self) -> &PdpSettings {
        &self.settings
    }

    /// Asks it. What is not answered in time has no decision.
    pub(crate) fn ask(&self, query: Query) -> impl Future<Output = Ruling> + Send + use<> {
        let (to, ruled) = oneshot::channel();
        let (began, at_most) = (Instant::now(), Duration::from_millis(self.settings.timeout_ms));
        // Refused when there are too many: `to` is dropped, and there is no decision.
        drop(self.waiting.try_send(Ask { query, until: began + at_most, to }));
        let metrics = Arc::clone(&self.metrics);
        async move {
            let ruling = tokio::time::timeout(at_most, ruled).await;
            let ruling = ruling.ok().and_then(Result::ok).unwrap_or(Ruling::None);
            metrics.decided(ruling, began.elapsed());
            ruling
        }
    }
}

impl Calls {
    fn run(&self, asked: &Mutex<Receiver<Ask>>) {
        while let Some(asks) = next(asked) {
            let now = Instant::now();
            let (asks, _late): (Vec<Ask>, Vec<Ask>) = asks.into_iter().partition(|ask| ask.until > now);
            let queries: Vec<&Query> = asks.iter().map(|ask| &ask.query).collect();
            let rulings = match asks.iter().map(|ask| ask.until).max() {
                Some(until) => self.decide(&queries, until.saturating_duration_since(now)),
                None => Vec::new(),
            };
            for (ask, ruling) in asks.into_iter().zip(rulings) {
                // Nobody may wait any more.
                let _ = ask.to.send(ruling);
            }
        }
    }

    /// One ruling for each.
    fn decide(&self, queries: &[&Query], at_most: Duration) -> Vec<Ruling> {
        let until = Instant::now() + at_most;
        let left = || until.saturating_duration_since(Instant::now());
        let endpoints = match self.endpoints(left()) {
            Ok(endpoints) => endpoints,
            Err(why) => return self.without(&why, queries.len()),
        };
        match (&endpoints.many, queries) {
            (_, []) => Vec::new(),
            (Some(many), [_, _, ..]) => match self.post(many, &Query::bodies(queries), left()) {
                Ok(body) => Ruling::read_all(&body, queries.len()),
                Err(why) => self.without(&why, queries.len()),
            },
            (_, queries) => queries
                .iter()
                .map(|query| match self.post(&endpoints.one, &query.body(), left()) {
                    Ok(body) => Ruling::read(&body),
                    Err(why) => self.without(&why, 1).pop().unwrap_or(Ruling::None),
                })
                .collect(),
        }
    }

    fn post(&self, url: &crate::signals::Url, body: &serde_json::Value, at_most: Duration) -> Result<Vec<u8>, String> {
        if at_most.is_zero() {
            return Err("its time was over before it was asked".to_owned());
        }
        let id = format!("{:016x}-{:x}", self.run, self.made.fetch_add(1, Ordering::Relaxed));
        let bearer = self.settings.credential.as_ref().map(|Secret(secret)| format!("Bearer {secret}"));
        let authorization = bearer.as_deref().map(|bearer| ("authorization", bearer));
        let headers: Vec<(&str, &str)> =
            [("x-request-id", id.as_str()), ("accept", "application/json")].into_iter().chain(authorization).collect();
        let body = serde_json::to_vec(body).map_err(|e| e.to_string())?;
        let answer = self.outbound.post_as(url, &headers, &body, at_most)?;
        match answer.status {
            200 => Ok(answer.body),
            status => Err(format!("it answered {status}")),
        }
    }

    /// The endpoints as its metadata names them. Without metadata that can be used, they are those of the standard.
    fn endpoints(&self, at_most: Duration) -> Result<Endpoints, String> {
        let now = Instant::now();
        let mut known = self.endpoints.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((endpoints, _)) = known.as_ref().filter(|(_, until)| now < *until) {
            return Ok(endpoints.clone());
        }
        let PdpSettings { base, url, credential, .. } = &self.settings;
        let bearer = credential.as_ref().map(|Secret(secret)| Secret(format!("Bearer {secret}")));
        let fetched = metadata_of(base).and_then(|at| self.outbound.get(&at, bearer.as_ref(), at_most));
        let (endpoints, known_for) = match fetched.and_then(|metadata| Endpoints::read(base, url, &metadata)) {
            Ok(endpoints) => (endpoints, KNOWN_FOR),
            Err(why) => {
                warn!(why, "no metadata of the decision point: the paths of the standard are used");
                (Endpoints::usual(base)?, GUESSED_FOR)
            }
        };
        *known = Some((endpoints.clone(), now + known_for));
        Ok(endpoints)
    }

    /// No decisions.
    fn without(&self, why: &str, count: usize) -> Vec<Ruling> {
        static FAILED: Sampler = Sampler::new();
        if let Some(not_logged) = FAILED.admit() {
            warn!(pdp = self.settings.base, why, not_logged, "the decision point has not decided");
        }
        vec![Ruling::None; count]
    }
}

/// What waits, as soon as something does; `None` at the end.
fn next(asked: &Mutex<Receiver<Ask>>) -> Option<Vec<Ask>> {
    let asked = asked.lock().unwrap_or_else(PoisonError::into_inner);
    let mut asks = vec![asked.recv().ok()?];
    asks.extend(asked.try_iter().take(TOGETHER_MAX - 1));
    Some(asks)
}
