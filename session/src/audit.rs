//! The audit of decisions that matter: one line each (JSON on standard output, tracing target `audit`), one event for
//! the listeners of the admin API, one count. Never a token: at most the first bytes of its digest.

mod history;

pub use history::{Event, History, Kind, Next, Position};

use crate::blocks::Block;
use crate::clock::rfc3339;
use crate::judge::End;
use crate::metrics::{Metrics, OUTCOMES, Opened};
use crate::narrowings::{Narrowing, ScopeChange};
use crate::revocations::Revocation;
use crate::session::Session;
use crate::token::Token;
use portcullis_contract::SessionId;
use portcullis_contract::wire::Outcome;
use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use tracing::info;

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

/// The audit.
#[derive(Debug)]
pub struct Audit {
    metrics: Arc<Metrics>,
    history: Arc<History>,
    reported: Mutex<HashSet<(u64, Outcome)>>,
}

impl Audit {
    /// An audit that counts into `metrics`.
    pub fn new(metrics: Arc<Metrics>) -> Self {
        Self { metrics, history: Arc::default(), reported: Mutex::default() }
    }

    /// The latest events.
    pub fn history(&self) -> &Arc<History> {
        &self.history
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
        self.announce(Kind::Opened, session, None, now_ms);
    }

    /// A session ended.
    pub fn ended(&self, session: &Session, end: End, by: EndedBy) {
        self.metrics.ended(end.reason);
        let event = if by == EndedBy::Admin { "revoked" } else { "ended" };
        info!(
            target: "audit", event, session = %session.id, issuer = &*session.issuer, subject = &*session.subject,
            client_id = &*session.client, reason = end.reason.as_str(), by = by.as_str(), ended_at = rfc3339(end.at_ms),
        );
        self.announce(Kind::Ended, session, Some(end.reason.as_str()), end.at_ms);
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
        self.history.push(Event {
            kind: Kind::Denied,
            id: token.id,
            issuer: Arc::clone(&token.issuer),
            subject: token.subject.clone(),
            client_id: Arc::clone(&token.client),
            access: None,
            reason: Some(outcome),
            at_ms: now_ms,
        });
    }

    /// The scopes of a party were narrowed, or that was lifted.
    pub fn narrowed(&self, narrowing: &Narrowing) {
        let Narrowing { party, scopes, .. } = narrowing;
        let event = if scopes.is_some() { "scopes_narrowed" } else { "scopes_restored" };
        let scopes = scopes.as_ref().map(|scopes| scopes.join(" "));
        info!(
            target: "audit", event, issuer = party.issuer, subject = party.subject, client_id = party.client,
            key = party.named_key(), scopes, by = "admin",
        );
    }

    /// Scopes were taken from a party, or given back to it: one line for each party whose narrowing this has changed. What is
    /// given back to a subject is given back to its clients, and nothing more is taken from those.
    pub fn scopes_changed(&self, narrowings: &[Narrowing], change: &ScopeChange) {
        let restore = change.restore.join(" ");
        for Narrowing { party, scopes, removed } in narrowings {
            let remove = if *party == change.party { change.remove.join(" ") } else { String::new() };
            let event = if remove.is_empty() { "scopes_restored" } else { "scopes_narrowed" };
            let client_id = (!party.every_client).then_some(party.client.as_str());
            let scopes = scopes.as_ref().map(|scopes| scopes.join(" "));
            info!(
                target: "audit", event, issuer = party.issuer, subject = party.subject, client_id,
                key = party.named_key(), remove, restore, scopes, removed = removed.join(" "), stated_reason = change.reason, by = "admin",
            );
        }
    }

    /// A session was granted more scopes by a token, as its access type allows.
    pub fn scopes_grew(&self, session: &Session, scopes: &str) {
        info!(
            target: "audit", event = "scopes_grew", session = %session.id, issuer = &*session.issuer,
            subject = &*session.subject, client_id = &*session.client, scopes,
        );
    }

    /// One session was revoked, durably; `stated_reason` is the reason that its caller stated.
    pub fn session_revoked(&self, id: SessionId, stated_reason: &str) {
        self.metrics.revoked_session();
        info!(target: "audit", event = "revocation", session = %id, stated_reason, by = "admin");
    }

    /// A revocation of a whole party was made; `ended` is the number of live sessions that it ended.
    pub fn revocation_made(&self, revocation: &Revocation, ended: usize) {
        self.metrics.revoked(&revocation.party);
        let party = serde_json::to_string(&revocation.party).unwrap_or_default();
        let before = rfc3339(revocation.before_ms);
        info!(
            target: "audit", event = "revocation_made", issuer = revocation.issuer, party, before, ended,
            stated_reason = revocation.reason, by = "admin",
        );
    }

    /// A revocation of a whole party was lifted.
    pub fn revocation_lifted(&self, revocation: &Revocation) {
        let party = serde_json::to_string(&revocation.party).unwrap_or_default();
        let before = rfc3339(revocation.before_ms);
        info!(target: "audit", event = "revocation_lifted", issuer = revocation.issuer, party, before, by = "admin");
    }

    /// A party was blocked; `is_replaced` says that another block of it has lost its place to this one.
    pub fn block_made(&self, block: &Block, is_replaced: bool) {
        let party = serde_json::to_string(&block.party).unwrap_or_default();
        let until = block.until_ms.map(rfc3339);
        info!(
            target: "audit", event = "block_made", issuer = block.issuer, party, until, replaced = is_replaced,
            stated_reason = block.reason, by = "admin",
        );
    }

    /// A block of a party was lifted.
    pub fn block_lifted(&self, block: &Block) {
        let party = serde_json::to_string(&block.party).unwrap_or_default();
        let until = block.until_ms.map(rfc3339);
        info!(target: "audit", event = "block_lifted", issuer = block.issuer, party, until, by = "admin");
    }

    fn announce(&self, kind: Kind, session: &Session, reason: Option<&'static str>, at_ms: u64) {
        self.history.push(Event {
            kind,
            id: session.id,
            issuer: Arc::clone(&session.issuer),
            subject: session.subject.clone(),
            client_id: Arc::clone(&session.client),
            access: Some(Arc::clone(&session.access)),
            reason,
            at_ms,
        });
    }
}

fn label(outcome: Outcome) -> &'static str {
    let of = OUTCOMES.iter().find(|(of, _)| *of == outcome);
    of.map_or("unspecified", |(_, label)| label)
}
