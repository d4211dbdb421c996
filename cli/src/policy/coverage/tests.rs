//! What is said of a policy beside an API and beside an Envoy.

use super::{
    entry::{Judged, judged},
    envoy, operations,
    show::{self, Report},
};
use crate::{
    document::Document,
    policy::{
        load::Loaded,
        matching::{Extent, Rules},
        openapi::{Api, Shape, Value, any_json, parse},
    },
};
use proptest::prelude::*;
use serde_json::json;

const OPENAPI: &str = include_str!("testdata/openapi.yaml");
const ENVOY: &str = include_str!("testdata/envoy.yaml");

fn policy() -> Loaded {
    let document = Document::parse("policy.yaml", include_str!("testdata/policy.yaml")).expect("YAML");
    Loaded::of(document).expect("a policy")
}

fn of_openapi(text: &str, loaded: &Loaded) -> Vec<Judged> {
    let rules = Rules::of(&loaded.policy);
    judged(operations::described(&Api::parse(text).expect("a document"), &rules), &rules)
}

fn of_envoy(configuration: &Value, loaded: &Loaded) -> Vec<Judged> {
    let rules = Rules::of(&loaded.policy);
    judged(envoy::described(&envoy::read(configuration).expect("routes"), &rules), &rules)
}

fn lines(judged: &[Judged]) -> Vec<(String, Extent)> {
    judged.iter().map(|judged| (judged.label.clone(), judged.extent())).collect()
}

#[test]
fn operations_are_covered_in_full_in_part_or_not() {
    let loaded = policy();
    let judged = of_openapi(OPENAPI, &loaded);
    let report = Report::new(show::OPERATIONS, &judged, &loaded.policy);
    assert_eq!(format!("{report}\n"), include_str!("testdata/openapi.txt"));
}

#[test]
fn routes_are_covered_in_full_in_part_or_not() {
    let loaded = policy();
    let judged = of_envoy(&parse(ENVOY, Shape::All).expect("YAML"), &loaded);
    let report = Report::new(show::ROUTES, &judged, &loaded.policy);
    assert_eq!(format!("{report}\n"), include_str!("testdata/envoy.txt"));
}

#[test]
fn json_says_the_same() {
    let loaded = policy();
    let judged = of_openapi(OPENAPI, &loaded);
    let report = Report::new(show::OPERATIONS, &judged, &loaded.policy);
    let json: serde_json::Value = serde_json::from_str(&report.json()).expect("JSON");
    assert_eq!(json["summary"], json!({"covered": 6, "in_part": 1, "uncovered": 4, "unreached": 0}));
    assert_eq!(
        json["entries"][3],
        json!({
            "requests": "GET /orders/{id}", "name": "getOrder", "covered": "yes",
            "rules": [
                {"rule": "orders.get", "access": "scopes", "general": true, "example": {"method": "GET", "host": "any.example", "path": "/orders/any"}},
                {"rule": "orders.export", "access": "scopes", "general": false, "example": {"method": "GET", "host": "any.example", "path": "/orders/export"}},
            ],
        })
    );
    assert_eq!(json["unreached_rules"], json!(["me"]));
}

#[test]
fn servers_say_which_hosts_count() {
    let loaded = policy();
    for (server, extent) in [
        ("https://admin.example.com", Extent::Full),
        ("https://other.example.com", Extent::Nothing),
        ("https://{x}.example.com", Extent::Part),
        ("/", Extent::Part),
    ] {
        let text = format!(
            "openapi: 3.0.0\nservers: [{{url: '{server}', variables: {{x: {{default: a}}}}}}]\npaths: {{'/admin/{{a}}': {{get: {{}}}}}}"
        );
        assert_eq!(lines(&of_openapi(&text, &loaded)), [("GET /admin/{a}".to_owned(), extent)], "{server}");
    }
}

