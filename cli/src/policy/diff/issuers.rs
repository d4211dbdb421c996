//! Compares the issuers of two policies.

use super::{
    change::{Change, Direction, Part},
    claims, words,
};
use crate::{policy::name_list::NameList, report::counted};
use portcullis_engine::{
    policy::{BoundTokens, Issuer, KeySource},
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
                let text = format!("its tokens are now accepted: {}", terms(after));
                parts.push((
                    subject,
                    Change::new(Direction::MorePermissive, "issuer", text, Value::Null, canonical(after)),
                ));
            }
        }
    }
    for before in old.iter().filter(|before| find(new, before).is_none()) {
        let text = "its tokens are no longer accepted".to_owned();
        let change = Change::new(Direction::LessPermissive, "issuer", text, canonical(before), Value::Null);
        parts.push((subject(before), change));
    }
    parts
}

fn subject(issuer: &Issuer) -> String {
    format!("issuers.{}", issuer.issuer)
}

fn terms(issuer: &Issuer) -> String {
    let kind = if issuer.is_opaque() { "opaque tokens" } else { "tokens" };
    let mut terms = match issuer.audiences.is_empty() {
        true => format!("{kind} for any audience"),
        false => format!("{kind} for {}", NameList::or(&issuer.audiences)),
    };
    if !issuer.clients.is_empty() {
        terms += &format!(", of client {}", NameList::or(&issuer.clients));
    }
    if !issuer.is_opaque() {
        terms += &format!(", signed with {}, {}", NameList::or(algorithms(issuer)), source(&issuer.keys));
    }
    terms
}

fn canonical(issuer: &Issuer) -> Value {
    json!({
        "audiences": sorted(&issuer.audiences),
        "clients": sorted(&issuer.clients),
        "claims": claims::canonical(&issuer.claims),
        "bound_tokens": bound_tokens(issuer),
        "minted_for": issuer.minted_for.as_deref(),
        "algorithms": sorted(&algorithms(issuer)),
        "keys": keys_in_full(&issuer.keys),
        "clock_skew": words::duration(issuer.clock_skew),
        "token_types": sorted(&issuer.token_types),
        "scope_claims": sorted(&scope_claims(issuer)),
        "session_claims": issuer.claim_names.session,
        "client_claims": issuer.claim_names.client,
        "machine": claims::canonical(&issuer.claim_names.machine),
    })
}

fn scope_claims(issuer: &Issuer) -> Vec<String> {
    issuer.claim_names.scopes.iter().map(|claim| claim.as_str().to_owned()).collect()
}

fn bound_tokens(issuer: &Issuer) -> &'static str {
    match issuer.bound_tokens {
        BoundTokens::Refuse => "refuse",
        BoundTokens::Verify => "verify",
        BoundTokens::Bearer => "bearer",
    }
}

fn algorithms(issuer: &Issuer) -> Vec<String> {
    // The names of the variants are those of RFC 7518.
    issuer.algorithms.iter().map(|algorithm| format!("{algorithm:?}")).collect()
}

fn between(before: &Issuer, after: &Issuer) -> Vec<Change> {
    let mut changes = Vec::new();
    changes.extend(limit("audiences", "tokens for", "whatever their audience", &before.audiences, &after.audiences));
    changes.extend(limit("clients", "tokens of client", "whatever their client", &before.clients, &after.clients));
    changes.extend(claims::changes(&before.claims, &after.claims));
    changes.extend(bound(before, after));
    changes.extend(minted_for(before, after));
    changes.extend(clock_skew(before, after));
    changes.extend(list("scope_claims", "scopes in claim", &scope_claims(before), &scope_claims(after)));
    changes.extend(client_claims(before, after));
    changes.extend(claims::machine(&before.claim_names.machine, &after.claim_names.machine));
    if before.is_opaque() != after.is_opaque() {
        let text = match after.is_opaque() {
            true => {
                "its tokens are now opaque: they are no longer verified by the filter; the session service is asked to introspect them"
            }
            false => "its tokens are no longer opaque: the filter verifies them",
        };
        let (old, new) = (canonical(before), canonical(after));
        changes.push(Change::new(Direction::MorePermissive, "opaque", text.to_owned(), old, new));
        return changes;
    }
    changes.extend(list("algorithms", "tokens signed with", &algorithms(before), &algorithms(after)));
    changes.extend(list("token_types", "tokens of type", &before.token_types, &after.token_types));
    changes.extend(session_claims(before, after));
    changes.extend(keys(&before.keys, &after.keys));
    changes
}

/// The same for a list that accepts every value when it is empty; `whatever` says so.
fn limit(kind: &'static str, what: &str, whatever: &str, before: &[String], after: &[String]) -> Option<Change> {
    let (direction, text) = match (before.is_empty(), after.is_empty()) {
        (false, true) => (Direction::MorePermissive, format!("tokens are accepted {whatever}")),
        (true, false) => (Direction::LessPermissive, format!("only {what} {} are accepted", NameList::or(after))),
        _ => return list(kind, what, before, after),
    };
    Some(Change::new(direction, kind, text, sorted(before), sorted(after)))
}

