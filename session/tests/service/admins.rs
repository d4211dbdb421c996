//! The people at the admin API: named credentials and OAuth tokens, what each may do, and what is refused.

use crate::client::{Answer, http};
use crate::fixtures::{Fixture, T0};
use crate::signals::keys::Documents;
use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine as _};
use ed25519_compact::{KeyPair, Seed};
use portcullis_contract::{KeyKind, SessionId};
use serde_json::{Value, json};
use std::sync::LazyLock;

pub(crate) const ISSUER: &str = "https://id.example.com";

/// Signs the tokens of these tests.
static KEYS: LazyLock<KeyPair> = LazyLock::new(|| KeyPair::from_seed(Seed::new([9; 32])));

fn encoded(bytes: impl AsRef<[u8]>) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(bytes)
}

fn signed(header: &Value, claims: &Value, keys: &KeyPair) -> String {
    let input = format!("{}.{}", encoded(header.to_string()), encoded(claims.to_string()));
    format!("{input}.{}", encoded(*keys.sk.sign(&input, None)))
}

pub(crate) fn jwks() -> Value {
    json!({"keys": [{"kty": "OKP", "crv": "Ed25519", "kid": "k1", "alg": "EdDSA", "x": encoded(*KEYS.pk)}]})
}

fn header() -> Value {
    json!({"alg": "EdDSA", "kid": "k1", "typ": "at+jwt"})
}

/// The claims of a token; `more` replaces or adds some, and `null` removes one.
fn claims(more: &Value) -> Value {
    let now = T0 / 1000;
    let mut claims = json!({
        "iss": ISSUER, "aud": "portcullis-admin", "sub": "anna", "client_id": "cli", "jti": "1", "iat": now, "exp": now + 600,
        "auth_time": now - 60, "acr": "aal2", "scope": "openid portcullis:view",
    });
    for (name, value) in more.as_object().unwrap() {
        match value {
            Value::Null => drop(claims.as_object_mut().unwrap().remove(name)),
            value => claims[name] = value.clone(),
        }
    }
    claims
}

pub(crate) fn token(more: &Value) -> String {
    signed(&header(), &claims(more), &KEYS)
}

pub(crate) fn oauth(keys: &str, more: &str) -> String {
    format!(
        "admins:\n- oauth: {{issuer: {ISSUER}, audiences: [portcullis-admin], algorithms: [EdDSA], keys: {{{keys}}}{more}}}\n"
    )
}

async fn open(more: &str) -> Fixture {
    Fixture::with(&oauth(&format!("inline: {}", jwks()), more)).await
}

async fn call(fixture: &Fixture, credential: &str, method: &str, path: &str) -> Answer {
    let body = match method {
        "POST" if path == "/v1/blocks" => r#"{"issuer":"https://id","subject":"mallory"}"#,
        _ => "",
    };
    http(fixture.admin, &format!("Bearer {credential}"), method, path, body).await
}

/// One call for each thing that a scope is needed for.
const CALLS: [(&str, &str); 5] = [
    ("GET", "/v1/sessions"),
    ("GET", "/metrics"),
    ("POST", "/v1/blocks"),
    ("POST", "/v1/clock/confirm"),
    ("GET", "/v1/whoami"),
];

#[tokio::test]
async fn each_scope_allows_what_it_is_for_and_nothing_else() {
    let names = ["view", "operate", "approve", "admin"];
    let admins = names.map(|name| {
        format!("- {{name: {name}, credential: {{env: ADMIN_{name}}}, scopes: [\"portcullis:{name}\"]}}\n")
    });
    let fixture = Fixture::with(&format!("admins:\n{}", admins.concat())).await;
    for (name, allowed) in [
        ("view", [true, true, false, false, true]),
        ("operate", [false, false, true, false, true]),
        ("approve", [false, false, false, false, true]),
        ("admin", [true; 5]),
    ] {
        let (named, by_token) = (format!("the-secret-of-ADMIN_{name}"), json!({"scope": format!("portcullis:{name}")}));
        for ((method, path), is_allowed) in CALLS.into_iter().zip(allowed) {
            let answer = call(&fixture, &named, method, path).await;
            assert_eq!(answer.status, if is_allowed { 200 } else { 403 }, "{name} {method} {path}: {answer:?}");
            if !is_allowed {
                assert_eq!(answer.code(), "forbidden");
                assert!(answer.head.contains("www-authenticate: bearer error=\"insufficient_scope\""), "{answer:?}");
            }
        }
        let who = call(&fixture, &named, "GET", "/v1/whoami").await.json();
        assert_eq!(who, json!({"name": name, "scopes": [by_token["scope"]]}));
        // Unknown paths and methods are no secret to those who have signed in.
        assert_eq!(call(&fixture, &named, "GET", "/v1/nothing").await.status, 404);
        assert_eq!(call(&fixture, &named, "DELETE", "/v1/blocks").await.status, 405);
    }
}

