//! Signs tokens with keys of its own, so that a case can choose the claims and the signer.

use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine as _};
use ed25519_compact::{KeyPair, Seed};
use serde_json::{Map, Value, json};

const KEY_ID: &str = "simulator";

/// An issuer's key and a forger's key.
pub(crate) struct Signer {
    own: KeyPair,
    forger: KeyPair,
}

impl Signer {
    /// Fixed keys. Nothing outside this process trusts them, so they need not be secret.
    pub(in crate::policy) fn new() -> Self {
        Self { own: KeyPair::from_seed(Seed::new([1; 32])), forger: KeyPair::from_seed(Seed::new([2; 32])) }
    }

    /// The issuer's key, as a JWK Set.
    pub(in crate::policy) fn key_set(&self) -> String {
        let x = BASE64_URL_SAFE_NO_PAD.encode(self.own.pk.as_ref());
        json!({"keys": [{"kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "use": "sig", "kid": KEY_ID, "x": x}]})
            .to_string()
    }

    /// A token with claims, signed with the issuer's key or with the forger's.
    pub(in crate::policy) fn sign(&self, claims: &Map<String, Value>, typ: &str, forged: bool) -> String {
        let header = json!({"alg": "EdDSA", "typ": typ, "kid": KEY_ID});
        let part = |value: String| BASE64_URL_SAFE_NO_PAD.encode(value);
        let message = format!("{}.{}", part(header.to_string()), part(Value::Object(claims.clone()).to_string()));
        let key = if forged { &self.forger } else { &self.own };
        let signature = key.sk.sign(&message, None);
        format!("{message}.{}", BASE64_URL_SAFE_NO_PAD.encode(signature.as_ref()))
    }
}
