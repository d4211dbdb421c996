//! The desk on the network: the gRPC service of the check stream.

use super::desk::{Answers, Broken, Desk};
use crate::service::Service;
use crate::wire::session_check_server::SessionCheck;
use crate::wire::{FilterMessage, ServiceMessage, Welcome};
use futures_util::stream::{Stream, unfold};
use std::future::pending;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;
use tonic::{Request, Response, Status, Streaming};
use tracing::warn;

/// How long a stream goes on after the filter was told that the service is about to stop.
pub(crate) const DRAIN_MAX: Duration = Duration::from_secs(10);

/// How long a stream sleeps at most while a limit is ahead: the clock may be set meanwhile.
const SLEEP_MAX: Duration = Duration::from_secs(10);

/// The service of the check listener.
#[derive(Clone)]
pub struct Checks(pub Arc<Service>);

type Outbound = Pin<Box<dyn Stream<Item = Result<ServiceMessage, Status>> + Send>>;

#[tonic::async_trait]
impl SessionCheck for Checks {
    type CheckStream = Outbound;

    async fn check(&self, request: Request<Streaming<FilterMessage>>) -> Result<Response<Outbound>, Status> {
        let service = &self.0;
        let peer = request.extensions().get::<crate::serve::Peer>().map(|peer| peer.0);
        let (metadata, _, inbound) = request.into_parts();
        let is_known = |credential: &crate::credential::Credential| credential.is_presented(&metadata.into_headers());
        if !service.filter_credential.as_ref().is_none_or(is_known) {
            service.book.audit.metrics.unauthenticated_checks.inc();
            let peer = peer.map(tracing::field::display);
            warn!(peer, "refused a check stream: its credential is missing or wrong");
            return Err(Status::unauthenticated("the credential is missing or wrong"));
        }
        let talk = Box::new(Talk::new(Arc::clone(service), inbound));
        let answers = unfold(Some(talk), |talk| async { talk?.next().await });
        Ok(Response::new(Box::pin(answers)))
    }
}

/// One stream while it is open.
struct Talk {
    service: Arc<Service>,
    inbound: Streaming<FilterMessage>,
    desk: Desk,
    draining: watch::Receiver<bool>,
    /// Until when it goes on once the filter has been told that the service is about to stop.
    drains_until: Option<Instant>,
}

/// What a stream has to do next.
#[expect(
    clippy::large_enum_variant,
    reason = "one for each stream, for a moment: a box would be made for each message"
)]
enum Task {
    Answer(Result<Option<FilterMessage>, Status>),
    /// A followed session changed, or a limit is due.
    Look,
    TellDrain,
    Leave,
}

/// A talk is moved into and out of each step: it is boxed, for it is large.
type Next = Option<(Result<ServiceMessage, Status>, Option<Box<Talk>>)>;

impl Talk {
    fn new(service: Arc<Service>, inbound: Streaming<FilterMessage>) -> Self {
        service.book.audit.metrics.streams.inc();
        let (desk, draining) = (Desk::new(Arc::clone(&service.book)), service.draining.clone());
        Self { service, inbound, desk, draining, drains_until: None }
    }

    /// The next message to the filter. All questions of one message are answered together: while the answer is on its
    /// way, the filter gathers the next ones.
    async fn next(mut self: Box<Self>) -> Next {
        loop {
            let said = match self.task().await {
                Task::Answer(Ok(Some(message))) => self.answer(message).await,
                Task::Answer(Ok(None)) | Task::Leave => return None,
                Task::Answer(Err(status)) => Err(status),
                Task::Look => self.look().await,
                Task::TellDrain => {
                    self.drains_until = Some(Instant::now() + DRAIN_MAX);
                    Ok(ServiceMessage { drain: true, ..ServiceMessage::default() })
                }
            };
            match said {
                Err(status) => return Some((Err(status), None)),
                Ok(message) if message == ServiceMessage::default() => {}
                Ok(message) => return Some((Ok(message), Some(self))),
            }
        }
    }

    /// Waits for something to do. What is dropped when another is first takes nothing with it.
    async fn task(&mut self) -> Task {
        let Self { service, inbound, desk, draining, drains_until } = self;
        let until_due_ms = desk.due_ms().map(|due_ms| due_ms.saturating_sub(service.clock.now_ms()));
        // The welcome is first.
        let is_to_be_told = desk.is_greeted() && drains_until.is_none();
        tokio::select! {
            biased;
            () = desk.mailbox().rings() => Task::Look,
            // It ends with `true`, or with the service itself.
            _ = draining.wait_for(|draining| *draining), if is_to_be_told => Task::TellDrain,
            message = inbound.message() => Task::Answer(message),
            () = pass(until_due_ms) => Task::Look,
            // After the messages: what has arrived by then is answered.
            () = until(*drains_until) => Task::Leave,
        }
    }

    async fn answer(&mut self, message: FilterMessage) -> Result<ServiceMessage, Status> {
        let answers = self.desk.read(message, self.service.clock.now_ms()).map_err(broken)?;
        Ok(self.say(answers).await)
    }

    async fn look(&mut self) -> Result<ServiceMessage, Status> {
        let answers = self.desk.look(self.service.clock.now_ms()).map_err(broken)?;
        Ok(self.say(answers).await)
    }

    async fn say(&self, answers: Answers) -> ServiceMessage {
        self.service.bury(answers.to_bury).await;
        let welcome = answers.welcome.then(|| Welcome { service_version: env!("CARGO_PKG_VERSION").to_owned() });
        ServiceMessage { verdicts: answers.verdicts, welcome, followed: answers.followed, drain: false }
    }
}

/// Waits so long, or for ever; at most as long as a clock that is set forward may go unnoticed.
async fn pass(ms: Option<u64>) {
    match ms {
        Some(ms) => tokio::time::sleep(Duration::from_millis(ms).min(SLEEP_MAX)).await,
        None => pending().await,
    }
}

async fn until(instant: Option<Instant>) {
    match instant {
        Some(instant) => tokio::time::sleep_until(instant).await,
        None => pending().await,
    }
}

impl Drop for Talk {
    fn drop(&mut self) {
        self.service.book.audit.metrics.streams.dec();
    }
}

fn broken(broken: Broken) -> Status {
    match broken {
        Broken::Contract(how) => {
            warn!(how, "closed a check stream: the filter broke the contract");
            Status::invalid_argument(how)
        }
        Broken::Store(error) => {
            tracing::error!(%error, "closed a check stream: the store could not read");
            Status::unavailable("the store could not read")
        }
    }
}
