//! What stands around a policy in its manifest: the plugins that hold it, the HTTP connection managers, their routes, the
//! clusters.

use super::find::{Plugin, in_force, plugins};
use crate::{
    document::{Content, Document, Node},
    policy::load::Loaded,
};
use std::collections::HashSet;

/// The type of a cluster.
const CLUSTER_TYPE: &str = "envoy.config.cluster.v3.Cluster";
/// The type of the part of a configuration dump that has every cluster.
const CLUSTERS_DUMP_TYPE: &str = "envoy.admin.v3.ClustersConfigDump";

/// The type of what configures a filter whose configuration is discovered.
const EXTENSION_TYPE: &str = "envoy.config.core.v3.TypedExtensionConfig";
/// The type of a route table.
const ROUTES_TYPE: &str = "envoy.config.route.v3.RouteConfiguration";

/// The documents of a manifest, and which of its policies is meant.
pub(in crate::policy) struct Surroundings<'d> {
    document: &'d Document,
    roots: Vec<Node>,
    digest: &'d str,
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

impl<'d> Surroundings<'d> {
    /// What stands around a policy; `None` if its document is just the policy.
    pub(in crate::policy) fn of(loaded: &'d Loaded) -> Option<Self> {
        let Loaded { document, policy } = loaded;
        let roots = document.reread();
        let is_policy = matches!(roots.as_slice(), [root] if root.span.start == document.start());
        (!is_policy).then_some(Self { document, roots, digest: &policy.digest })
    }

    /// The plugins that hold the policy. A running Envoy's dump may have it once for each listener.
    pub(in crate::policy) fn plugins(&self) -> Vec<Plugin<'_>> {
        self.roots.iter().flat_map(|root| self.plugins_in(root)).collect()
    }

    fn plugins_in<'n>(&self, node: &'n Node) -> Vec<Plugin<'n>> {
        let mut found = plugins(node);
        found.retain(|plugin| plugin.has(self.digest, self.document.text()));
        found
    }

    /// The connection managers whose lists of filters have the policy's, each configuration once: a dump has the listeners of
    /// the bootstrap twice.
    pub(in crate::policy) fn managers(&self) -> Vec<Manager<'_>> {
        let discovered = self.discovered();
        let mut seen = HashSet::new();
        let managers = self.nodes().filter_map(|config| {
            let Content::List(filters) = &field(config, "http_filters")?.content else { return None };
            let index = filters.iter().position(|filter| self.is_own(filter, &discovered))?;
            let (own, behind) = (filters.get(index)?, filters.get(index + 1..)?);
            seen.insert(config.to_json()).then_some(Manager { config, own, behind })
        });
        managers.collect()
    }

    /// Whether a filter of a connection manager is the policy's: the policy is in it, or it is configured under the name of
    /// an extension that has the policy (ECDS).
    fn is_own(&self, filter: &Node, discovered: &[&str]) -> bool {
        let is_discovered = || {
            field(filter, "config_discovery").is_some()
                && filter.get("name").and_then(Node::text).is_some_and(|name| discovered.contains(&name))
        };
        is_discovered() || !self.plugins_in(filter).is_empty()
    }

    /// The names of the extensions that have the policy.
    fn discovered(&self) -> Vec<&str> {
        let extensions = self.nodes().filter(|node| has_type(node, EXTENSION_TYPE));
        let own = extensions.filter(|extension| !self.plugins_in(extension).is_empty());
        own.filter_map(|extension| extension.get("name")?.text()).collect()
    }

    /// The route tables of these connection managers, each once: their own, and those that they discover by name (RDS).
    pub(in crate::policy) fn route_tables<'n>(&'n self, managers: &[Manager<'n>]) -> Vec<&'n Node> {
        let name_of = |manager: &Manager<'n>| field(field(manager.config, "rds")?, "route_config_name")?.text();
        let names: Vec<_> = managers.iter().filter_map(name_of).collect();
        let own = managers.iter().filter_map(|manager| field(manager.config, "route_config"));
        let is_discovered = |node: &&Node| {
            has_type(node, ROUTES_TYPE)
                && node.get("name").and_then(Node::text).is_some_and(|name| names.contains(&name))
        };
        let mut seen = HashSet::new();
        own.chain(self.nodes().filter(is_discovered)).filter(|table| seen.insert(table.to_json())).collect()
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
        self.roots.iter().flat_map(nodes)
    }
}

/// A node and every node in it that can be in force, in the order of the file.
pub(in crate::policy) fn nodes(root: &Node) -> impl Iterator<Item = &Node> {
    let mut open = vec![root];
    std::iter::from_fn(move || {
        let node = open.pop()?;
        open.extend(in_force(node).into_iter().rev());
        Some(node)
    })
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
