//! What a token says, read without verifying it: see the parent for why that is acceptable here. The facts are made
//! from the claims exactly as the filter makes them, so that both find the same session.

use crate::wire::{self, SessionKey};
use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine as _};
use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use std::fmt;

/// The longest token, in bytes.
const TOKEN_BYTES_MAX: usize = 16 * 1024;

/// The longest claim that names something, in bytes.
const TEXT_BYTES_MAX: usize = 1024;

/// 9999-12-31T23:59:59Z, in seconds since the Unix epoch. A later date is a mistake.
const DATE_SECONDS_MAX: u64 = 253_402_300_799;

/// How far ahead an issuer's clock may be when it says `nbf`.
const CLOCK_SKEW_MS: u64 = 60_000;

/// The claim that names a session.
const SESSION_CLAIM: &str = "sid";

/// The claims that hold scopes.
const SCOPE_CLAIMS: [&str; 2] = ["scope", "scp"];

const CLIENT_CREDENTIALS: &str = "client_credentials";

/// The token is opaque, or not one that the filter would take.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Unreadable;

/// A token that could be read.
#[derive(Debug)]
pub(super) struct Claims {
    all: Map<String, Value>,
    /// What the filter would say of it on a check stream.
    pub(super) facts: wire::Token,
    not_before_ms: Option<u64>,
}

impl Claims {
    pub(super) fn read(token: &str) -> Result<Self, Unreadable> {
        let all = payload(token)?;
        let issuer = text(&all, "iss")?.ok_or(Unreadable)?;
        let subject = text(&all, "sub")?;
        let client_id = match text(&all, "client_id")? {
            None => text(&all, "azp")?,
            client_id => client_id,
        };
        if subject.is_none() && client_id.is_none() {
            return Err(Unreadable);
        }
        let grant = grant(&all, subject == client_id)?;
        let authenticated_at_ms = date_ms(&all, "auth_time")?;
        let (key_kind, session_key) = match (text(&all, SESSION_CLAIM)?, client_id) {
            (Some(sid), _) => (SessionKey::Claim, sid.to_owned()),
            (None, Some(client)) if grant == CLIENT_CREDENTIALS => (SessionKey::Client, client.to_owned()),
            _ => (SessionKey::Login, login(issuer, subject, client_id, authenticated_at_ms)),
        };
        let facts = wire::Token {
            handle: 0,
            issuer: issuer.to_owned(),
            key_kind: key_kind as i32,
            session_key,
            subject: subject.unwrap_or_default().to_owned(),
            client_id: client_id.unwrap_or_default().to_owned(),
            scopes: scopes(&all)?,
            issued_at_ms: date_ms(&all, "iat")?.ok_or(Unreadable)?,
            expires_at_ms: date_ms(&all, "exp")?.ok_or(Unreadable)?,
            authenticated_at_ms,
            acr: text(&all, "acr")?.unwrap_or_default().to_owned(),
            jti: text(&all, "jti")?.unwrap_or_default().to_owned(),
            grant: grant.to_owned(),
            digest: Sha256::digest(token).to_vec(),
        };
        let not_before_ms = date_ms(&all, "nbf")?;
        Ok(Self { facts, not_before_ms, all })
    }

    /// "On or after" `exp`, a token is expired (RFC 7519, section 4.1.4).
    pub(super) fn is_expired(&self, now_ms: u64) -> bool {
        now_ms >= self.facts.expires_at_ms
    }

    pub(super) fn is_early(&self, now_ms: u64) -> bool {
        self.not_before_ms.is_some_and(|at_ms| at_ms > now_ms.saturating_add(CLOCK_SKEW_MS))
    }

    /// A claim as the token has it.
    pub(super) fn get(&self, name: &str) -> Option<&Value> {
        self.all.get(name)
    }
}

/// The claims of a JWS in compact form (RFC 7515, section 7.1).
fn payload(token: &str) -> Result<Map<String, Value>, Unreadable> {
    if token.len() > TOKEN_BYTES_MAX {
        return Err(Unreadable);
    }
    let parts: Vec<&str> = token.splitn(4, '.').collect();
    let [header, claims, signature] = <[&str; 3]>::try_from(parts).map_err(|_| Unreadable)?;
    let decode = |part: &str| BASE64_URL_SAFE_NO_PAD.decode(part).map_err(|_| Unreadable);
    decode(signature)?;
    object(&decode(header)?)?;
    object(&decode(claims)?)
}

fn object(json: &[u8]) -> Result<Map<String, Value>, Unreadable> {
    match serde_json::from_slice(json) {
        Ok(Unique(Value::Object(members))) => Ok(members),
        _ => Err(Unreadable),
    }
}

