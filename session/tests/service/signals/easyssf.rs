//! A transmitter that is not ours: that of the crate easyssf-test, which `tests/ssf` puts behind a port. It makes its stream
//! as Keycloak does: one for each client, with an audience of its own.

use super::*;
use std::net::TcpListener;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

/// The issuer of its tokens.
const ISSUER: &str = "https://transmitter.example/realms/test";

/// The transmitter while it runs.
struct Easyssf {
    at: String,
    _program: Child,
}

impl Easyssf {
    async fn start() -> Self {
        let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/ssf/target/debug/portcullis-ssf");
        let mut command = Command::new(&program);
        let command = command.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
        let started = command.spawn();
        let mut child = started.unwrap_or_else(|e| panic!("{}: {e}: run tests/ssf/build.sh", program.display()));
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let at = lines.next_line().await.unwrap().expect("its address");
        Self { at, _program: child }
    }

    /// Tells it something, or asks it.
    async fn told(&self, what: &str, body: &Value) -> Value {
        let to = self.at.trim_start_matches("http://").parse().unwrap();
        let answer = request(to, "", "application/json", "POST", &format!("/test/{what}"), &body.to_string()).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json()
    }

    async fn state(&self) -> Value {
        self.told("state", &Value::Null).await
    }

    /// An event about a user of `https://id`; returns what was answered where it was pushed.
    async fn event(&self, event: &str, subject: &str) -> Value {
        let subject = json!({"format": "iss_sub", "iss": "https://id", "sub": subject});
        self.told("event", &json!({"event": event, "subject": subject})).await
    }

    /// The configuration of the service; `delivery` and `endpoint` say how it delivers.
    fn configuration(&self, delivery: &str, endpoint: &str, more: &str) -> String {
        let at = &self.at;
        format!(
            "signals:\n- {{name: idp, kind: ssf, issuer: \"{ISSUER}\", tokens_of: https://id, audiences: [us], \
             algorithms: [RS256], keys: {{discovery: \"{at}/.well-known/ssf-configuration/realms/test\"}}, {delivery} \
             stream: {{manage: {{token_endpoint: \"{at}/realms/test/token\", client_id: receiver, \
             client_secret: {{env: RECEIVER}}{endpoint}}}}}}}\n{more}"
        )
    }
}

/// Waits until the transmitter's status has that.
async fn until(fixture: &Fixture, what: impl Fn(&Value) -> bool) {
    let waited = async {
        while !what(&fixture.call("GET", "/v1/signals/idp", "").await.json()) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    if tokio::time::timeout(crate::fixtures::PATIENCE, waited).await.is_err() {
        panic!("it never is: {}", fixture.call("GET", "/v1/signals/idp", "").await.text);
    }
}

fn is_verified(shown: &Value) -> bool {
    shown["stream"] == "ok" && shown["last_verified_at"].is_string()
}

async fn now_ms(fixture: &Fixture) -> u64 {
    fixture.clock.load(Ordering::SeqCst)
}

#[tokio::test]
#[ignore = "needs tests/ssf/build.sh"]
async fn easyssf_pushes_to_the_stream_that_was_made_there() {
    let transmitter = Easyssf::start().await;
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let endpoint = format!(", endpoint_url: \"http://127.0.0.1:{port}/signals/idp\"");
    let listen = format!("signals_listen: 127.0.0.1:{port}\n");
    let fixture = Fixture::today(&transmitter.configuration("authorization: {env: P},", &endpoint, &listen)).await;
    until(&fixture, is_verified).await;
    let state = transmitter.state().await;
    assert_eq!((state["streams"].as_array().unwrap().len(), &state["authorization"]), (1, &json!(PUSHES)), "{state}");
    assert_eq!(state["streams"][0]["delivery"]["method"], "urn:ietf:rfc:8935");

    let mut filter = fixture.filter().await;
    let now_ms = now_ms(&fixture).await;
    for token in [of(1, "s", "alice", now_ms), of(2, "b", "bob", now_ms)] {
        assert_eq!(filter.ask_new(token).await.outcome(), Outcome::Active);
    }
    assert_eq!(transmitter.event("CaepSessionRevoked", "alice").await, json!([202]));
    assert_eq!((filter.outcome(1).await, filter.outcome(2).await), (Outcome::Revoked, Outcome::Active));
    assert_eq!(transmitter.event("RiscAccountDisabled", "bob").await, json!([202]));
    assert_eq!(filter.outcome(2).await, Outcome::Blocked);
    assert_eq!(transmitter.event("RiscAccountEnabled", "bob").await, json!([202]));
    assert_eq!(filter.outcome(2).await, Outcome::Active);

    // Its access tokens end, and it allows one stream for each client.
    transmitter.told("expire", &Value::Null).await;
    for (command, shown) in
        [("verify", "ok"), ("pause", "paused"), ("resume", "ok"), ("delete", "deleted"), ("resume", "ok")]
    {
        let answer = fixture.call("POST", &format!("/v1/signals/idp/stream/{command}"), "").await;
        assert_eq!((answer.status, &answer.json()["stream"]), (200, &json!(shown)), "{command}: {answer:?}");
    }
    let state = transmitter.state().await;
    assert_eq!(state["streams"].as_array().unwrap().len(), 1, "{state}");
    assert_eq!(transmitter.event("CaepSessionRevoked", "bob").await, json!([202]), "to the new stream");
    assert_eq!(filter.outcome(2).await, Outcome::Revoked);
}

#[tokio::test]
#[ignore = "needs tests/ssf/build.sh"]
async fn easyssf_is_polled_where_its_stream_is() {
    let transmitter = Easyssf::start().await;
    let fixture = Fixture::today(&transmitter.configuration("delivery: {poll: {every: 100ms}},", "", "")).await;
    until(&fixture, is_verified).await;
    let mut filter = fixture.filter().await;
    let now_ms = now_ms(&fixture).await;
    for token in [of(1, "s", "alice", now_ms), of(2, "b", "bob", now_ms)] {
        assert_eq!(filter.ask_new(token).await.outcome(), Outcome::Active);
    }
    // What happens while it is out arrives when it is back.
    transmitter.told("available", &json!(false)).await;
    until(&fixture, |shown| shown["poll"] != "ok").await;
    assert_eq!(transmitter.event("CaepSessionRevoked", "alice").await, json!([0]));
    transmitter.told("available", &json!(true)).await;
    transmitter.told("expire", &Value::Null).await;
    until(&fixture, |shown| shown["applied"] == 1).await;
    assert_eq!((filter.outcome(1).await, filter.outcome(2).await), (Outcome::Revoked, Outcome::Active));
    let waited = async {
        while transmitter.state().await["queued"] != 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(crate::fixtures::PATIENCE, waited).await.expect("it is not acknowledged");
    let state = transmitter.state().await;
    assert_eq!((state["acknowledged"].as_array().unwrap().len(), &state["errors"]), (2, &json!([])), "{state}");
}
