//! Tests of where tokens are found, which pages may use them, and what is left for the upstream.

use super::*;
use serde_json::json;

fn policy(top: serde_json::Value) -> Policy {
    let mut policy = json!({
        "issuers": [{
            "issuer": "https://id.example", "audiences": ["api"], "algorithms": ["ES256"],
            "keys": {"jwks_url": "https://id.example/jwks", "cluster": "id"}
        }],
        "session": {"cluster": "session"},
        "routes": [{"name": "all", "match": {"path": "/{*all}"}, "authenticated": true}]
    });
    for (key, value) in top.as_object().unwrap() {
        policy[key] = value.clone();
    }
    Policy::parse(policy.to_string().as_bytes()).unwrap_or_else(|faults| panic!("{faults}"))
}

fn everywhere(forward_token: bool) -> Policy {
    policy(json!({
        "token_from": ["authorization", {"cookie": "session"}, {"websocket_protocol": "bearer"}],
        "allowed_origins": ["https://app.example", "http://localhost:3000"],
        "forward_token": forward_token,
    }))
}

type Headers = Vec<(String, Vec<u8>)>;

fn headers(own: &[(&str, &str)]) -> Headers {
    let base = [(":method", "GET"), (":authority", "api.example"), (":path", "/x")];
    let is_given = |name: &str| own.iter().any(|(own, _)| *own == name);
    let base = base.into_iter().filter(|(name, _)| !is_given(name));
    base.chain(own.iter().copied()).map(|(name, value)| (name.to_owned(), value.as_bytes().to_vec())).collect()
}

#[test]
fn exactly_one_place_carries_a_token() {
    use CredentialError::{Malformed, NoCredentials};
    let policy = everywhere(true);
    let authorization = ("authorization", "Bearer a");
    let protocol = ("sec-websocket-protocol", "chat, bearer, c");
    for (own, expected) in [
        (&[][..], Err(NoCredentials)),
        (&[authorization], Ok("a")),
        (&[("cookie", "x=1; session=b")], Ok("b")),
        (&[("cookie", "x=1"), ("cookie", "session=\"b\"")], Ok("b")),
        (&[protocol], Ok("c")),
        (&[("cookie", "session=")], Err(NoCredentials)),
        (&[("cookie", "session="), authorization], Ok("a")),
        (&[("authorization", "Basic YTpi"), ("cookie", "session=b")], Ok("b")),
        (&[authorization, ("cookie", "session=b")], Err(Malformed)),
        (&[authorization, protocol], Err(Malformed)),
        (&[("cookie", "session=b"), protocol], Err(Malformed)),
        (&[("cookie", "session=b; session=b")], Err(Malformed)),
        (&[("cookie", "session=b c")], Err(Malformed)),
        (&[("cookie", "session=\"b")], Err(Malformed)),
        (&[("sec-websocket-protocol", "bearer")], Err(Malformed)),
        (&[("sec-websocket-protocol", "chat")], Err(NoCredentials)),
        (&[("authorization", "Bearer"), ("cookie", "session=b")], Err(Malformed)),
    ] {
        let headers = headers(own);
        assert_eq!(find(&Head::read(&headers), &policy).map(|found| found.token), expected, "{own:?}");
    }
}

#[test]
fn a_place_that_the_policy_does_not_name_carries_none() {
    let default = policy(json!({}));
    let headers = headers(&[("cookie", "session=b"), ("sec-websocket-protocol", "bearer, c")]);
    assert_eq!(find(&Head::read(&headers), &default).map(|found| found.token), Err(CredentialError::NoCredentials));
    assert_eq!(removal(&Head::read(&headers), &default, None), Removal::default());
}

