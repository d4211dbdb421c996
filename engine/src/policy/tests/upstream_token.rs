//! Tokens for upstreams: what a policy can say of them, and what it cannot.

use super::*;

fn with(top: Value, route: Value) -> Result<Policy, Faults> {
    let mut policy = design();
    policy.as_object_mut().unwrap().remove("forward_token");
    for (pointer, value) in [("", top), ("/routes/1", route)] {
        if !value.is_null() {
            policy.pointer_mut(pointer).unwrap().as_object_mut().unwrap().insert("upstream_token".to_owned(), value);
        }
    }
    parse(&policy)
}

#[test]
fn a_policy_without_one_has_none_and_forwards_the_clients_token() {
    let policy = with(Value::Null, Value::Null).unwrap();
    assert!(policy.upstream_headers.is_empty() && policy.forward_token && policy.workload.is_none());
    assert!(policy.rules.iter().all(|rule| rule.upstream_token.is_none() && rule.forward_token));
}

#[test]
fn one_of_the_policy_is_that_of_every_route_that_is_not_public() {
    let policy = with(json!({"audience": "internal"}), Value::Null).unwrap();
    let expected = UpstreamToken {
        audience: "internal".to_owned(),
        ttl: Duration::from_secs(30),
        scopes: TokenScopes::Route,
        header: "txn-token".to_owned(),
        typ: "txntoken+jwt".to_owned(),
        rctx: RequestContext::Route,
        without: WithoutToken::Refuse,
    };
    for rule in &policy.rules {
        let is_public = matches!(rule.access, Access::Public);
        assert_eq!(rule.upstream_token.as_deref(), (!is_public).then_some(&expected), "{}", rule.name);
        assert!(!rule.forward_token, "{}", rule.name);
    }
    assert!(!policy.forward_token);
    assert_eq!(policy.upstream_headers, ["txn-token"]);
}

#[test]
fn a_route_takes_what_it_leaves_out_from_the_policy() {
    let top = json!({"audience": "internal", "ttl": "10s", "on_outage": "omit"});
    let own = json!({"ttl": "1m", "scopes": "token", "header": "X-Hop", "typ": "hop+jwt", "rctx": "address"});
    let policy = with(top, own).unwrap();
    let expected = UpstreamToken {
        audience: "internal".to_owned(),
        ttl: Duration::from_secs(60),
        scopes: TokenScopes::Token,
        header: "x-hop".to_owned(),
        typ: "hop+jwt".to_owned(),
        rctx: RequestContext::Address,
        without: WithoutToken::Omit,
    };
    assert_eq!(policy.rules[1].upstream_token.as_deref(), Some(&expected));
    assert_eq!(policy.upstream_headers, ["x-hop", "txn-token"]);
    let policy = with(Value::Null, json!({"audience": "orders"})).unwrap();
    assert!(policy.forward_token && policy.rules[2].forward_token && !policy.rules[1].forward_token);
    assert!(policy.rules[2].upstream_token.is_none());
}

#[test]
fn what_the_policy_says_of_the_clients_token_holds_for_every_route() {
    let mut policy = design();
    policy["upstream_token"] = json!({"audience": "internal"});
    let policy = parse(&policy).unwrap();
    assert!(policy.forward_token && policy.rules.iter().all(|rule| rule.forward_token));
}

#[test]
fn each_fault_is_one_and_says_where_it_is() {
    let of = |top: Value, route: Value| -> Vec<String> {
        with(top, route).map_or_else(|faults| faults.iter().map(ToString::to_string).collect(), |_| Vec::new())
    };
    let audience = |key: &str, value: Value| json!({"audience": "a", key: value});
    for (route, expected) in [
        (json!({}), "$.routes[1].upstream_token.audience: this key is required"),
        (audience("audience", json!("")), "$.routes[1].upstream_token.audience: must not be empty"),
        (audience("ttl", json!("1s")), "$.routes[1].upstream_token.ttl: `1s` is too short; at least `2s`"),
        (audience("ttl", json!("2h")), "$.routes[1].upstream_token.ttl: `2h` is too long; at most `3600s`"),
        (
            audience("scopes", json!("all")),
            "$.routes[1].upstream_token.scopes: unknown value `all`; expected one of `route`, `token`",
        ),
        (
            audience("rctx", json!("host")),
            "$.routes[1].upstream_token.rctx: unknown value `host`; expected one of `route`, `address`",
        ),
        (
            audience("header", json!("x-portcullis-token")),
            "$.routes[1].upstream_token.header: `x-portcullis-token`: headers `x-portcullis-…` are the filter's own",
        ),
        (
            audience("typ", json!("application/jwt")),
            "$.routes[1].upstream_token.typ: `application/jwt` is not a media type without `application/`",
        ),
        (
            audience("on_outage", json!("deny")),
            "$.routes[1].upstream_token.on_outage: the only value is `omit`, found `deny`; omit the key to answer with 503 where no token can be minted",
        ),
    ] {
        assert_eq!(of(Value::Null, route), [expected]);
    }
    assert_eq!(of(json!({"audience": "a", "ttl": "1s"}), Value::Null).len(), 1, "not once for each route");
    let left_out = of(json!({"ttl": "5s"}), json!({"audience": "orders"}));
    assert_eq!(left_out.len(), 4, "every other route that is not public: {left_out:?}");
    let authorization = of(Value::Null, audience("header", json!("Authorization")));
    assert!(authorization[0].contains("decides how the request is handled"), "{authorization:?}");
}

#[test]
fn a_public_route_and_an_introspection_endpoint_have_none() {
    let mut policy = design();
    policy["routes"][0]["upstream_token"] = json!({"audience": "a"});
    let expected =
        "$.routes[0].upstream_token: a public route has no session that a token could be about; omit this key";
    assert_eq!(lines(&policy), [expected]);
    let mut policy = design();
    without_stream_limits(&mut policy);
    policy["session"] = json!({"cluster": "id", "protocol": "introspection", "path": "/introspect"});
    policy["upstream_token"] = json!({"audience": "a"});
    let expected = "$.upstream_token: only a session service on the check stream mints tokens; use `session` with `protocol: stream`";
    assert_eq!(lines(&policy), [expected]);
}
