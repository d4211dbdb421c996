//! The CRDs of Istio and Envoy Gateway accept the rendered manifests and the shipped ones.
//!
//! The CRDs are not part of the repository. If they are not in `../shared/crds`, these tests are skipped.

use crate::tool::{policies, portcullis, root, run, yaml};
use serde_json::{Map, Value, json};
use std::io::Write;

const CRDS: [&str; 3] = [
    "wasmplugins.extensions.istio.io.yaml",
    "trafficextensions.extensions.istio.io.yaml",
    "envoyextensionpolicies.gateway.envoyproxy.io.yaml",
];
const IMAGE: &str = "oci://registry.example.com/portcullis:0.1.0";

/// The part of a Kubernetes API server that validates resources of the CRDs' kinds.
pub(crate) struct ApiServer {
    kinds: Vec<(Value, jsonschema::Validator)>,
}

impl ApiServer {
    /// `None`, with a message, if there are no CRDs.
    pub(crate) fn new() -> Option<Self> {
        let dir = root().join("../shared/crds");
        if !dir.exists() {
            // Not with `eprintln!`, whose output is captured unless the test fails.
            let skipped =
                "» SKIPPED: the CRDs are not in ../shared/crds, so that no manifest can be checked against them\n";
            std::io::stderr().write_all(skipped.as_bytes()).expect("standard error can be written");
            return None;
        }
        let kinds = CRDS.iter().flat_map(|file| {
            let crd = yaml(&dir.join(file));
            let versions = crd["spec"]["versions"].as_array().expect("versions").clone();
            versions.into_iter().map(move |version| {
                let id = json!({
                    "apiVersion": format!("{}/{}", text(&crd["spec"]["group"]), text(&version["name"])),
                    "kind": crd["spec"]["names"]["kind"],
                });
                let schema = schema(version["schema"]["openAPIV3Schema"].clone());
                (id, jsonschema::validator_for(&schema).expect("a schema"))
            })
        });
        Some(Self { kinds: kinds.collect() })
    }

    /// All errors in a manifest.
    pub(crate) fn faults(&self, manifest: &Value) -> Vec<String> {
        let is_of = |id: &Value| ["apiVersion", "kind"].iter().all(|key| id[key] == manifest[key]);
        let Some((_, validator)) = self.kinds.iter().find(|(id, _)| is_of(id)) else {
            return vec![format!("no such kind: {} {}", manifest["apiVersion"], manifest["kind"])];
        };
        let faults = validator.iter_errors(manifest).map(|fault| format!("{}: {fault}", fault.instance_path()));
        faults.chain(rules_broken(manifest)).collect()
    }
}

pub(crate) fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// A CRD's schema as a JSON Schema that refuses what the API server would silently drop.
fn schema(crd: Value) -> Value {
    let mut schema = closed(crd);
    let properties = schema["properties"].as_object_mut().expect("properties");
    for (name, of) in [
        ("apiVersion", json!({"type": "string"})),
        ("kind", json!({"type": "string"})),
        (
            "metadata",
            json!({
                "type": "object",
                "required": ["name"],
                "additionalProperties": false,
                "properties": {"name": {"type": "string"}, "namespace": {"type": "string"}},
            }),
        ),
    ] {
        properties.insert(name.to_owned(), of);
    }
    schema["required"] = json!(["apiVersion", "kind", "metadata", "spec"]);
    schema
}

fn closed(schema: Value) -> Value {
    match schema {
        Value::Object(members) => {
            let is_open = members.get("x-kubernetes-preserve-unknown-fields") == Some(&json!(true));
            let is_object = members.get("properties").is_some_and(Value::is_object);
            let is_nullable = members.get("nullable") == Some(&json!(true));
            let mut members: Map<_, _> = members.into_iter().map(|(key, value)| (key, closed(value))).collect();
            if is_object && !is_open && !members.contains_key("additionalProperties") {
                members.insert("additionalProperties".to_owned(), json!(false));
            }
            if let (true, Some(kind)) = (is_nullable, members.get("type").cloned()) {
                members.insert("type".to_owned(), json!([kind, "null"]));
            }
            Value::Object(members)
        }
        Value::Array(items) => Value::Array(items.into_iter().map(closed).collect()),
        other => other,
    }
}

