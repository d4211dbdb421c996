//! `/v1/grants`: the grants that have come of requests.

use super::body::{Input, query};
use super::page::{given, limit_of, next};
use super::problem::Problem;
use super::requests::{RequestView, decide};
use super::sessions::id_of;
use crate::admins::Caller;
use crate::approvals::{AccessRequest, Decision};
use crate::service::Service;
use axum::Json;
use axum::extract::{Path, State};
use axum::http::Uri;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Listing {
    session: Option<String>,
    /// `true`: with those that have ended.
    ended: Option<String>,
    limit: Option<String>,
    cursor: Option<String>,
}

#[derive(Serialize)]
pub(super) struct ListView {
    /// Each grant within its request.
    grants: Vec<RequestView>,
    /// The cursor of the next page, when there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

/// The requests with a grant, the newest first; only those whose grant has not ended, unless others are asked for too.
pub(super) async fn list(State(service): State<Arc<Service>>, uri: Uri) -> Result<Json<ListView>, Problem> {
    let Listing { session, ended, limit, cursor } = query(&uri)?;
    let session = given(session).map(|id| id_of(&id)).transpose()?;
    let with_ended = match given(ended).as_deref() {
        None | Some("false") => false,
        Some("true") => true,
        Some(_) => return Err(Problem::invalid("query: `ended` must be `true` or `false`")),
    };
    let is_wanted = |request: &AccessRequest| {
        let is_live = request.grant.as_ref().map(|grant| grant.ended.is_none());
        is_live.is_some_and(|is_live| is_live || with_ended) && session.is_none_or(|id| request.session == id)
    };
    let (page, has_more) = service.registry.requests_page(given(cursor).as_deref(), limit_of(limit)?, is_wanted);
    let next = next(&page, has_more);
    Ok(Json(ListView { grants: page.into_iter().map(|(_, request)| request.into()).collect(), next }))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Revoke {
    #[serde(default)]
    comment: String,
}

/// Ends a grant: the next request that needs it is refused, and open ones are cut.
pub(super) async fn revoke(
    caller: Caller,
    State(service): State<Arc<Service>>,
    Path(id): Path<String>,
    Input(input): Input<Revoke>,
) -> Result<Json<RequestView>, Problem> {
    decide(&service, caller, id, Decision::Revoke, input.comment).await
}
