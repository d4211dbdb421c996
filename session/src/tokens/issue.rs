//! Our own access tokens: the issuer's claims, for as long as a request may take.

use super::said::Said;
use super::settings::IssueSettings;
use super::state::Tokens;
use super::vault::random;
use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine as _};
use portcullis_contract::KeyKind;
use portcullis_contract::token::ORIGINAL_ISSUER;
use serde_json::{Map, Value, json};

/// The type of access tokens (RFC 9068, section 2.1).
pub(super) const TYPE: &str = "at+jwt";

/// What a token is made of.
pub(super) struct Content<'c> {
    pub(super) said: &'c Said,
    pub(super) kind: KeyKind,
    /// The claims of the issuer's token that are taken over as they are.
    pub(super) claim: &'c dyn Fn(&str) -> Option<Value>,
    /// What of its scopes is left.
    pub(super) scopes: Vec<String>,
    pub(super) audience: &'c str,
    /// A key that the client has shown, where the issuer's token is bound to nothing.
    pub(super) key: Option<[u8; 32]>,
    /// Who has exchanged it, if somebody has (RFC 8693, section 4.1).
    pub(super) actor: Option<&'c str>,
    /// When all that it rests on ends.
    pub(super) ends_at_ms: [Option<u64>; 2],
}

/// A token.
pub(super) struct Issued {
    pub(super) text: String,
    pub(super) expires_in_s: u64,
    /// It is good with a proof only.
    pub(super) is_bound_to_key: bool,
}

impl Tokens {
    /// Makes a token; `None`: no key signs now, or nothing is left of its life.
    pub(super) fn mint(&self, issue: &IssueSettings, content: &Content<'_>, now_ms: u64) -> Option<Issued> {
        let keys = self.signing.read().clone()?;
        let signer = keys.signer(now_ms)?;
        let ends_at_ms = content.ends_at_ms.into_iter().chain([signer.until_ms]).flatten();
        let exp_s = ends_at_ms.fold(now_ms.saturating_add(issue.ttl_ms), u64::min) / 1_000;
        let iat_s = now_ms / 1_000;
        let expires_in_s = exp_s.checked_sub(iat_s).filter(|left_s| *left_s > 0)?;
        let id = BASE64_URL_SAFE_NO_PAD.encode(random::<16>()?);
        let claims = claims(&keys.issuer, content, &id, [iat_s, exp_s]);
        let is_bound_to_key = claims.get("cnf").is_some_and(|cnf| cnf.get("jkt").is_some());
        let jwt = signer.key.sign(&signer.key.header(TYPE), &serde_json::to_vec(&claims).ok()?)?;
        Some(Issued { text: jwt.text, expires_in_s, is_bound_to_key })
    }
}

/// What it says. A session has the same id by it as by the issuer's token.
fn claims(issuer: &str, content: &Content<'_>, id: &str, [iat_s, exp_s]: [u64; 2]) -> Map<String, Value> {
    let Content { said, kind, claim, scopes, audience, key, actor, .. } = content;
    let mut claims = Map::new();
    let mut set = |name: &str, value: Option<Value>| claims.extend(value.map(|value| (name.to_owned(), value)));
    let text = |text: &str| (!text.is_empty()).then(|| json!(text));
    set("iss", Some(json!(issuer)));
    set(ORIGINAL_ISSUER, Some(json!(said.issuer)));
    set("aud", Some(json!(audience)));
    set("sub", text(&said.subject));
    set("client_id", text(&said.client));
    set("iat", Some(json!(iat_s)));
    set("exp", Some(json!(exp_s)));
    set("jti", Some(json!(id)));
    set("scope", text(&scopes.join(" ")));
    // By whatever claim its issuer names sessions.
    set("sid", (*kind == KeyKind::Claim).then(|| json!(said.key)));
    set("gty", text(said.grant()));
    for name in ["auth_time", "acr", "amr", "cnf", "email", "email_verified"] {
        set(name, claim(name));
    }
    if let Some(key) = key {
        let cnf = claims.entry("cnf").or_insert_with(|| json!({}));
        if let Some(cnf) = cnf.as_object_mut() {
            cnf.entry("jkt").or_insert_with(|| json!(BASE64_URL_SAFE_NO_PAD.encode(key)));
        }
    }
    if let Some(actor) = actor {
        let mut act = Map::from_iter([("sub".to_owned(), json!(actor))]);
        act.extend(claim("act").map(|before| ("act".to_owned(), before)));
        claims.insert("act".to_owned(), Value::Object(act));
    }
    claims
}
