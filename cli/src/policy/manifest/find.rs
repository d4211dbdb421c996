//! Finds the policy among the documents of a file.

use super::text;
use crate::document::{self, Content, Fault, Node};

/// The type of an HTTP wasm filter's configuration in Envoy.
const WASM_TYPE: &str = "envoy.extensions.filters.http.wasm.v3.Wasm";
/// Top-level keys that only a policy has.
const POLICY_KEYS: [&str; 4] = ["routes", "issuers", "scopes", "sets"];
/// What the filter is recognized by among others.
const NAME: &str = "portcullis";

/// What a plugin is configured in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::policy) enum Holder {
    /// Envoy's own configuration.
    Envoy,
    /// Istio's `WasmPlugin` or `TrafficExtension`.
    Istio,
    /// Envoy Gateway's `EnvoyExtensionPolicy`.
    Gateway,
}

/// The configuration of a wasm filter.
pub(super) struct Plugin<'n> {
    pub(super) holder: Holder,
    /// The part that names the filter.
    pub(super) around: &'n Node,
    pub(super) configuration: &'n Node,
}

/// Selects the policy from the documents of a file.
pub(in crate::policy) fn policy(text: &str, roots: Vec<Node>) -> Result<Node, Fault> {
    if let [root] = roots.as_slice()
        && looks_like_policy(root)
    {
        return document::only(roots);
    }
    let plugins: Vec<_> = roots.iter().flat_map(plugins).collect();
    let named = plugins.iter().filter(|plugin| is_named(plugin.around)).map(|plugin| plugin.configuration);
    let bare = roots.iter().filter(|root| looks_like_policy(root));
    let mut found: Vec<&Node> = named.chain(bare).collect();
    if found.is_empty() {
        let like_policy = |plugin: &&Plugin<'_>| plain(plugin.configuration).is_some_and(looks_like_policy);
        found.extend(plugins.iter().filter(like_policy).map(|plugin| plugin.configuration));
    }
    if let Some(fault) = plugins
        .iter()
        .filter(|plugin| found.iter().any(|policy| std::ptr::eq(*policy, plugin.configuration)))
        .find_map(fails_open)
    {
        return Err(fault);
    }
    // A dump of Envoy's configuration has a listener of its bootstrap twice.
    found.dedup_by_key(|policy| policy.to_json());
    match (found.as_slice(), roots.as_slice()) {
        ([policy], _) => configured(policy, text),
        ([first, second, ..], _) => Err(Fault {
            message: format!(
                "expected one policy, but this is a second one (the first is on line {}); move one of them to another file",
                1 + text.get(..first.span.start).unwrap_or_default().matches('\n').count()
            ),
            span: head(second),
        }),
        ([], [root]) if !is_manifest(root) => document::only(roots),
        ([], _) => Err(Fault {
            message: format!(
                "this file contains no policy, neither at the top level nor in the configuration of a wasm filter named `{NAME}`"
            ),
            span: roots.first().map(head).unwrap_or_default(),
        }),
    }
}

/// Every policy of a document, in the configurations of wasm filters: what a running proxy has may repeat it for each
/// listener and filter chain.
pub(in crate::policy) fn policies(text: &str, root: &Node) -> Vec<Result<Node, Fault>> {
    let is_ours =
        |plugin: &Plugin<'_>| is_named(plugin.around) || plain(plugin.configuration).is_some_and(looks_like_policy);
    let ours = plugins(root).into_iter().filter(is_ours);
    ours.map(|plugin| fails_open(&plugin).map_or_else(|| configured(plugin.configuration, text), Err)).collect()
}

fn looks_like_policy(node: &Node) -> bool {
    POLICY_KEYS.iter().any(|key| node.get(key).is_some())
}

/// Whether it is a manifest rather than a policy with a mistake in it.
fn is_manifest(node: &Node) -> bool {
    ["apiVersion", "kind", "static_resources", "staticResources", "dynamic_resources", "resources", "configs", "@type"]
        .iter()
        .any(|key| node.get(key).is_some())
}

/// What a dump of Envoy's configuration has besides what is in force: what was rejected, what waits, what is leaving.
const NOT_IN_FORCE: [&str; 3] = ["error_state", "warming_state", "draining_state"];

/// Every wasm filter configuration in a document.
pub(super) fn plugins(root: &Node) -> Vec<Plugin<'_>> {
    let mut found = Vec::new();
    let mut open = vec![root];
    while let Some(node) = open.pop() {
        found.extend(kubernetes(node));
        found.extend(envoy(node).and_then(|config| {
            let configuration = config.get("configuration")?;
            Some(Plugin { holder: Holder::Envoy, around: config, configuration })
        }));
        open.extend(in_force(node));
    }
    found.sort_by_key(|plugin| plugin.configuration.span.start);
    found
}

