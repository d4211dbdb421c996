use crate::{document::Diagnosed, policy::load::Loaded, report::Record};
use proptest::{prelude::*, sample::Index};

/// A policy of one line, and where it is to be put.
const POLICY: &str = r#"{routes: [{name: all, match: {path: "/{*all}"}, public: true}]}"#;
const FAULTY: &str = r#"{routes: [{name: all, match: {path: all}, public: true}]}"#;

const HOLDERS: [(&str, &str); 9] = [
    ("the policy", "POLICY"),
    (
        "a document beside others",
        "kind: Namespace\nmetadata: {name: on, labels: {enabled: yes}}\n---\nPOLICY\n---\nkind: Service\n",
    ),
    (
        "WasmPlugin",
        "apiVersion: extensions.istio.io/v1alpha1\nkind: WasmPlugin\nspec:\n  pluginName: portcullis\n  pluginConfig: POLICY\n",
    ),
    (
        "TrafficExtension",
        "kind: TrafficExtension\nspec:\n  wasm:\n    pluginName: portcullis\n    pluginConfig: POLICY\n",
    ),
    (
        "EnvoyExtensionPolicy",
        "kind: EnvoyExtensionPolicy\nspec:\n  wasm:\n    - {name: other, config: {a: 1}}\n    - {name: portcullis, config: POLICY}\n",
    ),
    (
        "a list of manifests",
        "kind: List\nitems:\n  - kind: WasmPlugin\n    spec: {url: 'oci://x/portcullis:1', pluginConfig: POLICY}\n",
    ),
    (
        "Struct",
        "http_filters:\n  - typed_config:\n      '@type': type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm\n      config:\n        root_id: portcullis\n        configuration:\n          '@type': type.googleapis.com/google.protobuf.Struct\n          value: POLICY\n",
    ),
    (
        "TypedStruct",
        "typed_config:\n  '@type': type.googleapis.com/udpa.type.v1.TypedStruct\n  type_url: type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm\n  value:\n    config:\n      name: portcullis\n      configuration: {'@type': type.googleapis.com/google.protobuf.Struct, value: POLICY}\n",
    ),
    (
        "two filters, neither of them named",
        "a:\n  '@type': envoy.extensions.filters.http.wasm.v3.Wasm\n  config: {configuration: {'@type': google.protobuf.StringValue, value: 'routes'}}\nb:\n  '@type': envoy.extensions.filters.http.wasm.v3.Wasm\n  config: {configuration: {'@type': google.protobuf.Struct, value: POLICY}}\n",
    ),
];

fn faults(text: &str) -> Vec<(String, String)> {
    let pointed = |report: &Diagnosed| {
        let text = report.document.text();
        let one = |found: &crate::diagnostic::Diagnostic| {
            (found.path.clone(), text.get(found.span.clone()).expect("within").to_owned())
        };
        report.diagnostics.iter().map(one).collect()
    };
    Loaded::parse("a.yaml", text).map_or_else(|report| pointed(&report), |_| Vec::new())
}

fn refusal(text: &str) -> String {
    match Loaded::parse("a.yaml", text) {
        Ok(_) => panic!("it was read: {text}"),
        Err(report) => anstream::adapter::strip_str(&crate::report::diagnosed_file(&report)).to_string(),
    }
}

#[test]
fn a_policy_is_found_where_envoy_and_kubernetes_keep_it() {
    for (holder, text) in HOLDERS {
        let loaded = Loaded::parse("a.yaml", text.replace("POLICY", POLICY))
            .map_err(|report| crate::report::diagnosed_file(&report));
        assert_eq!(loaded.expect(holder).policy.rules.len(), 1, "{holder}");
    }
}

#[test]
fn a_fault_points_into_what_holds_the_policy() {
    for (holder, text) in HOLDERS {
        let expected = [("$.routes[0].match.path".to_owned(), "all".to_owned())];
        assert_eq!(faults(&text.replace("POLICY", FAULTY)), expected, "{holder}");
    }
}