/// One virtual host for each list of domains; each has the one route.
fn hosts_of(domains: &[&[&str]], route: &str) -> Vec<Extent> {
    let hosts: Vec<_> = domains.iter().map(|list| json!({"domains": list, "routes": [parse_json(route)]})).collect();
    let text = json!({"virtual_hosts": hosts}).to_string();
    of_envoy(&parse(&text, Shape::All).expect("JSON"), &policy()).iter().map(Judged::extent).collect()
}

fn parse_json(text: &str) -> serde_json::Value {
    serde_json::from_str(text).expect("JSON")
}

#[test]
fn a_request_belongs_to_the_virtual_host_with_the_best_domain() {
    let admin = r#"{"match": {"prefix": "/admin/x/"}}"#;
    for (domains, extents) in [
        (&[&["*"][..]][..], vec![Extent::Part]),
        (&[&["*"], &["admin.example.com:443"]], vec![Extent::Nothing, Extent::Full]),
        (&[&["*"], &["*.example.com"]], vec![Extent::Nothing, Extent::Part]),
        (&[&["admin.*"], &["*.example.com"]], vec![Extent::Nothing, Extent::Part]),
        (&[&["admin.*"], &["*"]], vec![Extent::Part, Extent::Nothing]),
        (&[&["ADMIN.example.com"]], vec![Extent::Full]),
    ] {
        assert_eq!(hosts_of(domains, admin), extents, "{domains:?}");
    }
}

#[test]
fn a_route_hides_later_ones_only_if_nothing_else_decides() {
    for (condition, hides) in [
        (json!({}), true),
        (json!({"query_parameters": []}), true),
        (json!({"headers": [{"name": ":method", "present_match": true}]}), true),
        (json!({"headers": [{"name": "x-canary", "present_match": true}]}), false),
        (json!({"query_parameters": [{"name": "v"}]}), false),
        (json!({"runtime_fraction": {}}), false),
        (json!({"grpc": {}}), false),
    ] {
        let mut first = json!({"prefix": "/"});
        first.as_object_mut().expect("an object").extend(condition.as_object().expect("an object").clone());
        let routes = json!([{"match": first}, {"match": {"path": "/me"}}]);
        let text = json!({"domains": ["*"], "routes": routes}).to_string();
        let judged = of_envoy(&parse(&text, Shape::All).expect("JSON"), &policy());
        assert_eq!(judged[1].extent(), if hides { Extent::Unreached } else { Extent::Full }, "{text}");
    }
}

