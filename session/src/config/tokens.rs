//! The token endpoint: `tokens`.

use super::access::duration;
use super::credentials::secret;
use super::raw::{RawCredential, RawStore};
use crate::signals::{Url, trusted};
use crate::tokens::{Endpoints, IssueSettings, IssuerSettings, KEY_BYTES, SealingKey, TokenSettings};
use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine as _};
use serde::Deserialize;
use std::path::PathBuf;

/// The most issuers, and the most keys.
const ISSUERS_MAX: usize = 100;
const KEYS_MAX: usize = 16;

/// The longest `kid` in bytes: what is stored has it.
const KID_BYTES_MAX: usize = 128;

/// The longest retry window: as long, whoever has stolen a handle can use it unnoticed.
const RETRY_WINDOW_MS_MAX: u64 = 60_000;

/// The bounds of the life of our own tokens.
const TTL_MS_MIN: u64 = 1_000;
const TTL_MS_MAX: u64 = 3_600_000;

#[derive(Deserialize)]
#[serde(
    deny_unknown_fields,
    expecting = "an object with `issuers` and `encryption`, and with `retry_window`, `idle`, `absolute` or `issue`"
)]
pub(super) struct RawTokens {
    issuers: Vec<RawIssuer>,
    encryption: RawEncryption,
    retry_window: Option<String>,
    idle: Option<String>,
    absolute: Option<String>,
    issue: Option<RawIssue>,
}

