//! Redis behind TLS.

use super::Redis;
use crate::process::free_port;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// A server with a certificate for `localhost`, and a user who needs a password.
pub struct RedisTls {
    _server: Redis,
    port: u16,
    dir: TempDir,
}

/// What clients have to present.
const PASSWORD: &str = "a-password-of-the-tests";

impl RedisTls {
    /// Starts it.
    pub async fn start() -> Self {
        let dir = super::folder();
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(Vec::<String>::new()).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca = write(dir.path(), "ca.pem", &params.self_signed(&key).expect("a certificate").pem());
        let (issuer, key) = (Issuer::new(params, key), KeyPair::generate().expect("a key"));
        let leaf = CertificateParams::new(vec!["localhost".to_owned()]).expect("a name");
        let leaf = leaf.signed_by(&key, &issuer).expect("a certificate");
        let (certificate, key) =
            (write(dir.path(), "redis.pem", &leaf.pem()), write(dir.path(), "redis.key", &key.serialize_pem()));
        let port = free_port();
        let number = port.to_string();
        let files = [("--tls-ca-cert-file", &ca), ("--tls-cert-file", &certificate), ("--tls-key-file", &key)];
        let files = files.into_iter().flat_map(|(name, file)| [name.to_owned(), file.display().to_string()]);
        let password = format!(">{PASSWORD}");
        let others = ["--tls-port", &number, "--tls-auth-clients", "no"];
        let user = ["--user", "portcullis", "on", &password, "~*", "&*", "+@all"];
        let settings = files.chain(others.into_iter().chain(user).map(str::to_owned)).collect();
        Self { _server: Redis::start_with(settings).await, port, dir }
    }

    /// Where the store is, for `session.yaml`.
    pub fn at(&self) -> Value {
        let password = self.dir.path().join("password");
        std::fs::write(&password, PASSWORD).expect("a file in the temporary directory");
        json!({
            "url": format!("rediss://portcullis@localhost:{}", self.port),
            "ca": self.dir.path().join("ca.pem"),
            "password": {"file": password},
        })
    }
}

fn write(dir: &Path, name: &str, text: &str) -> PathBuf {
    let path = dir.join(name);
    std::fs::write(&path, text).expect("a file in the temporary directory");
    path
}
