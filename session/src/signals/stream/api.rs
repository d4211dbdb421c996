//! The calls that manage streams (Shared Signals Framework 1.0, section 8.1). All of them block.

use super::super::client_credentials::AccessToken;
use super::super::keys::Endpoints;
use super::super::outbound::{Answer, Call, Caller, Url};
use super::{Status, Stream, streams};
use crate::store::postgres::Secret;
use serde_json::{Value, json};
use std::time::Duration;
use ureq::http::Method;

/// How long a call may take.
const CALL_MAX: Duration = Duration::from_secs(5);

/// A client of a transmitter's endpoints.
#[derive(Debug)]
pub(super) struct Api {
    caller: Caller,
    token: AccessToken,
}

/// What became of asking for a stream.
pub(super) enum Created {
    /// It was made.
    Made(Box<Stream>),
    /// The transmitter has one for this client, and allows no other.
    Conflict,
}

/// What became of asking for a verification event.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verification {
    /// It comes.
    Asked,
    /// One was asked for a moment ago, by another replica for example.
    TooOften,
}

impl Api {
    pub(super) fn new(caller: Caller, token: AccessToken) -> Self {
        Self { caller, token }
    }

    /// Every stream of this client. A transmitter that has none may also say that there is nothing.
    pub(super) fn list(&self, at: &Endpoints) -> Result<Vec<Stream>, String> {
        let answer = self.call(Method::GET, &at.configuration, None)?;
        if answer.status == 404 || answer.status == 204 {
            return Ok(Vec::new());
        }
        let answer = succeeded(&at.configuration, answer)?;
        streams(&answer.body).map_err(|()| unreadable(&at.configuration))
    }

    pub(super) fn create(&self, at: &Endpoints, stream: &Value) -> Result<Created, String> {
        let answer = self.call(Method::POST, &at.configuration, Some(stream))?;
        if answer.status == 409 {
            return Ok(Created::Conflict);
        }
        let answer = succeeded(&at.configuration, answer)?;
        let made = serde_json::from_slice(&answer.body).map_err(|_| unreadable(&at.configuration))?;
        Ok(Created::Made(Box::new(made)))
    }

    /// Changes what is named; the rest stays. Returns the whole stream, where the transmitter shows it.
    pub(super) fn update(&self, at: &Endpoints, changes: &Value) -> Result<Option<Stream>, String> {
        let answer = self.call(Method::PATCH, &at.configuration, Some(changes))?;
        let answer = succeeded(&at.configuration, answer)?;
        Ok(serde_json::from_slice(&answer.body).ok())
    }

    /// Deletes a stream, if it is there.
    pub(super) fn delete(&self, at: &Endpoints, stream_id: &str) -> Result<(), String> {
        let url = at.configuration.with("stream_id", stream_id);
        let answer = self.call(Method::DELETE, &url, None)?;
        if answer.status == 404 {
            return Ok(());
        }
        succeeded(&url, answer).map(drop)
    }

    /// Whether a stream delivers; none where the transmitter does not tell.
    pub(super) fn status(&self, at: &Endpoints, stream_id: &str) -> Result<Option<Status>, String> {
        let Some(endpoint) = &at.status else { return Ok(None) };
        let url = endpoint.with("stream_id", stream_id);
        let answer = succeeded(&url, self.call(Method::GET, &url, None)?)?;
        serde_json::from_slice(&answer.body).map(Some).map_err(|_| unreadable(&url))
    }

    /// Has a stream deliver, or pause.
    pub(super) fn set_status(
        &self,
        at: &Endpoints,
        stream_id: &str,
        status: &'static str,
        reason: Option<&str>,
    ) -> Result<(), String> {
        let url = at.status.as_ref().ok_or("the transmitter's configuration has no `status_endpoint`")?;
        let mut body = json!({"stream_id": stream_id, "status": status});
        if let (Some(reason), Some(body)) = (reason, body.as_object_mut()) {
            body.insert("reason".to_owned(), json!(reason));
        }
        succeeded(url, self.call(Method::POST, url, Some(&body))?).map(drop)
    }

    /// Asks for a verification event (section 8.1.4).
    pub(super) fn verify(&self, at: &Endpoints, stream_id: &str, state: &str) -> Result<Verification, String> {
        let url = at.verification.as_ref().ok_or("the transmitter's configuration has no `verification_endpoint`")?;
        let answer = self.call(Method::POST, url, Some(&json!({"stream_id": stream_id, "state": state})))?;
        if answer.status == 429 {
            return Ok(Verification::TooOften);
        }
        succeeded(url, answer).map(|_| Verification::Asked)
    }

    /// Asks for tokens (RFC 8936), with the access token unless something else is to be presented.
    pub(super) fn poll(
        &self,
        url: &Url,
        authorization: Option<&Secret>,
        body: &[u8],
        at_most: Duration,
    ) -> Result<Vec<u8>, String> {
        match authorization {
            Some(_) => self.caller.post(url, authorization, body, at_most),
            None => {
                let answer = self.with_token(Method::POST, url, Some(body), at_most)?;
                if answer.status == 200 { Ok(answer.body) } else { Err(answer.refusal(url)) }
            }
        }
    }

    fn call(&self, method: Method, url: &Url, body: Option<&Value>) -> Result<Answer, String> {
        let body = body.map(serde_json::to_vec).transpose().map_err(|e| e.to_string())?;
        self.with_token(method, url, body.as_deref(), CALL_MAX)
    }

    /// Makes a call with the access token. One that is refused is replaced once: it may have been revoked.
    fn with_token(&self, method: Method, url: &Url, body: Option<&[u8]>, at_most: Duration) -> Result<Answer, String> {
        let call = |method, authorization: &Secret| {
            let (authorization, body) = (Some(authorization), body.map(|body| ("application/json", body)));
            self.caller.exchange(&Call { method, url, authorization, body, at_most })
        };
        let first = self.token.authorization()?;
        let answer = call(method.clone(), &first)?;
        if answer.status != 401 {
            return Ok(answer);
        }
        self.token.refused(&first);
        call(method, &self.token.authorization()?)
    }
}

fn succeeded(url: &Url, answer: Answer) -> Result<Answer, String> {
    if answer.is_success() { Ok(answer) } else { Err(answer.refusal(url)) }
}

fn unreadable(Url(at): &Url) -> String {
    format!("{at}: its answer cannot be read")
}
