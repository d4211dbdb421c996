//! The client beside a small decision point over HTTP.

use super::{OnOutage, Pdp, PdpMetrics, PdpSettings, Query, Ruling};
use crate::conditions::Classes;
use crate::signals::Url;
use crate::store::postgres::Secret;
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use futures_util::future::join_all;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::net::TcpListener;

/// How a decision point answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Manner {
    /// With metadata that names both endpoints.
    Whole,
    /// With metadata that names one.
    Single,
    /// Without metadata.
    Plain,
    /// With what is no decision.
    Vague,
    /// With an error.
    Broken,
    /// Never.
    Silent,
}

/// What it was asked.
#[derive(Debug, Clone)]
struct Call {
    path: String,
    id: String,
    authorization: String,
    body: Value,
}

struct Point {
    manner: Mutex<Manner>,
    base: Mutex<String>,
    calls: Mutex<Vec<Call>>,
}

impl Point {
    async fn open(manner: Manner) -> Arc<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let point = Arc::new(Self { manner: Mutex::new(manner), base: Mutex::new(base), calls: Mutex::default() });
        let router = Router::new().fallback(answer).with_state(Arc::clone(&point));
        tokio::spawn(async move { axum::serve(listener, router).await });
        point
    }

    fn manner(&self) -> Manner {
        *self.manner.lock().unwrap()
    }

    fn client(&self, timeout_ms: u64) -> Pdp {
        let base = self.base.lock().unwrap().clone();
        let settings = PdpSettings {
            url: Url::read(&base).unwrap(),
            base,
            credential: Some(Secret("a-secret-of-the-pdp".to_owned())),
            timeout_ms,
            on_outage: OnOutage::Deny,
            ca: None,
            classes: Classes::default(),
        };
        let metrics = PdpMetrics::new(&prometheus::Registry::new()).unwrap();
        Pdp::start(settings, Arc::new(metrics)).unwrap()
    }

    /// The calls at the endpoints, which every call's headers and members are checked of.
    fn asked(&self) -> Vec<Call> {
        let calls: Vec<Call> = self.calls.lock().unwrap().clone();
        let asked: Vec<Call> = calls.into_iter().filter(|call| !call.path.starts_with("/.well-known")).collect();
        let ids: BTreeSet<&str> = asked.iter().map(|call| call.id.as_str()).collect();
        assert!(ids.len() == asked.len() && !ids.contains(""), "{asked:?}");
        for Call { authorization, body, .. } in &asked {
            assert_eq!(authorization, "Bearer a-secret-of-the-pdp");
            let evaluations = body["evaluations"].as_array().cloned().unwrap_or_else(|| vec![body.clone()]);
            for evaluation in evaluations {
                let members: BTreeSet<&str> = evaluation.as_object().unwrap().keys().map(String::as_str).collect();
                assert_eq!(Vec::from_iter(members), ["action", "context", "resource", "subject"], "{evaluation}");
            }
        }
        asked
    }
}

