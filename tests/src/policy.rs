//! Policies: the shipped one, and the pieces to write others.

use crate::paths;
use serde_json::{Value, json};

/// The place of the filter's policy in `envoy/envoy.yaml`.
pub(crate) const PLACE: &str = "/static_resources/listeners/0/filter_chains/0/filters/0/typed_config\
    /http_filters/0/typed_config/config/configuration/value";

/// The policy of `envoy/envoy.yaml`, as it is.
pub fn shipped() -> Value {
    let bootstrap = paths::shipped("envoy.yaml");
    let policy = bootstrap.pointer(PLACE).cloned();
    policy.expect("the bootstrap holds a policy")
}

/// The shipped policy with a timeout that a busy machine meets.
pub fn patient() -> Value {
    let mut policy = shipped();
    policy["session"]["timeout"] = json!("5s");
    policy
}

/// The patient policy with other routes; every scope that they name must be in the shipped register.
pub fn with_routes(routes: Value) -> Value {
    let mut policy = patient();
    policy["routes"] = routes;
    policy
}
