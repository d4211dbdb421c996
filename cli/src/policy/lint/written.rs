//! The document of a valid policy: what the parsed policy no longer contains.

use crate::document::Document;
use portcullis_engine::route::{HostPattern, Match, Method, Template};
use serde_json::Value;

/// The JSON of a valid policy.
pub(super) struct Written(Value);

impl Written {
    pub(super) fn of(document: &Document) -> Option<Self> {
        serde_json::from_str(document.json()).ok().map(Self)
    }

    /// A value by its JSON pointer (RFC 6901).
    pub(super) fn get(&self, pointer: &str) -> Option<&Value> {
        self.0.pointer(pointer)
    }

    /// The names and scopes of the sets.
    pub(super) fn sets(&self) -> impl Iterator<Item = (&str, Vec<&str>)> {
        let sets = self.0.get("sets").and_then(Value::as_object).into_iter().flatten();
        sets.map(|(name, scopes)| (name.as_str(), texts(Some(scopes)).collect()))
    }

    fn routes(&self) -> impl Iterator<Item = &Value> {
        self.0.get("routes").and_then(Value::as_array).into_iter().flatten()
    }

    /// Every name in the `all_of` or `any_of` of a rule; sets begin with `@`.
    pub(super) fn required(&self) -> impl Iterator<Item = &str> {
        self.routes()
            .filter_map(|route| route.get("require"))
            .flat_map(|require| ["all_of", "any_of"].into_iter().flat_map(|key| texts(require.get(key))))
    }

    /// What each rule matches, in the order of the rules.
    pub(super) fn matches(&self) -> Vec<Option<Match>> {
        self.routes().map(|route| answers(route.get("match")?)).collect()
    }
}

fn answers(given: &Value) -> Option<Match> {
    let hosts: Option<_> = texts(given.get("hosts")).map(|text| HostPattern::parse(text).ok()).collect();
    let methods: Option<_> = texts(given.get("methods")).map(|text| Method::parse(text).ok()).collect();
    let path = Template::parse(given.get("path")?.as_str()?).ok()?;
    Some(Match { hosts: hosts?, methods: methods?, path })
}

fn texts(list: Option<&Value>) -> impl Iterator<Item = &str> {
    list.and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str)
}
