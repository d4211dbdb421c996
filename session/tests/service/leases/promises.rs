//! Whatever promises something beside the calls for sessions: signals, logouts, `/oauth2/revoke` and the end of a grant.

use super::*;
use crate::client::{post_form, request};
use crate::oauth::jwt;
use crate::signals::{self, CAEP, logout, set};
use serde_json::json;

const RITA: &str = "Bearer the-secret-of-ADMIN_rita";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Promise {
    Signal,
    Logout,
    GlobalRevocation,
    OAuth,
    EndOfGrant,
}

const ALL: [Promise; 5] =
    [Promise::Signal, Promise::Logout, Promise::GlobalRevocation, Promise::OAuth, Promise::EndOfGrant];

/// A service with transmitters, and with an approval for `orders:write`.
fn config() -> String {
    signals::config("")
        + "admins:\n\
           - {name: rita, credential: {env: ADMIN_rita}, scopes: [\"portcullis:approve\"],\n  \
              subject: {issuer: https://staff, sub: rita}}\n\
           approvals:\n\
           - {name: write, scopes: [orders:write], ask: {admins: [rita]}, decide: [{admins: [rita]}], max_duration: 1h,\n  \
              break_glass: {who: {admins: [rita]}, max_duration: 15m}}\n"
}

/// A filter that has a lease of the session `s`, when it has asked for it, and the grant that the lease rests on.
async fn with_lease_of(fixture: &Fixture, promise: Promise, lease_ms: u64) -> (Filter, Instant, String) {
    let approved = vec!["orders:write".to_owned()];
    let granted = Route { name: "granted".to_owned(), all_of: approved.clone(), lease_ms, ..Route::default() };
    let plain = Route { name: "plain".to_owned(), lease_ms, ..Route::default() };
    let hello = Some(Hello { routes: vec![plain, granted], approvals: approved, ..Hello::default() });
    let mut filter = saying(fixture, FilterMessage { hello, ..FilterMessage::default() }).await;
    let mut token = token(1, "s", T0);
    token.scopes.push("orders:write".to_owned());
    filter.send(FilterMessage { tokens: vec![token], ..FilterMessage::default() }).await;
    if promise != Promise::EndOfGrant {
        let asked_at = leased(&mut filter, 1, 0).await;
        return (filter, asked_at, String::new());
    }
    assert_eq!(ask(&mut filter, 1, 1).await.outcome(), Outcome::ApprovalRequired);
    let body = json!({
        "session": session_id("s").to_string(), "scopes": ["orders:write"], "reason": "4711", "duration": "10m",
        "emergency": true,
    });
    let granted = crate::client::http(fixture.admin, RITA, "POST", "/v1/requests", &body.to_string()).await;
    assert_eq!(granted.status, 201, "{granted:?}");
    let grant = granted.json()["grant"]["id"].as_str().unwrap().to_owned();
    let asked_at = leased(&mut filter, 1, 1).await;
    (filter, asked_at, grant)
}

async fn make(fixture: &Fixture, promise: Promise, grant: &str) -> Answer {
    let signals = fixture.signals.unwrap();
    match promise {
        Promise::Signal => {
            let session = json!({"format": "opaque", "id": "s"});
            let event = json!({"sub_id": session, "events": {format!("{CAEP}session-revoked"): {}}});
            signals::push(fixture, &set("1", &event)).await
        }
        Promise::Logout => logout::logout(fixture, &logout::logout_token("1", &json!({"sid": "s"}))).await,
        Promise::GlobalRevocation => {
            let body = json!({"sub_id": signals::alice()}).to_string();
            request(signals, signals::PUSHES, "application/json", "POST", "/signals/soc", &body).await
        }
        Promise::OAuth => {
            let form = format!("token={}", jwt("s", json!({})));
            post_form(fixture.checks, &format!("Bearer {FILTER}"), "/oauth2/revoke", &form).await
        }
        Promise::EndOfGrant => fixture.call("POST", &format!("/v1/grants/{grant}/revoke"), "").await,
    }
}

#[tokio::test]
async fn each_is_answered_once_the_filter_has_given_the_lease_back_and_at_once_then() {
    for promise in ALL {
        let fixture = Fixture::with(&config()).await;
        let (mut filter, asked_at, grant) = with_lease_of(&fixture, promise, LONG).await;
        taken_back_before(&mut filter, make(&fixture, promise, &grant)).await;
        assert!(asked_at.elapsed() < Duration::from_millis(LONG), "{promise:?} waits for the end of the lease");
        let route = u32::from(promise == Promise::EndOfGrant);
        let refused = ask(&mut filter, 2, route).await;
        assert!(refused.outcome() != Outcome::Active && refused.lease_ms.is_none(), "{promise:?}: {refused:?}");
    }
}

#[tokio::test]
async fn each_waits_for_the_end_of_a_lease_that_nobody_gives_back_and_no_longer() {
    for promise in ALL {
        let fixture = Fixture::with(&config()).await;
        let (_hung, asked_at, grant) = with_lease_of(&fixture, promise, SHORT).await;
        let answer = make(&fixture, promise, &grant).await;
        assert!((200..300).contains(&answer.status), "{promise:?}: {answer:?}");
        waited_out(asked_at, &format!("{promise:?}"));
    }
}
