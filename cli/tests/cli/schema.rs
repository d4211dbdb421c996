//! The policy's schema against the filter: whatever the schema rejects, the filter rejects too.

use jsonschema::Validator;
use portcullis_cli::policy::load::Loaded;
use portcullis_engine::policy::{Policy, schema};
use proptest::{prelude::*, sample::Index};
use serde_json::{Value, json};
use std::{fs, path::Path, sync::LazyLock};

const DESIGN: &str = include_str!("../../../engine/src/policy/testdata/design.json");
/// Each case has two lines: a change to the design's policy, and the filter's fault.
const FAULTS: &str = include_str!("../../../engine/src/policy/testdata/faults.txt");

/// The only faults of the table that the schema accepts: relations between keys in different places, and what no pattern
/// can express.
const BEYOND: [&str; 24] = [
    r"$.issuers[1].issuer: `https://id.example.com` is already listed at `$.issuers[0]`",
    r"$.issuers[0].clock_skew: `61s` is too long; at most `60s`",
    r"$.session.authority: this key is required; the cluster's name, `outbound|443||id.example`, is not a host",
    r"$.issuers[0].opaque: only an introspection endpoint knows what an opaque token means; set `$.session.protocol: introspection`",
    r"$.session.timeout: `2m` is too long; at most `60s`",
    r"$.session.freshness.lease: `99ms` is too short; at least `100ms`",
    r"$.session.freshness.lease: `5001ms` is too long; at most `5s`",
    r"$.routes[4].session.freshness.lease: `10s` is too long; at most `5s`",
    r"$.scopes.admin.review_by: `2027-02-29` is not a date such as `2027-03-01`",
    r"$.sets.support[1]: `nobody` is not in `$.scopes`; declare it there",
    r"$.sets.team[0]: `support`: a set can only contain scopes, not sets",
    r"$.routes[3].name: `admin` is already the name of `$.routes[0]`",
    r"$.routes[4].match: `me` (`$.routes[4]`) and `health` (`$.routes[0]`) could match the same request with equal precedence; make them differ in host, method or path",
    r"$.routes[1].require.all_of[0]: `Orders:read` is not in `$.scopes`; declare it there",
    r"$.routes[2].require.any_of[0]: `support` is a set, not a scope; write `@support`",
    r"$.routes[2].require.any_of[0]: there is no set `sales` in `$.sets`",
    "$.routes[0].match.encoded_slash: the path has no `{name}` segment in which a slash could be let through; omit this key",
    "$.token_from[2]: only one `websocket_protocol` is possible: a token would follow either name",
    "$.allowed_origins: only a token in a cookie needs an origin; omit this key, or add `{cookie: NAME}` to `$.token_from`",
    "$.device.from[2]: is already listed, and only the first one counts",
    "$.session.attributes.headers[0]: `authorization` decides how the request is handled, and a header that is named here is removed; use a header of its own",
    "$.oauth.path: `/oauth2/` must not end with `/`",
    "$.oauth.path: `/a/../b` is not a path in its plain form, such as `/oauth2`",
    "$.oauth.path: `/{tenant}` is not a path in its plain form, such as `/oauth2`",
];

static SCHEMA: LazyLock<Validator> =
    LazyLock::new(|| jsonschema::draft202012::new(&schema()).expect("the schema is one of JSON Schema 2020-12"));

fn design() -> Value {
    serde_json::from_str(DESIGN).expect("JSON")
}

fn put(json: &mut Value, pointer: &str, value: Value) {
    let (parent, key) = pointer.rsplit_once('/').expect("a pointer");
    match json.pointer_mut(parent).expect("a place") {
        Value::Array(list) if key == "-" => list.push(value),
        Value::Array(list) => *list.get_mut(key.parse::<usize>().expect("an index")).expect("an item") = value,
        Value::Object(object) => drop(object.insert(key.replace("~1", "/"), value)),
        _ => panic!("{pointer}"),
    }
}

fn said(json: &Value) -> Vec<String> {
    SCHEMA.iter_errors(json).map(|error| format!("{}: {error}", error.instance_path())).collect()
}

#[test]
fn the_schema_is_a_schema() {
    jsonschema::meta::validate(&schema()).expect("a schema");
}

#[test]
fn every_shipped_policy_passes() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let examples = fs::read_dir(root.join("examples")).expect("examples").map(|folder| folder.expect("one").path());
    let shipped =
        ["envoy.yaml", "istio-wasmplugin.yaml", "istio-trafficextension.yaml", "gateway-envoyextensionpolicy.yaml"];
    let shipped = shipped.map(|name| root.join("envoy").join(name));
    for path in examples.map(|folder| folder.join("policy.yaml")).filter(|path| path.exists()).chain(shipped) {
        let loaded = Loaded::read(&path).expect("a policy");
        let json = serde_json::from_str(loaded.document.json()).expect("JSON");
        assert_eq!(said(&json), [""; 0], "{}", path.display());
    }
    assert_eq!(said(&design()), [""; 0]);
}

#[test]
fn the_faults_that_the_schema_does_not_see_are_known() {
    let mut beyond = Vec::new();
    let mut lines = FAULTS.lines();
    while let (Some(case), Some(said)) = (lines.next(), lines.next()) {
        let (pointer, value) = case.split_once(" = ").expect("a case");
        let mut json = design();
        put(&mut json, pointer, serde_json::from_str(value).expect("JSON"));
        assert!(Policy::parse(json.to_string().as_bytes()).is_err(), "{case}");
        if SCHEMA.is_valid(&json) {
            beyond.push(said.trim_start());
        }
    }
    assert_eq!(beyond, BEYOND);
}

