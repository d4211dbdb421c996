//! The filter in Istio: `WasmPlugin`, and `TrafficExtension`, which follows it.

use super::{
    Args, Proxy,
    object::Object,
    place::{Label, ModuleUrl, TargetRef, only},
};
use crate::exit::Trouble;
use serde::{Serialize, Serializer};
use std::collections::BTreeMap;

const API_VERSION: &str = "extensions.istio.io/v1alpha1";
/// What Istio attaches extensions to; a Gateway, or what a waypoint serves.
const TARGETS: [&str; 4] = ["Gateway", "GatewayClass", "Service", "ServiceEntry"];
/// The most targets that the CRDs take.
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

/// Whose traffic it is for.
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
) -> Result<impl Serialize + 'a, Trouble> {
    let spec = WasmPlugin { place: place(args)?, phase: "AUTHZ", module: module(args, policy, secrets)? };
    Ok(Object::new(API_VERSION, "WasmPlugin", args, spec))
}

pub(super) fn traffic_extension<'a, P: Serialize + 'a>(
    args: &'a Args,
    policy: P,
    secrets: &'a [&'a str],
) -> Result<impl Serialize + 'a, Trouble> {
    let spec = TrafficExtension { place: place(args)?, phase: "AUTHZ", wasm: module(args, policy, secrets)? };
    Ok(Object::new(API_VERSION, "TrafficExtension", args, spec))
}

fn place(args: &Args) -> Result<Place<'_>, Trouble> {
    only(&args.targets, &TARGETS, "Istio")?;
    if args.targets.len() > TARGETS_MAX {
        return Err(Trouble::faulty(format_args!("Istio takes at most {TARGETS_MAX} targets")));
    }
    let selector = (!args.selector.is_empty()).then(|| Selector { match_labels: labels(&args.selector) });
    Ok(Place { selector, target_refs: &args.targets, r#match: traffic(args) })
}

fn labels(given: &[Label]) -> BTreeMap<&str, &str> {
    given.iter().map(|label| (&*label.key, &*label.value)).collect()
}

/// A sidecar would check the requests that its application sends, too, if nothing were said. Istio counts a gateway's
/// traffic as a client's: one that is selected for `SERVER` would silently go without the filter. What is attached to a
/// target has no direction.
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

fn module<'a, P>(args: &'a Args, policy: P, secrets: &'a [&'a str]) -> Result<Module<'a, P>, Trouble> {
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
