//! AuthZEN on the check listener: the cases of the working group's certification scenario (`authorization-api-1_0-scenario`,
//! levels Basic Core, Batch Core and Discovery), and what this service adds.
//!
//! The scenario's subjects are sessions here, its records routes, and its actions methods. A route that a policy reads and
//! writes by different scopes has a name for each, so `write` on `record-1` is a route of its own.

use crate::client::{FILTER, Filter, request, session_id, token};
use crate::fixtures::{Fixture, MINUTE, T0};
use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine as _};
use portcullis_contract::wire::{FilterMessage, Hello, Route, Token};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tonic::transport::Endpoint;

const ONE: &str = "/access/v1/evaluation";
const MANY: &str = "/access/v1/evaluations";

/// A service that knows the scenario's subjects and routes.
struct Point {
    fixture: Fixture,
    filter: Filter,
}

impl Point {
    async fn open() -> Self {
        let fixture = Fixture::open().await;
        let route = |name: &str, scope: &str| Route {
            name: name.to_owned(),
            all_of: vec![scope.to_owned()],
            ..Route::default()
        };
        let routes = vec![
            route("record-1", "records:read"),
            route("record-1/write", "records:write"),
            route("record-2", "archive:read"),
            Route { max_age_ms: Some(5 * MINUTE), acr: vec!["aal2".to_owned()], ..route("strong", "records:read") },
        ];
        let channel = Endpoint::from_shared(format!("http://{}", fixture.checks)).unwrap().connect().await.unwrap();
        let mut filter = Filter::silent(channel, FILTER).await.unwrap();
        filter
            .send(FilterMessage { hello: Some(Hello { routes, ..Hello::default() }), ..FilterMessage::default() })
            .await;
        filter.answer().await.unwrap().unwrap();
        let scopes = |scopes: &[&str]| scopes.iter().map(|&scope| scope.to_owned()).collect();
        let subject = |name: &str| name.to_owned();
        for of in [
            Token { scopes: scopes(&["records:read", "records:write"]), ..token(1, "alice", T0) },
            Token { scopes: scopes(&["records:read"]), subject: subject("bob"), ..token(2, "bob", T0) },
        ] {
            filter.ask_new(of).await;
        }
        Self { fixture, filter }
    }

    /// What is answered, with the head.
    async fn post(&self, path: &str, body: &Value) -> (u16, Value) {
        let bearer = format!("Bearer {FILTER}");
        let answer = request(self.fixture.checks, &bearer, "application/json", "POST", path, &body.to_string()).await;
        if answer.status == 200 {
            assert!(answer.head.contains("content-type: application/json"), "{}", answer.head);
            assert!(answer.head.contains("cache-control: no-store"), "{}", answer.head);
        }
        (answer.status, serde_json::from_str(&answer.text).unwrap_or(Value::String(answer.text)))
    }

    /// The decisions, as signs: `+` permits, `-` denies.
    async fn decides(&self, path: &str, body: &Value) -> String {
        let (status, answer) = self.post(path, body).await;
        assert_eq!(status, 200, "{answer}");
        let sign = |decision: &Value| if decision["decision"].as_bool().unwrap() { '+' } else { '-' };
        match answer.get("evaluations") {
            Some(list) => {
                assert!(answer.get("decision").is_none(), "{answer}");
                list.as_array().unwrap().iter().map(sign).collect()
            }
            None => sign(&answer).to_string(),
        }
    }
}

fn user(name: &str) -> Value {
    json!({"type": "session", "id": session_id(name).to_string()})
}

fn record(name: &str) -> Value {
    json!({"type": "route", "id": name})
}

fn asks(subject: &str, action: &str, resource: &str) -> Value {
    json!({"subject": user(subject), "action": {"name": action}, "resource": record(resource)})
}

fn with(mut body: Value, name: &str, value: Value) -> Value {
    body[name] = value;
    body
}

#[tokio::test]
async fn basic_core_requests_are_accepted_and_decided() {
    let point = Point::open().await;
    let mut rich = asks("alice", "GET", "record-1");
    rich["subject"]["properties"] = json!({"department": "Sales", "role": "manager"});
    rich["action"]["properties"] = json!({"method": "GET"});
    rich["resource"]["properties"] = json!({"status": "active", "owner": "bob"});
    let context = json!({"time": "2025-06-27T18:03-07:00", "ip": "192.168.1.1"});
    let unknown = with(asks("alice", "GET", "record-1"), "foo", json!("bar"));
    for (case, body, wanted) in [
        ("2.2.1: permit", asks("alice", "GET", "record-1"), "+"),
        ("2.2.2: deny", asks("bob", "PUT", "record-1/write"), "-"),
        ("2.2.3: context", with(asks("alice", "GET", "record-1"), "context", context), "+"),
        ("2.2.8: additional properties", rich, "+"),
        ("2.2.9: unknown fields", with(unknown, "futureField", json!({"nested": true})), "+"),
        ("rule 2", asks("alice", "PUT", "record-1/write"), "+"),
        ("rule 3", asks("bob", "GET", "record-1"), "+"),
    ] {
        // 2.6: the same request has the same decision.
        for _ in 0..3 {
            assert_eq!(point.decides(ONE, &body).await, wanted, "{case}");
        }
    }
}

