//! The gRPC service of the check stream, and the driver of each stream: it reads messages, waits for what the disk has to
//! say, and sends the answers.

use super::answers::{Answers, Asked, Broken, Destination, Held, Proving, Using};
use super::redeemed::Redemptions;
use super::state::{StreamState, Taken};
use crate::credential::{Credentials, Presented};
use crate::filters::{Connected, Filter};
use crate::listener::Peer;
use crate::log::Sampler;
use crate::pdp::Ruling;
use crate::service::{Found, Service};
use futures_util::stream::{FuturesUnordered, Stream, StreamExt, unfold};
use portcullis_contract::bounds::split;
use portcullis_contract::wire::session_check_server::SessionCheck;
use portcullis_contract::wire::{FilterMessage, Redeemed, ServiceMessage, Welcome};
use std::future::pending;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;
use tonic::{Request, Response, Status, Streaming};
use tracing::warn;

/// How long a stream goes on after the filter was asked to leave because the service is about to stop. One that can opens
/// its next stream at once; for one that cannot, the sooner the next service starts the better.
pub const DRAIN_MAX: Duration = Duration::from_secs(2);

/// The same when the service may not judge for now: what is followed must not go on for longer than its filter lets it
/// without a word.
const OUT_DRAIN_MAX: Duration = Duration::from_millis(250);

/// How long a stream sleeps at most while a limit is ahead: the clock may be set meanwhile.
const SLEEP_MAX: Duration = Duration::from_secs(10);

/// Answers of one stream that wait for the disk. With more, no message is read until some have left: a message can add
/// as many as it has questions and follows.
const DEFERRED_MAX: usize = 8_192;

/// The service of the check listener.
#[derive(Clone)]
pub struct Checks(pub Arc<Service>);

type Outbound = Pin<Box<dyn Stream<Item = Result<ServiceMessage, Status>> + Send>>;

#[tonic::async_trait]
impl SessionCheck for Checks {
    type CheckStream = Outbound;

    async fn check(&self, request: Request<Streaming<FilterMessage>>) -> Result<Response<Outbound>, Status> {
        let service = &self.0;
        let peer = request.extensions().get::<Peer>().map(|peer| peer.0);
        let (metadata, _, inbound) = request.into_parts();
        let presented = Presented::read(&metadata.into_headers());
        let credentials = service.filter_credential.watch();
        if !are_met(credentials.borrow().as_ref(), presented.as_ref()) {
            static REFUSED: Sampler = Sampler::new();
            service.metrics.unauthenticated_checks.inc();
            if let Some(not_logged) = REFUSED.admit() {
                let peer = peer.map(tracing::field::display);
                warn!(peer, not_logged, "refused a check stream: its credential is missing or wrong");
            }
            return Err(Status::unauthenticated("the credential is missing or wrong"));
        }
        if !service.registry.lease().holds() {
            return Err(Status::unavailable("this replica gives no verdicts for now"));
        }
        let driver = Box::new(Driver::new(Arc::clone(service), inbound, peer, presented, credentials));
        let answers = unfold(Some(driver), |driver| async { driver?.next().await });
        Ok(Response::new(Box::pin(answers)))
    }
}

/// Whether a caller may ask: it presents a credential, or none is configured.
fn are_met(credentials: Option<&Credentials>, presented: Option<&Presented>) -> bool {
    credentials.is_none_or(|credentials| presented.is_some_and(|presented| credentials.hold(presented)))
}

/// What has waited for the disk, or for another decision point.
enum Ready {
    LookedUp(Found),
    Durable(Vec<Held>),
    Ruled(Asked, Ruling),
    Used(Using, Taken),
    Proved(Proving, Taken),
}

type Deferred = Pin<Box<dyn Future<Output = Ready> + Send>>;

