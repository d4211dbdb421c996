//! The keys that the session service signs tokens with (Ed25519 and ES256), and JWTs in compact form (RFC 7519).
//!
//! A key is read from a PEM (PKCS #8) or a private JWK (RFC 7517). What is wrong with one is said without its content.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jwt_simple::algorithms::{ECDSAP256KeyPairLike, ES256KeyPair, Ed25519KeyPair, EdDSAKeyPairLike};
use ring::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair as Ed25519Signer, Signature},
};
use serde_json::{Value, json};
use std::fmt;

/// The longest text of a key, in bytes.
const TEXT_BYTES_MAX: usize = 8_192;

/// The length of a signature of either algorithm, in bytes.
pub const SIGNATURE_BYTES: usize = 64;

/// How a key signs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SigningAlgorithm {
    /// Ed25519; `EdDSA` in JOSE (RFC 8037).
    Ed25519,
    /// ECDSA with P-256 and SHA-256 (RFC 7518).
    Es256,
}

impl SigningAlgorithm {
    /// The value of `alg`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ed25519 => "EdDSA",
            Self::Es256 => "ES256",
        }
    }
}

/// A text that is not a signing key: what is wrong with it, and what to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotAKey(&'static str);

impl fmt::Display for NotAKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for NotAKey {}

/// A private key, and the name under which its public half is published.
pub struct SigningKey {
    kid: String,
    secret: Secret,
    /// The same key as the library has it that signs.
    signer: Signer,
}

enum Secret {
    Ed25519(Ed25519KeyPair),
    Es256(ES256KeyPair),
}

/// Written by hand because the key is a secret.
impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey").field("kid", &self.kid).field("alg", &self.algorithm()).finish_non_exhaustive()
    }
}

/// The same key under the same name.
impl PartialEq for SigningKey {
    fn eq(&self, other: &Self) -> bool {
        self.kid == other.kid && self.thumbprint() == other.thumbprint()
    }
}

impl Eq for SigningKey {}

impl SigningKey {
    /// Reads a private key: PKCS #8 in PEM, or a JWK.
    ///
    /// # Errors
    /// The text is something else, or a key of another kind.
    pub fn read(text: &str, kid: &str) -> Result<Self, NotAKey> {
        let text = text.trim();
        if text.len() > TEXT_BYTES_MAX {
            return Err(NotAKey("is longer than a key can be"));
        }
        Self::new(if text.starts_with('{') { of_jwk(text)? } else { of_pem(text)? }, kid)
    }

    fn new(secret: Secret, kid: &str) -> Result<Self, NotAKey> {
        let signer = Signer::of(&secret).ok_or(NotAKey("is not a pair: its public part belongs to another key"))?;
        Ok(Self { kid: kid.to_owned(), secret, signer })
    }

    /// A new random key.
    pub fn generate(algorithm: SigningAlgorithm, kid: &str) -> Self {
        loop {
            let secret = match algorithm {
                SigningAlgorithm::Ed25519 => Secret::Ed25519(Ed25519KeyPair::generate()),
                SigningAlgorithm::Es256 => Secret::Es256(ES256KeyPair::generate()),
            };
            // A generated pair always is one.
            if let Ok(key) = Self::new(secret, kid) {
                return key;
            }
        }
    }

    /// The private key as PEM (PKCS #8); `None` if it cannot be encoded.
    pub fn to_pem(&self) -> Option<String> {
        match &self.secret {
            // The pair's own PEM has the public key, too.
            Secret::Ed25519(pair) => Some(pair.key_pair().as_ref().sk.to_pem()),
            Secret::Es256(pair) => pair.to_pem().ok(),
        }
    }

    /// The name under which it is published.
    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// How it signs.
    pub const fn algorithm(&self) -> SigningAlgorithm {
        match &self.secret {
            Secret::Ed25519(_) => SigningAlgorithm::Ed25519,
            Secret::Es256(_) => SigningAlgorithm::Es256,
        }
    }

    /// The thumbprint of the public key (RFC 7638).
    pub fn thumbprint(&self) -> String {
        match &self.secret {
            Secret::Ed25519(pair) => pair.jwk_thumbprint(),
            Secret::Es256(pair) => pair.jwk_thumbprint(),
        }
    }

