//! Where the database is, and how it is reached.

use super::link::Transport;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio_postgres::Config;
use tokio_postgres::config::{Host, SslMode, TargetSessionAttrs};
use tokio_postgres_rustls::MakeRustlsConnect;

/// How long a connection may take.
const CONNECT_MAX: Duration = Duration::from_secs(3);

/// After so much silence a connection is probed: a half-open one is noticed.
const KEEPALIVE: Duration = Duration::from_secs(2);

/// What the configuration says about the database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// `postgres://user@host:port/database?…`
    pub url: Secret,
    /// The schema that holds the tables.
    pub schema: String,
    /// A PEM file with the certificates that the server's is checked against. With it, only TLS is spoken.
    pub ca: Option<String>,
    /// The password, when it is not in the URL.
    pub password: Option<Secret>,
}

/// A text that is never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(pub String);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("…")
    }
}

/// A database that can be connected to.
#[derive(Clone)]
pub struct Target {
    pub(super) config: Config,
    pub(super) schema: String,
    pub(super) transport: Transport,
}

impl Target {
    /// Reads a source. The error says which key is wrong, and what to do.
    pub fn read(source: &Source) -> Result<Self, String> {
        check_schema(&source.schema).map_err(|fault| format!("schema: {fault}"))?;
        // The parser's own words could show a part of the password.
        let mut config: Config = source.url.0.parse().map_err(
            |_| "url: is not a PostgreSQL URL: use one like `postgres://portcullis@db.internal:5432/portcullis`",
        )?;
        if let Some(password) = &source.password {
            config.password(&password.0);
        }
        config.application_name("portcullis-session").connect_timeout(CONNECT_MAX);
        config.keepalives(true).keepalives_idle(KEEPALIVE).keepalives_interval(KEEPALIVE).keepalives_retries(2);
        config.tcp_user_timeout(2 * KEEPALIVE);
        // A standby lags behind, and cannot be written to.
        config.target_session_attrs(TargetSessionAttrs::ReadWrite);
        let transport = match &source.ca {
            Some(ca) => {
                config.ssl_mode(SslMode::Require);
                Transport::Tls(tls(Path::new(ca)).map_err(|fault| format!("ca: {fault}"))?)
            }
            None if config.get_ssl_mode() == SslMode::Require => {
                return Err(
                    "url: has `sslmode=require`, but there is no `ca` to check the server's certificate against"
                        .to_owned(),
                );
            }
            None => Transport::Plain,
        };
        Ok(Self { config, schema: source.schema.clone(), transport })
    }

    /// Whether passwords and sessions cross a network in the clear.
    pub fn is_open(&self) -> bool {
        let is_here = |host: &Host| match host {
            Host::Tcp(name) => {
                name == "localhost" || name.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
            }
            Host::Unix(_) => true,
        };
        matches!(self.transport, Transport::Plain) && !self.config.get_hosts().iter().all(is_here)
    }
}

/// Whether this can be the name of the schema. The error says what can.
pub fn check_schema(name: &str) -> Result<(), String> {
    match is_schema(name) {
        true => Ok(()),
        false => Err(format!(
            "`{name}` is not a plain name: use up to 40 lower-case letters, digits and `_`, beginning with a letter"
        )),
    }
}

/// A name that needs no quotes, and leaves room for the suffix of the notifications' channel.
fn is_schema(name: &str) -> bool {
    let is_inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    name.len() <= 40 && name.starts_with(|first: char| first.is_ascii_lowercase()) && name.bytes().all(is_inner)
}

fn tls(ca: &Path) -> Result<MakeRustlsConnect, String> {
    let shown = ca.display();
    let mut roots = RootCertStore::empty();
    let certificates = CertificateDer::pem_file_iter(ca).map_err(|e| format!("cannot read `{shown}`: {e}"))?;
    for certificate in certificates {
        let certificate = certificate.map_err(|e| format!("cannot read certificates from `{shown}`: {e}"))?;
        roots.add(certificate).map_err(|e| format!("cannot use a certificate of `{shown}`: {e}"))?;
    }
    if roots.is_empty() {
        return Err(format!("no certificate in `{shown}`"));
    }
    let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|e| format!("cannot set up TLS: {e}"))?;
    Ok(MakeRustlsConnect::new(config.with_root_certificates(roots).with_no_client_auth()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(url: &str) -> Source {
        Source { url: Secret(url.to_owned()), schema: "portcullis".to_owned(), ca: None, password: None }
    }

    fn fault(source: &Source) -> String {
        Target::read(source).err().expect("it was read")
    }

    #[test]
    fn a_fault_names_its_key_and_never_shows_the_password() {
        let wrong = fault(&source("postgres://a:hunter2@@@/?x=%%"));
        assert!(wrong.starts_with("url: ") && !wrong.contains("hunter2"), "{wrong}");
        assert!(fault(&source("postgres://db/x?sslmode=require")).contains("`ca`"));
        for schema in ["", "1a", "a-b", "A", "a;drop", &"a".repeat(41)] {
            assert!(fault(&Source { schema: schema.to_owned(), ..source("postgres://db/x") }).starts_with("schema: "));
        }
        let ca = Some("/does/not/exist".to_owned());
        assert!(fault(&Source { ca, ..source("postgres://db/x") }).starts_with("ca: cannot read"));
        assert_eq!(format!("{:?}", Secret("hunter2".to_owned())), "…");
    }

    #[test]
    fn only_a_plain_connection_to_another_machine_is_open() {
        let is_open = |url: &str| Target::read(&source(url)).ok().map(|target| target.is_open());
        assert_eq!(is_open("postgres://db.internal/x"), Some(true));
        assert_eq!(is_open("postgres://127.0.0.1,localhost/x"), Some(false));
        assert_eq!(is_open("postgres://%2Fvar%2Frun%2Fpostgresql/x"), Some(false));
    }
}