/// The text of a claim; an empty one counts as none.
fn text<'a>(claims: &'a Map<String, Value>, name: &str) -> Result<Option<&'a str>, Unreadable> {
    let is_clean = |text: &str| text.len() <= TEXT_BYTES_MAX && text.trim() == text && !text.contains(char::is_control);
    match claims.get(name) {
        None => Ok(None),
        Some(Value::String(text)) if text.is_empty() => Ok(None),
        Some(Value::String(text)) if is_clean(text) => Ok(Some(text)),
        Some(_) => Err(Unreadable),
    }
}

/// How the token was granted. `gty` and `grant_type` are not registered: a value that is no string is no grant.
fn grant(claims: &Map<String, Value>, is_own_client: bool) -> Result<&str, Unreadable> {
    let named = |name| match claims.get(name) {
        Some(Value::String(_)) => text(claims, name),
        _ => Ok(None),
    };
    let (gty, grant_type) = (named("gty")?, named("grant_type")?);
    let is_machine = |grant: &str| grant == CLIENT_CREDENTIALS || grant == "client-credentials";
    Ok(match is_own_client || [gty, grant_type].into_iter().flatten().any(is_machine) {
        true => CLIENT_CREDENTIALS,
        false => gty.or(grant_type).unwrap_or_default(),
    })
}

/// Names a login where the token names no session. Each field is preceded by its length, so that no two logins share a
/// digest; `auth_time` is in decimal milliseconds.
fn login(issuer: &str, subject: Option<&str>, client_id: Option<&str>, authenticated_at_ms: Option<u64>) -> String {
    let auth_time = authenticated_at_ms.map(|ms| ms.to_string());
    let fields =
        [issuer, subject.unwrap_or_default(), client_id.unwrap_or_default(), auth_time.as_deref().unwrap_or_default()];
    let mut hash = Sha256::new();
    for field in fields {
        hash.update((field.len() as u64).to_be_bytes());
        hash.update(field);
    }
    BASE64_URL_SAFE_NO_PAD.encode(hash.finalize())
}

/// The union of the scope claims, each a string or an array.
fn scopes(claims: &Map<String, Value>) -> Result<Vec<String>, Unreadable> {
    let is_scope = |scope: &str| {
        scope.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'"' && byte != b'\\') && !scope.is_empty()
    };
    let mut scopes: Vec<String> = Vec::new();
    for value in SCOPE_CLAIMS.into_iter().filter_map(|name| claims.get(name)) {
        match value {
            Value::String(list) => scopes.extend(list.split(' ').filter(|scope| !scope.is_empty()).map(str::to_owned)),
            Value::Array(entries) => {
                for entry in entries {
                    scopes.push(entry.as_str().ok_or(Unreadable)?.to_owned());
                }
            }
            _ => return Err(Unreadable),
        }
    }
    scopes.sort_unstable();
    scopes.dedup();
    if scopes.iter().all(|scope| is_scope(scope)) { Ok(scopes) } else { Err(Unreadable) }
}

/// A NumericDate: seconds since the Unix epoch, with or without a fraction (RFC 7519, section 2).
fn date_ms(claims: &Map<String, Value>, name: &str) -> Result<Option<u64>, Unreadable> {
    let fraction_ms = |seconds: f64| {
        let is_sane = (0.0..=DATE_SECONDS_MAX as f64).contains(&seconds);
        is_sane.then(|| (seconds * 1_000.0).round() as u64)
    };
    let Some(value) = claims.get(name) else {
        return Ok(None);
    };
    let ms = match (value.as_u64(), value.as_f64()) {
        (Some(seconds), _) => (seconds <= DATE_SECONDS_MAX).then(|| seconds * 1_000),
        (None, Some(seconds)) => fraction_ms(seconds),
        (None, None) => None,
    };
    ms.map(Some).ok_or(Unreadable)
}

/// A JSON value in which no name stands twice: parsers disagree on which of two counts, and the caller's may be another.
struct Unique(Value);

impl<'de> Deserialize<'de> for Unique {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(UniqueVisitor)
    }
}

struct UniqueVisitor;

impl<'de> Visitor<'de> for UniqueVisitor {
    type Value = Unique;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Unique, E> {
        Ok(Unique(Value::Null))
    }

