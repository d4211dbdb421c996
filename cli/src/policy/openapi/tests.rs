//! Small documents, and anything else.

use super::*;
use proptest::prelude::*;

fn operations(text: &str) -> Vec<String> {
    let api = Api::parse(text).expect("a document");
    let error = |operation: &Operation| operation.error.as_ref().map(|why| format!(" ! {why}")).unwrap_or_default();
    let bases =
        |operation: &Operation| operation.bases.iter().map(|base| format!(" {}", base.path)).collect::<String>();
    api.operations.iter().map(|operation| operation.label() + &bases(operation) + &error(operation)).collect()
}

fn refused(text: &str) -> String {
    Api::parse(text).expect_err("no document")
}

#[test]
fn what_is_no_openapi_3_is_refused_in_words() {
    for (text, words) in [
        ("swagger: '2.0'", "Swagger 2.0"),
        ("openapi: 4.0.0", "found `openapi: 4.0.0`"),
        ("a: 1", "no member `openapi`"),
        ("[]", "no member `openapi`"),
        ("openapi: 3.1.0\npaths: {}", "no operation"),
        ("openapi: 3.1.0\nopenapi: 3.0.0", "twice"),
        ("openapi: 3.1.0\npaths: {/a: {<<: {get: {}}}}", "`<<`"),
        ("{\"openapi\": \"3.0.0\",}x", "trailing"),
        ("openapi: [", "line 1"),
    ] {
        assert!(refused(text).contains(words), "{text}: {}", refused(text));
    }
}

#[test]
fn a_name_that_yaml_once_merged_by_is_a_name_in_quotes() {
    for text in [
        "openapi: 3.1.0\npaths: {/a: {get: {}, '<<': {}}}",
        r#"{"openapi": "3.1.0", "paths": {"/a": {"get": {}, "<<": {}}}}"#,
    ] {
        assert_eq!(operations(text), ["GET /a "], "{text}");
    }
}

#[test]
fn versions_are_text_or_a_number() {
    for version in ["3.0.0", "3.1", "'3.1.1'", "3.2.0"] {
        assert_eq!(operations(&format!("openapi: {version}\npaths: {{/a: {{get: {{}}}}}}")), ["GET /a "], "{version}");
    }
}

#[test]
fn words_that_other_readers_take_for_booleans_are_words_here() {
    assert_eq!(operations("openapi: 3.0.0\npaths:\n  /a:\n    get: {operationId: on, tags: [no, off]}"), ["GET /a "]);
}

#[test]
fn json_may_have_what_yaml_has_not() {
    let text = "{\"openapi\":\"3.0.0\",\t\"info\":{\"title\":\"\\ud83d\\ude00\"},\"paths\":{\"/a\":{\"get\":{}}}}";
    assert_eq!(Api::parse(text).expect("json").title, "😀");
    assert_eq!(operations("{openapi: 3.0.0, paths: {/a: {get: {}}}}"), ["GET /a "]);
}

#[test]
fn path_items_and_parameters_are_followed_within_the_document() {
    let text = "
openapi: 3.1.0
paths:
  /a: {$ref: '#/components/pathItems/shared'}
  /b: {$ref: '#/paths/~1a', put: {}}
  /c: {$ref: 'other.yaml#/c'}
  /d: 5
  /e/{id}: {parameters: [{$ref: '#/components/parameters/m'}], get: {}, post: 7}
  x-internal: {get: {}}
components:
  pathItems: {shared: {get: {}, summary: shared}}
  parameters: {m: {name: id, in: path, style: matrix}}
";
    let found = operations(text);
    assert_eq!(found[..3], ["GET /a ", "PUT /b ", "GET /b "]);
    assert!(found[3].starts_with("(any) /c ") && found[3].contains("another document"), "{found:?}");
    assert!(found[4].starts_with("(any) /d ") && found[4].contains("a number, not an object"), "{found:?}");
    assert!(found[5].contains("style: matrix") && found[6].contains("a number, not an object"), "{found:?}");
    assert_eq!(found.len(), 7);
}

