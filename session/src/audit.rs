//! The audit of decisions that matter: one line each (JSON on standard output, tracing target `audit`), one event for
//! the listeners of the admin API, one count. Never a token: at most the first bytes of its digest.

use crate::clock::rfc3339;
use crate::judge::End;
use crate::metrics::{Metrics, OUTCOMES, Opened};
use crate::narrowings::Narrowing;
use crate::revocations::Revocation;
use crate::session::Session;
use crate::token::Token;
use portcullis_contract::SessionId;
use portcullis_contract::wire::Outcome;
use serde::Serialize;
use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::broadcast;
use tracing::info;

/// Events kept for a listener that reads slowly. One that falls further behind receives the number of those it missed.
const EVENTS_KEPT: usize = 1024;

/// Refusals of introspection that are remembered as reported. When there are more, all are reported once again.
const REPORTED_MAX: usize = 10_000;

/// Who ended a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EndedBy {
    /// The judge, at a question or at a read: a limit had passed.
    Judge,
    /// The cleaner: a limit had passed, and there was no question.
    Cleaner,
    /// A caller who revoked this session.
    Admin,
    /// A revocation of its subject, client or issuer.
    Revocation,
}

impl EndedBy {
    fn as_str(self) -> &'static str {
        match self {
            Self::Judge => "judge",
            Self::Cleaner => "cleaner",
            Self::Admin => "admin",
            Self::Revocation => "revocation",
        }
    }
}

/// An event of `GET /v1/events`.
#[derive(Debug, Clone, Serialize)]
pub struct Event {
    /// What happened: the event's name.
    #[serde(skip)]
    pub name: &'static str,
    id: String,
    issuer: String,
    subject: String,
    client_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    access: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    at: String,
}

/// The audit.
#[derive(Debug)]
pub struct Audit {
    metrics: Arc<Metrics>,
    events: broadcast::Sender<Event>,
    reported: Mutex<HashSet<(u64, Outcome)>>,
}

impl Audit {
    /// An audit that counts into `metrics`.
    pub fn new(metrics: Arc<Metrics>) -> Self {
        Self { metrics, events: broadcast::Sender::new(EVENTS_KEPT), reported: Mutex::default() }
    }

    /// The events from now on.
    pub fn events(&self) -> broadcast::Receiver<Event> {
        self.events.subscribe()
    }

    /// A session opened.
    pub fn opened(&self, session: &Session, by: Opened, now_ms: u64) {
        self.metrics.opened(by);
        let how = match by {
            Opened::FirstUse => "first_use",
            Opened::Explicit => "admin",
        };
        info!(
            target: "audit", event = "opened", session = %session.id, issuer = &*session.issuer,
            subject = &*session.subject, client_id = &*session.client, access = session.access.name, by = how,
            opened_at = rfc3339(session.opened_at_ms),
        );
        self.announce("opened", session, None, now_ms);
    }

    /// A session ended.
    pub fn ended(&self, session: &Session, end: End, by: EndedBy) {
        self.metrics.ended(end.reason);
        let event = if by == EndedBy::Admin { "revoked" } else { "ended" };
        info!(
            target: "audit", event, session = %session.id, issuer = &*session.issuer, subject = &*session.subject,
            client_id = &*session.client, reason = end.reason.as_str(), by = by.as_str(), ended_at = rfc3339(end.at_ms),
        );
        self.announce("ended", session, Some(end.reason.as_str()), end.at_ms);
    }

    /// Introspection refused a token. A caller that asks about a dead token again and again is reported once.
    pub fn refused_introspection(&self, token: &Token, outcome: Outcome, route: &str, now_ms: u64) {
        let mut reported = self.reported.lock().unwrap_or_else(PoisonError::into_inner);
        if reported.len() >= REPORTED_MAX {
            reported.clear();
        }
        let is_new = reported.insert((token.digest, outcome));
        drop(reported);
        if is_new {
            self.refused(token, outcome, route, now_ms);
        }
    }

    /// A question was refused. A stream reports this once for each of its tokens and each outcome.
    pub fn refused(&self, token: &Token, outcome: Outcome, route: &str, now_ms: u64) {
        let event = match outcome {
            Outcome::ScopeEscalation => "escalation",
            _ => "refused",
        };
        let outcome = label(outcome);
        info!(
            target: "audit", event, session = %token.id, issuer = &*token.issuer, subject = &*token.subject,
            client_id = &*token.client, outcome, route, token = format!("{:016x}", token.digest),
        );
        if self.has_listeners() {
            self.send(Event {
                name: "denied",
                id: token.id.to_string(),
                issuer: token.issuer.to_string(),
                subject: token.subject.to_string(),
                client_id: token.client.to_string(),
                access: None,
                reason: Some(outcome),
                at: rfc3339(now_ms),
            });
        }
    }

    /// The scopes of a party were narrowed, or that was lifted.
    pub fn narrowed(&self, narrowing: &Narrowing) {
        let Narrowing { party, scopes } = narrowing;
        let event = if scopes.is_some() { "scopes_narrowed" } else { "scopes_restored" };
        let scopes = scopes.as_ref().map(|scopes| scopes.join(" "));
        info!(
            target: "audit", event, issuer = party.issuer, subject = party.subject, client_id = party.client, scopes,
            by = "admin",
        );
    }

    /// A session was granted more scopes by a token, as its access type allows.
    pub fn scopes_grew(&self, session: &Session, scopes: &str) {
        info!(
            target: "audit", event = "scopes_grew", session = %session.id, issuer = &*session.issuer,
            subject = &*session.subject, client_id = &*session.client, scopes,
        );
    }

    /// One session was revoked, durably; `said` is the reason that its caller stated.
    pub fn session_revoked(&self, id: SessionId, said: &str) {
        self.metrics.revoked_session();
        info!(target: "audit", event = "revocation", session = %id, said, by = "admin");
    }

    /// A revocation of a whole party was made; `ended` is the number of live sessions that it ended.
    pub fn revocation_made(&self, revocation: &Revocation, ended: usize) {
        self.metrics.revoked(&revocation.party);
        let whom = serde_json::to_string(&revocation.party).unwrap_or_default();
        let before = rfc3339(revocation.before_ms);
        info!(
            target: "audit", event = "revocation_made", issuer = revocation.issuer, whom, before, ended,
            said = revocation.reason, by = "admin",
        );
    }

    /// A revocation of a whole party was taken back.
    pub fn revocation_lifted(&self, revocation: &Revocation) {
        let whom = serde_json::to_string(&revocation.party).unwrap_or_default();
        let before = rfc3339(revocation.before_ms);
        info!(target: "audit", event = "revocation_lifted", issuer = revocation.issuer, whom, before, by = "admin");
    }

    fn announce(&self, name: &'static str, session: &Session, reason: Option<&'static str>, at_ms: u64) {
        if self.has_listeners() {
            self.send(Event {
                name,
                id: session.id.to_string(),
                issuer: session.issuer.to_string(),
                subject: session.subject.to_string(),
                client_id: session.client.to_string(),
                access: Some(session.access.name.clone()),
                reason,
                at: rfc3339(at_ms),
            });
        }
    }

    fn has_listeners(&self) -> bool {
        self.events.receiver_count() > 0
    }

    fn send(&self, event: Event) {
        // The only failure is that the last listener has just left.
        drop(self.events.send(event));
    }
}

fn label(outcome: Outcome) -> &'static str {
    let of = OUTCOMES.iter().find(|(of, _)| *of == outcome);
    of.map_or("unspecified", |(_, label)| label)
}
