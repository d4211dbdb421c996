//! Tests with whole policies: how a valid one is read, and which faults an invalid one has.

mod facts;
mod faults;
mod introspection;
mod oauth;
mod planted;
mod possession;
mod upstream_token;

use super::*;
use crate::{
    route::{Host, Path, RuleId},
    scope::Entry,
    token::Scalar,
};
use serde_json::{Value, json};

const DESIGN: &str = include_str!("testdata/design.json");

fn design() -> Value {
    serde_json::from_str(DESIGN).unwrap()
}

fn parse(json: &Value) -> Result<Policy, Faults> {
    Policy::parse(json.to_string().as_bytes())
}

fn lines(json: &Value) -> Vec<String> {
    parse(json).map_or_else(|faults| faults.iter().map(ToString::to_string).collect(), |_| Vec::new())
}

/// A policy as small as can be.
fn public_only() -> Value {
    json!({"routes": [{"name": "all", "match": {"path": "/{*all}"}, "public": true}]})
}

/// Leaves out the limits that only a check stream can enforce.
fn without_stream_limits(policy: &mut Value) {
    for route in policy["routes"].as_array_mut().unwrap() {
        if let Some(session) = route.get_mut("session").and_then(Value::as_object_mut) {
            session.retain(|key, _| !["max_idle", "touch", "outlive_token", "freshness"].contains(&key.as_str()));
        }
    }
}

#[test]
fn the_policy_of_the_design_is_read_in_full() {
    let policy = Policy::parse(DESIGN.as_bytes()).unwrap();
    assert_eq!((policy.mode, policy.forward_token, policy.cors_preflight), (Mode::Enforce, true, true));
    let headers = IdentityHeaders { subject: true, client: true, issuer: false, scopes: true, session: true };
    assert_eq!(policy.identity_headers, headers);
    let places = policy.token_from.iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(places, ["authorization", "{cookie: session}", "{websocket_protocol: bearer}"]);
    assert_eq!(policy.allowed_origins.iter().map(ToString::to_string).collect::<Vec<_>>(), ["https://app.example.com"]);
    assert_eq!(policy.realm, "orders");
    assert_eq!(policy.limits, Sizes::default());
    assert_eq!(
        policy.issuers,
        [Issuer {
            issuer: "https://id.example.com".into(),
            audiences: vec!["orders-api".into()],
            clients: vec!["web".into(), "cli".into()],
            claims: vec![condition("token_use", json!("access"))],
            bound_tokens: BoundTokens::Refuse,
            minted_for: None,
            algorithms: vec![Algorithm::ES256, Algorithm::RS256],
            keys: KeySource::Remote {
                authority: "id.example.com".into(),
                path: "/jwks".into(),
                https: true,
                cluster: "id".into(),
                refresh: Duration::from_secs(600),
            },
            clock_skew: Duration::from_secs(30),
            token_types: vec!["at+jwt".into()],
            claim_names: ClaimNames { machine: vec![condition("idtyp", json!("app"))], ..ClaimNames::default() },
        }]
    );
    let service = SessionService {
        cluster: "session".into(),
        timeout: Duration::from_millis(200),
        credential_env: Some("PORTCULLIS_FILTER_CREDENTIAL".into()),
        protocol: Protocol::Stream { lease: Duration::from_secs(2) },
    };
    assert_eq!(policy.session, Some(service));
    let names: Vec<_> = policy.rules.iter().map(|rule| rule.name.as_str()).collect();
    assert_eq!(names, ["health", "orders.list", "orders.change", "admin", "me", "packages"]);
    let admin = &policy.rules[3];
    assert_eq!(admin.acr, ["aal2"]);
    let (max_age, max_idle) = (Some(Duration::from_secs(900)), Some(Duration::from_secs(300)));
    let freshness = Freshness::Lease(Duration::from_millis(500));
    let limits = Limits { max_age, max_idle, touch: true, outlive_token: false, on_outage: Outage::Deny, freshness };
    assert_eq!(admin.limits, limits);
    assert!(matches!(policy.rules[0].access, Access::Public));
    assert!(matches!(policy.rules[4].access, Access::Authenticated));
    assert!(!policy.routes.ignores_case());
}

#[test]
fn a_token_can_be_optional() {
    let mut json = design();
    json["routes"][5]["authenticated"] = json!("optional");
    assert!(matches!(parse(&json).unwrap().rules[5].access, Access::Optional));
}

