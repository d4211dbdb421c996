//! Bound tokens: what a policy can say of them.

use super::*;

fn verifying(more: &Value) -> Value {
    let mut policy = design();
    policy["issuers"][0]["bound_tokens"] = json!("verify");
    for (key, value) in more.as_object().unwrap() {
        policy[key] = value.clone();
    }
    policy
}

#[test]
fn proofs_are_verified_within_a_minute_by_default() {
    let possession = parse(&verifying(&json!({}))).unwrap().possession.unwrap();
    assert_eq!(possession.terms.window, Duration::from_mins(1));
    assert_eq!(possession.terms.algorithms, [Algorithm::ES256, Algorithm::EdDSA]);
    assert_eq!(
        (possession.algorithms.as_str(), possession.needs_nonce, possession.external_origin),
        ("ES256 EdDSA", false, None)
    );
    assert_eq!(Policy::parse(DESIGN.as_bytes()).unwrap().possession, None);
}

#[test]
fn what_a_policy_says_of_proofs_is_read() {
    let policy = verifying(&json!({
        "dpop": {"window": "5m", "nonce": "required", "algorithms": ["ES384", "Ed25519", "EdDSA", "PS256"]},
        "external_url": "HTTPS://Api.Example.com:443/",
    }));
    let possession = parse(&policy).unwrap().possession.unwrap();
    assert_eq!(possession.terms.window, Duration::from_mins(5));
    assert_eq!((possession.algorithms.as_str(), possession.needs_nonce), ("ES384 EdDSA PS256", true));
    assert_eq!(possession.external_origin.as_deref(), Some("https://api.example.com"));
}

#[test]
fn a_plain_off_may_arrive_as_a_boolean() {
    for (nonce, needed) in [
        (json!("off"), Some(false)),
        (json!(false), Some(false)),
        (json!("required"), Some(true)),
        (json!(true), None),
        (json!("on"), None),
    ] {
        let read = parse(&verifying(&json!({"dpop": {"nonce": nonce}})));
        assert_eq!(read.ok().map(|policy| policy.possession.unwrap().needs_nonce), needed, "{nonce}");
    }
}

#[test]
fn what_cannot_be_is_said_where_it_is() {
    let url = "is not a scheme and a host such as `https://api.example.com`";
    for (more, line) in [
        (json!({"dpop": {"window": "0s"}}), "$.dpop.window: `0s` is too short; at least `1s`".to_owned()),
        (json!({"dpop": {"window": "301s"}}), "$.dpop.window: `301s` is too long; at most `300s`".to_owned()),
        (json!({"dpop": {"algorithms": []}}), "$.dpop.algorithms: must not be empty".to_owned()),
        (json!({"dpop": {"nonce": "on"}}), "$.dpop.nonce: expected `off` or `required`, found `on`".to_owned()),
        (json!({"external_url": "api.example.com"}), format!("$.external_url: `api.example.com` {url}")),
        (json!({"external_url": "https://a/b"}), format!("$.external_url: `https://a/b` {url}")),
        (json!({"external_url": "https://a?b"}), format!("$.external_url: `https://a?b` {url}")),
        (
            json!({"external_url": "https://u:p@a"}),
            "$.external_url: the URL must not contain user information".to_owned(),
        ),
    ] {
        assert_eq!(lines(&verifying(&more)), [line]);
    }
    let symmetric = lines(&verifying(&json!({"dpop": {"algorithms": ["HS256"]}})));
    assert!(symmetric[0].starts_with("$.dpop.algorithms[0]: unknown value `HS256`"), "{symmetric:?}");
    let unused =
        "only bound tokens that are verified need this; omit this key, or give an issuer `bound_tokens: verify`";
    for (key, value) in [("dpop", json!({})), ("external_url", json!("https://a"))] {
        let mut policy = design();
        policy[key] = value;
        assert_eq!(lines(&policy), [format!("$.{key}: {unused}")]);
    }
}

#[test]
fn an_introspection_endpoint_cannot_verify_proofs() {
    let mut policy = verifying(&json!({}));
    without_stream_limits(&mut policy);
    let session = policy["session"].as_object_mut().unwrap();
    session.insert("protocol".to_owned(), json!("introspection"));
    session.insert("path".to_owned(), json!("/introspect"));
    let message = "only Portcullis's own session service knows whether a proof was used before; use `refuse` or `bearer`, or \
                   `$.session.protocol: stream`";
    assert_eq!(lines(&policy), [format!("$.issuers[0].bound_tokens: {message}")]);
}

#[test]
fn the_session_service_learns_that_it_must_know_used_proofs() {
    let says = |policy: &Value| parse(policy).unwrap().hello().capabilities.contains(&crate::wire::PROOFS.to_owned());
    assert!(says(&verifying(&json!({}))) && !says(&design()));
}
