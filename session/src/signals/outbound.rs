//! Calls to transmitters: their keys, their configuration and what they have for us.

use crate::store::postgres::Secret;
use rustls::crypto::ring;
use std::fmt::Display;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use ureq::http::header::{ACCEPT, AUTHORIZATION};
use ureq::http::{Response, Uri};
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem};
use ureq::{Agent, Body};

/// The largest answer.
pub(super) const BYTES_MAX: usize = 1 << 20;

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

    pub(super) fn is_plain(&self) -> bool {
        self.0.starts_with("http:")
    }
}

/// What calls a transmitter.
#[derive(Debug, Clone)]
pub(super) struct Caller(Agent);

impl Caller {
    /// `tls` is how servers are verified; none where nothing is called over TLS.
    pub(super) fn new(tls: Option<TlsConfig>) -> Self {
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
    pub(super) fn get(&self, url: &Url, authorization: Option<&Secret>, at_most: Duration) -> Result<Vec<u8>, String> {
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
                return Err("the system has no root certificates: name a file of them as `ca`".to_owned());
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
}
