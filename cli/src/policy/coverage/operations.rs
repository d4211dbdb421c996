//! The operations of an OpenAPI document as entries.

use super::entry::Described;
use crate::policy::{
    matching::{Entry, Methods, Paths, Pattern, Rules, SampleRequest},
    openapi::{Api, Base, Operation},
};
use portcullis_engine::route::HostPattern;

/// Every operation at each of its base paths.
pub(super) fn described(api: &Api, rules: &Rules<'_>) -> Vec<Described<'static>> {
    let places = api.operations.iter().flat_map(|operation| operation.bases.iter().map(move |base| (operation, base)));
    places.map(|(operation, base)| one(operation, base, rules)).collect()
}

fn one(operation: &Operation, base: &Base, rules: &Rules<'_>) -> Described<'static> {
    let path = format!("{}{}", base.path, operation.path);
    let method = operation.method.clone();
    let entry = match (&method, &operation.error) {
        (None, error) => Err(error.clone().unwrap_or_default()),
        (Some(_), _) if !path.starts_with('/') => Err("the path does not start with `/`".to_owned()),
        (Some(method), _) => Ok(entry(&path, method, base, rules)),
    };
    Described {
        label: format!("{} {path}", method.as_deref().unwrap_or("(any method)")),
        place: operation.id.clone().unwrap_or_default(),
        entry,
    }
}

fn entry(path: &str, method: &str, base: &Base, rules: &Rules<'_>) -> Entry<'static> {
    let patterns: Vec<_> = base.hosts.iter().filter_map(|host| HostPattern::parse(host).ok()).collect();
    let mut hosts: Vec<String> = patterns.iter().map(|pattern| rules.host_of(pattern)).collect();
    // If the document names no host, it can be any host: one that rules name, or another.
    let anywhere = base.anywhere || hosts.is_empty();
    if anywhere {
        hosts.push(rules.other_host().to_owned());
    }
    Entry {
        paths: Paths::Patterns(vec![Pattern::of_openapi(path)]),
        methods: Methods::Only(vec![method.to_owned()]),
        hosts,
        reaches: Box::new(move |request: &SampleRequest| {
            anywhere || patterns.iter().any(|pattern| Rules::host_matches(pattern, &request.host))
        }),
    }
}
