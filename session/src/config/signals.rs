//! The transmitters of signals: `signals`.

use super::access::{duration, duration_ms};
use super::credentials::long_secret;
use super::raw::RawCredential;
use super::stream::{self, RawStream};
use crate::credential::Credentials;
use crate::signals::{
    Action, Actions, KeySettings, Keys, KeysAt, Kind, Polling, Profile, Signed, TransmitterSettings, Url,
};
use crate::store::postgres::Secret;
use portcullis_contract::token::{Algorithm, Demands};
use serde::Deserialize;
use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer, StrDeserializer};
use serde::de::{Deserializer, Error, MapAccess, SeqAccess, Unexpected, Visitor};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

/// How old a security event token may be. It is the time for which its `jti` is remembered.
const MAX_AGE: &str = "7d";

/// How old a logout token may be: the standard recommends two minutes for its `exp`, and providers send at once.
const LOGOUT_MAX_AGE: &str = "1h";

/// The shortest time between two polls.
const POLL_EVERY_MS_MIN: u64 = 100;

/// How far the clock of a transmitter may be ahead.
const AHEAD: Duration = Duration::from_secs(60);

/// The largest `hold_above`: so many instants are kept.
const HOLD_ABOVE_MAX: usize = 100_000;

/// The type of logout tokens.
const LOGOUT_TYPE: &str = "logout+jwt";

/// The longest name of a transmitter.
const NAME_BYTES_MAX: usize = 63;

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object with the keys of a transmitter")]
pub(super) struct RawTransmitter {
    name: String,
    kind: String,
    issuer: Option<String>,
    tokens_of: Option<Texts>,
    #[serde(default)]
    audiences: Vec<String>,
    keys: Option<RawKeys>,
    #[serde(default)]
    algorithms: Vec<String>,
    delivery: Option<RawDelivery>,
    stream: Option<RawStream>,
    authorization: Option<RawCredential>,
    profile: Option<String>,
    #[serde(default)]
    events: BTreeMap<String, Texts>,
    #[serde(default)]
    critical_subject_members: Vec<String>,
    #[serde(default)]
    logout_types: Vec<String>,
    max_age: Option<String>,
    stale_after: Option<String>,
    hold_above: Option<String>,
}

#[derive(Deserialize)]
#[serde(
    deny_unknown_fields,
    expecting = "an object with one of `jwks_url`, `discovery` and `inline`, and perhaps `ca`"
)]
pub(super) struct RawKeys {
    jwks_url: Option<String>,
    discovery: Option<String>,
    inline: Option<serde_json::Value>,
    ca: Option<String>,
}

/// `push`, or how it is polled.
enum RawDelivery {
    Push,
    Poll(RawPoll),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object: `{poll: {every: …, url: …}}`")]
struct RawPolled {
    poll: RawPoll,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object with `every` and perhaps `url`")]
struct RawPoll {
    every: String,
    url: Option<String>,
}

impl<'de> Deserialize<'de> for RawDelivery {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Shape;

        impl<'de> Visitor<'de> for Shape {
            type Value = RawDelivery;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("`push` or `{poll: {every: …, url: …}}`")
            }

            fn visit_str<E: Error>(self, word: &str) -> Result<RawDelivery, E> {
                match word {
                    "push" => Ok(RawDelivery::Push),
                    _ => Err(E::invalid_value(Unexpected::Str(word), &self)),
                }
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<RawDelivery, A::Error> {
                RawPolled::deserialize(MapAccessDeserializer::new(map)).map(|polled| RawDelivery::Poll(polled.poll))
            }
        }

        deserializer.deserialize_any(Shape)
    }
}

/// A text, or a list of them.
struct Texts(Vec<String>);

impl<'de> Deserialize<'de> for Texts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Shape;

        impl<'de> Visitor<'de> for Shape {
            type Value = Texts;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text or a list of texts")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Texts, E> {
                String::deserialize(StrDeserializer::new(text)).map(|text| Texts(vec![text]))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Texts, A::Error> {
                Vec::deserialize(SeqAccessDeserializer::new(list)).map(Texts)
            }
        }

        deserializer.deserialize_any(Shape)
    }
}

