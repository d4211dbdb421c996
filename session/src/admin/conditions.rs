//! `/v1/conditions`: the conditions that are in force, and to have them read again.

use super::problem::{Code, Problem};
use crate::admins::Caller;
use crate::clock::rfc3339;
use crate::conditions::{self, InForce};
use crate::service::Service;
use axum::Json;
use axum::extract::State;
use serde::Serialize;
use std::sync::Arc;

#[derive(Serialize)]
pub(super) struct ConditionsView {
    digest: String,
    policies: usize,
    mode: &'static str,
    since: String,
    /// What is wrong with the directory, if it was changed and could not be taken.
    faults: Vec<String>,
}

#[derive(Serialize)]
pub(super) struct ReloadedView {
    digest: String,
    policies: usize,
}

/// What is in force.
pub(super) async fn read(State(service): State<Arc<Service>>) -> Result<Json<ConditionsView>, Problem> {
    let conditions = service.conditions.as_ref().ok_or_else(none)?;
    let InForce { digest, policies, mode, since_ms, faults } = conditions.in_force();
    Ok(Json(ConditionsView { digest, policies, mode: mode.as_str(), since: rfc3339(since_ms), faults }))
}

/// Reads them again. They are in force when this is answered, for every stream of this replica.
pub(super) async fn reload(caller: Caller, State(service): State<Arc<Service>>) -> Result<Json<ReloadedView>, Problem> {
    if service.conditions.is_none() {
        return Err(none());
    }
    match conditions::reload(&service, caller.actor()).await {
        Ok(InForce { digest, policies, .. }) => {
            service.writer.unleased().await;
            Ok(Json(ReloadedView { digest, policies }))
        }
        Err(faults) => {
            Err(Problem::unprocessable("the conditions have faults: those before them stay in force")
                .with_faults(faults))
        }
    }
}

fn none() -> Problem {
    Problem::new(Code::NotFound, "there are no conditions: `conditions` is not in session.yaml")
}