#[tokio::test]
async fn basic_core_requests_that_are_none_are_bad_requests() {
    let point = Point::open().await;
    let without = |name: &str| {
        let mut body = asks("alice", "GET", "record-1");
        body.as_object_mut().unwrap().remove(name);
        body
    };
    let whole = || asks("alice", "GET", "record-1");
    for (case, body) in [
        ("2.4.1: subject", without("subject")),
        ("2.4.1: action", without("action")),
        ("2.4.1: resource", without("resource")),
        ("2.4.2: subject type", with(whole(), "subject", json!({"id": "alice"}))),
        ("2.4.2: subject id", with(whole(), "subject", json!({"type": "user"}))),
        ("2.4.2: action name", with(whole(), "action", json!({}))),
        ("2.4.2: resource type", with(whole(), "resource", json!({"id": "record-1"}))),
        ("2.4.2: resource id", with(whole(), "resource", json!({"type": "record"}))),
        ("2.4.6: subject", with(whole(), "subject", json!("alice"))),
        ("2.4.6: action name", with(whole(), "action", json!({"name": 123}))),
    ] {
        for path in [ONE, MANY] {
            let (status, answer) = point.post(path, &body).await;
            assert_eq!((status, answer.is_string()), (400, true), "{case}: {answer}");
        }
    }
    let (checks, bearer) = (point.fixture.checks, format!("Bearer {FILTER}"));
    for (case, kind, body) in [
        ("2.4.3: content type", "text/plain", whole().to_string()),
        ("2.4.4: malformed", "application/json", "{\"subject\":".to_owned()),
        ("2.4.5: empty", "application/json", String::new()),
    ] {
        for path in [ONE, MANY] {
            assert_eq!(request(checks, &bearer, kind, "POST", path, &body).await.status, 400, "{case}");
        }
    }
    let large = "x".repeat(256 * 1024 + 1);
    assert_eq!(request(checks, &bearer, "application/json", "POST", ONE, &large).await.status, 413);
}

#[tokio::test]
async fn batch_core_requests_are_answered_in_order() {
    let point = Point::open().await;
    let alice =
        |evaluations: Value| json!({"subject": user("alice"), "action": {"name": "GET"}, "evaluations": evaluations});
    let both = || json!([{"resource": record("record-1")}, {"resource": record("record-2")}]);
    let inherits = with(alice(both()), "context", json!({"time": "2025-06-27T18:03-07:00"}));
    let mut overrides = inherits.clone();
    overrides["evaluations"][1]["context"] = json!({"time": "2025-06-27T19:00-07:00", "source": "batch-override"});
    let bob = json!({"subject": user("bob"), "resource": record("record-1"), "evaluations": [
        {"action": {"name": "GET"}}, {"action": {"name": "PUT"}, "resource": record("record-1/write")},
    ]});
    for (case, body, wanted) in [
        ("3.2.1: evaluations", alice(both()), "+-"),
        ("3.2.2: decisions", bob, "+-"),
        (
            "3.2.5: no defaults",
            json!({"evaluations": [asks("alice", "GET", "record-1"), asks("bob", "PUT", "record-1/write")]}),
            "+-",
        ),
        ("3.2.6: context", inherits, "+-"),
        ("3.2.6: another context", overrides, "+-"),
        (
            "3.2.7: an empty evaluation",
            with(asks("alice", "GET", "record-1"), "evaluations", json!([{}, {"resource": record("record-2")}])),
            "+-",
        ),
        (
            "3.4.1: a failed evaluation",
            with(
                alice(json!([{"resource": record("record-1")}, {}])),
                "options",
                json!({"evaluations_semantic": "execute_all"}),
            ),
            "+-",
        ),
        ("3.4.2: no evaluations", asks("alice", "GET", "record-1"), "+"),
        ("3.4.3: empty evaluations", with(asks("alice", "GET", "record-1"), "evaluations", json!([])), "+"),
    ] {
        assert_eq!(point.decides(MANY, &body).await, wanted, "{case}");
    }
    let (_, answer) = point.post(MANY, &alice(json!([{"resource": record("record-1")}, {}]))).await;
    assert_eq!(
        answer["evaluations"][1]["context"]["error"],
        json!({"status": 400, "message": "`resource` is missing"})
    );
}

