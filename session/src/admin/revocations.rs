//! `/v1/revocations`: revocations of a whole party.

use super::body::{Input, Moment};
use super::problem::Problem;
use crate::clock::rfc3339;
use crate::revocations::{Revocation, RevokedParty};
use crate::service::Service;
use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Asked {
    issuer: String,
    subject: Option<String>,
    client_id: Option<String>,
    before: Option<Moment>,
}

#[derive(Serialize)]
pub(super) struct Made {
    /// Live sessions that it ended.
    revoked: usize,
    before: String,
}

pub(super) async fn make(
    State(service): State<Arc<Service>>,
    Input(input): Input<Asked>,
) -> Result<Json<Made>, Problem> {
    let party = match (input.subject, input.client_id) {
        (None, None) => RevokedParty::Everyone,
        (Some(subject), None) => RevokedParty::Subject(subject),
        (None, Some(client)) => RevokedParty::Client(client),
        (Some(_), Some(_)) => {
            return Err(Problem::invalid("body: either `subject` or `client_id`, not both"));
        }
    };
    let is_named = match &party {
        RevokedParty::Everyone => true,
        RevokedParty::Subject(name) | RevokedParty::Client(name) => !name.is_empty(),
    };
    if input.issuer.is_empty() || !is_named {
        return Err(Problem::invalid("body: `issuer`, `subject` and `client_id` must not be empty"));
    }
    let made_at_ms = service.clock.now_ms();
    let ends_at_ms = service.registry.instant_of(&input.issuer, &party, made_at_ms);
    let revocation = Revocation {
        issuer: input.issuer,
        party,
        before_ms: input.before.map_or(ends_at_ms, |moment| moment.ms),
        made_at_ms,
        ends_at_ms,
    };
    let before = rfc3339(revocation.before_ms);
    let revoked = service.writer.revoke_party(revocation).await?;
    Ok(Json(Made { revoked, before }))
}
