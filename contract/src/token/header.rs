//! The header of a token: what it declares about its own signature, trusted only within the issuer's allow-list.

use super::{Algorithm, Fault, json::Object};

/// Headers that refer to keys or certificates. They are never followed (RFC 8725, section 3.10): the sender chooses
/// them.
const IGNORED: [&str; 5] = ["cty", "jku", "x5u", "x5t", "x5t#S256"];

/// The type of a token without `typ`.
const TYPE_DEFAULT: &str = "jwt";

pub(super) struct Header {
    pub(super) algorithm: Algorithm,
    pub(super) kid: Option<String>,
    /// In its original spelling.
    pub(super) typ: Option<String>,
}

impl Header {
    pub(super) fn parse(json: &[u8]) -> Result<Self, Fault> {
        Self::read(&Object::parse(json).map_err(Fault::Header)?, false)
    }

    /// The same for a proof of possession, whose sender does vouch for itself: the key is part of the header.
    pub(super) fn parse_with_key(json: &[u8]) -> Result<(Self, Object), Fault> {
        let header = Object::parse(json).map_err(Fault::Header)?;
        let read = Self::read(&header, true)?;
        let key = header.into_member("jwk").ok_or(Fault::Missing("jwk"))?;
        Ok((read, Object::from_value(key).ok_or(Fault::IllTyped("jwk"))?))
    }

    fn read(header: &Object, may_have_key: bool) -> Result<Self, Fault> {
        if header.get("crit").is_some() || header.get("b64").is_some_and(|b64| *b64 != true) {
            return Err(Fault::Critical);
        }
        if !may_have_key && header.get("jwk").is_some() {
            return Err(Fault::EmbeddedKey);
        }
        for name in IGNORED {
            header.string(name)?;
        }
        let alg = header.string("alg")?.ok_or(Fault::Missing("alg"))?;
        Ok(Self {
            algorithm: Algorithm::named(alg).ok_or(Fault::Algorithm)?,
            kid: header.string("kid")?.map(str::to_owned),
            typ: header.string("typ")?.map(str::to_owned),
        })
    }

    /// Checks that it is signed with one of these algorithms and has one of these types, which are compared as media types:
    /// case-insensitively, and with `application/` optional (RFC 7515, section 4.1.9; RFC 9068, section 4).
    pub(super) fn admit(&self, algorithms: &[Algorithm], types: &[String]) -> Result<(), Fault> {
        if !algorithms.contains(&self.algorithm) {
            return Err(Fault::Algorithm);
        }
        let typ = self.typ.as_deref().unwrap_or(TYPE_DEFAULT);
        let typ = typ.to_ascii_lowercase();
        let typ = typ.strip_prefix("application/").unwrap_or(&typ);
        let known = types.iter().any(|known| known == typ);
        known.then_some(()).ok_or(Fault::TokenType)
    }
}