/// The parts of a node that can be in force.
pub(super) fn in_force(node: &Node) -> Vec<&Node> {
    match &node.content {
        Content::Object(pairs) => {
            let in_force = pairs.iter().filter(|(key, _)| !NOT_IN_FORCE.contains(&key.name.as_str()));
            in_force.map(|(_, part)| part).collect()
        }
        _ => node.parts().collect(),
    }
}

/// Istio's `WasmPlugin` and `TrafficExtension` and Envoy Gateway's `EnvoyExtensionPolicy`, also inside a `List`.
fn kubernetes(node: &Node) -> Vec<Plugin<'_>> {
    let (Some(kind), Some(spec)) = (node.get("kind").and_then(Node::text), node.get("spec")) else {
        return Vec::new();
    };
    let (holder, plugins, key): (_, Vec<&Node>, _) = match kind {
        "WasmPlugin" => (Holder::Istio, vec![spec], "pluginConfig"),
        "TrafficExtension" => (Holder::Istio, spec.get("wasm").into_iter().collect(), "pluginConfig"),
        "EnvoyExtensionPolicy" => {
            (Holder::Gateway, spec.get("wasm").into_iter().flat_map(Node::parts).collect(), "config")
        }
        _ => return Vec::new(),
    };
    let plugins = plugins.into_iter();
    plugins.filter_map(|around| Some(Plugin { holder, around, configuration: around.get(key)? })).collect()
}

/// The `config` of Envoy's wasm filter, as a message of its own type or wrapped in a `TypedStruct`.
fn envoy(node: &Node) -> Option<&Node> {
    let is_wasm = |key: &str| node.get(key).and_then(Node::text).is_some_and(|name| name.ends_with(WASM_TYPE));
    if is_wasm("@type") {
        node.get("config")
    } else if is_wasm("type_url") || is_wasm("typeUrl") {
        node.get("value")?.get("config")
    } else {
        None
    }
}

/// The setting that lets requests pass while the filter cannot run (Envoy, Istio, Envoy Gateway).
fn fails_open(plugin: &Plugin<'_>) -> Option<Fault> {
    let keys = ["failure_policy", "failurePolicy", "failStrategy", "fail_open", "failOpen"];
    let given = keys.iter().filter_map(|key| plugin.around.get(key));
    // Every value that is not known to fail closed counts as open: Envoy also accepts the numbers of enum values.
    let open = |node: &&Node| match &node.content {
        Content::Text(word) => !["FAIL_RELOAD", "FAIL_CLOSED", "FAIL_CLOSE"].contains(&word.as_str()),
        Content::Bool(open) => *open,
        _ => true,
    };
    given.into_iter().find(open).map(|node| Fault {
        message:
            "the filter fails open: requests could pass unchecked while it cannot run; write `FAIL_RELOAD`, or `failOpen: false`"
                .to_owned(),
        span: node.span.clone(),
    })
}

fn is_named(around: &Node) -> bool {
    let keys = ["name", "root_id", "rootId", "rootID", "pluginName", "url"];
    keys.iter().filter_map(|key| around.get(key)?.text()).any(|text| text.contains(NAME))
}

/// The policy, if it is in the configuration as a tree and not as text.
fn plain(configuration: &Node) -> Option<&Node> {
    match configuration.get("@type") {
        Some(_) => configuration.get("value").filter(|value| value.text().is_none()),
        None => Some(configuration),
    }
}

/// The policy in a configuration: a `Struct`, a `StringValue` with JSON, or the policy itself.
fn configured(configuration: &Node, text: &str) -> Result<Node, Fault> {
    let given = match configuration.get("@type") {
        Some(_) => configuration.get("value").ok_or_else(|| Fault {
            message: "the configuration has no `value`; the policy belongs there".to_owned(),
            span: head(configuration),
        })?,
        None => configuration,
    };
    match given.text() {
        Some(json) => text::read(json, given.span.clone(), text),
        None => Ok(given.clone()),
    }
}

/// The beginning of a value that may go on for pages.
fn head(node: &Node) -> std::ops::Range<usize> {
    match &node.content {
        Content::Object(pairs) => pairs.first().map_or_else(|| node.span.clone(), |(key, _)| key.span.clone()),
        Content::List(items) => items.first().map_or_else(|| node.span.clone(), head),
        _ => node.span.clone(),
    }
}
