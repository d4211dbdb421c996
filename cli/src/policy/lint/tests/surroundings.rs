//! What is noticed around the policy in a manifest.

use super::{found, loaded, warnings};
use crate::policy::load::Loaded;

/// A manager's settings with which nothing is noticed.
const CALM: &str = "delayed_close_timeout: 0.05s";
/// Clusters with which nothing is noticed.
const CLUSTERS: &str = "
    - {name: session, typed_extension_protocol_options: {o: {'@type': t/envoy.extensions.upstreams.http.v3.HttpProtocolOptions, explicit_http_config: {http2_protocol_options: {}}}}}
    - {name: id, transport_socket: {name: tls}}";
/// What the VM is given with which nothing is noticed.
const VM: &str = "environment_variables: {host_env_keys: [CREDENTIAL]}";

const POLICY: &str = "
    issuers: [{issuer: a, audiences: [a], algorithms: [ES256], keys: {jwks_url: 'https://a/jwks', cluster: id}}]
    session: {cluster: session, credential: {env: CREDENTIAL}}
    routes: [{name: a, match: {path: /}, authenticated: true}]";

/// A whole Envoy configuration around [`POLICY`].
fn envoy(manager: &str, before: &str, after: &str, vm: &str, clusters: &str) -> String {
    let policy = POLICY.replace("\n    ", "\n                  ");
    format!(
        "static_resources:
  clusters: {clusters}
listener:
  typed_config:
    {manager}
    http_filters:
      {before}
      - name: portcullis
        typed_config:
          '@type': x/envoy.extensions.filters.http.wasm.v3.Wasm
          config:
            name: portcullis
            vm_config:
              code: {{}}
              {vm}
            configuration:
              '@type': x/google.protobuf.Struct
              value:{policy}
      {after}
"
    )
}

/// What is noticed, as code and what it points at.
fn noticed(text: &str) -> Vec<String> {
    let codes = warnings(text).into_iter().map(|line| {
        let mut words = line.splitn(3, ' ');
        let (code, _path, pointed) = (words.next(), words.next(), words.next());
        format!("{} {}", code.unwrap_or_default(), pointed.unwrap_or_default())
    });
    codes.collect()
}

fn managed(manager: &str, before: &str, after: &str) -> Vec<String> {
    noticed(&envoy(manager, before, after, VM, CLUSTERS))
}

fn clustered(clusters: &str) -> Vec<String> {
    noticed(&envoy(CALM, "", "", VM, clusters))
}

const CORS: &str = "- {name: envoy.filters.http.cors}";
const GRPC_WEB: &str = "- {name: web, typed_config: {'@type': t/envoy.extensions.filters.http.grpc_web.v3.GrpcWeb}}";
const LUA: &str = "- {name: script, typedConfig: {'@type': t/envoy.extensions.filters.http.lua.v3.Lua}}";

#[test]
fn a_configuration_as_the_shipped_one_is_not_noticed() {
    assert_eq!(managed(CALM, CORS, "- {name: envoy.filters.http.router}"), [""; 0]);
    assert_eq!(managed("delayedCloseTimeout: 0.1s", GRPC_WEB, "- {name: envoy.filters.http.router}"), [""; 0]);
}

#[test]
fn cors_and_grpc_web_behind_the_filter_are_noticed() {
    assert_eq!(managed(CALM, "", CORS), ["filter_order envoy.filters.http.cors"]);
    assert_eq!(managed(CALM, CORS, GRPC_WEB), ["filter_order web"]);
}

#[test]
fn filters_behind_that_can_change_the_path_are_noticed() {
    assert_eq!(managed(CALM, LUA, ""), [""; 0]);
    assert_eq!(managed(CALM, "", LUA), ["path_changed_behind script"]);
    for name in ["ext_proc", "grpc_json_transcoder", "header_mutation"] {
        let filter = format!("- {{name: envoy.filters.http.{name}}}");
        assert_eq!(managed(CALM, "", &filter), [format!("path_changed_behind envoy.filters.http.{name}")]);
    }
}

#[test]
fn paths_that_change_before_the_filter_are_noticed() {
    let with = |setting: &str| managed(&format!("{CALM}\n    {setting}"), "", "");
    for setting in [
        "normalize_path: false",
        "merge_slashes: false",
        "path_with_escaped_slashes_action: KEEP_UNCHANGED",
        "pathWithEscapedSlashesAction: REJECT_REQUEST",
    ] {
        assert_eq!(with(setting), [""; 0], "{setting}");
    }
    assert_eq!(with("normalize_path: true"), ["path_normalized true"]);
    assert_eq!(with("normalizePath: {value: true}").len(), 1);
    assert_eq!(with("merge_slashes: true"), ["path_normalized true"]);
    let unescape = "path_with_escaped_slashes_action: UNESCAPE_AND_FORWARD";
    assert_eq!(with(unescape), ["path_normalized UNESCAPE_AND_FORWARD"]);
}