#[tokio::test]
async fn a_batch_ends_where_its_semantic_has_what_it_needs() {
    let point = Point::open().await;
    let (yes, no) = (|| asks("alice", "GET", "record-1"), || asks("alice", "GET", "record-2"));
    for (semantic, evaluations, wanted) in [
        ("execute_all", json!([no(), yes(), no()]), "-+-"),
        ("deny_on_first_deny", json!([yes(), no(), yes()]), "+-"),
        ("deny_on_first_deny", json!([yes(), {}, yes()]), "+-"),
        ("deny_on_first_deny", json!([yes(), yes()]), "++"),
        ("permit_on_first_permit", json!([no(), yes(), yes()]), "-+"),
        ("permit_on_first_permit", json!([yes(), no()]), "+"),
        ("permit_on_first_permit", json!([no(), {}]), "--"),
    ] {
        let body = json!({"options": {"evaluations_semantic": semantic}, "evaluations": evaluations});
        assert_eq!(point.decides(MANY, &body).await, wanted, "{semantic}: {body}");
    }
}

#[tokio::test]
async fn discovery_names_the_endpoints_that_are_there_and_needs_no_credential() {
    let point = Point::open().await;
    let path = "/.well-known/authzen-configuration";
    let answer = request(point.fixture.checks, "", "application/json", "GET", path, "").await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert!(answer.head.contains("content-type: application/json"), "{}", answer.head);
    // The host of every test's request.
    let wanted = json!({
        "policy_decision_point": "http://x",
        "access_evaluation_endpoint": format!("http://x{ONE}"),
        "access_evaluations_endpoint": format!("http://x{MANY}"),
    });
    assert_eq!(answer.json(), wanted);
}

#[tokio::test]
async fn an_answer_has_the_id_of_its_request() {
    let point = Point::open().await;
    for (authorization, path, body, status) in [
        (FILTER, ONE, asks("alice", "GET", "record-1").to_string(), 200),
        (FILTER, MANY, "{}".to_owned(), 400),
        ("wrong", ONE, String::new(), 401),
    ] {
        let mut stream = TcpStream::connect(point.fixture.checks).await.unwrap();
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\nx-request-id: bfe9eb29-ab87\r\nauthorization: Bearer {authorization}\r\n"
        );
        let request = format!("{head}content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}", body.len());
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
        assert!(answer.to_lowercase().contains("x-request-id: bfe9eb29-ab87\r\n"), "{answer}");
    }
}

#[tokio::test]
async fn callers_without_the_credential_of_filters_learn_nothing() {
    let point = Point::open().await;
    for authorization in ["", "Bearer wrong", &format!("Basic {FILTER}")] {
        for path in [ONE, MANY] {
            let body = asks("alice", "GET", "record-1").to_string();
            let answer = request(point.fixture.checks, authorization, "application/json", "POST", path, &body).await;
            assert_eq!(answer.status, 401, "{authorization}");
        }
    }
}

