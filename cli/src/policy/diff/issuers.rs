//! Whose tokens are accepted, and on what terms, compared.

use super::{
    change::{Change, Direction},
    frame::Part,
    words::{self, Elided},
};
use portcullis_engine::{
    policy::{Issuer, KeySource},
    token::KEYS_TRIED_MAX,
};
use serde_json::{Value, json};
use std::cmp::Ordering;

/// The changes of all issuers.
pub(super) fn changes(old: &[Issuer], new: &[Issuer]) -> Vec<Part> {
    let find = |issuers: &'_ [Issuer], issuer: &Issuer| issuers.iter().position(|other| other.issuer == issuer.issuer);
    let mut parts = Vec::new();
    for after in new {
        let subject = subject(after);
        match find(old, after).and_then(|index| old.get(index)) {
            Some(before) => {
                parts.extend(between(before, after).into_iter().map(|change| (subject.clone(), change)));
            }
            None => {
                let text = format!("its tokens are accepted: {}", terms(after));
                parts.push((subject, Change::new(Direction::Easier, "issuer", text, Value::Null, canonical(after))));
            }
        }
    }
    for before in old.iter().filter(|before| find(new, before).is_none()) {
        let text = "its tokens are no longer accepted".to_owned();
        let change = Change::new(Direction::Harder, "issuer", text, canonical(before), Value::Null);
        parts.push((subject(before), change));
    }
    parts
}

fn subject(issuer: &Issuer) -> String {
    format!("issuers.{}", issuer.issuer)
}

fn terms(issuer: &Issuer) -> String {
    let audiences = Elided::or(&issuer.audiences);
    match issuer.is_opaque() {
        true => format!("opaque ones, for {audiences}"),
        false => format!("for {audiences}, signed with {}, {}", Elided::or(algorithms(issuer)), source(&issuer.keys)),
    }
}

fn canonical(issuer: &Issuer) -> Value {
    json!({
        "audiences": sorted(&issuer.audiences),
        "algorithms": sorted(&algorithms(issuer)),
        "keys": keys_in_full(&issuer.keys),
        "clock_skew": words::duration(issuer.clock_skew),
        "token_types": sorted(&issuer.token_types),
        "scope_claims": sorted(&issuer.claim_names.scopes),
        "session_claims": issuer.claim_names.session,
    })
}

fn algorithms(issuer: &Issuer) -> Vec<String> {
    // Their names are the registered ones.
    issuer.algorithms.iter().map(|algorithm| format!("{algorithm:?}")).collect()
}

fn between(before: &Issuer, after: &Issuer) -> Vec<Change> {
    let mut changes = Vec::new();
    changes.extend(list("audiences", "tokens for", &before.audiences, &after.audiences));
    changes.extend(clock_skew(before, after));
    if before.is_opaque() != after.is_opaque() {
        let text = match after.is_opaque() {
            true => "its tokens are opaque: not verified here any more, the session service is asked what they mean",
            false => "its tokens are no longer opaque, and verified here",
        };
        let (old, new) = (canonical(before), canonical(after));
        changes.push(Change::new(Direction::Easier, "opaque", text.to_owned(), old, new));
        return changes;
    }
    changes.extend(list("algorithms", "tokens signed with", &algorithms(before), &algorithms(after)));
    changes.extend(list("token_types", "tokens of type", &before.token_types, &after.token_types));
    changes.extend(list("scope_claims", "scopes in claim", &before.claim_names.scopes, &after.claim_names.scopes));
    changes.extend(session_claims(before, after));
    changes.extend(keys(&before.keys, &after.keys));
    changes
}

/// A list of what is accepted; the order makes no difference.
fn list(kind: &'static str, what: &str, before: &[String], after: &[String]) -> Option<Change> {
    let without = |list: &[String], other: &[String]| -> Vec<String> {
        list.iter().filter(|item| !other.contains(item)).cloned().collect()
    };
    let (added, removed) = (without(after, before), without(before, after));
    let (direction, text) = match (added.is_empty(), removed.is_empty()) {
        (true, true) => return None,
        (true, false) => (Direction::Harder, format!("{what} {} are no longer accepted", Elided::and(&removed))),
        (false, true) => (Direction::Easier, format!("{what} {} are accepted too", Elided::and(&added))),
        (false, false) => {
            let text = format!("{what} {} are accepted, no longer {}", Elided::and(&added), Elided::and(&removed));
            (Direction::Easier, text)
        }
    };
    Some(Change::new(direction, kind, text, sorted(before), sorted(after)))
}