fn bound(before: &Issuer, after: &Issuer) -> Option<Change> {
    let [old, new] = [before, after].map(bound_tokens);
    let (direction, text) = match after.bound_tokens {
        _ if before.bound_tokens == after.bound_tokens => return None,
        BoundTokens::Bearer => {
            (Direction::MorePermissive, "tokens that are bound to a key are accepted without their proof")
        }
        BoundTokens::Verify if before.bound_tokens == BoundTokens::Refuse => {
            (Direction::MorePermissive, "tokens that are bound to a key are accepted with their proof")
        }
        BoundTokens::Verify => {
            (Direction::LessPermissive, "tokens that are bound to a key are only accepted with their proof")
        }
        BoundTokens::Refuse => (Direction::LessPermissive, "tokens that are bound to a key are no longer accepted"),
    };
    Some(Change::new(direction, "bound_tokens", text.to_owned(), json!(old), json!(new)))
}

/// The issuer is part of a session's id, and of what revocations and blocks are about.
fn minted_for(before: &Issuer, after: &Issuer) -> Option<Change> {
    let [old, new] = [before, after].map(|issuer| issuer.minted_for.as_deref());
    if old == new {
        return None;
    }
    let [now, was] = [after.of_sessions(), before.of_sessions()];
    let text =
        format!("its tokens belong to sessions of `{now}`, was `{was}`: an ended session may look like a new one");
    Some(Change::new(Direction::MorePermissive, "minted_for", text, json!(old), json!(new)))
}

/// The client is part of a session's id, and of who may use a token.
fn client_claims(before: &Issuer, after: &Issuer) -> Option<Change> {
    let (old, new) = (&before.claim_names.client, &after.claim_names.client);
    if old == new {
        return None;
    }
    let [now, was] = [new, old].map(|claims| NameList::new(claims, "else").to_string());
    let text = format!("clients are identified by {now}, was {was}: an ended session may look like a new one");
    Some(Change::new(Direction::MorePermissive, "client_claims", text, json!(old), json!(new)))
}

/// A list of accepted values. The order does not matter.
fn list(kind: &'static str, what: &str, before: &[String], after: &[String]) -> Option<Change> {
    let without = |list: &[String], other: &[String]| -> Vec<String> {
        list.iter().filter(|item| !other.contains(item)).cloned().collect()
    };
    let (added, removed) = (without(after, before), without(before, after));
    let (direction, text) = match (added.is_empty(), removed.is_empty()) {
        (true, true) => return None,
        (true, false) => {
            (Direction::LessPermissive, format!("{what} {} are no longer accepted", NameList::and(&removed)))
        }
        (false, true) => (Direction::MorePermissive, format!("{what} {} are accepted too", NameList::and(&added))),
        (false, false) => {
            let text = format!("{what} {} are accepted instead of {}", NameList::and(&added), NameList::and(&removed));
            (Direction::MorePermissive, text)
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
        Ordering::Greater => Direction::MorePermissive,
        Ordering::Less => Direction::LessPermissive,
    };
    let [old, new] = [before, after].map(|issuer| words::duration(issuer.clock_skew));
    Some(Change::new(direction, "clock_skew", format!("`clock_skew` is {new}, was {old}"), json!(old), json!(new)))
}

/// With another session key, an ended session looks like a new one. The first claim that is present in a token counts.
fn session_claims(before: &Issuer, after: &Issuer) -> Option<Change> {
    let (old, new) = (&before.claim_names.session, &after.claim_names.session);
    if old == new {
        return None;
    }
    let [now, was] = [new, old].map(|claims| NameList::new(claims, "else").to_string());
    let text = format!("sessions are identified by {now}, was {was}: an ended session may look like a new one");
    Some(Change::new(Direction::MorePermissive, "session_claims", text, json!(old), json!(new)))
}

fn keys(before: &KeySource, after: &KeySource) -> Option<Change> {
    let change =
        |direction, text: String| Some(Change::new(direction, "keys", text, keys_in_full(before), keys_in_full(after)));
    match (before, after) {
        _ if before == after => None,
        (KeySource::Remote { refresh: old, .. }, KeySource::Remote { refresh: new, .. })
            if source(before) == source(after) =>
        {
            let text = format!("keys are refreshed every {}, was {}", words::duration(*new), words::duration(*old));
            // Until the next refresh, a withdrawn key is still trusted.
            change(if new > old { Direction::MorePermissive } else { Direction::LessPermissive }, text)
        }
        (KeySource::Inline(old), KeySource::Inline(new)) => {
            inline(old, new).and_then(|(direction, text)| change(direction, text))
        }
        _ => change(
            Direction::MorePermissive,
            format!("other keys are trusted: {}, previously {}", source(after), source(before)),
        ),
    }
}

/// Compares sets of keys. A key that differs in any member is another key.
fn inline(old: &str, new: &str) -> Option<(Direction, String)> {
    let [before, after] = [old, new].map(key_list);
    let new_ones = after.iter().filter(|key| !before.contains(key)).count();
    let gone = before.iter().filter(|key| !after.contains(key)).count();
    let text = |what: &str| format!("{what}: {} added, {} removed", counted(new_ones, "key"), counted(gone, "key"));
    match (new_ones, gone) {
        (0, 0) if before.len() <= KEYS_TRIED_MAX || before == after => None,
        // If a set has more keys than the filter tries, removing one gives another one a chance.
        (0, _) if before.len() <= KEYS_TRIED_MAX => Some((Direction::LessPermissive, text("fewer keys are trusted"))),
        _ => Some((Direction::MorePermissive, text("other keys are trusted"))),
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
            format!("keys from `{scheme}://{authority}{path}` through cluster `{cluster}`")
        }
        KeySource::Inline(set) => format!("{} in the policy", counted(key_list(set).len(), "key")),
        KeySource::Opaque => "no keys".to_owned(),
    }
}
