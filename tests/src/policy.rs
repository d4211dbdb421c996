//! Policies: the shipped one, those of the examples, and parts for others.

use crate::paths;
use serde_json::{Value, json};
use std::path::PathBuf;

/// The place of the filter's policy in `envoy/envoy.yaml`.
pub(crate) const PLACE: &str = "/static_resources/listeners/0/filter_chains/0/filters/0/typed_config\
    /http_filters/0/typed_config/config/configuration/value";

/// The header in which the edge of the examples states the country of a client.
pub(crate) const PLACE_HEADER: &str = "x-geo-country";

/// The policy of `envoy/envoy.yaml`, as it is.
pub fn shipped() -> Value {
    let bootstrap = paths::shipped_file("envoy.yaml");
    let policy = bootstrap.pointer(PLACE).cloned();
    policy.expect("the bootstrap holds a policy")
}

/// The policy of an example, with a timeout that a busy machine can meet.
pub fn example(name: &str) -> Value {
    let mut policy = paths::yaml(&example_file(name, "policy.yaml"));
    policy["session"]["timeout"] = json!("5s");
    policy
}

/// A file of an example.
pub fn example_file(name: &str, file: &str) -> PathBuf {
    paths::root().join("examples").join(name).join(file)
}

/// The names of all examples.
pub fn examples() -> Vec<String> {
    let folders = std::fs::read_dir(paths::root().join("examples")).expect("there are examples");
    let names = folders.map(|folder| folder.expect("a folder").file_name().into_string().expect("a plain name"));
    // The one about the session service alone has no policy.
    let mut names: Vec<_> = names.filter(|name| name != "replicas").collect();
    names.sort();
    names
}

/// The shipped policy with a timeout that a busy machine can meet.
pub fn patient() -> Value {
    let mut policy = shipped();
    policy["session"]["timeout"] = json!("5s");
    policy
}

/// A policy whose workers decide by leases.
pub fn leased(mut policy: Value, lease: &str) -> Value {
    policy["session"]["freshness"] = json!({"lease": lease});
    policy
}

/// The patient policy with other routes. Every scope that they name must be registered in the shipped policy.
pub fn with_routes(routes: Value) -> Value {
    let mut policy = patient();
    policy["routes"] = routes;
    policy
}

/// The patient policy with another session section, for introspection. It has no limits that need the check stream.
pub fn introspected(session: Value) -> Value {
    let mut policy = patient();
    policy["session"] = session;
    for route in policy["routes"].as_array_mut().expect("routes") {
        if let Some(limits) = route.get_mut("session").and_then(Value::as_object_mut) {
            limits.retain(|key, _| !["max_idle", "touch", "outlive_token"].contains(&key.as_str()));
        }
    }
    policy
}

/// A policy for streams at any path. They need `orders:read`, and tokens expire without clock skew. At the host
/// `background.example.com`, bytes do not count as activity.
pub fn streams() -> Value {
    let mut policy = with_routes(json!([
        {"name": "me", "match": {"path": "/me"}, "authenticated": true},
        {"name": "streams", "match": {"path": "/{*rest}"}, "require": {"all_of": ["orders:read"]}},
        {
            "name": "background", "match": {"hosts": ["background.example.com"], "path": "/{*rest}"},
            "require": {"all_of": ["orders:read"]}, "session": {"touch": false},
        },
    ]));
    policy["issuers"][0]["clock_skew"] = json!("0s");
    policy
}

/// The policy for streams; at the host `outlive.example.com`, they outlive their tokens.
pub fn outliving_streams() -> Value {
    let mut policy = streams();
    let mut route = policy["routes"][2].clone();
    route["name"] = json!("outlive");
    route["match"]["hosts"] = json!(["outlive.example.com"]);
    route["session"] = json!({"outlive_token": true});
    policy["routes"].as_array_mut().expect("a list of routes").push(route);
    policy
}