/// The CRDs' CEL rules that apply to rendered manifests, written by hand.
fn rules_broken(manifest: &Value) -> Vec<String> {
    let spec = &manifest["spec"];
    let has = |key: &str| !spec[key].is_null();
    let refs: Vec<&Value> = spec["targetRefs"].as_array().into_iter().flatten().collect();
    let mut rules = vec![];
    if manifest["kind"] == "EnvoyExtensionPolicy" {
        let kinds = ["Gateway", "ListenerSet", "HTTPRoute", "GRPCRoute", "UDPRoute", "TCPRoute", "TLSRoute"];
        rules.push(("either targetRef or targetRefs must be used", has("targetRef") != has("targetRefs")));
        rules.push(("targetRefs of the Gateway API", refs.iter().all(|of| of["group"] == "gateway.networking.k8s.io")));
        rules.push(("targetRefs of known kinds", refs.iter().all(|of| kinds.contains(&text(&of["kind"])))));
        for wasm in spec["wasm"].as_array().into_iter().flatten() {
            let code = &wasm["code"];
            rules.push(("image for Image", (code["type"] == "Image") == code["image"].is_object()));
            rules.push(("http for HTTP", (code["type"] == "HTTP") == code["http"].is_object()));
            rules.push(("never fails open", wasm["failOpen"] == false));
        }
    } else {
        let module = if manifest["kind"] == "WasmPlugin" { spec } else { &spec["wasm"] };
        let places = ["selector", "targetRef", "targetRefs"].iter().filter(|key| has(key)).count();
        rules.push(("only one of targetRefs or selector", places <= 1));
        rules.push(("exactly one of wasm or lua", manifest["kind"] == "WasmPlugin" || has("wasm") != has("lua")));
        let labels = spec["selector"]["matchLabels"].as_object().into_iter().flatten();
        let is_label =
            |(key, value): (&String, &Value)| !key.is_empty() && !key.contains('*') && !text(value).contains('*');
        rules.push(("no wildcard in a label", labels.into_iter().all(is_label)));
        let schemes = ["oci", "http", "https", "file"];
        let scheme = text(&module["url"]).split_once("://").map_or("", |(scheme, _)| scheme);
        rules.push(("a known scheme", schemes.contains(&scheme)));
        let env: Vec<_> = module["vmConfig"]["env"].as_array().into_iter().flatten().collect();
        rules.push(("no value from HOST", env.iter().all(|of| of["valueFrom"] == "HOST" && of["value"].is_null())));
        rules.push(("never fails open", module["failStrategy"] == "FAIL_RELOAD"));
    }
    rules.into_iter().filter(|(_, holds)| !holds).map(|(rule, _)| rule.to_owned()).collect()
}

fn policy_of(manifest: &Value) -> &Value {
    let places = ["/spec/pluginConfig", "/spec/wasm/pluginConfig", "/spec/wasm/0/config"];
    places.iter().find_map(|place| manifest.pointer(place)).expect("a policy")
}

#[test]
fn every_kind_that_is_rendered_is_accepted_with_every_policy() {
    let Some(server) = ApiServer::new() else { return };
    let dir = tempfile::tempdir().expect("a temporary directory");
    for policy in policies(dir.path()) {
        for options in [
            "istio",
            "istio --selector app=orders --selector app.kubernetes.io/part-of=shop --namespace orders --name gate.orders",
            "istio --selector istio=ingressgateway --proxy gateway",
            "istio --target-ref Gateway/orders --target-ref Service/orders",
            "istio-traffic-extension --selector app=orders",
            "istio-traffic-extension --target-ref Gateway/orders --namespace orders",
            "envoy-gateway --target-ref HTTPRoute/orders --namespace orders",
            "envoy-gateway --target-ref Gateway/orders --target-ref GRPCRoute/orders",
        ] {
            for url in [IMAGE, "https://modules.example.com/portcullis.wasm"] {
                let mut command = portcullis();
                command.args(["policy", "render"]).arg(&policy).arg("--as").args(options.split(' '));
                let text = run(command.args(["--url", url]));
                let manifest: Value = serde_saphyr::from_str(&text).expect("YAML");
                let faults = server.faults(&manifest);
                assert!(faults.is_empty(), "{} --as {options}: {faults:#?}\n{text}", policy.display());
                assert_eq!(*policy_of(&manifest), yaml(&policy), "{} --as {options}", policy.display());
            }
        }
    }
}

