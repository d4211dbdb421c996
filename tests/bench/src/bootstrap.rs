//! Envoy's bootstraps: `envoy/base.yaml` with the filters and clusters of a row.

use portcullis_tests::root;
use serde_json::{Map, Value, json};

const FILTERS: &str = "/static_resources/listeners/0/filter_chains/0/filters/0/typed_config/http_filters";
const CLUSTERS: &str = "/static_resources/clusters";
const POLICY: &str = "/http_filters/0/typed_config/config/configuration/value";

/// The bootstrap of a row, with each `$NAME` replaced by its value.
pub(crate) fn bootstrap(row: &str, values: &Map<String, Value>) -> Value {
    let (mut base, own) = (read("base"), own(row));
    let part = |name: &str| own[name].as_array().unwrap_or_else(|| panic!("{row}.yaml has no list `{name}`")).clone();
    let (filters, clusters) = (part("http_filters"), part("clusters"));
    // The router must stay last.
    list(&mut base, FILTERS).splice(0..0, filters);
    list(&mut base, CLUSTERS).extend(clusters);
    fill(&mut base, values);
    base
}

/// A policy's routes `/r0/{id}`, `/r1/{id}`, and so on, each for one scope.
pub(crate) fn routes(count: usize) -> Value {
    (0..count)
        .map(|number| {
            json!({
                "name": format!("r{number}"),
                "match": {"methods": ["GET"], "path": format!("/r{number}/{{id}}")},
                "require": {"all_of": ["orders:read"]},
            })
        })
        .collect()
}

/// The filters and clusters of a row. One that is `like` another has the same, and its `policy` besides.
fn own(row: &str) -> Value {
    let mut own = read(row);
    let Some(like) = own["like"].as_str() else { return own };
    let mut all = read(like);
    let policy = all.pointer_mut(POLICY).unwrap_or_else(|| panic!("{like}.yaml has no policy"));
    add(policy, own["policy"].take());
    all
}

/// Adds the keys of an object to another one, and to the objects in it.
fn add(to: &mut Value, more: Value) {
    match (to, more) {
        (Value::Object(to), Value::Object(more)) => {
            for (key, value) in more {
                add(to.entry(key).or_insert(Value::Null), value);
            }
        }
        (to, more) => *to = more,
    }
}

fn read(name: &str) -> Value {
    let path = root().join("tests/bench/envoy").join(name).with_extension("yaml");
    let text = std::fs::read_to_string(&path).unwrap_or_else(|fault| panic!("{}: {fault}", path.display()));
    serde_saphyr::from_str(&text).unwrap_or_else(|fault| panic!("{}: {fault}", path.display()))
}

fn list<'a>(value: &'a mut Value, place: &str) -> &'a mut Vec<Value> {
    let list = value.pointer_mut(place).and_then(Value::as_array_mut);
    list.unwrap_or_else(|| panic!("base.yaml has no list at {place}"))
}

/// Replaces a text that is only `$NAME` by the value, and `$NAME` within other text by the value's text.
fn fill(value: &mut Value, values: &Map<String, Value>) {
    match value {
        Value::String(text) => {
            if let Some(whole) = text.strip_prefix('$').and_then(|name| values.get(name)) {
                *value = whole.clone();
                return;
            }
            for (name, part) in values {
                *text = text.replace(&format!("${name}"), &part.to_string());
            }
        }
        Value::Array(list) => list.iter_mut().for_each(|entry| fill(entry, values)),
        Value::Object(map) => map.values_mut().for_each(|entry| fill(entry, values)),
        Value::Null | Value::Bool(_) | Value::Number(_) => (),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_stands_before_the_router_and_is_filled_in() {
        let values = json!({"UPSTREAM": 1, "AUTHZ": 2, "ISSUER": "i", "JWKS_TEXT": "{}"});
        let all = bootstrap("ext-authz-http", values.as_object().expect("an object"));
        let filters = all.pointer(FILTERS).and_then(Value::as_array).expect("filters");
        let names: Vec<_> = filters.iter().map(|filter| filter["name"].as_str().unwrap_or_default()).collect();
        assert_eq!(
            names,
            ["envoy.filters.http.jwt_authn", "envoy.filters.http.ext_authz", "envoy.filters.http.router"]
        );
        let uri = &filters[1]["typed_config"]["http_service"]["server_uri"]["uri"];
        assert_eq!(uri, "http://127.0.0.1:2");
        assert_eq!(filters[0]["typed_config"]["providers"]["id"]["issuer"], "i");
        assert!(!all.to_string().contains('$'));
    }

    #[test]
    fn a_row_that_is_like_another_has_its_policy_and_more() {
        let values = Map::new();
        let [plain, leased] = ["portcullis", "portcullis-lease"].map(|row| {
            let filters = bootstrap(row, &values).pointer(FILTERS).cloned().expect("filters");
            filters[0]["typed_config"]["config"]["configuration"]["value"].clone()
        });
        assert_eq!(leased["session"]["freshness"], json!({"lease": "500ms"}));
        let mut same = leased.clone();
        same["session"].as_object_mut().expect("an object").remove("freshness");
        assert_eq!(same, plain);
    }

    #[test]
    fn routes_are_as_many_as_asked_for() {
        let routes = routes(3);
        assert_eq!(routes.as_array().map(Vec::len), Some(3));
        assert_eq!(routes[2]["match"]["path"], "/r2/{id}");
    }
}