fn sorted(list: &[String]) -> Value {
    let mut list: Vec<&String> = list.iter().collect();
    list.sort();
    json!(list)
}

fn clock_skew(before: &Issuer, after: &Issuer) -> Option<Change> {
    let direction = match after.clock_skew.cmp(&before.clock_skew) {
        Ordering::Equal => return None,
        Ordering::Greater => Direction::Easier,
        Ordering::Less => Direction::Harder,
    };
    let [old, new] = [before, after].map(|issuer| words::duration(issuer.clock_skew));
    Some(Change::new(direction, "clock_skew", format!("`clock_skew` is {new}, was {old}"), json!(old), json!(new)))
}

/// By another key, a session that was ended is another session. The first claim that a token has counts.
fn session_claims(before: &Issuer, after: &Issuer) -> Option<Change> {
    let (old, new) = (&before.claim_names.session, &after.claim_names.session);
    if old == new {
        return None;
    }
    let [now, was] = [new, old].map(|claims| Elided::names(claims, "else").to_string());
    let text = format!("sessions are told apart by {now}, was {was}: what was ended may be known by another name");
    Some(Change::new(Direction::Easier, "session_claims", text, json!(old), json!(new)))
}

fn keys(before: &KeySource, after: &KeySource) -> Option<Change> {
    let change =
        |direction, text: String| Some(Change::new(direction, "keys", text, keys_in_full(before), keys_in_full(after)));
    match (before, after) {
        _ if before == after => None,
        (KeySource::Remote { refresh: old, .. }, KeySource::Remote { refresh: new, .. })
            if source(before) == source(after) =>
        {
            let text = format!("keys are fetched again after {}, was {}", words::duration(*new), words::duration(*old));
            // Until then, a key that was withdrawn is trusted.
            change(if new > old { Direction::Easier } else { Direction::Harder }, text)
        }
        (KeySource::Inline(old), KeySource::Inline(new)) => {
            inline(old, new).and_then(|(direction, text)| change(direction, text))
        }
        _ => change(Direction::Easier, format!("other keys are trusted: {}, was {}", source(after), source(before))),
    }
}

/// Compares sets of keys, as sets: a key that differs in anything is another key.
fn inline(old: &str, new: &str) -> Option<(Direction, String)> {
    let [before, after] = [old, new].map(key_list);
    let new_ones = after.iter().filter(|key| !before.contains(key)).count();
    let gone = before.iter().filter(|key| !after.contains(key)).count();
    let text = |what: &str| {
        format!(
            "{what}: {} added, {} removed",
            words::count(new_ones, "key", "keys"),
            words::count(gone, "key", "keys")
        )
    };
    match (new_ones, gone) {
        (0, 0) if before.len() <= KEYS_TRIED_MAX || before == after => None,
        // Where there are more keys than are tried, one fewer lets another one have its turn.
        (0, _) if before.len() <= KEYS_TRIED_MAX => Some((Direction::Harder, text("fewer keys are trusted"))),
        _ => Some((Direction::Easier, text("other keys are trusted"))),
    }
}

fn key_list(set: &str) -> Vec<Value> {
    let set: Value = serde_json::from_str(set).unwrap_or_default();
    set.get("keys").and_then(Value::as_array).cloned().unwrap_or_default()
}

fn keys_in_full(keys: &KeySource) -> Value {
    match keys {
        KeySource::Remote { refresh, .. } => json!([source(keys), words::duration(*refresh)]),
        KeySource::Inline(set) => {
            let mut keys: Vec<String> = key_list(set).iter().map(Value::to_string).collect();
            keys.sort();
            json!(keys)
        }
        KeySource::Opaque => json!("opaque"),
    }
}

fn source(keys: &KeySource) -> String {
    match keys {
        KeySource::Remote { authority, path, https, cluster, .. } => {
            let scheme = if *https { "https" } else { "http" };
            format!("keys from `{scheme}://{authority}{path}` by cluster `{cluster}`")
        }
        KeySource::Inline(set) => format!("{} in the policy", words::count(key_list(set).len(), "key", "keys")),
        KeySource::Opaque => "no keys".to_owned(),
    }
}
