//! Judges the claims of a token against the conditions of its issuer.

use super::{Facts, Fault, Issuer, Rejection, TokenDigest, dates::Dates, json::Object};
use serde_json::Value;

/// The facts of a token of `issuer`, if its claims are valid at `now_ms`.
pub(super) fn judge(claims: &Object, issuer: &Issuer, digest: TokenDigest, now_ms: u64) -> Result<Facts, Rejection> {
    audience(claims, &issuer.audiences)?;
    let dates = Dates::read(claims, issuer.clock_skew)?;
    dates.begun(now_ms)?;
    let facts = Facts::read(claims, &issuer.issuer, &issuer.claim_names, &dates, digest)?;
    dates.alive(now_ms)?;
    Ok(facts)
}

/// `aud` is a string, or an array of them (RFC 7519, section 4.1.3).
fn audience(claims: &Object, audiences: &[String]) -> Result<(), Fault> {
    let is_ours = |value: &Value| match value {
        Value::String(aud) => Ok(audiences.contains(aud)),
        _ => Err(Fault::IllTyped("aud")),
    };
    let mut ours = false;
    match claims.get("aud") {
        None => return Err(Fault::Missing("aud")),
        Some(Value::Array(values)) => {
            for value in values {
                ours |= is_ours(value)?;
            }
        }
        Some(value) => ours = is_ours(value)?,
    }
    ours.then_some(()).ok_or(Fault::Audience)
}