/// Reads the transmitters; says whether one of them sends by itself.
pub(super) fn read(
    raw: Vec<RawTransmitter>,
    env: &dyn Fn(&str) -> Option<String>,
    faults: &mut Vec<String>,
) -> (bool, Vec<TransmitterSettings>) {
    let are_sent = raw.iter().any(|raw| !matches!(raw.delivery, Some(RawDelivery::Poll(_))));
    let mut names = BTreeSet::new();
    let mut all = Vec::new();
    for (number, raw) in raw.into_iter().enumerate() {
        let at = format!("signals[{number}]");
        let is_name = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'_');
        if raw.name.is_empty() || raw.name.len() > NAME_BYTES_MAX || !raw.name.bytes().all(is_name) {
            faults.push(format!(
                "{at}.name: `{}` is not a name: use up to {NAME_BYTES_MAX} lower-case letters, digits, `-` and `_`",
                raw.name
            ));
        }
        // `/v1/signals/held` of the admin API is another list.
        if raw.name == "held" {
            faults.push(format!("{at}.name: `held` is reserved for the list of held signals: use another name"));
        }
        if !names.insert(raw.name.clone()) {
            faults.push(format!("{at}.name: another transmitter is named `{}`", raw.name));
        }
        all.extend(transmitter(&at, raw, env, faults));
    }
    (are_sent, all)
}

fn transmitter(
    at: &str,
    raw: RawTransmitter,
    env: &dyn Fn(&str) -> Option<String>,
    faults: &mut Vec<String>,
) -> Option<TransmitterSettings> {
    let kind = named(&format!("{at}.kind"), &raw.kind, &Kind::ALL, faults)?;
    let profile = match &raw.profile {
        None => Profile::default(),
        Some(name) => named(&format!("{at}.profile"), name, &Profile::ALL, faults)?,
    };
    out_of_place(at, &raw, kind, faults);
    let authorization = raw.authorization.as_ref().and_then(|source| {
        long_secret(&format!("{at}.authorization"), source, env).map_err(|fault| faults.push(fault)).ok()
    });
    if kind == Kind::GlobalTokenRevocation && raw.authorization.is_none() {
        faults.push(format!("{at}.authorization: is missing: without it, anybody could revoke every session"));
    }
    let tokens_of = match (&raw.tokens_of, &raw.issuer) {
        (Some(Texts(issuers)), _) => issuers.clone(),
        (None, issuer) => issuer.iter().cloned().collect(),
    };
    if tokens_of.is_empty() || tokens_of.iter().any(String::is_empty) {
        faults.push(format!("{at}.tokens_of: is missing: name the issuers whose sessions it may end"));
    }
    let signed = match kind {
        Kind::GlobalTokenRevocation => None,
        Kind::Ssf | Kind::BackchannelLogout => Some(signed(at, &raw, kind, profile, faults)?),
    };
    let polling = match &raw.delivery {
        Some(RawDelivery::Poll(poll)) => Some(polling(at, poll, raw.keys.as_ref(), authorization.clone(), faults)?),
        Some(RawDelivery::Push) | None => None,
    };
    let stream = stream::read(
        at,
        raw.stream,
        &stream::Around {
            is_discovered: raw.keys.as_ref().is_some_and(|keys| keys.discovery.is_some()),
            is_polled: polling.is_some(),
            has_poll_url: polling.as_ref().is_some_and(|polling| polling.url.is_some()),
            authorization: authorization.as_ref(),
        },
        env,
        faults,
    );
    if let Some(signed) = &signed {
        let polled = polling.as_ref().and_then(|polling| polling.url.as_ref());
        let called = polled.or(stream.as_ref().map(|stream| &stream.client.token_endpoint));
        Keys::check(&signed.keys, called).map_err(|fault| faults.push(format!("{at}.keys: {fault}"))).ok()?;
    }
    if raw.stale_after.as_deref().and_then(duration_ms) == Some(0) {
        faults.push(format!("{at}.stale_after: `0s` would make the transmitter stale at all times"));
    }
    Some(TransmitterSettings {
        name: raw.name,
        kind,
        tokens_of,
        authorization: authorization.map(|whole| Credentials::new([whole])),
        polling,
        stream,
        signed,
        profile,
        actions: actions(at, raw.events, faults),
        hold_above: raw.hold_above.and_then(|text| hold_above(at, &text, faults)),
        critical: raw.critical_subject_members,
        stale_after: raw
            .stale_after
            .map(|text| Duration::from_millis(duration(&format!("{at}.stale_after"), &text, faults))),
    })
}

