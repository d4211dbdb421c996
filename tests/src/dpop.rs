//! Clients with a key, and their proofs of possession (RFC 9449).

use crate::{Algorithm, Key, Token, base64url, now_s};
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};
use std::sync::atomic::{AtomicU64, Ordering};

/// A client with a key of its own.
pub struct DpopClient(Key);

impl DpopClient {
    /// A client whose key is for this algorithm.
    pub fn new(algorithm: Algorithm) -> Self {
        Self(Key::new(algorithm))
    }

    /// The public key: the members that a thumbprint is made of, sorted by name.
    fn jwk(&self) -> Map<String, Value> {
        let jwk = self.0.jwk();
        let names = ["crv", "e", "kty", "n", "x", "y"];
        names.into_iter().filter_map(|name| Some((name.to_owned(), jwk.get(name)?.clone()))).collect()
    }

    /// `cnf` of a token that is bound to the key.
    pub fn cnf(&self) -> Value {
        let members: Vec<String> = self.jwk().iter().map(|(name, value)| format!("\"{name}\":{value}")).collect();
        json!({"jkt": base64url(Sha256::digest(format!("{{{}}}", members.join(","))))})
    }

    /// A new proof for one request with a token.
    pub fn proof(&self, method: &str, url: &str, token: &Token) -> String {
        self.proof_with(method, url, token, &json!({}))
    }

    /// The same, with these claims changed.
    pub fn proof_with(&self, method: &str, url: &str, token: &Token, changes: &Value) -> String {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let mut claims = json!({
            "jti": format!("proof-{}-{}", self.0.id, COUNT.fetch_add(1, Ordering::Relaxed)), "htm": method, "htu": url,
            "iat": now_s(), "ath": base64url(Sha256::digest(&token.text)),
        });
        for (name, value) in changes.as_object().expect("an object") {
            claims[name] = value.clone();
        }
        let header = json!({"typ": "dpop+jwt", "alg": self.0.algorithm.name(), "jwk": self.jwk()});
        let input = format!("{}.{}", base64url(header.to_string()), base64url(claims.to_string()));
        format!("{input}.{}", base64url(self.0.sign(input.as_bytes())))
    }
}
