//! Validates raw types into a policy: everything that their types cannot express is checked here, and all faults are
//! reported.
//!
//! A check that returns `None` has reported the reason.

mod claims;
mod facts;
pub(super) mod issuers;
mod keys;
mod oauth;
mod possession;
mod routes;
mod scopes;
mod session;
mod sizes;
mod token_from;
mod upstream_token;

pub use routes::{ROUTES_MAX, route_name};
pub use scopes::{SCOPES_MAX, SETS_MAX, scope_name};

use super::{
    IdentityHeaders, Issuer, Mode, Policy, Protocol, Rule,
    deserialize::{Given, shaped},
    digest,
    fault::{About, Faults, Wrong},
    json::{self, Json},
    json_path::At,
    raw::{RawPolicy, Texts},
    text::{backticked, nearest, quoted, unescaped},
};
use facts::RawFacts;
use possession::RawPossession;
use routes::{Common, Routes};
use std::sync::Arc;

/// The maximum size of a configuration in bytes.
pub(super) const POLICY_BYTES_MAX: usize = 32 << 20;
/// The maximum number of items in a list within an entry.
const LIST_ITEMS_MAX: usize = 1_000;
/// The default `realm`.
const REALM: &str = "portcullis";

/// The modes by name.
pub(super) const MODES: [(&str, Mode); 2] = [("enforce", Mode::Enforce), ("shadow", Mode::Shadow)];
/// The identity headers without their common prefix.
pub(super) const IDENTITY_HEADERS: [&str; 5] = ["subject", "client", "scopes", "session", "issuer"];
/// Those that are sent unless the policy says otherwise.
const DEFAULT_HEADERS: [&str; 4] = ["subject", "client", "scopes", "session"];

const ROOT: At<'static> = At::ROOT;

/// Reads a policy, or returns all of its faults.
pub(super) fn policy(text: &[u8]) -> Result<Policy, Faults> {
    let mut faults = Faults::default();
    let policy = read(text, &mut faults);
    if let Some(Err(exceeded)) = policy.as_ref().map(Policy::hello_fits) {
        let words = "the session service cannot be sent these routes, scopes and issuers: the message would have";
        faults.add(&ROOT, format_args!("{words} {exceeded}"));
    }
    match policy {
        Some(policy) if faults.is_empty() => Ok(policy),
        _ => {
            if faults.is_empty() {
                faults.add(&ROOT, "the policy can't be read");
            }
            Err(faults)
        }
    }
}