fn polling(
    at: &str,
    raw: &RawPoll,
    keys: Option<&RawKeys>,
    authorization: Option<String>,
    faults: &mut Vec<String>,
) -> Option<Polling> {
    let every_ms = duration(&format!("{at}.delivery.poll.every"), &raw.every, faults);
    if duration_ms(&raw.every).is_some_and(|ms| ms < POLL_EVERY_MS_MIN) {
        faults.push(format!("{at}.delivery.poll.every: `{}` is less than {POLL_EVERY_MS_MIN}ms", raw.every));
    }
    let url = match &raw.url {
        None if keys.is_none_or(|keys| keys.discovery.is_none()) => {
            faults.push(format!(
                "{at}.delivery.poll.url: is missing: set it, or use `keys.discovery` to find the stream"
            ));
            None
        }
        None => None,
        Some(text) => {
            let fault = |fault| faults.push(format!("{at}.delivery.poll.url: {fault}"));
            Some(Url::read(text).map_err(fault).ok()?)
        }
    };
    Some(Polling { every: Duration::from_millis(every_ms), url, authorization: authorization.map(Secret) })
}

/// Keys that would have no effect on a transmitter of this kind.
fn out_of_place(at: &str, raw: &RawTransmitter, kind: Kind, faults: &mut Vec<String>) {
    let (ssf, logout, global) = (Kind::Ssf, Kind::BackchannelLogout, Kind::GlobalTokenRevocation);
    let keys: [(&str, bool, &[Kind]); 13] = [
        ("issuer", raw.issuer.is_some(), &[ssf, logout]),
        ("audiences", !raw.audiences.is_empty(), &[ssf, logout]),
        ("keys", raw.keys.is_some(), &[ssf, logout]),
        ("algorithms", !raw.algorithms.is_empty(), &[ssf, logout]),
        ("authorization", raw.authorization.is_some(), &[ssf, global]),
        ("delivery", raw.delivery.is_some(), &[ssf]),
        ("stream", raw.stream.is_some(), &[ssf]),
        ("profile", raw.profile.is_some(), &[ssf]),
        ("events", !raw.events.is_empty(), &[ssf]),
        ("critical_subject_members", !raw.critical_subject_members.is_empty(), &[ssf]),
        ("logout_types", !raw.logout_types.is_empty(), &[logout]),
        ("max_age", raw.max_age.is_some(), &[ssf, logout]),
        ("stale_after", raw.stale_after.is_some(), &[ssf]),
    ];
    for (key, is_given, kinds) in keys {
        if is_given && !kinds.contains(&kind) {
            faults.push(format!("{at}.{key}: has no meaning for a transmitter of kind `{}`", kind.as_str()));
        }
    }
}

fn signed(at: &str, raw: &RawTransmitter, kind: Kind, profile: Profile, faults: &mut Vec<String>) -> Option<Signed> {
    let issuer = raw.issuer.clone().filter(|issuer| !issuer.is_empty());
    if issuer.is_none() {
        faults.push(format!("{at}.issuer: is missing: name the `iss` of its tokens"));
    }
    if kind == Kind::Ssf && raw.audiences.is_empty() {
        faults.push(format!("{at}.audiences: is missing: name the `aud` of its tokens"));
    }
    let algorithms = algorithms(at, &raw.algorithms, faults);
    let types = match kind {
        Kind::BackchannelLogout if raw.logout_types.is_empty() => vec![LOGOUT_TYPE.to_owned()],
        Kind::BackchannelLogout => raw.logout_types.iter().map(|name| media_type(name)).collect(),
        Kind::Ssf | Kind::GlobalTokenRevocation => profile.types(),
    };
    let default = if kind == Kind::BackchannelLogout { LOGOUT_MAX_AGE } else { MAX_AGE };
    let text = raw.max_age.as_deref().unwrap_or(default);
    let max_age = Duration::from_millis(duration(&format!("{at}.max_age"), text, faults));
    if duration_ms(text) == Some(0) {
        faults.push(format!("{at}.max_age: `{text}` would refuse every token"));
    }
    let keys = keys(at, raw.keys.as_ref(), faults)?;
    let demands = Demands { issuer: issuer?, types, algorithms, max_age, ahead: AHEAD };
    Some(Signed { demands, audiences: raw.audiences.clone(), keys })
}

/// The algorithms that may sign tokens.
pub(super) fn algorithms(at: &str, names: &[String], faults: &mut Vec<String>) -> Vec<Algorithm> {
    let mut algorithms = Vec::new();
    for name in names {
        match Algorithm::named(name) {
            Some(algorithm) => algorithms.push(algorithm),
            None => {
                faults.push(format!("{at}.algorithms: `{name}` is not an algorithm of signed tokens, like `RS256`"));
            }
        }
    }
    if names.is_empty() {
        faults.push(format!("{at}.algorithms: is missing: name those that sign its tokens, `[RS256]` for example"));
    }
    algorithms
}

