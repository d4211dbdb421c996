//! Brings sessions into the states that cases need, through the admin API and through requests.

use super::{
    Example,
    example::{BACKGROUND, HOST, IDLE, OVER, SOON, Sent},
    facts,
};
use crate::{Testbed, scenario::rfc3339, token::now_s, wait::until};
use portcullis_cli::policy::cases::{Case, Known, Session};
use portcullis_engine::answer::Code;
use serde_json::{Value, json};
use std::time::SystemTime;

/// Brings the session of a case into its state, or says why that is impossible.
pub(super) async fn prepare(example: &Example, testbed: &Testbed, case: &Case, sent: &Sent) -> Result<(), String> {
    if sent.token.is_none() {
        return Ok(());
    }
    if let Some(why) = facts::hindrance(case) {
        return Err(why);
    }
    match (&case.session, case.then.as_ref().map(|then| &then.session)) {
        (Session::Over(Code::SessionRevoked), _) => {
            open(testbed, sent, json!({})).await;
            testbed.service.admin().revoke(&sent.session).await;
        }
        (Session::Over(Code::SessionIdleTimeout), _) => open(testbed, sent, json!({"access": IDLE})).await,
        (Session::Over(Code::SessionLifetimeExceeded), _) => open(testbed, sent, json!({"access": OVER})).await,
        // Granted less than the token claims.
        (Session::Over(Code::ScopeEscalation), _) => open(testbed, sent, json!({"scopes": []})).await,
        (Session::Over(Code::Blocked), _) => block(testbed, sent).await,
        (Session::Over(code), _) => return Err(format!("nothing brings about `{}`", code.name())),
        (_, Some(Session::Over(Code::SessionLifetimeExceeded))) => open(testbed, sent, json!({"access": SOON})).await,
        (_, Some(Session::Over(Code::SessionIdleTimeout))) => open(testbed, sent, json!({"access": IDLE})).await,
        (Session::Known(known), _) => is_known(example, testbed, case, sent, known).await?,
        (Session::Outage { .. }, _) => {}
    }
    if !case.facts.session.is_empty() {
        open(testbed, sent, json!({})).await;
    }
    facts::set(testbed, sent, &case.facts).await;
    Ok(())
}

/// Blocks the person of its own that the case has, or the client.
async fn block(testbed: &Testbed, sent: &Sent) {
    let issuer = sent.claims.get("iss").cloned().unwrap_or_default();
    let party = match sent.claims.get("sub") {
        Some(subject) => json!({"issuer": issuer, "subject": subject}),
        None => json!({"issuer": issuer, "client_id": sent.client}),
    };
    testbed.service.admin().block(&party).await;
}

async fn open(testbed: &Testbed, sent: &Sent, more: Value) {
    let opening = sent.opening(more);
    testbed.service.admin().open(&opening).await.status(200);
}

async fn is_known(example: &Example, testbed: &Testbed, case: &Case, sent: &Sent, known: &Known) -> Result<(), String> {
    if !known.grants.is_empty() {
        return Err("an approval takes two people at the admin API, and a testbed has one".to_owned());
    }
    if !known.idle.is_zero() {
        if known.age != known.idle {
            return Err("a session whose `age` is not its `idle` can't be brought about".to_owned());
        }
        let token = example.earlier(testbed, case, sent, known.idle.as_secs()).unwrap_or_default();
        testbed.get(BACKGROUND).host(HOST).bearer(token).await.passes();
    } else if !known.age.is_zero() {
        let began = now_s() - i64::try_from(known.age.as_secs()).unwrap_or(i64::MAX);
        open(testbed, sent, json!({"auth_time": began})).await;
    } else if let Some(access) = &known.access {
        open(testbed, sent, json!({"access": access})).await;
    } else if known.scopes.is_some() {
        open(testbed, sent, json!({})).await;
    }
    if let Some(left) = &known.scopes {
        narrow(testbed, sent, left).await;
    }
    Ok(())
}

async fn narrow(testbed: &Testbed, sent: &Sent, left: &[String]) {
    let left: Vec<&str> = left.iter().filter(|scope| sent.scopes.contains(scope)).map(String::as_str).collect();
    testbed.service.admin().narrow(&sent.session, &left).await;
}

/// Waits until a session whose case expects it to be expired has passed its limit.
pub(super) async fn has_run_out(testbed: &Testbed, case: &Case, sent: &Sent) {
    let limit = match case.session {
        Session::Over(Code::SessionIdleTimeout) => "idle_expires_at",
        Session::Over(Code::SessionLifetimeExceeded) => "expires_at",
        _ => return,
    };
    let instant = testbed.service.admin().session(&sent.session).await[limit].clone();
    // A session that its limit has ended no longer has that limit.
    let Some(instant) = instant.as_str() else { return };
    until("a limit passes", async || (rfc3339(SystemTime::now()).as_str() > instant).then_some(())).await;
}

/// Changes the session of an open request; returns false if that is impossible. One that expires was opened with a short limit.
pub(super) async fn change(testbed: &Testbed, session: &Session, sent: &Sent) -> bool {
    match session {
        Session::Over(Code::SessionRevoked) => testbed.service.admin().revoke(&sent.session).await,
        Session::Over(Code::Blocked) => block(testbed, sent).await,
        Session::Known(Known { scopes: Some(left), .. }) => narrow(testbed, sent, left).await,
        Session::Over(_) | Session::Known(_) => {}
        Session::Outage { .. } => return false,
    }
    true
}