async fn answer(State(point): State<Arc<Point>>, uri: Uri, headers: HeaderMap, body: Bytes) -> (StatusCode, String) {
    let (manner, base) = (point.manner(), point.base.lock().unwrap().clone());
    let header = |name: &str| headers.get(name).map_or("", |value| value.to_str().unwrap()).to_owned();
    let body: Value = serde_json::from_slice(&body).unwrap_or_default();
    let call = Call {
        path: uri.path().to_owned(),
        id: header("x-request-id"),
        authorization: header("authorization"),
        body: body.clone(),
    };
    point.calls.lock().unwrap().push(call);
    // Alice may, and nobody else.
    let decide = |evaluation: &Value| match manner {
        Manner::Vague => json!({"decision": "true"}),
        _ => json!({"decision": evaluation["subject"]["properties"]["subject"] == "alice"}),
    };
    let mut metadata = json!({"policy_decision_point": base, "access_evaluation_endpoint": format!("{base}/one")});
    let answer = match (uri.path(), manner) {
        (_, Manner::Silent) => std::future::pending().await,
        (_, Manner::Broken) => return (StatusCode::INTERNAL_SERVER_ERROR, "{\"decision\":true}".to_owned()),
        ("/.well-known/authzen-configuration", Manner::Whole | Manner::Vague) => {
            metadata["access_evaluations_endpoint"] = format!("{base}/many").into();
            metadata
        }
        ("/.well-known/authzen-configuration", Manner::Single) => metadata,
        ("/one", Manner::Whole | Manner::Single | Manner::Vague) | ("/access/v1/evaluation", Manner::Plain) => {
            decide(&body)
        }
        ("/many", Manner::Whole | Manner::Vague) | ("/access/v1/evaluations", Manner::Plain) => {
            json!({"evaluations": body["evaluations"].as_array().unwrap().iter().map(decide).collect::<Vec<_>>()})
        }
        _ => return (StatusCode::NOT_FOUND, String::new()),
    };
    (StatusCode::OK, answer.to_string())
}

fn query(subject: &str) -> Query {
    Query { session: "5d41".to_owned(), subject: subject.to_owned(), method: "GET".to_owned(), ..Query::default() }
}

const LONG_MS: u64 = 20_000;

#[tokio::test(flavor = "multi_thread")]
async fn questions_are_answered_in_their_order_wherever_the_endpoints_are() {
    for manner in [Manner::Whole, Manner::Single, Manner::Plain] {
        let point = Point::open(manner).await;
        let pdp = point.client(LONG_MS);
        let subjects = ["alice", "bob"].into_iter().cycle().take(200);
        let rulings = join_all(subjects.clone().map(|subject| pdp.ask(query(subject)))).await;
        for (subject, ruling) in subjects.zip(rulings) {
            let wanted = if subject == "alice" { Ruling::Permit } else { Ruling::Deny };
            assert_eq!(ruling, wanted, "{manner:?}: {subject}");
        }
        let asked = point.asked();
        let is_batch = |call: &Call| call.body.get("evaluations").is_some();
        match manner {
            Manner::Single => assert!(asked.len() == 200 && !asked.iter().any(is_batch)),
            _ => assert!(asked.len() < 200 && asked.iter().any(is_batch), "{}", asked.len()),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_decision_is_none() {
    for manner in [Manner::Vague, Manner::Broken] {
        let pdp = Point::open(manner).await.client(LONG_MS);
        let rulings = join_all(["alice", "alice", "bob"].map(|subject| pdp.ask(query(subject)))).await;
        assert_eq!(rulings, [Ruling::None; 3], "{manner:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_point_that_does_not_answer_holds_nobody_up_for_longer_than_the_timeout() {
    let point = Point::open(Manner::Silent).await;
    let pdp = point.client(50);
    let began = Instant::now();
    let rulings = join_all((0..500).map(|_| pdp.ask(query("alice")))).await;
    assert!(rulings.iter().all(|ruling| *ruling == Ruling::None));
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    // It is there again.
    *point.manner.lock().unwrap() = Manner::Plain;
    while pdp.ask(query("alice")).await != Ruling::Permit {
        assert!(began.elapsed() < Duration::from_secs(20), "it is not asked again");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_there_is_no_decision() {
    let point = Point::open(Manner::Plain).await;
    *point.base.lock().unwrap() = "http://127.0.0.1:9".to_owned();
    assert_eq!(point.client(LONG_MS).ask(query("alice")).await, Ruling::None);
}

#[test]
fn in_an_outage_only_what_reads_can_be_released() {
    for method in ["GET", "HEAD", "OPTIONS", "TRACE"] {
        assert!(OnOutage::ReadOnly.releases(method) && !OnOutage::Deny.releases(method));
    }
    for method in ["POST", "PUT", "PATCH", "DELETE", "get", "CONNECT", ""] {
        assert!(!OnOutage::ReadOnly.releases(method) && !OnOutage::Deny.releases(method));
    }
}
