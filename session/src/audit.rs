//! Tells what matters: one audit line (JSON on standard output, tracing target `audit`), one event to whoever listens
//! on the admin API, one count. Never a token: at most the first bytes of its digest.

use crate::clock::rfc3339;
use crate::id::SessionId;
use crate::judge::End;
use crate::metrics::{Metrics, OUTCOMES, Opened};
use crate::rules::Rule;
use crate::session::Session;
use crate::token::Token;
use crate::wire::Outcome;
use serde::Serialize;
use tokio::sync::broadcast;
use tracing::info;

/// Events kept for a listener that reads slowly. One that falls further behind is told how many it missed.
const EVENTS_KEPT: usize = 1024;

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

/// Where decisions are told.
#[derive(Debug)]
pub struct Audit {
    /// What is counted.
    pub metrics: Metrics,
    events: broadcast::Sender<Event>,
}

impl Audit {
    /// An audit that counts into `metrics`.
    pub fn new(metrics: Metrics) -> Self {
        Self { metrics, events: broadcast::Sender::new(EVENTS_KEPT) }
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
        self.tell("opened", session, None, now_ms);
    }

    /// A session ended. `by` is who ended it: `judge` (found over at a question or a read), `cleaner`, `admin`, `rule`.
    pub fn ended(&self, session: &Session, end: End, by: &'static str) {
        self.metrics.ended(end.reason);
        let event = if by == "admin" { "revoked" } else { "ended" };
        info!(
            target: "audit", event, session = %session.id, issuer = &*session.issuer, subject = &*session.subject,
            client_id = &*session.client, reason = end.reason.as_str(), by, ended_at = rfc3339(end.at_ms),
        );
        self.tell("ended", session, Some(end.reason.as_str()), end.at_ms);
    }

    /// A question was refused; told once for each token of a stream and each outcome.
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

    /// The scopes of a session changed.
    pub fn scopes_changed(&self, session: &Session, scopes: &[String]) {
        let scopes = scopes.join(" ");
        info!(target: "audit", event = "scopes_changed", session = %session.id, scopes, by = "admin");
    }

    /// A revocation was asked for, with what the caller said about it.
    pub fn revoking(&self, id: SessionId, said: &str) {
        self.metrics.revocations.inc();
        info!(target: "audit", event = "revocation", session = %id, said, by = "admin");
    }

    /// A not-before rule was made, and ended so many sessions.
    pub fn rule_made(&self, rule: &Rule, ended: usize) {
        self.metrics.rules.inc();
        let whom = serde_json::to_string(&rule.whom).unwrap_or_default();
        let before = rfc3339(rule.before_ms);
        info!(target: "audit", event = "rule_made", issuer = rule.issuer, whom, before, ended, by = "admin");
    }

    fn tell(&self, name: &'static str, session: &Session, reason: Option<&'static str>, at_ms: u64) {
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
