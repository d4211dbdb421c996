//! Looks after the stream of a transmitter: finds it or makes it, keeps it as it has to be, and asks for verification events.
//!
//! Replicas do that beside each other and share nothing but the transmitter: after one of them has made a stream it lists them
//! again, and of several that are ours the first by id stays. Only what an operator has deleted is shared in the store, so that
//! no replica takes it for lost and makes another.

use super::super::answer::{Code, Refusal};
use super::super::client_credentials::AccessToken;
use super::super::keys::Endpoints;
use super::super::outbound::{Caller, Url, on_a_thread};
use super::super::push::cut;
use super::super::transmitter::{Signed, Transmitter, TransmitterSettings};
use super::api::{Api, Created, Verification};
use super::{Delivery, Status, Stream, Wanted};
use crate::clock::rfc3339;
use crate::log::Sampler;
use crate::service::Service;
use crate::store::postgres::Secret;
use crate::store::{Receipt, ReceiptId};
use crate::writer::Signal;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;
use tracing::{info, warn};

/// How often the stream is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(60);

/// The shortest time between two looks that something has asked for.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// How long a failing transmitter is left alone at first, and at most. The time doubles with each failure.
const RETRY_MIN: Duration = Duration::from_millis(500);
const RETRY_MAX: Duration = Duration::from_secs(60);

/// How long the transmitter's configuration is waited for.
const DISCOVERY_MAX: Duration = Duration::from_secs(5);

/// How often a verification event is asked for within `stale_after`.
const VERIFIED_WITHIN_STALE: u32 = 3;

/// How often one is asked for where `stale_after` is not configured, and how often at most.
const VERIFY_EVERY: Duration = Duration::from_hours(1);
const VERIFY_EVERY_MIN: Duration = Duration::from_secs(1);

/// How long what was seen of the stream is so fresh that its audience is known.
const FRESH: Duration = Duration::from_secs(10);

/// How long it is remembered that an operator has deleted a stream: until every replica has noticed.
const DELETED_KEPT_MS: u64 = 7 * 24 * 60 * 60 * 1_000;

/// What is known of our stream.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Known {
    pub(super) id: String,
    audiences: Vec<String>,
    /// Where it is polled.
    endpoint: Option<Url>,
}

/// How it is with the stream.
#[derive(Debug)]
pub(super) enum State {
    /// It was not looked for yet.
    Unseen,
    /// It is as it has to be; whether it delivers, where the transmitter tells.
    Kept(Option<Status>),
    /// An operator has deleted it.
    Deleted,
    /// It could not be looked after.
    Failing(String),
}

/// What whoever looks after the stream knows. Only one does at a time.
#[derive(Debug, Default)]
pub(super) struct Desk {
    /// An operator has deleted it: none is made.
    pub(super) is_deleted: bool,
    /// The stream as its transmitter has left it after it was changed: what is not taken over is not asked for again.
    accepted: Option<Stream>,
    /// When a verification event was asked for.
    verified_at: Option<Instant>,
    verify_every: Duration,
}

/// The stream of a transmitter while the service runs.
#[derive(Debug)]
pub(in super::super) struct Managed {
    pub(super) api: Arc<Api>,
    pub(super) wanted: Arc<Wanted>,
    verify_every: Duration,
    pub(super) desk: tokio::sync::Mutex<Desk>,
    known: watch::Sender<Option<Known>>,
    state: Mutex<State>,
    /// When it was last seen.
    seen_at: Mutex<Option<Instant>>,
    again: Notify,
    /// Streams that were made and are of no use, until they are deleted.
    useless: Mutex<Vec<String>>,
}

/// Whether a look makes a stream where there is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Making {
    /// It does not.
    Never,
    /// It does, unless an operator has deleted the stream.
    UnlessDeleted,
    /// It does: an operator wants one.
    Always,
}

/// What a look has found.
pub(super) struct Look {
    pub(super) id: String,
    /// It was made just now.
    pub(super) is_new: bool,
}

