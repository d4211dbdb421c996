//! The issuers whose tokens are accepted.

use super::{ROOT, keys::keys, list, some_texts};
use crate::policy::{
    Algorithm, ClaimNames, Issuer, KeySource,
    deserialize::{Given, shaped},
    duration::duration_within,
    fault::{Faults, Wrong},
    json::Json,
    json_path::At,
    raw::RawIssuer,
    text::{plain, quoted},
};
use std::{collections::HashMap, time::Duration};

/// The maximum number of issuers in a policy.
const ISSUERS_MAX: usize = 1_000;
const CLOCK_SKEW: Duration = Duration::from_secs(30);
const CLOCK_SKEW_MAX: Duration = Duration::from_secs(60);

/// The algorithms by name.
pub(in crate::policy) const ALGORITHMS: [(&str, Algorithm); 11] = [
    ("RS256", Algorithm::RS256),
    ("RS384", Algorithm::RS384),
    ("RS512", Algorithm::RS512),
    ("PS256", Algorithm::PS256),
    ("PS384", Algorithm::PS384),
    ("PS512", Algorithm::PS512),
    ("ES256", Algorithm::ES256),
    ("ES384", Algorithm::ES384),
    ("ES512", Algorithm::ES512),
    ("EdDSA", Algorithm::EdDSA),
    ("Ed25519", Algorithm::EdDSA),
];

pub(super) fn issuers(json: Given<Json<'_>>, faults: &mut Faults) -> Option<Vec<Issuer>> {
    let at = ROOT.key("issuers");
    let entries = list(json, &at, ISSUERS_MAX, faults).or(Vec::new(), Some)?;
    let mut seen = HashMap::new();
    let mut issuers = Vec::with_capacity(entries.len());
    for (index, json) in entries.into_iter().enumerate() {
        let at = at.item(index);
        let raw: Given<RawIssuer> = shaped(json, &at, faults);
        issuers.push(raw.value().and_then(|raw| issuer(raw, &at, index, &mut seen, faults)));
    }
    issuers.into_iter().collect()
}

fn issuer(
    raw: RawIssuer,
    at: &At<'_>,
    index: usize,
    seen: &mut HashMap<String, usize>,
    faults: &mut Faults,
) -> Option<Issuer> {
    let given = [
        ("algorithms", !raw.algorithms.is_absent()),
        ("keys", !raw.keys.is_absent()),
        ("token_types", !raw.token_types.is_absent()),
        ("scope_claims", !raw.scope_claims.is_absent()),
        ("session_claims", !raw.session_claims.is_absent()),
    ];
    let name = raw.issuer.required(&at.key("issuer"), faults);
    let name = name.and_then(|name| faults.check(&at.key("issuer"), plain(&name)));
    if let Some(name) = &name {
        let first = *seen.entry(name.clone()).or_insert(index);
        if first != index {
            let message = format_args!("{} is already listed at `$.issuers[{first}]`", quoted(name));
            faults.add(&at.key("issuer"), message);
        }
    }
    let audiences =
        some_texts(raw.audiences, &at.key("audiences"), faults, plain).required(&at.key("audiences"), faults);
    let clock_skew = raw.clock_skew.or(CLOCK_SKEW, |text| {
        faults.check(&at.key("clock_skew"), duration_within(&text, Duration::ZERO, CLOCK_SKEW_MAX))
    });
    if raw.opaque.or(false, Some)? {
        return opaque(name, audiences, clock_skew, &given, at, faults);
    }
    let algorithms =
        some_texts(raw.algorithms, &at.key("algorithms"), faults, algorithm).required(&at.key("algorithms"), faults);
    let keys = raw.keys.required(&at.key("keys"), faults).and_then(|raw| keys(raw, &at.key("keys"), faults));
    let token_types = some_texts(raw.token_types, &at.key("token_types"), faults, token_type);
    let scope_claims = some_texts(raw.scope_claims, &at.key("scope_claims"), faults, plain);
    let session_claims = some_texts(raw.session_claims, &at.key("session_claims"), faults, plain);
    let names = ClaimNames::default();
    Some(Issuer {
        issuer: name?,
        audiences: audiences?,
        algorithms: algorithms?,
        keys: keys?,
        clock_skew: clock_skew?,
        token_types: token_types.or(owned(&["at+jwt"]), Some)?,
        claim_names: ClaimNames {
            scopes: scope_claims.or(names.scopes, Some)?,
            session: session_claims.or(names.session, Some)?,
        },
    })
}

/// An issuer whose tokens are not verified here. `given` lists the verification keys and whether each is present.
fn opaque(
    name: Option<String>,
    audiences: Option<Vec<String>>,
    clock_skew: Option<Duration>,
    given: &[(&str, bool)],
    at: &At<'_>,
    faults: &mut Faults,
) -> Option<Issuer> {
    for (key, _) in given.iter().filter(|(_, is_given)| *is_given) {
        faults.add(&at.key(key), "the filter does not read opaque tokens; omit this key");
    }
    Some(Issuer {
        issuer: name?,
        audiences: audiences?,
        // No JWT can meet these conditions, so a signed token in this issuer's name is never accepted by accident.
        algorithms: Vec::new(),
        keys: KeySource::Opaque,
        clock_skew: clock_skew?,
        token_types: Vec::new(),
        // The names of RFC 7662, section 2.2, and of OpenID Connect.
        // The one member of RFC 7662 that holds scopes.
        claim_names: ClaimNames { scopes: owned(&["scope"]), ..ClaimNames::default() },
    })
}

fn owned(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

fn algorithm(text: &str) -> Result<Algorithm, Wrong> {
    match text {
        _ if text.eq_ignore_ascii_case("none") => Err("`none` means no signature: anyone could forge a token".into()),
        "HS256" | "HS384" | "HS512" => {
            Err(format!("`{text}` is symmetric: anyone who can verify such a token can also forge one").into())
        }
        _ => super::word(text, &ALGORITHMS),
    }
}

/// A `typ` in its canonical spelling: without `application/` and in lower case (RFC 7515, section 4.1.9).
fn token_type(text: &str) -> Result<String, String> {
    let text = text.to_ascii_lowercase();
    let name = text.strip_prefix("application/").unwrap_or(&text);
    let is_name =
        !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$&-^_.+".contains(&byte));
    if is_name { Ok(name.to_owned()) } else { Err(format!("{} is not a token type such as `at+jwt`", quoted(&text))) }
}
