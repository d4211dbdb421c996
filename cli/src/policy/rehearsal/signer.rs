//! Keys of one's own: what a token says is the case's, and so is who has signed it.

use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine as _};
use ed25519_compact::{KeyPair, Seed};
use serde_json::{Map, Value, json};

const KEY_ID: &str = "rehearsal";

/// An issuer's key, and that of a forger.
pub struct Signer {
    own: KeyPair,
    forger: KeyPair,
}

impl Signer {
    /// New keys. They vouch for nothing outside of this process, which is why nothing is secret about them.
    pub(in crate::policy) fn new() -> Self {
        Self { own: KeyPair::from_seed(Seed::new([1; 32])), forger: KeyPair::from_seed(Seed::new([2; 32])) }
    }

    /// The issuer's key, as a JWK Set.
    pub(in crate::policy) fn key_set(&self) -> String {
        let x = BASE64_URL_SAFE_NO_PAD.encode(self.own.pk.as_ref());
        json!({"keys": [{"kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "use": "sig", "kid": KEY_ID, "x": x}]})
            .to_string()
    }

    /// A token: claims signed by the issuer, or by the forger in its name.
    pub(in crate::policy) fn sign(&self, claims: &Map<String, Value>, typ: &str, forged: bool) -> String {
        let header = json!({"alg": "EdDSA", "typ": typ, "kid": KEY_ID});
        let part = |value: String| BASE64_URL_SAFE_NO_PAD.encode(value);
        let message = format!("{}.{}", part(header.to_string()), part(Value::Object(claims.clone()).to_string()));
        let key = if forged { &self.forger } else { &self.own };
        let signature = key.sk.sign(&message, None);
        format!("{message}.{}", BASE64_URL_SAFE_NO_PAD.encode(signature.as_ref()))
    }
}
