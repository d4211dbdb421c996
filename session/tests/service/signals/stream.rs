//! Streams that the service manages (Shared Signals Framework 1.0, section 8.1).

use super::*;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

const PUSH: &str = "urn:ietf:rfc:8935";
const POLL: &str = "urn:ietf:rfc:8936";

/// Where the transmitter is told to reach us.
const ENDPOINT: &str = "https://us.example.com/signals/idp";

/// Basic credentials: `portcullis` and the secret of the tests.
const CLIENT: &str = "basic cg9ydgn1bgxpczp0agutc2vjcmv0lw9mlxrozs1hzg1pbg==";

/// A call of the service.
#[derive(Debug, Clone)]
struct Called {
    method: String,
    path: String,
    body: Value,
}

/// A transmitter with managed streams.
#[derive(Default)]
struct Inside {
    streams: Vec<Value>,
    statuses: Vec<(String, Value)>,
    calls: Vec<Called>,
    tokens: usize,
    /// Tokens up to this one are no longer accepted.
    revoked: usize,
    sets: Vec<(String, String)>,
    is_out: bool,
    refuses_the_client: bool,
    allows_one: bool,
    is_asked_too_often: bool,
    /// It accepts changes, and changes nothing.
    keeps_events: bool,
    /// What another replica makes at the same moment.
    beside: Option<Value>,
    /// Members that it gives a stream whatever was asked for.
    given: Value,
}

#[derive(Clone, Default)]
struct Transmitter(Arc<Mutex<Inside>>);

