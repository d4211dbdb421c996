//! Finds the wasm filters of a document, and the policies that configure them.

use super::text;
use crate::document::{Content, Fault, Node};
use portcullis_engine::policy::Policy;

/// The type of an HTTP wasm filter's configuration in Envoy.
const WASM_TYPE: &str = "envoy.extensions.filters.http.wasm.v3.Wasm";
/// Top-level keys that only a policy has.
const POLICY_KEYS: [&str; 4] = ["routes", "issuers", "scopes", "sets"];
/// What the filter is recognized by among others.
pub(super) const NAME: &str = "portcullis";

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
pub(in crate::policy) struct Plugin<'n> {
    pub(in crate::policy) holder: Holder,
    /// The part that names the filter.
    pub(in crate::policy) around: &'n Node,
    pub(super) configuration: &'n Node,
}

/// Every policy of a document, in the configurations of wasm filters: what a running proxy has may repeat it for each
/// listener and filter chain.
pub(in crate::policy) fn policies(text: &str, root: &Node) -> Vec<Result<Node, Fault>> {
    let ours = plugins(root).into_iter().filter(|plugin| plugin.is_named() || plugin.looks_like_ours());
    ours.map(|plugin| fails_open(&plugin).map_or_else(|| plugin.policy(text), Err)).collect()
}

pub(super) fn looks_like_policy(node: &Node) -> bool {
    POLICY_KEYS.iter().any(|key| node.get(key).is_some())
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

impl Plugin<'_> {
    /// Its policy.
    pub(super) fn policy(&self, text: &str) -> Result<Node, Fault> {
        configured(self.configuration, text)
    }

    /// Whether its policy is the one with this digest.
    pub(super) fn has(&self, digest: &str, text: &str) -> bool {
        self.policy(text).is_ok_and(|policy| digest_of(&policy) == digest)
    }

    pub(super) fn is_named(&self) -> bool {
        let keys = ["name", "root_id", "rootId", "rootID", "pluginName", "url"];
        keys.iter().filter_map(|key| self.around.get(key)?.text()).any(|text| text.contains(NAME))
    }

    pub(super) fn looks_like_ours(&self) -> bool {
        plain(self.configuration).is_some_and(looks_like_policy)
    }
}

/// The digest of a policy, valid or not.
pub(super) fn digest_of(policy: &Node) -> String {
    // A tree is JSON.
    Policy::digest_of(policy.to_json().as_bytes()).unwrap_or_default()
}

/// The setting that lets requests pass while the filter cannot run (Envoy, Istio, Envoy Gateway).
pub(super) fn fails_open(plugin: &Plugin<'_>) -> Option<Fault> {
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
pub(super) fn head(node: &Node) -> std::ops::Range<usize> {
    match &node.content {
        Content::Object(pairs) => pairs.first().map_or_else(|| node.span.clone(), |(key, _)| key.span.clone()),
        Content::List(items) => items.first().map_or_else(|| node.span.clone(), head),
        _ => node.span.clone(),
    }
}
