//! `/v1/replicas`: the replicas that share the store.

use super::problem::{Code, Problem};
use crate::replica::{Peer, State};
use crate::service::Service;
use axum::Json;
use axum::extract;
use serde::Serialize;
use std::sync::Arc;

#[derive(Serialize)]
pub(super) struct ReplicasView {
    /// Why this replica gives no verdicts.
    #[serde(skip_serializing_if = "Option::is_none")]
    not_serving: Option<String>,
    /// As of this replica's last beat.
    replicas: Vec<ReplicaView>,
}

#[derive(Serialize)]
struct ReplicaView {
    run: String,
    name: String,
    version: String,
    /// The digest of the conditions that it judges by.
    #[serde(skip_serializing_if = "Option::is_none")]
    conditions: Option<String>,
    /// Whether it is the one that answers.
    answers: bool,
    applied: u64,
    /// For how long it is waited for: its serve lease, and its longest lease for filters.
    serve_lease_ms: u64,
    beaten_ago_ms: u64,
}

pub(super) async fn list(extract::State(service): extract::State<Arc<Service>>) -> Result<Json<ReplicasView>, Problem> {
    let Some(barrier) = &service.barrier else {
        return Err(Problem::new(Code::NotFound, "the store is embedded: it has no replicas"));
    };
    let not_serving = match service.registry.lease().state() {
        State::Serving(_) => None,
        State::Out(why) => Some(why),
    };
    let replicas = barrier.peers().iter().map(|peer| view(peer, barrier.run())).collect();
    Ok(Json(ReplicasView { not_serving, replicas }))
}

fn view(peer: &Peer, own: &str) -> ReplicaView {
    ReplicaView {
        run: peer.run.clone(),
        name: peer.name.clone(),
        version: peer.release().to_owned(),
        conditions: peer.conditions().map(str::to_owned),
        answers: peer.run == own,
        applied: peer.settled,
        serve_lease_ms: peer.relied_on_ms,
        beaten_ago_ms: peer.beaten_ago_ms,
    }
}
