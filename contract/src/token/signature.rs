//! Signature verification: by the host's own cryptography if it has any, otherwise by jwt-simple (ES512: by p521), which
//! is only called here. In wasm, it takes ten times as long.

use super::{Algorithm, TOKEN_BYTES_MAX, der, material::Material};
use jwt_simple::prelude::{
    ECDSAP256PublicKeyLike as _, ECDSAP384PublicKeyLike as _, ES256PublicKey, ES384PublicKey, Ed25519PublicKey,
    EdDSAPublicKeyLike as _, NoCustomClaims, PS256PublicKey, PS384PublicKey, PS512PublicKey, RS256PublicKey,
    RS384PublicKey, RS512PublicKey, RSAPublicKeyLike as _, UnixTimeStamp, VerificationOptions,
};
use p521::ecdsa::signature::Verifier as _;
use std::fmt;

/// A token whose signature is yet to be verified.
pub struct Signed<'a> {
    /// `alg`, which the issuer may use.
    pub algorithm: Algorithm,
    /// The whole token.
    pub token: &'a str,
    /// `typ` in its original spelling, already judged.
    pub typ: Option<String>,
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

/// Written by hand because the token is a secret.
impl fmt::Debug for Signed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signed").field("algorithm", &self.algorithm).field("typ", &self.typ).finish_non_exhaustive()
    }
}

/// Written by hand because text and signature together are the token.
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

    pub(super) fn verify(&self, signed: &Signed<'_>) -> Result<(), jwt_simple::Error> {
        let (token, options) = (signed.token, Some(options(signed)));
        match self {
            Self::Rs256(key) => key.verify_token::<NoCustomClaims>(token, options),
            Self::Rs384(key) => key.verify_token::<NoCustomClaims>(token, options),
            Self::Rs512(key) => key.verify_token::<NoCustomClaims>(token, options),
            Self::Ps256(key) => key.verify_token::<NoCustomClaims>(token, options),
            Self::Ps384(key) => key.verify_token::<NoCustomClaims>(token, options),
            Self::Ps512(key) => key.verify_token::<NoCustomClaims>(token, options),
            Self::Es256(key) => key.verify_token::<NoCustomClaims>(token, options),
            Self::Es384(key) => key.verify_token::<NoCustomClaims>(token, options),
            Self::Es512(key) => {
                let signature = p521::ecdsa::Signature::from_slice(&signed.signature)?;
                return Ok(key.verify(signed.signing_input.as_bytes(), &signature)?);
            }
            Self::Ed25519(key) => key.verify_token::<NoCustomClaims>(token, options),
        }
        .map(drop)
    }
}

/// Leaves every claim to this module. At time zero nothing has expired, and dates in the future are accepted; the clock
/// is never read. `typ` is required to be what it is, because jwt-simple otherwise only accepts `JWT` and `…+JWT`.
fn options(signed: &Signed<'_>) -> VerificationOptions {
    VerificationOptions {
        accept_future: true,
        artificial_time: Some(UnixTimeStamp::from_secs(0)),
        time_tolerance: None,
        max_token_length: Some(TOKEN_BYTES_MAX),
        max_header_length: Some(TOKEN_BYTES_MAX),
        required_signature_type: signed.typ.clone(),
        ..VerificationOptions::default()
    }
}