impl Transmitter {
    async fn serve(&self) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let served = self.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let served = served.clone();
                tokio::spawn(async move { served.answer(stream, &format!("http://{address}")).await });
            }
        });
        format!("http://{address}")
    }

    async fn answer(&self, mut stream: TcpStream, at: &str) {
        let (mut request, mut chunk) = (Vec::new(), [0; 4096]);
        let (head, body) = loop {
            let count = stream.read(&mut chunk).await.unwrap_or_default();
            request.extend_from_slice(&chunk[..count]);
            let text = String::from_utf8_lossy(&request).into_owned();
            let Some((head, body)) = text.split_once("\r\n\r\n") else {
                if count == 0 {
                    return;
                }
                continue;
            };
            let head = head.to_owned();
            let length = head.to_lowercase().split("content-length: ").nth(1).map(str::to_owned);
            let length = length.and_then(|rest| rest.lines().next()?.parse().ok());
            if body.len() >= length.unwrap_or(0) {
                break (head, body.to_owned());
            }
        };
        let (status, answer) = self.respond(&head, &body, at);
        let answer = answer.map(|answer| answer.to_string()).unwrap_or_default();
        let length = answer.len();
        let answer = format!("HTTP/1.1 {status} X\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{answer}");
        let _ = stream.write_all(answer.as_bytes()).await;
    }

    fn respond(&self, head: &str, body: &str, at: &str) -> (u16, Option<Value>) {
        let mut words = head.split(' ');
        let (method, target) = (words.next().unwrap(), words.next().unwrap());
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let mut inside = self.0.lock().unwrap();
        match path {
            "/ssf" => {
                return (
                    200,
                    Some(json!({
                        "issuer": "https://idp", "jwks_uri": format!("{at}/jwks"),
                        "configuration_endpoint": format!("{at}/streams"), "status_endpoint": format!("{at}/status"),
                        "verification_endpoint": format!("{at}/verify"),
                        "add_subject_endpoint": format!("{at}/add"),
                    })),
                );
            }
            "/jwks" => return (200, Some(jwks())),
            _ if inside.is_out => return (503, None),
            _ => {}
        }
        let authorization = head.lines().find_map(|line| {
            let (name, value) = line.split_once(": ")?;
            name.eq_ignore_ascii_case("authorization").then(|| value.to_owned())
        });
        let authorization = authorization.unwrap_or_default();
        inside.calls.push(Called {
            method: method.to_owned(),
            path: path.to_owned(),
            body: serde_json::from_str(body).unwrap_or_else(|_| json!(body)),
        });
        if path == "/token" {
            if inside.refuses_the_client || authorization.to_lowercase() != CLIENT {
                return (401, Some(json!({"error": "invalid_client"})));
            }
            inside.tokens += 1;
            return (
                200,
                Some(json!({"access_token": inside.tokens.to_string(), "token_type": "Bearer", "expires_in": 300})),
            );
        }
        let token = authorization.strip_prefix("Bearer ").and_then(|token| token.parse::<usize>().ok());
        if token.is_none_or(|token| token <= inside.revoked || token > inside.tokens) {
            return (401, None);
        }
        let body: Value = serde_json::from_str(body).unwrap_or_default();
        let id = query.strip_prefix("stream_id=").or(body["stream_id"].as_str()).map(str::to_owned);
        let place = inside.streams.iter().position(|stream| stream["stream_id"].as_str() == id.as_deref());
        match (method, path) {
            ("GET", "/streams") => (200, Some(json!(inside.streams))),
            ("POST", "/streams") => inside.create(body, at),
            ("PATCH" | "DELETE", "/streams") | (_, "/status") | ("POST", "/verify") if place.is_none() => (404, None),
            ("PATCH", "/streams") => {
                let keeps_events = inside.keeps_events;
                let stream = &mut inside.streams[place.unwrap()];
                if !keeps_events {
                    *stream = joined(stream, &body);
                }
                (200, Some(stream.clone()))
            }
            ("DELETE", "/streams") => {
                inside.streams.remove(place.unwrap());
                (204, None)
            }
            ("GET", "/status") => {
                let set = inside.statuses.iter().rev().find(|(of, _)| Some(of) == id.as_ref());
                (200, Some(set.map_or_else(|| json!({"stream_id": id, "status": "enabled"}), |(_, set)| set.clone())))
            }
            ("POST", "/status") => {
                inside.statuses.push((id.unwrap(), body.clone()));
                (200, Some(body))
            }
            ("POST", "/verify") if inside.is_asked_too_often => (429, None),
            ("POST", "/verify") => (204, None),
            ("POST", path) if path.starts_with("/poll/") => inside.poll(&body, path),
            _ => (405, None),
        }
    }

    /// The streams of this transmitter from the start.
    fn with(streams: Value) -> Self {
        let transmitter = Self::default();
        transmitter.0.lock().unwrap().streams = streams.as_array().unwrap().clone();
        transmitter
    }

    fn change(&self, change: impl FnOnce(&mut Inside)) {
        change(&mut self.0.lock().unwrap());
    }

    /// The calls with that method and path, so far.
    fn calls(&self, method: &str, path: &str) -> Vec<Value> {
        let inside = self.0.lock().unwrap();
        let calls = inside.calls.iter().filter(|call| call.method == method && call.path == path);
        calls.map(|call| call.body.clone()).collect()
    }

    fn ids(&self) -> Vec<String> {
        let inside = self.0.lock().unwrap();
        inside.streams.iter().map(|stream| stream["stream_id"].as_str().unwrap().to_owned()).collect()
    }

    /// Waits until this is so.
    async fn until(&self, holds: impl Fn(&Inside) -> bool) {
        let waited = async {
            while !holds(&self.0.lock().unwrap()) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(crate::fixtures::PATIENCE, waited).await.expect("it never is");
    }

    async fn until_asked(&self, count: usize) {
        let is_asked = |call: &&Called| call.path == "/verify";
        self.until(|inside| inside.calls.iter().filter(is_asked).count() >= count).await;
    }
}

impl Inside {
    fn create(&mut self, asked: Value, at: &str) -> (u16, Option<Value>) {
        if let Some(beside) = self.beside.take() {
            self.streams.insert(0, beside);
        }
        if self.allows_one && !self.streams.is_empty() {
            return (409, None);
        }
        let id = format!("m{}", self.calls.len());
        let mut stream = joined(&asked, &json!({"stream_id": id, "iss": "https://idp", "aud": format!("us/{id}")}));
        stream["delivery"].as_object_mut().unwrap().remove("authorization_header");
        if stream["delivery"]["method"] == POLL {
            stream["delivery"]["endpoint_url"] = json!(format!("{at}/poll/{id}"));
        }
        if self.given.is_object() {
            stream = joined(&stream, &self.given);
        }
        self.streams.push(stream.clone());
        (201, Some(stream))
    }

    fn poll(&mut self, asked: &Value, path: &str) -> (u16, Option<Value>) {
        if !self.streams.iter().any(|stream| path.ends_with(stream["stream_id"].as_str().unwrap())) {
            return (404, None);
        }
        let acknowledged = asked["ack"].as_array().unwrap();
        self.sets.retain(|(jti, _)| !acknowledged.contains(&json!(jti)));
        (
            200,
            Some(
                json!({"sets": self.sets.iter().cloned().map(|(jti, set)| (jti, json!(set))).collect::<serde_json::Map<_, _>>()}),
            ),
        )
    }
}

