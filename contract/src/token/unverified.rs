//! Reads a token without verifying it, to find its session. The party that presents it must have verified it or be
//! trusted with the session: nothing here shows that the token is genuine.

use super::{
    ClaimNames, Facts, Fault, ORIGINAL_ISSUER, TokenDigest, compact::Compact, dates::Dates, identity::text,
    json::Object,
};
use serde_json::Value;
use std::time::Duration;

/// How far ahead an issuer's clock can be when it sets `nbf`: the maximum `clock_skew` of a policy.
const SKEW_MAX: Duration = Duration::from_secs(60);

/// A token that was read but not verified.
#[derive(Debug)]
pub struct Unverified {
    /// Its claims.
    pub facts: Facts,
    claims: Object,
    dates: Dates,
}

impl Unverified {
    /// Reads a signed JWT. `names` returns the claim names of its issuer.
    ///
    /// # Errors
    /// The token is opaque, or no verifier would accept it.
    pub fn read<'n>(token: &str, names: impl FnOnce(&str) -> &'n ClaimNames) -> Result<Self, Fault> {
        Self::read_minted(token, |_| false, names)
    }

    /// The same where some tokens were minted in place of another issuer's: `mints` tells of which issuers. They belong to the
    /// sessions of the issuer that they name, and have the usual claims.
    ///
    /// # Errors
    /// As above.
    pub fn read_minted<'n>(
        token: &str,
        mints: impl FnOnce(&str) -> bool,
        names: impl FnOnce(&str) -> &'n ClaimNames,
    ) -> Result<Self, Fault> {
        let compact = Compact::parse(token)?;
        Object::parse(&compact.header).map_err(Fault::Header)?;
        let claims = Object::parse(&compact.claims).map_err(Fault::Claims)?;
        let issuer = text(&claims, "iss").ok_or(Fault::Missing("iss"))?;
        let dates = Dates::read(&claims, SKEW_MAX)?;
        let usual = ClaimNames::default();
        let (issuer, names) = match mints(issuer) {
            true => (text(&claims, ORIGINAL_ISSUER).ok_or(Fault::OriginalIssuer)?, &usual),
            false => (issuer, names(issuer)),
        };
        let facts = Facts::read(&claims, issuer.into(), names, &dates, TokenDigest::of(token))?;
        Ok(Self { facts, claims, dates })
    }

    /// Whether it has expired without any tolerance: "on or after" `exp` (RFC 7519, section 4.1.4).
    pub fn is_expired(&self, now_ms: u64) -> bool {
        now_ms >= self.facts.expires_at_ms
    }

    /// Whether its `nbf` is still in the future.
    pub fn is_early(&self, now_ms: u64) -> bool {
        self.dates.is_early(now_ms)
    }

    /// A claim in its original form.
    pub fn claim(&self, name: &str) -> Option<&Value> {
        self.claims.get(name)
    }
}
