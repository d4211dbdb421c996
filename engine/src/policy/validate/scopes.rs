//! The scope registry and the sets of scopes.

use super::{LIST_ITEMS_MAX, ROOT};
use crate::{
    policy::{
        Protocol,
        deserialize::{Given, shaped},
        fault::{About, Faults, Wrong},
        json::Json,
        json_path::At,
        raw::{RawScope, Texts},
        text::{plain, quoted},
    },
    scope::{Date, Entry, ScopeId, ScopeRegistry},
    token::SCOPE_BYTES_MAX,
};
use std::{borrow::Cow, collections::HashMap, fmt};

/// The maximum number of declared scopes.
pub const SCOPES_MAX: usize = 10_000;
/// The maximum number of sets in a policy.
pub const SETS_MAX: usize = 10_000;
/// The maximum length of the name of a scope or a set in bytes: longer scopes of a token are left out.
const NAME_BYTES_MAX: usize = SCOPE_BYTES_MAX;

/// The scopes and sets that rules can require.
pub(super) struct Scopes {
    pub(super) register: ScopeRegistry,
    /// The scopes of each set; `None` if the set is invalid.
    sets: HashMap<String, Option<Vec<ScopeId>>>,
    /// Whether these parts are complete. If so, an unknown name is a fault of the place that uses it; otherwise it can
    /// follow from a fault that was already reported.
    is_whole: bool,
}

pub(super) fn scopes(scopes: Given<Json<'_>>, sets: Given<Json<'_>>, faults: &mut Faults) -> Scopes {
    let entries = entries(scopes, &ROOT.key("scopes"), SCOPES_MAX, faults);
    let mut known = Scopes { register: ScopeRegistry::default(), sets: HashMap::new(), is_whole: entries.is_some() };
    for (name, json) in entries.unwrap_or_default() {
        declare(&name, json, &mut known.register, faults);
    }
    let at = ROOT.key("sets");
    let entries = self::entries(sets, &at, SETS_MAX, faults);
    let sets_are_whole = entries.is_some();
    for (name, json) in entries.unwrap_or_default() {
        let at = at.key(&name);
        let _ = faults.check(&at, set_name(&name).map_err(|wrong| wrong.about(About::Key)));
        let scopes = known.set(json, &at, faults);
        known.sets.insert(name.into_owned(), scopes);
    }
    known.is_whole &= sets_are_whole;
    known
}

type Entries<'a> = Vec<(Cow<'a, str>, Json<'a>)>;

fn entries<'a>(json: Given<Json<'a>>, at: &At<'_>, max: usize, faults: &mut Faults) -> Option<Entries<'a>> {
    match json {
        Given::Absent => return Some(Vec::new()),
        Given::Faulty => {}
        Given::Value(Json::Object(object)) if object.len() <= max => return Some(object),
        Given::Value(Json::Object(object)) => {
            faults.add(at, format_args!("has {} entries; at most {max} are allowed", object.len()));
        }
        Given::Value(json) => faults.add(at, format_args!("expected an object, found {}", json.kind())),
    }
    None
}

fn declare(name: &str, json: Json<'_>, register: &mut ScopeRegistry, faults: &mut Faults) {
    let at = ROOT.key("scopes");
    let at = at.key(name);
    let is_name =
        faults.check(&at, scope_name(name).map_err(|message| Wrong::from(message).about(About::Key))).is_some();
    let raw = shaped::<RawScope>(json, &at, faults).value().unwrap_or_default();
    let mut text = |text: Given<String>, key| text.value().and_then(|text| faults.check(&at.key(key), plain(&text)));
    let owner = text(raw.owner, "owner");
    let description = text(raw.description, "description");
    let review_by = raw.review_by.value().and_then(|text| faults.check(&at.key("review_by"), date(&text)));
    let approval = raw.approval.or(false, |word| faults.check(&at.key("approval"), approval(&word)).map(|()| true));
    if is_name {
        // A faulty word counts: it was meant to hold something back.
        let needs_approval = approval != Some(false);
        register.declare(Entry { name: name.into(), owner, review_by, description, needs_approval });
    }
}

/// Only a session service can keep grants, so a policy without one cannot hold a scope back.
pub(super) fn approvals_are_kept(register: &ScopeRegistry, protocol: Option<&Protocol>, faults: &mut Faults) {
    let message = match protocol {
        Some(Protocol::Stream { .. }) => return,
        Some(Protocol::Introspection(_)) => {
            "an introspection endpoint knows no approvals; omit this key, or use `protocol: stream`"
        }
        None => "without `$.session`, nobody can approve it; omit this key, or specify the session service",
    };
    for scope in register.approvals() {
        faults.add(&ROOT.key("scopes").key(scope).key("approval"), message);
    }
}

fn approval(word: &str) -> Result<(), String> {
    match word {
        "required" => Ok(()),
        _ => Err(format!("expected `required`, found {}", quoted(word))),
    }
}

fn date(text: &str) -> Result<Date, String> {
    text.parse().map_err(|_| format!("{} is not a date such as `2027-03-01`", quoted(text)))
}

