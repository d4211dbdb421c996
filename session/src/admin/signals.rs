//! `/v1/signals`: the transmitters of signals, and what has become of what they sent.

use super::body::Input;
use super::problem::{Code, Problem};
use crate::admins::Caller;
use crate::service::Service;
use crate::signals::{self, Command, StatusView, Transmitter};
use axum::Json;
use axum::extract::{Path, State};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

#[derive(Serialize)]
pub(super) struct ListView {
    transmitters: Vec<StatusView>,
}

pub(super) async fn list(State(service): State<Arc<Service>>) -> Json<ListView> {
    let now_ms = service.clock.now_ms();
    Json(ListView {
        transmitters: service.signals.iter().map(|transmitter| shown(&service, transmitter, now_ms)).collect(),
    })
}

fn shown(service: &Service, transmitter: &Transmitter, now_ms: u64) -> StatusView {
    transmitter.view(service.registry.held_of(transmitter.name()), now_ms)
}

/// The longest reason, in bytes: the transmitter keeps it.
const REASON_BYTES_MAX: usize = 256;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Reason {
    reason: Option<String>,
}

/// Does something about the stream of a transmitter.
pub(super) async fn command(
    caller: Caller,
    State(service): State<Arc<Service>>,
    Path((name, command)): Path<(String, String)>,
    Input(Reason { reason }): Input<Reason>,
) -> Result<Json<StatusView>, Problem> {
    let unknown = || Problem::new(Code::NotFound, format!("there is no command `{command}` for a stream"));
    let command = Command::named(&command).ok_or_else(unknown)?;
    if reason.as_ref().is_some_and(|reason| reason.len() > REASON_BYTES_MAX) {
        return Err(Problem::invalid(format!("body: `reason` has more than {REASON_BYTES_MAX} bytes")));
    }
    signals::command(&service, &name, command, reason, caller.actor()).await?;
    read(State(service), Path(name)).await
}

pub(super) async fn read(
    State(service): State<Arc<Service>>,
    Path(name): Path<String>,
) -> Result<Json<StatusView>, Problem> {
    let found = service.signals.iter().find(|transmitter| transmitter.name() == name);
    let found = found.ok_or_else(|| Problem::new(Code::NotFound, "there is no transmitter with that name"))?;
    Ok(Json(shown(&service, found, service.clock.now_ms())))
}