#[test]
fn a_cookie_changes_things_only_for_pages_of_its_own_host_and_of_allowed_origins() {
    let policy = everywhere(true);
    let cookie = ("cookie", "session=b");
    let upgrade = ("upgrade", "websocket");
    for (own, expected) in [
        (&[cookie][..], false),
        (&[cookie, (":method", "HEAD")], false),
        (&[cookie, (":method", "POST")], true),
        (&[cookie, (":method", "TRACE")], true),
        (&[cookie, (":method", "get"), ("origin", "null")], true),
        (&[cookie, upgrade], true),
        (&[cookie, upgrade, ("origin", "https://api.example")], false),
        (&[cookie, (":method", "POST"), ("origin", "https://api.example")], false),
        (&[cookie, (":method", "POST"), ("origin", "https://app.example")], false),
        (&[cookie, (":method", "POST"), ("origin", "https://app.example:443")], false),
        (&[cookie, (":method", "POST"), ("origin", "http://localhost:3000")], false),
        (&[cookie, (":method", "POST"), ("origin", "http://localhost")], true),
        (&[cookie, (":method", "POST"), ("origin", "https://evil.example")], true),
        (&[cookie, (":method", "POST"), ("origin", "null")], true),
        (&[cookie, (":method", "POST"), ("origin", "http://api.example")], false),
        (&[cookie, (":method", "POST"), ("origin", "http://api.example"), (":scheme", "https")], true),
        (&[cookie, (":method", "POST"), ("origin", "http://api.example"), ("x-forwarded-proto", "https")], true),
        // A page that has the token itself needs no protection from others.
        (&[("authorization", "Bearer a"), (":method", "POST"), ("origin", "https://evil.example")], false),
        (&[("sec-websocket-protocol", "bearer, c"), upgrade, ("origin", "https://evil.example")], false),
    ] {
        let headers = headers(own);
        let head = Head::read(&headers);
        let found = find(&head, &policy).unwrap_or_else(|error| panic!("{own:?}: {error}"));
        assert_eq!(found.is_cross_origin(&head, &policy), expected, "{own:?}");
    }
}

#[test]
fn the_token_is_taken_away_wherever_it_was_and_nothing_else_is() {
    let all = [
        ("authorization", "Bearer a"),
        ("cookie", "x=1; session=b"),
        ("cookie", "y=\"2\""),
        ("sec-websocket-protocol", "chat, bearer, c, superchat"),
    ];
    let own = headers(&all);
    let head = Head::read(&own);
    let protocol = ("sec-websocket-protocol", b"chat, superchat".to_vec());
    let expected =
        Removal { replace: vec![protocol.clone()], subprotocol: Some("bearer".to_owned()), ..Removal::default() };
    assert_eq!(removal(&head, &everywhere(true), None), expected);
    let expected = Removal {
        strip: vec!["authorization"],
        replace: vec![("cookie", b"x=1; y=\"2\"".to_vec()), protocol],
        subprotocol: Some("bearer".to_owned()),
    };
    assert_eq!(removal(&head, &everywhere(false), None), expected);
    let own = headers(&[("cookie", "session=b"), ("sec-websocket-protocol", "bearer, c")]);
    let expected = Removal {
        strip: vec!["cookie", "sec-websocket-protocol"],
        subprotocol: Some("bearer".to_owned()),
        ..Removal::default()
    };
    assert_eq!(removal(&Head::read(&own), &everywhere(false), None), expected);
    let cookie_only = policy(json!({"token_from": [{"cookie": "session"}]}));
    let own = headers(&[("cookie", "session=b"), ("authorization", "Bearer unread")]);
    let expected = Removal { strip: vec!["authorization"], ..Removal::default() };
    assert_eq!(removal(&Head::read(&own), &cookie_only, None), expected, "nobody has verified it");
    let several = policy(json!({"token_from": [{"cookie": "a"}, {"cookie": "b"}], "forward_token": false}));
    let own = headers(&[("cookie", "a=1; b=2; c=3")]);
    assert_eq!(removal(&Head::read(&own), &several, None).replace, [("cookie", b"c=3".to_vec())]);
}
