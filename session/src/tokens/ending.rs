//! Families that end, and what their issuers are told.

use super::client::Client;
use super::family::{Family, FamilyId, StoredFamily};
use super::fault::Fault;
use super::keep::Written;
use super::refresh::Used;
use super::state::Tokens;
use super::upstream::Upstream;
use crate::service::Service;
use crate::token::Token;
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
    Session,
    /// It was not used for too long, or is too old.
    Expired,
    /// The issuer has ended it.
    Issuer,
    /// One of its handles was used again.
    Reused,
}

impl Why {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Scope => "scope",
            Self::Session => "session",
            Self::Expired => "expired",
            Self::Issuer => "issuer",
            Self::Reused => "reused",
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
pub(super) async fn reuse(
    service: &Arc<Service>,
    tokens: &Arc<Tokens>,
    used: Used,
    by: (&Arc<Upstream>, &Client),
) -> Fault {
    let Some(token) = token(service, &used.family) else { return Fault::Unavailable };
    let now_ms = service.clock.now_ms();
    let writer = &service.writer;
    let is_ended = writer.revoke_id(token.id, "refresh handle reused", now_ms).await.is_ok()
        && writer.caught_up().await.is_ok()
        && writer.everywhere().await.is_ok();
    if !is_ended {
        return Fault::Unavailable;
    }
    tokens.metrics.reused();
    service.audit.refresh_reused(&token, &used.id.to_string(), now_ms);
    end(service, tokens, used, by, Why::Reused).await;
    Fault::InvalidGrant("the refresh token was used before: its session was ended")
}

/// A family is over: its issuer is told.
pub(super) async fn end(
    service: &Arc<Service>,
    tokens: &Arc<Tokens>,
    used: Used,
    (upstream, client): (&Arc<Upstream>, &Client),
    why: Why,
) {
    let Used { id, mut family, version } = used;
    family.end(client, service.clock.now_ms());
    // If it cannot be written, the next use of a handle comes here again.
    if let Written::As(version) = tokens.write(id, &family, Some(version)).await {
        ended(service, &family, id, why);
        let (tokens, upstream) = (Arc::clone(tokens), Arc::clone(upstream));
        let runtime = tokens.runtime.clone();
        runtime.spawn(async move { tell(&tokens, &upstream, id, &family, version).await });
    }
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
        tell(tokens, upstream, stored.id, &family, stored.version).await;
    }
}

/// Has the issuer's refresh token revoked (RFC 7009). What fails is tried again by the keeper, as long as the family is kept.
async fn tell(tokens: &Tokens, upstream: &Arc<Upstream>, id: FamilyId, family: &Family, version: u64) {
    let Some(over) = &family.over else { return };
    match upstream.revoke(&family.refresh_token, &over.authentication).await {
        Ok(_) => {}
        Err(Some(passed)) => {
            let (issuer, error) = (upstream.issuer(), passed.error());
            warn!(issuer, error, family = %id, "the issuer does not revoke the refresh token of a family that is over");
        }
        Err(None) => return,
    }
    // If that fails, it is told again.
    let _ = tokens.at_store(move |store| store.drop_family(id, version)).await;
}

fn ended(service: &Service, family: &Family, id: FamilyId, why: Why) {
    if let Some(token) = token(service, family) {
        service.audit.family_ended(&token, &id.to_string(), why.as_str());
    }
}

fn token(service: &Service, family: &Family) -> Option<Token> {
    family.said.token(service.registry.names(), service.clock.now_ms())
}
