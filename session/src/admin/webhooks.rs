//! `/v1/webhooks/undelivered`: the messages that webhooks did not take.

use super::page::{Asked, next};
use super::problem::Problem;
use crate::clock::rfc3339;
use crate::notices::Notice;
use crate::service::Service;
use crate::webhooks::{AUDIT_CHECKPOINT, Stuck, TYPE_PREFIX};
use axum::Json;
use axum::extract::State;
use axum::http::Uri;
use serde::Serialize;
use std::sync::Arc;

/// A message as the admin API shows it.
#[derive(Serialize)]
struct UndeliveredView {
    /// The value of `webhook-id`.
    id: String,
    webhook: String,
    r#type: String,
    /// Absent for checkpoints of the audit log.
    #[serde(skip_serializing_if = "Option::is_none")]
    request: Option<String>,
    timestamp: String,
    attempts: u32,
    /// Absent when it was given up.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_attempt_at: Option<String>,
    given_up: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

impl UndeliveredView {
    fn of(request: String, notice: Notice) -> Self {
        Self {
            id: notice.key(&request).id(),
            webhook: notice.webhook,
            r#type: format!("{TYPE_PREFIX}{}", notice.event.as_str()),
            request: Some(request),
            timestamp: rfc3339(notice.at_ms),
            attempts: notice.attempts,
            next_attempt_at: (!notice.given_up).then(|| rfc3339(notice.next_at_ms)),
            given_up: notice.given_up,
            error: notice.error,
        }
    }
}

impl From<Stuck> for UndeliveredView {
    fn from(stuck: Stuck) -> Self {
        Self {
            id: stuck.id,
            webhook: stuck.webhook,
            r#type: format!("{TYPE_PREFIX}{AUDIT_CHECKPOINT}"),
            request: None,
            timestamp: rfc3339(stuck.at_ms),
            attempts: stuck.attempts,
            next_attempt_at: Some(rfc3339(stuck.next_at_ms)),
            given_up: false,
            error: Some(stuck.error),
        }
    }
}

#[derive(Serialize)]
pub(super) struct ListView {
    undelivered: Vec<UndeliveredView>,
    /// The cursor of the next page, when there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

/// The newest first.
pub(super) async fn undelivered(State(service): State<Arc<Service>>, uri: Uri) -> Result<Json<ListView>, Problem> {
    let Asked { limit, after } = Asked::of(&uri)?;
    let keyed = |at_ms: u64, view: UndeliveredView| (format!("{at_ms:012x}_{}_{}", view.id, view.webhook), view);
    let stuck = service.webhooks.stuck().map(|stuck| keyed(stuck.at_ms, stuck.into()));
    let notices = service.registry.undelivered().into_iter();
    let notices = notices.map(|(request, notice)| keyed(notice.at_ms, UndeliveredView::of(request, notice)));
    let is_after = |key: &String| after.as_ref().is_none_or(|after| key < after);
    let mut page: Vec<_> = notices.chain(stuck).filter(|(key, _)| is_after(key)).collect();
    page.sort_by(|(one, _), (other, _)| other.cmp(one));
    let has_more = page.len() > limit;
    page.truncate(limit);
    let next = next(&page, has_more);
    Ok(Json(ListView { undelivered: page.into_iter().map(|(_, view)| view).collect(), next }))
}

/// Counts them for the metrics.
pub(super) fn count(service: &Service) {
    let stuck = service.webhooks.stuck();
    for webhook in service.webhooks.names() {
        let is_stuck = stuck.as_ref().is_some_and(|stuck| stuck.webhook == webhook);
        let count = service.registry.notices_of(webhook, |_| true) + usize::from(is_stuck);
        service.metrics.webhooks.undelivered(webhook, count);
    }
}
