//! Asking an issuer for the next tokens of a family. The intent is on disk before the issuer is asked: of two replicas, one asks,
//! and after a kill it is known that the issuer may have been asked.

use super::client::Client;
use super::family::{Family, FamilyId};
use super::form::Form;
use super::keep::Written;
use super::state::Tokens;
use super::upstream::{Reply, Upstream};
use super::vault::random;
use crate::service::Service;
use std::sync::Arc;
use std::time::Duration;

/// How often it is looked whether another replica has its answer.
pub(super) const LOOK_EVERY: Duration = Duration::from_millis(100);

/// A family that is used.
pub(super) struct Used {
    pub(super) id: FamilyId,
    pub(super) family: Family,
    pub(super) version: u64,
}

/// What has become of an attempt.
pub(super) enum Attempt {
    /// The issuer has replied, or has not; the intent, by this number, is still on disk.
    Replied(Box<Used>, u64, Reply),
    /// Another replica was first.
    Again,
    /// The intent is not on disk, so nobody was asked.
    Failed,
}

/// Tries to get the next tokens.
pub(super) async fn ask(
    service: &Service,
    tokens: &Tokens,
    (upstream, client): (&Arc<Upstream>, &Client),
    mut used: Used,
    form: &Form,
) -> Attempt {
    let Some(attempt) = random().map(u64::from_be_bytes) else { return Attempt::Failed };
    used.family.rotation.begin(attempt, tokens.process, service.clock.now_ms());
    match tokens.write(used.id, &used.family, Some(used.version)).await {
        Written::As(version) => used.version = version,
        Written::Late => return Attempt::Again,
        Written::Failed => return Attempt::Failed,
    }
    let reply = upstream.token(form, client).await;
    Attempt::Replied(Box::new(used), attempt, reply)
}

/// The attempt is over, and the handle stays good.
pub(super) async fn withdraw(tokens: &Tokens, mut used: Used, attempt: u64) {
    if used.family.rotation.withdraw(attempt) {
        // If it fails, the intent stays, and the next attempt takes its place.
        tokens.write(used.id, &used.family, Some(used.version)).await;
    }
}
