//! The filter in an Envoy configuration: an entry of `http_filters`.

use super::args::Args;
use serde::Serialize;

#[derive(Serialize)]
struct Filter<'a, P> {
    name: &'a str,
    typed_config: Wasm<'a, P>,
}

/// `envoy.extensions.filters.http.wasm.v3.Wasm`
#[derive(Serialize)]
struct Wasm<'a, P> {
    #[serde(rename = "@type")]
    kind: &'static str,
    config: Plugin<'a, P>,
}

/// `envoy.extensions.wasm.v3.PluginConfig`
#[derive(Serialize)]
struct Plugin<'a, P> {
    name: &'a str,
    root_id: &'static str,
    failure_policy: &'static str,
    vm_config: Vm<'a>,
    configuration: Configuration<P>,
}

#[derive(Serialize)]
struct Vm<'a> {
    vm_id: &'static str,
    runtime: &'static str,
    code: Code<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    environment_variables: Option<Environment<'a>>,
}

#[derive(Serialize)]
struct Code<'a> {
    local: File<'a>,
}

#[derive(Serialize)]
struct File<'a> {
    filename: &'a str,
}

#[derive(Serialize)]
struct Environment<'a> {
    host_env_keys: &'a [&'a str],
}

/// A `google.protobuf.Struct` in a `google.protobuf.Any`.
#[derive(Serialize)]
struct Configuration<P> {
    #[serde(rename = "@type")]
    kind: &'static str,
    value: P,
}

pub(super) fn filter<'a, P: Serialize + 'a>(args: &'a Args, policy: P, secrets: &'a [&'a str]) -> impl Serialize + 'a {
    Filter {
        name: args.name(),
        typed_config: Wasm {
            kind: "type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm",
            config: Plugin {
                name: args.name(),
                root_id: "portcullis",
                // A crashed VM is restarted, and requests are refused until then. The default differs between versions of Envoy.
                failure_policy: "FAIL_RELOAD",
                vm_config: Vm {
                    vm_id: "portcullis",
                    runtime: "envoy.wasm.runtime.v8",
                    code: Code { local: File { filename: args.wasm() } },
                    environment_variables: (!secrets.is_empty()).then_some(Environment { host_env_keys: secrets }),
                },
                configuration: Configuration { kind: "type.googleapis.com/google.protobuf.Struct", value: policy },
            },
        },
    }
}
