//! What becomes of each thing that a document can say.

use super::{
    openapi::{ImportError, Imported, make},
    placeholders::{Placeholder, Placeholders},
    plan::{Treatment, plan},
    register::Register,
};
use crate::document::Document;
use crate::policy::{load::Loaded, openapi::Api};
use portcullis_engine::{
    policy::Access,
    route::{Host, Path},
};
use proptest::prelude::*;
use serde_json::{Value, json};

fn placeholders() -> Placeholders {
    let fill_in = |text: &str| Placeholder::FillIn(text.to_owned());
    Placeholders {
        issuer: fill_in("https://id.example.com"),
        audiences: Placeholder::FillIn(vec!["example-api".to_owned()]),
        jwks_url: fill_in("https://id.example.com/jwks"),
        cluster: fill_in("id"),
        session_cluster: fill_in("session"),
    }
}

fn made_with(text: &str, hosts: bool) -> Imported {
    make(&Api::parse(text).expect("a document"), "openapi.yaml", hosts, &placeholders()).expect("a policy")
}

const SCHEMES: &str = "
components:
  securitySchemes:
    oauth: {type: oauth2, flows: {implicit: {authorizationUrl: 'https://id/a', scopes: {a: reads, b: '', c: c, d: d, 'no go': x}}}}
    oidc: {type: openIdConnect, openIdConnectUrl: 'https://id/.well-known/openid-configuration'}
    key: {type: apiKey, in: header, name: k}
    basic: {type: http, scheme: basic}
    lost: {$ref: '#/nowhere'}
";

/// The policy of a document with these paths.
fn made(paths: &str) -> Imported {
    made_with(&format!("openapi: 3.1.0\npaths:\n{paths}\n{SCHEMES}"), false)
}

fn json_of(text: &str) -> Value {
    serde_json::from_str(Document::parse("policy.yaml", text).expect("YAML").json()).expect("JSON")
}

/// The one rule of a document with one operation, but for its name and match.
fn rule_of(security: &str) -> Value {
    let made = made(&format!("  /x: {{get: {{security: {security}}}}}"));
    let policy = json_of(&made.text);
    let mut rule = policy["routes"][0].clone();
    for key in ["name", "match"] {
        rule.as_object_mut().expect("a route").remove(key);
    }
    let sets = policy.get("sets").cloned().unwrap_or_default();
    if !sets.is_null() {
        rule["sets"] = sets;
    }
    rule
}

#[test]
fn alternatives_become_requirements() {
    for (security, rule) in [
        ("[{oauth: [a]}]", json!({"require": {"all_of": ["a"]}})),
        ("[{oauth: [b, a]}]", json!({"require": {"all_of": ["a", "b"]}})),
        ("[{oauth: [a]}, {oauth: [b]}]", json!({"require": {"any_of": ["a", "b"]}})),
        ("[{oauth: [a, b]}, {oauth: [a, c]}]", json!({"require": {"all_of": ["a"], "any_of": ["b", "c"]}})),
        (
            "[{oauth: [a, b]}, {oauth: [c, d]}]",
            json!({"require": {"any_of": ["@a+b", "@c+d"]}, "sets": {"a+b": ["a", "b"], "c+d": ["c", "d"]}}),
        ),
        (
            "[{oauth: [a, b, c]}, {oauth: [a, d]}]",
            json!({"require": {"all_of": ["a"], "any_of": ["@b+c", "d"]}, "sets": {"b+c": ["b", "c"]}}),
        ),
        // Who holds more than enough holds enough.
        ("[{oauth: [a, b]}, {oauth: [a]}]", json!({"require": {"all_of": ["a"]}})),
        ("[{oauth: [a]}, {oauth: [a]}]", json!({"require": {"all_of": ["a"]}})),
        ("[{oauth: [a]}, {oauth: []}]", json!({"authenticated": true})),
        ("[{oauth: []}]", json!({"authenticated": true})),
        ("[{oauth: []}, {}]", json!({"authenticated": "optional"})),
        ("[{}, {oauth: [a]}, {key: []}]", json!({"authenticated": "optional"})),
        ("[{oauth: [a], oidc: [e]}]", json!({"require": {"all_of": ["a", "e"]}})),
        // A key would do as well: the rule is what a token needs.
        ("[{key: []}, {oauth: [a]}]", json!({"require": {"all_of": ["a"]}})),
        ("[{oauth: [a]}, {oauth: ['a b']}]", json!({"require": {"all_of": ["a"]}})),
        ("[{oauth: [a]}, {key: [], oauth: [b]}]", json!({"require": {"all_of": ["a"]}})),
    ] {
        assert_eq!(rule_of(security), rule, "{security}");
    }
}

