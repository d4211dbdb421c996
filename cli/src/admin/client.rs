//! An HTTP client of the admin API.

use super::plain::{clipped, plain};
use crate::error::Error;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;
use std::{
    io,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};
use ureq::{
    Agent, Body,
    http::{HeaderValue, Response, StatusCode, header::AUTHORIZATION},
    tls::TlsConfig,
};

/// The largest response, in bytes.
const ANSWER_BYTES_MAX: u64 = 64 << 20;
/// The largest problem document (RFC 9457), in bytes.
const PROBLEM_BYTES_MAX: u64 = 64 << 10;
/// How much of a problem's `detail` is shown, in characters.
const DETAIL_CHARS_MAX: usize = 1_000;
/// The code of a problem document for what does not exist.
const NOT_FOUND: &str = "not_found";
/// The code for what the caller may not do.
const FORBIDDEN: &str = "forbidden";
/// The code for a login that is not strong or not recent enough.
const WEAK_LOGIN: &str = "insufficient_user_authentication";
/// The timeout for connecting.
const CONNECT_MAX: Duration = Duration::from_secs(10);
/// The timeout for a response.
const ANSWER_MAX: Duration = Duration::from_secs(60);
/// The longest silence on an event stream. The service sends a keep-alive at least every 15 seconds.
const SILENCE_MAX: Duration = Duration::from_secs(45);

/// A client of one session service.
#[derive(Debug)]
pub(super) struct Client {
    agent: Agent,
    base: String,
    credential: HeaderValue,
    credential_from: String,
    /// How long the last answer has waited for filters to give leases back, in milliseconds.
    waited_ms: AtomicU64,
}

/// Why a call failed.
#[derive(Debug)]
pub(super) struct Failure {
    /// For an operator, and safe to print on a terminal.
    pub(super) message: String,
    /// Whether a retry can succeed.
    pub(super) may_pass: bool,
    /// Whether the service said that what the path names does not exist.
    pub(super) is_not_found: bool,
}

/// A path of the API. Every part is percent-encoded when it is added.
#[derive(Debug, Clone)]
pub(super) struct Path {
    text: String,
    has_query: bool,
}

impl Path {
    pub(super) fn new(path: &'static str) -> Self {
        Self { text: path.to_owned(), has_query: false }
    }

    /// Adds a segment.
    pub(super) fn segment(mut self, text: &str) -> Self {
        self.text += "/";
        self.text.extend(utf8_percent_encode(text, NON_ALPHANUMERIC));
        self
    }

    /// Adds a query parameter, unless it has no value.
    pub(super) fn parameter(mut self, name: &'static str, value: Option<&str>) -> Self {
        if let Some(value) = value {
            self.text += if self.has_query { "&" } else { "?" };
            self.text += name;
            self.text += "=";
            self.text.extend(utf8_percent_encode(value, NON_ALPHANUMERIC));
            self.has_query = true;
        }
        self
    }
}

/// What an answer says about that (W3C Server Timing).
fn waited_ms(answer: &Response<Body>) -> u64 {
    let timing = answer.headers().get("server-timing").and_then(|value| value.to_str().ok());
    timing.and_then(|text| text.strip_prefix("leases;dur=")).and_then(|ms| ms.parse().ok()).unwrap_or_default()
}

impl Client {
    /// `credential_from` is the source of the credential, for the message when the service rejects it.
    pub(super) fn new(base: String, credential: HeaderValue, credential_from: String, tls: Option<TlsConfig>) -> Self {
        let config = Agent::config_builder()
            .http_status_as_error(false)
            // The API never redirects. Neither another host nor a proxy may see the credential.
            .max_redirects(0)
            .proxy(None)
            .timeout_connect(Some(CONNECT_MAX))
            .timeout_recv_response(Some(ANSWER_MAX))
            .timeout_per_read(Some(SILENCE_MAX))
            .timeout_per_write(Some(ANSWER_MAX))
            .user_agent(concat!("portcullis/", env!("CARGO_PKG_VERSION")))
            .tls_config(tls.unwrap_or_default())
            .build();
        Self { agent: config.into(), base, credential, credential_from, waited_ms: AtomicU64::new(0) }
    }