impl Managed {
    /// That of a transmitter; none where its stream is not managed.
    pub(in super::super) fn of(settings: &TransmitterSettings, caller: &Caller) -> Option<Arc<Self>> {
        let wanted = Arc::new(Wanted::of(settings)?);
        let token = AccessToken::new(settings.stream.as_ref()?.client.clone(), caller.clone());
        Some(Arc::new(Self {
            api: Arc::new(Api::new(caller.clone(), token)),
            wanted,
            verify_every: settings
                .stale_after
                .map_or(VERIFY_EVERY, |stale_after| (stale_after / VERIFIED_WITHIN_STALE).max(VERIFY_EVERY_MIN)),
            desk: tokio::sync::Mutex::default(),
            known: watch::Sender::new(None),
            state: Mutex::new(State::Unseen),
            seen_at: Mutex::default(),
            again: Notify::new(),
            useless: Mutex::default(),
        }))
    }

    /// For people: `ok`, or how it is otherwise.
    pub(in super::super) fn shown(&self) -> String {
        let because = |what: &str, reason: &Option<String>| match reason {
            Some(reason) => format!("{what}: {}", cut(reason)),
            None => what.to_owned(),
        };
        match &*self.state() {
            State::Unseen => "not looked for yet".to_owned(),
            State::Kept(None | Some(Status::Enabled)) => "ok".to_owned(),
            State::Kept(Some(Status::Paused { reason })) => because("paused", reason),
            State::Kept(Some(Status::Disabled { reason })) => because("disabled", reason),
            State::Kept(Some(Status::Other)) => "in a state that is unknown here".to_owned(),
            State::Deleted => "deleted".to_owned(),
            State::Failing(why) => why.clone(),
        }
    }

    /// Whether it is known where the stream is polled.
    pub(in super::super) fn has_endpoint(&self) -> bool {
        self.known.borrow().as_ref().is_some_and(|known| known.endpoint.is_some())
    }

    /// Waits until it is.
    pub(in super::super) async fn endpoint(&self) {
        let has = |known: &Option<Known>| known.as_ref().is_some_and(|known| known.endpoint.is_some());
        drop(self.known.subscribe().wait_for(has).await);
    }

    /// Asks for tokens where the stream is.
    pub(in super::super) async fn poll(
        &self,
        authorization: Option<Secret>,
        body: Vec<u8>,
        at_most: Duration,
    ) -> Result<Vec<u8>, String> {
        let endpoint = self.known.borrow().as_ref().and_then(|known| known.endpoint.clone());
        let (url, api) = (endpoint.ok_or("there is no stream")?, Arc::clone(&self.api));
        on_a_thread(move || api.poll(&url, authorization.as_ref(), &body, at_most)).await
    }

