//! Looks after the stream of a transmitter: finds it or makes it, keeps it as it has to be, and asks for verification events.
//!
//! Replicas do that beside each other and share nothing but the transmitter: after one of them has made a stream it lists them
//! again, and of several that are ours the first by id stays. Only what an operator has deleted is shared in the store, so that
//! no replica takes it for lost and makes another.

use super::super::answer::{Code, Refusal};
use super::super::carry_out::cut;
use super::super::client_credentials::AccessToken;
use super::super::keys::Endpoints;
use super::super::outbound::{Caller, Url, on_a_thread};
use super::super::transmitter::{Signed, Transmitter, TransmitterSettings};
use super::api::Api;
use super::{Status, Stream, Wanted};
use crate::store::postgres::Secret;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

/// How often a verification event is asked for within `stale_after`.
const VERIFIED_WITHIN_STALE: u32 = 3;

/// How often one is asked for where `stale_after` is not configured, and how often at most.
const VERIFY_EVERY: Duration = Duration::from_hours(1);
const VERIFY_EVERY_MIN: Duration = Duration::from_secs(1);

/// How long what was seen of the stream is so fresh that its audience is known.
const FRESH: Duration = Duration::from_secs(10);

/// What is known of our stream.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Known {
    pub(super) id: String,
    pub(super) audiences: Vec<String>,
    /// Where it is polled.
    pub(super) endpoint: Option<Url>,
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
    pub(super) accepted: Option<Stream>,
    /// When a verification event was asked for.
    pub(super) verified_at: Option<Instant>,
    pub(super) verify_every: Duration,
}

/// The stream of a transmitter while the service runs.
#[derive(Debug)]
pub(in super::super) struct Managed {
    pub(super) api: Arc<Api>,
    pub(super) wanted: Arc<Wanted>,
    pub(super) verify_every: Duration,
    pub(super) desk: tokio::sync::Mutex<Desk>,
    known: watch::Sender<Option<Known>>,
    state: Mutex<State>,
    /// When it was last seen.
    seen_at: Mutex<Option<Instant>>,
    pub(super) again: Notify,
    /// Streams that were made and are of no use, until they are deleted.
    useless: Mutex<Vec<String>>,
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
            State::Unseen => "not checked yet".to_owned(),
            State::Kept(None | Some(Status::Enabled)) => "ok".to_owned(),
            State::Kept(Some(Status::Paused { reason })) => because("paused", reason),
            State::Kept(Some(Status::Disabled { reason })) => because("disabled", reason),
            State::Kept(Some(Status::Other)) => "in an unknown state".to_owned(),
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

    pub(super) fn useless(&self) -> MutexGuard<'_, Vec<String>> {
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

    pub(super) fn kept(&self, known: Known, status: Option<Status>) {
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
            None => Err("the transmitter's configuration has not been fetched yet".to_owned()),
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