#[test]
fn what_is_left_open_is_a_question_and_refused() {
    for (operation, question, likely) in [
        ("{}", "does not specify who may call this operation", "authenticated: true # or"),
        ("{security: []}", "anyone to call this operation: ", "public: true\n"),
        ("{security: [{}]}", "makes the token optional", "public: true\n"),
        ("{security: [{}, {key: []}]}", "makes the token optional", "public: true\n"),
        ("{security: [{key: []}]}", "`key` (an API key in the header)", "authenticated: true"),
        ("{security: [{basic: []}, {key: []}]}", "`basic` (HTTP basic), or `key`", "authenticated: true"),
        ("{security: [{key: [], oauth: [a]}]}", "a token together with `key`", "require: {all_of: [a]}"),
        ("{security: [{gone: []}]}", "`gone` (not declared in `securitySchemes`)", "authenticated: true"),
        ("{security: [{lost: []}]}", "`lost` (`$ref: #/nowhere` does not exist", "authenticated: true"),
        ("{security: [{oauth: ['a*']}]}", "wildcards are not supported", "authenticated: true # or"),
        ("{security: [{oauth: ['a b']}]}", "a scope that is not valid in a policy", "authenticated: true # or"),
        ("{security: x}", "`security` is text, not a list", "authenticated: true # or"),
    ] {
        let made = made(&format!("  /x: {{get: {operation}}}"));
        let policy =
            Loaded::of(Document::parse("policy.yaml", made.text.as_str()).expect("YAML")).expect("it loads").policy;
        let found =
            policy.routes.find(&Host::parse(b"h").expect("a host"), "GET", &Path::parse(b"/x").expect("a path"));
        assert_eq!(found, None, "{operation}");
        assert_eq!(policy.rules.len(), 1, "only the placeholder: {operation}");
        let comment = made.text.split("  # GET /x\n").nth(1).unwrap_or_default();
        assert!(comment.starts_with("  # QUESTION: ") && comment.contains(question), "{operation}: {comment}");
        assert!(comment.contains(&format!("  #   {likely}")), "{operation}: {comment}");
        assert!(made.summary.contains("GET /x: ") && made.summary.contains("1 question "), "{}", made.summary);
    }
}

#[test]
fn paths_are_respelt_or_asked_about() {
    for (path, written) in [
        ("/a/{id}", Some("/a/{id}")),
        ("/a/{order-id}:suspend", Some("/a/{order_id}:suspend")),
        ("/a/{id}:{verb}", None),
        ("/a/", Some("/a/")),
        ("/a/{user-id}", Some("/a/{user_id}")),
        ("/a/{1st}/{}", Some("/a/{_1st}/{_}")),
        ("/a/{x}/{x}", Some("/a/{x}/{x_2}")),
        ("/a%20b", Some("/a%20b")),
        ("/a/{x}.json", None),
        ("/a/{o}:{n}", None),
        ("/a/{proxy+}", None),
        ("/a/{path*}", None),
        ("/a//b", None),
        ("/a/../b", None),
        ("/a;v=1", None),
        ("/a%2fb", None),
        ("/a?x=1", None),
        ("/a#x", None),
        ("/a b", None),
        ("a", None),
    ] {
        let made = made(&format!("  {}: {{get: {{security: [{{oauth: [a]}}]}}}}", json!(path)));
        let policy = json_of(&made.text);
        let found = policy["routes"][0]["match"]["path"].as_str().filter(|path| !path.contains("placeholder"));
        assert_eq!(found, written, "{path}");
        assert_eq!(made.text.contains("# QUESTION: a policy cannot match this path: "), written.is_none(), "{path}");
    }
}

