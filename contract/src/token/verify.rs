//! Token verification: cheap checks first, the signature last.

use super::{
    Facts, Fault, HostVerifier, Issuer, IssuerId, KeyId, KeyName, KeyRings, KeySet, Rejection, SessionKey,
    SignatureError, Signed, TokenDigest, compact::Compact, header::Header, json::Object, judge::judge,
};
use serde_json::{Map, Value};

/// A token with a valid signature and valid claims.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// Its claims.
    pub facts: Facts,
    /// The token's issuer.
    pub issuer: IssuerId,
    /// The key that verified it. When the issuer withdraws the key, the token is no longer valid.
    pub key: KeyId,
}

/// Verifies `token` at `now_ms`, in milliseconds since the Unix epoch. `rings` holds the keys of `issuers`;
/// `host` is asked to verify signatures first.
///
/// # Errors
/// Returns why the token is refused. A key fetch can resolve [`Rejection::UnknownKey`], [`Rejection::WrongKey`] and
/// [`Rejection::NoKeys`], see [`KeyRing::missing`](super::KeyRing::missing).
pub fn verify(
    token: &str,
    issuers: &[Issuer],
    rings: &KeyRings,
    host: HostVerifier,
    now_ms: u64,
) -> Result<Verified, Rejection> {
    let (id, judged) = Judged::of_one(token, issuers, now_ms)?;
    let keys = rings.keys(id).ok_or(Rejection::NoKeys { issuer: id })?;
    let key = judged.verify(keys, host).map_err(|error| {
        let name = judged.key();
        match error {
            SignatureError::UnknownKey => Rejection::UnknownKey { issuer: id, name },
            SignatureError::KeyAlgorithm => Rejection::WrongKey { issuer: id, name, fault: Fault::KeyAlgorithm },
            SignatureError::Signature => Rejection::WrongKey { issuer: id, name, fault: Fault::Signature },
        }
    })?;
    Ok(Verified { facts: judged.facts, issuer: id, key })
}

/// A token whose claims are valid, and whose signature is yet to be verified.
#[derive(Debug)]
pub struct Judged<'a> {
    facts: Facts,
    claims: Map<String, Value>,
    signed: Signed<'a>,
    kid: Option<String>,
}

impl<'a> Judged<'a> {
    /// Judges a token of `issuer` at `now_ms`, as [`verify`] does, for a caller that has its keys elsewhere.
    ///
    /// # Errors
    /// Returns why the token is refused, whatever its signature is.
    pub fn read(token: &'a str, issuer: &Issuer, now_ms: u64) -> Result<Self, Rejection> {
        Self::of_one(token, std::slice::from_ref(issuer), now_ms).map(|(_, judged)| judged)
    }

    fn of_one(token: &'a str, issuers: &[Issuer], now_ms: u64) -> Result<(IssuerId, Self), Rejection> {
        let compact = Compact::parse(token)?;
        let header = Header::parse(&compact.header)?;
        let claims = Object::parse(&compact.claims).map_err(Fault::Claims)?;
        let (id, issuer) = issuer_of(&claims, issuers)?;
        header.admit(&issuer.algorithms, &issuer.token_types)?;
        let facts = judge(&claims, issuer, TokenDigest::of(token), now_ms)?;
        // Without a subject all people of a client would share one session (RFC 9068, section 2.2, requires `sub`). What an
        // introspection endpoint says of a token need not name one (RFC 7662, section 2.2): the endpoint keeps the session.
        if facts.subject.is_none() && matches!(facts.session_key, SessionKey::Login(_)) {
            return Err(Fault::Missing("sub").into());
        }
        let signed = compact.signed(header.algorithm);
        Ok((id, Self { facts, claims: claims.into_members(), signed, kid: header.kid }))
    }

    /// Returns the key that has signed it, if one of the keys has.
    ///
    /// # Errors
    /// Returns why none has. A newer set of keys may.
    pub fn verify(&self, keys: &KeySet, host: HostVerifier) -> Result<KeyId, SignatureError> {
        keys.verify(self.kid.as_deref(), &self.signed, host)
    }

    /// The key that it says to be signed with.
    pub fn key(&self) -> KeyName {
        KeyName::of(self.kid.as_deref())
    }

    /// What it says, and all of its claims. Whoever asks has verified it.
    pub fn into_facts(self) -> (Facts, Map<String, Value>) {
        (self.facts, self.claims)
    }
}

/// `iss` is compared exactly, without URL normalization (RFC 8725, section 3.8).
pub(super) fn issuer_of<'a>(claims: &Object, issuers: &'a [Issuer]) -> Result<(IssuerId, &'a Issuer), Fault> {
    let iss = claims.string("iss")?.ok_or(Fault::Missing("iss"))?;
    let mut known = issuers.iter().enumerate();
    let known = known.find(|(_, known)| *known.issuer == *iss && !known.is_opaque());
    let (index, issuer) = known.ok_or(Fault::Issuer)?;
    Ok((IssuerId(index), issuer))
}
