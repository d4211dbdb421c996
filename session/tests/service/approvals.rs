//! Requests for access at the admin API: who may ask, who decides, what is answered, and what a person may do without being an
//! admin.

use crate::admins::{ISSUER, jwks, oauth, token};
use crate::client::{self, Answer, FILTER, Filter, http};
use crate::fixtures::{Fixture, MINUTE, T0};
use portcullis_contract::wire::{FilterMessage, Hello, Outcome, Question, Route, Token};
use serde_json::{Value, json};
use std::sync::atomic::Ordering;
use tonic::transport::Endpoint;

const RULES: &str = "approvals:
- {name: prod, scopes: [prod:admin], ask: {admins: [rita], claims: {groups: [oncall]}}, decide: [{admins: [ben, rita]}],
   max_duration: 1h, pending_for: 2h, justification: required, break_glass: {who: {admins: [rita]}, max_duration: 15m}}
- {name: twice, scopes: [prod:root], ask: {admins: [rita]}, decide: [{admins: [ben, cara]}, {admins: [ben, cara]}],
   max_duration: 1h, ticket: required}";

fn config() -> String {
    let named = ["rita", "ben", "cara"].map(|name| {
        format!("- {{name: {name}, credential: {{env: ADMIN_{name}}}, scopes: [\"portcullis:view\", \"portcullis:approve\"],\n  subject: {{issuer: {ISSUER}, sub: {name}}}}}\n")
    });
    format!("{}{}{RULES}", oauth(&format!("inline: {}", jwks()), ""), named.concat())
}

struct Bed(Fixture);

impl Bed {
    async fn open() -> Self {
        Self(Fixture::with(&config()).await)
    }

    /// A call by an admin with this name, or by the holder of this token.
    async fn call(&self, who: &str, method: &str, path: &str, body: &Value) -> Answer {
        let credential = if who.contains('.') { who.to_owned() } else { format!("the-secret-of-ADMIN_{who}") };
        let body = if body.is_null() { String::new() } else { body.to_string() };
        http(self.0.admin, &format!("Bearer {credential}"), method, path, &body).await
    }

    /// The id of a session of this user.
    async fn session(&self, subject: &str) -> String {
        let body =
            json!({"issuer": ISSUER, "key": subject, "subject": subject, "client_id": "web", "scopes": ["prod:admin"]});
        let opened = self.0.call("POST", "/v1/sessions", &body.to_string()).await.json();
        opened["id"].as_str().unwrap().to_owned()
    }

    async fn ask(&self, who: &str, session: &str, more: &Value) -> Answer {
        let mut body = json!({"session": session, "scopes": ["prod:admin"], "reason": "incident", "duration": "30m"});
        for (name, value) in more.as_object().unwrap() {
            body[name] = value.clone();
        }
        self.call(who, "POST", "/v1/requests", &body).await
    }

    async fn decide(&self, who: &str, request: &Value, deed: &str, body: &Value) -> Answer {
        let path = format!("/v1/requests/{}/{deed}", request["id"].as_str().unwrap());
        self.call(who, "POST", &path, body).await
    }
}

#[tokio::test]
async fn what_cannot_be_asked_for_is_refused_with_its_reason() {
    let bed = Bed::open().await;
    let session = bed.session("alice").await;
    for (who, more, status, says) in [
        ("rita", json!({"session": "0".repeat(32)}), 404, "no live session"),
        ("rita", json!({"scopes": ["other"]}), 422, "no approval rule"),
        ("rita", json!({"scopes": []}), 422, "`scopes`"),
        ("rita", json!({"reason": " "}), 422, "`reason`"),
        ("rita", json!({"duration": "61m"}), 422, "at most 1h"),
        ("rita", json!({"duration": "0s"}), 422, "`duration`"),
        ("rita", json!({"duration": "16m", "emergency": true}), 422, "at most 15m"),
        ("rita", json!({"scopes": ["prod:root"]}), 422, "`ticket`"),
        ("rita", json!({"scopes": ["prod:root"], "ticket": "7", "emergency": true}), 403, "knows no emergencies"),
        ("rita", json!({"reason": "x".repeat(1025)}), 422, "1024 bytes"),
        ("rita", json!({"grant": true}), 400, "grant"),
        ("ben", json!({}), 403, "does not let you"),
        ("ben", json!({"duration": "5m", "emergency": true}), 403, "does not let you"),
    ] {
        let answer = bed.ask(who, &session, &more).await;
        let detail = answer.json()["detail"].as_str().unwrap_or_default().to_owned();
        assert_eq!(answer.status, status, "{who} {more}: {answer:?}");
        assert!(detail.contains(says), "{who} {more}: {detail}");
    }
    let listed = bed.call("rita", "GET", "/v1/requests", &Value::Null).await.json();
    assert_eq!(listed, json!({"requests": []}));
}