#[test]
fn limits_are_what_the_policy_says_and_each_has_its_default() {
    let mut policy = design();
    policy["limits"] = json!({"token_bytes": 61_440, "key_set_bytes": 2_000_000});
    let limits = parse(&policy).unwrap().limits;
    assert_eq!(limits, Sizes { token_bytes: 61_440, key_set_bytes: 2_000_000, ..Sizes::default() });
    assert_eq!((limits.admit(&"x".repeat(61_440)).is_ok(), limits.admit(&"x".repeat(61_441)).is_ok()), (true, false));
    policy.as_object_mut().unwrap().remove("limits");
    assert_eq!(parse(&policy).unwrap().limits, Sizes::default());
}

#[test]
fn the_policy_of_the_design_finds_its_rules() {
    let policy = Policy::parse(DESIGN.as_bytes()).unwrap();
    let find = |host: &str, method, path: &str| {
        let path = Path::parse(path.as_bytes()).unwrap();
        let RuleId(id) = policy.routes.find(&Host::parse(host.as_bytes()).unwrap(), method, &path)?;
        Some(policy.rules[id].name.as_str())
    };
    assert_eq!(find("x.org", "GET", "/healthz?deep"), Some("health"));
    assert_eq!(find("x.org", "GET", "/orders"), Some("orders.list"));
    assert_eq!(find("x.org", "PATCH", "/orders/7"), Some("orders.change"));
    assert_eq!(find("admin.example.com:443", "GET", "/%61dmin/x/y"), Some("admin"));
    assert_eq!(find("x.org", "GET", "/admin/x"), None);
    assert_eq!(find("x.org", "GET", "/packages/@scope%2fname"), Some("packages"));
    assert_eq!(find("x.org", "PUT", "/orders/a%2Fb"), None);
    assert_eq!(find("x.org", "GET", "/HEALTHZ"), None);
    assert_eq!(find("x.org", "DELETE", "/orders/7"), None);
}

#[test]
fn a_set_in_any_of_is_met_when_all_its_scopes_are_held() {
    let policy = Policy::parse(DESIGN.as_bytes()).unwrap();
    let Access::Scopes(change) = &policy.rules[2].access else { panic!() };
    assert_eq!(change.challenge(), "orders:write orders:read customers:read admin");
    let met = |scopes: &str| change.met_by(&policy.register.held(scopes.split(' ')));
    assert!(met("orders:write admin") && met("orders:write orders:read customers:read"));
    assert!(!met("orders:write") && !met("orders:write orders:read") && !met("admin orders:read customers:read"));
}

#[test]
fn a_set_in_all_of_stands_for_all_its_scopes() {
    let mut policy = design();
    policy["routes"][1]["require"] = json!({"all_of": ["@support"], "any_of": []});
    let policy = parse(&policy).unwrap();
    let Access::Scopes(list) = &policy.rules[1].access else { panic!() };
    assert!(list.met_by(&policy.register.held(["orders:read", "customers:read"])));
    assert!(!list.met_by(&policy.register.held(["orders:read"])));
}

#[test]
fn the_register_tells_who_owns_a_scope_and_until_when() {
    let policy = Policy::parse(DESIGN.as_bytes()).unwrap();
    let entry = policy.register.id("orders:read").and_then(|id| policy.register.entry(id)).unwrap();
    let expected = Entry {
        name: "orders:read".into(),
        owner: Some("orders-team".into()),
        review_by: "2027-03-01".parse().ok(),
        description: Some("read orders".into()),
        needs_approval: false,
    };
    assert_eq!(*entry, expected);
    assert_eq!(policy.register.entries().len(), 4);
}