/// A type as it is compared (RFC 7515, section 4.1.9).
pub(super) fn media_type(name: &str) -> String {
    let name = name.to_ascii_lowercase();
    name.strip_prefix("application/").map(str::to_owned).unwrap_or(name)
}

pub(super) fn keys(at: &str, raw: Option<&RawKeys>, faults: &mut Vec<String>) -> Option<KeySettings> {
    let Some(raw) = raw else {
        faults.push(format!("{at}.keys: is missing: specify `jwks_url`, `discovery` or `inline`"));
        return None;
    };
    let url = |key: &str, text: &str, faults: &mut Vec<String>| {
        Url::read(text).map_err(|fault| faults.push(format!("{at}.keys.{key}: {fault}"))).ok()
    };
    let keys_at = match (&raw.jwks_url, &raw.discovery, &raw.inline) {
        (Some(text), None, None) => KeysAt::Jwks(url("jwks_url", text, faults)?),
        (None, Some(text), None) => KeysAt::Discovery(url("discovery", text, faults)?),
        (None, None, Some(set)) => KeysAt::Inline(set.to_string()),
        _ => {
            faults.push(format!("{at}.keys: needs one of `jwks_url`, `discovery` and `inline`"));
            return None;
        }
    };
    Some(KeySettings { at: keys_at, ca: raw.ca.as_ref().map(Into::into) })
}

/// A number of signals a minute: `100/min`.
fn hold_above(at: &str, text: &str, faults: &mut Vec<String>) -> Option<usize> {
    let number = text.strip_suffix("/min").and_then(|number| number.parse().ok());
    let number = number.filter(|number| (1..=HOLD_ABOVE_MAX).contains(number));
    if number.is_none() {
        faults.push(format!("{at}.hold_above: `{text}` is not a number from 1 to {HOLD_ABOVE_MAX} followed by `/min`"));
    }
    number
}

/// The events of CAEP 1.0 and RISC 1.0 (OpenID Foundation), by the last segment of their URIs.
const EVENTS: [&str; 23] = [
    "session-revoked",
    "session-established",
    "session-presented",
    "token-claims-change",
    "credential-change",
    "assurance-level-change",
    "device-compliance-change",
    "risk-level-change",
    "account-credential-change-required",
    "account-purged",
    "account-disabled",
    "account-enabled",
    "identifier-changed",
    "identifier-recycled",
    "credential-compromise",
    "opt-in",
    "opt-out-initiated",
    "opt-out-cancelled",
    "opt-out-effective",
    "recovery-activated",
    "recovery-information-changed",
    "sessions-revoked",
    "tokens-revoked",
];

/// `ignore` stands alone.
const IGNORE: &str = "ignore";

fn actions(at: &str, raw: BTreeMap<String, Texts>, faults: &mut Vec<String>) -> Actions {
    let mut actions = Actions::default();
    for (event, Texts(names)) in raw {
        let at = format!("{at}.events.{event}");
        if !event.contains(':') && !EVENTS.contains(&&*event) {
            faults.push(format!("{at}: is neither the URI of an event nor the short name of a CAEP or RISC event"));
        }
        if names.is_empty() {
            faults.push(format!("{at}: is empty: write `{IGNORE}`"));
        }
        let all: Vec<Action> = match names.iter().any(|name| name == IGNORE) {
            true if names.len() > 1 => {
                faults.push(format!("{at}: `{IGNORE}` cannot be combined with other actions"));
                continue;
            }
            true => Vec::new(),
            false => names.iter().filter_map(|name| named(&at, name, &Action::ALL, faults)).collect(),
        };
        actions.set(event, all);
    }
    actions
}

/// What a name of a closed set stands for.
fn named<T: Copy>(at: &str, name: &str, all: &[(&str, T)], faults: &mut Vec<String>) -> Option<T> {
    let found = all.iter().find(|(known, _)| *known == name).map(|(_, what)| *what);
    if found.is_none() {
        let known: Vec<String> = all.iter().map(|(known, _)| format!("`{known}`")).collect();
        faults.push(format!("{at}: `{name}` is not one of {}", known.join(", ")));
    }
    found
}
