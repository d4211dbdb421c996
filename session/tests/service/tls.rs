//! TLS and client certificates on the check listener.

use crate::client::{FILTER, Filter, token};
use crate::fixtures::{Fixture, T0};
use portcullis_contract::wire::Outcome;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use std::path::Path;
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