#[test]
fn a_late_close_is_noticed() {
    assert_eq!(managed("stat_prefix: edge", "", ""), ["delayed_close portcullis"]);
    assert_eq!(managed("delayed_close_timeout: 1s", "", ""), ["delayed_close 1s"]);
    assert_eq!(managed("delayed_close_timeout: 0s", "", ""), [""; 0]);
}

#[test]
fn clusters_that_are_not_in_the_file_are_noticed() {
    let id = "\n    - {name: id, transport_socket: {name: tls}}";
    assert_eq!(clustered(id), ["cluster_unknown session"]);
    assert_eq!(clustered("[]"), ["cluster_unknown session", "cluster_unknown id"]);
    // Where clusters are discovered, nobody knows.
    let discovered = envoy(CALM, "", "", VM, "[]") + "dynamic_resources: {cds_config: {ads: {}}}\n";
    assert_eq!(noticed(&discovered), [""; 0]);
    // A listener alone says nothing about clusters.
    let alone = envoy(CALM, "", "", VM, "[]").replace("static_resources:", "other:");
    assert_eq!(noticed(&alone), [""; 0]);
}

#[test]
fn https_keys_over_a_cluster_without_tls_are_noticed() {
    assert_eq!(clustered(&CLUSTERS.replace(", transport_socket: {name: tls}", "")), ["keys_without_tls id"]);
}

#[test]
fn a_session_cluster_of_http_1_is_noticed() {
    assert_eq!(
        clustered(&CLUSTERS.replace("http2_protocol_options", "http_protocol_options")),
        ["session_cluster_http1 session"]
    );
    let older = "\n    - {name: session, http2_protocol_options: {}}\n    - {name: id, transport_socket: {name: tls}}";
    assert_eq!(clustered(older), [""; 0]);
}

#[test]
fn a_circuit_breaker_that_made_up_tokens_can_use_up_is_noticed() {
    const SIGNED: &str = "algorithms: [ES256], keys: {jwks_url: 'https://a/jwks', cluster: id}";
    const OPAQUE: &str = "opaque: true";
    let of = |clusters: &str, tokens: &str, thresholds: &str| {
        let breakers = format!("name: session, circuit_breakers: {{thresholds: [{thresholds}]}},");
        let text = envoy(CALM, "", "", VM, &clusters.replace("name: session,", &breakers));
        let text = text.replace("cluster: session", "cluster: session, protocol: introspection, path: /i");
        noticed(&text.replace(SIGNED, tokens))
    };
    let with = |threshold: &str| of(CLUSTERS, OPAQUE, threshold);
    let low = ["circuit_breaker_low session"];
    assert_eq!(of(CLUSTERS, SIGNED, ""), [""; 0], "every token is verified first");
    assert_eq!(with(""), low, "Envoy's default");
    assert_eq!(with("{max_requests: 16384}"), low, "pending requests have a bound of their own");
    assert_eq!(with("{max_requests: 16383, max_pending_requests: 16384}"), low);
    assert_eq!(with("{max_requests: 16384, maxPendingRequests: 16384}"), [""; 0]);
    let high =
        "{priority: HIGH, max_requests: 1}, {priority: DEFAULT, max_requests: 20000, max_pending_requests: 20000}";
    assert_eq!(with(high), [""; 0]);
    // Over HTTP/1.1, each call has a connection.
    let http1 = CLUSTERS.replace("http2_protocol_options", "http_protocol_options");
    let with = |threshold: &str| of(&http1, OPAQUE, threshold);
    assert_eq!(with("{max_requests: 16384, max_pending_requests: 16384}"), low);
    assert_eq!(with("{max_connections: 16384, max_requests: 16384, max_pending_requests: 16384}"), [""; 0]);
}

#[test]
fn a_credential_that_no_vm_gets_is_noticed() {
    let with = |vm: &str| noticed(&envoy(CALM, "", "", vm, CLUSTERS));
    assert_eq!(with("vm_id: x"), ["credential_not_passed CREDENTIAL"]);
    assert_eq!(with("environment_variables: {host_env_keys: [OTHER]}"), ["credential_not_passed CREDENTIAL"]);
    assert_eq!(with("environmentVariables: {keyValues: {CREDENTIAL: x}}"), [""; 0]);
}

/// A manifest of Istio around the policy.
fn istio(clusters: [&str; 2], around: &str) -> Vec<String> {
    let policy = POLICY.replace("cluster: id", &format!("cluster: '{}'", clusters[1]));
    let policy = policy.replace("cluster: session", &format!("cluster: '{}'", clusters[0]));
    noticed(&format!("kind: WasmPlugin\nspec:\n  {around}\n  pluginName: portcullis\n  pluginConfig:{policy}\n"))
}

