//! What an operator does with the stream of a transmitter.

use super::super::transmitter::Transmitter;
use super::Status;
use super::api::Verification;
use super::deletion::{forget_deletion, remember_deletion};
use super::look::{Making, changed};
use super::managed::{Desk, Managed, State};
use crate::audit::Actor;
use crate::service::Service;
use std::sync::Arc;
use std::time::Duration;
use tracing::warn;

/// How long a command waits for what is being done about the stream: longer than it may take as a rule.
const WAIT_MAX: Duration = Duration::from_secs(20);

/// A command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Command {
    /// Asks for a verification event.
    Verify,
    /// Has the transmitter keep what happens.
    Pause,
    /// Has it deliver again; makes the stream again if it was deleted.
    Resume,
    /// Deletes the stream, and makes no other.
    Delete,
}

impl Command {
    /// All of them, by the names that callers use.
    const ALL: [(&'static str, Self); 4] =
        [("verify", Self::Verify), ("pause", Self::Pause), ("resume", Self::Resume), ("delete", Self::Delete)];

    /// The command of that name.
    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(known, _)| *known == name).map(|(_, command)| *command)
    }
}

/// Why a command was not carried out. The text is for the operator.
#[derive(Debug)]
pub(crate) enum NotDone {
    /// There is no such transmitter.
    Unknown,
    /// Its stream is not managed.
    NotManaged,
    /// It has no stream.
    NoStream,
    /// The store failed.
    Store(&'static str),
    /// The transmitter failed.
    Failed(String),
}

impl From<String> for NotDone {
    fn from(why: String) -> Self {
        Self::Failed(why)
    }
}

/// Carries a command out, also where the caller does not wait for it.
pub(crate) async fn command(
    service: &Arc<Service>,
    name: &str,
    command: Command,
    reason: Option<String>,
    actor: Actor,
) -> Result<(), NotDone> {
    let number = service.signals.iter().position(|transmitter| transmitter.name() == name).ok_or(NotDone::Unknown)?;
    let service = Arc::clone(service);
    let done = tokio::spawn(async move {
        let transmitter = service.signals.get(number).ok_or(NotDone::Unknown)?;
        let managed = transmitter.managed.as_ref().ok_or(NotDone::NotManaged)?;
        let desk = tokio::time::timeout(WAIT_MAX, managed.desk.lock()).await;
        let mut desk = desk.map_err(|_| "the transmitter does not answer in time".to_owned())?;
        let on = On { service: &service, transmitter, managed, reason: reason.as_deref(), actor };
        let done = match command {
            Command::Verify => on.verify(&mut desk).await,
            Command::Pause => on.pause(&mut desk).await,
            Command::Resume => on.resume(&mut desk).await,
            Command::Delete => on.delete(&mut desk).await,
        };
        if done.is_err() {
            // The stream may be another one by now.
            transmitter.look_at_stream();
        }
        done
    });
    done.await.unwrap_or_else(|_| Err(NotDone::Failed("the command was aborted".to_owned())))
}

/// What a command is about.
struct On<'a> {
    service: &'a Service,
    transmitter: &'a Transmitter,
    managed: &'a Arc<Managed>,
    reason: Option<&'a str>,
    actor: Actor,
}

impl On<'_> {
    async fn verify(&self, desk: &mut Desk) -> Result<(), NotDone> {
        let id = self.stream(desk).await?;
        let at = self.managed.endpoints(self.transmitter)?;
        match self.managed.verify(self.service, &at, desk, id).await? {
            Verification::Asked => Ok(()),
            Verification::TooOften => {
                Err(NotDone::Failed("the transmitter refuses to send another verification event so soon".to_owned()))
            }
        }
    }

    async fn pause(&self, desk: &mut Desk) -> Result<(), NotDone> {
        let id = self.stream(desk).await?;
        self.set_status("paused", &id).await?;
        *self.managed.state() = State::Kept(Some(Status::Paused { reason: self.reason.map(str::to_owned) }));
        changed(self.transmitter.name(), "paused", &id, &self.actor);
        Ok(())
    }

    async fn resume(&self, desk: &mut Desk) -> Result<(), NotDone> {
        desk.is_deleted = false;
        let look = self.managed.look(self.service, self.transmitter, desk, Making::Always).await?;
        let look = look.ok_or(NotDone::NoStream)?;
        forget_deletion(self.service, self.transmitter, &look.id).await.map_err(NotDone::Store)?;
        if !look.is_new {
            // What is presented may have changed, which most transmitters do not show.
            if let Some(presentation) = self.managed.wanted.presentation(&look.id) {
                let at = self.managed.endpoints(self.transmitter)?;
                self.managed.on_a_thread(&at, move |managed, at| managed.api.update(at, &presentation)).await?;
            }
            self.set_status("enabled", &look.id).await?;
            *self.managed.state() = State::Kept(Some(Status::Enabled));
        }
        changed(self.transmitter.name(), "resumed", &look.id, &self.actor);
        self.transmitter.look_at_stream();
        Ok(())
    }

    async fn delete(&self, desk: &mut Desk) -> Result<(), NotDone> {
        let at = self.managed.endpoints(self.transmitter)?;
        let ours = self.managed.on_a_thread(&at, |managed, at| managed.list(at)).await?;
        for stream in ours {
            let id = stream.stream_id;
            // Before the stream is gone: another replica that misses it must not make another.
            remember_deletion(self.service, self.transmitter, &id).await.map_err(NotDone::Store)?;
            let deleted = id.clone();
            let done = self.managed.on_a_thread(&at, move |managed, at| managed.api.delete(at, &deleted)).await;
            if let Err(error) = done {
                if let Err(why) = forget_deletion(self.service, self.transmitter, &id).await {
                    warn!(
                        transmitter = self.transmitter.name(),
                        why, "the stream counts as deleted until it is resumed"
                    );
                }
                return Err(error.into());
            }
            changed(self.transmitter.name(), "deleted", &id, &self.actor);
        }
        desk.is_deleted = true;
        self.managed.gone(State::Deleted);
        Ok(())
    }

    /// The id of our stream.
    async fn stream(&self, desk: &mut Desk) -> Result<String, NotDone> {
        if let Some(id) = self.managed.known_id() {
            return Ok(id);
        }
        let look = self.managed.look(self.service, self.transmitter, desk, Making::Never).await?;
        look.map(|look| look.id).ok_or(NotDone::NoStream)
    }

    async fn set_status(&self, status: &'static str, id: &str) -> Result<(), NotDone> {
        let at = self.managed.endpoints(self.transmitter)?;
        let (id, reason) = (id.to_owned(), self.reason.map(str::to_owned));
        let set = move |managed: &Managed, at: &_| managed.api.set_status(at, &id, status, reason.as_deref());
        Ok(self.managed.on_a_thread(&at, set).await?)
    }
}
