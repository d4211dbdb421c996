//! A listener with TLS, whose clients may present certificates, beside the shipped one.

use crate::{
    Answer, base64url,
    process::{free_port, local},
};
use bytes::Bytes;
use http_body_util::Empty;
use hyper::{Request, client::conn::http1};
use hyper_util::rt::TokioIo;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, SanType};
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName},
};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use std::sync::Arc;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// What the server's certificate is for.
const SERVER: &str = "localhost";

/// The listener, and the CA of both sides.
pub struct Mtls {
    ca: Issuer<'static, KeyPair>,
    ca_pem: String,
    ca_der: CertificateDer<'static>,
    port: u16,
}

/// The certificate of a client, with its key.
pub struct ClientCertificate {
    der: CertificateDer<'static>,
    key: Vec<u8>,
}

impl ClientCertificate {
    /// `cnf` of a token that is bound to it (RFC 8705, section 3.1).
    pub fn cnf(&self) -> Value {
        json!({"x5t#S256": base64url(Sha256::digest(&self.der))})
    }

    /// Its digest in hex, as proxies write it.
    pub fn hash(&self) -> String {
        Sha256::digest(&self.der).iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

impl Mtls {
    /// A CA, and a free port.
    #[expect(clippy::new_without_default, reason = "each has a port of its own")]
    pub fn new() -> Self {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(Vec::<String>::new()).expect("no names");
        // By default, every certificate has the same name, and those of clients would seem to have signed themselves.
        params.distinguished_name.push(DnType::CommonName, "authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key).expect("a certificate");
        let (ca_pem, ca_der) = (certificate.pem(), certificate.der().clone());
        Self { ca: Issuer::new(params, key), ca_pem, ca_der, port: free_port() }
    }

    /// A certificate for a client with this URI.
    pub fn client(&self, uri: &str) -> ClientCertificate {
        let mut params = CertificateParams::new(Vec::<String>::new()).expect("no names");
        params.subject_alt_names = vec![SanType::URI(uri.try_into().expect("an ASCII URI"))];
        let key = KeyPair::generate().expect("a key");
        let der = params.signed_by(&key, &self.ca).expect("a certificate").der().clone();
        ClientCertificate { der, key: key.serialize_der() }
    }

    /// Adds the listener to a bootstrap: a copy of the shipped one with TLS. A client may have no certificate; one that it
    /// presents must be of the CA. It lets `x-forwarded-client-cert` through, and adds what it knows itself.
    pub fn listen(&self) -> impl FnOnce(&mut Value) + Send + use<> {
        let key = KeyPair::generate().expect("a key");
        let params = CertificateParams::new(vec![SERVER.to_owned()]).expect("a name");
        let certificate = params.signed_by(&key, &self.ca).expect("a certificate");
        let tls = json!({"name": "envoy.transport_sockets.tls", "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
            "common_tls_context": {
                "tls_certificates": [{
                    "certificate_chain": {"inline_string": certificate.pem()},
                    "private_key": {"inline_string": key.serialize_pem()},
                }],
                "validation_context": {"trusted_ca": {"inline_string": self.ca_pem}},
            },
        }});
        let port = self.port;
        move |bootstrap| {
            let listeners = bootstrap.pointer_mut("/static_resources/listeners").and_then(Value::as_array_mut);
            let listeners = listeners.expect("listeners");
            let mut listener = listeners[0].clone();
            listener["name"] = json!("mtls");
            listener["address"]["socket_address"]["port_value"] = json!(port);
            let chain = &mut listener["filter_chains"][0];
            chain["transport_socket"] = tls;
            let manager = &mut chain["filters"][0]["typed_config"];
            manager["forward_client_cert_details"] = json!("APPEND_FORWARD");
            manager["set_current_client_cert_details"] = json!({"uri": true, "dns": true});
            listeners.push(listener);
        }
    }

    /// A GET request over a new connection, with a certificate or without one.
    pub async fn get(&self, path: &str, headers: &[(&str, &str)], certificate: Option<&ClientCertificate>) -> Answer {
        let answer = self.try_get(path, headers, certificate).await;
        answer.unwrap_or_else(|fault| panic!("GET {path} over TLS: {fault}"))
    }

    /// The same, where there may be no answer.
    pub async fn try_get(
        &self,
        path: &str,
        headers: &[(&str, &str)],
        certificate: Option<&ClientCertificate>,
    ) -> Result<Answer, String> {
        let connector = TlsConnector::from(Arc::new(self.config(certificate)));
        let stream = TcpStream::connect(local(self.port)).await.map_err(|fault| fault.to_string())?;
        let name = ServerName::try_from(SERVER).expect("a name");
        let stream = connector.connect(name, stream).await.map_err(|fault| fault.to_string())?;
        let (mut sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(|fault| fault.to_string())?;
        let connection = tokio::spawn(connection);
        let mut request = Request::get(path).header("connection", "close");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Empty::<Bytes>::new()).expect("a request");
        let response = sender.send_request(request).await.map_err(|fault| fault.to_string())?;
        let answer = Answer::read(response).await;
        connection.abort();
        answer
    }

    fn config(&self, certificate: Option<&ClientCertificate>) -> ClientConfig {
        let mut roots = RootCertStore::empty();
        roots.add(self.ca_der.clone()).expect("a CA");
        let builder = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()));
        let builder = builder.with_safe_default_protocol_versions().expect("versions").with_root_certificates(roots);
        match certificate {
            None => builder.with_no_client_auth(),
            Some(ClientCertificate { der, key }) => {
                let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.clone()));
                builder.with_client_auth_cert(vec![der.clone()], key).expect("a certificate with its key")
            }
        }
    }
}
