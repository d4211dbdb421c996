//! The desk on the network: the gRPC service of the check stream.

use super::desk::{Broken, Desk};
use crate::service::Service;
use crate::wire::session_check_server::SessionCheck;
use crate::wire::{FilterMessage, ServiceMessage, Welcome};
use futures_util::stream::{Stream, unfold};
use std::pin::Pin;
use std::sync::Arc;
use tokio::sync::watch;
use tonic::{Request, Response, Status, Streaming};
use tracing::warn;

/// The service of the check listener.
#[derive(Clone)]
pub struct Checks(pub Arc<Service>);

type Answers = Pin<Box<dyn Stream<Item = Result<ServiceMessage, Status>> + Send>>;

#[tonic::async_trait]
impl SessionCheck for Checks {
    type CheckStream = Answers;

    async fn check(&self, request: Request<Streaming<FilterMessage>>) -> Result<Response<Answers>, Status> {
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
        let talk = Talk::new(Arc::clone(service), inbound);
        let answers = unfold(Some(talk), |talk| async { talk?.next().await });
        Ok(Response::new(Box::pin(answers)))
    }
}

/// One stream while it is open.
struct Talk {
    service: Arc<Service>,
    inbound: Streaming<FilterMessage>,
    desk: Desk,
    stop: watch::Receiver<bool>,
}

type Next = Option<(Result<ServiceMessage, Status>, Option<Talk>)>;

impl Talk {
    fn new(service: Arc<Service>, inbound: Streaming<FilterMessage>) -> Self {
        service.book.audit.metrics.streams.inc();
        Self { desk: Desk::new(Arc::clone(&service.book)), stop: service.stop.clone(), service, inbound }
    }

    /// The answer to the next message that has a hello or questions. All of them are answered together: while the answer is on
    /// its way, the filter gathers the next ones.
    async fn next(mut self) -> Next {
        loop {
            let message = tokio::select! {
                biased;
                // It ends with `true`, or with the service itself.
                _ = self.stop.wait_for(|stop| *stop) => {
                    return Some((Err(Status::unavailable("the service is stopping")), None));
                }
                message = self.inbound.message() => message,
            };
            match message {
                Ok(None) => return None,
                Err(status) => return Some((Err(status), None)),
                Ok(Some(message)) => match self.answer(message).await {
                    Err(status) => return Some((Err(status), None)),
                    Ok(answer) if answer == ServiceMessage::default() => {}
                    Ok(answer) => return Some((Ok(answer), Some(self))),
                },
            }
        }
    }

    async fn answer(&mut self, message: FilterMessage) -> Result<ServiceMessage, Status> {
        let now_ms = self.service.clock.now_ms();
        let answers = self.desk.read(message, now_ms).map_err(broken)?;
        for session in answers.to_bury {
            if let Err(error) = self.service.writer.bury(session).await {
                // The verdict is a refusal, which memory keeps: it stands without the disk.
                warn!(?error, "the tombstone of a session is not written yet");
            }
        }
        let welcome = answers.welcome.then(|| Welcome { service_version: env!("CARGO_PKG_VERSION").to_owned() });
        Ok(ServiceMessage { verdicts: answers.verdicts, welcome, ..ServiceMessage::default() })
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
