//! The token of a case.

use portcullis_engine::policy::Issuer;
use serde_json::{Map, Value, json};

/// Claims that are times.
pub(super) const TIMES: [&str; 4] = ["auth_time", "exp", "iat", "nbf"];

/// `aud` and the scope claim if the issuer is not in the policy.
const AUDIENCE: &str = "api";
const SCOPE: &str = "scope";

const SUBJECT: &str = "alice";
const CLIENT: &str = "app";
/// The lifetime of a token, in seconds.
const LIFETIME_S: i64 = 300;
const HOUR_S: i64 = 3_600;

/// The token of a case.
#[derive(Debug, Clone, PartialEq)]
pub struct Bearer {
    /// Its issuer; `None`: the first issuer of the policy.
    pub issuer: Option<String>,
    /// Whether it is valid.
    pub quality: Quality,
    /// Its scopes, if the case has the key `scopes`.
    pub scopes: Option<Vec<String>>,
    /// The claims of the case.
    pub claims: Vec<(String, Claim)>,
}

/// Whether a token is valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Quality {
    /// Valid.
    Good,
    /// Expired.
    Expired,
    /// Signed with another key.
    Forged,
}

/// A claim's value.
#[derive(Debug, Clone, PartialEq)]
pub enum Claim {
    /// This value.
    Value(Value),
    /// A time in seconds from now.
    FromNow(i64),
}

impl Bearer {
    /// The policy's issuer of the token, if it has one.
    pub fn issuer<'p>(&self, issuers: &'p [Issuer]) -> Option<&'p Issuer> {
        match &self.issuer {
            None => issuers.first(),
            Some(name) => issuers.iter().find(|issuer| issuer.issuer == *name),
        }
    }

    /// The token's claims at `now_s`, in seconds since the Unix epoch. `sid` is the id of its own session.
    pub fn claims(&self, issuers: &[Issuer], now_s: i64, sid: &str) -> Map<String, Value> {
        let issuer = self.issuer(issuers);
        let iss = self.issuer.as_deref().or(issuer.map(|issuer| issuer.issuer.as_str()));
        let audience = issuer.and_then(|issuer| issuer.audiences.first()).map_or(AUDIENCE, String::as_str);
        let scope_claim = issuer.and_then(|issuer| issuer.claim_names.scopes.first()).map_or(SCOPE, String::as_str);
        let session_claim = issuer.and_then(|issuer| issuer.claim_names.session.first()).map_or("sid", String::as_str);
        let (iat, exp) = match self.quality {
            Quality::Good | Quality::Forged => (now_s, now_s + LIFETIME_S),
            Quality::Expired => (now_s - 2 * HOUR_S, now_s - HOUR_S),
        };
        let mut claims = Map::new();
        let mut set = |name: &str, value: Value| claims.insert(name.to_owned(), value);
        set("iss", json!(iss.unwrap_or_default()));
        set("aud", json!(audience));
        set("sub", json!(SUBJECT));
        set("client_id", json!(CLIENT));
        set("iat", json!(iat));
        set("exp", json!(exp));
        set(session_claim, json!(sid));
        if let Some(scopes) = &self.scopes {
            set(scope_claim, json!(scopes.join(" ")));
        }
        for (name, claim) in &self.claims {
            set(
                name,
                match claim {
                    Claim::Value(value) => value.clone(),
                    Claim::FromNow(seconds) => json!(now_s.saturating_add(*seconds)),
                },
            );
        }
        claims
    }
}
