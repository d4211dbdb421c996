//! Tests of faults: one table of single faults, and many at once.

use super::*;

/// Sets `pointer` in the design's policy to a value and gives what is said.
fn with(pointer: &str, value: Value) -> Vec<String> {
    let mut json = design();
    if value == "introspection" || value["protocol"] == "introspection" {
        without_stream_limits(&mut json);
    }
    let (parent, key) = pointer.rsplit_once('/').unwrap();
    match json.pointer_mut(parent).unwrap() {
        Value::Array(list) if key == "-" => list.push(value),
        Value::Array(list) => list[key.parse::<usize>().unwrap()] = value,
        Value::Object(object) => drop(object.insert(key.replace("~1", "/"), value)),
        _ => panic!("{pointer}"),
    }
    lines(&json)
}

fn without(parent: &str, key: &str) -> Vec<String> {
    let mut json = design();
    json.pointer_mut(parent).unwrap().as_object_mut().unwrap().remove(key).unwrap();
    lines(&json)
}

/// Each case is two lines: what is put where, and what is said about it.
const CASES: &str = include_str!("../testdata/faults.txt");

#[test]
fn each_bad_value_is_one_fault_where_it_stands() {
    let lines: Vec<&str> = CASES.lines().collect();
    for case in lines.chunks(2) {
        let (pointer, value) = case[0].split_once(" = ").unwrap();
        let value = serde_json::from_str(value).unwrap();
        assert_eq!(with(pointer, value), [case[1].trim_start()], "{}", case[0]);
    }
}

#[test]
fn each_missing_key_is_one_fault_and_says_who_needs_it() {
    for (parent, key, line) in [
        ("/issuers/0", "issuer", "$.issuers[0].issuer: this key is required"),
        ("/issuers/0", "algorithms", "$.issuers[0].algorithms: this key is required"),
        ("/issuers/0", "keys", "$.issuers[0].keys: this key is required"),
        ("/issuers/0/keys", "cluster", "$.issuers[0].keys.cluster: this key is required"),
        ("/session", "cluster", "$.session.cluster: this key is required"),
        ("", "routes", "$.routes: this key is required"),
        (
            "",
            "issuers",
            "$.issuers: this key is required; `$.routes[1]` is not public: list the issuers whose tokens are accepted",
        ),
        ("", "session", "$.session: this key is required; `$.routes[1]` is not public: configure the session service"),
        ("/routes/4", "name", "$.routes[4].name: this key is required"),
        ("/routes/4", "match", "$.routes[4].match: this key is required"),
        ("/routes/4/match", "path", "$.routes[4].match.path: this key is required"),
        (
            "/routes/4",
            "authenticated",
            "$.routes[4]: specify who can use the route: `public: true`, `authenticated: true` or `require`",
        ),
    ] {
        assert_eq!(without(parent, key), [line], "{parent}/{key}");
    }
}

#[test]
fn audiences_may_only_be_left_out_where_clients_are_listed() {
    assert_eq!(without("/issuers/0", "audiences"), [""; 0]);
    assert_eq!(without("/issuers/0", "clients"), [""; 0]);
    let mut json = design();
    for key in ["audiences", "clients"] {
        json["issuers"][0].as_object_mut().unwrap().remove(key).unwrap();
    }
    let expected = "$.issuers[0].audiences: this key is required; it can only be omitted if `clients` lists the clients of this API";
    assert_eq!(lines(&json), [expected]);
}

#[test]
fn scopes_and_sets_may_not_be_left_out_once_a_rule_needs_them() {
    let lines = without("", "sets");
    assert!(
        lines.contains(&"$.sets: this key is required; `$.routes[2]` requires a set: define it here".into()),
        "{lines:?}"
    );
    let lines = without("", "scopes");
    assert!(
        lines.contains(&"$.scopes: this key is required; `$.routes[1]` requires a scope: declare it here".into()),
        "{lines:?}"
    );
    assert!(
        lines.contains(&"$.routes[1].require.all_of[0]: `orders:read` is not in `$.scopes`; declare it there".into())
    );
}

#[test]
fn a_dozen_different_faults_are_reported_at_once() {
    let text = r#"{
        "mode": "enforced", "realms": "x", "forward_token": 1,
        "issuers": [{"issuer": "a", "audiences": [1, "x", ""], "algorithms": ["none"], "keys": {"jwks_url": "x", "kid": 1}}],
        "session": {"cluster": null, "timeout": "1d", "on_outage": {"grace": "x"}},
        "scopes": {"a:b": {"owner": 1, "review_by": "soon"}, "*": {}},
        "sets": {"s": ["a:b", 5, "c"], "t": "a:b"},
        "routes": [
            5,
            {"name": "x", "name": "y", "match": {"path": "a", "host": []}, "require": {"any_of": [{}, "@t", "@u"]}},
            {"name": "x", "match": {"methods": ["GET", 7], "path": "/{a"}, "public": true, "mode": "shadow", "acr": "x", "session": {"max_age": 1}}
        ]
    }"#;
    let faults = Policy::parse(text.as_bytes()).unwrap_err();
    let mut paths: Vec<_> = faults.iter().map(|fault| fault.path.as_str()).collect();
    paths.sort_unstable();
    let expected = [
        "$.forward_token",
        "$.issuers[0].algorithms[0]",
        "$.issuers[0].audiences[0]",
        "$.issuers[0].audiences[2]",
        "$.issuers[0].keys.cluster",
        "$.issuers[0].keys.jwks_url",
        "$.issuers[0].keys.kid",
        "$.mode",
        "$.realms",
        "$.routes[0]",
        "$.routes[1].match.host",
        "$.routes[1].match.path",
        "$.routes[1].name",
        "$.routes[1].require.any_of[0]",
        "$.routes[1].require.any_of[2]",
        "$.routes[2].acr",
        "$.routes[2].acr",
        "$.routes[2].match.methods[1]",
        "$.routes[2].match.path",
        "$.routes[2].mode",
        "$.routes[2].name",
        "$.routes[2].session",
        "$.routes[2].session.max_age",
        "$.scopes['*']",
        "$.scopes['a:b'].owner",
        "$.scopes['a:b'].review_by",
        "$.session.cluster",
        "$.session.on_outage.grace",
        "$.session.timeout",
        "$.sets.s[1]",
        "$.sets.s[2]",
        "$.sets.t",
    ];
    assert_eq!(paths, expected, "{faults}");
}