#[tokio::test]
async fn a_request_is_made_once_and_decided_once_by_another_person() {
    let bed = Bed::open().await;
    let session = bed.session("alice").await;
    let asked = bed.ask("rita", &session, &json!({})).await;
    let again = bed.ask("rita", &session, &json!({})).await;
    assert_eq!((asked.status, again.status, &asked.json()), (201, 200, &again.json()));
    let request = asked.json();
    assert_eq!((&request["state"], &request["requester"]), (&json!("pending"), &json!("rita")));

    assert_eq!(bed.decide("rita", &request, "approve", &json!({})).await.status, 403, "her own");
    assert_eq!(bed.decide("cara", &request, "approve", &json!({})).await.status, 403, "not named");
    assert_eq!(bed.decide("ben", &request, "cancel", &json!({})).await.status, 403, "not his");
    assert_eq!(bed.decide("ben", &request, "deny", &json!({})).await.status, 422, "without a comment");
    assert_eq!(bed.decide("ben", &request, "approve", &json!({"duration": "31m"})).await.status, 422, "longer");
    assert_eq!(bed.decide("ben", &request, "approve", &json!({"for": "session"})).await.status, 422, "no escalation");
    assert_eq!(bed.decide("ben", &json!({"id": "1"}), "approve", &json!({})).await.status, 404);

    let approved = bed.decide("ben", &request, "approve", &json!({"duration": "10m"})).await.json();
    assert_eq!((&approved["state"], &approved["grant"]["state"]), (&json!("approved"), &json!("live")));
    for deed in ["approve", "deny", "cancel"] {
        let who = if deed == "cancel" { "rita" } else { "ben" };
        let answer = bed.decide(who, &request, deed, &json!({"comment": "again"})).await;
        assert_eq!((answer.status, answer.code().as_str()), (409, "request_closed"), "{deed}");
    }
    let grants = bed.call("rita", "GET", &format!("/v1/grants?session={session}"), &Value::Null).await.json();
    let grant = grants["grants"][0]["grant"]["id"].as_str().unwrap().to_owned();
    let revoke = format!("/v1/grants/{grant}/revoke");
    assert_eq!(bed.call("ben", "POST", &revoke, &Value::Null).await.status, 200);
    assert_eq!(bed.call("ben", "POST", &revoke, &Value::Null).await.status, 409);
}

#[tokio::test]
async fn two_steps_take_two_people_and_a_time_that_was_shortened_stays_short() {
    let bed = Bed::open().await;
    let session = bed.session("alice").await;
    let request = bed.ask("rita", &session, &json!({"scopes": ["prod:root"], "ticket": "7"})).await.json();
    let first = bed.decide("ben", &request, "approve", &json!({"duration": "10m"})).await.json();
    assert_eq!((&first["state"], first.get("grant")), (&json!("pending"), None));
    assert_eq!(bed.decide("ben", &request, "approve", &json!({})).await.status, 403, "the same person again");
    assert_eq!(bed.decide("cara", &request, "approve", &json!({"duration": "11m"})).await.status, 422);
    let second = bed.decide("cara", &request, "approve", &json!({})).await.json();
    assert_eq!((&second["state"], &second["duration"]), (&json!("approved"), &json!("10m")));
}

