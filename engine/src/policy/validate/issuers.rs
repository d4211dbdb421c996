//! The issuers whose tokens are accepted.

use super::{ROOT, claims::claims, keys::keys, list, some_texts};
use crate::policy::{
    Algorithm, BoundTokens, ClaimNames, Issuer, KeySource, ScopeClaim,
    deserialize::{Given, shaped},
    duration::duration_within,
    fault::{About, Faults, Wrong},
    json::Json,
    json_path::At,
    raw::{RawIssuer, Texts},
    text::{plain, quoted},
};
use crate::token::CLAIMS_MAX;
use std::{collections::HashMap, mem::take, time::Duration};

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

/// What can become of bound tokens, by name.
pub(in crate::policy) const BOUND_TOKENS: [(&str, BoundTokens); 3] =
    [("refuse", BoundTokens::Refuse), ("verify", BoundTokens::Verify), ("bearer", BoundTokens::Bearer)];

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
    mut raw: RawIssuer,
    at: &At<'_>,
    index: usize,
    seen: &mut HashMap<String, usize>,
    faults: &mut Faults,
) -> Option<Issuer> {
    let name = name(take(&mut raw.issuer), at, index, seen, faults);
    let clients = some_texts(take(&mut raw.clients), &at.key("clients"), faults, plain);
    let audiences = audiences(take(&mut raw.audiences), clients.is_absent(), &at.key("audiences"), faults);
    let claims = claims(take(&mut raw.claims), &at.key("claims"), faults);
    let bound_tokens = take(&mut raw.bound_tokens)
        .or(BoundTokens::Refuse, |text| faults.check(&at.key("bound_tokens"), super::word(&text, &BOUND_TOKENS)));
    let clock_skew = take(&mut raw.clock_skew).or(CLOCK_SKEW, |text| {
        faults.check(&at.key("clock_skew"), duration_within(&text, Duration::ZERO, CLOCK_SKEW_MAX))
    });
    let minted_for = take(&mut raw.minted_for);
    let mints = !minted_for.is_absent();
    let minted_for = minted_for.or(None, |text| faults.check(&at.key("minted_for"), plain(&text)).map(Some));
    let is_opaque = take(&mut raw.opaque).or(false, Some);
    let claim_names = claim_names(&mut raw, is_opaque == Some(true), at, faults);
    let Verification { algorithms, keys, token_types } = match is_opaque? {
        true => opaque(&raw, mints, at, faults),
        false => verified(raw, at, faults)?,
    };
    Some(Issuer {
        issuer: name?.into(),
        audiences: audiences?,
        clients: clients.or(Vec::new(), Some)?,
        claims: claims?,
        bound_tokens: bound_tokens?,
        minted_for: minted_for?.map(Into::into),
        algorithms,
        keys,
        clock_skew: clock_skew?,
        token_types,
        claim_names: claim_names?,
    })
}

fn name(
    raw: Given<String>,
    at: &At<'_>,
    index: usize,
    seen: &mut HashMap<String, usize>,
    faults: &mut Faults,
) -> Option<String> {
    let at = at.key("issuer");
    let name = raw.required(&at, faults).and_then(|name| faults.check(&at, plain(&name)))?;
    let first = *seen.entry(name.clone()).or_insert(index);
    if first != index {
        let message = format_args!("{} is already listed at `$.issuers[{first}]`", quoted(&name));
        faults.add(&at, message);
    }
    Some(name)
}

/// Without audiences, only the client tells this API's tokens from the issuer's others.
fn audiences(raw: Texts, no_clients: bool, at: &At<'_>, faults: &mut Faults) -> Option<Vec<String>> {
    let audiences = some_texts(raw, at, faults, plain);
    if audiences.is_absent() && no_clients {
        let message = "this key is required; it can only be omitted if `clients` lists the clients of this API";
        faults.add(at, Wrong::from(message).about(About::MissingKey));
        return None;
    }
    audiences.or(Vec::new(), Some)
}

fn claim_names(raw: &mut RawIssuer, is_opaque: bool, at: &At<'_>, faults: &mut Faults) -> Option<ClaimNames> {
    let usual = ClaimNames::default();
    let pointer = |text: &str| {
        let text = plain(text)?;
        ScopeClaim::parse(&text).map_err(|malformed| format!("{}: {malformed}", quoted(&text)))
    };
    let scopes = some_claims(take(&mut raw.scope_claims), &at.key("scope_claims"), faults, pointer);
    let client = some_claims(take(&mut raw.client_claims), &at.key("client_claims"), faults, plain);
    let machine = claims(take(&mut raw.machine), &at.key("machine"), faults);
    let session = match is_opaque {
        // `opaque` reports it.
        true => Some(usual.session),
        false => {
            some_claims(take(&mut raw.session_claims), &at.key("session_claims"), faults, plain).or(usual.session, Some)
        }
    };
    // RFC 7662, section 2.2, has one member that contains scopes.
    let usual_scopes = if is_opaque { vec![ScopeClaim::named("scope")] } else { usual.scopes };
    Some(ClaimNames {
        scopes: scopes.or(usual_scopes, Some)?,
        session: session?,
        client: client.or(usual.client, Some)?,
        machine: machine?,
        facts: usual.facts,
    })
}

/// A list of claims. The session service learns them, and reads no more than so many.
fn some_claims<T: PartialEq>(
    list: Texts,
    at: &At<'_>,
    faults: &mut Faults,
    read: impl FnMut(&str) -> Result<T, String>,
) -> Given<Vec<T>> {
    match some_texts(list, at, faults, read) {
        Given::Value(claims) if claims.len() > CLAIMS_MAX => {
            faults.add(at, format_args!("has {} claims; at most {CLAIMS_MAX} are allowed", claims.len()));
            Given::Faulty
        }
        claims => claims,
    }
}

/// How the tokens of an issuer are verified.
struct Verification {
    algorithms: Vec<Algorithm>,
    keys: KeySource,
    token_types: Vec<String>,
}

fn verified(raw: RawIssuer, at: &At<'_>, faults: &mut Faults) -> Option<Verification> {
    let algorithms =
        some_texts(raw.algorithms, &at.key("algorithms"), faults, algorithm).required(&at.key("algorithms"), faults);
    let keys = raw.keys.required(&at.key("keys"), faults).and_then(|raw| keys(raw, &at.key("keys"), faults));
    let token_types = some_texts(raw.token_types, &at.key("token_types"), faults, token_type);
    let token_types = token_types.or(vec!["at+jwt".to_owned()], Some);
    Some(Verification { algorithms: algorithms?, keys: keys?, token_types: token_types? })
}

/// An issuer whose tokens are not verified here. No JWT can meet these conditions, so a signed token in this issuer's
/// name is never accepted by accident.
fn opaque(raw: &RawIssuer, mints: bool, at: &At<'_>, faults: &mut Faults) -> Verification {
    for (key, is_absent) in [
        ("minted_for", !mints),
        ("algorithms", raw.algorithms.is_absent()),
        ("keys", raw.keys.is_absent()),
        ("token_types", raw.token_types.is_absent()),
        ("session_claims", raw.session_claims.is_absent()),
    ] {
        if !is_absent {
            faults.add(&at.key(key), "the filter does not read opaque tokens; omit this key");
        }
    }
    Verification { algorithms: Vec::new(), keys: KeySource::Opaque, token_types: Vec::new() }
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
