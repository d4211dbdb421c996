//! Token exchange (RFC 8693): one of our own access tokens into a narrower one that lives no longer, for a workload.

use super::client::Client;
use super::fault::{Fault, uncached};
use super::form::Form;
use super::issue::{Content, TYPE};
use super::proof;
use super::said::Said;
use super::settings::IssueSettings;
use super::standing::{self, Live, Standing};
use super::state::Tokens;
use super::upstream::Reply;
use crate::minting::SigningKeys;
use crate::service::Service;
use axum::Json;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use portcullis_contract::token::{
    Algorithm, Binding, BoundTokens, ClaimNames, Claimed, Facts, Issuer, Judged, KeyRing, KeySource, ORIGINAL_ISSUER,
};
use serde_json::{Map, Value, json};
use std::sync::Arc;
use std::time::Duration;

const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";
const JWT: &str = "urn:ietf:params:oauth:token-type:jwt";

const BAD_TOKEN: Fault = Fault::InvalidRequest("`subject_token` is not a good access token of this endpoint");

/// Exchanges a token.
pub(super) async fn exchange(
    service: &Arc<Service>,
    tokens: &Arc<Tokens>,
    (parts, form, client): (&Parts, &Form, &mut Client),
) -> Result<Response, Fault> {
    let issue = tokens.settings.issue.as_ref().ok_or(Fault::UnsupportedGrantType)?;
    let keys = tokens.signing.read().clone().ok_or(Fault::Unavailable)?;
    let text = form.get("subject_token").ok_or(Fault::InvalidRequest("`subject_token` is missing"))?;
    let wanted = [form.get("subject_token_type"), form.get("requested_token_type").or(Some(ACCESS_TOKEN))];
    if !wanted.iter().all(|wanted| matches!(wanted, Some(ACCESS_TOKEN | JWT))) {
        return Err(Fault::InvalidRequest("only access tokens are exchanged, for access tokens"));
    }
    if form.get("actor_token").is_some() || form.get("resource").is_some() {
        return Err(Fault::InvalidRequest("`actor_token` and `resource` are not supported"));
    }
    let audience = issue.audience(form.get("audience")).ok_or(Fault::InvalidTarget)?;
    let now_ms = service.clock.now_ms();
    let (facts, claims) = verify(issue, &keys, text, now_ms)?;
    let upstream = tokens.issuer(&facts.issuer).ok_or(BAD_TOKEN)?;
    proof::note(service, upstream, parts, client).await?;
    // Otherwise whoever has stolen a bound token could have it exchanged for one that is bound to nothing.
    if facts.binding.as_deref().is_some_and(|binding| !is_shown(binding, client)) {
        return Err(BAD_TOKEN);
    }
    // Nobody is asked for tokens here, so the issuer is asked whether this is its client.
    match upstream.admits(client).await {
        Reply::Issued(_) => {}
        Reply::Refused(passed) => return Ok(passed.into_response()),
        Reply::Out => return Err(Fault::Unavailable),
    }
    let said = Said::by(&facts);
    let live = match standing::of(service, &said, false).await {
        Standing::Live(live) => live,
        Standing::Over(_) | Standing::Refused(_) => return Err(BAD_TOKEN),
        Standing::Unknown => return Err(Fault::Unavailable),
    };
    let scopes = scopes(&said, &live, form.get("scope"))?;
    let content = Content {
        said: &said,
        kind: live.token.kind,
        claim: &|name| claims.get(name).cloned(),
        scopes: scopes.clone(),
        audience,
        key: client.key,
        actor: Some(&client.id),
        ends_at_ms: [Some(said.expires_at_ms()), live.ends_at_ms],
    };
    let issued = tokens.mint(issue, &content, service.clock.now_ms()).ok_or(Fault::Unavailable)?;
    service.audit.token_exchanged(&live.token, audience, &client.id);
    let answer = json!({
        "access_token": issued.text,
        "issued_token_type": ACCESS_TOKEN,
        "token_type": if issued.is_bound_to_key { "DPoP" } else { "Bearer" },
        "expires_in": issued.expires_in_s,
        "scope": scopes.join(" "),
    });
    Ok(uncached(Json(answer).into_response()))
}

/// The scopes of the new token: those that are asked for, and never more than there are.
fn scopes(said: &Said, live: &Live, asked: Option<&str>) -> Result<Vec<String>, Fault> {
    let is_held = |scope: &str| said.scopes.iter().any(|held| held == scope) && live.holds(scope);
    match asked {
        None => Ok(said.scopes.iter().filter(|scope| live.holds(scope)).cloned().collect()),
        Some(asked) if asked.split_ascii_whitespace().all(is_held) => {
            Ok(asked.split_ascii_whitespace().map(str::to_owned).collect())
        }
        Some(_) => Err(Fault::InvalidScope),
    }
}

/// Verifies one of our own tokens, as strictly as a filter would.
fn verify(
    issue: &IssueSettings,
    keys: &SigningKeys,
    text: &str,
    now_ms: u64,
) -> Result<(Facts, Map<String, Value>), Fault> {
    if Claimed::read(text).issuer.as_deref() != Some(&*keys.issuer) {
        return Err(BAD_TOKEN);
    }
    // Which one it was minted for, it says itself, and its signature vouches for that.
    let original = original(text).ok_or(BAD_TOKEN)?;
    let issuer = Issuer {
        issuer: (*keys.issuer).into(),
        audiences: std::iter::once(&issue.audience).chain(&issue.audiences).cloned().collect(),
        clients: Vec::new(),
        claims: Vec::new(),
        bound_tokens: BoundTokens::Verify,
        minted_for: Some(original.into()),
        algorithms: vec![Algorithm::EdDSA, Algorithm::ES256],
        // They are those of `signing`.
        keys: KeySource::Inline(String::new()),
        clock_skew: Duration::ZERO,
        token_types: vec![TYPE.to_owned()],
        claim_names: ClaimNames::default(),
    };
    let judged = Judged::read(text, &issuer, now_ms).map_err(|_| BAD_TOKEN)?;
    let ring = KeyRing::new(&KeySource::Inline(keys.jwks(now_ms).to_string())).map_err(|_| Fault::Unavailable)?;
    let set = ring.keys().ok_or(Fault::Unavailable)?;
    judged.verify(set, |_| None).map_err(|_| BAD_TOKEN)?;
    Ok(judged.into_facts())
}

/// Whether a client has shown all that a token is bound to.
fn is_shown(binding: &Binding, client: &Client) -> bool {
    let is_key = binding.key.is_none_or(|key| client.key == Some(key.0));
    is_key && binding.certificate.is_none_or(|certificate| client.certificate == Some(certificate.0))
}

fn original(text: &str) -> Option<String> {
    use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine as _};
    let claims = BASE64_URL_SAFE_NO_PAD.decode(text.split('.').nth(1)?).ok()?;
    let claims: Value = serde_json::from_slice(&claims).ok()?;
    claims.get(ORIGINAL_ISSUER)?.as_str().map(str::to_owned)
}