#[test]
fn two_templates_of_the_same_requests_are_one_rule_if_they_agree() {
    let made = made("  /a/{x}: {get: {security: [{oauth: [a]}]}}\n  /a/{y}: {get: {security: [{oauth: [a]}]}}");
    assert_eq!(json_of(&made.text)["routes"].as_array().map(Vec::len), Some(1));
    assert!(made.text.contains("  # also GET /a/{y}, which matches the same requests"), "{}", made.text);
}

#[test]
fn two_templates_of_the_same_requests_are_asked_about_if_they_differ() {
    for second in ["[{oauth: [b]}]", "[]", "[{key: []}, {oauth: [a]}]"] {
        let made = made(&format!(
            "  /a/{{x}}: {{get: {{security: [{{oauth: [a]}}]}}}}\n  /a/{{y}}: {{get: {{security: {second}}}}}\n  /a/{{z}}: {{get: {{security: [{{oauth: [a]}}]}}}}"
        ));
        let asked = made.text.matches("different security for the same requests").count();
        assert_eq!((asked, made.text.matches("\n  - ").count()), (3, 2), "the issuer and a placeholder: {}", made.text);
    }
}

#[test]
fn a_less_specific_rule_does_not_answer_what_has_a_question() {
    let made = made(
        "  /users/{id}: {get: {operationId: user, security: [{oauth: [a]}]}, put: {security: [{oauth: [a]}]}}
  /users/export: {get: {operationId: export, security: [{key: []}]}}
  /users/{id}/{part}: {get: {operationId: part}}
  /users/me/name: {get: {operationId: name, security: [{oauth: [b]}]}}
  '/users/{a}:{b}': {get: {security: [{oauth: [b]}]}}",
    );
    let policy = json_of(&made.text);
    let rule = |name: &str| {
        let routes = policy["routes"].as_array().expect("routes");
        routes.iter().find(|route| route["name"] == name).map(|route| route["require"]["all_of"][0].clone())
    };
    assert_eq!(rule("export"), Some(json!("portcullis:unanswered")));
    assert_eq!((rule("user"), rule("name")), (Some(json!("a")), Some(json!("b"))));
    // `name` is the more specific one: it would answer its requests anyway.
    assert_eq!(rule("part"), None);
    assert!(made.text.contains("THE ROUTES OF OTHER OPERATIONS ANSWER ITS REQUESTS: `user`"), "{}", made.text);
    assert!(policy["scopes"].as_object().expect("scopes").contains_key("portcullis:unanswered"));
}

#[test]
fn servers_are_base_paths_and_with_hosts_hosts() {
    let text = format!(
        "openapi: 3.0.0\nservers: [{{url: 'https://A.example.com/v1'}}, {{url: 'https://b.example.com:8443/v1/'}}, {{url: 'https://a.example.com/v2'}}]
paths: {{/x: {{get: {{operationId: x, security: [{{oauth: [a]}}]}}}}}}\n{SCHEMES}"
    );
    let matches = |hosts| {
        let policy = json_of(&made_with(&text, hosts).text);
        policy["routes"]
            .as_array()
            .expect("routes")
            .iter()
            .map(|route| (route["name"].clone(), route["match"].clone()))
            .collect::<Vec<_>>()
    };
    assert_eq!(
        matches(false),
        [
            (json!("x"), json!({"methods": ["GET"], "path": "/v1/x"})),
            (json!("x-2"), json!({"methods": ["GET"], "path": "/v2/x"}))
        ]
    );
    let hosts = |list: &[&str], path: &str| json!({"hosts": list, "methods": ["GET"], "path": path});
    assert_eq!(
        matches(true),
        [
            (json!("x"), hosts(&["a.example.com", "b.example.com"], "/v1/x")),
            (json!("x-2"), hosts(&["a.example.com"], "/v2/x"))
        ]
    );
}

