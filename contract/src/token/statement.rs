//! Signed statements that are no access tokens: security event tokens (RFC 8417), and logout tokens (OpenID Connect
//! Back-Channel Logout 1.0, section 2.4). They are read as strictly as access tokens are, and by the same code.

use super::{
    Algorithm, Fault, HostVerifier, KeyName, KeySet, SignatureError, Signed,
    compact::Compact,
    dates::date_ms,
    header::Header,
    identity::text,
    json::{IllTyped, Object},
};
use serde_json::{Map, Value};
use std::time::Duration;

/// What a statement must meet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Demands {
    /// `iss`, compared exactly.
    pub issuer: String,
    /// Accepted `typ` header values, lower-case, without `application/`. A statement without `typ` has the type `jwt`.
    pub types: Vec<String>,
    /// The algorithms that may sign it.
    pub algorithms: Vec<Algorithm>,
    /// The oldest `iat`.
    pub max_age: Duration,
    /// How far ahead of now `iat` may be.
    pub ahead: Duration,
}

/// Why a statement can never be accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unfit {
    /// It is not what it should be.
    Invalid(Fault),
    /// It was issued too long ago, or its `exp` has passed.
    TooOld,
}

impl From<Fault> for Unfit {
    fn from(fault: Fault) -> Self {
        Self::Invalid(fault)
    }
}

impl From<IllTyped> for Unfit {
    fn from(IllTyped(name): IllTyped) -> Self {
        Self::Invalid(Fault::IllTyped(name))
    }
}

/// A statement that was read, and whose signature is yet to be verified.
#[derive(Debug)]
pub struct Unproven<'a> {
    signed: Signed<'a>,
    kid: Option<String>,
    statement: Statement,
}

/// What an issuer has signed.
#[derive(Debug, Clone, PartialEq)]
pub struct Statement {
    /// `jti`.
    pub id: String,
    /// `iat`, in milliseconds since the Unix epoch.
    pub issued_at_ms: u64,
    /// `exp`, likewise.
    pub expires_at_ms: Option<u64>,
    /// `aud`.
    pub audiences: Vec<String>,
    /// All claims.
    pub claims: Map<String, Value>,
}

impl<'a> Unproven<'a> {
    /// Reads a statement at `now_ms`, in milliseconds since the Unix epoch.
    ///
    /// # Errors
    /// Returns why it can never be accepted. The cheap checks come first; the audience is for the caller to judge.
    pub fn read(token: &'a str, demands: &Demands, now_ms: u64) -> Result<Self, Unfit> {
        let compact = Compact::parse(token)?;
        let header = Header::parse(&compact.header)?;
        let claims = Object::parse(&compact.claims).map_err(Fault::Claims)?;
        if claims.string("iss")?.ok_or(Fault::Missing("iss"))? != demands.issuer {
            return Err(Fault::Issuer.into());
        }
        header.admit(&demands.algorithms, &demands.types)?;
        let ms = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        let issued_at_ms = date_ms(&claims, "iat")?.ok_or(Fault::Missing("iat"))?;
        let expires_at_ms = date_ms(&claims, "exp")?;
        if issued_at_ms > now_ms.saturating_add(ms(demands.ahead)) {
            return Err(Fault::NotYetValid("iat").into());
        }
        if issued_at_ms < now_ms.saturating_sub(ms(demands.max_age)) {
            return Err(Unfit::TooOld);
        }
        if expires_at_ms.is_some_and(|at_ms| at_ms.saturating_add(ms(demands.ahead)) <= now_ms) {
            return Err(Unfit::TooOld);
        }
        let id = match claims.get("jti") {
            None => return Err(Fault::Missing("jti").into()),
            Some(_) => text(&claims, "jti").ok_or(Fault::IllTyped("jti"))?.to_owned(),
        };
        let audiences = audiences(claims.get("aud"))?;
        let signed = compact.signed(header.algorithm);
        let claims = claims.into_members();
        Ok(Self {
            signed,
            kid: header.kid,
            statement: Statement { id, issued_at_ms, expires_at_ms, audiences, claims },
        })
    }

    /// The statement, if one of the keys has signed it.
    ///
    /// # Errors
    /// Returns why none has. A newer set of keys may.
    pub fn verify(&self, keys: &KeySet, host: HostVerifier) -> Result<&Statement, SignatureError> {
        keys.verify(self.kid.as_deref(), &self.signed, host).map(|_| &self.statement)
    }

    /// The key that it says to be signed with.
    pub fn key(&self) -> KeyName {
        KeyName::of(self.kid.as_deref())
    }
}

/// `aud`: one text, or a list of them (RFC 7519, section 4.1.3).
fn audiences(aud: Option<&Value>) -> Result<Vec<String>, Fault> {
    let text = |value: &Value| value.as_str().map(str::to_owned).ok_or(Fault::IllTyped("aud"));
    match aud {
        None => Ok(Vec::new()),
        Some(Value::Array(list)) => list.iter().map(text).collect(),
        Some(one) => Ok(vec![text(one)?]),
    }
}