#[tokio::test]
async fn a_token_shows_its_scopes_and_who_has_called() {
    let fixture = open("").await;
    let who = call(&fixture, &token(&json!({})), "GET", "/v1/whoami").await.json();
    let subject = json!({"issuer": ISSUER, "sub": "anna"});
    assert_eq!(who, json!({"name": format!("{ISSUER}#anna"), "scopes": ["portcullis:view"], "subject": subject}));
    for (scope, statuses) in [
        (json!("portcullis:view"), [200, 200, 403, 403, 200]),
        (json!("portcullis:operate openid"), [403, 403, 200, 403, 200]),
        (json!("portcullis:admin"), [200; 5]),
        (json!("portcullis:ADMIN portcullis:* portcullis: admin view portcullis:admin,"), [403, 403, 403, 403, 200]),
        (Value::Null, [403, 403, 403, 403, 200]),
    ] {
        let token = token(&json!({"scope": scope, "portcullis:admin": true, "roles": ["portcullis:admin"]}));
        for ((method, path), status) in CALLS.into_iter().zip(statuses) {
            assert_eq!(call(&fixture, &token, method, path).await.status, status, "{scope} {method} {path}");
        }
    }
}

#[tokio::test]
async fn a_token_that_is_not_good_is_refused_whatever_is_wrong_with_it() {
    let fixture = open("").await;
    let good = token(&json!({}));
    assert_eq!(call(&fixture, &good, "GET", "/v1/sessions").await.status, 200);
    let now = T0 / 1000;
    let admin = json!({"scope": "portcullis:admin"});
    let with = |name: &str, value: Value| {
        signed(&json!({"alg": "EdDSA", "kid": "k1", "typ": "at+jwt", name: value}), &claims(&admin), &KEYS)
    };
    let other = KeyPair::from_seed(Seed::new([8; 32]));
    let (head, signature) = (good.split('.').next().unwrap(), good.rsplit('.').next().unwrap());
    let unsigned = format!(
        "{}.{}.",
        encoded(json!({"alg": "none", "typ": "at+jwt"}).to_string()),
        encoded(claims(&admin).to_string())
    );
    for (what, wrong) in [
        ("another audience", token(&json!({"aud": "orders-api"}))),
        ("no audience", token(&json!({"aud": null}))),
        ("another issuer", token(&json!({"iss": "https://evil.example.com"}))),
        ("the issuer with a slash", token(&json!({"iss": format!("{ISSUER}/")}))),
        ("expired", token(&json!({"iat": now - 700, "exp": now - 31}))),
        ("not yet valid", token(&json!({"nbf": now + 60}))),
        ("issued in the future", token(&json!({"iat": now + 60}))),
        ("no exp", token(&json!({"exp": null}))),
        ("no sub", token(&json!({"sub": null}))),
        ("bound to a key", token(&json!({"cnf": {"jkt": "x"}}))),
        ("an ID token", with("typ", json!("JWT"))),
        ("another algorithm", with("alg", json!("HS256"))),
        ("an unknown key", with("kid", json!("k2"))),
        ("a key of its own", with("jwk", jwks()["keys"][0].clone())),
        ("signed by somebody else", signed(&header(), &claims(&admin), &other)),
        (
            "other scopes under the same signature",
            format!("{head}.{}.{signature}", encoded(claims(&admin).to_string())),
        ),
        ("unsigned", unsigned),
        ("no token", "a.b.c".to_owned()),
        ("empty parts", "..".to_owned()),
    ] {
        let answer = call(&fixture, &wrong, "GET", "/v1/sessions").await;
        assert_eq!((answer.status, answer.code().as_str()), (401, "unauthorized"), "{what}");
        assert!(answer.head.contains("www-authenticate: bearer error=\"invalid_token\""), "{what}: {answer:?}");
    }
    // It ends while nobody looks.
    fixture.at(631_000);
    assert_eq!(call(&fixture, &good, "GET", "/v1/sessions").await.status, 401);
}