    /// How long the last answer has waited for filters to give leases back, in milliseconds.
    pub(super) fn waited_ms(&self) -> u64 {
        self.waited_ms.load(Ordering::Relaxed)
    }

    /// Sends a GET request.
    pub(super) fn get<T: DeserializeOwned>(&self, path: &Path) -> Result<T, Failure> {
        let answer = self.agent.get(self.url(path)).header(AUTHORIZATION, &self.credential).call();
        self.read(self.accepted(answer)?)
    }

    /// Sends a POST request.
    pub(super) fn post<T: DeserializeOwned>(&self, path: &Path, body: &Value) -> Result<T, Failure> {
        let call = self.agent.post(self.url(path)).header(AUTHORIZATION, &self.credential);
        let answer = call.content_type("application/json").send(body.to_string());
        self.read(self.accepted(answer)?)
    }

    /// Sends a PUT request.
    pub(super) fn put<T: DeserializeOwned>(&self, path: &Path, body: &Value) -> Result<T, Failure> {
        let call = self.agent.put(self.url(path)).header(AUTHORIZATION, &self.credential);
        let answer = call.content_type("application/json").send(body.to_string());
        self.read(self.accepted(answer)?)
    }

    /// Sends a PATCH request.
    pub(super) fn patch<T: DeserializeOwned>(&self, path: &Path, body: &Value) -> Result<T, Failure> {
        let call = self.agent.patch(self.url(path)).header(AUTHORIZATION, &self.credential);
        let answer = call.content_type("application/json").send(body.to_string());
        self.read(self.accepted(answer)?)
    }

    /// Sends a DELETE request.
    pub(super) fn delete<T: DeserializeOwned>(&self, path: &Path) -> Result<T, Failure> {
        let answer = self.agent.delete(self.url(path)).header(AUTHORIZATION, &self.credential).call();
        self.read(self.accepted(answer)?)
    }

    /// Opens a stream of server-sent events, after the event `last_id` if there is one.
    pub(super) fn listen(&self, path: &Path, last_id: Option<&str>) -> Result<impl io::Read + use<>, Failure> {
        let call = self.agent.get(self.url(path)).header(AUTHORIZATION, &self.credential);
        let call = last_id.into_iter().fold(call, |call, id| call.header("last-event-id", id));
        let answer = self.accepted(call.header("accept", "text/event-stream").call())?;
        let kind = answer.body().mime_type();
        if kind != Some("text/event-stream") {
            return Err(Failure::lasting(format!(
                "{} did not respond with an event stream; is it the admin API?",
                self.place()
            )));
        }
        Ok(answer.into_body().into_reader())
    }

    fn url(&self, path: &Path) -> String {
        format!("{}{}", self.base, path.text)
    }

    fn place(&self) -> String {
        format!("`{}`", plain(&self.base))
    }

    fn read<T: DeserializeOwned>(&self, answer: Response<Body>) -> Result<T, Failure> {
        let text = answer.into_body().into_with_config().limit(ANSWER_BYTES_MAX).read_to_string();
        let text = text.map_err(|error| self.unreachable(&error))?;
        serde_json::from_str(&text).map_err(|error| {
            let why = plain(&error.to_string()).into_owned();
            Failure::lasting(format!("unexpected response from {}: {why}; is it the admin API?", self.place()))
        })
    }

    fn accepted(&self, answer: Result<Response<Body>, ureq::Error>) -> Result<Response<Body>, Failure> {
        let answer = answer.map_err(|error| self.unreachable(&error))?;
        match answer.status() {
            status if status.is_success() => {
                self.waited_ms.store(waited_ms(&answer), Ordering::Relaxed);
                Ok(answer)
            }
            StatusCode::UNAUTHORIZED => Err(self.unauthorized(answer)),
            status => Err(self.refused(status, answer)),
        }
    }

