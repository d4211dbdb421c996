//! Checks of Envoy's connection manager around the filter: what happens to a request before and behind it.

use super::{linter::Linter, warning::Warning};
use crate::{
    document::{Content, Node},
    policy::manifest::{Manager, field, has_type, nodes},
};
use std::time::Duration;

/// A filter of Envoy's own, known by its name or by its type.
struct Known {
    name: &'static str,
    kind: &'static str,
}

const CORS: Known = Known { name: "cors", kind: "cors.v3.Cors" };
const GRPC_WEB: Known = Known { name: "grpc_web", kind: "grpc_web.v3.GrpcWeb" };

/// Filters that can change a request's path.
const CHANGE_PATHS: [Known; 8] = [
    Known { name: "lua", kind: "lua.v3.Lua" },
    Known { name: "ext_proc", kind: "ext_proc.v3.ExternalProcessor" },
    Known { name: "wasm", kind: "wasm.v3.Wasm" },
    Known { name: "golang", kind: "golang.v3alpha.Config" },
    Known { name: "dynamic_modules", kind: "dynamic_modules.v3.DynamicModuleFilter" },
    Known { name: "header_mutation", kind: "header_mutation.v3.HeaderMutation" },
    Known { name: "grpc_json_transcoder", kind: "grpc_json_transcoder.v3.GrpcJsonTranscoder" },
    Known { name: "grpc_http1_reverse_bridge", kind: "grpc_http1_reverse_bridge.v3.FilterConfig" },
];

/// How long Envoy waits for the client by default, before it closes the connection of a stream that was cut (HTTP/1.1).
const DELAYED_CLOSE_DEFAULT: Duration = Duration::from_secs(1);
/// Open streams are promised to be cut within this time.
const DELAYED_CLOSE_MAX: Duration = Duration::from_millis(100);

impl Linter<'_> {
    pub(super) fn envoy(&mut self, manager: &Manager<'_>) {
        self.filters_behind(manager.behind);
        self.paths_before(manager.config);
        self.delayed_close(manager);
    }

    fn filters_behind(&mut self, behind: &[Node]) {
        for filter in behind {
            let place = filter.get("name").unwrap_or(filter);
            for (outer, why) in [
                (CORS, "refusals lack its headers, so a browser hides them from the page"),
                (GRPC_WEB, "it never sees refusals, so they reach gRPC-Web callers untranslated"),
            ] {
                if outer.is(filter) {
                    let message = format!("`{}` is behind the filter: {why}", outer.name);
                    let help = format!("move `{}` in front of the filter", outer.name);
                    self.warn_around(Warning::FilterOrder, place, message, help);
                }
            }
            if let Some(known) = CHANGE_PATHS.iter().find(|known| known.is(filter)) {
                let message = format!(
                    "`{}` is behind the filter and can change the path: the upstream may get a different path from the one that was decided about",
                    known.name
                );
                let help =
                    "make sure that it leaves `:path` as it is, or clears the route cache and is trusted to decide";
                self.warn_around(Warning::PathChangedBehind, place, message, help);
            }
        }
    }

    /// Routes that rewrite the path before the upstream gets it. Redirects do not: their client asks again.
    pub(super) fn rewrites(&mut self, table: &Node) {
        for route in nodes(table).filter_map(|node| node.get("route")) {
            for name in ["prefix_rewrite", "regex_rewrite", "path_rewrite_policy", "path_rewrite"] {
                let Some(value) = field(route, name) else { continue };
                let place = nodes(value).find(|part| part.text().is_some()).unwrap_or(value);
                let message = format!(
                    "`{name}` of Envoy's routes changes the path behind the filter: the upstream may get another one than was decided about"
                );
                let help = "let the upstream serve the path that clients send, and write the policy's paths as the filter sees them";
                self.warn_around(Warning::PathChangedBehind, place, message, help);
            }
        }
    }

    fn paths_before(&mut self, manager: &Node) {
        for (name, keeps) in [
            ("normalize_path", "false"),
            ("merge_slashes", "false"),
            ("path_with_escaped_slashes_action", "KEEP_UNCHANGED"),
        ] {
            let Some(value) = field(manager, name) else { continue };
            let is_kept = match &value.content {
                Content::Bool(changes) => !changes,
                // These actions reject or keep; the others change the path.
                Content::Text(action) => {
                    ["KEEP_UNCHANGED", "REJECT_REQUEST", "IMPLEMENTATION_SPECIFIC_DEFAULT"].contains(&action.as_str())
                }
                _ => false,
            };
            if !is_kept {
                let message = format!(
                    "`{name}` changes paths before the filter sees them: it resolves ambiguous paths, which the filter would refuse"
                );
                self.warn_around(Warning::PathNormalized, value, message, format!("write `{keeps}`"));
            }
        }
    }

    fn delayed_close(&mut self, manager: &Manager<'_>) {
        let given = field(manager.config, "delayed_close_timeout");
        let timeout = match given {
            Some(value) => value.text().and_then(seconds),
            None => Some(DELAYED_CLOSE_DEFAULT),
        };
        if timeout.is_some_and(|timeout| timeout > DELAYED_CLOSE_MAX) {
            let place = given.or_else(|| manager.own.get("name")).unwrap_or(manager.own);
            let message = format!(
                "a stream over HTTP/1.1 that was cut (a websocket, for example) stays open to its client for {}",
                given.and_then(Node::text).unwrap_or("one second, Envoy's default")
            );
            let help = "write `delayed_close_timeout: 0.05s` in the connection manager";
            self.warn_around(Warning::DelayedClose, place, message, help);
        }
    }
}

impl Known {
    fn is(&self, filter: &Node) -> bool {
        let name = filter.get("name").and_then(Node::text).and_then(|name| name.strip_prefix("envoy.filters.http."));
        let kind = format!("envoy.extensions.filters.http.{}", self.kind);
        name == Some(self.name) || field(filter, "typed_config").is_some_and(|config| has_type(config, &kind))
    }
}

/// A duration as protobuf's JSON writes it: `0.05s`.
fn seconds(text: &str) -> Option<Duration> {
    Duration::try_from_secs_f64(text.strip_suffix('s')?.parse().ok()?).ok()
}
