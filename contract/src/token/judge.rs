//! Judges the claims of a token against the conditions of its issuer.

use super::{
    Binding, BoundTokens, Facts, Fault, Issuer, ORIGINAL_ISSUER, Rejection, TokenDigest,
    dates::Dates,
    identity::{is_unreadable, text},
    json::Object,
};
use serde_json::Value;
use std::sync::Arc;

/// The facts of a token of `issuer`, if its claims are valid at `now_ms`.
pub(super) fn judge(claims: &Object, issuer: &Issuer, digest: TokenDigest, now_ms: u64) -> Result<Facts, Rejection> {
    audience(claims, issuer)?;
    if !issuer.claims.iter().all(|values| values.are_met(claims)) {
        return Err(Fault::Claim.into());
    }
    minted_for(claims, issuer)?;
    let binding = binding(claims, issuer)?.map(Box::new);
    let dates = Dates::read(claims, issuer.clock_skew)?;
    dates.begun(now_ms)?;
    let facts = Facts::read(claims, Arc::clone(issuer.of_sessions()), &issuer.claim_names, &dates, digest)?;
    client(claims, issuer, &facts)?;
    dates.alive(now_ms)?;
    Ok(Facts { binding, ..facts })
}

/// Where the policy lists clients, the claim that counts must name one of them, and not a later claim because that one cannot
/// be read.
fn client(claims: &Object, issuer: &Issuer, facts: &Facts) -> Result<(), Fault> {
    let mut names = issuer.claim_names.client.iter().take_while(|name| text(claims, name).is_none());
    let is_listed = facts.client_id.as_ref().is_some_and(|client| issuer.clients.contains(client));
    match issuer.clients.is_empty() || is_listed && !names.any(|name| is_unreadable(claims, name)) {
        true => Ok(()),
        false => Err(Fault::Client),
    }
}

/// A token that was minted in place of another's is only good for the sessions of that one, and one that was not minted so is
/// good for none of them.
fn minted_for(claims: &Object, issuer: &Issuer) -> Result<(), Fault> {
    let Some(original) = &issuer.minted_for else { return Ok(()) };
    match text(claims, ORIGINAL_ISSUER) {
        Some(named) if *named == **original => Ok(()),
        _ => Err(Fault::OriginalIssuer),
    }
}

/// What has to be shown by whoever presents a token.
fn binding(claims: &Object, issuer: &Issuer) -> Result<Option<Binding>, Fault> {
    match issuer.bound_tokens {
        BoundTokens::Verify => Binding::of(claims),
        BoundTokens::Refuse | BoundTokens::Bearer => unbound(claims, issuer).map(|()| None),
    }
}

/// Whatever `cnf` is, it says that possession of the token is not enough. For where nobody can verify more than that.
pub(super) fn unbound(claims: &Object, issuer: &Issuer) -> Result<(), Fault> {
    match issuer.bound_tokens {
        BoundTokens::Refuse | BoundTokens::Verify if claims.get("cnf").is_some() => Err(Fault::Bound),
        BoundTokens::Refuse | BoundTokens::Verify | BoundTokens::Bearer => Ok(()),
    }
}

/// `aud` is a string, or an array of them (RFC 7519, section 4.1.3). Even if nothing asks about it, it is no other type.
fn audience(claims: &Object, issuer: &Issuer) -> Result<(), Fault> {
    let audiences = &issuer.audiences;
    let is_ours = |value: &Value| match value {
        Value::String(aud) => Ok(audiences.contains(aud)),
        _ => Err(Fault::IllTyped("aud")),
    };
    let aud = claims.get("aud").filter(|aud| !aud.is_null());
    let mut ours = false;
    match aud {
        None => {}
        Some(Value::Array(values)) => {
            for value in values {
                ours |= is_ours(value)?;
            }
        }
        Some(value) => ours = is_ours(value)?,
    }
    // The client is asked about instead. Without either, any token of the issuer would pass.
    let is_asked = !audiences.is_empty() || issuer.clients.is_empty();
    match aud {
        _ if ours || !is_asked => Ok(()),
        None => Err(Fault::Missing("aud")),
        Some(_) => Err(Fault::Audience),
    }
}
