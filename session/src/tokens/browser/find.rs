//! The family of a browser's handle.

use super::cookie::family_of;
use crate::service::Service;
use crate::tokens::attempt::Used;
use crate::tokens::client::Client;
use crate::tokens::ending::{self, Why};
use crate::tokens::family::{Browser, Family};
use crate::tokens::fault::Fault;
use crate::tokens::handle::HandleDigest;
use crate::tokens::keep::Written;
use crate::tokens::state::Tokens;
use std::sync::Arc;

/// How often the end of a family is written while others write it.
const TRIES_MAX: usize = 8;

/// The family of a handle, unless it is over.
pub(super) async fn find(tokens: &Tokens, digest: HandleDigest) -> Result<Option<Used>, Fault> {
    let id = family_of(digest);
    let found = tokens.load(id).await?;
    let found = found.filter(|(family, _)| held(family, digest).is_some() && family.over.is_none());
    Ok(found.map(|(family, version)| Used { id, family, version }))
}

/// What is held for a browser, if the handle is that of the family.
pub(super) fn held(family: &Family, digest: HandleDigest) -> Option<&Browser> {
    family.browser.as_ref().filter(|_| family.rotation.current == digest)
}

/// Ends the family of a handle, if there is one that is not over, whoever writes it meanwhile.
pub(super) async fn end(
    service: &Service,
    tokens: &Arc<Tokens>,
    digest: HandleDigest,
    why: impl Fn(&Family) -> Why,
) -> Result<(), Fault> {
    for _ in 0..TRIES_MAX {
        let Some(used) = find(tokens, digest).await? else { return Ok(()) };
        let (client, why) = (Client::public(&used.family.client_id), why(&used.family));
        match ending::end(service, tokens, used, &client, why).await {
            Written::As(_) => return Ok(()),
            Written::Late => {}
            Written::Failed => return Err(Fault::Unavailable),
        }
    }
    Err(Fault::Unavailable)
}