#[test]
fn what_is_left_out_has_its_default() {
    let policy = parse(&public_only()).unwrap();
    assert_eq!((policy.mode, policy.forward_token, policy.cors_preflight), (Mode::Enforce, true, false));
    let headers = IdentityHeaders { subject: true, client: true, issuer: false, scopes: true, session: true };
    assert_eq!(policy.identity_headers, headers);
    assert_eq!((policy.token_from, policy.allowed_origins), (vec![TokenPlace::Authorization], vec![]));
    assert_eq!(policy.realm, "portcullis");
    assert!(policy.issuers.is_empty() && policy.session.is_none());

    let mut json = design();
    json["session"] = json!({"cluster": "session", "on_outage": {"grace": "30s"}});
    json["issuers"][0] = json!({
        "issuer": "me", "audiences": ["a"], "algorithms": ["Ed25519", "EdDSA"],
        // In the order of the alphabet: whether another one is kept depends on what else the program is built with.
        "keys": {"inline": {"extra": 1, "keys": [{"kty": "OKP"}]}},
    });
    json["routes"][3]["session"] = json!({"touch": false});
    let policy = parse(&json).unwrap();
    let issuer = &policy.issuers[0];
    assert_eq!(issuer.algorithms, [Algorithm::EdDSA]);
    assert_eq!(issuer.keys, KeySource::Inline(r#"{"extra":1,"keys":[{"kty":"OKP"}]}"#.into()));
    assert_eq!((issuer.clock_skew, &issuer.token_types), (Duration::from_secs(30), &vec!["at+jwt".to_owned()]));
    assert_eq!(issuer.claim_names, ClaimNames::default());
    assert!(issuer.clients.is_empty() && issuer.claims.is_empty());
    assert_eq!(issuer.bound_tokens, BoundTokens::Refuse);
    let service = policy.session.unwrap();
    assert_eq!((service.timeout, service.credential_env), (Duration::from_millis(200), None));
    let outage = Outage::Grace(Duration::from_secs(30));
    assert_eq!(
        policy.rules[3].limits,
        Limits {
            max_age: None,
            max_idle: None,
            touch: false,
            outlive_token: false,
            on_outage: outage,
            freshness: Freshness::EachRequest
        }
    );
    assert_eq!(policy.rules[0].limits.on_outage, outage);
}

#[test]
fn an_issuer_that_mints_for_another_is_not_described_to_the_service() {
    let mut json = design();
    let mut own = json["issuers"][0].clone();
    own["issuer"] = json!("https://portcullis.example.com");
    own["minted_for"] = json!("https://id.example.com");
    json["issuers"].as_array_mut().unwrap().push(own);
    let policy = parse(&json).unwrap();
    let of_sessions: Vec<&str> = policy.issuers.iter().map(|issuer| &**issuer.of_sessions()).collect();
    assert_eq!(of_sessions, ["https://id.example.com"; 2]);
    let described: Vec<String> = policy.hello().issuers.into_iter().map(|issuer| issuer.name).collect();
    assert_eq!(described, ["https://id.example.com"]);
}

fn condition(claim: &str, value: Value) -> ClaimValues {
    ClaimValues { claim: claim.to_owned(), values: vec![Scalar::of(value).unwrap()] }
}

#[test]
fn the_claims_of_an_issuer_are_read() {
    let mut json = design();
    let issuer = &mut json["issuers"][0];
    issuer.as_object_mut().unwrap().remove("audiences");
    issuer["clients"] = json!(["web", "cli", "web"]);
    issuer["client_claims"] = json!(["cid"]);
    issuer["scope_claims"] = json!(["scp", "/resource_access/orders~1api/roles", "https://example.com/roles"]);
    issuer["claims"] = json!({"ver": ["1.0", 2, true]});
    issuer["bound_tokens"] = json!("bearer");
    let policy = parse(&json).unwrap();
    let issuer = &policy.issuers[0];
    assert!(issuer.audiences.is_empty());
    assert_eq!(issuer.clients, ["web", "cli"]);
    assert_eq!(issuer.claim_names.client, ["cid"]);
    let paths: Vec<_> = issuer.claim_names.scopes.iter().map(ScopeClaim::path).collect();
    assert_eq!(paths, [&["scp"][..], &["resource_access", "orders/api", "roles"], &["https://example.com/roles"]]);
    let values = ["\"1.0\"", "2", "true"].map(|json| Scalar::parse(json).unwrap()).to_vec();
    assert_eq!(issuer.claims, [ClaimValues { claim: "ver".to_owned(), values }]);
    assert_eq!(issuer.bound_tokens, BoundTokens::Bearer);
}

#[test]
fn the_session_service_learns_how_claims_are_read() {
    let mut json = design();
    json["issuers"][0]["client_claims"] = json!(["cid", "azp"]);
    json["issuers"][0]["scope_claims"] = json!(["/realm_access/roles"]);
    json["issuers"][0]["machine"] = json!({"idtyp": ["app", 1]});
    let hello = parse(&json).unwrap().hello();
    let expected = crate::wire::Issuer {
        name: "https://id.example.com".to_owned(),
        scope_claims: vec!["/realm_access/roles".to_owned()],
        session_claims: vec!["sid".to_owned()],
        client_claims: vec!["cid".to_owned(), "azp".to_owned()],
        machine: vec![crate::wire::ClaimValues {
            claim: "idtyp".to_owned(),
            values: vec!["\"app\"".to_owned(), "1".to_owned()],
        }],
    };
    assert_eq!(hello.issuers, [expected]);
}

#[test]
fn a_route_has_the_last_word_on_an_outage() {
    let mut json = design();
    json["session"]["on_outage"] = json!("read_only");
    let policy = parse(&json).unwrap();
    assert_eq!(policy.rules[3].limits.on_outage, Outage::Deny);
    assert_eq!(policy.rules[4].limits.on_outage, Outage::ReadOnly);
}

#[test]
fn token_types_have_one_spelling() {
    let mut json = design();
    json["issuers"][0]["token_types"] = json!(["application/AT+JWT", "at+jwt", "JWT"]);
    assert_eq!(parse(&json).unwrap().issuers[0].token_types, ["at+jwt", "jwt"]);
}

#[test]
fn the_digest_names_a_policy_however_it_is_formatted() {
    let json = public_only().to_string();
    let digest = |text: &str| Policy::parse(text.as_bytes()).unwrap().digest;
    assert_eq!(digest(&json).len(), 64);
    assert!(digest(&json).bytes().all(|byte| byte.is_ascii_digit() || byte.is_ascii_lowercase()));
    assert_eq!(digest(&json), digest(&json));
    assert_eq!(digest(&json), digest(&serde_json::to_string_pretty(&public_only()).unwrap()));
    let mut other = public_only();
    other["realm"] = json!("other");
    assert_ne!(digest(&json), digest(&other.to_string()));
}

#[test]
fn ten_thousand_routes_are_read() {
    let mut json = design();
    let routes = (0..10_000).map(|n| {
        json!({"name": format!("r{n}"), "match": {"methods": ["GET"], "path": format!("/api/r{n}/{{id}}")}, "require": {"all_of": ["admin"]}})
    });
    json["routes"] = routes.collect();
    let policy = parse(&json).unwrap();
    let path = Path::parse(b"/api/r9999/x").unwrap();
    assert_eq!(policy.routes.find(&Host::parse(b"api").unwrap(), "GET", &path), Some(RuleId(9_999)));
}

/// The limit of `ISSUERS_MAX`, which docs/policy.md promises.
#[test]
fn a_thousand_issuers_are_read_and_one_more_is_a_fault() {
    let with = |count: usize| {
        let mut json = design();
        let issuer = json["issuers"][0].take();
        let numbered = (0..count).map(|n| {
            let mut issuer = issuer.clone();
            issuer["issuer"] = json!(format!("https://id-{n}.example.com"));
            issuer
        });
        json["issuers"] = numbered.collect();
        json
    };
    let policy = parse(&with(1_000)).unwrap();
    assert_eq!(policy.issuers.len(), 1_000);
    assert_eq!(policy.hello().issuers.last().unwrap().name, "https://id-999.example.com");
    assert_eq!(lines(&with(1_001)), ["$.issuers: has 1001 entries; at most 1000 are allowed"]);
}

#[test]
fn a_policy_that_ignores_case_has_one_rule_for_every_spelling() {
    let mut json = design();
    json["ignore_case"] = json!(true);
    json["routes"][4]["match"]["path"] = json!("/Users/ME");
    let policy = parse(&json).unwrap();
    let find =
        |path: &str| policy.routes.find(&Host::parse(b"x.org").unwrap(), "GET", &Path::parse(path.as_bytes()).unwrap());
    for path in ["/users/me", "/USERS/me", "/Users/ME"] {
        assert_eq!(find(path), Some(RuleId(4)), "{path}");
    }
    json["routes"][0]["match"]["path"] = json!("/USERS/me");
    assert_eq!(
        lines(&json),
        [
            "$.routes[4].match: `me` (`$.routes[4]`) and `health` (`$.routes[0]`) could match the same request with equal precedence; \
          make them differ in host, method or path (case makes no difference: `$.ignore_case`)"
        ]
    );
}

#[test]
fn a_route_has_the_last_word_on_leases_and_public_routes_have_none() {
    let hello = Policy::parse(DESIGN.as_bytes()).unwrap().hello();
    let leases = |hello: &crate::wire::Hello| hello.routes.iter().map(|route| route.lease_ms).collect::<Vec<_>>();
    assert_eq!(leases(&hello), [0, 0, 0, 500, 0, 0]);
    assert!(hello.capabilities.iter().any(|name| name == crate::wire::LEASES));

    let mut json = design();
    json["session"]["freshness"] = json!({"lease": "5s"});
    json["routes"][3]["session"] = json!({"freshness": "each_request"});
    json["routes"][4]["session"] = json!({"freshness": {"lease": "100ms"}});
    let hello = parse(&json).unwrap().hello();
    assert_eq!(leases(&hello), [0, 5_000, 5_000, 0, 100, 5_000]);

    json["session"]["freshness"] = json!("each_request");
    json["routes"][4]["session"] = json!({});
    let hello = parse(&json).unwrap().hello();
    assert!(!hello.capabilities.iter().any(|name| name == crate::wire::LEASES));
}
