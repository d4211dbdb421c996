//! `/v1/filters`: the filters that are connected.

use crate::clock::rfc3339;
use crate::service::Service;
use axum::Json;
use axum::extract::State;
use serde::Serialize;
use std::sync::Arc;

#[derive(Serialize)]
pub(super) struct FiltersView {
    filters: Vec<FilterView>,
}

#[derive(Serialize)]
struct FilterView {
    address: String,
    version: String,
    policy_digest: String,
    streams: usize,
    connected_at: String,
}

pub(super) async fn list(State(service): State<Arc<Service>>) -> Json<FiltersView> {
    let filters = service.filters.list().into_iter().map(|(filter, streams)| FilterView {
        address: filter.address.to_string(),
        version: filter.version,
        policy_digest: filter.policy_digest,
        streams: streams.count,
        connected_at: rfc3339(streams.since_ms),
    });
    Json(FiltersView { filters: filters.collect() })
}
