//! The session decides about refreshes, and a handle has limits of its own.

use super::*;

#[tokio::test]
async fn a_session_that_is_over_idle_or_blocked_is_not_refreshed() {
    let more = "access: [{name: person, absolute: 8h, idle: 30m}]";
    let world = World::with(Rotation::On, "", more).await;
    let (revoked, _) = world.log_in("r").await;
    world.fixture.call("POST", &format!("/v1/sessions/{}/revoke", id("r")), "{}").await;
    assert_eq!(error(&world.refresh(&revoked).await), refused("invalid_grant"));
    world.revoked(1).await;

    let (blocked, _) = world.log_in("b").await;
    let made = world.fixture.call("POST", "/v1/blocks", r#"{"issuer":"https://id","sid":"b"}"#).await;
    assert_eq!(error(&world.refresh(&blocked).await), refused("invalid_grant"));
    let lifted = world.fixture.call("DELETE", &format!("/v1/blocks/{}", made.json()["id"].as_str().unwrap()), "").await;
    assert_eq!(lifted.status, 200, "{lifted:?}");
    let (blocked, _) = pair(&world.refresh(&blocked).await);

    world.at(30 * MINUTE);
    assert_eq!(error(&world.refresh(&blocked).await), refused("invalid_grant"), "nobody was active");
    assert_eq!(world.session("b").await["reason"], "idle_timeout");
    world.stop().await;
}

#[tokio::test]
async fn scopes_never_grow_and_what_the_session_lost_is_not_asked_for() {
    let world = World::new(Rotation::On).await;
    let (handle, _) = world.log_in("s").await;
    let scoped = |handle: &str, scope: &str| {
        format!("grant_type=refresh_token&refresh_token={handle}&client_id=spa&scope={scope}")
    };
    assert_eq!(error(&world.post(&scoped(&handle, "orders:read+admin")).await), refused("invalid_scope"));
    let path = format!("/v1/sessions/{}", id("s"));
    assert_eq!(world.fixture.call("PATCH", &path, r#"{"remove":["orders:write"]}"#).await.status, 200);
    assert_eq!(error(&world.post(&scoped(&handle, "orders:write")).await), refused("invalid_scope"));
    let (handle, access) = pair(&world.refresh(&handle).await);
    assert_eq!(claims(&access)["scope"], "openid orders:read", "what is left");
    let (handle, access) = pair(&world.post(&scoped(&handle, "orders:read")).await);
    assert_eq!(claims(&access)["scope"], "orders:read");
    assert_eq!(world.fixture.call("PATCH", &path, r#"{"restore":["orders:write"]}"#).await.status, 200);
    let (_, access) = pair(&world.refresh(&handle).await);
    assert_eq!(claims(&access)["scope"], "openid orders:read orders:write", "all that was granted");
    world.stop().await;
}

#[tokio::test]
async fn a_family_ends_when_nobody_uses_it_and_in_any_case() {
    let world = World::with(Rotation::On, ", idle: 10m, absolute: 15m", "access: [{name: person, absolute: 8h}]").await;
    let (idle, _) = world.log_in("i").await;
    let (old, _) = world.log_in("o").await;
    world.at(9 * MINUTE);
    let (old, _) = pair(&world.refresh(&old).await);
    world.at(10 * MINUTE);
    assert_eq!(error(&world.refresh(&idle).await), refused("invalid_grant"));
    world.at(14 * MINUTE);
    let (old, _) = pair(&world.refresh(&old).await);
    world.at(15 * MINUTE);
    assert_eq!(error(&world.refresh(&old).await), refused("invalid_grant"));
    for sid in ["i", "o"] {
        assert_eq!(world.session(sid).await["state"], "active", "the session has limits of its own");
    }
    world.revoked(2).await;
    world.stop().await;
}
