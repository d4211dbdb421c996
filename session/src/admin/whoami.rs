//! `/v1/whoami`: what the service takes the caller for.

use crate::admins::{Caller, Subject};
use axum::Json;
use serde::Serialize;

#[derive(Serialize)]
pub(super) struct View {
    name: String,
    scopes: Vec<&'static str>,
    /// Absent when it is not known who the caller is as a user.
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<SubjectView>,
}

#[derive(Serialize)]
struct SubjectView {
    issuer: String,
    sub: String,
}

pub(super) async fn read(caller: Caller) -> Json<View> {
    let subject = |Subject { issuer, sub }| SubjectView { issuer: issuer.to_string(), sub: sub.to_string() };
    Json(View {
        name: caller.name.to_string(),
        scopes: caller.scopes.names().collect(),
        subject: caller.subject.map(subject),
    })
}