const SHIPPED: [&str; 3] =
    ["istio-wasmplugin.yaml", "istio-trafficextension.yaml", "gateway-envoyextensionpolicy.yaml"];

#[test]
fn every_manifest_that_is_shipped_is_accepted() {
    let Some(server) = ApiServer::new() else { return };
    for name in SHIPPED {
        let faults = server.faults(&yaml(&root().join("envoy").join(name)));
        assert!(faults.is_empty(), "{name}: {faults:#?}");
    }
}

#[test]
fn a_shipped_manifest_is_what_would_be_rendered_of_its_policy() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    for (name, options) in [
        ("istio-wasmplugin.yaml", "istio --selector app=orders"),
        ("istio-trafficextension.yaml", "istio-traffic-extension --target-ref Gateway/orders"),
        ("gateway-envoyextensionpolicy.yaml", "envoy-gateway --target-ref HTTPRoute/orders"),
    ] {
        let shipped = yaml(&root().join("envoy").join(name));
        let policy = dir.path().join("policy.json");
        std::fs::write(&policy, policy_of(&shipped).to_string()).expect("a temporary file can be written");
        let mut command = portcullis();
        command.args(["policy", "render"]).arg(&policy).arg("--as").args(options.split(' '));
        let text = run(command.args(["--namespace", "orders", "--url", IMAGE]));
        let rendered: Value = serde_saphyr::from_str(&text).expect("YAML");
        assert_eq!(rendered, shipped, "{name}");
    }
}

#[test]
fn what_an_api_server_would_drop_or_refuse_is_found() {
    let Some(server) = ApiServer::new() else { return };
    let set = |manifest: &mut Value, place: &str, value: Value| {
        let (parent, key) = place.rsplit_once('/').expect("a place");
        manifest.pointer_mut(parent).expect("a parent")[key] = value;
    };
    for (name, place, value) in [
        (SHIPPED[0], "/spec/failStrateg", json!("FAIL_RELOAD")),
        (SHIPPED[0], "/spec/failStrategy", json!("FAIL_OPEN")),
        (SHIPPED[0], "/spec/phase", json!("AUTHORIZE")),
        (SHIPPED[0], "/spec/url", json!(1)),
        (SHIPPED[0], "/spec/vmConfig/env/0/value", json!("secret")),
        (SHIPPED[0], "/spec/targetRefs", json!([{"kind": "Gateway", "name": "a"}])),
        (SHIPPED[0], "/metadata/namespcae", json!("x")),
        (SHIPPED[1], "/spec/wasm/pluginconfig", json!({})),
        (SHIPPED[1], "/spec/lua", json!({"inlineCode": "x"})),
        (SHIPPED[1], "/apiVersion", json!("extensions.istio.io/v1")),
        (SHIPPED[2], "/spec/wasm/0/failOpen", json!(true)),
        (SHIPPED[2], "/spec/wasm/0/code/type", json!("HTTP")),
        (SHIPPED[2], "/spec/targetRefs/0/kind", json!("Service")),
        (SHIPPED[2], "/spec/wasm/0/rootId", json!("x")),
    ] {
        let mut manifest = yaml(&root().join("envoy").join(name));
        set(&mut manifest, place, value);
        assert!(!server.faults(&manifest).is_empty(), "{name}: {place}");
    }
}