/// One stream while it is open.
struct Driver {
    service: Arc<Service>,
    inbound: Streaming<FilterMessage>,
    /// The filter has closed its half, or its time is up: what is deferred still leaves.
    is_done_reading: bool,
    state: StreamState,
    peer: Option<SocketAddr>,
    /// Once the filter has said hello.
    connected: Option<Connected>,
    /// What was too much for the last message.
    unsent: std::vec::IntoIter<ServiceMessage>,
    deferred: FuturesUnordered<Deferred>,
    /// Verdicts among the deferred that wait for the writer.
    held: usize,
    redemptions: Redemptions,
    presented: Option<Presented>,
    credentials: watch::Receiver<Option<Credentials>>,
    draining: watch::Receiver<bool>,
    serving: watch::Receiver<bool>,
    /// Until when it goes on once the filter was told to leave.
    drains_until: Option<Instant>,
    /// When the filter was last sent something.
    sent_at: Instant,
}

/// What a stream has to do next.
enum Task {
    Receive(Result<Option<FilterMessage>, Status>),
    /// A followed session changed, or a limit is due.
    Review,
    Resume(Ready),
    /// The handle of a browser was redeemed.
    SendRedeemed(Redeemed),
    SendDrain,
    /// The service is about to stop, and the filter has not said hello: it is to try elsewhere.
    Refuse,
    /// The credentials in the configuration have changed.
    Authenticate,
    /// Its time to leave is over: what is deferred still leaves.
    StopReading,
    /// The filter has heard nothing for a while, and must not take the service for dead.
    SendBeat,
    Leave,
}

/// A driver is moved into and out of each step: it is boxed, for it is large.
type Next = Option<Sent>;
type Sent = (Result<ServiceMessage, Status>, Option<Box<Driver>>);

impl Driver {
    fn new(
        service: Arc<Service>,
        inbound: Streaming<FilterMessage>,
        peer: Option<SocketAddr>,
        presented: Option<Presented>,
        credentials: watch::Receiver<Option<Credentials>>,
    ) -> Self {
        service.metrics.streams.inc();
        let (registry, audit) = (Arc::clone(&service.registry), Arc::clone(&service.audit));
        let metrics = Arc::clone(&service.metrics);
        Self {
            state: StreamState::new(registry, audit, metrics, Arc::clone(&service.route_tables))
                .judging_by(service.conditions.clone())
                .asking(service.pdp.clone())
                .minting(service.minter.clone()),
            draining: service.draining.clone(),
            serving: service.serving.clone(),
            service,
            inbound,
            peer,
            connected: None,
            is_done_reading: false,
            unsent: Vec::new().into_iter(),
            deferred: FuturesUnordered::new(),
            held: 0,
            redemptions: Redemptions::new(),
            presented,
            credentials,
            drains_until: None,
            sent_at: Instant::now(),
        }
    }

    /// The next message to the filter. Each message with questions is answered at once, with the verdicts that are
    /// known then: while the answer is on its way, the filter gathers the next questions. Answers that are too much for
    /// one message all leave before anything else is done: what waits to be sent is bounded by one message of the filter.
    async fn next(mut self: Box<Self>) -> Next {
        if let Some(message) = self.unsent.next() {
            return Some(self.send(message));
        }
        loop {
            let sent = match self.task().await {
                Task::Receive(Ok(Some(message))) => self.receive(message),
                // Without verdicts to give, what is deferred waits for a store that is away: the filter asks elsewhere.
                Task::StopReading if !*self.serving.borrow() => return None,
                Task::Receive(Ok(None)) | Task::StopReading => {
                    self.is_done_reading = true;
                    Ok(ServiceMessage::default())
                }
                Task::Receive(Err(status)) => Err(status),
                Task::Review => {
                    let answers = self.state.review(self.service.clock.now_ms());
                    Ok(self.message(answers))
                }
                Task::Resume(ready) => self.resume(ready),
                Task::SendRedeemed(first) => Ok(self.redemptions.message(first)),
                Task::SendDrain => {
                    let at_most = if *self.draining.borrow() { DRAIN_MAX } else { OUT_DRAIN_MAX };
                    self.drains_until = Some(Instant::now() + at_most);
                    Ok(ServiceMessage { drain: true, ..ServiceMessage::default() })
                }
                Task::Refuse => Err(Status::unavailable("the service is about to stop, or may not give verdicts now")),
                Task::Authenticate => self.authenticate(),
                Task::SendBeat => Ok(ServiceMessage { beat: true, ..ServiceMessage::default() }),
                Task::Leave => return None,
            };
            match sent {
                Err(status) => return Some((Err(status), None)),
                Ok(message) if message == ServiceMessage::default() => {}
                Ok(message) => {
                    let (message, rest) = split(message);
                    self.unsent = rest.into_iter();
                    return Some(self.send(message));
                }
            }
        }
    }