/// Every place of a value, as a JSON pointer.
fn places(json: &Value, pointer: &str, found: &mut Vec<String>) {
    found.push(pointer.to_owned());
    match json {
        Value::Object(object) => {
            for (key, value) in object {
                places(value, &format!("{pointer}/{}", key.replace('/', "~1")), found);
            }
        }
        Value::Array(list) => {
            for (index, value) in list.iter().enumerate() {
                places(value, &format!("{pointer}/{index}"), found);
            }
        }
        _ => {}
    }
}

/// Values that are valid somewhere in a policy, and some that are valid nowhere.
fn values() -> Vec<Value> {
    let words = [
        "",
        "a",
        "@support",
        "admin",
        "orders:read",
        "GET",
        "PURGE",
        "M-SEARCH",
        "get",
        "/x",
        "/",
        "/a/{b}/{*c}",
        "/a?b=c",
        "x.org",
        "*.x.org.",
        "[::1]",
        "10.0.0.1",
        "a_b.c:80",
        "30s",
        "0s",
        "1ms",
        "87600h",
        "05s",
        "deny",
        "read_only",
        "allow",
        "shadow",
        "stream",
        "introspection",
        "ES256",
        "Ed25519",
        "at+jwt",
        "Application/JWT",
        "2028-02-29",
        "2027-02-30",
        "https://a/b?c",
        "http://[::1]:80",
        "PORTCULLIS",
        "_x1",
        "a b",
        "ü",
        "outbound|443||id.example.com",
        "\"",
        "client",
        "urn:x*y",
    ];
    let parts = [
        json!({}),
        json!([]),
        json!(true),
        json!(false),
        json!(7),
        json!({"grace": "30s"}),
        json!({"lease": "500ms"}),
        json!({"env": "X"}),
        json!({"keys": [{"kty": "OKP"}]}),
        json!({"inline": {"keys": [{}], "x": 1}}),
        json!({"id": "a", "secret": {"env": "X"}}),
        json!({"cluster": "id", "protocol": "introspection", "path": "/i", "client": {"id": "a", "secret": {"env": "X"}}}),
        json!({"cluster": "s", "protocol": "stream", "on_outage": {"grace": "1s"}}),
        json!({"issuer": "o", "audiences": ["a"], "opaque": true}),
        json!({"all_of": ["admin"], "any_of": []}),
        json!({"path": "/y", "hosts": ["*.y.org"], "methods": ["GET", "GET"]}),
        json!({"touch": false, "outlive_token": true}),
        json!({"cluster": "s", "freshness": {"lease": "5s"}}),
        json!({"freshness": "each_request"}),
        json!({"name": "p", "match": {"path": "/p"}, "public": true, "authenticated": false}),
        json!({"name": "q", "match": {"path": "/q"}, "public": false, "require": {"any_of": ["@support"]}}),
        json!(["a"]),
        json!(["admin", "orders:read"]),
        json!({"a": ["admin"]}),
        json!({"owner": "x", "review_by": "2027-01-01"}),
    ];
    words.into_iter().map(Value::from).chain(parts).collect()
}

const KEYS: [&str; 11] = [
    "opaque",
    "public",
    "authenticated",
    "session",
    "acr",
    "client",
    "path",
    "on_outage",
    "cors_preflight",
    "owner",
    "x",
];

fn passes_if_read(json: &Value) -> bool {
    let is_read = Policy::parse(json.to_string().as_bytes()).is_ok();
    if is_read {
        assert_eq!(said(json), [""; 0], "{json}");
    }
    is_read
}

#[test]
fn each_value_that_the_filter_reads_at_a_place_passes_the_schema() {
    let design = design();
    let mut found = Vec::new();
    places(&design, "", &mut found);
    let mut count = 0;
    for pointer in found.iter().filter(|pointer| !pointer.is_empty()) {
        for value in values() {
            let mut json = design.clone();
            put(&mut json, pointer, value);
            count += usize::from(passes_if_read(&json));
        }
    }
    assert!(count > 400, "only {count} policies are read");
}

#[test]
fn each_key_that_the_filter_reads_in_a_part_passes_the_schema() {
    let design = design();
    let mut found = Vec::new();
    places(&design, "", &mut found);
    let mut count = 0;
    for pointer in found.iter().filter(|pointer| design.pointer(pointer).is_some_and(Value::is_object)) {
        for key in KEYS {
            for value in values() {
                let mut json = design.clone();
                put(&mut json, &format!("{pointer}/{key}"), value);
                count += usize::from(passes_if_read(&json));
            }
        }
    }
    assert!(count > 100, "only {count} policies are read");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn what_the_filter_reads_passes_the_schema(
        changes in prop::collection::vec((any::<Index>(), prop::sample::select(values())), 2..4),
    ) {
        let mut json = design();
        for (place, value) in changes {
            let mut found = Vec::new();
            places(&json, "", &mut found);
            match json.pointer_mut(place.get(&found).as_str()) {
                Some(Value::Array(list)) => list.push(value),
                Some(at) => *at = value,
                None => {}
            }
        }
        passes_if_read(&json);
    }

    #[test]
    fn a_key_less_is_seen_alike(place: Index) {
        let mut json = design();
        let mut found = Vec::new();
        places(&json, "", &mut found);
        let pointer = place.get(&found).clone();
        if let Some((parent, key)) = pointer.rsplit_once('/') {
            match json.pointer_mut(parent) {
                Some(Value::Object(object)) => drop(object.remove(&key.replace("~1", "/"))),
                Some(Value::Array(list)) => drop(list.remove(key.parse().expect("an index"))),
                _ => {}
            }
        }
        passes_if_read(&json);
    }
}
