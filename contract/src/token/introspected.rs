//! Tokens of which an introspection endpoint tells what they mean (RFC 7662): which they are, and what it says.

use super::Issuer;
use super::{
    Facts, Fault, IssuerId, Rejection, TOKEN_BYTES_MAX, TokenDigest, compact::Compact, dates, json::Object,
    judge::judge, scopes, verify::issuer_of,
};
use base64::{
    alphabet,
    engine::{DecodePaddingMode, Engine, GeneralPurpose, GeneralPurposeConfig},
};
use serde_json::Value;

/// The largest answer of an introspection endpoint, in bytes.
pub const INTROSPECTION_BYTES_MAX: usize = 64 * 1024;

/// What `token_type` and `token_use` may say of an access token, in lower case. Endpoints also answer for refresh tokens,
/// whatever the hint (RFC 7662, section 2.1).
const ACCESS_TOKEN_TYPES: [&str; 3] = ["bearer", "access_token", "at+jwt"];

/// Whether `token` means something to an introspection endpoint alone. A JWT in the name of an issuer whose tokens are
/// verified here never does, however bad it is, and what looks like a JWT but can't be read as one is refused here too.
pub fn is_opaque(token: &str, issuers: &[Issuer]) -> bool {
    if token.len() > TOKEN_BYTES_MAX || !issuers.iter().any(Issuer::is_opaque) {
        return false;
    }
    // Other servers read base64 leniently: a token of a verified issuer must not pass for an opaque one by its spelling.
    if leniently(token).is_some_and(|claims| !is_strangers(&claims, issuers)) {
        return false;
    }
    let Ok(compact) = Compact::parse(token) else { return true };
    if Object::parse(&compact.header).is_err() {
        return true;
    }
    Object::parse(&compact.claims).is_ok_and(|claims| is_strangers(&claims, issuers))
}

fn is_strangers(claims: &Object, issuers: &[Issuer]) -> bool {
    matches!(issuer_of(claims, issuers), Err(Fault::Issuer | Fault::Missing(_)))
}

/// The claims of what somebody may take for a JWT: in either alphabet, with or without padding, whatever its signature.
fn leniently(token: &str) -> Option<Object> {
    const LENIENT: GeneralPurpose = GeneralPurpose::new(
        &alphabet::URL_SAFE,
        GeneralPurposeConfig::new()
            .with_decode_allow_trailing_bits(true)
            .with_decode_padding_mode(DecodePaddingMode::Indifferent),
    );
    let claims = token.split('.').nth(1)?.trim_end_matches('=').replace('+', "-").replace('/', "_");
    Object::parse(&LENIENT.decode(claims).ok()?).ok()
}

/// An answer of an introspection endpoint (RFC 7662, section 2.2): a JSON object of bounded size with a boolean `active`.
#[derive(Debug)]
pub struct Introspected {
    members: Object,
    active: bool,
}

/// What an active answer adds to a token that was verified here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Agreement {
    /// Nothing contradicts the token; with the scopes that are left, if they are fewer than the token's.
    Agrees(Option<Vec<String>>),
    /// The endpoint says that its time is over.
    Expired,
    /// The answer speaks of another token.
    OtherToken,
}

impl Introspected {
    /// Reads the body of a 200. Whatever is no such answer is none: `1` or `"true"` is not `active`.
    pub fn parse(body: &[u8]) -> Option<Self> {
        if body.len() > INTROSPECTION_BYTES_MAX {
            return None;
        }
        let members = Object::parse(body).ok()?;
        let active = members.get("active")?.as_bool()?;
        Some(Self { members, active })
    }

    /// Whether the token is good, as far as the endpoint knows.
    pub const fn is_active(&self) -> bool {
        self.active
    }

    /// A member that is a string.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.members.get(name)?.as_str()
    }

    /// Compares the answer with a token of `issuer` that was verified here. What the answer leaves out, the token says.
    ///
    /// # Errors
    /// A member is not of its type: the answer can't be believed.
    pub fn agree(&self, token: &Facts, issuer: &Issuer, now_ms: u64) -> Result<Agreement, Fault> {
        for (name, ours) in [
            ("iss", Some(issuer.issuer.as_str())),
            ("sub", token.subject.as_deref()),
            ("client_id", token.client_id.as_deref()),
        ] {
            let theirs = self.members.string(name).map_err(|_| Fault::IllTyped(name))?;
            if let (Some(ours), Some(theirs)) = (ours, theirs)
                && ours != theirs
            {
                return Ok(Agreement::OtherToken);
            }
        }
        let skew_ms = u64::try_from(issuer.clock_skew.as_millis()).unwrap_or(u64::MAX);
        if dates::date_ms(&self.members, "exp")?.is_some_and(|exp_ms| now_ms >= exp_ms.saturating_add(skew_ms)) {
            return Ok(Agreement::Expired);
        }
        if self.members.get("scope").is_none() {
            return Ok(Agreement::Agrees(None));
        }
        let theirs = scopes::read(&self.members, &["scope".to_owned()])?;
        let left: Vec<String> = token.scopes.iter().filter(|scope| theirs.contains(scope)).cloned().collect();
        Ok(Agreement::Agrees((left.len() < token.scopes.len()).then_some(left)))
    }

    /// The facts of the opaque token with this digest, judged as those of a JWT are. Two things may be missing that a JWT
    /// must have: `iss` when there is one opaque issuer only, and `iat`, for which now stands.
    ///
    /// # Errors
    /// Says why the token is refused.
    pub fn facts(
        mut self,
        digest: TokenDigest,
        issuers: &[Issuer],
        now_ms: u64,
    ) -> Result<(IssuerId, Facts), Rejection> {
        let (id, issuer) = self.issuer(issuers)?;
        for name in ["token_type", "token_use"] {
            let kind = self.members.string(name)?.map(str::to_ascii_lowercase);
            if kind.is_some_and(|kind| !ACCESS_TOKEN_TYPES.contains(&kind.as_str())) {
                return Err(Fault::TokenType.into());
            }
        }
        self.members.or_insert("iat", Value::from(now_ms / 1_000));
        Ok((id, judge(&self.members, issuer, digest, now_ms)?))
    }

    fn issuer<'a>(&self, issuers: &'a [Issuer]) -> Result<(IssuerId, &'a Issuer), Fault> {
        let iss = self.members.string("iss")?;
        let mut opaque = issuers.iter().enumerate().filter(|(_, issuer)| issuer.is_opaque());
        let (index, issuer) = match iss {
            Some(iss) => opaque.find(|(_, issuer)| issuer.issuer == iss).ok_or(Fault::Issuer)?,
            None => {
                let only = opaque.next().filter(|_| opaque.next().is_none());
                only.ok_or(Fault::Missing("iss"))?
            }
        };
        Ok((IssuerId(index), issuer))
    }
}
