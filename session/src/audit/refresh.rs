//! The audit of the token endpoint. A family is named by its id, which says nothing; no handle and no token is here.

use super::Audit;
use super::event::{About, Details, Event, Kind};
use crate::token::Token;
use std::sync::Arc;
use tracing::info;

impl Audit {
    /// A login at the issuer has begun a family, whose handle is a `refresh_token` or a `cookie`.
    pub(crate) fn family_opened(&self, token: &Token, family: &str, handle: &'static str) {
        info!(
            target: "audit", event = "family_opened", session = %token.id, issuer = &*token.issuer,
            subject = &*token.subject, client_id = &*token.client, family, handle,
        );
    }

    /// A family is over.
    pub(crate) fn family_ended(&self, token: &Token, family: &str, reason: &'static str) {
        info!(
            target: "audit", event = "family_ended", session = %token.id, issuer = &*token.issuer,
            subject = &*token.subject, client_id = &*token.client, family, reason,
        );
    }

    /// The right handle was refused, and its family stays.
    pub(crate) fn refresh_refused(&self, token: &Token, family: &str, reason: &'static str) {
        info!(
            target: "audit", event = "refresh_refused", session = %token.id, issuer = &*token.issuer,
            subject = &*token.subject, client_id = &*token.client, family, reason,
        );
    }

    /// A handle was used again that somebody has used before: its session was ended.
    pub(crate) fn refresh_reused(&self, token: &Token, family: &str, at_ms: u64) {
        info!(
            target: "audit", event = Kind::RefreshReused.as_str(), session = %token.id, issuer = &*token.issuer,
            subject = &*token.subject, client_id = &*token.client, family,
        );
        let about = About::Session {
            id: token.id,
            issuer: Arc::clone(&token.issuer),
            subject: token.subject.clone(),
            client_id: Arc::clone(&token.client),
        };
        self.history.push(Event { kind: Kind::RefreshReused, about, details: Details::default(), at_ms });
    }

    /// A token was exchanged for one that `client` uses for an audience.
    pub(crate) fn token_exchanged(&self, token: &Token, audience: &str, client: &str) {
        info!(
            target: "audit", event = "token_exchanged", session = %token.id, issuer = &*token.issuer,
            subject = &*token.subject, client_id = &*token.client, audience, exchanged_by = client,
        );
    }
}
