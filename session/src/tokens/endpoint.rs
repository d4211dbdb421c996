//! `POST /oauth2/token` (RFC 6749, section 3.2), and `POST /oauth2/logout` for browsers.

use super::browser::{self, COOKIE};
use super::client::Client;
use super::exchange::exchange;
use super::fault::Fault;
use super::form::Form;
use super::granted::pass_on;
use super::metrics::Grant;
use super::state::Tokens;
use super::upstream::Upstream;
use super::{proof, refresh};
use crate::service::Service;
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinHandle;

/// The paths.
const TOKEN: &str = "/oauth2/token";
const LOGOUT: &str = "/oauth2/logout";

/// The largest body that is read.
const BODY_BYTES_MAX: usize = 64 * 1024;

/// How long a body may take.
const BODY_MAX: Duration = Duration::from_secs(5);

/// How long a client waits.
const ANSWER_MAX: Duration = Duration::from_secs(15);

/// Names the issuer where several are configured. It is not passed on.
const ISSUER: &str = "portcullis_issuer";

/// The routes, if there is a token endpoint.
pub(crate) fn router(service: &Arc<Service>) -> Router {
    match &service.tokens {
        None => Router::new(),
        Some(_) => Router::new().route(TOKEN, post(token)).route(LOGOUT, post(logout)).with_state(Arc::clone(service)),
    }
}

async fn token(State(service): State<Arc<Service>>, request: Request) -> Response {
    let Some(tokens) = service.tokens.clone() else { return Fault::Unavailable.into_response() };
    let mut grant = Grant::Other;
    let answered = answer(&service, &tokens, request, &mut grant).await;
    let response = answered.unwrap_or_else(IntoResponse::into_response);
    tokens.metrics.answered(grant, response.status().as_u16());
    response
}

async fn logout(State(service): State<Arc<Service>>, request: Request) -> Response {
    let Some(tokens) = service.tokens.clone() else { return Fault::Unavailable.into_response() };
    let Ok(place) = Arc::clone(&tokens.requests).try_acquire_owned() else {
        return Fault::Unavailable.into_response();
    };
    let headers = request.into_parts().0.headers;
    let runtime = tokens.runtime.clone();
    let ending = runtime.spawn(async move {
        let ended = browser::log_out(&service, &tokens, &headers).await;
        drop(place);
        ended
    });
    answered_in_time(ending).await.unwrap_or_else(IntoResponse::into_response)
}

/// Waits for what goes on when the client is gone.
async fn answered_in_time(serving: JoinHandle<Result<Response, Fault>>) -> Result<Response, Fault> {
    match tokio::time::timeout(ANSWER_MAX, serving).await {
        Ok(Ok(answered)) => answered,
        Ok(Err(_)) | Err(_) => Err(Fault::Unavailable),
    }
}

async fn answer(
    service: &Arc<Service>,
    tokens: &Arc<Tokens>,
    request: Request,
    grant: &mut Grant,
) -> Result<Response, Fault> {
    // Before its body is read: so many are in memory, however many come.
    let place = Arc::clone(&tokens.requests).try_acquire_owned().map_err(|_| Fault::Unavailable)?;
    let (parts, body) = request.into_parts();
    let form = read(&parts, body).await?;
    *grant = form.get("grant_type").map(Grant::named).ok_or(Fault::InvalidRequest("`grant_type` is missing"))?;
    // It goes on when the client is gone: what an issuer has answered cannot be had again, and a theft that was noticed is not
    // forgotten.
    let serving = {
        let (service, tokens, grant) = (Arc::clone(service), Arc::clone(tokens), *grant);
        async move {
            let answered = serve(&service, &tokens, (grant, &parts, form)).await;
            drop(place);
            answered
        }
    };
    answered_in_time(tokens.runtime.spawn(serving)).await
}

async fn read(parts: &Parts, body: Body) -> Result<Form, Fault> {
    let essence = |value: &str| value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let content_type = parts.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).map(essence);
    if content_type.as_deref() != Some("application/x-www-form-urlencoded") {
        return Err(Fault::InvalidRequest("the body is not `application/x-www-form-urlencoded`"));
    }
    let body = tokio::time::timeout(BODY_MAX, to_bytes(body, BODY_BYTES_MAX)).await;
    let body =
        body.ok().and_then(Result::ok).ok_or(Fault::InvalidRequest("the body is too long, or cannot be read"))?;
    Form::read(&body).map_err(|bad| Fault::InvalidRequest(bad.text()))
}

async fn serve(
    service: &Arc<Service>,
    tokens: &Arc<Tokens>,
    (grant, parts, form): (Grant, &Parts, Form),
) -> Result<Response, Fault> {
    if grant == Grant::Other {
        return Err(Fault::UnsupportedGrantType);
    }
    let mut client = Client::read(&parts.headers, &form)?;
    let named = form.get(ISSUER).map(str::to_owned);
    let cookie = browser::requested(&parts.headers, &form)?;
    if cookie.is_some() && !grant.is_login() {
        return Err(Fault::InvalidRequest("`portcullis_cookie` is for logins"));
    }
    let form = form.with(ISSUER, None).with(COOKIE, None);
    match grant {
        Grant::RefreshToken => {
            let (handle, upstream) = refresh::find(tokens, &form).await?;
            proof::note(service, &upstream, parts, &mut client).await?;
            refresh::refresh(service, tokens, (&handle, &upstream), (&form, &client)).await
        }
        Grant::Exchange => exchange(service, tokens, (parts, &form, &mut client)).await,
        _ => {
            let upstream = issuer(tokens, named.as_deref())?;
            if cookie.is_none() {
                proof::note(service, upstream, parts, &mut client).await?;
            }
            Ok(pass_on(service, tokens, upstream, (grant, &form, &client), cookie.as_ref()).await)
        }
    }
}

/// The issuer of a login.
fn issuer<'t>(tokens: &'t Tokens, named: Option<&str>) -> Result<&'t Arc<Upstream>, Fault> {
    match (named, &*tokens.upstream) {
        (None, [only]) => Ok(only),
        (None, _) => Err(Fault::InvalidRequest("`portcullis_issuer` is missing: there are several issuers")),
        (Some(named), _) => {
            tokens.issuer(named).ok_or(Fault::InvalidRequest("`portcullis_issuer` is not an issuer that is known here"))
        }
    }
}
