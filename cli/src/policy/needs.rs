//! What a rule asks of a token, in words: its scopes with sets written out, and what of them a token lacks.

use portcullis_engine::{
    policy::{Access, Policy},
    route::RuleId,
};
use serde::Serialize;
use serde_json::Value;

/// The scopes that a rule requires.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Needs {
    /// All of these.
    pub all_of: Vec<String>,
    /// And one of these in full, unless there is none.
    pub any_of: Vec<Group>,
}

/// Scopes that are required together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Group {
    /// The name of the set, as `@name`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub set: Option<String>,
    /// The scopes.
    pub scopes: Vec<String>,
}

impl Needs {
    /// What a rule requires; nothing unless it asks for scopes. `written` is the policy as it stands in its file.
    pub fn of(policy: &Policy, written: &Value, RuleId(index): RuleId) -> Option<Self> {
        let Access::Scopes(requirement) = &policy.rules.get(index)?.access else { return None };
        let owned = |names: Vec<&str>| names.into_iter().map(str::to_owned).collect();
        let written = any_of(written, index);
        let groups = requirement.any_of(&policy.register).enumerate().map(|(number, scopes)| Group {
            set: written.get(number).filter(|name| name.starts_with('@')).cloned(),
            scopes: owned(scopes),
        });
        Some(Self { all_of: owned(requirement.all_of(&policy.register).collect()), any_of: groups.collect() })
    }

    /// What a token with these scopes lacks.
    pub fn missing(&self, held: &[String]) -> Self {
        let lacks =
            |scopes: &[String]| scopes.iter().filter(|scope| !held.contains(scope)).cloned().collect::<Vec<_>>();
        let groups: Vec<_> =
            self.any_of.iter().map(|group| Group { scopes: lacks(&group.scopes), ..group.clone() }).collect();
        let is_met = groups.iter().any(|group| group.scopes.is_empty());
        Self { all_of: lacks(&self.all_of), any_of: if is_met { Vec::new() } else { groups } }
    }

    /// Whether it asks for nothing.
    pub fn is_empty(&self) -> bool {
        self.all_of.is_empty() && self.any_of.is_empty()
    }

    /// In a line.
    pub fn words(&self) -> String {
        let groups: Vec<_> = self.any_of.iter().map(Group::words).collect();
        let any = match groups.as_slice() {
            [] => String::new(),
            [only] => only.clone(),
            several => format!("one of {}", several.join(" | ")),
        };
        match (self.all_of.is_empty(), any.is_empty()) {
            (_, true) => self.all_of.join(" "),
            (true, false) => any,
            (false, false) => format!("{} and {any}", self.all_of.join(" ")),
        }
    }
}

impl Group {
    fn words(&self) -> String {
        let scopes = self.scopes.join(" ");
        match &self.set {
            Some(set) => format!("{set} ({scopes})"),
            None => scopes,
        }
    }
}

/// The entries of `any_of` as they stand in the file.
fn any_of(written: &Value, index: usize) -> Vec<String> {
    let entries = written.pointer(&format!("/routes/{index}/require/any_of")).and_then(Value::as_array);
    let mut names: Vec<String> = Vec::new();
    for name in entries.into_iter().flatten().filter_map(Value::as_str) {
        // The policy keeps what is named twice once.
        if !names.iter().any(|known| known == name) {
            names.push(name.to_owned());
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    fn needs(all_of: &[&str], any_of: &[(Option<&str>, &[&str])]) -> Needs {
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let group =
            |(set, scopes): &(Option<&str>, &[&str])| Group { set: set.map(str::to_owned), scopes: owned(scopes) };
        Needs { all_of: owned(all_of), any_of: any_of.iter().map(group).collect() }
    }

    #[test]
    fn what_is_missing_is_what_is_required_and_not_held() {
        let required = needs(&["a", "b"], &[(Some("@s"), &["c", "d"]), (None, &["e"])]);
        for (held, missing) in [
            (&["a", "b", "e"][..], ""),
            (&["a", "b", "c", "d"], ""),
            (&["a", "c", "d"], "b"),
            (&["a", "b"], "one of @s (c d) | e"),
            (&["b", "d"], "a and one of @s (c) | e"),
        ] {
            let held: Vec<_> = held.iter().map(|scope| (*scope).to_owned()).collect();
            assert_eq!(required.missing(&held).words(), missing, "{held:?}");
            assert_eq!(required.missing(&held).is_empty(), missing.is_empty(), "{held:?}");
        }
    }
}
