//! A session as the admin API shows it.

use super::attributes::AttributeView;
use super::blocks::BlockView;
use super::scopes::NarrowingView;
use crate::clock::rfc3339;
use crate::registry::Registry;
use crate::store::Record;
use serde::Serialize;

#[derive(Serialize)]
pub(super) struct SessionView {
    id: String,
    issuer: String,
    kind: &'static str,
    key: String,
    subject: String,
    client_id: String,
    access: String,
    state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    /// Whether a block of its party refuses its requests. That ends no session, so it is not a state.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    blocked: bool,
    /// The blocks of its party; only in an answer about this session alone.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) blocks: Vec<BlockView>,
    scopes: Vec<String>,
    granted: Vec<String>,
    /// What is taken from its party; only in an answer about this session alone.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) narrowings: Vec<NarrowingView>,
    /// What is known about it, its device and its subject; likewise.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) attributes: Vec<AttributeView>,
    opened_at: String,
    login_at: String,
    last_seen_at: String,
    /// `null` when its access type has no absolute limit.
    expires_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    idle_expires_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ended_at: Option<String>,
}

impl From<Record> for SessionView {
    fn from(record: Record) -> Self {
        let after = |from: u64, limit: Option<u64>| limit.map(|ms| rfc3339(from.saturating_add(ms)));
        let is_active = record.ended.is_none();
        Self {
            id: record.id().to_string(),
            state: if is_active { "active" } else { "ended" },
            reason: record.ended.map(|end| end.reason.as_str()),
            blocked: false,
            blocks: Vec::new(),
            opened_at: rfc3339(record.opened_at_ms),
            login_at: rfc3339(record.marks.login_at_ms),
            last_seen_at: rfc3339(record.marks.last_seen_ms),
            expires_at: after(record.marks.login_at_ms, record.absolute_ms),
            idle_expires_at: after(record.marks.last_seen_ms, record.idle_ms).filter(|_| is_active),
            ended_at: record.ended.map(|end| rfc3339(end.at_ms)),
            issuer: record.issuer,
            kind: record.kind.as_str(),
            key: record.key,
            subject: record.subject,
            client_id: record.client_id,
            access: record.access,
            scopes: record.scopes,
            granted: record.granted,
            narrowings: Vec::new(),
            attributes: Vec::new(),
        }
    }
}

impl SessionView {
    /// A session, with what blocks of its party make of it at `now_ms`.
    pub(super) fn of(record: Record, registry: &Registry, now_ms: u64) -> Self {
        let blocked = registry.is_blocked(record.bearer(), now_ms);
        Self { blocked, ..record.into() }
    }
}

/// A page of sessions.
#[derive(Serialize)]
pub(super) struct ListView {
    pub(super) sessions: Vec<SessionView>,
    /// The cursor of the next page, when there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) next: Option<String>,
}
