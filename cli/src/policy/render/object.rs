//! The common parts of Kubernetes objects.

use super::args::Args;
use serde::Serialize;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Object<'a, S> {
    api_version: &'static str,
    kind: &'static str,
    metadata: Metadata<'a>,
    spec: S,
}

#[derive(Serialize)]
struct Metadata<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    namespace: Option<&'a str>,
}

impl<'a, S> Object<'a, S> {
    pub(super) fn new(api_version: &'static str, kind: &'static str, args: &'a Args, spec: S) -> Self {
        let metadata = Metadata { name: args.name(), namespace: args.namespace.as_deref() };
        Self { api_version, kind, metadata, spec }
    }
}