#[derive(Deserialize)]
#[serde(
    deny_unknown_fields,
    expecting = "an object with `issuer`, with `token_endpoint` or `discovery`, and with `audiences`, `revocation_endpoint` or `ca`"
)]
struct RawIssuer {
    issuer: String,
    audiences: Option<Vec<String>>,
    token_endpoint: Option<String>,
    revocation_endpoint: Option<String>,
    discovery: Option<String>,
    ca: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object: `{keys: […]}`")]
struct RawEncryption {
    keys: Vec<RawKey>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object with `env` or `file`, and with `kid`")]
struct RawKey {
    env: Option<String>,
    file: Option<String>,
    kid: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object with `audience`, and with `ttl` or `audiences`")]
struct RawIssue {
    ttl: Option<String>,
    audience: String,
    #[serde(default)]
    audiences: Vec<String>,
}

type Env<'e> = &'e dyn Fn(&str) -> Option<String>;

/// Reads it. `signs` says whether there are signing keys.
pub(super) fn read(
    raw: Option<RawTokens>,
    store: &RawStore,
    signs: bool,
    env: Env<'_>,
    faults: &mut Vec<String>,
) -> Option<TokenSettings> {
    let raw = raw?;
    let before = faults.len();
    if store.redis.is_some() {
        faults.push(
            "tokens: Redis keeps no refresh handles: use `store: {embedded: …}` or `store: {postgres: …}`".to_owned(),
        );
    }
    let issuers = issuers(raw.issuers, faults);
    let keys = keys(&raw.encryption.keys, env, faults);
    let mut time = |key: &str, given: Option<String>, usual: &str| {
        duration(&format!("tokens.{key}"), given.as_deref().unwrap_or(usual), faults)
    };
    let retry_window_ms = time("retry_window", raw.retry_window, "10s");
    let (idle_ms, absolute_ms) = (time("idle", raw.idle, "30d"), time("absolute", raw.absolute, "90d"));
    if faults.len() == before {
        if retry_window_ms > RETRY_WINDOW_MS_MAX {
            faults.push(format!("tokens.retry_window: is longer than {}s", RETRY_WINDOW_MS_MAX / 1_000));
        }
        if idle_ms > absolute_ms {
            faults.push("tokens.idle: is longer than `tokens.absolute`, which ends a handle in any case".to_owned());
        }
    }
    let issue = raw.issue.map(|raw| issue(raw, signs, faults));
    (faults.len() == before).then(|| TokenSettings::new(issuers, keys, [retry_window_ms, idle_ms, absolute_ms], issue))
}

fn issuers(raw: Vec<RawIssuer>, faults: &mut Vec<String>) -> Vec<IssuerSettings> {
    if raw.is_empty() {
        faults.push("tokens.issuers: is empty: name the issuer whose clients come here".to_owned());
    }
    if raw.len() > ISSUERS_MAX {
        faults.push(format!("tokens.issuers: has {} entries: at most {ISSUERS_MAX} are allowed", raw.len()));
    }
    let mut issuers: Vec<IssuerSettings> = Vec::new();
    for (number, raw) in raw.into_iter().enumerate().take(ISSUERS_MAX) {
        let at = format!("tokens.issuers[{number}]");
        if raw.issuer.is_empty() || issuers.iter().any(|known| known.issuer == raw.issuer) {
            faults.push(format!("{at}.issuer: `{}` is empty, or listed already", raw.issuer));
        }
        issuers.extend(issuer(&at, raw, faults));
    }
    issuers
}

fn issuer(at: &str, raw: RawIssuer, faults: &mut Vec<String>) -> Option<IssuerSettings> {
    let RawIssuer { issuer, audiences, token_endpoint, revocation_endpoint, discovery, ca } = raw;
    let before = faults.len();
    let mut url = |key: &str, text: Option<String>| {
        let read = text.map(|text| Url::read(&text).map_err(|fault| faults.push(format!("{at}.{key}: {fault}"))));
        read.and_then(Result::ok)
    };
    let (token, revocation) = (url("token_endpoint", token_endpoint), url("revocation_endpoint", revocation_endpoint));
    let discovery = url("discovery", discovery);
    if audiences.as_ref().is_some_and(|audiences| audiences.is_empty() || audiences.iter().any(String::is_empty)) {
        faults.push(format!("{at}.audiences: is empty: leave it out or add an entry"));
    }
    let ca: Option<PathBuf> = ca.map(Into::into);
    let called = [&token, &revocation, &discovery].into_iter().flatten().cloned().collect::<Vec<_>>();
    if let Some(Err(fault)) =
        called.iter().find(|url| !url.is_plain()).or(called.first()).map(|url| trusted(ca.as_ref(), url))
    {
        faults.push(format!("{at}: {fault}"));
    }
    let endpoints = match (token, discovery) {
        (Some(token), None) => Some(Endpoints::Named { token, revocation }),
        (None, Some(discovery)) if revocation.is_none() => Some(Endpoints::Discovery(discovery)),
        _ => {
            if faults.len() == before {
                faults.push(format!(
                    "{at}: needs either `token_endpoint`, and perhaps `revocation_endpoint`, or `discovery`"
                ));
            }
            None
        }
    };
    (faults.len() == before).then_some(IssuerSettings {
        issuer,
        audiences: audiences.unwrap_or_default(),
        endpoints: endpoints?,
        ca,
    })
}

fn keys(raw: &[RawKey], env: Env<'_>, faults: &mut Vec<String>) -> Vec<SealingKey> {
    if raw.is_empty() || raw.len() > KEYS_MAX {
        faults.push(format!("tokens.encryption.keys: has {} keys: 1 to {KEYS_MAX} are needed", raw.len()));
    }
    let mut keys: Vec<SealingKey> = Vec::new();
    for (number, raw) in raw.iter().enumerate().take(KEYS_MAX) {
        let at = format!("tokens.encryption.keys[{number}]");
        let kid = &raw.kid;
        if kid.is_empty() || kid.len() > KID_BYTES_MAX || !kid.bytes().all(|byte| byte.is_ascii_graphic()) {
            faults.push(format!("{at}.kid: needs 1 to {KID_BYTES_MAX} visible ASCII characters"));
        } else if raw_kids(&keys).any(|known| known == kid) {
            faults.push(format!("{at}.kid: `{kid}` is the name of another key"));
        }
        let source = RawCredential { env: raw.env.clone(), file: raw.file.clone() };
        match secret(&at, &source, env).and_then(|text| key(&at, &text)) {
            Ok(key) => keys.push(SealingKey { kid: kid.clone(), key }),
            Err(fault) => faults.push(fault),
        }
    }
    keys
}

fn raw_kids(keys: &[SealingKey]) -> impl Iterator<Item = &String> {
    keys.iter().map(|key| &key.kid)
}

/// A key. What is wrong with one is said without its content.
fn key(at: &str, text: &str) -> Result<[u8; KEY_BYTES], String> {
    let read = BASE64_URL_SAFE_NO_PAD.decode(text.trim_end_matches('=')).ok().and_then(|bytes| bytes.try_into().ok());
    read.ok_or_else(|| {
        format!("{at}: is not {KEY_BYTES} bytes in base64url: `openssl rand -base64 32 | tr +/ -_` makes one")
    })
}

fn issue(raw: RawIssue, signs: bool, faults: &mut Vec<String>) -> IssueSettings {
    let RawIssue { ttl, audience, audiences } = raw;
    let before = faults.len();
    let ttl_ms = duration("tokens.issue.ttl", ttl.as_deref().unwrap_or("60s"), faults);
    if faults.len() == before && !(TTL_MS_MIN..=TTL_MS_MAX).contains(&ttl_ms) {
        faults.push(format!("tokens.issue.ttl: is not between {}s and 1h", TTL_MS_MIN / 1_000));
    }
    if audience.is_empty() || audiences.iter().any(String::is_empty) {
        faults.push("tokens.issue.audience: is empty: name the `aud` of the tokens".to_owned());
    }
    if !signs {
        faults.push("tokens.issue: needs `signing`, whose keys sign the tokens".to_owned());
    }
    IssueSettings { ttl_ms, audience, audiences }
}

#[cfg(test)]
mod tests {
    use super::super::{Settings, read};
    use super::*;

