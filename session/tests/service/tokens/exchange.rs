//! Our own access tokens, and their exchange.

use super::*;
use crate::client::http;

const ISSUE: &str = ", issue: {ttl: 60s, audience: orders, audiences: [billing]}";
const SIGNING: &str = "signing: {issuer: 'https://portcullis.example', keys: [{env: SIGNING_A, kid: a}]}";
const EXCHANGE: &str = "grant_type=urn:ietf:params:oauth:grant-type:token-exchange\
                        &subject_token_type=urn:ietf:params:oauth:token-type:access_token";

async fn issuing() -> World {
    World::with(Rotation::On, ISSUE, SIGNING).await
}

async fn introspect(world: &World, token: &str) -> Value {
    let form = format!("token={token}&portcullis_verified=true");
    post_form(world.fixture.checks, &format!("Bearer {FILTER}"), "/oauth2/introspect", &form).await.json()
}

#[tokio::test]
async fn answers_have_a_token_of_ours_that_lives_for_seconds_and_is_of_the_same_session() {
    let world = issuing().await;
    let answer = world.post("grant_type=authorization_code&code=s&client_id=spa").await;
    let (handle, access) = pair(&answer);
    assert_eq!((&answer.json()["expires_in"], &answer.json()["token_type"]), (&json!(60), &json!("Bearer")));
    let now = T0 / 1_000;
    let mut expected = json!({
        "iss": "https://portcullis.example", "orig_iss": "https://id", "aud": "orders", "sub": "alice", "client_id": "spa",
        "iat": now, "exp": now + 60, "scope": "openid orders:read orders:write", "sid": "s", "auth_time": now - 5,
        "acr": "aal2", "amr": ["pwd"],
    });
    let said = claims(&access);
    expected["jti"] = said["jti"].clone();
    assert_eq!(said, expected);
    let active = introspect(&world, &access).await;
    assert_eq!((&active["active"], &active["portcullis_session"]), (&json!(true), &json!(id("s"))));
    let set = http(world.fixture.checks, "", "GET", "/.well-known/jwks.json", "").await.json();
    let x = BASE64_URL_SAFE_NO_PAD.decode(set["keys"][0]["x"].as_str().unwrap()).unwrap();
    let (signed, signature) = access.rsplit_once('.').unwrap();
    let signature = ed25519_compact::Signature::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(signature).unwrap()).unwrap();
    ed25519_compact::PublicKey::from_slice(&x).unwrap().verify(signed, &signature).unwrap();
    // What is revoked for the issuer holds for ours.
    let revoked = world.fixture.call("POST", "/v1/revocations", r#"{"issuer":"https://id","subject":"alice"}"#).await;
    assert!(revoked.status < 300, "{revoked:?}");
    assert_eq!(introspect(&world, &access).await["active"], false);
    assert_eq!(error(&world.refresh(&handle).await), refused("invalid_grant"));
    world.stop().await;
}

#[tokio::test]
async fn ours_never_outlives_the_issuers_nor_has_what_the_session_lost() {
    let world = issuing().await;
    let (handle, _) = world.log_in("s").await;
    let path = format!("/v1/sessions/{}", id("s"));
    assert_eq!(world.fixture.call("PATCH", &path, r#"{"remove":["orders:write"]}"#).await.status, 200);
    *world.issuer.state.claims.lock().unwrap() =
        json!({"exp": T0 / 1_000 + 20, "scope": "openid orders:read orders:write"});
    let answer = world.refresh(&handle).await;
    let (_, access) = pair(&answer);
    let said = claims(&access);
    assert_eq!((&said["exp"], &answer.json()["expires_in"]), (&json!(T0 / 1_000 + 20), &json!(20)));
    assert_eq!(said["scope"], "openid orders:read", "whatever its issuer says");
    world.stop().await;
}

#[tokio::test]
async fn a_token_for_another_api_does_not_become_one_for_ours() {
    let issuer = Issuer::start(Rotation::On).await;
    let tokens = settings(&issuer, ISSUE).replace("issuer: 'https://id',", "issuer: 'https://id', audiences: [api],");
    let fixture = Fixture::with(&format!("{tokens}\n{SIGNING}")).await;
    let form = "grant_type=authorization_code&code=s&client_id=spa";
    pair(&token(fixture.checks, "", form).await);
    for aud in [json!("other"), json!(["other", "api-2"]), Value::Null] {
        *issuer.state.claims.lock().unwrap() = json!({"aud": aud});
        assert_eq!(error(&token(fixture.checks, "", form).await), (502, "server_error".to_owned()), "{aud}");
    }
    fixture.stop().await;
}

#[tokio::test]
async fn a_machines_token_is_ours_as_well() {
    let world = issuing().await;
    let answer = world.post("grant_type=client_credentials&client_id=job&scope=orders:read").await;
    let said = claims(answer.json()["access_token"].as_str().unwrap());
    assert_eq!(
        (&said["iss"], &said["sub"], &said["gty"]),
        (&json!("https://portcullis.example"), &json!("job"), &json!("client_credentials"))
    );
    assert!(said.get("sid").is_none(), "{said}");
    world.stop().await;
}

#[tokio::test]
async fn a_token_is_exchanged_for_a_narrower_one_of_another_audience() {
    let world = issuing().await;
    let (_, access) = world.log_in("s").await;
    world.at(30_000);
    let ask = |more: &str| format!("{EXCHANGE}&subject_token={access}&client_id=worker{more}");
    let answer = world.post(&ask("&audience=billing&scope=orders:read")).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let body = answer.json();
    assert_eq!(body["issued_token_type"], "urn:ietf:params:oauth:token-type:access_token");
    assert_eq!((&body["expires_in"], &body["scope"]), (&json!(30), &json!("orders:read")), "it lives no longer");
    assert!(body.get("refresh_token").is_none());
    let said = claims(body["access_token"].as_str().unwrap());
    assert_eq!(
        (&said["aud"], &said["act"], &said["client_id"]),
        (&json!("billing"), &json!({"sub": "worker"}), &json!("spa"))
    );
    assert_eq!(introspect(&world, body["access_token"].as_str().unwrap()).await["portcullis_session"], id("s"));

    assert_eq!(error(&world.post(&ask("&audience=other")).await), refused("invalid_target"));
    assert_eq!(error(&world.post(&ask("&scope=admin")).await), refused("invalid_scope"));
    let issuers = crate::oauth::jwt("s", json!({"client_id": "spa"}));
    let mut forged = access.clone();
    forged.replace_range(access.len() - 8.., "AAAAAAAA");
    for bad in ["x", &issuers, &forged] {
        let form = format!("{EXCHANGE}&subject_token={bad}&client_id=worker");
        assert_eq!(error(&world.post(&form).await), refused("invalid_request"));
    }
    let unauthenticated = format!("{EXCHANGE}&subject_token={access}&client_id=web&client_secret=wrong");
    assert_eq!(error(&world.post(&unauthenticated).await), (401, "invalid_client".to_owned()));
    world.fixture.call("POST", &format!("/v1/sessions/{}/revoke", id("s")), "{}").await;
    assert_eq!(error(&world.post(&ask("")).await), refused("invalid_request"), "its session is over");
    world.at(60_000);
    assert_eq!(error(&world.post(&ask("")).await), refused("invalid_request"), "it has expired");
    world.stop().await;
}
