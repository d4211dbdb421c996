use super::{Args, command::yaml};
use crate::policy::load::Loaded;
use clap::Parser;
use proptest::prelude::*;
use serde_json::{Value, json};

#[derive(Debug, Parser)]
struct Line {
    #[command(flatten)]
    args: Args,
}

const POLICY: &str = "\
routes:
  - {name: health, match: {path: /healthz}, public: true}
session: {cluster: session, credential: {env: SECRET}}
realm: orders
";

fn args(options: &str) -> Result<Args, String> {
    let line = ["render", "policy.yaml", "--as"].into_iter().chain(options.split_whitespace());
    match Line::try_parse_from(line) {
        Ok(line) => line.args.fits().map(|()| line.args).map_err(|error| format!("{error:?}")),
        Err(error) => Err(error.to_string()),
    }
}

fn rendered(options: &str) -> Result<String, String> {
    rendered_policy(options, POLICY)
}

fn rendered_policy(options: &str, policy: &str) -> Result<String, String> {
    let document = crate::document::Document::parse("policy.yaml", policy).expect("YAML");
    let loaded = Loaded::of(document).expect("a policy");
    args(options)?.text(&loaded).map_err(|error| format!("{error:?}"))
}

#[test]
fn istio_gets_the_policy_in_its_order_and_never_fails_open() {
    let expected = "\
apiVersion: extensions.istio.io/v1alpha1
kind: WasmPlugin
metadata:
  name: portcullis
  namespace: shop
spec:
  selector:
    matchLabels:
      app: orders
      tier: \"1\"
  match:
  - mode: SERVER
  phase: AUTHZ
  url: oci://r.example.com/portcullis:1
  imagePullPolicy: IfNotPresent
  failStrategy: FAIL_RELOAD
  pluginName: portcullis
  vmConfig:
    env:
    - name: SECRET
      valueFrom: HOST
  pluginConfig:
    routes:
    - name: health
      match:
        path: /healthz
      public: true
    session:
      cluster: session
      credential:
        env: SECRET
    realm: orders
";
    // Labels have no order of their own; the same ones make the same text.
    for labels in ["--selector app=orders --selector tier=1", "--selector tier=1 --selector app=orders"] {
        let options = format!("istio --url oci://r.example.com/portcullis:1 --namespace shop {labels}");
        assert_eq!(rendered(&options).as_deref(), Ok(expected));
    }
}

#[test]
fn every_form_says_what_was_given() {
    let url = "--url r.example.com/p:1";
    for (options, words) in [
        (
            "envoy",
            &["filename: dist/portcullis.wasm", "host_env_keys:\n        - SECRET", "failure_policy: FAIL_RELOAD"][..],
        ),
        ("envoy --wasm /opt/x.wasm --name gate", &["name: gate", "filename: /opt/x.wasm"]),
        ("istio {url}", &["mode: SERVER", "url: oci://r.example.com/p:1", "failStrategy: FAIL_RELOAD"]),
        ("istio {url} --proxy gateway --selector istio=ingressgateway", &["mode: CLIENT", "istio: ingressgateway"]),
        ("istio --url file:///opt/x.wasm", &["url: file:///opt/x.wasm"]),
        (
            "istio-traffic-extension {url} --target-ref Service/a",
            &["group: \"\"\n    kind: Service", "  wasm:\n    url:"],
        ),
        (
            "envoy-gateway {url} --target-ref Gateway/a",
            &["url: r.example.com/p:1", "failOpen: false", "hostKeys:\n      - SECRET"],
        ),
        ("envoy-gateway --url https://x/p.wasm --target-ref HTTPRoute/a", &["type: HTTP", "url: https://x/p.wasm"]),
        ("json", &["{\n  \"routes\": ["]),
    ] {
        let text = rendered(&options.replace("{url}", url)).unwrap_or_else(|why| panic!("{options}: {why}"));
        for word in words {
            assert!(text.contains(word), "{options}: no {word:?} in\n{text}");
        }
    }
    // What is attached to a target has no direction of traffic; a file is not pulled.
    let attached = rendered(&format!("istio {url} --target-ref Gateway/a")).expect("a manifest");
    assert!(!attached.contains("match:\n  -") && attached.contains("targetRefs:"), "{attached}");
    assert!(!rendered("istio --url file:///x").expect("a manifest").contains("imagePullPolicy"));
}

#[test]
fn a_policy_without_secrets_asks_for_no_environment() {
    let policy = "routes:\n  - {name: health, match: {path: /healthz}, public: true}\n";
    let url = "--url r.example.com/p:1 --target-ref Gateway/a";
    for options in ["envoy".to_owned(), format!("istio {url}"), format!("envoy-gateway {url}")] {
        let text = rendered_policy(&options, policy).expect("a manifest");
        assert!(!text.to_lowercase().contains("env:") && !text.contains("environment"), "{text}");
    }
}

