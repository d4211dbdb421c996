//! Tokens that an introspection endpoint explains (RFC 7662): which tokens those are, and how its response is read.

use super::Issuer;
use super::{
    BoundTokens, ClaimNames, Facts, Fault, IssuerId, Rejection, ScopeClaim, TOKEN_BYTES_MAX, TokenDigest,
    compact::Compact,
    dates,
    json::Object,
    judge::{judge, unbound},
    scopes,
    verify::issuer_of,
};
use base64::{
    alphabet,
    engine::{DecodePaddingMode, Engine, GeneralPurpose, GeneralPurposeConfig},
};
use serde_json::Value;

/// The maximum size of an introspection response in bytes.
pub const INTROSPECTION_BYTES_MAX: usize = 64 * 1024;

/// The `token_type` of a token that is bound to a key (RFC 9449, section 5), in lower case.
const BOUND_TYPE: &str = "dpop";

/// Accepted values of `token_type` and `token_use`, in lower case. Endpoints also answer for refresh tokens, whatever
/// the hint (RFC 7662, section 2.1).
const ACCESS_TOKEN_TYPES: [&str; 3] = ["bearer", "access_token", "at+jwt"];

/// Whether only an introspection endpoint can interpret `token`. A JWT in the name of an issuer whose tokens are
/// verified here never qualifies, however malformed, and neither does anything that looks like a JWT but cannot be read
/// as one.
pub fn is_opaque(token: &str, issuers: &[Issuer]) -> bool {
    if token.len() > TOKEN_BYTES_MAX || !issuers.iter().any(Issuer::is_opaque) {
        return false;
    }
    // Other servers decode base64 leniently: a lenient spelling must not turn a verified issuer's token into an opaque
    // one.
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

/// The claims of anything that some server might accept as a JWT: either alphabet, with or without padding, any
/// signature.
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

/// A response of an introspection endpoint (RFC 7662, section 2.2): a JSON object of bounded size with a boolean
/// `active`.
#[derive(Debug)]
pub struct Introspected {
    members: Object,
    active: bool,
}

/// How an active response relates to a token that was verified here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Agreement {
    /// Nothing contradicts the token. Holds the remaining scopes if there are fewer than in the token.
    Agrees(Option<Vec<String>>),
    /// According to the endpoint, the token has expired.
    Expired,
    /// The response describes another token.
    OtherToken,
    /// According to the endpoint, the token is bound to a key, and the issuer's bound tokens are refused.
    Bound,
}

impl Introspected {
    /// Reads the body of a 200 response. Anything malformed is rejected: `1` and `"true"` are not an `active` member.
    pub fn parse(body: &[u8]) -> Option<Self> {
        if body.len() > INTROSPECTION_BYTES_MAX {
            return None;
        }
        let members = Object::parse(body).ok()?;
        let active = members.get("active")?.as_bool()?;
        Some(Self { members, active })
    }

    /// Whether the endpoint considers the token valid.
    pub const fn is_active(&self) -> bool {
        self.active
    }

    /// A member that is a string.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.members.get(name)?.as_str()
    }

    /// When the person logged in (`auth_time`; RFC 9470, section 6.2), if the response says so.
    pub fn authenticated_at_ms(&self) -> Option<u64> {
        dates::readable_ms(&self.members, "auth_time")
    }

    /// Compares the response with a token of `issuer` that was verified here. Members that the response omits default
    /// to the token's claims.
    ///
    /// # Errors
    /// A member has the wrong type: the response cannot be trusted.
    pub fn agree(&self, token: &Facts, issuer: &Issuer, now_ms: u64) -> Result<Agreement, Fault> {
        for (name, ours) in [
            ("iss", Some(&*issuer.issuer)),
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
        let kind = self.text("token_type").unwrap_or_default();
        let is_bound_type = issuer.bound_tokens != BoundTokens::Bearer && kind.eq_ignore_ascii_case(BOUND_TYPE);
        if is_bound_type || unbound(&self.members, issuer).is_err() {
            return Ok(Agreement::Bound);
        }
        match self.members.get("scope") {
            None => return Ok(Agreement::Agrees(None)),
            Some(Value::Null | Value::Bool(_) | Value::Number(_)) => return Err(Fault::IllTyped("scope")),
            Some(Value::String(_) | Value::Array(_) | Value::Object(_)) => {}
        }
        // `scope` is the member of RFC 7662. What the policy reads from claims of the issuer's own, it reads here as well.
        let is_own = |claim: &&ScopeClaim| !ClaimNames::SCOPES.contains(&claim.as_str());
        let own = issuer.claim_names.scopes.iter().filter(is_own);
        let theirs = scopes::read(&self.members, own.chain([&ScopeClaim::named("scope")]));
        let left: Vec<String> = token.scopes.iter().filter(|scope| theirs.contains(scope)).cloned().collect();
        Ok(Agreement::Agrees((left.len() < token.scopes.len()).then_some(left)))
    }

    /// The facts of the opaque token with this digest, judged like those of a JWT. Two required claims of a JWT are
    /// optional: `iss` if there is only one opaque issuer, and `iat`, which defaults to now.
    ///
    /// # Errors
    /// Returns why the token is refused.
    pub fn facts(
        mut self,
        digest: TokenDigest,
        issuers: &[Issuer],
        now_ms: u64,
    ) -> Result<(IssuerId, Facts), Rejection> {
        let (id, issuer) = self.issuer(issuers)?;
        for name in ["token_type", "token_use"] {
            let kind = self.members.string(name)?.map(str::to_ascii_lowercase);
            match kind.as_deref() {
                Some(BOUND_TYPE) if issuer.bound_tokens != BoundTokens::Bearer => return Err(Fault::Bound.into()),
                Some(kind) if kind != BOUND_TYPE && !ACCESS_TOKEN_TYPES.contains(&kind) => {
                    return Err(Fault::TokenType.into());
                }
                _ => {}
            }
        }
        if dates::readable_ms(&self.members, "iat").is_none() {
            self.members.insert("iat", Value::from(now_ms / 1_000));
        }
        Ok((id, judge(&self.members, issuer, digest, now_ms)?))
    }

    fn issuer<'a>(&self, issuers: &'a [Issuer]) -> Result<(IssuerId, &'a Issuer), Fault> {
        let iss = self.members.string("iss")?;
        let mut opaque = issuers.iter().enumerate().filter(|(_, issuer)| issuer.is_opaque());
        let (index, issuer) = match iss {
            Some(iss) => opaque.find(|(_, issuer)| *issuer.issuer == *iss).ok_or(Fault::Issuer)?,
            None => {
                let only = opaque.next().filter(|_| opaque.next().is_none());
                only.ok_or(Fault::Missing("iss"))?
            }
        };
        Ok((IssuerId(index), issuer))
    }
}
