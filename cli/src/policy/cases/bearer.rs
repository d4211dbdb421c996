//! The token of a case.

use portcullis_engine::policy::{ClaimNames, Issuer, ScopeClaim};
use serde_json::{Map, Value, json};

/// Claims that are times.
pub(super) const TIMES: [&str; 4] = ["auth_time", "exp", "iat", "nbf"];

/// `aud` if the issuer is not in the policy.
const AUDIENCE: &str = "api";

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
    /// Claims that it does not have.
    pub without: Vec<String>,
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
            Some(name) => issuers.iter().find(|issuer| *issuer.issuer == **name),
        }
    }

    /// The token's claims at `now_s`, in seconds since the Unix epoch. `sid` is the id of its own session. Unless the case
    /// says otherwise, they are what the issuer's section of the policy accepts.
    pub fn claims(&self, issuers: &[Issuer], now_s: i64, sid: &str) -> Map<String, Value> {
        let issuer = self.issuer(issuers);
        let iss = self.issuer.as_deref().or(issuer.map(|issuer| &*issuer.issuer));
        let audience = issuer.map_or(Some(AUDIENCE), |issuer| issuer.audiences.first().map(String::as_str));
        let client = issuer.and_then(|issuer| issuer.clients.first()).map_or(CLIENT, String::as_str);
        let usual = ClaimNames::default();
        let names = issuer.map_or(&usual, |issuer| &issuer.claim_names);
        let (iat, exp) = match self.quality {
            Quality::Good | Quality::Forged => (now_s, now_s + LIFETIME_S),
            Quality::Expired => (now_s - 2 * HOUR_S, now_s - HOUR_S),
        };
        let mut claims = Map::new();
        let mut set = |name: &str, value: Value| claims.insert(name.to_owned(), value);
        for demanded in issuer.map(|issuer| issuer.claims.as_slice()).unwrap_or_default() {
            let value = demanded.values.first().and_then(|value| serde_json::from_str(&value.to_string()).ok());
            set(&demanded.claim, value.unwrap_or_default());
        }
        set("iss", json!(iss.unwrap_or_default()));
        if let Some(audience) = audience {
            set("aud", json!(audience));
        }
        set("sub", json!(SUBJECT));
        set(names.client.first().map_or("client_id", String::as_str), json!(client));
        set("iat", json!(iat));
        set("exp", json!(exp));
        set(names.session.first().map_or("sid", String::as_str), json!(sid));
        if let (Some(scopes), Some(claim)) = (&self.scopes, names.scopes.first()) {
            put_scopes(&mut claims, claim, scopes);
        }
        for (name, claim) in &self.claims {
            let value = match claim {
                Claim::Value(value) => value.clone(),
                Claim::FromNow(seconds) => json!(now_s.saturating_add(*seconds)),
            };
            claims.insert(name.clone(), value);
        }
        self.without.iter().for_each(|name| drop(claims.remove(name)));
        claims
    }
}

/// Sets a scope claim: a text, or a list inside of other claims.
pub(in crate::policy) fn put_scopes(claims: &mut Map<String, Value>, claim: &ScopeClaim, scopes: &[String]) {
    match claim.path() {
        [name] => drop(claims.insert(name.clone(), json!(scopes.join(" ")))),
        [outermost, inner @ ..] => {
            let value = inner.iter().rev().fold(json!(scopes), |value, name| json!({name.as_str(): value}));
            claims.insert(outermost.clone(), value);
        }
        [] => {}
    }
}