    /// The id of the stream that is known.
    pub(super) fn known_id(&self) -> Option<String> {
        self.known.borrow().as_ref().map(|known| known.id.clone())
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn useless(&self) -> MutexGuard<'_, Vec<String>> {
        self.useless.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_fresh(&self) -> bool {
        let seen_at = *self.seen_at.lock().unwrap_or_else(PoisonError::into_inner);
        seen_at.is_some_and(|at| at.elapsed() < FRESH)
    }

    /// There is none.
    pub(super) fn gone(&self, state: State) {
        self.known.send_if_modified(|known| known.take().is_some());
        *self.state() = state;
        *self.seen_at.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    fn kept(&self, known: Known, status: Option<Status>) {
        self.known.send_if_modified(|old| old.replace(known) != *old);
        *self.state() = State::Kept(status);
        *self.seen_at.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    /// Where the transmitter's streams are managed.
    pub(super) fn endpoints(&self, transmitter: &Transmitter) -> Result<Endpoints, String> {
        let keys = transmitter.keys.as_ref().ok_or("the transmitter has no configuration")?;
        match keys.endpoints() {
            Some(endpoints) => Ok(endpoints),
            None if keys.are_discovered() => {
                Err("the transmitter's configuration has no `configuration_endpoint` that can be called".to_owned())
            }
            None => Err("the transmitter's configuration is not here yet".to_owned()),
        }
    }

    /// Looks for our stream, and keeps it as it has to be.
    pub(super) async fn look(
        self: &Arc<Self>,
        service: &Service,
        transmitter: &Transmitter,
        desk: &mut Desk,
        making: Making,
    ) -> Result<Option<Look>, String> {
        let at = self.endpoints(transmitter)?;
        let mut ours = self.on_a_thread(&at, |managed, at| managed.list(at)).await?;
        let mut is_new = false;
        if ours.is_empty() {
            let known = self.known_id().filter(|_| making != Making::Always);
            if let Some(id) = known
                && was_deleted(service, transmitter, &id).await?
            {
                desk.is_deleted = true;
            }
            match (desk.is_deleted, making) {
                (true, _) => {
                    self.gone(State::Deleted);
                    return Ok(None);
                }
                (false, Making::Never) => return Ok(None),
                (false, Making::UnlessDeleted | Making::Always) => self.gone(State::Unseen),
            }
            let name = transmitter.name().to_owned();
            (ours, is_new) = self.on_a_thread(&at, move |managed, at| managed.make(at, &name)).await?;
        }
        // It was made by another replica, or by hand.
        desk.is_deleted = false;
        let (name, accepted) = (transmitter.name().to_owned(), desk.accepted.take());
        let settled = self.on_a_thread(&at, move |managed, at| managed.settle(at, &name, ours, accepted)).await;
        let Settled { stream, accepted, status } = settled?;
        desk.accepted = accepted;
        desk.verify_every = self.verify_every.max(stream.verification_every_min());
        let endpoint = match (&self.wanted.delivery, stream.endpoint()) {
            (Delivery::Push { .. }, _) => None,
            (Delivery::Poll, Some(text)) => {
                let named = at.configuration.names(text);
                Some(named.ok_or("the stream's `endpoint_url` is not an `https` URL")?)
            }
            (Delivery::Poll, None) => return Err("the stream has no `endpoint_url` to poll".to_owned()),
        };
        let id = stream.stream_id.clone();
        if self.known_id().as_ref() != Some(&id) {
            self.say_use(transmitter, &stream, &at);
            desk.verified_at = None;
        }
        self.kept(Known { id: id.clone(), audiences: stream.audiences(), endpoint }, status);
        Ok(Some(Look { id, is_new }))
    }

    fn say_use(&self, transmitter: &Transmitter, stream: &Stream, at: &Endpoints) {
        let (name, id) = (transmitter.name(), cut(&stream.stream_id));
        let delivered = stream.events_delivered.as_ref();
        let missing = |uri: &&String| delivered.is_some_and(|delivered| !delivered.contains(uri));
        let not_delivered: Vec<&str> = self.wanted.events.iter().filter(missing).map(String::as_str).collect();
        info!(transmitter = name, stream = id, not_delivered = not_delivered.join(" "), "the stream is in use");
        if at.verification.is_none() {
            warn!(transmitter = name, "the transmitter's configuration has no `verification_endpoint`");
        }
        let stale_after = transmitter.settings.stale_after;
        if stale_after.is_some_and(|stale_after| stream.verification_every_min() >= stale_after) {
            warn!(transmitter = name, "`stale_after` is shorter than the transmitter's `min_verification_interval`");
        }
    }

    /// Runs calls on a thread of their own.
    pub(super) async fn on_a_thread<T: Send + 'static>(
        self: &Arc<Self>,
        at: &Endpoints,
        calls: impl FnOnce(&Self, &Endpoints) -> Result<T, String> + Send + 'static,
    ) -> Result<T, String> {
        let (managed, at) = (Arc::clone(self), at.clone());
        on_a_thread(move || calls(&managed, &at)).await
    }

    /// Our streams, the one to keep first. Blocks, as what follows.
    pub(super) fn list(&self, at: &Endpoints) -> Result<Vec<Stream>, String> {
        Ok(self.wanted.ours(self.api.list(at)?))
    }

    /// Makes our stream; returns ours as they are then, and whether it was made here.
    fn make(&self, at: &Endpoints, transmitter: &str) -> Result<(Vec<Stream>, bool), String> {
        while let Some(id) = { self.useless().last().cloned() } {
            self.api.delete(at, &id)?;
            self.useless().retain(|useless| *useless != id);
        }
        let made = self.api.create(at, &self.wanted.creation())?;
        let mut ours = self.list(at)?;
        let Created::Made(made) = made else {
            // Another replica may have been faster.
            let why = "the transmitter has another stream for this client, and allows no second one";
            return if ours.is_empty() { Err(why.to_owned()) } else { Ok((ours, false)) };
        };
        changed(transmitter, "created", &made.stream_id, BY_SERVICE);
        if !ours.iter().any(|stream| stream.stream_id == made.stream_id) {
            // One that is not found again would be made again and again.
            if let Some(why) = self.wanted.differs(&made) {
                self.useless().push(made.stream_id.clone());
                self.api.delete(at, &made.stream_id)?;
                self.useless().retain(|useless| *useless != made.stream_id);
                changed(transmitter, "deleted", &made.stream_id, BY_SERVICE);
                return Err(format!("the transmitter has made a stream that cannot be used: {why}"));
            }
            ours.push(*made);
            ours = self.wanted.ours(ours);
        }
        Ok((ours, true))
    }

    /// Keeps the first of our streams, as it has to be, and deletes the others.
    fn settle(
        &self,
        at: &Endpoints,
        transmitter: &str,
        ours: Vec<Stream>,
        accepted: Option<Stream>,
    ) -> Result<Settled, String> {
        let mut ours = ours.into_iter();
        let mut stream = ours.next().ok_or("there is no stream")?;
        for surplus in ours {
            self.api.delete(at, &surplus.stream_id)?;
            changed(transmitter, "deleted", &surplus.stream_id, BY_SERVICE);
        }
        let mut accepted = accepted.filter(|accepted| accepted.is_like(&stream));
        if accepted.is_none()
            && let Some(changes) = self.wanted.changes(&stream)
        {
            let answered = self.api.update(at, &changes)?;
            changed(transmitter, "updated", &stream.stream_id, BY_SERVICE);
            if let Some(answered) = answered.filter(|answered| answered.stream_id == stream.stream_id) {
                stream = answered;
            }
            accepted = Some(stream.clone());
        }
        let status = self.api.status(at, &stream.stream_id)?;
        Ok(Settled { stream, accepted, status })
    }

    /// Asks for a verification event if that is due; returns in how long the next one is.
    async fn verify_if_due(
        self: &Arc<Self>,
        service: &Service,
        at: &Endpoints,
        desk: &mut Desk,
    ) -> Result<Duration, String> {
        let delivers = matches!(&*self.state(), State::Kept(None | Some(Status::Enabled)));
        let id = self.known_id().filter(|_| delivers && at.verification.is_some());
        let Some(id) = id else { return Ok(LOOK_EVERY) };
        let waited = desk.verified_at.map(|at| at.elapsed());
        if let Some(left) =
            waited.and_then(|waited| desk.verify_every.checked_sub(waited)).filter(|left| !left.is_zero())
        {
            return Ok(left);
        }
        // Where it was asked for too often, another replica has done it.
        self.verify(service, at, desk, id).await?;
        Ok(desk.verify_every)
    }

    pub(super) async fn verify(
        self: &Arc<Self>,
        service: &Service,
        at: &Endpoints,
        desk: &mut Desk,
        id: String,
    ) -> Result<Verification, String> {
        // For people: nothing depends on what comes back, since another replica may receive it.
        let state = rfc3339(service.clock.now_ms());
        let asked = self.on_a_thread(at, move |managed, at| managed.api.verify(at, &id, &state)).await?;
        desk.verified_at = Some(Instant::now());
        Ok(asked)
    }
}

/// The stream as it is kept.
struct Settled {
    stream: Stream,
    accepted: Option<Stream>,
    status: Option<Status>,
}

impl Transmitter {
    /// Looks at its stream soon, if that is managed: something has shown that it may have changed.
    pub(in super::super) fn look_at_stream(&self) {
        if let Some(managed) = &self.managed {
            managed.again.notify_one();
        }
    }

    /// Whether a token is for us: for one of the configured audiences, or for the one that the transmitter has given the
    /// stream that we have asked it for.
    pub(in super::super) fn admits(&self, signed: &Signed, audiences: &[String]) -> Result<(), Refusal> {
        if audiences.iter().any(|aud| signed.audiences.contains(aud)) {
            return Ok(());
        }
        if let Some(managed) = &self.managed {
            let is_known = |known: &Known| audiences.iter().any(|aud| known.audiences.contains(aud));
            if managed.known.borrow().as_ref().is_some_and(is_known) {
                return Ok(());
            }
            // The stream may have been made a moment ago, by another replica for example. It must not be lost.
            if !managed.is_fresh() {
                self.look_at_stream();
                return Err(Refusal::unavailable("the audience of the stream is not known yet"));
            }
        }
        Err(Refusal::new(Code::InvalidAudience, "`aud` contains none of this transmitter's `audiences`"))
    }
}

/// Looks after the stream of a transmitter until the service stops.
pub(crate) async fn manage(service: Arc<Service>, number: usize) {
    let mut stop = service.stop.clone();
    let managing = async {
        let transmitter = service.signals.get(number);
        if let Some((transmitter, managed)) = transmitter.and_then(|of| Some((of, of.managed.as_ref()?))) {
            forever(&service, transmitter, managed).await;
        }
    };
    tokio::select! {
        biased;
        _ = stop.wait_for(|stop| *stop) => {}
        () = managing => {}
    }
}

async fn forever(service: &Arc<Service>, transmitter: &Transmitter, managed: &Arc<Managed>) {
    let mut wait = RETRY_MIN;
    loop {
        if let Some(keys) = &transmitter.keys {
            keys.discovered_within(DISCOVERY_MAX).await;
        }
        let looked = {
            let mut desk = managed.desk.lock().await;
            let looked = round(service, transmitter, managed, &mut desk).await;
            if let Err(error) = &looked {
                failed(transmitter, managed, error);
            }
            looked
        };
        match looked {
            Ok(next) => {
                if wait > RETRY_MIN {
                    info!(transmitter = transmitter.name(), "the stream can be managed again");
                }
                wait = RETRY_MIN;
                tokio::time::sleep(next.min(LOOK_AGAIN)).await;
                let rest = next.min(LOOK_EVERY).saturating_sub(LOOK_AGAIN);
                drop(tokio::time::timeout(rest, managed.again.notified()).await);
            }
            Err(_) => {
                tokio::time::sleep(wait).await;
                wait = (wait * 2).min(RETRY_MAX);
            }
        }
    }
}

/// Looks at the stream, and asks for a verification event if that is due. Returns in how long the next one is.
async fn round(
    service: &Arc<Service>,
    transmitter: &Transmitter,
    managed: &Arc<Managed>,
    desk: &mut Desk,
) -> Result<Duration, String> {
    managed.look(service, transmitter, desk, Making::UnlessDeleted).await?;
    let at = managed.endpoints(transmitter)?;
    managed.verify_if_due(service, &at, desk).await
}

fn failed(transmitter: &Transmitter, managed: &Managed, error: &str) {
    static FAILED: Sampler = Sampler::new();
    *managed.state() = State::Failing(error.to_owned());
    if let Some(not_logged) = FAILED.admit() {
        warn!(transmitter = transmitter.name(), error, not_logged, "cannot manage the stream of a transmitter");
    }
}

/// Who changes a stream, in the audit log.
pub(super) const BY_SERVICE: &str = "service";
pub(super) const BY_ADMIN: &str = "admin";

/// Audits a change of a stream.
pub(super) fn changed(transmitter: &str, change: &str, stream: &str, by: &str) {
    info!(target: "audit", event = "stream_changed", transmitter, change, stream = cut(stream), by);
}

/// What remembers that an operator has deleted a stream. Ids of signals are texts of the transmitter's own, so that only it
/// could send one that collides.
fn deletion(transmitter: &Transmitter, stream_id: &str) -> ReceiptId {
    ReceiptId::of(transmitter.name(), &format!("\0deleted\0{stream_id}"))
}

/// Has every replica know that an operator deletes a stream.
pub(super) async fn remember_deletion(
    service: &Service,
    transmitter: &Transmitter,
    stream_id: &str,
) -> Result<(), &'static str> {
    let until_ms = service.clock.now_ms().saturating_add(DELETED_KEPT_MS);
    let receipt = Some(Receipt { id: deletion(transmitter, stream_id), until_ms });
    let signal = Signal { transmitter: transmitter.name().to_owned(), receipt, effects: Vec::new() };
    service.writer.signal(signal).await.map(drop).map_err(|_| "the store cannot write: nothing was deleted")
}

/// Whether an operator has deleted a stream, here or at another replica.
async fn was_deleted(service: &Service, transmitter: &Transmitter, stream_id: &str) -> Result<bool, String> {
    let (store, id) = (Arc::clone(&service.store), deletion(transmitter, stream_id));
    let read = tokio::task::spawn_blocking(move || store.received(&[&id]).map(|found| !found.is_empty())).await;
    read.map_err(|e| e.to_string())?.map_err(|e| {
        warn!(error = %e, "the store could not read");
        "the store cannot read".to_owned()
    })
}