    /// What is wrong with the credential, and what helps.
    fn unauthorized(&self, answer: Response<Body>) -> Failure {
        let (place, from) = (self.place(), &self.credential_from);
        let is_weak = Problem::of(answer).is_some_and(|problem| problem.code == WEAK_LOGIN);
        Failure::lasting(match is_weak {
            true => format!(
                "the session service at {place} wants a stronger or more recent login than the one behind the token from {from}: \
                 log in again, and use the new token"
            ),
            false => format!(
                "the session service at {place} rejected the credential from {from}: it expects a different admin credential, or \
                 an access token that has not expired"
            ),
        })
    }

    /// The service's problem document (RFC 9457) as a message.
    fn refused(&self, status: StatusCode, answer: Response<Body>) -> Failure {
        let problem = Problem::of(answer);
        let is_not_found = problem.as_ref().is_some_and(|problem| problem.code == NOT_FOUND);
        let message = match problem {
            Some(Problem { detail, code }) if code == FORBIDDEN => format!(
                "{} (`{FORBIDDEN}`); `portcullis whoami` shows what the credential from {} allows",
                clipped(&detail, DETAIL_CHARS_MAX),
                self.credential_from
            ),
            Some(Problem { detail, code }) => {
                format!("{} (`{}`)", clipped(&detail, DETAIL_CHARS_MAX), clipped(&code, DETAIL_CHARS_MAX))
            }
            None => format!("{} responded with status {}; is it the admin API?", self.place(), status.as_u16()),
        };
        Failure { message, may_pass: status.is_server_error(), is_not_found }
    }

    fn unreachable(&self, error: &ureq::Error) -> Failure {
        let place = self.place();
        if let Some(why) = untrusted(error) {
            let message = format!("the certificate of {place} is not trusted: {why}; use `--ca` to trust another root");
            return Failure::lasting(plain(&message).into_owned());
        }
        let (message, may_pass) = match error {
            ureq::Error::Io(io) if io.kind() == io::ErrorKind::ConnectionRefused => {
                let hint = "is the session service running, and is this its admin address? Use `--url`, or set";
                (format!("connection to {place} refused: {hint} `{}`", super::URL_ENV), true)
            }
            ureq::Error::HostNotFound => (format!("unknown host in {place}"), true),
            ureq::Error::Timeout(_) => (format!("{place} did not respond in time"), true),
            ureq::Error::BodyExceedsLimit(_) => (format!("the response of {place} is too large"), false),
            error => (format!("cannot reach {place}: {error}"), true),
        };
        Failure { message: plain(&message).into_owned(), may_pass, is_not_found: false }
    }
}

/// What is read of a problem document (RFC 9457).
#[derive(Deserialize)]
struct Problem {
    detail: String,
    code: String,
}

impl Problem {
    fn of(answer: Response<Body>) -> Option<Self> {
        let text = answer.into_body().into_with_config().limit(PROBLEM_BYTES_MAX).read_to_string();
        serde_json::from_str(&text.ok()?).ok()
    }
}

/// The certificate error, if the certificate is the reason.
fn untrusted(error: &ureq::Error) -> Option<&rustls::Error> {
    let error = match error {
        ureq::Error::Rustls(error) => error,
        ureq::Error::Io(error) => error.get_ref()?.downcast_ref()?,
        _ => return None,
    };
    matches!(error, rustls::Error::InvalidCertificate(_)).then_some(error)
}

impl Failure {
    /// One that no retry helps against. The message must be safe to print.
    pub(super) fn lasting(message: String) -> Self {
        Self { message, may_pass: false, is_not_found: false }
    }
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        Self::failed(failure.message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_given_can_not_leave_its_place_in_a_path() {
        let path = Path::new("/v1/sessions").segment("../x?y#z").parameter("subject", Some("a&b=c d/ü"));
        let path = path.parameter("client_id", None).parameter("state", Some("active"));
        assert_eq!(path.text, "/v1/sessions/%2E%2E%2Fx%3Fy%23z?subject=a%26b%3Dc%20d%2F%C3%BC&state=active");
    }
}
