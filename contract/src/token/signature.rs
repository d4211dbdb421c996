//! Signature verification: by the host's own cryptography if it has any, otherwise by the implementations behind
//! jwt-simple, which imports the keys (ES512: by p521). In wasm, these take ten times as long.
//!
//! jwt-simple's own verification also reads the claims, and refuses a token for claims that nobody asks about (`jti` as a
//! number). Here, only the signature is looked at.

use super::{Algorithm, der, material::Material};
use jwt_simple::prelude::{
    ECDSAP256PublicKeyLike as _, ECDSAP384PublicKeyLike as _, ES256PublicKey, ES384PublicKey, Ed25519PublicKey,
    EdDSAPublicKeyLike as _, PS256PublicKey, PS384PublicKey, PS512PublicKey, RS256PublicKey, RS384PublicKey,
    RS512PublicKey, RSAPublicKeyLike,
};
use p256::ecdsa::signature::hazmat::PrehashVerifier as _;
use p521::ecdsa::signature::Verifier as _;
use sha2::{Digest as _, Sha256, Sha384};
use std::fmt;
use superboring::{pkey::PKey, sign::Verifier};

/// A token whose signature is yet to be verified.
pub struct Signed<'a> {
    /// `alg`, which the issuer may use.
    pub algorithm: Algorithm,
    /// The signed text: header and payload as they were sent.
    pub signing_input: &'a str,
    /// The signature, decoded; for ECDSA the concatenation of r and s (RFC 7518, section 3.4).
    pub signature: Vec<u8>,
}

/// A question to a host's signature verifier.
#[derive(Clone, PartialEq, Eq)]
pub struct HostQuestion<'a> {
    /// `sha256`, `sha384` or `sha512`.
    pub hash: &'static str,
    /// The key, as the DER of a `SubjectPublicKeyInfo` (RFC 5280, section 4.1): RSA or elliptic curve.
    pub key: &'a [u8],
    /// The signature: PKCS #1 v1.5 for an RSA key, a DER `Ecdsa-Sig-Value` (RFC 3279, section 2.2.3) otherwise.
    pub signature: &'a [u8],
    /// The signed text.
    pub text: &'a [u8],
}

/// Written by hand because text and signature together are the token, a secret.
impl fmt::Debug for Signed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signed").field("algorithm", &self.algorithm).finish_non_exhaustive()
    }
}

/// Written by hand for the same reason.
impl fmt::Debug for HostQuestion<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HostQuestion").field("hash", &self.hash).finish_non_exhaustive()
    }
}

/// A host's signature verifier; it returns `None` if it cannot tell.
pub type HostVerifier = fn(&HostQuestion<'_>) -> Option<bool>;

impl Signed<'_> {
    /// The host's verdict on the signature, if it supports the algorithm.
    pub(super) fn verify_by_host(&self, key: &[u8], host: HostVerifier) -> Option<bool> {
        use Algorithm::{ES256, ES384, ES512, EdDSA, PS256, PS384, PS512, RS256, RS384, RS512};
        let (hash, der) = match self.algorithm {
            RS256 => ("sha256", None),
            RS384 => ("sha384", None),
            RS512 => ("sha512", None),
            ES256 => ("sha256", Some(der::ecdsa_signature(&self.signature, 64)?)),
            ES384 => ("sha384", Some(der::ecdsa_signature(&self.signature, 96)?)),
            ES512 => ("sha512", Some(der::ecdsa_signature(&self.signature, 132)?)),
            PS256 | PS384 | PS512 | EdDSA => return None,
        };
        let signature = der.as_deref().unwrap_or(&self.signature);
        host(&HostQuestion { hash, key, signature, text: self.signing_input.as_bytes() })
    }
}

/// A public key for one algorithm.
#[derive(Debug, Clone)]
pub(super) enum PublicKey {
    Rs256(RS256PublicKey),
    Rs384(RS384PublicKey),
    Rs512(RS512PublicKey),
    Ps256(PS256PublicKey),
    Ps384(PS384PublicKey),
    Ps512(PS512PublicKey),
    Es256(ES256PublicKey),
    Es384(ES384PublicKey),
    Es512(Box<p521::ecdsa::VerifyingKey>),
    Ed25519(Ed25519PublicKey),
}