    /// The public key as a JWK, for a JWK Set.
    pub fn public_jwk(&self) -> Value {
        let text = match &self.secret {
            Secret::Ed25519(pair) => pair.public_key().to_jwk(),
            Secret::Es256(pair) => pair.public_key().to_jwk(),
        };
        let mut jwk: Value = serde_json::from_str(&text).unwrap_or_default();
        if let Some(members) = jwk.as_object_mut() {
            // The library may prefer the newer name of the algorithm (RFC 9864), which fewer verifiers know.
            members.insert("alg".to_owned(), json!(self.algorithm().name()));
            members.insert("use".to_owned(), json!("sig"));
            members.insert("kid".to_owned(), json!(self.kid));
        }
        jwk
    }

    /// The header of tokens of this type, encoded: the first part of a JWT.
    pub fn header(&self, typ: &str) -> String {
        let header = json!({"alg": self.algorithm().name(), "kid": self.kid, "typ": typ});
        URL_SAFE_NO_PAD.encode(header.to_string())
    }

    /// Signs claims under an encoded header. `None` if the system has no random numbers for it.
    pub fn sign(&self, header: &str, claims: &[u8]) -> Option<Jwt> {
        let mut text = String::with_capacity(header.len() + (claims.len() + SIGNATURE_BYTES) * 4 / 3 + 8);
        text.push_str(header);
        text.push('.');
        URL_SAFE_NO_PAD.encode_string(claims, &mut text);
        let signature = self.signer.sign(text.as_bytes())?;
        let signature = signature.as_ref();
        text.push('.');
        URL_SAFE_NO_PAD.encode_string(signature, &mut text);
        let id = signature.first_chunk::<8>().map_or(0, |bytes| u64::from_le_bytes(*bytes));
        Some(Jwt { text, id })
    }
}

enum Signer {
    Ed25519(Ed25519Signer),
    Es256(EcdsaKeyPair, SystemRandom),
}

impl Signer {
    /// `None` if the pair is none.
    fn of(secret: &Secret) -> Option<Self> {
        match secret {
            Secret::Ed25519(pair) => {
                let pair = pair.key_pair();
                let pair: &ed25519_compact::KeyPair = pair.as_ref();
                Ed25519Signer::from_seed_and_public_key(&*pair.sk.seed(), &*pair.pk).ok().map(Self::Ed25519)
            }
            Secret::Es256(pair) => {
                let key: &p256::ecdsa::SigningKey = pair.key_pair().as_ref();
                let (private, public) = (key.to_bytes(), key.verifying_key().to_sec1_point(false));
                let random = SystemRandom::new();
                let signer = EcdsaKeyPair::from_private_key_and_public_key(
                    &ECDSA_P256_SHA256_FIXED_SIGNING,
                    &private,
                    public.as_bytes(),
                    &random,
                );
                signer.ok().map(|signer| Self::Es256(signer, random))
            }
        }
    }

    fn sign(&self, text: &[u8]) -> Option<Signature> {
        match self {
            Self::Ed25519(key) => Some(key.sign(text)),
            Self::Es256(key, random) => key.sign(random, text).ok(),
        }
    }
}

/// A signed token in compact form.
#[derive(Clone, PartialEq, Eq)]
pub struct Jwt {
    /// The token.
    pub text: String,
    /// Tells it apart from others: the first bytes of its signature, which say nothing about it.
    pub id: u64,
}

/// Written by hand because whoever has the token can use it.
impl fmt::Debug for Jwt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Jwt").field("id", &self.id).finish_non_exhaustive()
    }
}

fn of_pem(text: &str) -> Result<Secret, NotAKey> {
    let is_labelled = |label: &str| text.contains(&format!("-----BEGIN {label}-----"));
    if is_labelled("ENCRYPTED PRIVATE KEY") {
        return Err(NotAKey("is encrypted: decrypt it with `openssl pkcs8`, and protect the file instead"));
    }
    if is_labelled("EC PRIVATE KEY") || is_labelled("RSA PRIVATE KEY") {
        return Err(NotAKey("is not in PKCS #8: convert it with `openssl pkcs8 -topk8 -nocrypt`"));
    }
    if !is_labelled("PRIVATE KEY") {
        return Err(NotAKey("is not a private key in PEM (PKCS #8) or a private JWK: `portcullis keys new` makes one"));
    }
    let ed25519 = Ed25519KeyPair::from_pem(text).ok().map(Secret::Ed25519);
    ed25519
        .or_else(|| ES256KeyPair::from_pem(text).ok().map(Secret::Es256))
        .ok_or(NotAKey("is not a key of Ed25519 (PKCS #8, version 1) or P-256: `portcullis keys new` makes one"))
}

