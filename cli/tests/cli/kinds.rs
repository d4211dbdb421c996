//! What keeps Kubernetes and the controllers from accepting objects: the schemas of Kubernetes' own kinds, the CRDs, and the
//! models of other controllers.

use crate::{
    kubernetes::{ApiServer, text},
    tool::root,
};
use serde_json::{Value, json};
use std::{
    fs,
    io::Write,
    process::{Command, Stdio},
};

/// The schemas of Kubernetes' own kinds. They refuse unknown keys.
pub(crate) fn kubernetes() -> Value {
    let path = root().join("dist/tools/kubernetes.json");
    let schemas = fs::read_to_string(path).expect("the schemas are missing: run `make test-faults`");
    serde_json::from_str(&schemas).expect("JSON")
}

fn schema_of<'a>(schemas: &'a Value, object: &Value) -> Option<&'a str> {
    let (group, version) = text(&object["apiVersion"]).rsplit_once('/').unwrap_or(("", text(&object["apiVersion"])));
    let id = json!([{"group": group, "kind": object["kind"], "version": version}]);
    let kinds = schemas["$defs"].as_object().expect("definitions");
    kinds.iter().find(|(_, schema)| schema["x-kubernetes-group-version-kind"] == id).map(|(name, _)| &**name)
}

/// What keeps Kubernetes and the controllers from accepting the objects.
pub(crate) fn faults(schemas: &Value, objects: &[Value]) -> Vec<String> {
    let (mut faults, mut others) = (Vec::new(), Vec::new());
    for object in objects {
        if let Some(name) = schema_of(schemas, object) {
            let mut schema = schemas.clone();
            schema["$ref"] = json!(format!("#/$defs/{name}"));
            let validator = jsonschema::validator_for(&schema).expect("a schema");
            let found = validator.iter_errors(object);
            faults.extend(found.map(|fault| format!("{} {}: {fault}", object["kind"], fault.instance_path())));
        } else if ["WasmPlugin", "TrafficExtension", "EnvoyExtensionPolicy"].contains(&text(&object["kind"])) {
            faults.extend(ApiServer::new().map(|server| server.faults(object)).unwrap_or_default());
        } else {
            others.push(object);
        }
    }
    faults.extend(modelled(&others));
    faults
}

/// What Node's models of the other kinds refuse. They accept unknown keys.
fn modelled(objects: &[&Value]) -> Vec<String> {
    if objects.is_empty() {
        return Vec::new();
    }
    let mut node = Command::new("node");
    node.arg(root().join("deploy/tools/validate.mjs")).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut node = node.spawn().expect("Node runs");
    let mut input = node.stdin.take().expect("a pipe");
    input.write_all(json!(objects).to_string().as_bytes()).expect("it reads");
    drop(input);
    let output = node.wait_with_output().expect("it ends");
    assert!(output.status.success(), "validate.mjs failed");
    String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect()
}