    fn visit_bool<E>(self, value: bool) -> Result<Unique, E> {
        Ok(Unique(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Unique, E> {
        Ok(Unique(value.into()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Unique, E> {
        Ok(Unique(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Unique, E> {
        Ok(Unique(value.into()))
    }

    fn visit_str<E>(self, value: &str) -> Result<Unique, E> {
        Ok(Unique(value.into()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut entries: A) -> Result<Unique, A::Error> {
        let mut values = Vec::new();
        while let Some(Unique(value)) = entries.next_element()? {
            values.push(value);
        }
        Ok(Unique(Value::Array(values)))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Unique, A::Error> {
        let mut members = Map::new();
        while let Some((name, Unique(value))) = entries.next_entry::<String, Unique>()? {
            if members.insert(name, value).is_some() {
                return Err(A::Error::custom("a member is there twice"));
            }
        }
        Ok(Unique(Value::Object(members)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(claims: &str) -> String {
        let [header, claims] = [r#"{"alg":"none"}"#, claims].map(|part| BASE64_URL_SAFE_NO_PAD.encode(part));
        format!("{header}.{claims}.AA")
    }

    fn facts(claims: &str) -> wire::Token {
        Claims::read(&token(claims)).unwrap().facts
    }

    #[test]
    fn a_login_digest_is_the_filters() {
        let issuer = "https://id.example.com";
        assert_eq!(
            login(issuer, Some("alice"), Some("web"), Some(1_700_000_000_000)),
            "UJbf64fnwB28yyCNErYu6qbytoHmsF4hF6W-LJYLTUA"
        );
        assert_eq!(login(issuer, Some("alice"), Some("web"), None), "0m9H3y-l42m65gB5OwRXSV0-1_ZtC9PC9JV-sz8d9Lo");
    }

    #[test]
    fn the_session_key_is_the_claim_the_client_or_the_login() {
        let rest = r#""iss":"i","iat":1,"exp":2"#;
        for (claims, kind, key, grant) in [
            (r#""sub":"a","client_id":"a","sid":"s""#, SessionKey::Claim, "s", "client_credentials"),
            (r#""sub":"a","client_id":"a""#, SessionKey::Client, "a", "client_credentials"),
            (r#""sub":"a","azp":"b","gty":"client-credentials""#, SessionKey::Client, "b", "client_credentials"),
            (r#""client_id":"b","grant_type":"client_credentials""#, SessionKey::Client, "b", "client_credentials"),
            (r#""sub":"a","client_id":"b","gty":"password","sid":"""#, SessionKey::Login, "", "password"),
        ] {
            let facts = facts(&format!("{{{rest},{claims}}}"));
            assert_eq!((facts.key_kind(), facts.grant.as_str()), (kind, grant), "{claims}");
            if kind == SessionKey::Login {
                assert_eq!(facts.session_key, login("i", Some("a"), Some("b"), None));
            } else {
                assert_eq!(facts.session_key, key, "{claims}");
            }
        }
    }

    #[test]
    fn scopes_and_dates_are_read_in_every_form() {
        let facts = facts(
            r#"{"iss":"i","sub":"a","iat":1.5,"exp":2,"auth_time":1,"scope":"b  a","scp":["c","a"],"acr":"aal2","jti":"j"}"#,
        );
        assert_eq!(facts.scopes, ["a", "b", "c"]);
        assert_eq!((facts.issued_at_ms, facts.expires_at_ms), (1_500, 2_000));
        assert_eq!(facts.authenticated_at_ms, Some(1_000));
        assert_eq!((facts.acr.as_str(), facts.jti.as_str(), facts.digest.len()), ("aal2", "j", 32));
    }

    #[test]
    fn what_the_filter_would_not_take_is_unreadable() {
        let good = r#"{"iss":"i","sub":"a","iat":1,"exp":2}"#;
        assert!(Claims::read(&token(good)).is_ok());
        for claims in [
            r#"{"sub":"a","iat":1,"exp":2}"#,
            r#"{"iss":"i","iat":1,"exp":2}"#,
            r#"{"iss":"i","sub":"a","exp":2}"#,
            r#"{"iss":"i","sub":"a","iat":1}"#,
            r#"{"iss":"i","sub":"a","iat":1,"exp":"2"}"#,
            r#"{"iss":"i","sub":"a","iat":1,"exp":-2}"#,
            r#"{"iss":"i","sub":7,"iat":1,"exp":2}"#,
            r#"{"iss":"i","sub":" a","iat":1,"exp":2}"#,
            r#"{"iss":"i","sub":"a","iat":1,"exp":2,"sid":7}"#,
            r#"{"iss":"i","sub":"a","iat":1,"exp":2,"scope":7}"#,
            r#"{"iss":"i","sub":"a","iat":1,"exp":2,"scp":["a b"]}"#,
            r#"{"iss":"i","sub":"a","iat":1,"exp":2,"sub":"b"}"#,
            r#"{"iss":"i","sub":"a","iat":1,"exp":2,"x":{"y":1,"y":2}}"#,
            "[]",
            "",
        ] {
            assert_eq!(Claims::read(&token(claims)).err(), Some(Unreadable), "{claims}");
        }
        let long = "a".repeat(TOKEN_BYTES_MAX + 1);
        for opaque in ["", "opaque", "a.b", "a.b.c", "a.b.c.d", "e30.e30.AA.", &long] {
            assert_eq!(Claims::read(opaque).err(), Some(Unreadable), "{opaque}");
        }
        let whole = token(good);
        assert!(Claims::read(&format!("{whole}.AA.AA")).is_err());
        assert!(Claims::read(&format!("{whole}=")).is_err());
    }
}
