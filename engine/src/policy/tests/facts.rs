//! Facts for conditions: what a policy can name, and what it cannot.

use super::*;

fn with_facts() -> Value {
    let mut policy = design();
    policy["trusted_hops"] = json!(["spiffe://example.com/edge", "edge.example.com"]);
    policy["device"] = json!({"from": [{"claim": "deviceid"}, "client_certificate", {"claim": "serial"}]});
    policy["session"]["attributes"] = json!({
        "headers": ["X-Device-Posture", "x-network"], "client_certificate": true, "claims": ["department"],
        "groups": "/realm_access/roles",
    });
    policy["session"]["place"] = json!({"country": "X-Geo-Country", "asn": "x-geo-asn", "proxy": "x-geo-anon"});
    policy["routes"][2]["class"] = json!("write");
    policy["routes"][2]["tags"] = json!(["pii", "eu:customers", "pii"]);
    policy
}

fn owned(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

#[test]
fn what_a_policy_names_is_read_with_headers_in_lower_case() {
    let policy = parse(&with_facts()).unwrap();
    let claim = |name: &str| DeviceSource::Claim(name.to_owned());
    let expected = FactSources {
        trusted_hops: owned(&["spiffe://example.com/edge", "edge.example.com"]),
        device: vec![claim("deviceid"), DeviceSource::ClientCertificate, claim("serial")],
        headers: owned(&["x-device-posture", "x-network"]),
        client_certificate: true,
        claims: owned(&["department"]),
        groups: Some(ScopeClaim::parse("/realm_access/roles").unwrap()),
        place: PlaceHeaders {
            country: Some("x-geo-country".to_owned()),
            asn: Some("x-geo-asn".to_owned()),
            proxy: Some("x-geo-anon".to_owned()),
        },
    };
    assert_eq!(policy.facts, expected);
    let names: Vec<_> = policy.facts.header_names().collect();
    assert_eq!(names, ["x-device-posture", "x-network", "x-geo-country", "x-geo-asn", "x-geo-anon"]);
    let claims = &policy.issuers[0].claim_names.facts;
    assert_eq!((&claims.device, claims.before_certificate), (&owned(&["deviceid", "serial"]), 1));
    assert_eq!((&claims.attributes, &claims.groups), (&expected.claims, &expected.groups));
}

#[test]
fn the_session_service_learns_class_tags_and_sets_of_a_route() {
    let hello = parse(&with_facts()).unwrap().hello();
    let route = &hello.routes[2];
    assert_eq!((route.class.as_str(), &route.tags), ("write", &owned(&["pii", "eu:customers"])));
    assert_eq!(route.sets, owned(&["support"]));
    assert!(hello.routes[1].class.is_empty() && hello.routes[1].tags.is_empty() && hello.routes[1].sets.is_empty());
}

#[test]
fn a_policy_without_facts_names_none() {
    let policy = Policy::parse(DESIGN.as_bytes()).unwrap();
    assert_eq!(policy.facts, FactSources::default());
    assert_eq!(
        policy.issuers[0].claim_names,
        ClaimNames { machine: policy.issuers[0].claim_names.machine.clone(), ..ClaimNames::default() }
    );
}

#[test]
fn a_header_that_somebody_needs_cannot_be_named() {
    let named = |header: &str| {
        let mut policy = design();
        policy["session"]["attributes"] = json!({"headers": [header]});
        lines(&policy)
    };
    let at = "$.session.attributes.headers[0]: ";
    let reserved = |header: &str| {
        let rest =
            "decides how the request is handled, and a header that is named here is removed; use a header of its own";
        vec![format!("{at}`{header}` {rest}")]
    };
    for header in ["Authorization", "host", "cookie", "user_agent", "X-Forwarded-Client-Cert", "content-length"] {
        assert_eq!(named(header), reserved(header));
    }
    assert_eq!(named(":path"), [format!("{at}`:path` is no header that a proxy in front can set")]);
    for header in ["x-portcullis-subject", "X_Portcullis_Anything"] {
        assert_eq!(named(header), [format!("{at}`{header}`: headers `x-portcullis-…` are the filter's own")]);
    }
    assert_eq!(named("a b"), [format!("{at}`a b` contains a byte that the name of a header cannot have")]);
    assert_eq!(named(""), [format!("{at}must not be empty")]);
    assert_eq!(named(&"x".repeat(129)), [format!("{at}must not be longer than 128 bytes")]);
    assert_eq!(named("x-device-id"), [""; 0]);
}

#[test]
fn there_is_a_limit_on_everything() {
    let many = |count: usize| (0..count).map(|number| format!("x-{number}")).collect::<Vec<_>>();
    let claims = |count: usize| (0..count).map(|number| json!({"claim": format!("c{number}")})).collect::<Vec<_>>();
    for (pointer, most, one_more, line) in [
        ("/trusted_hops", json!(many(100)), json!(many(101)), "$.trusted_hops: has 101 items; at most 100 are allowed"),
        (
            "/device",
            json!({"from": claims(8)}),
            json!({"from": claims(9)}),
            "$.device.from: has 9 items; at most 8 are allowed",
        ),
        (
            "/session/attributes",
            json!({"headers": many(16)}),
            json!({"headers": many(17)}),
            "$.session.attributes.headers: has 17 items; at most 16 are allowed",
        ),
        (
            "/session/attributes",
            json!({"claims": many(32)}),
            json!({"claims": many(33)}),
            "$.session.attributes.claims: has 33 items; at most 32 are allowed",
        ),
        ("/routes/1/tags", json!(many(16)), json!(many(17)), "$.routes[1].tags: has 17 items; at most 16 are allowed"),
        (
            "/routes/1/class",
            json!("x".repeat(64)),
            json!("x".repeat(65)),
            "$.routes[1].class: must not be longer than 64 bytes",
        ),
    ] {
        let said = |value: Value| {
            let mut policy = design();
            let (parent, key) = pointer.rsplit_once('/').unwrap();
            policy.pointer_mut(parent).unwrap()[key] = value;
            lines(&policy)
        };
        assert_eq!(said(most), [""; 0], "{pointer}");
        assert_eq!(said(one_more), [line]);
    }
}

#[test]
fn an_introspection_endpoint_knows_no_conditions() {
    let mut policy = with_facts();
    without_stream_limits(&mut policy);
    let session = policy["session"].as_object_mut().unwrap();
    session.insert("protocol".to_owned(), json!("introspection"));
    session.insert("path".to_owned(), json!("/introspect"));
    let message = "an introspection endpoint knows no conditions; omit this key, or use `protocol: stream`";
    let places = ["$.device", "$.session.attributes", "$.session.place", "$.routes[2].class", "$.routes[2].tags"];
    let mut expected = places.map(|place| format!("{place}: {message}"));
    let mut said = lines(&policy);
    expected.sort();
    said.sort();
    assert_eq!(said, expected);
}