#[test]
fn a_report_stops_at_a_hundred_and_says_how_many_more() {
    let mut json = design();
    json["routes"] = (0..250).map(|_| json!({"name": 1, "match": {"path": "/"}, "public": true})).collect();
    let faults = parse(&json).unwrap_err();
    assert_eq!(faults.iter().count(), 100);
    assert_eq!(faults.more(), 250 + 249 - 100);
    assert!(faults.to_string().ends_with("\nand at least 399 more"), "{faults}");
    let many: serde_json::Map<_, _> = (0..5_000).map(|n| (format!("key{n}"), json!(n))).collect();
    assert!(parse(&Value::Object(many)).unwrap_err().more() > 0);
}

#[test]
fn what_is_no_object_is_one_fault() {
    for (text, line) in [
        ("", "$: the policy is empty"),
        ("[]", "$: expected an object, found a list"),
        ("\"x\"", "$: expected an object, found text"),
        ("{\"mode\": }", "$: not valid JSON: expected value at line 1 column 10"),
    ] {
        assert_eq!(Policy::parse(text.as_bytes()).unwrap_err().to_string(), line);
    }
    assert!(Policy::parse(b"null").is_err());
    let large = " ".repeat(validate::POLICY_BYTES_MAX + 1);
    assert_eq!(Policy::parse(large.as_bytes()).unwrap_err().to_string(), "$: the policy is larger than 33554432 bytes");
}

#[test]
fn no_message_speaks_of_types_or_repeats_a_secret() {
    let faults = with("/session/credential", json!({"env": "s3cret value", "value": "s3cret value"}));
    for word in ["struct", "sequence", "Option", "Raw", "s3cret"] {
        assert!(!faults.iter().any(|line| line.contains(word)), "{faults:?}");
    }
}

#[test]
fn a_fault_says_what_it_is_about_and_what_was_meant() {
    let text = r#"{
        "mode": "shadwo", "realms": 1, "realm": "a", "realm": "b",
        "scopes": {"a b": {}, "admin": {}}, "sets": {"@x": ["admin"]},
        "routes": [
            {"match": {"path": "/", "methods": ["get"]}, "require": {"all_of": ["amdin", "@y"]}},
            {"name": "b", "match": {"path": "b"}, "authenticated": true}
        ]
    }"#;
    let faults = Policy::parse(text.as_bytes()).unwrap_err();
    let about: Vec<_> = faults.iter().map(|fault| (fault.path.as_str(), fault.about, fault.meant.as_deref())).collect();
    for expected in [
        ("$.realm", About::RepeatedKey, None),
        ("$.realms", About::UnknownKey, Some("realm")),
        ("$.mode", About::Value, Some("shadow")),
        ("$.scopes['a b']", About::Key, None),
        ("$.sets['@x']", About::Key, Some("x")),
        ("$.routes[0].name", About::MissingKey, None),
        ("$.routes[0].match.methods[0]", About::Value, Some("GET")),
        ("$.routes[0].require.all_of[0]", About::Undeclared, None),
        ("$.routes[0].require.all_of[1]", About::Undeclared, None),
        ("$.routes[1].match.path", About::Value, None),
        ("$.issuers", About::MissingKey, None),
        ("$.session", About::MissingKey, None),
    ] {
        assert!(about.contains(&expected), "{expected:?} is not in {about:?}");
    }
    assert_eq!(about.len(), 12);
}

/// The faults of a policy whose routes each require a set of 100 scopes, with names as long as given.
fn of_routes(count: usize, scope_bytes: usize) -> Vec<String> {
    let mut json = design();
    let scopes: Vec<String> = (0..100).map(|n| format!("{n:0>scope_bytes$}")).collect();
    json["scopes"] = scopes.iter().map(|scope| (scope.clone(), json!({}))).collect::<serde_json::Map<_, _>>().into();
    json["sets"] = json!({"all": scopes});
    let route = |n: usize| {
        json!({"name": format!("orders.{n}"), "match": {"path": format!("/orders/{n}/items")},
        "require": {"any_of": ["@all"]}})
    };
    json["routes"] = (0..count).map(route).collect();
    lines(&json)
}

#[test]
fn a_policy_that_the_session_service_would_not_read_is_a_fault() {
    let fault =
        "$: the session service cannot be sent these routes, scopes and issuers: the message would have more than";
    assert_eq!(of_routes(1_000, 60), [""; 0]);
    assert_eq!(of_routes(2_000, 60), [format!("{fault} 8388608 bytes")]);
    assert_eq!(of_routes(9_000, 3), [""; 0]);
    assert_eq!(of_routes(10_000, 3), [format!("{fault} 1000000 scopes and names")]);
}