#[test]
fn clusters_and_credentials_of_istio_are_looked_at() {
    let env = "vmConfig: {env: [{name: CREDENTIAL, valueFrom: HOST}]}";
    let good = ["outbound|7070||session.example.svc.cluster.local", "outbound|443||id.example.com"];
    assert_eq!(istio(good, env), [""; 0]);
    assert_eq!(istio(good, "phase: AUTHZ"), ["credential_not_passed CREDENTIAL"]);
    assert_eq!(istio(["session", good[1]], env), ["istio_cluster_name 'session'"]);
    for wrong in ["outbound|443|id.example.com", "outbound|https||id.example.com", "outbound|443||"] {
        assert_eq!(istio([good[0], wrong], env), [format!("istio_cluster_name '{wrong}'")]);
    }
}

#[test]
fn an_extension_policy_of_envoy_gateway_passes_its_credential() {
    let policy = POLICY.replace("\n    ", "\n        ");
    let with = |env: &str| {
        noticed(&format!(
            "kind: EnvoyExtensionPolicy\nspec:\n  wasm:\n    - name: portcullis\n      {env}\n      config:{policy}\n"
        ))
    };
    assert_eq!(with("env: {hostKeys: [CREDENTIAL]}"), [""; 0]);
    assert_eq!(with("env: {hostKeys: []}"), ["credential_not_passed CREDENTIAL"]);
}

/// A dump of Envoy's configuration: the listener twice, and one that was rejected.
#[test]
fn a_dump_of_the_configuration_is_read_for_what_is_in_force() {
    let listener = |path: &str| {
        format!(
            "{{'@type': t/envoy.config.listener.v3.Listener, filters: [{{typed_config: {{{CALM}, http_filters: [{{name: portcullis, \
             typed_config: {{'@type': t/envoy.extensions.filters.http.wasm.v3.Wasm, config: {{name: portcullis, configuration: \
             {{'@type': t/google.protobuf.Struct, value: {{routes: [{{name: a, match: {{path: {path}}}, public: true}}], session: \
             {{cluster: sesion}}}}}}}}}}}}]}}}}]}}"
        )
    };
    let cluster = "{cluster: {'@type': t/envoy.config.cluster.v3.Cluster, name: session, http2_protocol_options: {}}}";
    let dump = format!(
        "configs:
- {{'@type': t/envoy.admin.v3.BootstrapConfigDump, bootstrap: {{static_resources: {{listeners: [{same}]}}}}}}
- {{'@type': t/envoy.admin.v3.ClustersConfigDump, dynamic_active_clusters: [{cluster}]}}
- {{'@type': t/envoy.admin.v3.ListenersConfigDump, static_listeners: [{{listener: {same}}}], dynamic_listeners: [{{error_state: {{failed_configuration: {other}}}}}]}}
",
        same = listener("/a"),
        other = listener("/b"),
    );
    assert_eq!(noticed(&dump), ["cluster_unknown sesion"]);
}

/// A manager with these filters, and what else it is given.
fn manager(filters: &str, rest: &str) -> String {
    format!("{{'@type': t/x.HttpConnectionManager, {rest}http_filters: [{filters}]}}")
}

/// The policy's filter itself, with a VM that is given nothing.
fn filter(realm: &str) -> String {
    format!(
        "{{name: portcullis, typed_config: {{'@type': t/envoy.extensions.filters.http.wasm.v3.Wasm, config: {{name: portcullis, \
         configuration: {{'@type': t/google.protobuf.Struct, value: {{realm: {realm}, routes: [{{name: a, match: {{path: /a}}, \
         public: true}}]}}}}}}}}}}"
    )
}

/// A dump with these listeners, these discovered extensions and these route tables.
fn dump(managers: &[String], extensions: &str, tables: &str) -> String {
    let listener = |manager: &String| {
        format!("{{active_state: {{listener: {{'@type': t/envoy.config.listener.v3.Listener, manager: {manager}}}}}}}")
    };
    let listeners: Vec<_> = managers.iter().map(listener).collect();
    format!(
        "configs:
- {{'@type': t/envoy.admin.v3.ListenersConfigDump, dynamic_listeners: [{}]}}
- {{'@type': t/envoy.admin.v3.RoutesConfigDump, dynamic_route_configs: [{tables}]}}
- {{'@type': t/envoy.admin.v3.EcdsConfigDump, ecds_filters: [{extensions}]}}
",
        listeners.join(", ")
    )
}

/// An extension of the dump.
fn extension(name: &str, filter: &str) -> String {
    let named = filter.replacen("name: portcullis", &format!("name: {name}"), 1);
    let typed = named.replacen('{', "{'@type': t/envoy.config.core.v3.TypedExtensionConfig, ", 1);
    format!("{{version_info: '1', ecds_filter: {typed}}}")
}