#[tokio::test]
async fn what_nobody_decides_expires_and_grants_end_at_their_time_and_with_their_rule() {
    let bed = Bed::open().await;
    let session = bed.session("alice").await;
    let state = async |request: &Value| {
        let path = format!("/v1/requests/{}", request["id"].as_str().unwrap());
        bed.call("cara", "GET", &path, &Value::Null).await.json()
    };
    let until = async |request: &Value, pointer: &str, value: &str| {
        while state(request).await.pointer(pointer) != Some(&json!(value)) {
            tokio::task::yield_now().await;
        }
    };
    let forgotten = bed.ask("rita", &session, &json!({})).await.json();
    bed.0.clock.fetch_add(2 * 60 * MINUTE, Ordering::SeqCst);
    assert_eq!(bed.decide("ben", &forgotten, "approve", &json!({})).await.status, 409, "late, noted or not");
    until(&forgotten, "/state", "expired").await;

    let session = bed.session("anna").await;
    let timed = bed.ask("rita", &session, &json!({"duration": "5m"})).await.json();
    assert_eq!(bed.decide("ben", &timed, "approve", &json!({})).await.status, 200);
    bed.0.clock.fetch_add(5 * MINUTE, Ordering::SeqCst);
    until(&timed, "/grant/reason", "expired").await;

    let held = bed.ask("rita", &session, &json!({})).await.json();
    assert_eq!(bed.decide("ben", &held, "approve", &json!({})).await.status, 200);
    let without = config().replace("name: prod,", "name: other,");
    assert!(bed.0.reload(&without).reloaded.contains(&"approvals"));
    until(&held, "/grant/reason", "rule_gone").await;
}

#[tokio::test]
async fn an_emergency_is_granted_at_once_and_reviewed_by_somebody_else() {
    let bed = Bed::open().await;
    let session = bed.session("alice").await;
    let taken = bed.ask("rita", &session, &json!({"duration": "15m", "emergency": true})).await;
    assert_eq!(taken.status, 201);
    let taken = taken.json();
    assert_eq!((&taken["review"], &taken["grant"]["state"]), (&json!("open"), &json!("live")));
    assert_eq!(bed.decide("rita", &taken, "review", &json!({"comment": "fine"})).await.status, 403);
    assert_eq!(bed.decide("cara", &taken, "review", &json!({})).await.status, 422);
    let reviewed = bed.decide("cara", &taken, "review", &json!({"comment": "it was needed"})).await.json();
    assert_eq!((&reviewed["review"], &reviewed["reviewed"]["by"]), (&json!("closed"), &json!("cara")));
    assert_eq!(bed.decide("cara", &taken, "review", &json!({"comment": "again"})).await.status, 409);
}

