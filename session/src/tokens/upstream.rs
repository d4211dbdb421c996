//! Calls to issuers: no redirect is followed, an answer has at most 1 MiB, and so many calls are made at a time.

use super::browser::Pause;
use super::client::{Authentication, Client};
use super::form::Form;
use super::metrics::TokenMetrics;
use super::settings::{Endpoints, IssuerSettings};
use crate::log::Sampler;
use crate::signals::{Headed, Outbound, Url, on_a_thread, trusted};
use axum::body::Body;
use axum::http::header::{CONTENT_TYPE, HeaderName, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::Response;
use serde::Deserialize;
use serde_json::{Map, Value};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;
use tracing::warn;

/// How long a call may take.
const CALL_MAX: Duration = Duration::from_secs(10);

/// Calls that are made at a time: each takes a thread.
const CALLS_MAX: usize = 64;

/// How long a call waits for its turn.
const TURN_MAX: Duration = Duration::from_secs(2);

/// How long metadata is used.
const KNOWN_FOR: Duration = Duration::from_mins(10);

const DPOP: &str = "dpop";
const DPOP_NONCE: HeaderName = HeaderName::from_static("dpop-nonce");

/// A token that nobody has: an issuer that is asked to revoke it says whether it takes the client (RFC 7009, section 2.2).
const NOBODYS: &str = "portcullis-nobodys-token";

/// What an issuer answers.
#[derive(Debug)]
pub(super) enum Reply {
    /// Tokens.
    Issued(Map<String, Value>),
    /// An error of OAuth.
    Refused(Passed),
    /// Nothing that can be used.
    Out,
}

/// An error that is passed on as it is.
#[derive(Debug)]
pub(super) struct Passed {
    status: StatusCode,
    error: String,
    headers: Vec<(HeaderName, HeaderValue)>,
    body: Vec<u8>,
}

/// The endpoints of an issuer.
#[derive(Debug, Clone)]
pub(super) struct Known {
    pub(super) token: Url,
    pub(super) revocation: Option<Url>,
}

/// What is used of an issuer's metadata (RFC 8414).
#[derive(Deserialize)]
struct Metadata {
    issuer: String,
    token_endpoint: String,
    revocation_endpoint: Option<String>,
}

/// An issuer.
pub(super) struct Upstream {
    settings: IssuerSettings,
    outbound: Outbound,
    known: Mutex<Option<(Known, Instant)>>,
    turns: Arc<Semaphore>,
    /// For renewals of browsers' tokens, behind which nobody stands who would try again later.
    pause: Mutex<Pause>,
    metrics: Arc<TokenMetrics>,
}

impl Upstream {
    /// Those of a configuration, which take turns.
    pub(super) fn all(settings: &[IssuerSettings], metrics: &Arc<TokenMetrics>) -> Result<Vec<Arc<Self>>, String> {
        let turns = Arc::new(Semaphore::new(CALLS_MAX));
        let upstream = |settings: &IssuerSettings| {
            let (Endpoints::Named { token: url, .. } | Endpoints::Discovery(url)) = &settings.endpoints;
            let tls = trusted(settings.ca.as_ref(), url).map_err(|fault| format!("{}: {fault}", settings.issuer))?;
            Ok(Arc::new(Self {
                settings: settings.clone(),
                outbound: Outbound::new(Some(tls)),
                known: Mutex::default(),
                turns: Arc::clone(&turns),
                pause: Mutex::default(),
                metrics: Arc::clone(metrics),
            }))
        };
        settings.iter().map(upstream).collect()
    }

    pub(super) fn issuer(&self) -> &str {
        &self.settings.issuer
    }

    /// Whether an access token with that `aud` (RFC 7519, section 4.1.3) is for one of its audiences.
    pub(super) fn accepts(&self, aud: Option<&Value>) -> bool {
        let audiences = &self.settings.audiences;
        let is_ours = |value: &Value| value.as_str().is_some_and(|aud| audiences.iter().any(|ours| ours == aud));
        audiences.is_empty()
            || match aud {
                Some(Value::Array(list)) => list.iter().any(is_ours),
                Some(one) => is_ours(one),
                None => false,
            }
    }

    /// For how long no token of a browser is renewed here, in milliseconds: it has not answered.
    pub(super) fn paused_ms(&self, now_ms: u64) -> u64 {
        self.pause.lock().unwrap_or_else(PoisonError::into_inner).left_ms(now_ms)
    }

    /// Whether one is renewed now.
    pub(super) fn begins(&self, now_ms: u64) -> bool {
        self.pause.lock().unwrap_or_else(PoisonError::into_inner).admits(now_ms)
    }

    /// It has answered, or has not.
    pub(super) fn ended(&self, has_answered: bool, now_ms: u64) {
        let mut pause = self.pause.lock().unwrap_or_else(PoisonError::into_inner);
        match has_answered {
            true => pause.succeeded(),
            false => pause.failed(now_ms),
        }
    }

    /// Its endpoints; `None`: they are not known now.
    pub(super) async fn endpoints(self: &Arc<Self>) -> Option<Known> {
        if let Some(known) = self.held() {
            return Some(known);
        }
        let this = Arc::clone(self);
        match on_a_thread(move || this.discover()).await {
            Ok(known) => Some(known),
            Err(why) => self.out(&why),
        }
    }

    fn held(&self) -> Option<Known> {
        match &self.settings.endpoints {
            Endpoints::Named { token, revocation } => {
                Some(Known { token: token.clone(), revocation: revocation.clone() })
            }
            Endpoints::Discovery(_) => {
                let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
                known.as_ref().filter(|(_, until)| Instant::now() < *until).map(|(known, _)| known.clone())
            }
        }
    }

    fn discover(&self) -> Result<Known, String> {
        let Endpoints::Discovery(url) = &self.settings.endpoints else { return self.held().ok_or_else(String::new) };
        let bytes = self.outbound.get(url, None, CALL_MAX)?;
        let metadata: Metadata = serde_json::from_slice(&bytes)
            .map_err(|_| format!("{}: is not metadata with `issuer` and `token_endpoint`", url.as_str()))?;
        if metadata.issuer != self.settings.issuer {
            return Err(format!("{}: its `issuer` is not the one that is configured", url.as_str()));
        }
        let named = |text: &str| url.names(text).ok_or_else(|| format!("{}: `{text}` cannot be called", url.as_str()));
        let known = Known {
            token: named(&metadata.token_endpoint)?,
            revocation: metadata.revocation_endpoint.as_deref().map(named).transpose()?,
        };
        *self.known.lock().unwrap_or_else(PoisonError::into_inner) = Some((known.clone(), Instant::now() + KNOWN_FOR));
        Ok(known)
    }

    /// Passes a request for tokens on.
    pub(super) async fn token(self: &Arc<Self>, form: &Form, client: &Client) -> Reply {
        let Some(known) = self.endpoints().await else { return Reply::Out };
        let proof = client.proof.clone().map(|proof| (DPOP, proof));
        let began = Instant::now();
        let answer = self.post(known.token, form.text(), &client.authentication, proof).await;
        self.metrics.issuer_took(began.elapsed());
        match answer {
            Some(answer) => self.reply(answer),
            None => Reply::Out,
        }
    }

    fn reply(&self, answer: Headed) -> Reply {
        match Reply::read(answer) {
            Ok(reply) => reply,
            Err(why) => {
                self.out::<()>(why);
                Reply::Out
            }
        }
    }

    /// Whether the issuer takes the authentication of a client; `Issued` is empty then.
    pub(super) async fn admits(self: &Arc<Self>, client: &Client) -> Reply {
        match self.revoke(NOBODYS, &client.authentication).await {
            Ok(true) => Reply::Issued(Map::new()),
            // Nothing can be said without the endpoint.
            Ok(false) => Reply::Out,
            Err(Some(passed)) => Reply::Refused(passed),
            Err(None) => Reply::Out,
        }
    }

    /// Revokes a refresh token (RFC 7009). `false`: there is nowhere to do so. The error is the issuer's own, if it is one.
    pub(super) async fn revoke(
        self: &Arc<Self>,
        token: &str,
        authentication: &Authentication,
    ) -> Result<bool, Option<Passed>> {
        let Some(known) = self.endpoints().await else { return Err(None) };
        let Some(url) = known.revocation else { return Ok(false) };
        let form = Form::default().with("token", Some(token)).with("token_type_hint", Some("refresh_token"));
        let both = [form.text(), authentication.parameters.clone()];
        let form = both.iter().filter(|part| !part.is_empty()).map(String::as_str).collect::<Vec<_>>().join("&");
        match self.post(url, form, authentication, None).await {
            Some(answer) if (200..300).contains(&answer.status) => Ok(true),
            Some(answer) => match self.reply(answer) {
                Reply::Refused(passed) => Err(Some(passed)),
                Reply::Issued(_) | Reply::Out => Err(None),
            },
            None => Err(None),
        }
    }

    async fn post(
        self: &Arc<Self>,
        url: Url,
        form: String,
        authentication: &Authentication,
        more: Option<(&'static str, String)>,
    ) -> Option<Headed> {
        let turn = tokio::time::timeout(TURN_MAX, Arc::clone(&self.turns).acquire_owned()).await;
        let Ok(Ok(turn)) = turn else { return self.out("too many calls are being made") };
        let authorization = authentication.authorization.clone().map(|value| ("authorization", value));
        let headers: Vec<(&'static str, String)> = authorization.into_iter().chain(more).collect();
        let this = Arc::clone(self);
        let answered = on_a_thread(move || {
            let headers: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
            let answer = this.outbound.post_form(&url, &headers, &form, CALL_MAX);
            drop(turn);
            answer
        });
        match answered.await {
            Ok(answer) => Some(answer),
            Err(why) => self.out(&why),
        }
    }

    fn out<T>(&self, why: &str) -> Option<T> {
        static OUT: Sampler = Sampler::new();
        if let Some(not_logged) = OUT.admit() {
            warn!(issuer = self.settings.issuer, why, not_logged, "an issuer has not answered a request for tokens");
        }
        None
    }
}

impl Reply {
    /// Reads an answer. The error says why it is of no use; nothing of the answer itself is in it.
    fn read(answer: Headed) -> Result<Self, &'static str> {
        let Headed { status, headers, body } = answer;
        let members = || serde_json::from_slice::<Map<String, Value>>(&body).ok();
        match status {
            200 => members().map(Self::Issued).ok_or("its answer is not a JSON object"),
            429 | 408 | 425 => Err("it asks to be left alone"),
            400..=499 => {
                let error = members().and_then(|members| Some(members.get("error")?.as_str()?.to_owned()));
                let error = error.ok_or("its refusal is not one of OAuth")?;
                let status = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_REQUEST);
                let passed = [WWW_AUTHENTICATE, DPOP_NONCE].into_iter();
                let headers = passed.filter_map(|name| Some((name.clone(), headers.get(name)?.clone()))).collect();
                Ok(Self::Refused(Passed { status, error, headers, body }))
            }
            300..=399 => Err("it redirects, which is not followed"),
            _ => Err("it has failed"),
        }
    }
}

impl Passed {
    /// The code of the error.
    pub(super) fn error(&self) -> &str {
        &self.error
    }

    /// The answer to the client.
    pub(super) fn into_response(self) -> Response {
        let mut response = Response::new(Body::from(self.body));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.extend(self.headers);
        super::fault::uncached(response)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(status: u16, body: &str) -> Result<Reply, &'static str> {
        let mut headers = axum::http::HeaderMap::new();
        headers.insert(DPOP_NONCE, "n".parse().unwrap());
        headers.insert("set-cookie", "a=b".parse().unwrap());
        Reply::read(Headed { status, headers, body: body.as_bytes().to_vec() })
    }

    #[test]
    fn errors_of_oauth_are_passed_on_and_nothing_else_is() {
        let Ok(Reply::Refused(passed)) = read(401, r#"{"error":"invalid_client","error_description":"x"}"#) else {
            panic!("it is refused");
        };
        assert_eq!(passed.error(), "invalid_client");
        let response = passed.into_response();
        assert_eq!(response.status(), 401);
        assert_eq!(response.headers()["dpop-nonce"], "n");
        assert!(response.headers().get("set-cookie").is_none());
        assert_eq!(response.headers()["cache-control"], "no-store");
        for (status, body) in [
            (400, "<html>"),
            (400, "{}"),
            (400, r#"{"error":1}"#),
            (404, ""),
            (429, r#"{"error":"slow"}"#),
            (500, r#"{"error":"server_error"}"#),
            (503, r#"{"error":"temporarily_unavailable"}"#),
            (302, ""),
            (200, "[]"),
            (200, ""),
            (204, ""),
        ] {
            assert!(read(status, body).is_err(), "{status} {body}");
        }
        assert!(matches!(read(200, r#"{"access_token":"x"}"#), Ok(Reply::Issued(_))));
    }
}