const CLOSED: &str = "delayed_close_timeout: 0.05s, ";
const LUA_FILTER: &str = "{name: envoy.filters.http.lua}";
const DISCOVERED: &str = "{name: default.portcullis, config_discovery: {config_source: {ads: {}}}}";

#[test]
fn a_discovered_policy_is_looked_at_where_it_is_used_and_nowhere_else() {
    let own = extension("default.portcullis", &filter("x"));
    let unrelated = manager(&format!("{{name: envoy.filters.http.cors}}, {LUA_FILTER}"), "normalize_path: true, ");
    let behind = format!("{DISCOVERED}, {LUA_FILTER}");
    let noticed = |managers: &[String]| noticed(&dump(managers, &own, ""));
    assert_eq!(noticed(std::slice::from_ref(&unrelated)), [""; 0]);
    assert_eq!(noticed(&[unrelated.clone(), manager(DISCOVERED, CLOSED), unrelated.clone()]), [""; 0]);
    assert_eq!(noticed(&[unrelated.clone(), manager(&behind, CLOSED)]), ["path_changed_behind envoy.filters.http.lua"]);
    assert_eq!(noticed(&[manager(DISCOVERED, ""), unrelated.clone()]), ["delayed_close default.portcullis"]);
    // The name alone is not the policy, nor is another extension's.
    let other = DISCOVERED.replace("default.portcullis", "other");
    assert_eq!(noticed(&[manager(&other, "")]), [""; 0]);
    assert_eq!(noticed(&[manager("{name: default.portcullis}", "")]), [""; 0]);
}

#[test]
fn every_listener_with_the_policy_is_looked_at_and_the_same_one_only_once() {
    let good = manager(&filter("x"), CLOSED);
    let late = manager(&filter("x"), "delayed_close_timeout: 3s, ");
    let normalized = manager(&filter("x"), &format!("{CLOSED}normalize_path: true, "));
    let found = |managers: &[String]| noticed(&dump(managers, "", ""));
    assert_eq!(found(&[good.clone(), late.clone(), good.clone(), late.clone()]), ["delayed_close 3s"]);
    assert_eq!(found(&[late, good, normalized]), ["delayed_close 3s", "path_normalized true"]);
}

#[test]
fn of_two_policies_the_chosen_one_is_looked_at() {
    let text = dump(&[manager(&filter("one"), ""), manager(&filter("two"), "normalize_path: true, ")], "", "");
    let noticed = |realm: &str| {
        let policy = format!("{{realm: {realm}, routes: [{{name: a, match: {{path: /a}}, public: true}}]}}");
        let digest = loaded(&policy).policy.digest;
        let loaded = Loaded::choose("dump.yaml", text.as_str(), Some(&digest)).expect("it is there");
        found(&loaded).iter().map(|(warning, _)| warning.code()).collect::<Vec<_>>()
    };
    assert_eq!(noticed("one"), ["delayed_close"]);
    assert_eq!(noticed("two"), ["path_normalized", "delayed_close"]);
}

#[test]
fn routes_that_rewrite_the_path_are_noticed() {
    let table = |action: &str| format!("{{virtual_hosts: [{{routes: [{{match: {{prefix: /}}, {action}}}]}}]}}");
    let inline = |action: &str| {
        noticed(&dump(&[manager(&filter("x"), &format!("{CLOSED}route_config: {}, ", table(action)))], "", ""))
    };
    assert_eq!(inline("route: {cluster: a}"), [""; 0]);
    assert_eq!(inline("redirect: {prefix_rewrite: /b}"), [""; 0]);
    assert_eq!(inline("route: {cluster: a, prefix_rewrite: /b}"), ["path_changed_behind /b"]);
    assert_eq!(inline("route: {cluster: a, prefixRewrite: /b}"), ["path_changed_behind /b"]);
    assert_eq!(
        inline("route: {regex_rewrite: {pattern: {regex: ^/a}, substitution: /b}}"),
        ["path_changed_behind ^/a"]
    );
    // A table that is discovered counts for the listeners that name it.
    let named = |name: &str| {
        let table = table("route: {prefix_rewrite: /b}");
        let typed =
            table.replacen('{', &format!("{{'@type': t/envoy.config.route.v3.RouteConfiguration, name: {name}, "), 1);
        let manager = manager(&filter("x"), &format!("{CLOSED}rds: {{route_config_name: edge}}, "));
        noticed(&dump(&[manager.clone(), manager], "", &format!("{{route_config: {typed}}}")))
    };
    assert_eq!(named("edge"), ["path_changed_behind /b"]);
    assert_eq!(named("other"), [""; 0]);
}
