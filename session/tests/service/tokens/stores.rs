//! What is stored: keys are rotated, and what cannot be opened is no handle.

use super::*;

#[tokio::test]
async fn keys_are_rotated_with_overlap() {
    let issuer = Issuer::start(Rotation::On).await;
    let by = |keys: &str| settings(&issuer, "").replace("{env: SEALING_A, kid: a}", keys);
    let refresh = async |fixture: &Fixture, handle: &str| {
        token(fixture.checks, "", &format!("grant_type=refresh_token&refresh_token={handle}&client_id=spa")).await
    };
    let fixture = Fixture::with(&by("{env: SEALING_A, kid: a}")).await;
    let code = |sid: &str| format!("grant_type=authorization_code&code={sid}&client_id=spa");
    let (used, _) = pair(&token(fixture.checks, "", &code("s")).await);
    let (unused, _) = pair(&token(fixture.checks, "", &code("t")).await);
    let folder = fixture.stop().await;
    let fixture = Fixture::in_folder(folder, &by("{env: SEALING_B, kid: b}, {env: SEALING_A, kid: a}")).await;
    let (used, _) = pair(&refresh(&fixture, &used).await);
    let folder = fixture.stop().await;
    let fixture = Fixture::in_folder(folder, &by("{env: SEALING_B, kid: b}")).await;
    pair(&refresh(&fixture, &used).await);
    let lost = refresh(&fixture, &unused).await;
    assert_eq!(error(&lost), (503, "temporarily_unavailable".to_owned()), "its key may be given back");
    fixture.stop().await;
}

#[tokio::test]
async fn after_the_store_was_lost_a_handle_is_not_good_and_not_theft() {
    let world = World::new(Rotation::On).await;
    let (handle, _) = world.log_in("s").await;
    let World { fixture, issuer } = world;
    drop(fixture.stop().await);
    let fixture = Fixture::with(&settings(&issuer, "")).await;
    let form = format!("grant_type=refresh_token&refresh_token={handle}&client_id=spa");
    assert_eq!(error(&token(fixture.checks, "", &form).await), refused("invalid_grant"));
    let metrics = fixture.call("GET", "/metrics", "").await.text;
    assert!(metrics.contains("portcullis_refresh_reuse_total 0"), "{metrics}");
    fixture.stop().await;
}