fn read(text: &[u8], faults: &mut Faults) -> Option<Policy> {
    if text.len() > POLICY_BYTES_MAX {
        faults.add(&ROOT, format_args!("the policy is larger than {POLICY_BYTES_MAX} bytes"));
        return None;
    }
    let mut json = json::read(text, faults)?;
    if !matches!(json, Json::Object(_)) {
        faults.add(&ROOT, format_args!("expected an object, found {}", json.kind()));
        return None;
    }
    let digest = digest::of(&json);
    let [issuers, scopes, sets, routes] = ["issuers", "scopes", "sets", "routes"].map(|key| section(&mut json, key));
    let mut raw: RawPolicy = shaped(json, &ROOT, faults).value()?;
    let absent = Absent { session: raw.session.is_absent(), scopes: scopes.is_absent(), sets: sets.is_absent() };

    let mode = raw.mode.or(Mode::default(), |word| faults.check(&ROOT.key("mode"), mode(&word)));
    let identity_headers = identity_headers(raw.identity_headers, faults);
    let realm = raw.realm.or(REALM.to_owned(), |realm| faults.check(&ROOT.key("realm"), unescaped(&realm)));
    let cors_preflight =
        raw.cors_preflight.or(false, |word| faults.check(&ROOT.key("cors_preflight"), cors_preflight(&word)));
    let token_from = token_from::token_from(raw.token_from, faults);
    let allowed_origins = token_from::allowed_origins(raw.allowed_origins, token_from.as_deref(), faults);
    let limits = sizes::sizes(raw.limits, faults);
    let issuers = issuers::issuers(issuers, faults);
    let is_endpoint = session::is_endpoint(&raw.session);
    let oauth = oauth::oauth(raw.oauth, token_from.as_deref(), is_endpoint, faults);
    let (attributes, place) = session::take_facts(&mut raw.session);
    let raw_facts = RawFacts { trusted_hops: raw.trusted_hops, device: raw.device, attributes, place };
    let facts = facts::facts(raw_facts, is_endpoint, faults);
    let raw_possession = RawPossession { dpop: raw.dpop, external_url: raw.external_url };
    let possession = possession::possession(raw_possession, issuers.as_deref(), is_endpoint, faults);
    let session = session::session(raw.session, faults);
    if let (Some(issuers), Some(Some(given))) = (&issuers, &session) {
        asked_about(issuers, &given.service.protocol, faults);
    }
    let scopes = scopes::scopes(scopes, sets, faults);
    if let Some(given) = &session {
        let protocol = given.as_ref().map(|given| &given.service.protocol);
        scopes::approvals_are_kept(&scopes.register, protocol, faults);
    }
    let outage = session.as_ref().and_then(|given| Some(given.as_ref()?.outage)).unwrap_or_default();
    let freshness = session.as_ref().and_then(|given| Some(given.as_ref()?.freshness)).unwrap_or_default();
    let ignore_case = raw.ignore_case.or(false, Some);
    let (mode_of_routes, ignores_case) = (mode.unwrap_or_default(), ignore_case == Some(true));
    let common = Common { mode: mode_of_routes, outage, freshness, is_endpoint, ignore_case: ignores_case };
    let given = session.as_ref().map(|given| given.as_ref().map(|given| &given.service));
    let of_policy = upstream_token::OfPolicy::new(raw.upstream_token, given, faults);
    let workload = upstream_token::workload(raw.workload, faults);
    let forward_token = raw.forward_token.or(None, |is| Some(Some(is)));
    let tokens = routes::Tokens { upstream: &of_policy, forward: forward_token.flatten() };
    let routes = routes::routes(routes, &scopes, common, tokens, faults);

    if let Some(routes) = &routes {
        needs(routes, issuers.as_ref().is_some_and(Vec::is_empty), absent, faults);
    }
    let (routes, facts, mut issuers) = (routes?, facts?, issuers?);
    let claims = Arc::new(facts.token_claims());
    issuers.iter_mut().for_each(|issuer| issuer.claim_names.facts = Arc::clone(&claims));
    #[cfg(feature = "source")]
    let scopes_of_sets = scopes.sets();
    Some(Policy {
        mode: mode?,
        identity_headers: identity_headers?,
        forward_token: forward_token?.unwrap_or(!of_policy.is_there()),
        upstream_headers: upstream_headers(&routes.rules),
        workload: workload?,
        token_from: token_from?,
        oauth: oauth?,
        allowed_origins: allowed_origins?,
        realm: realm?,
        cors_preflight: cors_preflight?,
        limits: limits?,
        issuers,
        possession: possession?,
        facts,
        session: session?.map(|given| given.service),
        register: scopes.register,
        rules: routes.rules,
        routes: ignore_case.map(|_| routes.table)?,
        digest,
        #[cfg(feature = "source")]
        source: super::Source { routes: routes.sources, sets: scopes_of_sets, on_outage: outage, freshness },
    })
}

/// The headers of tokens for upstreams, each once.
fn upstream_headers(rules: &[Rule]) -> Vec<String> {
    let mut headers: Vec<String> = Vec::new();
    for token in rules.iter().filter_map(|rule| rule.upstream_token.as_deref()) {
        if !headers.contains(&token.header) {
            headers.push(token.header.clone());
        }
    }
    headers
}

/// Takes out a part whose entries are read one by one.
fn section<'a>(json: &mut Json<'a>, key: &str) -> Given<Json<'a>> {
    match json.get_mut(key).map(std::mem::take) {
        None => Given::Absent,
        Some(Json::Null) => Given::Faulty,
        Some(json) => Given::Value(json),
    }
}

fn list<'a>(json: Given<Json<'a>>, at: &At<'_>, max: usize, faults: &mut Faults) -> Given<Vec<Json<'a>>> {
    match json {
        Given::Absent => return Given::Absent,
        Given::Faulty => return Given::Faulty,
        Given::Value(Json::List(list)) if list.len() <= max => return Given::Value(list),
        Given::Value(Json::List(list)) => {
            faults.add(at, format_args!("has {} entries; at most {max} are allowed", list.len()))
        }
        Given::Value(json) => faults.add(at, format_args!("expected a list, found {}", json.kind())),
    }
    Given::Faulty
}

