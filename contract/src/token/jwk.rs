//! One key of a key set (RFC 7517, section 4; RFC 7518, section 6; RFC 8037), for the algorithms that it may be used with
//! (RFC 8725, section 3.1).
//!
//! It is imported when it is needed: a set can have a thousand keys, and an import costs a small part of a verification.

use super::{
    Algorithm, HostVerifier, Signed, Thumbprint,
    compact::decode,
    der,
    json::{IllTyped, Object},
    material::Material,
    signature::PublicKey,
    thumbprint,
};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use std::fmt;

/// Members of private and symmetric keys (RFC 7518, section 6; RFC 9964). A published key that has one is compromised.
const SECRET: [&str; 9] = ["d", "p", "q", "dp", "dq", "qi", "oth", "k", "priv"];

/// Identifies a key: the same name, parameters and algorithms.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyId([u8; 32]);

/// A public key that tokens can be verified with.
#[derive(Debug, Clone)]
pub struct Key {
    id: KeyId,
    kid: Option<String>,
    /// They form a key: that was tried once.
    material: Material,
    algorithms: Vec<Algorithm>,
}

/// Why a key of a set is not used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Skip {
    /// Not an object.
    NotAnObject,
    /// A member is missing, or has the wrong type or form.
    IllTyped(&'static str),
    /// Neither RSA, nor EC with P-256, P-384 or P-521, nor OKP with Ed25519.
    KeyType,
    /// It contains private key material.
    Private,
    /// `use` or `key_ops` does not allow verification.
    Purpose,
    /// `alg` is not one of the key's family, or not supported.
    Algorithm,
    /// Its parameters do not form a key: too short, too long, or not on the curve.
    Material,
}

impl fmt::Display for Skip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAnObject => f.write_str("not an object"),
            Self::IllTyped(name) => {
                write!(f, "`{name}` is missing or malformed")
            }
            Self::KeyType => f.write_str("`kty` or `crv` is not supported"),
            Self::Private => f.write_str("it contains private key material"),
            Self::Purpose => f.write_str("`use` or `key_ops` does not allow verification"),
            Self::Algorithm => f.write_str("`alg` is not supported for this key"),
            Self::Material => f.write_str("its parameters do not form a usable key"),
        }
    }
}

impl From<IllTyped> for Skip {
    fn from(IllTyped(name): IllTyped) -> Self {
        Self::IllTyped(name)
    }
}

impl Key {
    pub(super) fn import(jwk: &Object) -> Result<Self, Skip> {
        if SECRET.iter().any(|name| jwk.get(name).is_some()) {
            return Err(Skip::Private);
        }
        if !verifies(jwk)? {
            return Err(Skip::Purpose);
        }
        let material = material(jwk)?;
        let algorithms = pinned(jwk, &material)?;
        // Whether an import succeeds depends on the parameters, and not on the algorithm.
        let imports = |&algorithm: &Algorithm| PublicKey::import(algorithm, &material).is_some();
        if !algorithms.first().is_some_and(imports) {
            return Err(Skip::Material);
        }
        let kid = jwk.string("kid")?.map(str::to_owned);
        Ok(Self { id: KeyId::of(kid.as_deref(), &material, &algorithms), kid, material, algorithms })
    }

    /// Identifies the key.
    pub fn id(&self) -> KeyId {
        self.id
    }

    /// `kid`
    pub fn kid(&self) -> Option<&str> {
        self.kid.as_deref()
    }

    /// Identifies its public parameters (RFC 7638).
    pub fn thumbprint(&self) -> Thumbprint {
        thumbprint::of(&self.material)
    }

    /// Whether the key may be used with `algorithm`.
    pub fn is_for(&self, algorithm: Algorithm) -> bool {
        self.algorithms.contains(&algorithm)
    }

    /// Whether the signature is valid. `host` is asked first; if it cannot tell, the signature is verified here.
    pub fn verify(&self, signed: &Signed<'_>, host: HostVerifier) -> bool {
        if !self.is_for(signed.algorithm) {
            return false;
        }
        let info = der::public_key_info(&self.material);
        let by_host = info.and_then(|info| signed.verify_by_host(&info, host));
        by_host.unwrap_or_else(|| self.imported(signed.algorithm).is_some_and(|key| key.verify(signed)))
    }

    pub(super) fn imported(&self, algorithm: Algorithm) -> Option<PublicKey> {
        if self.is_for(algorithm) { PublicKey::import(algorithm, &self.material) } else { None }
    }
}

impl KeyId {
    fn of(kid: Option<&str>, material: &Material, algorithms: &[Algorithm]) -> Self {
        // `Debug` output is delimited and complete, and nothing outside this process reads it.
        let identity = format!("{kid:?} {material:?} {algorithms:?}");
        Self(Sha256::digest(identity).into())
    }
}

/// Whether `use` and `key_ops` (RFC 7517, sections 4.2 and 4.3), if present, allow verification.
fn verifies(jwk: &Object) -> Result<bool, Skip> {
    let by_use = jwk.string("use")?.is_none_or(|usage| usage == "sig");
    let by_operations = match jwk.get("key_ops") {
        None => true,
        Some(Value::Array(operations)) => operations.iter().any(|op| op == "verify"),
        Some(_) => return Err(Skip::IllTyped("key_ops")),
    };
    Ok(by_use && by_operations)
}

/// The algorithms of the key's family, or only the one that `alg` names.
fn pinned(jwk: &Object, material: &Material) -> Result<Vec<Algorithm>, Skip> {
    let family = material.algorithms();
    let Some(alg) = jwk.string("alg")? else {
        return Ok(family.to_vec());
    };
    let algorithm = Algorithm::named(alg).filter(|algorithm| family.contains(algorithm));
    Ok(vec![algorithm.ok_or(Skip::Algorithm)?])
}

pub(super) fn material(jwk: &Object) -> Result<Material, Skip> {
    let kty = jwk.string("kty")?.ok_or(Skip::IllTyped("kty"))?;
    match (kty, jwk.string("crv")?) {
        ("RSA", _) => Ok(Material::Rsa { n: integer(jwk, "n")?, e: integer(jwk, "e")? }),
        ("EC", Some("P-256")) => Ok(Material::P256 { x: octets(jwk, "x")?, y: octets(jwk, "y")? }),
        ("EC", Some("P-384")) => Ok(Material::P384 { x: octets(jwk, "x")?, y: octets(jwk, "y")? }),
        ("EC", Some("P-521")) => Ok(Material::P521 { x: octets(jwk, "x")?, y: octets(jwk, "y")? }),
        ("OKP", Some("Ed25519")) => Ok(Material::Ed25519 { x: octets(jwk, "x")? }),
        _ => Err(Skip::KeyType),
    }
}

/// Leading zeros are forbidden (RFC 7518, section 2), but some servers write one; it does not change the value.
fn integer(jwk: &Object, name: &'static str) -> Result<Vec<u8>, Skip> {
    let bytes = bytes(jwk, name)?;
    Ok(bytes.into_iter().skip_while(|&byte| byte == 0).collect())
}

/// Coordinates have their full length, with leading zeros (RFC 7518, section 6.2.1.2).
fn octets<const N: usize>(jwk: &Object, name: &'static str) -> Result<[u8; N], Skip> {
    let bytes = bytes(jwk, name)?;
    bytes.try_into().map_err(|_| Skip::IllTyped(name))
}

fn bytes(jwk: &Object, name: &'static str) -> Result<Vec<u8>, Skip> {
    let text = jwk.string(name)?.ok_or(Skip::IllTyped(name))?;
    decode(text).map_err(|_| Skip::IllTyped(name))
}