fn ours(id: &str, events: &Value) -> Value {
    json!({"stream_id": id, "iss": "https://idp", "aud": "us", "delivery": {"method": PUSH, "endpoint_url": ENDPOINT},
           "events_requested": events})
}

/// The events that the transmitters of these tests want.
fn wanted() -> Value {
    let caep = [
        "assurance-level-change",
        "credential-change",
        "device-compliance-change",
        "risk-level-change",
        "session-revoked",
        "token-claims-change",
    ]
    .map(|name| format!("{CAEP}{name}"));
    let risc = ["account-disabled", "account-enabled", "account-purged", "credential-compromise", "sessions-revoked"];
    json!(caep.into_iter().chain(risc.map(|name| format!("{RISC}{name}"))).collect::<Vec<_>>())
}

fn pushed(at: &str, more: &str) -> String {
    format!(
        "signals_listen: 127.0.0.1:0\nsignals:\n- {{name: idp, kind: ssf, issuer: https://idp, tokens_of: https://id, \
         audiences: [us], algorithms: [EdDSA], keys: {{discovery: \"{at}/ssf\"}}, authorization: {{env: P}}, \
         stream: {{manage: {{token_endpoint: \"{at}/token\", client_id: portcullis, client_secret: {{env: S}}, \
         scopes: [ssf.manage, ssf.read], endpoint_url: \"{ENDPOINT}\"}}}}{more}}}\n"
    )
}

fn polled(at: &str, more: &str) -> String {
    format!(
        "signals:\n- {{name: idp, kind: ssf, issuer: https://idp, tokens_of: https://id, audiences: [us], \
         algorithms: [EdDSA], keys: {{discovery: \"{at}/ssf\"}}, delivery: {{poll: {{every: 100ms}}}}, \
         stream: {{manage: {{token_endpoint: \"{at}/token\", client_id: portcullis, client_secret: {{env: S}}}}}}{more}}}\n"
    )
}

async fn shown(fixture: &Fixture) -> Value {
    fixture.call("GET", "/v1/signals/idp", "").await.json()
}

