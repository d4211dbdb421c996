//! Families that end, and what their issuers are told.

use super::attempt::Used;
use super::client::Client;
use super::family::{Family, FamilyId, StoredFamily};
use super::fault::Fault;
use super::keep::Written;
use super::state::Tokens;
use super::upstream::Upstream;
use crate::audit::Actor;
use crate::service::Service;
use crate::token::Token;
use portcullis_contract::wire::Outcome;
use std::sync::Arc;
use tracing::warn;

/// Why a handle is refused, or a family is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Why {
    /// It was shown by another client, or without the key or certificate that was there at first.
    Client,
    /// It was asked for what the session does not have.
    Scope,
    /// The session is over, or its tokens are refused.
    Session(Outcome),
    /// It was not used for too long, or is too old.
    Expired,
    /// The issuer has ended it.
    Issuer,
    /// One of its handles was used again.
    Reused,
    /// The person has logged out.
    Logout,
    /// The person has logged in again in the same browser, perhaps within the same session.
    Replaced { same_session: bool },
}

impl Why {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Scope => "scope",
            Self::Session(_) => "session",
            Self::Expired => "expired",
            Self::Issuer => "issuer",
            Self::Reused => "reused",
            Self::Logout => "logout",
            Self::Replaced { .. } => "replaced",
        }
    }

    /// What a browser's handle is answered from then on.
    const fn outcome(self) -> Outcome {
        match self {
            Self::Session(outcome) => outcome,
            Self::Issuer | Self::Reused | Self::Logout => Outcome::Revoked,
            Self::Client | Self::Scope | Self::Expired | Self::Replaced { .. } => Outcome::UnknownSession,
        }
    }
}

/// A handle is refused, and its family stays.
pub(super) fn refused(service: &Service, family: &Family, id: FamilyId, why: Why) {
    if let Some(token) = token(service, family) {
        service.audit.refresh_refused(&token, &id.to_string(), why.as_str());
    }
}

/// A handle was used before: whoever has it now, somebody else has had it as well. The session ends everywhere before this is
/// answered, and then the family does. If the session cannot be ended, nothing has happened yet.
pub(super) async fn reuse(service: &Arc<Service>, tokens: &Arc<Tokens>, used: Used, client: &Client) -> Fault {
    let Some(token) = token(service, &used.family) else { return Fault::Unavailable };
    let now_ms = service.clock.now_ms();
    if !end_session(service, &token, "refresh handle reused", Actor::Nobody).await {
        return Fault::Unavailable;
    }
    tokens.metrics.reused();
    service.audit.refresh_reused(&token, &used.id.to_string(), now_ms);
    end(service, tokens, used, client, Why::Reused).await;
    Fault::InvalidGrant("the refresh token was used before: its session was ended")
}

/// Ends the session of a token, everywhere. `false`: that is not certain.
pub(super) async fn end_session(service: &Service, token: &Token, reason: &str, by: Actor) -> bool {
    let writer = service.writer.by(by);
    writer.revoke_id(token.id, reason, service.clock.now_ms()).await.is_ok()
        && writer.caught_up().await.is_ok()
        && writer.everywhere().await.is_ok()
}

/// A family is over: its issuer is told. What is returned is whether that is on disk; if not, the next use of a handle comes
/// here again.
pub(super) async fn end(service: &Service, tokens: &Arc<Tokens>, used: Used, client: &Client, why: Why) -> Written {
    let Used { id, mut family, version } = used;
    family.end(client, why.outcome(), service.clock.now_ms());
    if why == (Why::Replaced { same_session: true }) {
        // The session goes on with the handle that has taken its place, and an issuer may revoke all that it has granted to a
        // session with any part of it.
        family.told();
    }
    let written = tokens.write(id, &family, Some(version)).await;
    if let Written::As(version) = written {
        ended(service, &family, id, why);
        if let Some(upstream) = tokens.issuer(&family.issuer).cloned() {
            let (tokens, runtime) = (Arc::clone(tokens), tokens.runtime.clone());
            runtime.spawn(async move { tell(&tokens, &upstream, id, family, version).await });
        }
    }
    written
}

/// The issuer has ended a family: there is nobody to tell.
pub(super) async fn gone(service: &Service, tokens: &Tokens, used: Used) {
    let Used { id, family, version } = used;
    if tokens.at_store(move |store| store.drop_family(id, version)).await.is_ok() {
        ended(service, &family, id, Why::Issuer);
    }
}

/// Has a refresh token revoked that nobody was given. Once: without a family, there is nothing that remembers it.
pub(super) fn forget(tokens: &Arc<Tokens>, upstream: &Arc<Upstream>, refresh_token: String, client: &Client) {
    let (upstream, authentication) = (Arc::clone(upstream), client.authentication.clone());
    tokens.runtime.spawn(async move { drop(upstream.revoke(&refresh_token, &authentication).await) });
}

/// Tells the issuers of families that are over, as far as they do not know.
pub(super) async fn tell_again(tokens: &Tokens, stored: &StoredFamily) {
    let Ok(family) = Family::open(&tokens.vault, stored) else { return };
    if let Some(upstream) = tokens.issuer(&family.issuer) {
        tell(tokens, upstream, stored.id, family, stored.version).await;
    }
}

/// Has the issuer's refresh token revoked (RFC 7009). What fails is tried again by the keeper, as long as the family is kept.
async fn tell(tokens: &Tokens, upstream: &Arc<Upstream>, id: FamilyId, mut family: Family, version: u64) {
    let (Some(over), Some(refresh_token)) = (&family.over, &family.refresh_token) else { return };
    match upstream.revoke(refresh_token, &over.authentication).await {
        Ok(_) => {}
        Err(Some(passed)) => {
            let (issuer, error) = (upstream.issuer(), passed.error());
            warn!(issuer, error, family = %id, "the issuer does not revoke the refresh token of a family that is over");
        }
        Err(None) => return,
    }
    // If that fails, it is told again.
    match family.browser {
        // Its handle does not change: a page that still shows it is answered why it is over.
        Some(_) => {
            family.told();
            tokens.write(id, &family, Some(version)).await;
        }
        None => drop(tokens.at_store(move |store| store.drop_family(id, version)).await),
    }
}

fn ended(service: &Service, family: &Family, id: FamilyId, why: Why) {
    if let Some(token) = token(service, family) {
        service.audit.family_ended(&token, &id.to_string(), why.as_str());
    }
}

/// The session of a family, as a token of it would name it.
pub(super) fn token(service: &Service, family: &Family) -> Option<Token> {
    family.said.token(service.registry.names(), service.clock.now_ms())
}
