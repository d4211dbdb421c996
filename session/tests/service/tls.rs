//! TLS and client certificates on both listeners, and new ones by a reload.

use crate::client::{FILTER, Filter, token};
use crate::fixtures::{Fixture, T0};
use portcullis_contract::wire::Outcome;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use std::path::Path;
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Error, Identity};

struct Ca {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Ca {
    fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let pem = params.self_signed(&key).unwrap().pem();
        Self { pem, issuer: Issuer::new(params, key) }
    }

    /// A certificate for `localhost` and its key.
    fn issue(&self) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        (certificate.pem(), key.serialize_pem())
    }
}

fn write(folder: &Path, name: &str, text: &str) -> String {
    let file = folder.join(name);
    std::fs::write(&file, text).unwrap();
    file.display().to_string()
}

async fn connect(fixture: &Fixture, ca: &Ca, identity: Option<(String, String)>) -> Result<Channel, Error> {
    let mut tls = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(&ca.pem)).domain_name("localhost");
    if let Some((certificate, key)) = identity {
        tls = tls.identity(Identity::from_pem(certificate, key));
    }
    let endpoint = Endpoint::from_shared(format!("https://{}", fixture.checks)).unwrap();
    endpoint.tls_config(tls).unwrap().connect().await
}

async fn is_answered(channel: Result<Channel, Error>) -> bool {
    let Ok(channel) = channel else {
        return false;
    };
    match Filter::over(channel, FILTER).await {
        Ok(mut filter) => filter.ask_new(token(1, "s", T0)).await.outcome() == Outcome::Active,
        Err(_) => false,
    }
}

#[tokio::test]
async fn with_a_client_ca_only_its_clients_are_answered() {
    let folder = tempfile::tempdir().unwrap();
    let (ca, other) = (Ca::new(), Ca::new());
    let (certificate, key) = ca.issue();
    let at = folder.path();
    let files = format!("cert: {}, key: {}", write(at, "cert", &certificate), write(at, "key", &key));

    let fixture = Fixture::with(&format!("tls: {{{files}}}")).await;
    assert!(is_answered(connect(&fixture, &ca, None).await).await);
    assert!(!is_answered(connect(&fixture, &other, None).await).await, "another server would be taken");

    let fixture = Fixture::with(&format!("tls: {{{files}, client_ca: {}}}", write(at, "ca", &ca.pem))).await;
    assert!(is_answered(connect(&fixture, &ca, Some(ca.issue())).await).await);
    assert!(!is_answered(connect(&fixture, &ca, None).await).await);
    assert!(!is_answered(connect(&fixture, &ca, Some(other.issue())).await).await);
}

/// Whether the admin listener answers a caller who trusts that CA.
async fn administers(fixture: &Fixture, ca: &Ca, identity: Option<(String, String)>) -> bool {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(ca.pem.as_bytes()).unwrap()).unwrap();
    let builder = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()));
    let builder = builder.with_safe_default_protocol_versions().unwrap().with_root_certificates(roots);
    let config = match identity {
        None => builder.with_no_client_auth(),
        Some((certificate, key)) => {
            let certificate = CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap();
            let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
            builder.with_client_auth_cert(vec![certificate], key).unwrap()
        }
    };
    let name = ServerName::try_from("localhost").unwrap();
    let stream = TcpStream::connect(fixture.admin).await.unwrap();
    let Ok(mut stream) = TlsConnector::from(Arc::new(config)).connect(name, stream).await else {
        return false;
    };
    let request = "GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    let mut answer = String::new();
    // TLS 1.3 refuses a client's certificate after the handshake: then there is an error instead of an answer.
    drop(stream.write_all(request.as_bytes()).await);
    drop(stream.read_to_string(&mut answer).await);
    answer.starts_with("HTTP/1.1 200 ")
}

#[tokio::test]
async fn the_admin_listener_has_tls_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let (ca, other) = (Ca::new(), Ca::new());
    let (certificate, key) = ca.issue();
    let at = folder.path();
    let files = format!("cert: {}, key: {}", write(at, "cert", &certificate), write(at, "key", &key));

    let fixture = Fixture::with(&format!("admin_tls: {{{files}}}")).await;
    assert!(administers(&fixture, &ca, None).await && !administers(&fixture, &other, None).await);
    assert!(Filter::open(fixture.checks, FILTER).await.is_ok(), "the check listener has no TLS");

    let fixture = Fixture::with(&format!("admin_tls: {{{files}, client_ca: {}}}", write(at, "ca", &ca.pem))).await;
    assert!(administers(&fixture, &ca, Some(ca.issue())).await);
    assert!(!administers(&fixture, &ca, None).await);
    assert!(!administers(&fixture, &ca, Some(other.issue())).await);
}

#[tokio::test]
async fn a_reload_changes_the_certificates_of_both_listeners() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let keys = |name: &str, ca: &Ca| {
        let (certificate, key) = ca.issue();
        let cert = write(at, &format!("{name}-cert"), &certificate);
        format!("{name}: {{cert: {cert}, key: {}}}\n", write(at, &format!("{name}-key"), &key))
    };
    let (old, new) = (Ca::new(), Ca::new());
    let text = keys("tls", &old) + &keys("admin_tls", &old);
    let fixture = Fixture::with(&text).await;
    let open = connect(&fixture, &old, None).await;
    assert!(fixture.reload(&text).reloaded.is_empty(), "the files are the same");

    assert_eq!(keys("tls", &new) + &keys("admin_tls", &new), text);
    assert_eq!(fixture.reload(&text).reloaded, ["tls", "admin_tls"]);
    assert!(is_answered(connect(&fixture, &new, None).await).await && administers(&fixture, &new, None).await);
    assert!(!is_answered(connect(&fixture, &old, None).await).await && !administers(&fixture, &old, None).await);
    assert!(is_answered(open).await, "an open connection goes on");
}
