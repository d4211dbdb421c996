//! The filter in Istio: `WasmPlugin`, and its successor `TrafficExtension`.

use super::{
    args::{Args, Proxy},
    object::Object,
    place::{Label, ModuleUrl, TargetRef, only},
};
use crate::error::Error;
use serde::{Serialize, Serializer};
use std::collections::BTreeMap;

const API_VERSION: &str = "extensions.istio.io/v1alpha1";
/// The kinds that Istio attaches extensions to: gateways, and what waypoints serve.
const TARGETS: [&str; 4] = ["Gateway", "GatewayClass", "Service", "ServiceEntry"];
/// The most targets that the CRDs allow.
const TARGETS_MAX: usize = 16;

#[derive(Serialize)]
struct WasmPlugin<'a, P> {
    #[serde(flatten)]
    place: Place<'a>,
    phase: &'static str,
    #[serde(flatten)]
    module: Module<'a, P>,
}

#[derive(Serialize)]
struct TrafficExtension<'a, P> {
    #[serde(flatten)]
    place: Place<'a>,
    phase: &'static str,
    wasm: Module<'a, P>,
}

/// The traffic that the filter sees.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Place<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    selector: Option<Selector<'a>>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    target_refs: &'a [TargetRef],
    #[serde(skip_serializing_if = "Option::is_none")]
    r#match: Option<[Match; 1]>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Selector<'a> {
    match_labels: BTreeMap<&'a str, &'a str>,
}

#[derive(Serialize)]
struct Match {
    mode: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Module<'a, P> {
    #[serde(serialize_with = "url")]
    url: &'a ModuleUrl,
    #[serde(skip_serializing_if = "Option::is_none")]
    image_pull_policy: Option<&'static str>,
    fail_strategy: &'static str,
    plugin_name: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    vm_config: Option<Vm<'a>>,
    plugin_config: P,
}

#[derive(Serialize)]
struct Vm<'a> {
    env: Vec<Variable<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Variable<'a> {
    name: &'a str,
    value_from: &'static str,
}

pub(super) fn wasm_plugin<'a, P: Serialize + 'a>(
    args: &'a Args,
    policy: P,
    secrets: &'a [&'a str],
) -> Result<impl Serialize + 'a, Error> {
    let spec = WasmPlugin { place: place(args)?, phase: "AUTHZ", module: module(args, policy, secrets)? };
    Ok(Object::new(API_VERSION, "WasmPlugin", args, spec))
}

pub(super) fn traffic_extension<'a, P: Serialize + 'a>(
    args: &'a Args,
    policy: P,
    secrets: &'a [&'a str],
) -> Result<impl Serialize + 'a, Error> {
    let spec = TrafficExtension { place: place(args)?, phase: "AUTHZ", wasm: module(args, policy, secrets)? };
    Ok(Object::new(API_VERSION, "TrafficExtension", args, spec))
}

fn place(args: &Args) -> Result<Place<'_>, Error> {
    only(&args.targets, &TARGETS, "Istio")?;
    if args.targets.len() > TARGETS_MAX {
        return Err(Error::invalid(format_args!("Istio allows at most {TARGETS_MAX} targets")));
    }
    let selector = (!args.selector.is_empty()).then(|| Selector { match_labels: labels(&args.selector) });
    Ok(Place { selector, target_refs: &args.targets, r#match: traffic(args) })
}

fn labels(given: &[Label]) -> BTreeMap<&str, &str> {
    given.iter().map(|label| (&*label.key, &*label.value)).collect()
}

/// Without a mode, a sidecar would also check the requests that its application sends. Istio treats the traffic of a gateway as
/// client traffic, so a gateway with `SERVER` would silently run without the filter. A target has no direction.
fn traffic(args: &Args) -> Option<[Match; 1]> {
    if !args.targets.is_empty() {
        return None;
    }
    let mode = match args.proxy.unwrap_or_default() {
        Proxy::Sidecar => "SERVER",
        Proxy::Gateway => "CLIENT",
    };
    Some([Match { mode }])
}

fn module<'a, P>(args: &'a Args, policy: P, secrets: &'a [&'a str]) -> Result<Module<'a, P>, Error> {
    let url = args.url()?;
    let env = || secrets.iter().map(|name| Variable { name, value_from: "HOST" }).collect();
    Ok(Module {
        url,
        image_pull_policy: (!matches!(url, ModuleUrl::File(_))).then_some("IfNotPresent"),
        // Never FAIL_OPEN.
        fail_strategy: "FAIL_RELOAD",
        plugin_name: "portcullis",
        vm_config: (!secrets.is_empty()).then(|| Vm { env: env() }),
        plugin_config: policy,
    })
}

fn url<S: Serializer>(url: &ModuleUrl, to: S) -> Result<S::Ok, S::Error> {
    match url {
        ModuleUrl::Image(image) => to.collect_str(&format_args!("oci://{image}")),
        ModuleUrl::Http(url) | ModuleUrl::File(url) => to.serialize_str(url),
    }
}