#[tokio::test]
async fn a_strong_and_recent_login_can_be_demanded() {
    let fixture = open(", acr: [aal2, aal3], max_age: 10m").await;
    let now = T0 / 1000;
    for good in [json!({}), json!({"acr": "aal3"}), json!({"auth_time": now - 599})] {
        assert_eq!(call(&fixture, &token(&good), "GET", "/v1/sessions").await.status, 200, "{good}");
    }
    for weak in [
        json!({"acr": null}),
        json!({"acr": "aal1"}),
        json!({"acr": ["aal2"]}),
        json!({"auth_time": null}),
        json!({"auth_time": now - 600}),
        json!({"auth_time": "now"}),
        // A client does not log in.
        json!({"sub": "cli"}),
    ] {
        let answer = call(&fixture, &token(&weak), "GET", "/v1/sessions").await;
        assert_eq!((answer.status, answer.code().as_str()), (401, "insufficient_user_authentication"), "{weak}");
        let challenge = "bearer error=\"insufficient_user_authentication\", acr_values=\"aal2 aal3\", max_age=\"600\"";
        assert!(answer.head.contains(challenge), "{answer:?}");
    }
    let future = call(&fixture, &token(&json!({"auth_time": now + 60})), "GET", "/v1/sessions").await;
    assert_eq!(future.code(), "unauthorized", "a login in the future is none");
}

#[tokio::test]
async fn claims_grant_what_they_are_mapped_to() {
    let claims = ", claims: {groups: {ops: [\"portcullis:operate\"], \"#1\": [\"portcullis:admin\"]}, \
                  /realm/role: {auditor: [\"portcullis:view\"]}}";
    let fixture = open(claims).await;
    for (more, scopes) in [
        (json!({"groups": ["dev", "ops"]}), json!(["portcullis:view", "portcullis:operate"])),
        (json!({"groups": "ops", "scope": null}), json!(["portcullis:operate"])),
        (json!({"groups": ["#1"], "scope": null}), json!(["portcullis:admin"])),
        (json!({"realm": {"role": "auditor"}, "scope": null}), json!(["portcullis:view"])),
        (json!({"groups": ["OPS", "ops ", "opsx"], "/realm/role": "auditor", "scope": null}), json!([])),
        (json!({"groups": {"ops": true}, "realm": ["auditor"], "scope": null}), json!([])),
    ] {
        let who = call(&fixture, &token(&more), "GET", "/v1/whoami").await.json();
        assert_eq!(who["scopes"], scopes, "{more}");
    }
}

#[tokio::test]
async fn keys_that_are_fetched_are_kept_while_their_server_is_away_and_over_a_reload() {
    let documents = Documents::default();
    let at = documents.serve().await;
    let config = oauth(&format!("jwks_url: \"{at}/jwks\""), "");
    let fixture = Fixture::with(&config).await;
    let token = token(&json!({}));
    let answer = call(&fixture, &token, "GET", "/v1/sessions").await;
    assert_eq!((answer.status, answer.code().as_str()), (503, "keys_unavailable"), "it may be a good one");
    documents.put("/jwks", &jwks());
    while call(&fixture, &token, "GET", "/v1/sessions").await.status != 200 {
        tokio::task::yield_now().await;
    }
    documents.clear();
    assert!(fixture.reload(&config).reloaded.is_empty());
    assert_eq!(call(&fixture, &token, "GET", "/v1/sessions").await.status, 200);
    assert_eq!(fixture.reload("").reloaded, ["admins"]);
    assert_eq!(call(&fixture, &token, "GET", "/v1/sessions").await.status, 401, "its issuer was removed");
}

#[tokio::test]
async fn whoever_is_removed_or_may_do_less_feels_it_with_the_next_call() {
    let ben = |scope: &str| {
        format!("admins: [{{name: ben, credential: {{env: ADMIN_B}}, scopes: [\"portcullis:{scope}\"]}}]")
    };
    let fixture = Fixture::with(&ben("operate")).await;
    let block = async || call(&fixture, "the-secret-of-ADMIN_B", "POST", "/v1/blocks").await.status;
    assert_eq!(block().await, 200);
    assert_eq!(fixture.reload(&ben("view")).reloaded, ["admins"]);
    assert_eq!(block().await, 403);
    assert_eq!(fixture.reload("").reloaded, ["admins"]);
    assert_eq!(block().await, 401);
}

