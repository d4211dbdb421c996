//! Calls to transmitters: their keys, their configuration and what they have for us.

use crate::store::postgres::Secret;
use rustls::crypto::ring;
use std::fmt::Display;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;
use ureq::http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use ureq::http::{HeaderMap, Method, Request, Response, Uri};
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem};
use ureq::{Agent, Body};

/// The largest answer.
pub(super) const BYTES_MAX: usize = 1 << 20;

/// The longest code of an error that is repeated.
const ERROR_CODE_BYTES_MAX: usize = 64;

/// How long a connection may take.
const CONNECT_MAX: Duration = Duration::from_secs(5);

/// A URL that can be called: `https`, or `http` on a loopback address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Url(pub(super) String);

impl Url {
    /// Reads one. The error says what is wrong.
    pub(crate) fn read(text: &str) -> Result<Self, String> {
        let uri: Uri = text.parse().map_err(|_| format!("`{text}` is not a URL"))?;
        let host = uri.host().unwrap_or_default();
        // It would be printed with every fault.
        if uri.authority().is_some_and(|authority| authority.as_str().contains('@')) {
            return Err("a URL with a user or a password in it: use `authorization`".to_owned());
        }
        let is_here = || {
            let host = host.trim_start_matches('[').trim_end_matches(']');
            host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
        };
        match uri.scheme_str() {
            Some("https") if !host.is_empty() => Ok(Self(text.to_owned())),
            Some("http") if is_here() => Ok(Self(text.to_owned())),
            Some("http") => Err(format!("`{text}` is not encrypted: `http` is for loopback addresses only")),
            _ => Err(format!("`{text}` is not an `https` URL")),
        }
    }

    pub(crate) fn is_plain(&self) -> bool {
        self.0.starts_with("http:")
    }

    /// As text.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// The same, with a parameter in its query.
    pub(super) fn with(&self, name: &str, value: &str) -> Self {
        let separator = if self.0.contains('?') { '&' } else { '?' };
        let pair = form_urlencoded::Serializer::new(String::new()).append_pair(name, value).finish();
        Self(format!("{}{separator}{pair}", self.0))
    }

    /// What a document that was fetched here names as another URL: one that is not encrypted is only taken from a document
    /// that was not encrypted either.
    pub(crate) fn names(&self, text: &str) -> Option<Self> {
        Self::read(text).ok().filter(|named| self.is_plain() || !named.is_plain())
    }
}

/// A call whose answer may have any status.
pub(super) struct Call<'c> {
    pub(super) method: Method,
    pub(super) url: &'c Url,
    pub(super) authorization: Option<&'c Secret>,
    /// A body, with its type.
    pub(super) body: Option<(&'static str, &'c [u8])>,
    /// How long it may take.
    pub(super) at_most: Duration,
}

/// What is answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
}

/// The same with its headers.
#[derive(Debug)]
pub(crate) struct Headed {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(super) fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// For people: the status, and the code of the error where one is given as OAuth and RFC 8935 do.
    pub(super) fn refusal(&self, Url(url): &Url) -> String {
        #[derive(serde::Deserialize)]
        struct Body {
            #[serde(alias = "err")]
            error: String,
        }
        let is_code = |code: &String| {
            code.len() <= ERROR_CODE_BYTES_MAX && code.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        };
        let code = serde_json::from_slice::<Body>(&self.body).ok().map(|body| body.error).filter(is_code);
        let code = code.map(|code| format!(" (`{code}`)")).unwrap_or_default();
        format!("{url}: it answered {}{code}", self.status)
    }
}

/// What calls a transmitter.
#[derive(Debug, Clone)]
pub(crate) struct Caller(Agent);

impl Caller {
    /// `tls` is how servers are verified; none where nothing is called over TLS.
    pub(crate) fn new(tls: Option<TlsConfig>) -> Self {
        let config = Agent::config_builder()
            .http_status_as_error(false)
            // A redirect could lead into the network of this service.
            .max_redirects(0)
            .proxy(None)
            .timeout_connect(Some(CONNECT_MAX))
            .user_agent(concat!("portcullis-session/", env!("CARGO_PKG_VERSION")));
        Self(match tls {
            None => config.build().into(),
            Some(tls) => config.tls_config(tls).build().into(),
        })
    }

