//! The login of a browser: what its issuer has answered stays here, and it gets a cookie.

use super::cookie::{CookieHandle, CookieRequest, family_of};
use super::{ACCESS_BYTES_MAX, find};
use crate::service::Service;
use crate::tokens::ending::Why;
use crate::tokens::family::{Browser, Family};
use crate::tokens::fault::Fault;
use crate::tokens::granted::{access_token, left_of, unusable};
use crate::tokens::handle::HandleDigest;
use crate::tokens::keep::Written;
use crate::tokens::standing::Live;
use crate::tokens::state::Tokens;
use crate::tokens::upstream::Upstream;
use axum::Json;
use axum::http::header::SET_COOKIE;
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};
use std::sync::Arc;

/// Opens the family of a login, whose session is live.
pub(in crate::tokens) async fn log_in(
    service: &Service,
    tokens: &Arc<Tokens>,
    upstream: &Upstream,
    cookie: &CookieRequest,
    (members, live): (&Map<String, Value>, &Live),
    family: impl FnOnce(HandleDigest) -> Family,
) -> Result<Response, Fault> {
    let access = access_token(members).filter(|access| access.len() <= ACCESS_BYTES_MAX);
    let access = access.ok_or_else(|| unusable(upstream.issuer(), "its access token is too long for any filter"))?;
    let handle = CookieHandle::make().ok_or(Fault::Unavailable)?;
    let now_ms = service.clock.now_ms();
    let mut family = family(handle.digest());
    family.browser = Some(Browser::new(access, now_ms));
    let lasts_s = family.lasts_until_ms(&tokens.settings.terms).saturating_sub(now_ms) / 1_000;
    let set = handle.cookie(&cookie.name, lasts_s).ok_or(Fault::Server)?;
    let (id, said) = (family_of(handle.digest()), family.said.clone());
    match tokens.save(id, &family, None).await {
        Written::As(_) => service.audit.family_opened(&live.token, &id.to_string(), "cookie"),
        Written::Late | Written::Failed => return Err(Fault::Unavailable),
    }
    for old in &cookie.shown {
        let why = |old: &Family| Why::Replaced { same_session: old.said.is_session_of(&said) };
        // If it cannot be ended, it ends with its session: nobody has its handle any more.
        let _: Result<(), Fault> = find::end(service, tokens, *old, why).await;
    }
    let granted = match family.scope.as_str() {
        "" => said.scopes.join(" "),
        granted => granted.to_owned(),
    };
    let mut answer = Json(json!({"expires_in": lasts_s, "scope": left_of(&granted, &said, live)})).into_response();
    answer.headers_mut().insert(SET_COOKIE, set);
    Ok(answer)
}