    fn send(mut self: Box<Self>, message: ServiceMessage) -> Sent {
        self.sent_at = Instant::now();
        (Ok(message), Some(self))
    }

    /// Waits for something to do. Every branch is cancellation-safe: dropping the losers loses no data.
    async fn task(&mut self) -> Task {
        let Self {
            service,
            inbound,
            state,
            deferred,
            credentials,
            draining,
            serving,
            drains_until,
            sent_at,
            redemptions,
            ..
        } = self;
        if self.is_done_reading && deferred.is_empty() {
            return Task::Leave;
        }
        let due_at_ms = [state.review_at_ms(), state.usage_at_ms()].into_iter().flatten().min();
        let until_due_ms = due_at_ms.map(|at_ms| at_ms.saturating_sub(service.clock.now_ms()));
        // What is followed here may have ended elsewhere: the filter is to notice the silence.
        let beat_every = state.beat_every().filter(|_| *serving.borrow());
        let beat_at = beat_every.map(|every| *sent_at + every);
        let is_done_reading = self.is_done_reading;
        let may_read = !is_done_reading && state.waiting() + self.held < DEFERRED_MAX;
        tokio::select! {
            biased;
            // The sender lives as long as the service.
            _ = credentials.changed() => Task::Authenticate,
            () = state.notifier().notified() => Task::Review,
            // It ends with `true`, or with the service itself.
            _ = leave(draining, serving), if drains_until.is_none() => match state.is_greeted() {
                true => Task::SendDrain,
                false => Task::Refuse,
            },
            Some(ready) = deferred.next(), if !deferred.is_empty() => Task::Resume(ready),
            Some(redeemed) = redemptions.next() => Task::SendRedeemed(redeemed),
            message = inbound.message(), if may_read => Task::Receive(message),
            () = pass(until_due_ms) => Task::Review,
            () = until(beat_at) => Task::SendBeat,
            // After the messages: what has arrived by then is answered.
            () = until(*drains_until), if !is_done_reading => Task::StopReading,
        }
    }

    fn authenticate(&self) -> Result<ServiceMessage, Status> {
        if are_met(self.credentials.borrow().as_ref(), self.presented.as_ref()) {
            return Ok(ServiceMessage::default());
        }
        warn!("closed a check stream: its credential was removed from the configuration");
        Err(Status::unauthenticated("the credential was removed"))
    }

    fn receive(&mut self, message: FilterMessage) -> Result<ServiceMessage, Status> {
        let now_ms = self.service.clock.now_ms();
        let filter = message.hello.as_ref().map(|hello| Filter::of(self.peer, hello));
        let answers = self.state.receive(message, now_ms).map_err(broken)?;
        if let Some(filter) = filter {
            self.connected = Some(self.service.filters.connect(filter, now_ms));
        }
        Ok(self.message(answers))
    }