#[test]
fn names_are_the_operations_own_or_made_of_their_paths() {
    let made = made(
        "  /a/{id}: {get: {operationId: get/a}, put: {operationId: get/a}, post: {operationId: 'say \"a\"'}, patch: {}, delete: {operationId: ä}}",
    );
    for name in ["get/a", "get/a-2", "post.a.id", "patch.a.id", "delete.a.id"] {
        assert!(made.text.contains(&format!("  # - name: {name}\n")), "{name}: {}", made.text);
    }
}

#[test]
fn the_register_is_what_the_document_declares_and_asks_for() {
    let made = made("  /x: {get: {security: [{oauth: [b, z]}]}}");
    let scopes = json_of(&made.text)["scopes"].clone();
    assert_eq!(
        scopes,
        json!({"a": {"description": "reads"}, "b": {}, "c": {"description": "c"}, "d": {"description": "d"}, "z": {}})
    );
    assert!(made.text.contains("  a: {description: \"reads\"} # no operation requires it"), "{}", made.text);
    assert!(made.text.contains("QUESTION: the scope \"no go\" is omitted"), "{}", made.text);
    assert!(made.summary.contains("scopes that are not valid in a policy (1):\n  \"no go\""), "{}", made.summary);
}

#[test]
fn a_segment_that_may_contain_an_encoded_slash_is_asked_about() {
    for (parameter, why) in [
        ("description: ID or URL-encoded path of the project", Some("description")),
        ("description: The ARN. It must be url encoded", Some("description")),
        ("description: 'such as `group%2Fproject`'", Some("description")),
        ("example: '@scope%2fname'", Some("example")),
        ("examples: {one: {value: plain}, two: {value: 'a%2Fb'}}", Some("example")),
        ("schema: {type: string, examples: [plain, 'a%2Fb']}", Some("example")),
        ("schema: {type: string, default: 'a%2Fb'}", Some("example")),
        ("description: The encoding of the project, example: 'a%20b'", None),
        ("description: '', example: 7", None),
    ] {
        let item = format!("parameters: [{{name: id, in: path, {parameter}}}]");
        let made = made(&format!("  /p/{{id}}: {{{item}, get: {{security: [{{oauth: [a]}}]}}}}"));
        let question = "  # QUESTION: a segment of the path may contain an encoded slash (`%2F`), which is refused: ";
        let asked = made.text.split(question).nth(1).map(|rest| rest.lines().next().unwrap_or_default());
        let expected = why.map(|why| format!("the {why} of `id`."));
        assert_eq!(asked, expected.as_deref(), "{parameter}: {}", made.text);
        assert_eq!(made.summary.contains("1 question "), why.is_some(), "{parameter}: {}", made.summary);
        // The rule stands, and the line of the comment is one that it can have.
        assert_eq!(json_of(&made.text)["routes"][0]["require"]["all_of"][0], "a", "{parameter}");
        let without = "    match: {methods: [GET], path: \"/p/{id}\"}";
        let with = "  #   match: {methods: [GET], path: \"/p/{id}\", encoded_slash: segment}";
        assert!(made.text.contains(without) && made.text.contains(with) == why.is_some(), "{}", made.text);
        let line = if why.is_some() { with.replace("  # ", "  ") } else { without.to_owned() };
        let answered = made.text.replace(without, &line);
        let policy = Loaded::of(Document::parse("policy.yaml", answered).expect("YAML")).expect("it loads").policy;
        let path = Path::parse(b"/p/a%2Fb").expect("a path");
        let found = policy.routes.find(&Host::parse(b"h").expect("a host"), "GET", &path);
        assert_eq!(found.is_some(), why.is_some(), "{parameter}");
    }
}