#[test]
fn the_nearest_servers_count() {
    let text = "
openapi: 3.0.3
servers: [{url: https://x.example/v1}]
paths:
  /a: {get: {}, put: {servers: [{url: /v3}, {url: /v4}]}}
  /b: {servers: [{url: https://x.example/v2/}], get: {servers: []}}
";
    assert_eq!(operations(text), ["GET /a /v1", "PUT /a /v3 /v4", "GET /b /v2"]);
}

#[test]
fn methods_of_openapi_3_2_are_operations_too() {
    let text = "{openapi: 3.2.0, paths: {/a: {query: {}, additionalOperations: {COPY: {}}}}}";
    assert_eq!(operations(text), ["QUERY /a ", "COPY /a "]);
}

fn security_of(security: &str) -> Security {
    let api = Api::parse(&format!("openapi: 3.0.0\nsecurity: [{{d: []}}]\npaths: {{/a: {{get: {{{security}}}}}}}"));
    api.expect("a document").operations.remove(0).security
}

#[test]
fn the_operations_security_comes_before_the_documents() {
    let any_of = |alternatives: &[&[(&str, &[&str])]]| {
        let need = |(scheme, scopes): &(&str, &[&str])| {
            ((*scheme).to_owned(), scopes.iter().map(|scope| (*scope).to_owned()).collect())
        };
        Security::AnyOf(alternatives.iter().map(|needs| needs.iter().map(need).collect()).collect())
    };
    assert_eq!(security_of(""), any_of(&[&[("d", &[])]]));
    assert_eq!(security_of("security: []"), any_of(&[]));
    assert_eq!(security_of("security: [{}, {a: [x, y], b: []}]"), any_of(&[&[], &[("a", &["x", "y"]), ("b", &[])]]));
    for text in ["security: {a: []}", "security: [a]", "security: [{a: x}]", "security: [{a: [1]}]", "security: null"] {
        assert!(matches!(security_of(text), Security::Unreadable(_)), "{text}");
    }
}

/// Any JSON, with members that mean something here.
pub(in crate::policy) fn any_json() -> impl Strategy<Value = serde_json::Value> {
    let key = prop::sample::select(
        &[
            "openapi",
            "info",
            "title",
            "servers",
            "url",
            "variables",
            "enum",
            "default",
            "paths",
            "/a/{id}",
            "/",
            "$ref",
            "get",
            "put",
            "security",
            "oauth",
            "components",
            "securitySchemes",
            "pathItems",
            "parameters",
            "type",
            "flows",
            "implicit",
            "scopes",
            "style",
            "in",
            "operationId",
            "virtual_hosts",
            "domains",
            "routes",
            "match",
            "prefix",
            "path",
            "safe_regex",
            "regex",
            "headers",
            "name",
            "string_match",
            "exact",
            "path_match_policy",
            "typed_config",
            "path_template",
            "path_separated_prefix",
        ][..],
    );
    let text = prop_oneof![
        prop::sample::select(
            &[
                "3.0.0",
                "oauth2",
                "path",
                "matrix",
                ":method",
                "GET",
                "#/paths/~1a~1{id}",
                "/{a}/{b}",
                "*",
                "/a/**",
                "https://{x}.a.b/{y}",
                "a b",
                "@a"
            ][..]
        )
        .prop_map(str::to_owned),
        ".{0,12}"
    ];
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        text.prop_map(Into::into)
    ];
    leaf.prop_recursive(7, 96, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Into::into),
            prop::collection::btree_map(key.clone().prop_map(str::to_owned), inner, 0..7)
                .prop_map(|entries| serde_json::Value::Object(entries.into_iter().collect()))
        ]
    })
}

proptest! {
    #[test]
    fn no_json_makes_the_reader_panic(mut json in any_json(), paths in any_json(), security in any_json()) {
        if let Some(object) = json.as_object_mut() {
            object.insert("openapi".to_owned(), "3.1.0".into());
            object.insert("paths".to_owned(), serde_json::json!({"/a/{id}": paths.clone(), "/b": {"get": {"security": security}, "put": paths}}));
        }
        let _ = Api::parse(&json.to_string());
    }

    #[test]
    fn no_text_makes_the_reader_panic(text in "[ -~\n]{0,60}") {
        let _ = Api::parse(&text);
    }
}