    fn resume(&mut self, ready: Ready) -> Result<ServiceMessage, Status> {
        match ready {
            Ready::LookedUp(found) => {
                let mut answers = self.state.looked_up(&found.read, self.service.clock.now_ms());
                self.state.unreadable(&found.unreadable, &mut answers);
                Ok(self.message(answers))
            }
            Ready::Ruled(asked, ruling) => {
                let answers = self.state.ruled(asked, ruling, self.service.clock.now_ms());
                Ok(self.message(answers))
            }
            Ready::Durable(held) => {
                self.held -= held.len();
                let mut message = ServiceMessage::default();
                for held in held {
                    match held.to {
                        Destination::Question => message.verdicts.push(held.verdict),
                        Destination::Follow => message.followed.push(held.verdict),
                    }
                }
                Ok(message)
            }
            Ready::Proved(proving, taken) => {
                let answers = self.state.proved(proving, taken, self.service.clock.now_ms());
                Ok(self.message(answers))
            }
            Ready::Used(using, taken) => {
                let answers = self.state.used(using, taken, self.service.clock.now_ms());
                Ok(self.message(answers))
            }
        }
    }

    /// The message with what leaves at once. The rest is deferred.
    fn message(&mut self, answers: Answers) -> ServiceMessage {
        if !answers.look_ups.is_empty() {
            let found = self.service.look_up(answers.look_ups);
            self.deferred.push(Box::pin(async { Ready::LookedUp(found.await) }));
        }
        if let Some(point) = self.service.pdp.as_ref().filter(|_| !answers.queries.is_empty()) {
            for (asked, query) in answers.queries {
                let ruling = point.ask(query);
                self.deferred.push(Box::pin(async move { Ready::Ruled(asked, ruling.await) }));
            }
        }
        self.redemptions.begin(&self.service, answers.redemptions);
        if !answers.held.is_empty() {
            self.held += answers.held.len();
            let service = Arc::clone(&self.service);
            self.deferred.push(Box::pin(async move {
                service.make_durable(answers.held.iter().map(|held| Arc::clone(&held.session)).collect()).await;
                Ready::Durable(answers.held)
            }));
        }
        for using in answers.uses {
            let service = Arc::clone(&self.service);
            self.deferred.push(Box::pin(async move {
                let taken = service.use_grants(&using).await;
                Ready::Used(using, taken)
            }));
        }
        for proving in answers.proofs {
            let proofs = self.service.proofs.clone();
            self.deferred.push(Box::pin(async move {
                let taken = proofs.take(proving.proof).await;
                Ready::Proved(proving, taken)
            }));
        }
        let welcome = answers.welcome.then(|| Welcome {
            service_version: env!("CARGO_PKG_VERSION").to_owned(),
            capabilities: self.service.capabilities().map(str::to_owned).collect(),
            store_id: self.service.store_id.clone(),
            reopens_undated_logins: self.service.registry.reopens_undated_logins(),
            requests_url: self.service.requests_url.clone(),
            nonce_key: self.service.nonce_key.to_bytes(),
        });
        ServiceMessage {
            verdicts: answers.verdicts,
            welcome,
            followed: answers.followed,
            received: answers.received,
            renewed: answers.renewed,
            take_backs: answers.take_backs,
            ..ServiceMessage::default()
        }
    }
}

/// Waits for this time, or for ever without one; at most as long as a clock that is set forward may go unnoticed.
async fn pass(ms: Option<u64>) {
    match ms {
        Some(ms) => tokio::time::sleep(Duration::from_millis(ms).min(SLEEP_MAX)).await,
        None => pending().await,
    }
}

/// Waits until the service is about to stop, or may not judge.
async fn leave(draining: &mut watch::Receiver<bool>, serving: &mut watch::Receiver<bool>) {
    tokio::select! {
        _ = draining.wait_for(|draining| *draining) => {}
        _ = serving.wait_for(|serving| !*serving) => {}
    }
}

async fn until(instant: Option<Instant>) {
    match instant {
        Some(instant) => tokio::time::sleep_until(instant).await,
        None => pending().await,
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        self.service.metrics.streams.dec();
    }
}

fn broken(Broken(how): Broken) -> Status {
    static BROKEN: Sampler = Sampler::new();
    if let Some(not_logged) = BROKEN.admit() {
        warn!(how, not_logged, "closed a check stream: the filter sent an invalid message");
    }
    Status::invalid_argument(how)
}