#[test]
fn an_encoded_slash_is_asked_about_where_the_operation_or_its_twin_has_another_question() {
    let item = "parameters: [{name: y, in: path, example: 'a%2Fb'}, {name: z, in: query, example: 'a%2Fb'}]";
    let open = made(&format!("  /a/{{y}}: {{{item}, get: {{}}, put: {{security: [{{oauth: [a]}}]}}}}"));
    assert_eq!(open.text.matches("encoded_slash: segment").count(), 2, "{}", open.text);
    assert!(open.summary.contains("3 questions "), "{}", open.summary);
    let security = "get: {security: [{oauth: [a]}]}";
    let twin = made(&format!("  /a/{{x}}: {{{security}}}\n  /a/{{y}}: {{{item}, {security}}}"));
    assert_eq!(twin.text.matches("encoded_slash: segment").count(), 1, "{}", twin.text);
    let elsewhere = made(&format!("  /a: {{{item}, {security}}}\n  '/a/{{y}}:x': {{{item}, {security}}}"));
    assert!(!elsewhere.text.contains("encoded_slash"), "no segment of these can have one: {}", elsewhere.text);
}

#[test]
fn texts_of_a_document_stay_texts() {
    let made = made(
        "  /x: {get: {summary: \"a\\nroutes: [] \\u2028 \\u202e # b\\u0007\", operationId: 'on', security: [{oauth: [a]}]}}",
    );
    assert!(made.text.contains("  # GET /x: a routes: [] # b\n  - name: \"on\"\n"), "{}", made.text);
}

#[test]
fn a_document_makes_the_same_policy_every_time() {
    let text = include_str!("testdata/openapi.yaml");
    let first = made_with(text, false);
    assert!((0..5).all(|_| made_with(text, false).text == first.text));
    assert_eq!(first.text, include_str!("testdata/policy.yaml"));
    assert_eq!(format!("{}\n", first.summary), include_str!("testdata/summary.txt"));
}

#[test]
fn arguments_that_have_no_place_in_a_policy_are_the_callers_fault() {
    let api = Api::parse(include_str!("testdata/openapi.yaml")).expect("a document");
    let given = Placeholders { jwks_url: Placeholder::Given("nonsense".to_owned()), ..placeholders() };
    match make(&api, "x", false, &given) {
        Err(ImportError::Arguments(faults)) => {
            assert!(faults.iter().all(|fault| fault.contains("jwks_url")), "{faults:?}")
        }
        other => panic!("{other:?}"),
    }
}

