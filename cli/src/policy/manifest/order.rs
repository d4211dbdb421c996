//! Finds filters of an Envoy configuration that stand on the wrong side of the policy's filter.

use crate::document::{Content, Document, Node};
use std::ops::Range;

/// A filter that must see a request before the policy's filter, and the answer after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::policy) enum Outer {
    /// `cors`
    Cors,
    /// `grpc_web`
    GrpcWeb,
}

const OUTER: [(Outer, &str, &str); 2] = [
    (Outer::Cors, "envoy.filters.http.cors", "envoy.extensions.filters.http.cors.v3.Cors"),
    (Outer::GrpcWeb, "envoy.filters.http.grpc_web", "envoy.extensions.filters.http.grpc_web.v3.GrpcWeb"),
];

/// The keys of a list of HTTP filters.
const LISTS: [&str; 2] = ["http_filters", "httpFilters"];

/// The filters that stand behind the policy's own in a list of HTTP filters, although they must stand in front of it.
pub(in crate::policy) fn misplaced(document: &Document) -> Vec<(Outer, Range<usize>)> {
    // Parsing again is only worth it for an Envoy configuration.
    if !LISTS.iter().any(|key| document.text().contains(key)) {
        return Vec::new();
    }
    let roots = document.reread();
    let mut open: Vec<&Node> = roots.iter().collect();
    let mut found = Vec::new();
    while let Some(node) = open.pop() {
        for Node { content, .. } in LISTS.iter().filter_map(|key| node.get(key)) {
            let Content::List(filters) = content else { continue };
            // The span of a map is where it begins, so the policy's own filter is the last one that begins before it.
            let own = filters.iter().rposition(|filter| filter.span.start <= document.start());
            let behind = own.and_then(|own| filters.get(own + 1..)).unwrap_or_default();
            found.extend(behind.iter().filter_map(outer));
        }
        open.extend(node.parts());
    }
    found
}

fn outer(filter: &Node) -> Option<(Outer, Range<usize>)> {
    let config = ["typed_config", "typedConfig"].iter().find_map(|key| filter.get(key));
    let kinds = ["@type", "type_url", "typeUrl"].map(|key| config.and_then(|config| config.get(key)?.text()));
    let name = filter.get("name");
    let is = |known: &str, kind: &str| {
        name.and_then(Node::text) == Some(known) || kinds.into_iter().flatten().any(|given| given.ends_with(kind))
    };
    let (outer, ..) = OUTER.into_iter().find(|(_, known, kind)| is(known, kind))?;
    Some((outer, name.unwrap_or(filter).span.clone()))
}
