//! Global Token Revocation (draft-parecki-oauth-global-token-revocation): an identity provider, or whoever manages
//! incidents, has everything of a user revoked.

use super::action::Action;
use super::answer::Refusal;
use super::effects::{Arrival, Parties, Without};
use super::event::Event;
use super::push::{Named, apply, report};
use super::status::Fate;
use super::subject::Subject;
use super::transmitter::Transmitter;
use crate::service::Service;
use serde_json::{Map, Value, json};
use std::sync::Arc;
use tracing::info;

/// Receives a revocation: `{"sub_id": …}`.
pub(super) async fn receive(service: &Arc<Service>, transmitter: &Transmitter, body: &[u8]) -> Result<(), Refusal> {
    let received = accept(service, transmitter, body).await;
    report(service, transmitter, received)
}

async fn accept(service: &Arc<Service>, transmitter: &Transmitter, body: &[u8]) -> Result<Fate, Refusal> {
    let now_ms = service.clock.now_ms();
    let Ok(Value::Object(members)) = serde_json::from_slice(body) else {
        return Err(Refusal::request("the body is not a JSON object"));
    };
    let subject = Subject::of(&members, &Map::new())?;
    // As a security event token with the event that says the same.
    let said = Map::from_iter([("events".to_owned(), json!({"global-token-revocation": {}}))]);
    let event = Event::of(&said)?;
    let parties = match Parties::of(&subject, &event, transmitter) {
        Ok(parties) => parties,
        Err(Without::Refused(refusal)) => return Err(refusal),
        // The answer must not tell whether there is such a user.
        Err(Without::Ignored(why)) => {
            info!(
                target: "audit", event = "signal", transmitter = transmitter.settings.name, signal = event.kind.name(),
                fate = Fate::Ignored.as_str(), why,
            );
            return Ok(Fate::Ignored);
        }
    };
    let arrival = Arrival {
        registry: &service.registry,
        transmitter: &transmitter.settings.name,
        reason: format!("{}: global token revocation", transmitter.settings.name),
        now_ms,
    };
    let effects = arrival.effects(&[Action::End], &parties);
    // Each call is one of its own.
    let named = Named { jti: None, event: event.kind.name(), actions: &[Action::End] };
    apply(service, transmitter, named, effects, 0, None).await
}