impl PublicKey {
    /// `None` if the key is not for `algorithm` or its parameters do not form a key: a point off its curve, a modulus
    /// outside 2048 to 4096 bits, an exponent other than 65537, or an Ed25519 point of small order.
    pub(super) fn import(algorithm: Algorithm, material: &Material) -> Option<Self> {
        use Algorithm::{ES256, ES384, ES512, EdDSA, PS256, PS384, PS512, RS256, RS384, RS512};
        let key = match (material, algorithm) {
            (Material::Rsa { n, e }, RS256) => RS256PublicKey::from_components(n, e).map(Self::Rs256),
            (Material::Rsa { n, e }, RS384) => RS384PublicKey::from_components(n, e).map(Self::Rs384),
            (Material::Rsa { n, e }, RS512) => RS512PublicKey::from_components(n, e).map(Self::Rs512),
            (Material::Rsa { n, e }, PS256) => PS256PublicKey::from_components(n, e).map(Self::Ps256),
            (Material::Rsa { n, e }, PS384) => PS384PublicKey::from_components(n, e).map(Self::Ps384),
            (Material::Rsa { n, e }, PS512) => PS512PublicKey::from_components(n, e).map(Self::Ps512),
            (Material::P256 { .. }, ES256) => ES256PublicKey::from_bytes(&material.point()?).map(Self::Es256),
            (Material::P384 { .. }, ES384) => ES384PublicKey::from_bytes(&material.point()?).map(Self::Es384),
            (Material::P521 { .. }, ES512) => {
                let key = p521::ecdsa::VerifyingKey::from_sec1_bytes(&material.point()?);
                key.map(|key| Self::Es512(Box::new(key))).map_err(Into::into)
            }
            (Material::Ed25519 { x }, EdDSA) => Ed25519PublicKey::from_bytes(x).map(Self::Ed25519),
            _ => return None,
        };
        key.ok()
    }

    /// Whether the key made the signature.
    pub(super) fn verify(&self, signed: &Signed<'_>) -> bool {
        let (text, signature) = (signed.signing_input.as_bytes(), signed.signature.as_slice());
        match self {
            Self::Rs256(key) => is_rsa(key, text, signature),
            Self::Rs384(key) => is_rsa(key, text, signature),
            Self::Rs512(key) => is_rsa(key, text, signature),
            Self::Ps256(key) => is_rsa(key, text, signature),
            Self::Ps384(key) => is_rsa(key, text, signature),
            Self::Ps512(key) => is_rsa(key, text, signature),
            Self::Es256(key) => p256::ecdsa::Signature::from_slice(signature)
                .is_ok_and(|made| key.public_key().as_ref().verify_prehash(&Sha256::digest(text), &made).is_ok()),
            Self::Es384(key) => p384::ecdsa::Signature::from_slice(signature)
                .is_ok_and(|made| key.public_key().as_ref().verify_prehash(&Sha384::digest(text), &made).is_ok()),
            Self::Es512(key) => {
                p521::ecdsa::Signature::from_slice(signature).is_ok_and(|made| key.verify(text, &made).is_ok())
            }
            Self::Ed25519(key) => ed25519_compact::Signature::from_slice(signature)
                .is_ok_and(|made| key.public_key().as_ref().verify(text, &made).is_ok()),
        }
    }
}

/// Hash and padding are those of the key's type.
fn is_rsa<K: RSAPublicKeyLike>(key: &K, text: &[u8], signature: &[u8]) -> bool {
    let verified = || {
        let key_ref = PKey::from_rsa(key.public_key().as_ref().clone())?;
        let mut verifier = Verifier::new(K::hash(), &key_ref)?;
        verifier.set_rsa_padding(key.padding_scheme())?;
        verifier.update(text)?;
        verifier.verify(signature)
    };
    verified().unwrap_or(false)
}