/// Reads each text of a list, and drops duplicates.
fn texts<T: PartialEq, E: Into<Wrong>>(
    texts: Texts,
    at: &At<'_>,
    faults: &mut Faults,
    mut read: impl FnMut(&str) -> Result<T, E>,
) -> Given<Vec<T>> {
    let texts = match texts {
        Given::Absent => return Given::Absent,
        Given::Faulty => return Given::Faulty,
        Given::Value(texts) => texts,
    };
    if texts.len() > LIST_ITEMS_MAX {
        faults.add(at, format_args!("has {} items; at most {LIST_ITEMS_MAX} are allowed", texts.len()));
        return Given::Faulty;
    }
    let count = texts.len();
    let mut items = Vec::with_capacity(count);
    let mut read_count = 0;
    for (index, text) in texts.into_iter().enumerate() {
        let Some(item) = text.value().and_then(|text| faults.check(&at.item(index), read(&text))) else {
            continue;
        };
        read_count += 1;
        if !items.contains(&item) {
            items.push(item);
        }
    }
    if read_count == count { Given::Value(items) } else { Given::Faulty }
}

/// The same for a list that must not be empty.
fn some_texts<T: PartialEq, E: Into<Wrong>>(
    list: Texts,
    at: &At<'_>,
    faults: &mut Faults,
    read: impl FnMut(&str) -> Result<T, E>,
) -> Given<Vec<T>> {
    match texts(list, at, faults, read) {
        Given::Value(items) if items.is_empty() => {
            faults.add(at, "must not be empty");
            Given::Faulty
        }
        items => items,
    }
}

/// One of a fixed set of words.
fn word<T: Copy>(text: &str, words: &[(&str, T)]) -> Result<T, Wrong> {
    if let Some((_, value)) = words.iter().find(|(word, _)| *word == text) {
        return Ok(*value);
    }
    let known: Vec<_> = words.iter().map(|(word, _)| *word).collect();
    let near = nearest(text, &known);
    let message = match near {
        Some(near) => format!("unknown value {}; did you mean `{near}`?", quoted(text)),
        None => format!("unknown value {}; expected one of {}", quoted(text), backticked(&known)),
    };
    Err(Wrong::from(message).meant(near))
}

pub(super) fn mode(text: &str) -> Result<Mode, Wrong> {
    word(text, &MODES)
}

fn cors_preflight(text: &str) -> Result<bool, String> {
    match text {
        "allow" => Ok(true),
        _ => Err(format!(
            "the only value is `allow`, found {}; omit the key to treat preflights like any other request",
            quoted(text)
        )),
    }
}

fn identity_headers(list: Texts, faults: &mut Faults) -> Option<IdentityHeaders> {
    let words = IDENTITY_HEADERS.map(|word| (word, word));
    let named = texts(list, &ROOT.key("identity_headers"), faults, |text| word(text, &words));
    let named = named.or(DEFAULT_HEADERS.to_vec(), Some)?;
    let has = |word: &str| named.contains(&word);
    Some(IdentityHeaders {
        subject: has("subject"),
        client: has("client"),
        issuer: has("issuer"),
        scopes: has("scopes"),
        session: has("session"),
    })
}

/// Reports opaque issuers unless the policy uses introspection. The check stream carries the claims of a token, never
/// the token itself, so its service cannot interpret opaque tokens.
fn asked_about(issuers: &[Issuer], protocol: &Protocol, faults: &mut Faults) {
    if !matches!(protocol, Protocol::Stream { .. }) {
        return;
    }
    for (index, _) in issuers.iter().enumerate().filter(|(_, issuer)| issuer.is_opaque()) {
        let message =
            "only an introspection endpoint knows what an opaque token means; set `$.session.protocol: introspection`";
        faults.add(&ROOT.key("issuers").item(index).key("opaque"), message);
    }
}

/// The optional parts that are absent.
struct Absent {
    session: bool,
    scopes: bool,
    sets: bool,
}

/// Reports the absent parts that a route needs.
fn needs(routes: &Routes, no_issuer: bool, absent: Absent, faults: &mut Faults) {
    for (by, missing, key, why) in [
        (routes.guarded, no_issuer, "issuers", "is not public: list the issuers whose tokens are accepted"),
        (routes.guarded, absent.session, "session", "is not public: configure the session service"),
        (routes.asks_scope, absent.scopes, "scopes", "requires a scope: declare it here"),
        (routes.asks_set, absent.sets, "sets", "requires a set: define it here"),
    ] {
        if let (Some(route), true) = (by, missing) {
            let message = format_args!("this key is required; `$.routes[{route}]` {why}");
            faults.add(&ROOT.key(key), Wrong::from(message).about(About::MissingKey));
        }
    }
}
