//! How the admin API is reached: its address, its credential, and whom to trust.

use super::{CREDENTIAL_ENV, URL_ENV, client::Client};
use crate::exit::Trouble;
use rustls::crypto::ring;
use std::{env, fs, io::Read, path::Path, path::PathBuf, sync::Arc};
use ureq::{
    http::{HeaderValue, Uri},
    tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem},
};

/// The largest file of a credential, in bytes.
const CREDENTIAL_BYTES_MAX: u64 = 8 << 10;
/// The largest file of roots, in bytes.
const CA_BYTES_MAX: u64 = 16 << 20;

/// Where the session service is, and who asks. The credential is never an argument: it comes from
/// PORTCULLIS_ADMIN_CREDENTIAL, or from a file
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Session service")]
pub(super) struct Connection {
    /// The admin API of the session service
    #[arg(long, env = URL_ENV, default_value = "http://127.0.0.1:7071")]
    url: String,
    /// The file of the admin credential, in place of the variable PORTCULLIS_ADMIN_CREDENTIAL
    #[arg(long, value_name = "FILE")]
    credential_file: Option<PathBuf>,
    /// The certificates that https trusts, PEM, in place of the system's
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
}

impl Connection {
    /// A client of the service; nothing is sent yet.
    pub(super) fn client(&self) -> Result<Client, Trouble> {
        let (base, is_https) =
            base(&self.url).map_err(|why| Trouble::faulty(format_args!("`--url` or `{URL_ENV}`: {why}")))?;
        let (credential, from) = self.credential()?;
        let tls = if is_https { Some(tls(self.ca.as_deref())?) } else { None };
        Ok(Client::new(base, credential, from, tls))
    }

    /// The credential as a header, and where it comes from.
    fn credential(&self) -> Result<(HeaderValue, String), Trouble> {
        let (secret, from) = match &self.credential_file {
            Some(file) => {
                let from = format!("`{}`", file.display());
                let text = String::from_utf8(read(file, CREDENTIAL_BYTES_MAX)?);
                (text.map_err(|_| Trouble::faulty(format_args!("{from} holds no text")))?, from)
            }
            None => {
                let from = format!("`{CREDENTIAL_ENV}`");
                let Some(text) = env::var_os(CREDENTIAL_ENV) else {
                    return Err(Trouble::faulty(format_args!(
                        "the admin API wants a credential: set {from} to it, or name its file with `--credential-file`"
                    )));
                };
                (text.into_string().map_err(|_| Trouble::faulty(format_args!("{from} holds no text")))?, from)
            }
        };
        let secret = secret.trim();
        if secret.is_empty() || !secret.bytes().all(|byte| byte.is_ascii_graphic()) {
            // The text isn't repeated: it may be the credential all the same.
            return Err(Trouble::faulty(format_args!(
                "{from} holds no credential: one line of visible ASCII characters"
            )));
        }
        let mut header = HeaderValue::try_from(format!("Bearer {secret}"))
            .map_err(|_| Trouble::faulty(format_args!("{from} holds no credential that HTTP can carry")))?;
        header.set_sensitive(true);
        Ok((header, from))
    }
}

/// The URL without what follows its path, and whether it is https.
fn base(url: &str) -> Result<(String, bool), String> {
    if url.contains('@') {
        // Not repeated: it may hold a password.
        return Err("a user has no place in the URL; the credential comes from the environment or a file".to_owned());
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

fn tls(ca: Option<&Path>) -> Result<TlsConfig, Trouble> {
    let roots = match ca {
        Some(file) => {
            let pem = read(file, CA_BYTES_MAX)?;
            let unread = |_| Trouble::faulty(format_args!("`{}` is no PEM file of certificates", file.display()));
            let items = parse_pem(&pem).collect::<Result<Vec<_>, _>>().map_err(unread)?;
            let certificates = items.into_iter().filter_map(|item| match item {
                PemItem::Certificate(certificate) => Some(certificate),
                _ => None,
            });
            let roots: Vec<_> = certificates.collect();
            if roots.is_empty() {
                return Err(Trouble::faulty(format_args!("`{}` holds no certificate", file.display())));
            }
            roots
        }
        None => system_roots()?,
    };
    let provider = Arc::new(ring::default_provider());
    let builder = TlsConfig::builder().unversioned_rustls_crypto_provider(provider);
    Ok(builder.root_certs(RootCerts::Specific(Arc::new(roots))).build())
}

fn system_roots() -> Result<Vec<Certificate<'static>>, Trouble> {
    // What can't be read of them is no root; only that nothing is left is worth a word.
    let found = rustls_native_certs::load_native_certs();
    if found.certs.is_empty() {
        return Err(Trouble::failed("the system has no root certificates; name some with `--ca`"));
    }
    Ok(found.certs.iter().map(|certificate| Certificate::from_der(certificate).to_owned()).collect())
}

fn read(file: &Path, bytes_max: u64) -> Result<Vec<u8>, Trouble> {
    let mut bytes = Vec::new();
    let read = fs::File::open(file).and_then(|file| file.take(bytes_max + 1).read_to_end(&mut bytes));
    match read {
        Err(error) => Err(Trouble::failed(format_args!("`{}` can't be read: {error}", file.display()))),
        Ok(_) if bytes.len() as u64 > bytes_max => {
            Err(Trouble::failed(format_args!("`{}` is larger than {bytes_max} bytes", file.display())))
        }
        Ok(_) => Ok(bytes),
    }
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
