//! The filter in Envoy Gateway: `EnvoyExtensionPolicy`.

use super::{
    args::Args,
    object::Object,
    place::{ModuleUrl, TargetRef, only},
};
use crate::error::Error;
use serde::Serialize;

/// The kinds that Envoy Gateway attaches HTTP extensions to.
const TARGETS: [&str; 4] = ["Gateway", "ListenerSet", "HTTPRoute", "GRPCRoute"];

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ExtensionPolicy<'a, P> {
    target_refs: &'a [TargetRef],
    wasm: [Wasm<'a, P>; 1],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Wasm<'a, P> {
    name: &'static str,
    #[serde(rename = "rootID")]
    root_id: &'static str,
    fail_open: bool,
    code: Code<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    env: Option<Environment<'a>>,
    config: P,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Code<'a> {
    r#type: &'static str,
    pull_policy: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    image: Option<Source<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    http: Option<Source<'a>>,
}

#[derive(Serialize)]
struct Source<'a> {
    url: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Environment<'a> {
    host_keys: &'a [&'a str],
}

pub(super) fn extension_policy<'a, P: Serialize + 'a>(
    args: &'a Args,
    policy: P,
    secrets: &'a [&'a str],
) -> Result<impl Serialize + 'a, Error> {
    only(&args.targets, &TARGETS, "Envoy Gateway")?;
    if args.targets.is_empty() {
        let fault = "`--as envoy-gateway` requires `--target-ref`, the target to attach to, such as `HTTPRoute/orders`";
        return Err(Error::invalid(fault));
    }
    let wasm = Wasm {
        name: "portcullis",
        root_id: "portcullis",
        fail_open: false,
        code: code(args.url()?)?,
        env: (!secrets.is_empty()).then_some(Environment { host_keys: secrets }),
        config: policy,
    };
    let spec = ExtensionPolicy { target_refs: &args.targets, wasm: [wasm] };
    Ok(Object::new("gateway.envoyproxy.io/v1alpha1", "EnvoyExtensionPolicy", args, spec))
}

fn code(url: &ModuleUrl) -> Result<Code<'_>, Error> {
    let (r#type, image, http) = match url {
        ModuleUrl::Image(url) => ("Image", Some(Source { url }), None),
        ModuleUrl::Http(url) => ("HTTP", None, Some(Source { url })),
        ModuleUrl::File(_) => {
            let fault = "Envoy Gateway cannot load a module from a file; use an OCI image or an HTTP URL as `--url`";
            return Err(Error::invalid(fault));
        }
    };
    Ok(Code { r#type, pull_policy: "IfNotPresent", image, http })
}
