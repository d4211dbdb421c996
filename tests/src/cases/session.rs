//! The states that sessions are brought into, by real means.

use super::{
    Example,
    example::{BACKGROUND, HOST, IDLE, OVER, SOON, Sent},
};
use crate::{World, scenario::rfc3339, token::now_s, wait::until};
use portcullis_cli::policy::cases::{Case, Known, Session};
use portcullis_engine::answer::Code;
use serde_json::{Value, json};
use std::time::SystemTime;

/// Brings the session of a case into its state; says why where that is not possible.
pub(super) async fn prepare(example: &Example, world: &World, case: &Case, sent: &Sent) -> Result<(), String> {
    if sent.token.is_none() {
        return Ok(());
    }
    match (&case.session, case.then.as_ref().map(|then| &then.session)) {
        (Session::Over(Code::SessionRevoked), _) => {
            open(world, sent, json!({})).await;
            world.service.admin().revoke(&sent.session).await;
        }
        (Session::Over(Code::SessionIdleTimeout), _) => open(world, sent, json!({"access": IDLE})).await,
        (Session::Over(Code::SessionLifetimeExceeded), _) => open(world, sent, json!({"access": OVER})).await,
        // Granted less than the token claims.
        (Session::Over(Code::ScopeEscalation), _) => open(world, sent, json!({"scopes": []})).await,
        (Session::Over(code), _) => return Err(format!("nothing brings about `{}`", code.name())),
        (_, Some(Session::Over(Code::SessionLifetimeExceeded))) => open(world, sent, json!({"access": SOON})).await,
        (_, Some(Session::Over(Code::SessionIdleTimeout))) => open(world, sent, json!({"access": IDLE})).await,
        (Session::Known(known), _) => is_known(example, world, case, sent, known).await?,
        (Session::Outage { .. }, _) => {}
    }
    Ok(())
}

async fn open(world: &World, sent: &Sent, more: Value) {
    let opening = sent.opening(more);
    world.service.admin().open(&opening).await.status(201);
}

async fn is_known(example: &Example, world: &World, case: &Case, sent: &Sent, known: &Known) -> Result<(), String> {
    if !known.idle.is_zero() {
        if known.age != known.idle {
            return Err("a session whose `age` is not its `idle` can't be brought about".to_owned());
        }
        let token = example.earlier(world, case, sent, known.idle.as_secs()).unwrap_or_default();
        world.get(BACKGROUND).host(HOST).bearer(token).await.passes();
    } else if !known.age.is_zero() {
        let began = now_s() - i64::try_from(known.age.as_secs()).unwrap_or(i64::MAX);
        open(world, sent, json!({"auth_time": began})).await;
    } else if known.scopes.is_some() {
        open(world, sent, json!({})).await;
    }
    if let Some(left) = &known.scopes {
        narrow(world, sent, left).await;
    }
    Ok(())
}

async fn narrow(world: &World, sent: &Sent, left: &[String]) {
    let left: Vec<&str> = left.iter().filter(|scope| sent.scopes.contains(scope)).map(String::as_str).collect();
    world.service.admin().narrow(&sent.session, &left).await;
}

/// Waits for the limits of a session that shall be over by time.
pub(super) async fn has_run_out(world: &World, case: &Case, sent: &Sent) {
    let limit = match case.session {
        Session::Over(Code::SessionIdleTimeout) => "idle_expires_at",
        Session::Over(Code::SessionLifetimeExceeded) => "expires_at",
        _ => return,
    };
    let instant = world.service.admin().session(&sent.session).await[limit].clone();
    // A session that has ended by its limit has none any more.
    let Some(instant) = instant.as_str() else { return };
    until("a limit passes", async || (rfc3339(SystemTime::now()).as_str() > instant).then_some(())).await;
}

/// Changes the session of an open request; false where that is not possible. One that ends by time was opened to end soon.
pub(super) async fn change(world: &World, session: &Session, sent: &Sent) -> bool {
    match session {
        Session::Over(Code::SessionRevoked) => world.service.admin().revoke(&sent.session).await,
        Session::Known(Known { scopes: Some(left), .. }) => narrow(world, sent, left).await,
        Session::Over(_) | Session::Known(_) => {}
        Session::Outage { .. } => return false,
    }
    true
}