#[test]
fn the_secret_of_an_oauth_client_is_handed_on_as_well() {
    let client = "credential: {env: SECRET}";
    let endpoint = "protocol: introspection, path: /introspect, client: {id: gate, secret: {env: OAUTH_SECRET}}";
    let policy = POLICY.replace(client, endpoint);
    let url = "--url r.example.com/p:1 --target-ref Gateway/a";
    for options in ["envoy".to_owned(), format!("istio {url}"), format!("envoy-gateway {url}")] {
        let text = rendered_policy(&options, &policy).expect("a manifest");
        assert_eq!(text.matches("OAUTH_SECRET").count(), 2, "{text}");
    }
}

#[test]
fn what_has_no_effect_or_is_missing_is_refused() {
    let url = "--url r.example.com/p:1";
    for (options, words) in [
        ("envoy {url}", "`--url` has no effect with `--as envoy`"),
        ("envoy --selector a=b", "`--selector` has no effect"),
        ("envoy --namespace a", "`--namespace` has no effect"),
        ("envoy --name=", "`--name` must not be empty"),
        ("json --name a", "`--name` has no effect with `--as json`"),
        ("istio {url} --wasm x", "`--wasm` has no effect"),
        ("envoy-gateway {url} --selector a=b", "`--selector` has no effect"),
        ("envoy-gateway {url} --proxy gateway", "`--proxy` has no effect"),
        ("istio", "`--as istio` requires `--url`"),
        ("envoy-gateway --target-ref Gateway/a", "requires `--url`"),
        ("envoy-gateway {url}", "requires `--target-ref`"),
        ("envoy-gateway {url} --target-ref Service/a", "Envoy Gateway only attaches to"),
        ("istio {url} --target-ref HTTPRoute/a", "Istio only attaches to"),
        ("envoy-gateway --url file:///x --target-ref Gateway/a", "cannot load a module from a file"),
        ("istio {url} --target-ref Gateway/a --selector a=b", "cannot be used with"),
        ("istio {url} --target-ref Gateway/a --proxy gateway", "cannot be used with"),
        ("istio {url} --target-ref Gateway", "KIND/NAME"),
        ("istio {url} --target-ref Pod/a", "one of the kinds"),
        ("istio {url} --target-ref Gateway/A", "Kubernetes names have lower-case"),
        ("istio {url} --selector a", "KEY=VALUE"),
        ("istio {url} --selector a=*", "a label can have at most"),
        ("istio {url} --selector =b", "a label can have at most"),
        ("istio {url} --name Portcullis", "Kubernetes names have lower-case"),
        ("istio {url} --namespace a.b", "at most 63"),
        ("istio --url ftp://x", "expected `oci://…`"),
        ("istio --url oci://", "the URL is empty after its scheme"),
        ("nginx", "invalid value 'nginx'"),
    ] {
        let refused = rendered(&options.replace("{url}", url)).expect_err(options);
        assert!(refused.contains(words), "{options}: {refused}");
    }
}

/// Texts that are no text to one of the readers, unless they are quoted.
const WORDS: [&str; 40] = [
    "y",
    "N",
    "yes",
    "No",
    "ON",
    "off",
    "true",
    "False",
    "null",
    "NULL",
    "~",
    "",
    "012",
    "0o14",
    "0x1F",
    "0b1",
    "1_000",
    "1e3",
    "+1",
    "-.5",
    ".inf",
    ".NaN",
    "1:20",
    "190:20:30",
    "2027-03-01",
    "2027-03-01T00:00:00Z",
    "<<",
    "=",
    "-",
    "? a",
    "a: b",
    "a #b",
    "*a",
    "&a",
    "!a",
    "%a",
    "@a",
    "`a",
    " a",
    "a\nb",
];

#[test]
fn text_stays_text_to_readers_of_yaml_1_1() {
    for word in WORDS {
        let text = yaml(&json!({"value": word, "list": [word]})).expect("YAML");
        let quoted = text.matches(['"', '\'']).count();
        assert!(quoted >= 4, "{word:?} stands without quotes:\n{text}");
        let key = yaml(&json!({word: 1})).expect("YAML");
        assert!(key.starts_with('"'), "{word:?} stands without quotes:\n{key}");
    }
}

fn values() -> impl Strategy<Value = Value> {
    let text =
        prop_oneof![prop::sample::select(WORDS.to_vec()).prop_map(str::to_owned), any::<String>(), "[ -~]{0,120}"];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        text.clone().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 40, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::btree_map(text.clone(), inner, 0..6)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn what_is_written_is_read_as_the_same_value(value in values()) {
        let text = yaml(&json!({"policy": value})).expect("YAML");
        let document = crate::document::Document::parse("rendered", &*text);
        let document = document.unwrap_or_else(|error| panic!("{error:?}:\n{text}"));
        let read: Value = serde_json::from_str(document.json()).expect("JSON");
        prop_assert_eq!(&read["policy"], &value, "{}", text);
        let other: Value = serde_saphyr::from_str(&text).unwrap_or_else(|error| panic!("{error}:\n{text}"));
        prop_assert_eq!(&other["policy"], &value, "{}", text);
    }
}