#[test]
fn matchers_of_the_method_are_read_in_every_form() {
    for (header, extent) in [
        (r#"{"string_match": {"exact": "GET"}}"#, Extent::Full),
        (r#"{"stringMatch": {"exact": "GET"}}"#, Extent::Full),
        (r#"{"string_match": {"exact": "get", "ignore_case": true}}"#, Extent::Full),
        (r#"{"exact_match": "GET"}"#, Extent::Full),
        (r#"{"exact_match": "POST"}"#, Extent::Nothing),
        (r#"{"string_match": {"safe_regex": {"regex": "GET|POST"}}}"#, Extent::Part),
        (r#"{"safe_regex_match": {"regex": "G.T"}}"#, Extent::Full),
        (r#"{"string_match": {"prefix": "GE"}}"#, Extent::Full),
        (r#"{"suffix_match": "ET"}"#, Extent::Full),
        (r#"{"string_match": {"contains": "E"}}"#, Extent::Part),
        // A rule for `GET` answers `HEAD` as well.
        (r#"{"string_match": {"exact": "GET"}, "invert_match": true}"#, Extent::Part),
        (r#"{"present_match": true}"#, Extent::Part),
    ] {
        let mut header = parse_json(header);
        header["name"] = json!(":method");
        let text =
            json!({"domains": ["*"], "routes": [{"match": {"path": "/orders", "headers": [header]}}]}).to_string();
        let judged = of_envoy(&parse(&text, Shape::All).expect("JSON"), &policy());
        assert_eq!(judged[0].extent(), extent, "{text}");
    }
}

#[test]
fn paths_of_routes_are_read_in_every_form() {
    let template = |text: &str| json!({"path_match_policy": {"typed_config": {"path_template": text}}});
    for (path, extent) in [
        (json!({"path": "/me"}), Extent::Full),
        (json!({"path": "/me/"}), Extent::Nothing),
        (json!({"prefix": "/me"}), Extent::Part),
        (json!({"prefix": "/nowhere"}), Extent::Nothing),
        (json!({"path_separated_prefix": "/me"}), Extent::Part),
        (json!({"pathSeparatedPrefix": "/nowhere"}), Extent::Nothing),
        (json!({"safe_regex": {"regex": "/me"}}), Extent::Full),
        (json!({"safeRegex": {"regex": "/(me|you)"}}), Extent::Part),
        (json!({"safe_regex": {"regex": "/.*"}}), Extent::Part),
        (json!({"safe_regex": {"regex": "("}}), Extent::Nothing),
        (template("/me"), Extent::Full),
        (template("/{x=me}"), Extent::Full),
        (template("/{x}"), Extent::Part),
        (template("/m*"), Extent::Part),
        (template("/**"), Extent::Part),
        (template("/**.m3u8"), Extent::Nothing),
        (template("/{x=me/**}"), Extent::Nothing),
        (json!({"connect_matcher": {}}), Extent::Nothing),
        (json!({}), Extent::Nothing),
    ] {
        let text = json!({"domains": ["*"], "routes": [{"match": path}]}).to_string();
        let judged = of_envoy(&parse(&text, Shape::All).expect("JSON"), &policy());
        assert_eq!(judged[0].extent(), extent, "{text}: {:?}", judged[0]);
    }
}

#[test]
fn the_shipped_bootstrap_has_routes_and_other_files_are_told_so() {
    let shipped = include_str!("../../../../envoy/envoy.yaml");
    let judged = of_envoy(&parse(shipped, Shape::All).expect("YAML"), &policy());
    assert_eq!(lines(&judged), [("* /…".to_owned(), Extent::Part)]);
    let error = envoy::read(&parse("{static_resources: {}}", Shape::All).expect("YAML")).expect_err("no routes");
    assert!(error.contains("RDS"), "{error}");
}

#[test]
fn foreign_texts_give_no_orders_to_a_terminal() {
    let loaded = policy();
    let judged = of_openapi(
        r#"{"openapi": "3.0.0", "paths": {"/a\u001b[2J": {"get": {"operationId": "b\nc\u0007"}}}}"#,
        &loaded,
    );
    let report = Report::new(show::OPERATIONS, &judged, &loaded.policy).to_string();
    assert!(report.contains("GET /a\\u{1b}[2J  b\\nc\\u{7}") && !report.contains('\u{1b}'), "{report}");
}

proptest! {
    #[test]
    fn no_json_makes_coverage_panic(json in any_json(), route in any_json()) {
        let loaded = policy();
        let host = json!({"domains": ["*"], "routes": [route.clone(), {"match": route}]});
        for text in [json.to_string(), json!([json, {"virtual_hosts": [host]}]).to_string()] {
            let Ok(value) = parse(&text, Shape::All) else { continue };
            if let Ok(tables) = envoy::read(&value) {
                let rules = Rules::of(&loaded.policy);
                let judged = judged(envoy::described(&tables, &rules), &rules);
                let report = Report::new(show::ROUTES, &judged, &loaded.policy);
                prop_assert!(report.to_string().contains("checked"));
            }
        }
    }

    #[test]
    fn no_regular_expression_makes_coverage_panic(regex in "[a-c/\\[\\](){}|?*+.0-9^$\\\\-]{0,20}") {
        let text = json!({"domains": ["*"], "routes": [{"match": {"safe_regex": {"regex": regex}}}]}).to_string();
        let _ = of_envoy(&parse(&text, Shape::All).expect("JSON"), &policy());
    }
}