#[tokio::test]
async fn a_person_asks_with_his_own_token_for_his_own_session_and_sees_nothing_else() {
    let bed = Bed::open().await;
    let (own, other) = (bed.session("anna").await, bed.session("alice").await);
    let anna = token(&json!({"scope": "openid", "groups": ["oncall"]}));
    let outsider = token(&json!({"scope": "openid", "sub": "alice"}));
    assert_eq!(bed.ask(&anna, &other, &json!({})).await.status, 403, "somebody else's session");
    assert_eq!(bed.ask(&outsider, &other, &json!({})).await.status, 403, "without the claim");
    assert_eq!(bed.ask(&anna, &own, &json!({"duration": "5m", "emergency": true})).await.status, 403);
    let asked = bed.ask(&anna, &own, &json!({})).await;
    assert_eq!(asked.status, 201, "{asked:?}");
    let (request, foreign) = (asked.json(), bed.ask("rita", &other, &json!({})).await.json());

    let path = |request: &Value| format!("/v1/requests/{}", request["id"].as_str().unwrap());
    let listed = bed.call(&anna, "GET", "/v1/requests", &Value::Null).await.json();
    assert_eq!(listed["requests"], json!([request]));
    assert_eq!(bed.call(&anna, "GET", &path(&request), &Value::Null).await.status, 200);
    assert_eq!(bed.call(&anna, "GET", &path(&foreign), &Value::Null).await.status, 404);
    let deny = json!({"comment": "no"});
    for (request, deed) in [(&foreign, "cancel"), (&request, "approve"), (&request, "deny"), (&request, "review")] {
        assert_eq!(bed.decide(&anna, request, deed, &deny).await.status, 403, "{deed}");
    }
    for path in ["/v1/sessions", "/v1/grants", "/v1/events"] {
        assert_eq!(bed.call(&anna, "GET", path, &Value::Null).await.status, 403, "{path}");
    }
    let cancelled = bed.decide(&anna, &request, "cancel", &Value::Null).await.json();
    assert_eq!(cancelled["state"], json!("cancelled"));

    // As an admin he is nobody else: what he has asked for himself, he does not decide.
    let as_admin = token(&json!({"scope": "portcullis:admin", "groups": ["oncall"]}));
    let request = bed.ask(&anna, &own, &json!({})).await.json();
    assert_eq!(bed.decide(&as_admin, &request, "approve", &json!({})).await.status, 403);
}

/// A stream of a filter whose route needs an approval for `prod:admin`, and a token with it.
async fn filter(bed: &Bed) -> Filter {
    let endpoint = Endpoint::from_shared(format!("http://{}", bed.0.checks)).unwrap();
    let mut filter = Filter::silent(endpoint.connect().await.unwrap(), FILTER).await.unwrap();
    let scopes = vec!["prod:admin".to_owned()];
    let routes = vec![Route { name: "prod".to_owned(), all_of: scopes.clone(), ..Route::default() }];
    let hello = Some(Hello { routes, approvals: scopes.clone(), ..Hello::default() });
    let token = Token { issuer: ISSUER.to_owned(), scopes, ..client::token(1, "alice", T0) };
    filter.send(FilterMessage { hello, tokens: vec![token], ..FilterMessage::default() }).await;
    assert!(filter.answer().await.unwrap().unwrap().welcome.is_some());
    filter
}

#[tokio::test]
async fn of_questions_that_arrive_together_one_passes_by_a_grant_for_one_request() {
    let bed = Bed::open().await;
    let session = bed.session("alice").await;
    let request = bed.ask("rita", &session, &json!({})).await.json();
    assert_eq!(bed.decide("ben", &request, "approve", &json!({"once": true, "for": "session"})).await.status, 422);
    let approved = bed.decide("ben", &request, "approve", &json!({"once": true, "duration": "10m"})).await.json();
    assert_eq!((&approved["grant"]["state"], &approved["grant"]["once"]), (&json!("live"), &json!(true)));

    let (mut one, mut other) = (filter(&bed).await, filter(&bed).await);
    for filter in [&one, &other] {
        let questions = (1..=4).map(|id| Question { id, token: 1, ..Question::default() }).collect();
        filter.send(FilterMessage { questions, ..FilterMessage::default() }).await;
    }
    let mut outcomes: Vec<Outcome> = one.verdicts(4).await.iter().map(|verdict| verdict.outcome()).collect();
    outcomes.extend(other.verdicts(4).await.iter().map(|verdict| verdict.outcome()));
    outcomes.sort_unstable();
    assert_eq!((outcomes[0], outcomes[1], outcomes[7]), {
        let refused = Outcome::ApprovalRequired;
        (Outcome::Active, refused, refused)
    });
    let path = format!("/v1/requests/{}", request["id"].as_str().unwrap());
    let grant = bed.call("cara", "GET", &path, &Value::Null).await.json()["grant"].clone();
    assert_eq!((&grant["state"], &grant["route"]), (&json!("used"), &json!("prod")), "{grant}");
    let metrics = bed.0.call("GET", "/metrics", "").await.text;
    assert!(metrics.contains("portcullis_grants_live 0"), "{metrics}");
}
