//! Who may call the admin API, and who may read the metrics: `admin_credential`, `admins` and `metrics`.

#[cfg(test)]
mod tests;

use super::access::{duration, duration_ms};
use super::credentials::{self, Held};
use super::raw::{RawCredentials, RawMetrics};
use super::signals::{RawKeys, algorithms, keys, media_type};
use crate::admins::{
    ADMIN_CREDENTIAL, Admins, Granted, MetricsAccess, Named, OauthSettings, Scope, Scopes, Subject, Verifier,
};
use crate::credential::Credentials;
use crate::signals::Keys;
use portcullis_contract::token::{BoundTokens, ClaimNames, Issuer, KeySource, ScopeClaim};
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

/// The most entries of `admins`.
const ADMINS_MAX: usize = 1_000;

/// The longest name of an admin.
const NAME_BYTES_MAX: usize = 63;

/// The usual tolerance for the dates of tokens, and the largest.
const CLOCK_SKEW: &str = "30s";
const CLOCK_SKEW_MS_MAX: u64 = 60_000;

/// The type of access tokens (RFC 9068, section 2.1).
const TOKEN_TYPE: &str = "at+jwt";

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object with `name`, `credential` and `scopes`, or with `oauth`")]
pub(super) struct RawAdmin {
    name: Option<String>,
    pub(super) credential: Option<RawCredentials>,
    scopes: Option<Vec<String>>,
    subject: Option<RawSubject>,
    oauth: Option<RawOauth>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object: `{issuer: …, sub: …}`")]
struct RawSubject {
    issuer: String,
    sub: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object with the keys of `oauth`")]
struct RawOauth {
    issuer: String,
    #[serde(default)]
    audiences: Vec<String>,
    #[serde(default)]
    algorithms: Vec<String>,
    keys: Option<RawKeys>,
    token_types: Option<Vec<String>>,
    clock_skew: Option<String>,
    acr: Option<Vec<String>>,
    max_age: Option<String>,
    scope_claims: Option<Vec<String>>,
    #[serde(default)]
    claims: BTreeMap<String, BTreeMap<String, Vec<String>>>,
}

type Env<'e> = &'e dyn Fn(&str) -> Option<String>;

/// Reads who may call the admin API.
pub(super) fn read(
    admin_credential: Option<&RawCredentials>,
    raw: Vec<RawAdmin>,
    env: Env<'_>,
    faults: &mut Vec<String>,
) -> Admins {
    let mut admins = Admins::default();
    match admin_credential {
        None if raw.is_empty() => {
            faults
                .push("admin_credential: is missing: set it, or name the people who administer in `admins`".to_owned());
        }
        None => {}
        Some(sources) => {
            let scopes = Scopes::from_iter([Scope::Admin]);
            let all = credentials::all(ADMIN_CREDENTIAL, sources, env, faults);
            let named = |credentials| Named { name: ADMIN_CREDENTIAL.into(), credentials, scopes, subject: None };
            admins.named.extend(all.map(named));
        }
    }
    if raw.len() > ADMINS_MAX {
        faults.push(format!("admins: has {} entries; at most {ADMINS_MAX} are allowed", raw.len()));
    }
    let (mut names, mut issuers) = (BTreeSet::from([ADMIN_CREDENTIAL.to_owned()]), BTreeSet::new());
    for (number, mut raw) in raw.into_iter().enumerate().take(ADMINS_MAX) {
        let at = format!("admins[{number}]");
        match raw.oauth.take() {
            None => admins.named.extend(named(&at, raw, &mut names, env, faults)),
            Some(oauth) => {
                let is_alone =
                    raw.name.is_none() && raw.credential.is_none() && raw.scopes.is_none() && raw.subject.is_none();
                if !is_alone {
                    faults.push(format!(
                        "{at}: `oauth` stands alone: what its callers are and may do is in their tokens"
                    ));
                }
                if !issuers.insert(oauth.issuer.clone()) {
                    faults.push(format!("{at}.oauth.issuer: another entry has tokens of `{}`", oauth.issuer));
                }
                admins.oauth.extend(verifier(&format!("{at}.oauth"), oauth, faults).map(Arc::new));
            }
        }
    }
    admins
}

/// No secret may stand for two of them.
pub(super) fn are_distinct(
    filter: Option<&Credentials>,
    admins: &Admins,
    metrics: &MetricsAccess,
    faults: &mut Vec<String>,
) {
    let of_filter = filter.map(|credentials| Held { at: "filter_credential".to_owned(), credentials });
    let of_admins = admins.named.iter().map(|named| Held {
        at: match &*named.name {
            ADMIN_CREDENTIAL => ADMIN_CREDENTIAL.to_owned(),
            name => format!("admins: the credential of `{name}`"),
        },
        credentials: &named.credentials,
    });
    let of_metrics = match metrics {
        MetricsAccess::Credential(credentials) => Some(Held { at: "metrics.credential".to_owned(), credentials }),
        MetricsAccess::Admins | MetricsAccess::Open => None,
    };
    let all: Vec<Held<'_>> = of_filter.into_iter().chain(of_admins).chain(of_metrics).collect();
    credentials::are_distinct(&all, faults);
}

fn named(
    at: &str,
    raw: RawAdmin,
    names: &mut BTreeSet<String>,
    env: Env<'_>,
    faults: &mut Vec<String>,
) -> Option<Named> {
    let RawAdmin { name, credential, scopes, subject, .. } = raw;
    let name = name.unwrap_or_default();
    // No `#`: with it, a name could be that of the caller of a token.
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'@');
    if name.is_empty() || name.len() > NAME_BYTES_MAX || !name.bytes().all(is_name) {
        faults.push(format!(
            "{at}.name: `{name}` is not a name: use up to {NAME_BYTES_MAX} letters, digits, `-`, `_`, `.` and `@`"
        ));
    } else if name == ADMIN_CREDENTIAL {
        faults.push(format!("{at}.name: `{name}` is the one who presents `admin_credential`: use another name"));
    } else if !names.insert(name.clone()) {
        faults.push(format!("{at}.name: another admin is named `{name}`"));
    }
    let credentials = match &credential {
        Some(sources) => credentials::all(&format!("{at}.credential"), sources, env, faults),
        None => {
            faults.push(format!("{at}.credential: is missing: use `{{env: …}}` or `{{file: …}}`"));
            None
        }
    };
    let scopes = self::scopes(&format!("{at}.scopes"), &scopes.unwrap_or_default(), faults).into_iter().collect();
    let subject = subject.map(|RawSubject { issuer, sub }| {
        if issuer.is_empty() || sub.is_empty() {
            faults.push(format!("{at}.subject: `issuer` and `sub` must not be empty"));
        }
        Subject { issuer: issuer.into(), sub: sub.into() }
    });
    Some(Named { name: name.into(), credentials: credentials?, scopes, subject })
}

fn scopes(at: &str, names: &[String], faults: &mut Vec<String>) -> Vec<Scope> {
    if names.is_empty() {
        faults.push(format!("{at}: is missing or empty: name scopes, `[{}]` for example", Scope::View.as_str()));
    }
    let known = Scope::ALL.map(|scope| format!("`{}`", scope.as_str())).join(", ");
    let mut scopes = Vec::new();
    for name in names {
        match Scope::named(name) {
            Some(scope) => scopes.push(scope),
            None => faults.push(format!("{at}: `{name}` is not one of {known}")),
        }
    }
    scopes
}

fn verifier(at: &str, raw: RawOauth, faults: &mut Vec<String>) -> Option<Verifier> {
    let before = faults.len();
    // The name of a caller is its issuer, `#` and its `sub`.
    if raw.issuer.is_empty() || raw.issuer.contains(|c: char| c == '#' || c.is_whitespace() || c.is_control()) {
        faults.push(format!("{at}.issuer: `{}` is not an issuer: name the `iss` of its tokens", raw.issuer));
    }
    if raw.audiences.is_empty() || raw.audiences.iter().any(String::is_empty) {
        faults.push(format!(
            "{at}.audiences: is missing or empty: name the `aud` that is for the admin API alone, `[portcullis-admin]` for example"
        ));
    }
    let algorithms = algorithms(at, &raw.algorithms, faults);
    let keys = keys(at, raw.keys.as_ref(), faults);
    if let Some(keys) = &keys {
        Keys::check(keys, None).unwrap_or_else(|fault| faults.push(format!("{at}.keys: {fault}")));
    }
    let skew = raw.clock_skew.as_deref().unwrap_or(CLOCK_SKEW);
    let skew_ms = duration(&format!("{at}.clock_skew"), skew, faults);
    if skew_ms > CLOCK_SKEW_MS_MAX {
        faults.push(format!("{at}.clock_skew: `{skew}` is more than a minute"));
    }
    let max_age = raw.max_age.map(|text| {
        if duration_ms(&text) == Some(0) {
            faults.push(format!("{at}.max_age: `{text}` would refuse every token"));
        }
        Duration::from_millis(duration(&format!("{at}.max_age"), &text, faults))
    });
    let acr = some(&format!("{at}.acr"), raw.acr, faults);
    // They are repeated in challenges.
    let is_plain = |acr: &String| acr.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'"' && byte != b'\\');
    if let Some(odd) = acr.iter().flatten().find(|acr| !is_plain(acr)) {
        faults.push(format!("{at}.acr: `{odd}` has characters that a challenge cannot repeat"));
    }
    let types = some(&format!("{at}.token_types"), raw.token_types, faults);
    let token_types =
        types.map_or_else(|| vec![TOKEN_TYPE.to_owned()], |types| types.iter().map(|t| media_type(t)).collect());
    let claim_names = claim_names(at, raw.scope_claims, faults);
    let granted = granted(at, raw.claims, faults);
    if faults.len() > before {
        return None;
    }
    let issuer = Issuer {
        issuer: raw.issuer.into(),
        audiences: raw.audiences,
        clients: Vec::new(),
        claims: Vec::new(),
        bound_tokens: BoundTokens::Refuse,
        minted_for: None,
        algorithms,
        // They are where `OauthSettings` says.
        keys: KeySource::Inline(String::new()),
        clock_skew: Duration::from_millis(skew_ms),
        token_types,
        claim_names,
    };
    let settings = OauthSettings { issuer, keys: keys?, acr: acr.unwrap_or_default(), max_age, granted };
    Verifier::new(settings).map_err(|fault| faults.push(format!("{at}.keys: {fault}"))).ok()
}

