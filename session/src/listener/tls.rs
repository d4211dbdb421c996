//! TLS of a listener, with client certificates when a CA for them is configured.

use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use sha2::{Digest, Sha256};
use std::path::Path;
use std::sync::Arc;
use tokio_rustls::TlsAcceptor;

/// Both protocols on one port; HTTP/2 first, because gRPC needs it.
const ALPN: [&[u8]; 2] = [b"h2", b"http/1.1"];
const ALPN_HTTP1: [&[u8]; 1] = [b"http/1.1"];

/// A certificate with its key, and the CA of callers' certificates. Two are equal when their files are.
#[derive(Clone)]
pub struct Tls {
    config: Arc<ServerConfig>,
    /// The same without HTTP/2.
    http1: Arc<ServerConfig>,
    digest: [u8; 32],
}

impl PartialEq for Tls {
    fn eq(&self, other: &Self) -> bool {
        self.digest == other.digest
    }
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tls(…)")
    }
}

impl Tls {
    /// Reads PEM files. With `client_ca`, callers must present a certificate that it issued.
    pub(crate) fn read(cert: &Path, key: &Path, client_ca: Option<&Path>) -> Result<Self, String> {
        let mut files = Sha256::new();
        let mut read = |file: &Path| {
            let bytes = std::fs::read(file).map_err(|e| format!("cannot read `{}`: {e}", file.display()))?;
            files.update(bytes.len().to_le_bytes());
            files.update(&bytes);
            Ok::<_, String>(bytes)
        };
        let chain = certificates(cert, &read(cert)?)?;
        let private = PrivateKeyDer::from_pem_slice(&read(key)?)
            .map_err(|e| format!("cannot read a private key from `{}`: {e}", key.display()))?;
        let roots =
            client_ca.map(|ca| certificates(ca, &read(ca)?).and_then(|found| trusted(ca, found))).transpose()?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(|e| format!("cannot set up TLS: {e}"))?;
        let builder = match roots {
            None => builder.with_no_client_auth(),
            Some(roots) => {
                let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
                builder.with_client_cert_verifier(verifier.map_err(|e| format!("cannot use `client_ca`: {e}"))?)
            }
        };
        let mut config = builder
            .with_single_cert(chain, private)
            .map_err(|e| format!("cannot use `{}` with its key: {e}", cert.display()))?;
        config.alpn_protocols = ALPN.map(<[u8]>::to_vec).to_vec();
        let mut http1 = config.clone();
        http1.alpn_protocols = ALPN_HTTP1.map(<[u8]>::to_vec).to_vec();
        Ok(Self { config: Arc::new(config), http1: Arc::new(http1), digest: files.finalize().into() })
    }

    pub(super) fn acceptor(&self, speaks_http2: bool) -> TlsAcceptor {
        let config = if speaks_http2 { &self.config } else { &self.http1 };
        TlsAcceptor::from(Arc::clone(config))
    }
}

fn trusted(file: &Path, certificates: Vec<CertificateDer<'static>>) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates {
        roots.add(certificate).map_err(|e| format!("cannot use a certificate of `{}`: {e}", file.display()))?;
    }
    Ok(roots)
}

fn certificates(file: &Path, bytes: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let found: Result<Vec<_>, pem::Error> = CertificateDer::pem_slice_iter(bytes).collect();
    match found.map_err(|e| format!("cannot read certificates from `{}`: {e}", file.display()))? {
        none if none.is_empty() => Err(format!("no certificate in `{}`", file.display())),
        found => Ok(found),
    }
}
