//! `/v1/revocations`: not-before rules.

use super::App;
use super::body::{Input, Moment};
use super::problem::Problem;
use crate::clock::rfc3339;
use crate::rules::{Rule, Whom};
use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Revocation {
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

pub(super) async fn make(State(service): App, Input(input): Input<Revocation>) -> Result<Json<Made>, Problem> {
    let whom = match (input.subject, input.client_id) {
        (None, None) => Whom::Everyone,
        (Some(subject), None) => Whom::Subject(subject),
        (None, Some(client)) => Whom::Client(client),
        (Some(_), Some(_)) => {
            return Err(Problem::invalid("body: either `subject` or `client_id`, not both"));
        }
    };
    let is_named = match &whom {
        Whom::Everyone => true,
        Whom::Subject(name) | Whom::Client(name) => !name.is_empty(),
    };
    if input.issuer.is_empty() || !is_named {
        return Err(Problem::invalid("body: `issuer`, `subject` and `client_id` may not be empty"));
    }
    let made_at_ms = service.clock.now_ms();
    let rule = Rule {
        issuer: input.issuer,
        whom,
        // "Now" takes in what started within this very millisecond: it was there when the caller asked.
        before_ms: input.before.map_or(made_at_ms.saturating_add(1), |moment| moment.ms),
        made_at_ms,
    };
    let before = rfc3339(rule.before_ms);
    let revoked = service.writer.make_rule(rule).await?;
    Ok(Json(Made { revoked, before }))
}