/// A token of one of the sessions, which nobody has signed.
fn jwt(sid: &str, subject: &str, scope: &str, more: Value) -> String {
    let issued = T0 / 1_000;
    let mut claims = json!({
        "iss": "https://id", "sub": subject, "client_id": "web", "scope": scope, "iat": issued, "exp": issued + 3_600, "sid": sid,
    });
    claims.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let encode = |part: String| BASE64_URL_SAFE_NO_PAD.encode(part);
    format!("{}.{}.AA", encode(r#"{"alg":"ES256"}"#.to_owned()), encode(claims.to_string()))
}

fn asks_with(token: &str, route: &str) -> Value {
    json!({"subject": {"type": "token", "id": token}, "action": {"name": "GET"}, "resource": record(route)})
}

#[tokio::test]
async fn a_token_is_let_through_where_a_filter_would_and_opens_no_session() {
    let point = Point::open().await;
    let issued = T0 / 1_000;
    let alice = |scope: &str, more: Value| jwt("alice", "alice", scope, more);
    let strong = json!({"acr": "aal2", "auth_time": issued});
    for (case, token, route, wanted) in [
        ("its own", alice("records:read", json!({})), "record-1", json!({"decision": true})),
        ("fewer scopes", alice("records:write", json!({})), "record-1", json!("insufficient_scope")),
        ("more scopes", alice("records:read admin", json!({})), "record-1", json!("scope_escalation")),
        ("another subject", jwt("alice", "mallory", "records:read", json!({})), "record-1", json!("session_unknown")),
        ("no session yet", jwt("carol", "carol", "records:read", json!({})), "record-1", json!("session_unknown")),
        (
            "expired",
            alice("records:read", json!({"iat": issued - 120, "exp": issued - 60})),
            "record-1",
            json!("token_expired"),
        ),
        ("not yet", alice("records:read", json!({"nbf": issued + 600})), "record-1", json!("invalid_token")),
        ("no token", "x.y.z".to_owned(), "record-1", json!("invalid_token")),
        ("no route", alice("records:read", json!({})), "record-9", json!("resource_unknown")),
        ("a weak login", alice("records:read", json!({})), "strong", json!("step_up_required")),
        ("a strong login", alice("records:read", strong), "strong", json!({"decision": true})),
        (
            "a login that cannot be read",
            alice("records:read", json!({"acr": "aal2", "auth_time": "today"})),
            "strong",
            json!("step_up_required"),
        ),
    ] {
        let (status, answer) = point.post(ONE, &asks_with(&token, route)).await;
        let shown = if wanted.is_object() { &answer } else { &answer["context"]["reason"] };
        assert_eq!((status, shown), (200, &wanted), "{case}: {answer}");
    }
    let sessions = point.fixture.call("GET", "/v1/sessions", "").await.json();
    assert_eq!(sessions["sessions"].as_array().unwrap().len(), 2, "{sessions}");
}

#[tokio::test]
async fn what_would_help_is_said_and_what_is_not_known_is_denied() {
    let point = Point::open().await;
    let (_, answer) = point.post(ONE, &asks("alice", "GET", "strong")).await;
    let context = json!({"reason": "step_up_required", "acr_values": "aal2", "max_age": 300});
    assert_eq!(answer, json!({"decision": false, "context": context}));
    let nobody = "0".repeat(32);
    for (case, body, reason) in [
        ("an action", asks("alice", "read", "record-1"), "action_unknown"),
        (
            "a type of subject",
            with(asks("alice", "GET", "record-1"), "subject", json!({"type": "user", "id": "alice"})),
            "session_unknown",
        ),
        (
            "a session",
            with(asks("alice", "GET", "record-1"), "subject", json!({"type": "session", "id": nobody})),
            "session_unknown",
        ),
        (
            "no id",
            with(asks("alice", "GET", "record-1"), "subject", json!({"type": "session", "id": "alice"})),
            "session_unknown",
        ),
        (
            "a type of resource",
            with(asks("alice", "GET", "record-1"), "resource", json!({"type": "record", "id": "record-1"})),
            "resource_unknown",
        ),
    ] {
        let (status, answer) = point.post(ONE, &body).await;
        assert_eq!((status, &answer["context"]["reason"]), (200, &json!(reason)), "{case}: {answer}");
    }
}

#[tokio::test]
async fn an_evaluation_is_no_activity_and_sees_what_has_changed() {
    let mut point = Point::open().await;
    let last_seen = async |point: &Point| {
        let session = point.fixture.call("GET", &format!("/v1/sessions/{}", session_id("alice")), "").await.json();
        session["last_seen_at"].clone()
    };
    let before = last_seen(&point).await;
    point.fixture.at(MINUTE);
    assert_eq!(point.decides(ONE, &asks("alice", "GET", "record-1")).await, "+");
    assert_eq!(
        point.decides(ONE, &asks_with(&jwt("alice", "alice", "records:read", json!({})), "record-1")).await,
        "+"
    );
    assert_eq!(last_seen(&point).await, before);
    let narrow = json!({"remove": ["records:read"]}).to_string();
    let path = format!("/v1/sessions/{}", session_id("alice"));
    assert_eq!(point.fixture.call("PATCH", &path, &narrow).await.status, 200);
    assert_eq!(point.decides(ONE, &asks("alice", "GET", "record-1")).await, "-");
    assert_eq!(
        point.fixture.call("POST", &format!("/v1/sessions/{}/revoke", session_id("bob")), "{}").await.status,
        200
    );
    let (_, answer) = point.post(ONE, &asks("bob", "GET", "record-1")).await;
    assert_eq!(answer["decision"], false, "{answer}");
    // Routes are those of connected filters.
    let metrics = point.fixture.call("GET", "/metrics", "").await.text;
    assert!(metrics.contains(r#"portcullis_authzen_decisions_total{decision="deny"} 2"#), "{metrics}");
    assert!(metrics.contains(r#"portcullis_authzen_decisions_total{decision="permit"} 2"#), "{metrics}");
    point.filter.outcome(1).await;
}
