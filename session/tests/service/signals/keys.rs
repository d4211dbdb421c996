//! Keys that are fetched.

use super::*;
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

/// A server of documents: the bodies by path. A path without one answers 503.
#[derive(Clone, Default)]
pub(crate) struct Documents(Arc<Mutex<Vec<(&'static str, String)>>>);

impl Documents {
    pub(crate) fn put(&self, path: &'static str, body: &Value) {
        let mut all = self.0.lock().unwrap();
        all.retain(|(of, _)| *of != path);
        all.push((path, body.to_string()));
    }

    pub(crate) fn clear(&self) {
        self.0.lock().unwrap().clear();
    }

    pub(crate) async fn serve(&self) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let documents = self.clone();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut head = vec![0; 4096];
                let count = stream.read(&mut head).await.unwrap_or_default();
                let head = String::from_utf8_lossy(&head[..count]).into_owned();
                let path = head.split(' ').nth(1).unwrap_or_default();
                let body = documents.0.lock().unwrap().iter().find(|(of, _)| *of == path).map(|(_, body)| body.clone());
                let (status, body) = body.map_or(("503 Out", String::new()), |body| ("200 OK", body));
                let length = body.len();
                let answer =
                    format!("HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}");
                let _ = stream.write_all(answer.as_bytes()).await;
            }
        });
        format!("http://{address}")
    }
}

fn transmitter(keys: &str) -> String {
    format!(
        "signals_listen: 127.0.0.1:0\nsignals:\n- {{name: idp, kind: ssf, issuer: https://idp, tokens_of: https://id, \
         audiences: [us], algorithms: [EdDSA], keys: {{{keys}}}, authorization: {{env: P}}}}\n"
    )
}

fn revoked() -> Value {
    about_alice(&format!("{CAEP}session-revoked"))
}

#[tokio::test]
async fn a_signal_waits_for_its_key_and_is_not_lost_while_there_is_none() {
    let documents = Documents::default();
    let at = documents.serve().await;
    let fixture = Fixture::with(&transmitter(&format!("jwks_url: \"{at}/jwks\""))).await;
    let mut filter = with_sessions(&fixture).await;
    let answer = push(&fixture, &set("1", &revoked())).await;
    assert_eq!(err(&answer), (503, "temporarily_unavailable".to_owned()), "it is to be sent again");
    assert_eq!(fixture.call("GET", "/v1/signals/idp", "").await.json()["keys"], "failing");
    documents.put("/jwks", &jwks());
    // The keys are fetched again on demand.
    while push(&fixture, &set("1", &revoked())).await.status != 202 {
        tokio::task::yield_now().await;
    }
    assert_eq!(filter.outcome(1).await, Outcome::Revoked);
    assert_eq!(fixture.call("GET", "/v1/signals/idp", "").await.json()["keys"], "ok");
}

#[tokio::test]
async fn a_key_that_is_new_is_fetched_when_a_signal_names_it() {
    let documents = Documents::default();
    let at = documents.serve().await;
    let mut old = jwks();
    old["keys"][0]["kid"] = json!("t0");
    documents.put("/jwks", &old);
    let fixture = Fixture::with(&transmitter(&format!("jwks_url: \"{at}/jwks\""))).await;
    let mut filter = with_sessions(&fixture).await;
    assert_eq!(err(&push(&fixture, &set("1", &revoked())).await), (400, "invalid_key".to_owned()));
    documents.put("/jwks", &jwks());
    while push(&fixture, &set("1", &revoked())).await.status != 202 {
        tokio::task::yield_now().await;
    }
    assert_eq!(filter.outcome(1).await, Outcome::Revoked);
    // Keys that were fetched outlive their server.
    documents.clear();
    assert_eq!(push(&fixture, &set("2", &revoked())).await.status, 202);
}

#[tokio::test]
async fn a_transmitters_configuration_names_its_keys_and_what_is_critical() {
    let documents = Documents::default();
    let at = documents.serve().await;
    documents.put("/jwks", &jwks());
    let mut configuration = json!({"issuer": "https://idp", "jwks_uri": format!("{at}/jwks"), "spec_version": "1_0",
        "critical_subject_members": ["tenant"], "delivery_methods_supported": ["urn:ietf:rfc:8935"]});
    documents.put("/ssf", &configuration);
    let fixture = Fixture::with(&transmitter(&format!("discovery: \"{at}/ssf\""))).await;
    let mut filter = with_sessions(&fixture).await;
    let tenant = json!({"sub_id": {"format": "complex", "user": alice(), "tenant": {"format": "opaque", "id": "t"}}});
    let critical = set("1", &joined(&revoked(), &tenant));
    assert_eq!(err(&push(&fixture, &critical).await), (400, "invalid_request".to_owned()));
    assert_eq!(filter.outcome(1).await, Outcome::Active);
    assert_eq!(push(&fixture, &set("1", &revoked())).await.status, 202);
    assert_eq!(filter.outcome(1).await, Outcome::Revoked);

    configuration["issuer"] = json!("https://other");
    documents.put("/ssf", &configuration);
    let fixture = Fixture::with(&transmitter(&format!("discovery: \"{at}/ssf\""))).await;
    assert_eq!(push(&fixture, &set("1", &revoked())).await.status, 503, "another transmitter's configuration");
}
