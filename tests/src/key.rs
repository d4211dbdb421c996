//! Signing keys of every kind, and their public halves as JWKs (RFC 7517). Signatures are made here, over any header and
//! any claims, because a token library would refuse to write the broken tokens that the tests need.

use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::sync::{
    OnceLock,
    atomic::{AtomicU64, Ordering},
};
use superboring::{
    hash::MessageDigest,
    pkey::{PKey, Private},
    rsa::{Padding, Rsa},
    sign::Signer,
};

/// The algorithms that the tests sign with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are the registered ones")]
pub enum Algorithm {
    RS256,
    RS384,
    RS512,
    PS256,
    ES256,
    ES384,
    ES512,
    EdDSA,
}

impl Algorithm {
    /// All of them.
    pub const ALL: [Self; 8] =
        [Self::RS256, Self::RS384, Self::RS512, Self::PS256, Self::ES256, Self::ES384, Self::ES512, Self::EdDSA];

    /// The registered name.
    pub fn name(self) -> String {
        format!("{self:?}")
    }
}

/// A signing key.
pub struct Key {
    /// `kid`, unique in this process.
    pub id: String,
    /// The algorithm of its signatures.
    pub algorithm: Algorithm,
    secret: Secret,
}

enum Secret {
    Rsa(Rsa<Private>),
    P256(p256::ecdsa::SigningKey),
    P384(p384::ecdsa::SigningKey),
    P521(p521::ecdsa::SigningKey),
    Ed25519(ed25519_compact::KeyPair),
}

impl Key {
    /// A new key. RSA keys of one process share their secret because generating it takes long.
    pub fn new(algorithm: Algorithm) -> Self {
        static RSA: OnceLock<Rsa<Private>> = OnceLock::new();
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let seed = Sha256::digest(format!("a key of the tests {number}"));
        let secret = match algorithm {
            Algorithm::RS256 | Algorithm::RS384 | Algorithm::RS512 | Algorithm::PS256 => {
                Secret::Rsa(RSA.get_or_init(|| Rsa::generate(2048).expect("an RSA key")).clone())
            }
            Algorithm::ES256 => Secret::P256(p256::ecdsa::SigningKey::from_slice(&seed).expect("a P-256 key")),
            Algorithm::ES384 => {
                Secret::P384(p384::ecdsa::SigningKey::from_slice(&[&seed[..], &[1; 16]].concat()).expect("a P-384 key"))
            }
            Algorithm::ES512 => {
                let seed = [&[0, 1][..], &seed, &seed].concat();
                Secret::P521(p521::ecdsa::SigningKey::from_slice(&seed).expect("a P-521 key"))
            }
            Algorithm::EdDSA => Secret::Ed25519(ed25519_compact::KeyPair::from_seed(
                ed25519_compact::Seed::from_slice(&seed).expect("an Ed25519 seed"),
            )),
        };
        Self { id: format!("key-{number}"), algorithm, secret }
    }

    /// A new key under the name of this one.
    pub fn replacement(&self) -> Self {
        Self { id: self.id.clone(), ..Self::new(self.algorithm) }
    }

    /// The signature over a message, in the format of JWS (RFC 7518, section 3; RFC 8037).
    pub fn sign(&self, message: &[u8]) -> Vec<u8> {
        use p256::ecdsa::signature::Signer as _;
        match &self.secret {
            Secret::Rsa(key) => sign_rsa(self.algorithm, key, message),
            Secret::P256(key) => {
                let signature: p256::ecdsa::Signature = key.sign(message);
                signature.to_bytes().to_vec()
            }
            Secret::P384(key) => {
                let signature: p384::ecdsa::Signature = key.sign(message);
                signature.to_bytes().to_vec()
            }
            Secret::P521(key) => {
                let signature: p521::ecdsa::Signature = key.sign(message);
                signature.to_bytes().to_vec()
            }
            Secret::Ed25519(pair) => pair.sk.sign(message, None).to_vec(),
        }
    }

    /// The public half.
    pub fn jwk(&self) -> Value {
        let mut jwk = match &self.secret {
            Secret::Rsa(key) => json!({
                "kty": "RSA", "n": base64url(key.n().to_vec()), "e": base64url(key.e().to_vec()),
            }),
            Secret::P256(key) => ec_jwk("P-256", key.verifying_key().to_sec1_point(false).as_bytes()),
            Secret::P384(key) => ec_jwk("P-384", key.verifying_key().to_sec1_point(false).as_bytes()),
            Secret::P521(key) => ec_jwk("P-521", key.verifying_key().to_sec1_point(false).as_bytes()),
            Secret::Ed25519(pair) => json!({
                "kty": "OKP", "crv": "Ed25519", "x": base64url(pair.pk.as_slice()),
            }),
        };
        jwk["kid"] = json!(self.id);
        jwk["alg"] = json!(self.algorithm.name());
        jwk["use"] = json!("sig");
        jwk
    }

    /// Both halves of a P-256 key as PEM, the secret one first: as PKCS #8, and as a `SubjectPublicKeyInfo`.
    pub(crate) fn pem(&self) -> (String, String) {
        use p256::pkcs8::{EncodePrivateKey, EncodePublicKey, LineEnding};
        let Secret::P256(key) = &self.secret else { panic!("not a P-256 key: {}", self.id) };
        let private = key.to_pkcs8_pem(LineEnding::LF).expect("a P-256 key as PEM");
        let public = key.verifying_key().to_public_key_pem(LineEnding::LF).expect("a P-256 key as PEM");
        (private.to_string(), public)
    }
}

fn sign_rsa(algorithm: Algorithm, key: &Rsa<Private>, message: &[u8]) -> Vec<u8> {
    let digest = match algorithm {
        Algorithm::RS384 => MessageDigest::sha384(),
        Algorithm::RS512 => MessageDigest::sha512(),
        _ => MessageDigest::sha256(),
    };
    let padding = match algorithm {
        Algorithm::PS256 => Padding::PKCS1_PSS,
        _ => Padding::PKCS1,
    };
    let key = PKey::from_rsa(key.clone()).expect("an RSA key");
    let mut signer = Signer::new(digest, &key).expect("a signer");
    signer.set_rsa_padding(padding).expect("a padding");
    signer.update(message).expect("a message");
    signer.sign_to_vec().expect("a signature")
}

/// An uncompressed point is 0x04, x, y.
fn ec_jwk(curve: &str, point: &[u8]) -> Value {
    let (x, y) = point[1..].split_at((point.len() - 1) / 2);
    json!({"kty": "EC", "crv": curve, "x": base64url(x), "y": base64url(y)})
}

/// Base64 with padding.
pub fn base64(bytes: impl AsRef<[u8]>) -> String {
    STANDARD.encode(bytes)
}

/// Base64url without padding.
pub fn base64url(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}