fn of_jwk(text: &str) -> Result<Secret, NotAKey> {
    let ed25519 = Ed25519KeyPair::from_jwk(text).ok().map(Secret::Ed25519);
    ed25519.or_else(|| ES256KeyPair::from_jwk(text).ok().map(Secret::Es256)).ok_or(NotAKey(
        "is not a private JWK of Ed25519 or P-256 that signs: it needs `kty`, `crv`, `d` and the public part",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use jwt_simple::prelude::*;

    const BOTH: [SigningAlgorithm; 2] = [SigningAlgorithm::Ed25519, SigningAlgorithm::Es256];

    fn signed(key: &SigningKey) -> Jwt {
        key.sign(&key.header("txntoken+jwt"), br#"{"sub":"alice","exp":4000000000}"#).unwrap()
    }

    /// Verifies with another reader of keys and tokens than the one that has signed.
    fn is_verified(key: &SigningKey, token: &str) -> bool {
        let jwk = key.public_jwk().to_string();
        match key.algorithm() {
            SigningAlgorithm::Ed25519 => {
                Ed25519PublicKey::from_jwk(&jwk).unwrap().verify_token::<NoCustomClaims>(token, None).is_ok()
            }
            SigningAlgorithm::Es256 => {
                ES256PublicKey::from_jwk(&jwk).unwrap().verify_token::<NoCustomClaims>(token, None).is_ok()
            }
        }
    }

    #[test]
    fn what_a_key_signs_is_verified_with_its_public_half_and_no_other() {
        for algorithm in BOTH {
            let [key, other] = ["k1", "k2"].map(|kid| SigningKey::generate(algorithm, kid));
            let token = signed(&key);
            assert!(is_verified(&key, &token.text) && !is_verified(&other, &token.text), "{algorithm:?}");
            assert_ne!(token.id, signed(&other).id);
            let jwk = key.public_jwk();
            assert_eq!(
                (&jwk["alg"], &jwk["kid"], &jwk["use"]),
                (&json!(algorithm.name()), &json!("k1"), &json!("sig"))
            );
            assert!(jwk.get("d").is_none(), "the private part is not published");
        }
    }

    #[test]
    fn a_key_is_read_back_from_pem_and_from_jwk() {
        for algorithm in BOTH {
            let key = SigningKey::generate(algorithm, "k1");
            let pem = key.to_pem().unwrap();
            assert!(pem.starts_with("-----BEGIN PRIVATE KEY-----") && !pem.contains("PUBLIC"), "{pem}");
            assert_eq!(SigningKey::read(&pem, "k1").unwrap(), key);
            assert_ne!(SigningKey::read(&pem, "k2").unwrap(), key, "another name is another key to verifiers");
            let jwk = match &key.secret {
                Secret::Ed25519(pair) => pair.to_jwk(),
                Secret::Es256(pair) => pair.to_jwk(),
            };
            assert_eq!(SigningKey::read(&format!(" {jwk}\n"), "k1").unwrap(), key);
        }
    }

    #[test]
    fn what_is_not_a_private_key_says_so_without_its_content() {
        let public = SigningKey::generate(SigningAlgorithm::Ed25519, "k").public_jwk().to_string();
        for (text, words) in [
            ("hunter2", "is not a private key in PEM"),
            ("-----BEGIN PUBLIC KEY-----\nhunter2\n-----END PUBLIC KEY-----", "is not a private key in PEM"),
            ("-----BEGIN ENCRYPTED PRIVATE KEY-----\nhunter2", "is encrypted"),
            ("-----BEGIN EC PRIVATE KEY-----\nhunter2", "is not in PKCS #8"),
            ("-----BEGIN PRIVATE KEY-----\nhunter2\n-----END PRIVATE KEY-----", "is not a key of Ed25519"),
            ("{\"kty\": \"oct\", \"k\": \"hunter2\"}", "is not a private JWK"),
            (&public, "is not a private JWK"),
            (&"x".repeat(TEXT_BYTES_MAX + 1), "is longer"),
        ] {
            let fault = SigningKey::read(text, "k").unwrap_err().to_string();
            assert!(fault.contains(words) && !fault.contains("hunter2"), "{words}: {fault}");
        }
    }

    #[test]
    fn neither_keys_nor_tokens_are_shown() {
        let key = SigningKey::generate(SigningAlgorithm::Es256, "k1");
        let token = signed(&key);
        let shown = format!("{key:?} {token:?}");
        assert!(shown.contains("k1") && !shown.contains(&token.text), "{shown}");
    }
}
