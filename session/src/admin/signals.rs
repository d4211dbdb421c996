//! `/v1/signals`: the transmitters of signals, and what has become of what they sent.

use super::problem::{Code, Problem};
use crate::service::Service;
use crate::signals::{StatusView, Transmitter};
use axum::Json;
use axum::extract::{Path, State};
use serde::Serialize;
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

pub(super) async fn read(
    State(service): State<Arc<Service>>,
    Path(name): Path<String>,
) -> Result<Json<StatusView>, Problem> {
    let found = service.signals.iter().find(|transmitter| transmitter.name() == name);
    let found = found.ok_or_else(|| Problem::new(Code::NotFound, "there is no transmitter with that name"))?;
    Ok(Json(shown(&service, found, service.clock.now_ms())))
}