fn string_value(value: &str) -> String {
    format!(
        "a:\n  '@type': x/envoy.extensions.filters.http.wasm.v3.Wasm\n  config:\n    name: portcullis\n    configuration:\n      '@type': type.googleapis.com/google.protobuf.StringValue\n      value: {value}\n"
    )
}

#[test]
fn a_policy_that_is_json_in_a_text_is_read_and_pointed_at() {
    let json = r#"{"routes": [{"name": "all", "match": {"path": "all"}, "public": true}]}"#;
    let pretty = "|\n        {\n\n          \"routes\": [{\n            \"name\": \"ä\",\n            \"match\": {\"path\": \"all\"}, \"public\": true}]}";
    let path = || "$.routes[0].match.path".to_owned();
    assert_eq!(faults(&string_value(&format!("'{json}'"))), [(path(), "\"all\"".to_owned())]);
    assert_eq!(
        faults(&string_value(pretty)),
        [(path(), "\"all\"".to_owned()), ("$.routes[0].name".to_owned(), "\"ä\"".to_owned())]
            .into_iter()
            .rev()
            .collect::<Vec<_>>()
    );
    // Behind escapes nobody can tell where it stands, so all of it is pointed at.
    let escaped = serde_json::to_string(json).expect("json");
    assert_eq!(faults(&string_value(&escaped)), [(path(), escaped)]);
    let good = json.replace("\"all\"}", "\"/all\"}");
    assert!(Loaded::parse("a", string_value(&format!("'{good}'"))).is_ok());
}

#[test]
fn a_text_that_is_no_json_is_refused_where_it_breaks() {
    for (value, words) in [
        ("'{routes: []}'", "a.yaml:7:16"),
        ("|\n        {\"routes\":\n         x}", "a.yaml:9:10"),
        ("''", "not valid JSON"),
        ("{}", "this key is required"),
    ] {
        let said = refusal(&string_value(value));
        assert!(said.contains(words), "{value}: {said}");
    }
}

#[test]
fn a_file_without_a_policy_or_with_two_says_so() {
    for (text, words) in [
        ("static_resources: {}\n", "this file contains no policy"),
        ("kind: WasmPlugin\nspec: {pluginName: other, pluginConfig: {a: 1}}\n", "this file contains no policy"),
        ("a: 1\n---\nb: 2\n", "this file contains no policy"),
        ("routes: []\n---\nscopes: {}\n", "contains 2: `"),
        ("routes: []\n---\nscopes: {}\n", "on line 3; move the others"),
        ("route: []\n", "unknown key; did you mean `routes`?"),
        ("# nothing\n", "the file is empty"),
    ] {
        let said = refusal(text);
        assert!(said.contains(words), "{text}: {said}");
    }
}

#[test]
fn a_configuration_of_the_session_service_is_called_so() {
    let said = refusal("listen: 127.0.0.1:7070\nadmin: 127.0.0.1:7071\nstore: {embedded: {path: data}}\n");
    assert!(said.contains("the session service, not a policy: check it with `portcullis-session"), "{said}");
    assert!(!refusal("listen: x\nroutes: []\n").contains("session service"), "a policy with a wrong key");
}

#[test]
fn a_filter_without_a_name_beside_a_named_one_is_looked_at_too() {
    let filter = |name: &str, policy: &str| {
        format!(
            "  - typed_config:\n      '@type': type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm\n      config:\n        {name}\n        configuration: {{'@type': type.googleapis.com/google.protobuf.Struct, value: {policy}}}\n"
        )
    };
    let both = |policy: &str| {
        format!("http_filters:\n{}{}", filter("root_id: portcullis", POLICY), filter("root_id: gate", policy))
    };
    let said = refusal(&both(FAULTY));
    assert!(said.contains("contains 2: `"), "{said}");
    assert!(Loaded::parse("a.yaml", both(POLICY)).is_ok(), "the same policy twice is one");
    assert!(Loaded::parse("a.yaml", both("{allow: [x]}")).is_ok(), "another filter's configuration");
}

