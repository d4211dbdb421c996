//! Session cookies, and the token endpoint where browsers get them.

use super::*;

fn with(token_from: Value, more: &[(&str, Value)]) -> Value {
    let mut policy = design();
    policy["token_from"] = token_from;
    policy["oauth"] = json!({"cluster": "session"});
    for (key, value) in more {
        policy[*key] = value.clone();
    }
    policy
}

#[test]
fn the_endpoint_is_under_oauth2_unless_the_policy_says_otherwise() {
    let policy = parse(&with(json!([{"session_cookie": "__Host-p"}]), &[])).unwrap();
    assert_eq!(policy.token_from, [TokenPlace::SessionCookie("__Host-p".to_owned())]);
    assert_eq!(policy.token_from[0].to_string(), "{session_cookie: __Host-p}");
    assert_eq!(policy.session_cookie(), Some("__Host-p"));
    assert_eq!(policy.oauth, Some(OAuth { path: "/oauth2".to_owned(), cluster: "session".to_owned() }));
    let elsewhere = json!({"path": "/auth/v1", "cluster": "tokens"});
    let policy = parse(&with(json!([{"cookie": "session"}]), &[("oauth", elsewhere)])).unwrap();
    assert_eq!(policy.oauth, Some(OAuth { path: "/auth/v1".to_owned(), cluster: "tokens".to_owned() }));
    assert_eq!(policy.session_cookie(), None);
    assert_eq!(parse(&design()).unwrap().oauth, None);
}

#[test]
fn origins_can_be_allowed_for_a_session_cookie() {
    let origins = ("allowed_origins", json!(["https://app.example.com"]));
    assert_eq!(parse(&with(json!([{"session_cookie": "s"}]), &[origins])).unwrap().allowed_origins.len(), 1);
}

#[test]
fn there_is_one_session_cookie_and_no_other_place_has_its_name() {
    let only = "only one `session_cookie` is possible, and no `cookie` can have its name";
    for (places, expected) in [
        (json!([{"session_cookie": "a"}, {"session_cookie": "a"}]), vec![]),
        (json!([{"session_cookie": "a"}, {"session_cookie": "b"}]), vec![format!("$.token_from[1]: {only}")]),
        (json!([{"cookie": "a"}, {"session_cookie": "a"}]), vec![format!("$.token_from[1]: {only}")]),
        (json!([{"session_cookie": "a"}, {"cookie": "a"}]), vec![format!("$.token_from[1]: {only}")]),
        (json!([{"session_cookie": "a"}, {"cookie": "b"}]), vec![]),
        (
            json!([{"session_cookie": "a b"}]),
            vec!["$.token_from[0].session_cookie: `a b` contains a byte that such a name cannot have".to_owned()],
        ),
        (
            json!([{"session_cookie": "a", "cookie": "b"}]),
            vec![
                "$.token_from[0]: specify exactly one of `cookie`, `session_cookie` and `websocket_protocol`"
                    .to_owned(),
            ],
        ),
    ] {
        assert_eq!(lines(&with(places.clone(), &[])), expected, "{places}");
    }
}

#[test]
fn an_introspection_endpoint_knows_no_handles() {
    let mut policy = with(json!([{"session_cookie": "a"}]), &[]);
    without_stream_limits(&mut policy);
    policy["session"] =
        json!({"cluster": "id", "protocol": "introspection", "path": "/introspect", "authority": "id.example"});
    let found = lines(&policy);
    let expected = "$.token_from[0].session_cookie: only Portcullis's own session service knows the tokens of handles; use `cookie`, \
                    or `$.session.protocol: stream`";
    assert_eq!(found, [expected]);
}
