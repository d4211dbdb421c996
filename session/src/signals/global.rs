//! Global Token Revocation (draft-parecki-oauth-global-token-revocation): an identity provider, or whoever manages
//! incidents, has everything of a user revoked.

use super::action::Action;
use super::answer::Refusal;
use super::carry_out::{carry_out, report};
use super::order::{Deed, Order};
use super::parties::{Parties, Without};
use super::status::Fate;
use super::subject::Subject;
use super::transmitter::Transmitter;
use crate::service::Service;
use serde_json::{Map, Value};
use std::sync::Arc;
use tracing::info;

/// What it is called in lists and logs.
const EVENT: &str = "global-token-revocation";

/// Receives a revocation: `{"sub_id": …}`.
pub(super) async fn receive(service: &Arc<Service>, transmitter: &Transmitter, body: &[u8]) -> Result<Fate, Refusal> {
    let received = accept(service, transmitter, body).await;
    report(service, transmitter, received)
}

async fn accept(service: &Arc<Service>, transmitter: &Transmitter, body: &[u8]) -> Result<Fate, Refusal> {
    let Ok(Value::Object(members)) = serde_json::from_slice(body) else {
        return Err(Refusal::request("the body is not a JSON object"));
    };
    let subject = Subject::of(&members, &Map::new())?;
    let parties = match Parties::of(&subject, None, &[Action::End], transmitter, &service.registry) {
        Ok(parties) => parties,
        Err(Without::Refused(refusal)) => return Err(refusal),
        // The answer must not tell whether there is such a user.
        Err(without @ (Without::Ignored(_) | Without::Foreign)) => {
            let why = without.why();
            info!(
                target: "audit", event = "signal", transmitter = transmitter.name(), signal = EVENT,
                fate = Fate::Ignored.as_str(), why,
            );
            return Ok(Fate::Ignored);
        }
    };
    let reason = format!("{}: global token revocation", transmitter.name());
    let order = Order { event: EVENT.to_owned(), deeds: vec![Deed::End], parties, reason };
    // Each call is one of its own.
    carry_out(service, transmitter, order, None, None).await
}