/// A list that is not empty where it is there.
fn some(at: &str, list: Option<Vec<String>>, faults: &mut Vec<String>) -> Option<Vec<String>> {
    if list.as_ref().is_some_and(|list| list.is_empty() || list.iter().any(String::is_empty)) {
        faults.push(format!("{at}: is empty: leave it out or add an entry"));
    }
    list
}

fn claim_names(at: &str, scope_claims: Option<Vec<String>>, faults: &mut Vec<String>) -> ClaimNames {
    let at = format!("{at}.scope_claims");
    let usual = ClaimNames::default();
    let Some(names) = some(&at, scope_claims, faults) else { return usual };
    let mut scopes = Vec::new();
    for name in names {
        match ScopeClaim::parse(&name) {
            Ok(claim) => scopes.push(claim),
            Err(malformed) => faults.push(format!("{at}: `{name}`: {malformed}")),
        }
    }
    ClaimNames { scopes, ..usual }
}

fn granted(
    at: &str,
    claims: BTreeMap<String, BTreeMap<String, Vec<String>>>,
    faults: &mut Vec<String>,
) -> Vec<Granted> {
    let mut granted = Vec::new();
    for (claim, values) in claims {
        if claim.is_empty() || values.is_empty() {
            faults.push(format!(
                "{at}.claims.{claim}: is empty: write `{{CLAIM: {{VALUE: [{}]}}}}`",
                Scope::View.as_str()
            ));
        }
        for (value, names) in values {
            let scopes = scopes(&format!("{at}.claims.{claim}.{value}"), &names, faults);
            granted.push(Granted { claim: claim.clone(), value, scopes });
        }
    }
    granted
}

/// Reads who may read the metrics.
pub(super) fn metrics(raw: Option<&RawMetrics>, env: Env<'_>, faults: &mut Vec<String>) -> MetricsAccess {
    let Some(raw) = raw else { return MetricsAccess::Admins };
    match (&raw.credential, raw.open) {
        (None, true) => MetricsAccess::Open,
        (Some(sources), false) => {
            let all = credentials::all("metrics.credential", sources, env, faults);
            all.map_or(MetricsAccess::Admins, MetricsAccess::Credential)
        }
        (None, false) | (Some(_), true) => {
            faults.push("metrics: needs either `credential` or `open: true`".to_owned());
            MetricsAccess::Admins
        }
    }
}