#[tokio::test]
async fn events_name_the_admin_who_has_acted() {
    let fixture = open("").await;
    let token = token(&json!({"scope": "portcullis:operate"}));
    let session = r#"{"issuer":"https://id","key":"s1","subject":"alice","client_id":"web","scopes":["openid"]}"#;
    let post = async |path: &str, body: &str| http(fixture.admin, &format!("Bearer {token}"), "POST", path, body).await;
    let opened = post("/v1/sessions", session).await.json();
    let path = format!("/v1/sessions/{}", opened["id"].as_str().unwrap());
    let narrow = r#"{"issuer":"https://id","subject":"alice","remove":["openid"]}"#;
    assert_eq!(post("/v1/narrowings", narrow).await.status, 200);
    assert_eq!(post(&format!("{path}/revoke"), "").await.status, 200);
    let events = fixture.call("GET", &format!("{path}/events"), "").await.json()["events"].clone();
    let named: Vec<_> = events.as_array().unwrap().iter().map(|event| (&event["event"], &event["admin"])).collect();
    let anna = json!(format!("{ISSUER}#anna"));
    for event in ["opened", "scopes_narrowed", "session_revoked"] {
        assert!(named.contains(&(&json!(event), &anna)), "{event}: {named:?}");
    }
}

#[tokio::test]
async fn metrics_can_have_a_credential_that_opens_nothing_else_or_none() {
    let fixture = Fixture::with("metrics: {credential: {env: ADMIN_M}}").await;
    let secret = "the-secret-of-ADMIN_M";
    assert_eq!(call(&fixture, secret, "GET", "/metrics").await.status, 200);
    assert_eq!(fixture.call("GET", "/metrics", "").await.status, 200, "admins may read them, too");
    for (method, path) in [("GET", "/v1/sessions"), ("GET", "/v1/whoami"), ("GET", "/"), ("POST", "/metrics")] {
        assert_eq!(call(&fixture, secret, method, path).await.status, 401, "{method} {path}");
    }
    assert_eq!(http(fixture.admin, "", "GET", "/metrics", "").await.status, 401);
    assert_eq!(fixture.reload("metrics: {open: true}").reloaded, ["metrics"]);
    assert_eq!(http(fixture.admin, "", "GET", "/metrics", "").await.status, 200);
    assert_eq!(http(fixture.admin, "", "GET", "/v1/sessions", "").await.status, 401);
}

#[tokio::test]
async fn a_token_falls_with_its_user_and_with_its_session_and_not_with_another_one() {
    let fixture = open("").await;
    let [one, other] = ["s1", "s2"].map(|sid| token(&json!({"sid": sid})));
    let status = async |token: &str| call(&fixture, token, "GET", "/v1/sessions").await.status;
    assert_eq!((status(&one).await, status(&other).await), (200, 200), "nobody knows their sessions");
    let id = SessionId::of(KeyKind::Claim, ISSUER, "s1", "cli");
    let revoked = fixture.call("POST", &format!("/v1/sessions/{id}/revoke"), "").await;
    assert_eq!((revoked.status, status(&one).await, status(&other).await), (200, 401, 200), "{revoked:?}");

    let anna = json!({"issuer": ISSUER, "subject": "anna"}).to_string();
    let blocked = fixture.call("POST", "/v1/blocks", &anna).await.json();
    let refused = call(&fixture, &other, "GET", "/v1/whoami").await;
    assert_eq!((refused.status, refused.code().as_str()), (401, "unauthorized"), "{refused:?}");
    let path = format!("/v1/blocks/{}", blocked["id"].as_str().unwrap());
    assert_eq!((fixture.call("DELETE", &path, "").await.status, status(&other).await), (200, 200));

    let revoked = fixture.call("POST", "/v1/revocations", &anna).await;
    assert_eq!((revoked.status, status(&other).await), (200, 401), "{revoked:?}");
    let later = token(&json!({"sid": "s3", "iat": T0 / 1000 + 5, "auth_time": T0 / 1000 + 5}));
    fixture.at(6_000);
    assert_eq!(status(&later).await, 200, "a later login");
}
