//! A look at the stream of a transmitter: it is found or made, and kept as it has to be.

use super::super::carry_out::cut;
use super::super::keys::Endpoints;
use super::super::transmitter::Transmitter;
use super::api::Created;
use super::deletion::was_deleted;
use super::managed::{Desk, Known, Managed, State};
use super::{Delivery, Status, Stream};
use crate::audit::Actor;
use crate::service::Service;
use std::sync::Arc;
use tracing::{info, warn};

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

/// The stream as it is kept.
struct Settled {
    stream: Stream,
    accepted: Option<Stream>,
    status: Option<Status>,
}

impl Managed {
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
        changed(transmitter, "created", &made.stream_id, &Actor::Nobody);
        if !ours.iter().any(|stream| stream.stream_id == made.stream_id) {
            // One that is not found again would be made again and again.
            if let Some(why) = self.wanted.differs(&made) {
                self.useless().push(made.stream_id.clone());
                self.api.delete(at, &made.stream_id)?;
                self.useless().retain(|useless| *useless != made.stream_id);
                changed(transmitter, "deleted", &made.stream_id, &Actor::Nobody);
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
            changed(transmitter, "deleted", &surplus.stream_id, &Actor::Nobody);
        }
        let mut accepted = accepted.filter(|accepted| accepted.is_like(&stream));
        if accepted.is_none()
            && let Some(changes) = self.wanted.changes(&stream)
        {
            let answered = self.api.update(at, &changes)?;
            changed(transmitter, "updated", &stream.stream_id, &Actor::Nobody);
            if let Some(answered) = answered.filter(|answered| answered.stream_id == stream.stream_id) {
                stream = answered;
            }
            accepted = Some(stream.clone());
        }
        let status = self.api.status(at, &stream.stream_id)?;
        Ok(Settled { stream, accepted, status })
    }
}

/// Audits a change of a stream.
pub(super) fn changed(transmitter: &str, change: &str, stream: &str, actor: &Actor) {
    let by = if actor.admin().is_some() { "admin" } else { "service" };
    info!(
        target: "audit", event = "stream_changed", transmitter, change, stream = cut(stream), by, admin = actor.admin(),
    );
}