    /// Gets a document, in at most this time. Blocks.
    pub(crate) fn get(&self, url: &Url, authorization: Option<&Secret>, at_most: Duration) -> Result<Vec<u8>, String> {
        let mut call = self.0.get(&url.0).header(ACCEPT, "application/json");
        if let Some(Secret(value)) = authorization {
            call = call.header(AUTHORIZATION, value);
        }
        let answer = call.config().timeout_global(Some(at_most)).build().call();
        read(url, answer)
    }

    /// Posts JSON and gets what is answered, in at most this time. Blocks.
    pub(super) fn post(
        &self,
        url: &Url,
        authorization: Option<&Secret>,
        body: &[u8],
        at_most: Duration,
    ) -> Result<Vec<u8>, String> {
        let mut call = self.0.post(&url.0).header(ACCEPT, "application/json").content_type("application/json");
        if let Some(Secret(value)) = authorization {
            call = call.header(AUTHORIZATION, value);
        }
        let answer = call.config().timeout_global(Some(at_most)).build().send(body);
        read(url, answer)
    }

    /// Posts JSON with these headers, and returns what is answered, whatever its status is. The error does not name the URL,
    /// which can be a secret. Blocks.
    pub(crate) fn post_as(
        &self,
        Url(url): &Url,
        headers: &[(&str, &str)],
        body: &[u8],
        at_most: Duration,
    ) -> Result<Answer, String> {
        let failed = |error: ureq::Error| match error {
            ureq::Error::BadUri(_) => "the URL cannot be called".to_owned(),
            other => other.to_string(),
        };
        let mut call = self.0.post(url).content_type("application/json");
        for (name, value) in headers {
            call = call.header(*name, *value);
        }
        let mut answer = call.config().timeout_global(Some(at_most)).build().send(body).map_err(failed)?;
        let status = answer.status().as_u16();
        let body = answer.body_mut().with_config().limit(BYTES_MAX as u64).read_to_vec().map_err(failed)?;
        Ok(Answer { status, body })
    }

    /// Posts a form with these headers, and returns what is answered, whatever its status is. Blocks.
    pub(crate) fn post_form(
        &self,
        Url(url): &Url,
        headers: &[(&str, &str)],
        form: &str,
        at_most: Duration,
    ) -> Result<Headed, String> {
        let failed = |what: &dyn Display| format!("{url}: {what}");
        let mut call = self.0.post(url).header(ACCEPT, "application/json");
        for (name, value) in headers {
            call = call.header(*name, *value);
        }
        let call = call.content_type("application/x-www-form-urlencoded");
        let answer = call.config().timeout_global(Some(at_most)).build().send(form);
        let mut answer = answer.map_err(|e| failed(&e))?;
        let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
        let body = answer.body_mut().with_config().limit(BYTES_MAX as u64).read_to_vec().map_err(|e| failed(&e))?;
        Ok(Headed { status, headers, body })
    }

    /// Makes a call, and returns what is answered, whatever its status is. Blocks.
    pub(super) fn exchange(&self, call: &Call<'_>) -> Result<Answer, String> {
        let Url(url) = call.url;
        let failed = |what: &dyn Display| format!("{url}: {what}");
        let mut request = Request::builder().method(&call.method).uri(url).header(ACCEPT, "application/json");
        if let Some(Secret(value)) = call.authorization {
            request = request.header(AUTHORIZATION, value);
        }
        let within = Some(call.at_most);
        let answer = match call.body {
            None => {
                let request = request.body(()).map_err(|e| failed(&e))?;
                self.0.run(self.0.configure_request(request).timeout_global(within).build())
            }
            Some((content_type, body)) => {
                let request = request.header(CONTENT_TYPE, content_type).body(body).map_err(|e| failed(&e))?;
                self.0.run(self.0.configure_request(request).timeout_global(within).build())
            }
        };
        let mut answer = answer.map_err(|e| failed(&e))?;
        let status = answer.status().as_u16();
        let body = answer.body_mut().with_config().limit(BYTES_MAX as u64).read_to_vec().map_err(|e| failed(&e))?;
        Ok(Answer { status, body })
    }
}

fn read(Url(url): &Url, answer: Result<Response<Body>, ureq::Error>) -> Result<Vec<u8>, String> {
    let failed = |what: &dyn Display| format!("{url}: {what}");
    let mut answer = answer.map_err(|e| failed(&e))?;
    if answer.status() != 200 {
        return Err(failed(&format_args!("it answered {}", answer.status().as_u16())));
    }
    answer.body_mut().with_config().limit(BYTES_MAX as u64).read_to_vec().map_err(|e| failed(&e))
}