/// Checks the name of a scope: a `scope-token` (RFC 6749, section 3.3) without wildcards that cannot be confused with a
/// set.
pub fn scope_name(name: &str) -> Result<(), String> {
    if name.is_empty() {
        Err("a scope must have a name".to_owned())
    } else if name.len() > NAME_BYTES_MAX {
        Err(format!("a name must not be longer than {NAME_BYTES_MAX} bytes"))
    } else if name.contains('*') {
        Err(format!("{}: scopes are compared as a whole; wildcards are not supported", quoted(name)))
    } else if name.starts_with('@') {
        Err(format!("{}: a name that starts with `@` refers to a set", quoted(name)))
    } else if !name.bytes().all(|byte| matches!(byte, b'!' | b'#'..=b'[' | b']'..=b'~')) {
        Err(format!("{}: scopes must consist of visible ASCII characters other than `\"` and `\\`", quoted(name)))
    } else {
        Ok(())
    }
}

fn set_name(name: &str) -> Result<(), Wrong> {
    match name.strip_prefix('@') {
        _ if name.is_empty() => Err("a set must have a name".into()),
        Some(meant) => {
            let message = format_args!(
                "{}: declare the set without `@`, which is only written where the set is used",
                quoted(name)
            );
            Err(Wrong::from(message).meant(Some(meant).filter(|meant| !meant.is_empty())))
        }
        None => Ok(scope_name(name)?),
    }
}

impl Scopes {
    /// The names of the sets, sorted, each with its scopes.
    #[cfg(feature = "source")]
    pub(super) fn sets(&self) -> Vec<(String, Vec<String>)> {
        let name = |id: &ScopeId| self.register.entry(*id).map(|entry| entry.name.to_string());
        let scopes = |ids: &Option<Vec<ScopeId>>| ids.iter().flatten().filter_map(name).collect();
        let mut sets: Vec<_> = self.sets.iter().map(|(set, ids)| (set.clone(), scopes(ids))).collect();
        sets.sort();
        sets
    }

    fn set(&self, json: Json<'_>, at: &At<'_>, faults: &mut Faults) -> Option<Vec<ScopeId>> {
        let items = shaped::<Vec<Given<String>>>(json, at, faults).value()?;
        if items.is_empty() {
            faults.add(at, "a set must contain at least one scope");
            return None;
        }
        self.each(items, at, faults, |name| match name.starts_with('@') {
            false if self.register.id(name).is_some() || !self.sets.contains_key(name) => self.scope(name),
            true | false => Err(format!("{}: a set can only contain scopes, not sets", quoted(name)).into()),
        })
    }

    /// The scopes that each item of `all_of` or `any_of` refers to.
    pub(super) fn named(&self, items: Texts, at: &At<'_>, faults: &mut Faults) -> Option<Vec<Vec<ScopeId>>> {
        let items = items.or(Vec::new(), Some)?;
        self.each(items, at, faults, |name| match name.strip_prefix('@') {
            Some(set) => self.set_of(set),
            None => Ok(self.scope(name)?.map(|id| vec![id])),
        })
    }

    /// Reads each item. `Ok(None)` stands for an item whose fault has been reported elsewhere.
    fn each<T>(
        &self,
        items: Vec<Given<String>>,
        at: &At<'_>,
        faults: &mut Faults,
        read: impl Fn(&str) -> Result<Option<T>, Wrong>,
    ) -> Option<Vec<T>> {
        if items.len() > LIST_ITEMS_MAX {
            faults.add(at, format_args!("has {} items; at most {LIST_ITEMS_MAX} are allowed", items.len()));
            return None;
        }
        let read: Vec<Option<T>> = items
            .into_iter()
            .enumerate()
            .map(|(index, name)| faults.check(&at.item(index), read(&name.value()?))?)
            .collect();
        read.into_iter().collect()
    }

    fn scope(&self, name: &str) -> Result<Option<ScopeId>, Wrong> {
        scope_name(name)?;
        match self.register.id(name) {
            None if self.sets.contains_key(name) => {
                let meant = format!("@{name}");
                let message = format_args!("{} is a set, not a scope; write {}", quoted(name), quoted(&meant));
                Err(undeclared(message).meant(Some(&meant)))
            }
            None if self.is_whole => {
                Err(undeclared(format_args!("{} is not in `$.scopes`; declare it there", quoted(name))))
            }
            id => Ok(id),
        }
    }

    fn set_of(&self, name: &str) -> Result<Option<Vec<ScopeId>>, Wrong> {
        match self.sets.get(name) {
            None if self.is_whole => Err(undeclared(format_args!("there is no set {} in `$.sets`", quoted(name)))),
            set => Ok(set.cloned().flatten()),
        }
    }
}

fn undeclared(message: fmt::Arguments<'_>) -> Wrong {
    Wrong::from(message).about(About::Undeclared)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_scopes_are_scope_tokens() {
        for name in ["a", "orders:read", "https://example.com/a?b#c", "!#[]~", "a@b", "A.b-c_d/e+f"] {
            assert_eq!(scope_name(name), Ok(()), "{name}");
        }
        for name in ["", "a b", "a\"", "a\\", "a\x7f", "a\n", "ü", "*", "orders:*", "@support", &"x".repeat(257)] {
            assert!(scope_name(name).is_err(), "{name}");
        }
    }
}