#[test]
fn of_several_policies_one_is_chosen_by_its_digest() {
    let other = POLICY.replace("name: all", "name: other");
    let text = format!("{POLICY}\n---\n{other}\n---\n{}\n", POLICY.replace(", public: true", ", 'public': true"));
    let digest = |policy: &str| Loaded::parse("a", policy).expect("a policy").policy.digest;
    let chosen = |digest: &str| Loaded::choose("a", text.as_str(), Some(digest));
    for policy in [POLICY, &other] {
        let digest = digest(policy);
        assert_eq!(chosen(&digest).expect("it is there").policy.digest, digest);
        assert!(chosen(digest.get(..12).expect("digits")).is_ok());
    }
    let said = |digest: &str| {
        let report = chosen(digest).expect_err("none or several");
        anstream::adapter::strip_str(&crate::report::diagnosed_file(&report)).to_string()
    };
    assert!(said("x").contains("no policy whose digest begins with `x`"));
    let both = said("");
    for policy in [POLICY, &other] {
        assert!(both.contains(digest(policy).get(..12).expect("digits")), "{both}");
    }
    assert!(Loaded::choose("a", POLICY, Some("x")).is_err());
}

#[test]
fn a_filter_that_fails_open_is_refused_although_another_has_the_same_policy() {
    let plugin =
        |open: &str| format!("kind: WasmPlugin\nspec: {{pluginName: portcullis, {open} pluginConfig: {POLICY}}}\n");
    assert!(Loaded::parse("a", format!("{}---\n{}", plugin(""), plugin(""))).is_ok());
    let said = refusal(&format!("{}---\n{}", plugin(""), plugin("failStrategy: FAIL_OPEN,")));
    assert!(said.contains("fails open"), "{said}");
}

#[test]
fn what_stands_around_the_policy_is_not_judged() {
    let around = "kind: WasmPlugin\nmetadata: {x: yes, y: .nan, y: !!int z}\nspec: {pluginName: portcullis, pluginConfig: POLICY}\n";
    assert_eq!(faults(&around.replace("POLICY", POLICY)), []);
    let said = refusal(&around.replace("POLICY", &POLICY.replace("true", "yes")));
    assert!(said.contains("other YAML readers parse `yes` as a boolean"), "{said}");
}

/// Cuts, doubles or replaces a part of a text.
fn damaged(text: &str, from: &Index, to: &Index, instead: &str) -> String {
    let bytes = text.as_bytes();
    let (from, to) = (from.index(bytes.len()), to.index(bytes.len()));
    let (from, to) = (text.floor_char_boundary(from.min(to)), text.floor_char_boundary(from.max(to)));
    let (before, after) = (text.get(..from).expect("within"), text.get(to..).expect("within"));
    format!("{before}{instead}{after}")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn no_text_makes_it_fall(
        holder in prop::sample::select(&HOLDERS[..]),
        json in any::<bool>(),
        from: Index,
        to: Index,
        instead in prop_oneof![prop::sample::select(vec!["", "ü", "\"", "\n", "---\n", "{", "&a *a", "routes", "null", "\0"]).prop_map(str::to_owned), any::<String>()],
    ) {
        let text = holder.1.replace("POLICY", FAULTY);
        let text = if json { string_value("|\n        {\"routes\": [\n         {\"näme\": 1}]}") } else { text };
        if let Err(report) = Loaded::parse("a.yaml", damaged(&text, &from, &to, &instead)) {
            prop_assert!(!crate::report::diagnosed_file(&report).is_empty());
            prop_assert!(!Record::of(&report.document, &report.diagnostics).is_empty());
        }
    }
}
