//! What stands around a policy in its manifest: the plugin that holds it, the HTTP connection manager, the clusters.

use super::find::{Holder, Plugin, in_force, plugins};
use crate::document::{Content, Document, Node};

/// The type of a cluster.
const CLUSTER_TYPE: &str = "envoy.config.cluster.v3.Cluster";
/// The type of the part of a configuration dump that has every cluster.
const CLUSTERS_DUMP_TYPE: &str = "envoy.admin.v3.ClustersConfigDump";

/// The documents of a manifest, with the place of the policy among them.
pub(in crate::policy) struct Surroundings {
    roots: Vec<Node>,
    start: usize,
}

/// An HTTP connection manager with the policy's filter.
pub(in crate::policy) struct Manager<'n> {
    /// Its configuration.
    pub(in crate::policy) config: &'n Node,
    /// The policy's own filter.
    pub(in crate::policy) own: &'n Node,
    /// The filters behind it.
    pub(in crate::policy) behind: &'n [Node],
}

impl Surroundings {
    /// What stands around the policy of a document; `None` if the document is just a policy.
    pub(in crate::policy) fn of(document: &Document) -> Option<Self> {
        let roots = document.reread();
        let start = document.start();
        let is_policy = matches!(roots.as_slice(), [root] if root.span.start == start);
        (!is_policy).then_some(Self { roots, start })
    }

    /// The plugin that holds the policy.
    pub(in crate::policy) fn plugin(&self) -> Option<(Holder, &Node)> {
        let held = self.roots.iter().flat_map(plugins).filter(|plugin| plugin.configuration.span.start <= self.start);
        held.max_by_key(|plugin| plugin.configuration.span.start).map(|Plugin { holder, around, .. }| (holder, around))
    }

    /// The connection manager whose list of filters has the policy's.
    pub(in crate::policy) fn manager(&self) -> Option<Manager<'_>> {
        let managers = self.nodes().filter_map(|config| {
            let Content::List(filters) = &field(config, "http_filters")?.content else { return None };
            // The span of a map is where it begins, so the policy's own filter is the last one that begins before it.
            let index = filters.iter().rposition(|filter| filter.span.start <= self.start)?;
            let (own, behind) = (filters.get(index)?, filters.get(index + 1..)?);
            Some(Manager { config, own, behind })
        });
        managers.max_by_key(|manager| manager.own.span.start)
    }

    /// All clusters of the Envoy that runs the policy; `None` if some of them are configured elsewhere.
    pub(in crate::policy) fn clusters(&self) -> Option<Vec<&Node>> {
        let is_dump = self.nodes().any(|node| has_type(node, CLUSTERS_DUMP_TYPE));
        let is_bootstrap = self.roots.iter().any(|root| field(root, "static_resources").is_some());
        let are_discovered = self.nodes().any(|node| field(node, "cds_config").is_some());
        if !is_dump && (!is_bootstrap || are_discovered) {
            return None;
        }
        let own = self.nodes().filter_map(|node| field(node, "static_resources")?.get("clusters"));
        let typed = self.nodes().filter(|node| has_type(node, CLUSTER_TYPE));
        Some(own.flat_map(Node::parts).chain(typed).collect())
    }

    /// Every node that can be in force.
    fn nodes(&self) -> impl Iterator<Item = &Node> {
        let mut open: Vec<&Node> = self.roots.iter().collect();
        std::iter::from_fn(move || {
            let node = open.pop()?;
            open.extend(in_force(node));
            Some(node)
        })
    }
}

/// The value of a field of a protobuf message, whose JSON may spell it in either way.
pub(in crate::policy) fn field<'n>(node: &'n Node, name: &str) -> Option<&'n Node> {
    node.get(name).or_else(|| {
        let mut words = name.split('_');
        let first = words.next().unwrap_or_default().to_owned();
        let camel = words.fold(first, |camel, word| {
            let (head, tail) = word.split_at_checked(1).unwrap_or((word, ""));
            camel + &head.to_ascii_uppercase() + tail
        });
        node.get(&camel)
    })
}

/// Whether a message says that it is of this type.
pub(in crate::policy) fn has_type(node: &Node, name: &str) -> bool {
    ["@type", "type_url", "typeUrl"].iter().any(|key| {
        let url = node.get(key).and_then(Node::text).unwrap_or_default();
        url.strip_suffix(name).is_some_and(|host| host.is_empty() || host.ends_with('/'))
    })
}