/// Waits until the stream is shown as that.
async fn until_shown(fixture: &Fixture, expected: &str) {
    let waited = async {
        while shown(fixture).await["stream"] != expected {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    if tokio::time::timeout(crate::fixtures::PATIENCE, waited).await.is_err() {
        panic!("it never is `{expected}`: {}", shown(fixture).await);
    }
}

async fn command(fixture: &Fixture, command: &str, body: &str) -> Answer {
    fixture.call("POST", &format!("/v1/signals/idp/stream/{command}"), body).await
}

/// Has the service look at its stream: the transmitter says that something about it has changed.
async fn look(fixture: &Fixture, transmitter: &Transmitter, jti: &str) {
    let lists = transmitter.calls("GET", "/streams").len();
    let updated = json!({"sub_id": {"format": "opaque", "id": "x"}, "events": {format!("{SSF}stream-updated"): {"status": "enabled"}}});
    assert_eq!(push(fixture, &set(jti, &updated)).await.status, 202);
    let is_list = |call: &&Called| call.method == "GET" && call.path == "/streams";
    transmitter.until(|inside| inside.calls.iter().filter(is_list).count() > lists).await;
}

#[tokio::test]
async fn a_stream_is_made_where_there_is_none_and_a_verification_event_is_asked_for() {
    let transmitter = Transmitter::with(json!([]));
    let at = transmitter.serve().await;
    let fixture = Fixture::with(&pushed(&at, "")).await;
    transmitter.until_asked(1).await;
    until_shown(&fixture, "ok").await;
    let made = transmitter.calls("POST", "/streams");
    assert_eq!(
        made,
        [json!({
            "delivery": {"method": PUSH, "endpoint_url": ENDPOINT, "authorization_header": PUSHES},
            "events_requested": wanted(), "description": "Portcullis: idp",
        })]
    );
    let asked = &transmitter.calls("POST", "/verify")[0];
    assert_eq!(asked["stream_id"], transmitter.ids()[0]);
    assert!(asked["state"].is_string(), "{asked}");
    // One access token is enough.
    let form = json!("grant_type=client_credentials&scope=ssf.manage+ssf.read");
    assert_eq!(transmitter.calls("POST", "/token"), [form]);
    // It arrives as any other signal, with the audience that the transmitter has given the stream.
    let aud = format!("us/{}", transmitter.ids()[0]);
    let verification =
        json!({"aud": aud, "sub_id": {"format": "opaque", "id": "x"}, "events": {format!("{SSF}verification"): {}}});
    assert_eq!(push(&fixture, &set("1", &verification)).await.status, 202);
    assert!(shown(&fixture).await["last_verified_at"].is_string());
}

#[tokio::test]
async fn a_stream_that_is_there_is_used_as_it_is_and_those_of_others_are_left_alone() {
    let other = json!({"stream_id": "a", "aud": "us", "delivery": {"method": PUSH, "endpoint_url": "https://others"}});
    let transmitter = Transmitter::with(json!([other, ours("b", &wanted())]));
    let at = transmitter.serve().await;
    let fixture = Fixture::with(&pushed(&at, "")).await;
    transmitter.until_asked(1).await;
    until_shown(&fixture, "ok").await;
    assert_eq!(transmitter.calls("POST", "/verify")[0]["stream_id"], "b");
    for method in ["POST", "PATCH", "DELETE"] {
        assert_eq!(transmitter.calls(method, "/streams"), [json!(null); 0], "{method}");
    }
}

#[tokio::test]
async fn a_stream_with_other_events_is_changed_once_also_where_the_transmitter_keeps_them() {
    for keeps_events in [false, true] {
        a_stream_with_other_events_is_changed_once(keeps_events).await;
    }
}

async fn a_stream_with_other_events_is_changed_once(keeps_events: bool) {
    let transmitter = Transmitter::with(json!([ours("b", &json!(["urn:x"]))]));
    transmitter.change(|inside| inside.keeps_events = keeps_events);
    let at = transmitter.serve().await;
    let fixture =
        Fixture::with(&pushed(&at, ", events: {credential-compromise: ignore, \"urn:example:x\": end}")).await;
    transmitter.until_asked(1).await;
    let mut events = wanted();
    let events = events.as_array_mut().unwrap();
    events.retain(|uri| *uri != format!("{RISC}credential-compromise"));
    events.push(json!("urn:example:x"));
    assert_eq!(transmitter.calls("PATCH", "/streams"), [json!({"stream_id": "b", "events_requested": events})]);
    look(&fixture, &transmitter, "1").await;
    look(&fixture, &transmitter, "2").await;
    assert_eq!(transmitter.calls("PATCH", "/streams").len(), 1);
}

#[tokio::test]
async fn of_several_streams_one_is_left_also_where_another_replica_makes_one_at_the_same_moment() {
    let other = json!({"stream_id": "0", "delivery": {"method": PUSH, "endpoint_url": "https://others"}});
    let transmitter =
        Transmitter::with(json!([ours("c", &wanted()), other, ours("b", &wanted()), ours("d", &wanted())]));
    let at = transmitter.serve().await;
    let fixture = Fixture::with(&pushed(&at, "")).await;
    transmitter.until_asked(1).await;
    assert_eq!(transmitter.ids(), ["0", "b"]);
    until_shown(&fixture, "ok").await;

    let transmitter = Transmitter::with(json!([]));
    transmitter.change(|inside| inside.beside = Some(ours("a", &wanted())));
    let at = transmitter.serve().await;
    let _fixture = Fixture::with(&pushed(&at, "")).await;
    transmitter.until_asked(1).await;
    assert_eq!((transmitter.ids(), transmitter.calls("POST", "/streams").len()), (vec!["a".to_owned()], 1));
}

#[tokio::test]
async fn a_transmitter_that_allows_one_stream_is_no_trouble_if_it_is_ours() {
    let transmitter = Transmitter::with(json!([]));
    transmitter.change(|inside| (inside.allows_one, inside.beside) = (true, Some(ours("a", &wanted()))));
    let at = transmitter.serve().await;
    let fixture = Fixture::with(&pushed(&at, "")).await;
    transmitter.until_asked(1).await;
    until_shown(&fixture, "ok").await;

    let other = json!({"stream_id": "0", "delivery": {"method": PUSH, "endpoint_url": "https://others"}});
    let transmitter = Transmitter::with(json!([other]));
    transmitter.change(|inside| inside.allows_one = true);
    let at = transmitter.serve().await;
    let fixture = Fixture::with(&pushed(&at, "")).await;
    until_shown(&fixture, "the transmitter has another stream for this client, and allows no second one").await;
    assert_eq!(transmitter.ids(), ["0"]);
}

#[tokio::test]
async fn a_stream_that_would_not_be_found_again_is_deleted_and_said() {
    let transmitter = Transmitter::with(json!([]));
    transmitter
        .change(|inside| inside.given = json!({"delivery": {"method": PUSH, "endpoint_url": "https://elsewhere"}}));
    let at = transmitter.serve().await;
    let fixture = Fixture::with(&pushed(&at, "")).await;
    let why = "the transmitter has made a stream that cannot be used: its `endpoint_url` is not";
    until_shown(&fixture, &format!("{why} `{ENDPOINT}`")).await;
    transmitter.change(|inside| inside.given = json!(null));
    until_shown(&fixture, "ok").await;
    assert_eq!(transmitter.ids().len(), 1);
}

#[tokio::test]
async fn wrong_credentials_are_shown_and_right_ones_are_tried_again() {
    let transmitter = Transmitter::with(json!([]));
    transmitter.change(|inside| inside.refuses_the_client = true);
    let at = transmitter.serve().await;
    let fixture = Fixture::with(&pushed(&at, "")).await;
    let refused = format!("{at}/token: it answered 401 (`invalid_client`)");
    until_shown(&fixture, &refused).await;
    let answer = command(&fixture, "verify", "").await;
    assert_eq!((answer.status, answer.code()), (502, "transmitter_failed".to_owned()));
    assert_eq!(answer.json()["detail"], refused);
    transmitter.change(|inside| inside.refuses_the_client = false);
    until_shown(&fixture, "ok").await;
    // A token that was revoked is replaced.
    transmitter.change(|inside| inside.revoked = inside.tokens);
    assert_eq!(command(&fixture, "verify", "").await.status, 200);
}

#[tokio::test]
async fn a_transmitter_that_was_out_is_used_when_it_is_back() {
    let transmitter = Transmitter::with(json!([]));
    transmitter.change(|inside| inside.is_out = true);
    let at = transmitter.serve().await;
    let fixture = Fixture::with(&pushed(&at, "")).await;
    until_shown(&fixture, &format!("{at}/token: it answered 503")).await;
    transmitter.change(|inside| inside.is_out = false);
    transmitter.until_asked(1).await;
    until_shown(&fixture, "ok").await;

    // What is known stays known: signals are received meanwhile.
    transmitter.change(|inside| inside.is_out = true);
    let mut filter = with_sessions(&fixture).await;
    let answer = command(&fixture, "pause", "").await;
    assert_eq!((answer.status, answer.code()), (502, "transmitter_failed".to_owned()));
    let aud = json!({"aud": format!("us/{}", transmitter.ids()[0])});
    let revoked = with(about_alice(&format!("{CAEP}session-revoked")), &aud);
    assert_eq!(push(&fixture, &set("1", &revoked)).await.status, 202);
    assert_eq!(filter.outcome(1).await, Outcome::Revoked);
    transmitter.change(|inside| inside.is_out = false);
    until_shown(&fixture, "ok").await;
}

#[tokio::test]
async fn an_operator_pauses_and_resumes_a_stream() {
    let transmitter = Transmitter::with(json!([]));
    let at = transmitter.serve().await;
    let fixture = Fixture::with(&pushed(&at, ", stale_after: 3s")).await;
    transmitter.until_asked(1).await;
    let id = transmitter.ids().remove(0);

    let answer = command(&fixture, "pause", r#"{"reason": "maintenance"}"#).await;
    assert_eq!((answer.status, answer.json()["stream"].clone()), (200, json!("paused: maintenance")));
    let status = transmitter.calls("POST", "/status");
    assert_eq!(status, [json!({"stream_id": id, "status": "paused", "reason": "maintenance"})]);
    look(&fixture, &transmitter, "1").await;
    until_shown(&fixture, "paused: maintenance").await;
    // No verification event would come: none is asked for.
    let asked = transmitter.calls("POST", "/verify").len();
    look(&fixture, &transmitter, "2").await;
    look(&fixture, &transmitter, "3").await;
    assert_eq!(transmitter.calls("POST", "/verify").len(), asked);

    let answer = command(&fixture, "resume", "").await;
    assert_eq!((answer.status, answer.json()["stream"].clone()), (200, json!("ok")));
    assert_eq!(transmitter.calls("POST", "/status")[1], json!({"stream_id": id, "status": "enabled"}));
    let presented = transmitter.calls("PATCH", "/streams");
    assert_eq!(presented[0]["delivery"]["authorization_header"], PUSHES, "in case it has changed");
    // They are asked for regularly, so that the stream is not stale.
    transmitter.until_asked(asked + 2).await;
    assert_eq!(command(&fixture, "verify", "").await.status, 200);

    transmitter.change(|inside| inside.is_asked_too_often = true);
    let answer = command(&fixture, "verify", "").await;
    assert_eq!((answer.status, answer.code()), (502, "transmitter_failed".to_owned()));
    // Another replica has asked: nothing is wrong with the stream.
    look(&fixture, &transmitter, "4").await;
    assert_eq!(shown(&fixture).await["stream"], "ok");
}

#[tokio::test]
async fn what_the_transmitter_does_to_the_stream_is_shown() {
    let transmitter = Transmitter::with(json!([ours("b", &wanted())]));
    let disabled = json!({"stream_id": "b", "status": "disabled", "reason": "unpaid"});
    transmitter.change(|inside| inside.statuses.push(("b".to_owned(), disabled)));
    let at = transmitter.serve().await;
    let fixture = Fixture::with(&pushed(&at, "")).await;
    until_shown(&fixture, "disabled: unpaid").await;
    assert_eq!(transmitter.calls("POST", "/verify").len(), 0);
    transmitter.change(|inside| inside.statuses.push(("b".to_owned(), json!({"status": "odd"}))));
    look(&fixture, &transmitter, "1").await;
    until_shown(&fixture, "in an unknown state").await;
    // A stream that has gone is made again: nobody here has deleted it.
    transmitter.change(|inside| inside.streams.clear());
    look(&fixture, &transmitter, "2").await;
    transmitter.until(|inside| inside.streams.len() == 1).await;
    until_shown(&fixture, "ok").await;
}

#[tokio::test]
async fn a_deleted_stream_is_made_again_when_it_is_resumed_or_after_a_restart() {
    let other = json!({"stream_id": "0", "delivery": {"method": PUSH, "endpoint_url": "https://others"}});
    let transmitter = Transmitter::with(json!([other]));
    let at = transmitter.serve().await;
    let fixture = Fixture::with(&pushed(&at, "")).await;
    transmitter.until_asked(1).await;
    let answer = command(&fixture, "delete", "").await;
    assert_eq!((answer.status, answer.json()["stream"].clone()), (200, json!("deleted")));
    assert_eq!(transmitter.ids(), ["0"]);
    look(&fixture, &transmitter, "1").await;
    look(&fixture, &transmitter, "2").await;
    assert_eq!((transmitter.ids(), shown(&fixture).await["stream"].clone()), (vec!["0".to_owned()], json!("deleted")));
    for refused in ["verify", "pause"] {
        let answer = command(&fixture, refused, "").await;
        assert_eq!((answer.status, answer.code()), (409, "no_stream".to_owned()), "{refused}");
    }
    assert_eq!(command(&fixture, "delete", "").await.status, 200, "it may be repeated");

    let asked = transmitter.calls("POST", "/verify").len();
    let answer = command(&fixture, "resume", "").await;
    assert_eq!((answer.status, answer.json()["stream"].clone()), (200, json!("ok")));
    assert_eq!(transmitter.ids().len(), 2);
    transmitter.until_asked(asked + 1).await;

    assert_eq!(command(&fixture, "delete", "").await.status, 200);
    let folder = fixture.stop().await;
    assert_eq!(transmitter.ids(), ["0"]);
    let fixture = Fixture::in_folder(folder, &pushed(&at, "")).await;
    until_shown(&fixture, "ok").await;
    assert_eq!(transmitter.ids().len(), 2);
}

#[tokio::test]
async fn a_stream_is_not_deleted_while_that_cannot_be_remembered() {
    let transmitter = Transmitter::with(json!([ours("b", &wanted())]));
    let at = transmitter.serve().await;
    let fixture = Fixture::with(&pushed(&at, "")).await;
    transmitter.until_asked(1).await;
    fixture.faults.fails.store(true, Ordering::SeqCst);
    let answer = command(&fixture, "delete", "").await;
    assert_eq!((answer.status, answer.code()), (503, "store_unavailable".to_owned()));
    assert_eq!(transmitter.ids(), ["b"]);
    fixture.faults.fails.store(false, Ordering::SeqCst);
    assert_eq!(shown(&fixture).await["stream"], "ok");
}

#[tokio::test]
async fn only_streams_that_are_managed_take_commands() {
    let fixture = Fixture::with(&config("")).await;
    for name in ["verify", "pause", "resume", "delete"] {
        let answer = command(&fixture, name, "").await;
        assert_eq!((answer.status, answer.code()), (409, "stream_not_managed".to_owned()), "{name}");
        let answer = fixture.call("POST", &format!("/v1/signals/none/stream/{name}"), "").await;
        assert_eq!((answer.status, answer.code()), (404, "not_found".to_owned()), "{name}");
    }
    assert_eq!(command(&fixture, "break", "").await.status, 404);
    assert_eq!(command(&fixture, "pause", &json!({"reason": "x".repeat(257)}).to_string()).await.status, 400);
    assert_eq!(command(&fixture, "pause", r#"{"because": "x"}"#).await.status, 400);
    assert_eq!(shown(&fixture).await.get("stream"), None);
}

#[tokio::test]
async fn a_stream_that_is_polled_says_where_and_takes_the_access_token() {
    let other =
        json!({"stream_id": "0", "aud": "them", "delivery": {"method": POLL, "endpoint_url": "https://others"}});
    let transmitter = Transmitter::with(json!([other]));
    let at = transmitter.serve().await;
    let fixture = Fixture::with(&polled(&at, "")).await;
    let mut filter = with_sessions(&fixture).await;
    transmitter.until_asked(1).await;
    let made = &transmitter.calls("POST", "/streams")[0];
    assert_eq!(made["delivery"], json!({"method": POLL}));
    let put = |jti: &str, subject: &Value| {
        let aud = format!("us/{}", transmitter.ids().last().unwrap());
        let revoked = with(about_alice(&format!("{CAEP}session-revoked")), &json!({"aud": aud, "sub_id": subject}));
        transmitter.change(|inside| inside.sets.push((jti.to_owned(), set(jti, &revoked))));
    };
    put("1", &alice());
    transmitter.until(|inside| inside.sets.is_empty()).await;
    assert_eq!((filter.outcome(1).await, filter.outcome(2).await), (Outcome::Revoked, Outcome::Active));

    // Its token is revoked, and then the stream is lost.
    transmitter.change(|inside| inside.revoked = inside.tokens);
    transmitter.change(|inside| inside.streams.truncate(1));
    transmitter.until(|inside| inside.streams.len() == 2).await;
    put("2", &json!({"format": "iss_sub", "iss": "https://id", "sub": "bob"}));
    transmitter.until(|inside| inside.sets.is_empty()).await;
    assert_eq!(filter.outcome(2).await, Outcome::Revoked);

    // Nothing is polled without a stream.
    assert_eq!(command(&fixture, "delete", "").await.status, 200);
    while shown(&fixture).await["poll"] != "there is no stream" {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(transmitter.ids(), ["0"]);
    assert_eq!(command(&fixture, "resume", "").await.status, 200);
    while shown(&fixture).await["poll"] != "ok" {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn a_token_for_a_stream_that_is_not_known_yet_comes_again() {
    let transmitter = Transmitter::with(json!([]));
    transmitter.change(|inside| inside.is_out = true);
    let at = transmitter.serve().await;
    let fixture = Fixture::with(&pushed(&at, "")).await;
    let of = |aud: &str| with(about_alice("urn:example:event"), &json!({"aud": aud}));
    assert_eq!(push(&fixture, &set("0", &of("us"))).await.status, 202, "whatever the stream is");
    assert_eq!(err(&push(&fixture, &set("1", &of("us/m1"))).await), (503, "temporarily_unavailable".to_owned()));
    transmitter.change(|inside| inside.is_out = false);
    until_shown(&fixture, "ok").await;
    assert_eq!(push(&fixture, &set("1", &of(&format!("us/{}", transmitter.ids()[0])))).await.status, 202);
    assert_eq!(err(&push(&fixture, &set("2", &of("them"))).await), (400, "invalid_audience".to_owned()));
}
