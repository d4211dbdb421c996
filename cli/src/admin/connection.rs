//! The options that lead to the admin API: its URL, the credential and the trusted roots.

use super::{CREDENTIAL_ENV, URL_ENV, client::Client};
use crate::{error::Error, input, tls};
use std::{env, path::PathBuf};
use ureq::http::{HeaderValue, Uri};

/// The largest credential file, in bytes: it may hold an access token.
const CREDENTIAL_BYTES_MAX: u64 = 64 << 10;

/// Where the admin API is by default.
const URL: &str = "http://127.0.0.1:7071";

/// The connection to the session service. The credential, or an OAuth access token, is never an argument: it comes from
/// PORTCULLIS_ADMIN_CREDENTIAL or from a file
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Session service")]
pub(super) struct Connection {
    /// URL of the session service's admin API [env: PORTCULLIS_ADMIN_URL] [default: http://127.0.0.1:7071]
    // Not clap's `env`: the usage of a wrong call would have the option as if it were required.
    #[arg(long)]
    url: Option<String>,
    #[command(flatten)]
    access: Access,
}

/// What a session service asks of its callers, and what they ask of it.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Session service")]
pub(crate) struct Access {
    /// Read the admin credential or access token from this file instead of the variable PORTCULLIS_ADMIN_CREDENTIAL
    #[arg(long, value_name = "FILE")]
    credential_file: Option<PathBuf>,
    /// Trust the root certificates in this PEM file instead of the system's
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// Present the client certificate in this PEM file, with its chain
    #[arg(long, value_name = "FILE", requires = "key")]
    cert: Option<PathBuf>,
    /// Private key of the client certificate, as PEM
    #[arg(long, value_name = "FILE", requires = "cert")]
    key: Option<PathBuf>,
}

impl Connection {
    /// Makes a client if a credential is given, for a command that can also do without the service.
    pub(super) fn client_if_given(&self) -> Result<Option<Client>, Error> {
        match self.access.credential_file.is_some() || env::var_os(CREDENTIAL_ENV).is_some() {
            true => self.client().map(Some),
            false => Ok(None),
        }
    }

    /// Makes a client; it does not connect yet.
    pub(super) fn client(&self) -> Result<Client, Error> {
        let url = match &self.url {
            Some(url) => url.clone(),
            None => env::var(URL_ENV).unwrap_or_else(|_| URL.to_owned()),
        };
        self.access.client(&url, &format!("--url` or `{URL_ENV}"))
    }
}

impl Access {
    /// Makes a client of the service at a URL; `from` is what has given it.
    pub(super) fn client(&self, url: &str, from: &str) -> Result<Client, Error> {
        let (base, is_https) = base(url).map_err(|why| Error::invalid(format_args!("`{from}`: {why}")))?;
        let (credential, from) = self.credential()?;
        let own = self.cert.as_deref().zip(self.key.as_deref());
        let tls = if is_https { Some(tls::config(self.ca.as_deref(), own)?) } else { None };
        Ok(Client::new(base, credential, from, tls))
    }

    /// The credential as a header value, and its source.
    fn credential(&self) -> Result<(HeaderValue, String), Error> {
        let (secret, from) = match &self.credential_file {
            Some(file) => {
                let from = format!("`{}`", file.display());
                let text = String::from_utf8(input::bytes_within(file, CREDENTIAL_BYTES_MAX)?);
                (text.map_err(|_| Error::invalid(format_args!("{from} is not valid UTF-8")))?, from)
            }
            None => {
                let from = format!("`{CREDENTIAL_ENV}`");
                let Some(text) = env::var_os(CREDENTIAL_ENV) else {
                    return Err(Error::invalid(format_args!(
                        "the admin API needs a credential: set {from}, or use `--credential-file`"
                    )));
                };
                (text.into_string().map_err(|_| Error::invalid(format_args!("{from} is not valid UTF-8")))?, from)
            }
        };
        let secret = secret.trim();
        if secret.is_empty() || !secret.bytes().all(|byte| byte.is_ascii_graphic()) {
            // The message must not repeat the text: it may still be a credential.
            return Err(Error::invalid(format_args!(
                "{from} is not a credential: expected one line of printable ASCII characters"
            )));
        }
        let mut header = HeaderValue::try_from(format!("Bearer {secret}"))
            .map_err(|_| Error::invalid(format_args!("{from} cannot be sent in an HTTP header")))?;
        header.set_sensitive(true);
        Ok((header, from))
    }
}

/// The URL without a trailing slash, and whether it is https.
fn base(url: &str) -> Result<(String, bool), String> {
    if url.contains('@') {
        // The message must not repeat the URL: it may contain a password.
        return Err(
            "the URL must not contain a user; the credential comes from the environment or from a file".to_owned()
        );
    }
    let expected = || "expected a URL such as `http://127.0.0.1:7071`".to_owned();
    let uri: Uri = url.parse().map_err(|_| expected())?;
    let is_https = match uri.scheme_str() {
        Some("http") => false,
        Some("https") => true,
        _ => return Err(expected()),
    };
    if uri.authority().is_none_or(|authority| authority.host().is_empty()) || uri.query().is_some() || url.contains('#')
    {
        return Err(expected());
    }
    Ok((url.trim_end_matches('/').to_owned(), is_https))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_base_url_and_nothing_more() {
        for (url, expected) in [
            ("http://127.0.0.1:7071", ("http://127.0.0.1:7071", false)),
            ("http://[::1]:7071/", ("http://[::1]:7071", false)),
            ("https://ops.example.com/portcullis/", ("https://ops.example.com/portcullis", true)),
        ] {
            assert_eq!(base(url), Ok((expected.0.to_owned(), expected.1)), "{url}");
        }
        for url in
            ["", "127.0.0.1:7071", "localhost", "ftp://x", "http://", "http://x?y=1", "http://x/#y", "http://a b"]
        {
            assert!(base(url).is_err(), "{url}");
        }
        assert!(base("http://me:secret@x").is_err_and(|why| !why.contains("secret")));
    }
}
