//! A set of conditions, parsed and validated, and found by the routes that they are about.

use crate::{
    Declared, Fault, Literals, Route, Sliced, Source, declared, load,
    parsed::{Condition, Resource},
    read::BYTES_MAX,
    vocabulary::Vocabulary,
};
use cedar_policy::Schema;
use cedar_policy_core::{entities::Entities, validator::ValidatorSchema};
use sha2::{Digest, Sha256};
use std::{
    collections::{BTreeSet, HashMap},
    fmt::Write,
    sync::Arc,
};

/// A set of conditions, parsed and validated.
#[derive(Debug)]
pub struct Set {
    pub(crate) common: Arc<Common>,
    conditions: Vec<Arc<Condition>>,
    /// The conditions whose scope is about every route, one route, or one scope set.
    any: Vec<usize>,
    by_route: HashMap<String, Vec<usize>>,
    by_set: HashMap<String, Vec<usize>>,
    warnings: Vec<Fault>,
    digest: String,
}

/// What all steps of a decision use.
#[derive(Debug)]
pub(crate) struct Common {
    pub(crate) vocabulary: Vocabulary,
    pub(crate) declared: Declared,
    /// The methods as entities.
    pub(crate) actions: Entities,
    pub(crate) none: Entities,
}

impl Set {
    /// Parses and validates. The error has all faults.
    pub fn load(sources: &[Source], declared: &Declared) -> Result<Self, Vec<Fault>> {
        if sources.iter().map(|source| source.text.len()).sum::<usize>() > BYTES_MAX {
            let message = format!("the policies are larger than {BYTES_MAX} bytes together");
            return Err(vec![Fault::of_file("too_large", "conditions", message)]);
        }
        let text = declared::schema(declared);
        let schema_fault = |error: &dyn std::fmt::Display| vec![Fault::of_file("schema", "schema", error.to_string())];
        let (schema, _) = Schema::from_cedarschema_str(&text).map_err(|error| schema_fault(&error))?;
        let core: &ValidatorSchema = schema.as_ref();
        let actions = core.action_entities().map_err(|error| schema_fault(&error))?;
        let vocabulary = Vocabulary::new().map_err(|error| schema_fault(&error))?;
        let loaded = load::load(sources, schema)?;
        let common = Common { vocabulary, declared: declared.clone(), actions, none: Entities::new() };
        let mut set = Self {
            common: Arc::new(common),
            digest: digest(&text, sources),
            conditions: loaded.conditions.into_iter().map(Arc::new).collect(),
            any: Vec::new(),
            by_route: HashMap::new(),
            by_set: HashMap::new(),
            warnings: loaded.warnings,
        };
        for (index, condition) in set.conditions.iter().enumerate() {
            match &condition.resource {
                Resource::Any => set.any.push(index),
                Resource::Route(name) => set.by_route.entry(name.clone()).or_default().push(index),
                Resource::Set(name) => set.by_set.entry(name.clone()).or_default().push(index),
            }
        }
        Ok(set)
    }

    /// A digest of policies and declared attributes, in hexadecimal digits: equal sets decide equally.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// The digest that a set of these policies has, or would have without faults.
    pub fn digest_of(sources: &[Source], declared: &Declared) -> String {
        digest(&declared::schema(declared), sources)
    }

    /// How many conditions there are.
    pub fn len(&self) -> usize {
        self.conditions.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.conditions.is_empty()
    }

    /// The `@id` of every condition, in the order of files and lines.
    pub fn ids(&self) -> impl Iterator<Item = &str> {
        self.conditions.iter().map(|condition| condition.annotations.id.as_str())
    }

    pub(crate) fn conditions(&self) -> impl Iterator<Item = &Condition> {
        self.conditions.iter().map(AsRef::as_ref)
    }

    /// The attributes that it was loaded with.
    pub fn declared(&self) -> &Declared {
        &self.common.declared
    }

    /// What is written in the conditions, for tools that try them.
    pub fn literals(&self) -> Literals {
        Literals::of(self.conditions().map(|condition| &condition.expr))
    }

    /// What is valid and still looks wrong: a condition that can never forbid anything, letters that look like others.
    pub fn warnings(&self) -> &[Fault] {
        &self.warnings
    }

    /// The conditions whose scope names a route or a scope set that none of these routes has.
    pub fn unmatched(&self, routes: &[Route]) -> Vec<Fault> {
        let names: BTreeSet<&str> = routes.iter().map(|route| route.name.as_str()).collect();
        let sets: BTreeSet<&str> = routes.iter().flat_map(|route| &route.sets).map(String::as_str).collect();
        let unmatched = self.conditions.iter().filter_map(|condition| {
            let message = match &condition.resource {
                Resource::Route(name) if !names.contains(name.as_str()) => format!("there is no route `{name}`"),
                Resource::Set(name) if !sets.contains(name.as_str()) => {
                    format!("no route requires the scope set `@{name}`")
                }
                _ => return None,
            };
            let id = &condition.annotations.id;
            let place = condition.place.clone();
            Some(Fault { code: "unmatched", message: format!("`{id}` never applies: {message}"), ..place })
        });
        unmatched.collect()
    }

    /// The conditions that can concern a route.
    pub fn for_route(&self, route: &Route) -> Result<Sliced, Vec<Fault>> {
        let of_route = self.by_route.get(&route.name).into_iter().flatten();
        let of_sets = route.sets.iter().filter_map(|set| self.by_set.get(set)).flatten();
        let all: BTreeSet<usize> = self.any.iter().chain(of_route).chain(of_sets).copied().collect();
        let conditions = all.into_iter().filter_map(|index| self.conditions.get(index));
        Sliced::of(&self.common, route, conditions, self.is_empty())
    }
}

/// Names of files and what is between policies do not count.
fn digest(schema: &str, sources: &[Source]) -> String {
    let mut hash = Sha256::new();
    let mut part = |text: &str| {
        hash.update(u64::try_from(text.len()).unwrap_or(u64::MAX).to_be_bytes());
        hash.update(text);
    };
    part(schema);
    for source in sources {
        for piece in crate::bounds::pieces(&source.text) {
            part(source.text.get(piece.span).unwrap_or_default());
        }
    }
    let mut text = String::new();
    for byte in hash.finalize() {
        // Writing to a text cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}