    const ISSUER: &str = "{issuer: 'https://id', token_endpoint: 'http://127.0.0.1:1/token'}";
    const KEYS: &str = "encryption: {keys: [{env: SEALING, kid: a}]}";

    fn given(tokens: &str) -> Result<Settings, String> {
        in_store("{embedded: {path: data}}", tokens)
    }

    fn in_store(store: &str, tokens: &str) -> Result<Settings, String> {
        let start = "listen: 127.0.0.1:0\nadmin: 127.0.0.1:0\nadmin_credential: {env: ADMIN}\n";
        let env = |name: &str| match name {
            "SEALING" => Some(BASE64_URL_SAFE_NO_PAD.encode([7; KEY_BYTES])),
            "NONE" => None,
            _ => Some("a-secret-of-16-bytes".to_owned()),
        };
        read(&format!("{start}store: {store}\ntokens: {tokens}\n"), &env).map_err(|faults| faults.to_string())
    }

    #[test]
    fn an_issuer_and_a_key_are_enough() {
        let tokens = given(&format!("{{issuers: [{ISSUER}], {KEYS}}}")).unwrap().tokens.unwrap();
        assert_eq!((tokens.issuers.len(), tokens.keys.len(), tokens.issue), (1, 1, None));
        let day = 24 * 60 * 60 * 1_000;
        let usual = TokenSettings::new(tokens.issuers.clone(), tokens.keys.clone(), [10_000, 30 * day, 90 * day], None);
        assert_eq!(given(&format!("{{issuers: [{ISSUER}], {KEYS}}}")).unwrap().tokens, Some(usual));
        let discovered = format!("{{issuers: [{{issuer: i, discovery: 'http://127.0.0.1:1/d'}}], {KEYS}}}");
        assert!(matches!(given(&discovered).unwrap().tokens.unwrap().issuers[0].endpoints, Endpoints::Discovery(_)));
        assert!(!format!("{:?}", given(&discovered).unwrap()).contains("7, 7, 7"), "a key is not shown");
    }