/// Runs a call on a thread of its own: a server that does not answer holds up neither the others nor the service's stop.
pub(super) fn apart(call: impl FnOnce() + Send + 'static) -> std::io::Result<()> {
    std::thread::Builder::new().name("signals".to_owned()).spawn(call).map(drop)
}

/// Waits for a call that runs [`apart`].
pub(crate) async fn on_a_thread<T: Send + 'static>(
    call: impl FnOnce() -> Result<T, String> + Send + 'static,
) -> Result<T, String> {
    let (tell, told) = oneshot::channel();
    let started = apart(move || drop(tell.send(call())));
    started.map_err(|e| format!("cannot start a thread: {e}"))?;
    told.await.unwrap_or_else(|_| Err("the call was aborted".to_owned()))
}

/// How the server of a URL is verified.
pub(crate) fn trusted(ca: Option<&PathBuf>, url: &Url) -> Result<TlsConfig, String> {
    tls(ca, url.is_plain())
}

/// How servers are verified. Without root certificates none can be: an error, unless none has to be at first.
pub(super) fn tls(ca: Option<&PathBuf>, is_plain: bool) -> Result<TlsConfig, String> {
    let roots = match ca {
        Some(file) => {
            let pem = std::fs::read(file).map_err(|e| format!("ca: cannot read `{}`: {e}", file.display()))?;
            let certificates: Vec<_> = parse_pem(&pem)
                .filter_map(|item| match item {
                    Ok(PemItem::Certificate(certificate)) => Some(certificate),
                    _ => None,
                })
                .collect();
            if certificates.is_empty() {
                return Err(format!("ca: no certificate in `{}`", file.display()));
            }
            certificates
        }
        None => {
            let found = rustls_native_certs::load_native_certs();
            if found.certs.is_empty() && !is_plain {
                return Err("the system has no root certificates: name a file of certificates as `ca`".to_owned());
            }
            found.certs.iter().map(|certificate| Certificate::from_der(certificate).to_owned()).collect()
        }
    };
    let builder = TlsConfig::builder().unversioned_rustls_crypto_provider(Arc::new(ring::default_provider()));
    Ok(builder.root_certs(RootCerts::Specific(Arc::new(roots))).build())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_encrypted_or_on_this_machine_is_called() {
        for url in ["https://id.example.com/jwks", "http://127.0.0.1:9/jwks", "http://[::1]/x", "http://localhost/x"] {
            assert!(Url::read(url).is_ok(), "{url}");
        }
        for url in [
            "http://id.example.com/jwks",
            "http://10.0.0.1/",
            "id.example.com",
            "/jwks",
            "file:///etc/passwd",
            "",
            "https://a:b@id.example.com",
        ] {
            assert!(Url::read(url).is_err(), "{url}");
        }
    }

    #[test]
    fn what_a_document_names_is_no_less_encrypted_than_the_document() {
        let (encrypted, plain) = (Url::read("https://id/ssf").unwrap(), Url::read("http://127.0.0.1/ssf").unwrap());
        assert_eq!(encrypted.names("https://id/streams").unwrap().0, "https://id/streams");
        assert!(encrypted.names("http://127.0.0.1/streams").is_none());
        assert!(plain.names("http://127.0.0.1/streams").is_some() && plain.names("https://id/streams").is_some());
        assert!(plain.names("http://id/streams").is_none());
    }

    #[test]
    fn a_parameter_is_added_to_a_url_with_and_without_a_query() {
        let with = |url: &str| Url::read(url).unwrap().with("stream_id", "a b&c").0;
        assert_eq!(with("https://id/s"), "https://id/s?stream_id=a+b%26c");
        assert_eq!(with("https://id/s?x=1"), "https://id/s?x=1&stream_id=a+b%26c");
    }

    #[test]
    fn a_refusal_repeats_only_the_code_of_an_error() {
        let url = Url::read("https://id/token").unwrap();
        let refusal = |body: &str| Answer { status: 400, body: body.as_bytes().to_vec() }.refusal(&url);
        assert_eq!(refusal(r#"{"error":"invalid_client"}"#), "https://id/token: it answered 400 (`invalid_client`)");
        assert_eq!(refusal(r#"{"err":"invalid_request"}"#), "https://id/token: it answered 400 (`invalid_request`)");
        for body in ["", "<html>", r#"{"error":{}}"#, r#"{"error":"two words"}"#] {
            assert_eq!(refusal(body), "https://id/token: it answered 400", "{body}");
        }
    }
}
