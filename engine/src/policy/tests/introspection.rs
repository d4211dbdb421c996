//! Policies whose session service is an introspection endpoint.

use super::*;

fn with(session: Value, issuer: Value) -> Value {
    let mut policy = design();
    without_stream_limits(&mut policy);
    policy["session"] = session;
    policy["issuers"].as_array_mut().unwrap().push(issuer);
    policy
}

fn endpoint() -> Value {
    json!({"cluster": "id", "protocol": "introspection", "path": "/oauth2/introspect?x=y"})
}

fn opaque() -> Value {
    json!({"issuer": "https://opaque.example", "audiences": ["orders-api"], "opaque": true})
}

#[test]
fn an_endpoint_is_read_with_its_defaults() {
    let service = parse(&with(endpoint(), opaque())).unwrap().session.unwrap();
    let expected = Introspection { path: "/oauth2/introspect?x=y".into(), authority: "id".into(), client: None };
    assert_eq!(service.protocol, Protocol::Introspection(expected));
    assert_eq!((service.timeout, service.credential_env), (Duration::from_millis(200), None));
}

#[test]
fn an_endpoint_knows_the_filter_by_credential_or_as_a_client() {
    let mut session = endpoint();
    session["authority"] = json!("id.example:8443");
    session["client"] = json!({"id": "the filter", "secret": {"env": "SECRET"}});
    let service = parse(&with(session.clone(), opaque())).unwrap().session.unwrap();
    let Protocol::Introspection(read) = service.protocol else { panic!() };
    assert_eq!(read.client, Some(Client { id: "the filter".into(), secret_env: "SECRET".into() }));
    assert_eq!(read.authority, "id.example:8443");

    session.as_object_mut().unwrap().remove("client");
    session["credential"] = json!({"env": "CREDENTIAL"});
    let service = parse(&with(session, opaque())).unwrap().session.unwrap();
    assert_eq!(service.credential_env.as_deref(), Some("CREDENTIAL"));
}

#[test]
fn an_opaque_issuer_admits_no_jwt() {
    let policy = parse(&with(endpoint(), opaque())).unwrap();
    let [jwt, opaque] = &policy.issuers[..] else { panic!() };
    assert!(!jwt.is_opaque() && opaque.is_opaque());
    assert!(opaque.algorithms.is_empty() && opaque.token_types.is_empty());
    assert_eq!(
        (&opaque.claim_names.scopes[..], &opaque.claim_names.session[..]),
        (&[ScopeClaim::named("scope")][..], &["sid".into()][..])
    );
}

#[test]
fn what_is_about_verification_has_no_place_in_an_opaque_issuer() {
    let jwt = design()["issuers"][0].clone();
    for key in ["minted_for", "algorithms", "keys", "token_types", "session_claims"] {
        let mut issuer = opaque();
        issuer[key] = if key == "minted_for" { json!("https://id") } else { jwt[key].clone() };
        let expected = format!("$.issuers[1].{key}: the filter does not read opaque tokens; omit this key");
        assert_eq!(lines(&with(endpoint(), issuer)), [expected]);
    }
}

#[test]
fn what_an_endpoint_answers_is_read_by_the_same_keys_as_a_token() {
    let mut issuer = opaque();
    issuer.as_object_mut().unwrap().remove("audiences");
    let expected = "$.issuers[1].audiences: this key is required; it can only be omitted if `clients` lists the clients of this API";
    assert_eq!(lines(&with(endpoint(), issuer.clone())), [expected]);
    issuer["clients"] = json!(["web"]);
    issuer["scope_claims"] = json!(["scope", "/realm_access/roles"]);
    for key in ["client_claims", "claims", "machine", "bound_tokens"] {
        issuer[key] = design()["issuers"][0][key].clone();
    }
    let policy = parse(&with(endpoint(), issuer)).unwrap();
    let [jwt, opaque] = &policy.issuers[..] else { panic!() };
    assert_eq!((&opaque.clients[..], opaque.audiences.len()), (&["web".to_owned()][..], 0));
    assert_eq!((&opaque.claims, &opaque.claim_names.machine), (&jwt.claims, &jwt.claim_names.machine));
    assert_eq!(opaque.claim_names.scopes.len(), 2);
}

#[test]
fn an_issuer_that_is_said_not_to_be_opaque_is_as_any_other() {
    let mut policy = design();
    policy["issuers"][0]["opaque"] = json!(false);
    assert!(!parse(&policy).unwrap().issuers[0].is_opaque());
}

#[test]
fn several_opaque_issuers_are_possible_and_each_has_its_name() {
    let mut policy = with(endpoint(), opaque());
    policy["issuers"].as_array_mut().unwrap().push(json!({"issuer": "o2", "audiences": ["a"], "opaque": true}));
    assert_eq!(parse(&policy).unwrap().issuers.len(), 3);
    policy["issuers"][2]["issuer"] = json!("https://opaque.example");
    assert_eq!(lines(&policy), ["$.issuers[2].issuer: `https://opaque.example` is already listed at `$.issuers[1]`"]);
}

#[test]
fn what_only_a_stream_can_enforce_is_a_fault_under_introspection_and_none_on_the_stream() {
    for (key, value) in
        [("max_idle", json!("5m")), ("touch", json!(true)), ("touch", json!(false)), ("outlive_token", json!(true))]
    {
        let mut policy = with(endpoint(), opaque());
        policy["routes"][4]["session"] = json!({"max_age": "5m", key: value});
        assert_eq!(
            lines(&policy),
            [format!(
                "$.routes[4].session.{key}: an introspection endpoint knows no activity and no session beyond its \
                 tokens; omit this key, or use `protocol: stream`"
            )]
        );
        policy["session"] = json!({"cluster": "session"});
        policy["issuers"].as_array_mut().unwrap().pop();
        assert_eq!(lines(&policy), [""; 0]);
    }
}

#[test]
fn an_endpoint_gives_no_leases() {
    let mut policy = with(endpoint(), opaque());
    policy["session"]["freshness"] = json!("each_request");
    policy["routes"][4]["session"] = json!({"freshness": "each_request"});
    assert_eq!(lines(&policy), [""; 0]);
    let fault = "an introspection endpoint gives no leases, because it cannot take them back; omit this key, or use \
                 `protocol: stream`";
    policy["session"]["freshness"] = json!({"lease": "1s"});
    assert_eq!(lines(&policy), [format!("$.session.freshness: {fault}")]);
    policy["session"]["freshness"] = json!("each_request");
    policy["routes"][4]["session"] = json!({"freshness": {"lease": "1s"}});
    assert_eq!(lines(&policy), [format!("$.routes[4].session.freshness: {fault}")]);
}