/// A document of random operations, schemes and texts.
fn any_document() -> impl Strategy<Value = Value> {
    let path = prop::sample::select(
        &[
            "/", "/a", "/a/", "/a/{x}", "/a/{y}", "/a/{x}/b", "/{x}/b", "/a/{x}.j", "/{x}", "/{y-z}", "/a/b/{c}", "//",
            "/%41",
        ][..],
    );
    let scope = prop_oneof![
        prop::sample::select(&["a", "b", "c", "a+b", "x y", "*", "portcullis:unanswered"][..]).prop_map(str::to_owned),
        ".{0,6}"
    ];
    let need = (prop::sample::select(&["o", "p", "k", "?"][..]), prop::collection::vec(scope.clone(), 0..4));
    let alternative = prop::collection::vec(need, 0..3).prop_map(|needs| {
        needs.into_iter().map(|(name, scopes)| (name.to_owned(), json!(scopes))).collect::<serde_json::Map<_, _>>()
    });
    let security = prop::option::of(prop::collection::vec(alternative, 0..4));
    let operation = (prop::option::of(".{0,9}"), ".{0,9}", security).prop_map(|(id, summary, security)| {
        let mut operation = json!({"summary": summary});
        if let Some(id) = id {
            operation["operationId"] = json!(id);
        }
        if let Some(security) = security {
            operation["security"] = json!(security);
        }
        operation
    });
    let item = prop::collection::btree_map(
        prop::sample::select(&["get", "put", "head"][..]).prop_map(str::to_owned),
        operation,
        1..3,
    );
    let paths = prop::collection::btree_map(path.prop_map(str::to_owned), item, 1..8);
    let servers = prop::collection::vec(
        prop::sample::select(&["/", "/v1", "https://a.b/v1", "https://*.b", "https://c", "https://{t}.b.c/"][..]),
        0..3,
    );
    (paths, servers, prop::collection::btree_map(scope, ".{0,9}", 0..4)).prop_map(|(paths, servers, scopes)| {
        json!({
            "openapi": "3.1.0",
            "servers": servers.into_iter().map(|url| json!({"url": url, "variables": {"t": {"default": "x"}}})).collect::<Vec<_>>(),
            "paths": paths,
            "components": {"securitySchemes": {
                "o": {"type": "oauth2", "flows": {"implicit": {"scopes": scopes}}},
                "p": {"type": "openIdConnect"},
                "k": {"type": "apiKey", "in": "header"},
            }},
        })
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// What is made always loads, and answers no request of an operation that has a question, but with refusal.
    #[test]
    fn every_document_makes_a_policy_that_loads(document in any_document(), hosts in any::<bool>()) {
        let api = Api::parse(&document.to_string()).expect("a document");
        let made = make(&api, "a\nb", hosts, &placeholders());
        prop_assert!(made.is_ok(), "{:?}", made);
        let policy = Loaded::of(Document::parse("policy.yaml", made.expect("made").text).expect("YAML")).expect("it loads").policy;
        let routes = plan(&api, hosts).expect("a plan");
        let register = Register::new(&api, &routes).expect("a register");
        for route in routes.iter().filter(|route| matches!(route.treatment, Treatment::Ask(_))) {
            let (Some(answers), Some(method)) = (&route.answers, &route.operation.method) else { continue };
            let segments = answers.path.split('/').map(|segment| match segment.split_once('}') {
                Some((_, suffix)) => format!("q9{suffix}"),
                None => segment.to_owned(),
            });
            let path = segments.collect::<Vec<_>>().join("/");
            let host = answers.hosts.first().map_or("q9.test".to_owned(), |host| host.replace('*', "q9"));
            let (host, path) = (Host::parse(host.as_bytes()).expect("a host"), Path::parse(path.as_bytes()).expect("a path"));
            let found = policy.routes.find(&host, method, &path).map(|rule| &policy.rules[rule.0].access);
            let is_barred = matches!(found, Some(Access::Scopes(asked)) if asked.challenge() == register.block_scope());
            prop_assert!(found.is_none() || is_barred, "{} {:?}: {:?}", method, path, found);
        }
    }

    #[test]
    fn no_json_makes_a_faulty_policy(paths in crate::policy::openapi::any_json(), components in crate::policy::openapi::any_json()) {
        let document = json!({"openapi": "3.1.0", "paths": {"/a/{id}": paths.clone(), "/b": {"get": paths}}, "components": components});
        if let Ok(api) = Api::parse(&document.to_string()) {
            let made = make(&api, "x", true, &placeholders());
            prop_assert!(made.is_ok(), "{:?}", made);
        }
    }
}

#[test]
fn what_cannot_be_barred_is_not_called_refused() {
    let made = made(
        "  /files/{name}: {get: {security: [{oauth: [a]}]}}\n  /files/{name}.secret: {get: {security: [{oauth: [b]}]}}\n",
    );
    assert!(made.summary.contains("UNTIL THEN, ROUTE `get.files.name` ANSWERS IT"), "{}", made.summary);
    assert!(made.summary.contains("except 1 that the route of another operation answers"), "{}", made.summary);
    assert!(made.text.contains("UNTIL THEN, THE ROUTES OF OTHER OPERATIONS ANSWER ITS REQUESTS"), "{}", made.text);
}

#[test]
fn a_server_s_rule_never_opens_another_server_s_operation() {
    let made = made(
        "  /u/{id}: {servers: [{url: 'https://admin.example.com'}], get: {security: [{oauth: [a]}]}}
  /u/me: {servers: [{url: 'https://shop.example.com'}], get: {security: [{oauth: [b]}]}}\n",
    );
    let policy = Loaded::parse("policy.yaml", made.text).expect("a policy").policy;
    let rule = |host: &str| {
        let found = policy.routes.find(&Host::parse(host.as_bytes())?, "GET", &Path::parse(b"/u/me").ok()?)?;
        policy.rules.get(found.0).map(|rule| rule.name.as_str())
    };
    assert_eq!(rule("admin.example.com"), Some("get.u.id"));
    assert_eq!(rule("shop.example.com"), Some("get.u.me"));
    assert_eq!(rule("elsewhere.example.com"), None);
}