    #[test]
    fn each_fault_says_where_it_is() {
        let with = |issuer: &str, rest: &str| format!("{{issuers: [{issuer}], {KEYS}{rest}}}");
        for (text, wanted) in [
            ("{}".to_owned(), "tokens.issuers: is missing"),
            (format!("{{issuers: [], {KEYS}}}"), "tokens.issuers: is empty"),
            (with("{issuer: i}", ""), "tokens.issuers[0]: needs either `token_endpoint`"),
            (
                with("{issuer: i, token_endpoint: 'https://i/t', discovery: 'https://i/d'}", ""),
                "tokens.issuers[0]: needs either",
            ),
            (
                with("{issuer: i, token_endpoint: 'http://id/t'}", ""),
                "tokens.issuers[0].token_endpoint: `http://id/t` is not",
            ),
            (
                with("{issuer: i, audiences: [], token_endpoint: 'https://i/t'}", ""),
                "tokens.issuers[0].audiences: is empty",
            ),
            (with(&format!("{ISSUER}, {ISSUER}"), ""), "tokens.issuers[1].issuer: `https://id` is empty, or listed"),
            (with("{issuer: i, token_endpoint: 'https://i/t', ca: /none}", ""), "tokens.issuers[0]: ca: cannot read"),
            (format!("{{issuers: [{ISSUER}], encryption: {{keys: []}}}}"), "tokens.encryption.keys: has 0 keys"),
            (
                format!("{{issuers: [{ISSUER}], encryption: {{keys: [{{env: ADMIN, kid: a}}]}}}}"),
                "tokens.encryption.keys[0]: is not 32 bytes in base64url",
            ),
            (
                format!("{{issuers: [{ISSUER}], encryption: {{keys: [{{env: NONE, kid: a}}]}}}}"),
                "tokens.encryption.keys[0].env: the environment variable `NONE`",
            ),
            (
                format!(
                    "{{issuers: [{ISSUER}], encryption: {{keys: [{{env: SEALING, kid: a}}, {{env: SEALING, kid: a}}]}}}}"
                ),
                "tokens.encryption.keys[1].kid: `a` is the name of another key",
            ),
            (with(ISSUER, ", retry_window: 2m"), "tokens.retry_window: is longer than 60s"),
            (with(ISSUER, ", idle: 91d"), "tokens.idle: is longer than"),
            (with(ISSUER, ", issue: {ttl: 60s, audience: a}"), "tokens.issue: needs `signing`"),
            (with(ISSUER, ", issue: {ttl: 2h, audience: a}"), "tokens.issue.ttl: is not between"),
            (with(ISSUER, ", issue: {audience: ''}"), "tokens.issue.audience: is empty"),
            (with(ISSUER, ", rotate: true"), "tokens.rotate: unknown key"),
        ] {
            let faults = given(&text).map(drop).expect_err(&text);
            assert!(faults.contains(wanted) && !faults.contains("a-secret"), "{wanted}: {faults}");
        }
        let redis = "{redis: {url: 'redis://127.0.0.1', journal: j, replicas: 1}}";
        let faults = in_store(redis, &with(ISSUER, "")).map(drop).unwrap_err();
        assert!(faults.contains("tokens: Redis keeps no refresh handles"), "{faults}");
    }

    #[test]
    fn a_listener_of_its_own_needs_a_token_endpoint() {
        let with = |more: &str| given(&format!("{{issuers: [{ISSUER}], {KEYS}}}\n{more}"));
        assert!(with("tokens_listen: 127.0.0.1:0").unwrap().tokens_listen.is_some());
        let start =
            "listen: 127.0.0.1:0\nadmin: 127.0.0.1:0\nadmin_credential: {env: ADMIN}\nstore: {embedded: {path: d}}\n";
        let env = |_: &str| Some("a-secret-of-16-bytes".to_owned());
        let faults = read(&format!("{start}tokens_listen: 127.0.0.1:0\n"), &env).map(drop).unwrap_err().to_string();
        assert!(faults.contains("tokens_listen: there is no token endpoint: `tokens` is missing"), "{faults}");
    }
}
