//! What issuers answer, or do not.

use super::*;

#[tokio::test]
async fn without_its_issuer_a_handle_stays_good_and_the_issuers_errors_are_its_own() {
    let world = World::new(Rotation::On).await;
    let (handle, _) = world.log_in("s").await;
    world.issuer.state.is_dead.store(true, Ordering::SeqCst);
    let answer = world.refresh(&handle).await;
    assert_eq!(error(&answer), (503, "temporarily_unavailable".to_owned()));
    assert!(answer.head.contains("retry-after: 1"), "{}", answer.head);
    world.issuer.state.is_dead.store(false, Ordering::SeqCst);
    *world.issuer.state.error.lock().unwrap() = Some("unauthorized_client");
    let answer = world.refresh(&handle).await;
    assert_eq!(answer.json(), json!({"error": "unauthorized_client", "error_description": "says the issuer"}));
    *world.issuer.state.error.lock().unwrap() = None;
    let (handle, _) = pair(&world.refresh(&handle).await);
    *world.issuer.state.error.lock().unwrap() = Some("invalid_grant");
    assert_eq!(world.refresh(&handle).await.json()["error_description"], "says the issuer");
    *world.issuer.state.error.lock().unwrap() = None;
    assert_eq!(error(&world.refresh(&handle).await), refused("invalid_grant"), "there is nothing left to refresh");
    assert_eq!(world.session("s").await["state"], "active", "it was no theft");
    world.stop().await;
}

#[tokio::test]
async fn answers_that_cannot_be_bound_to_a_session_are_not_passed_on() {
    let world = World::new(Rotation::On).await;
    *world.issuer.state.claims.lock().unwrap() = json!({"iss": "https://other"});
    let answer = world.post("grant_type=authorization_code&code=s&client_id=spa").await;
    assert_eq!(error(&answer), (502, "server_error".to_owned()));
    world.revoked(1).await;
    *world.issuer.state.claims.lock().unwrap() = json!({});
    let (handle, _) = world.log_in("s").await;
    *world.issuer.state.claims.lock().unwrap() = json!({"sid": "another"});
    assert_eq!(error(&world.refresh(&handle).await), (502, "server_error".to_owned()));
    *world.issuer.state.claims.lock().unwrap() = json!({});
    pair(&world.refresh(&handle).await);
    world.stop().await;
}

#[tokio::test]
async fn what_has_no_refresh_token_is_passed_on_as_it_is() {
    let world = World::new(Rotation::On).await;
    let answer = world.post("grant_type=client_credentials&client_id=job&scope=orders:read").await;
    assert_eq!(
        (answer.status, claims(answer.json()["access_token"].as_str().unwrap())["sub"].clone()),
        (200, json!("job"))
    );
    assert!(answer.json().get("refresh_token").is_none());
    world.stop().await;
}

#[tokio::test]
async fn several_issuers_are_told_apart_by_a_parameter() {
    let (one, two) = (Issuer::start(Rotation::On).await, Issuer::start(Rotation::On).await);
    let named = |issuer: &Issuer, name: &str| format!("{{issuer: '{name}', token_endpoint: '{}/token'}}", issuer.url);
    let fixture = Fixture::with(&format!(
        "tokens: {{issuers: [{}, {}], encryption: {{keys: [{{env: SEALING_A, kid: a}}]}}}}",
        named(&one, "https://other"),
        named(&two, "https://id")
    ))
    .await;
    let form = "grant_type=authorization_code&code=s&client_id=spa";
    assert_eq!(error(&token(fixture.checks, "", form).await), refused("invalid_request"));
    let by = |name: &str| format!("{form}&portcullis_issuer={name}");
    assert_eq!(error(&token(fixture.checks, "", &by("https://third")).await), refused("invalid_request"));
    let (handle, _) = pair(&token(fixture.checks, "", &by("https://id")).await);
    let form = format!("grant_type=refresh_token&refresh_token={handle}&client_id=spa");
    pair(&token(fixture.checks, "", &form).await);
    assert_eq!((one.asked().len(), two.asked().len()), (0, 2));
    assert!(two.asked().iter().all(|form| !form.contains_key("portcullis_issuer")));
    fixture.stop().await;
}
