//! The transmitter of easyssf-test on a port of 127.0.0.1, for tests of the session service.
//!
//! The crate answers calls in-process. What it lacks is added here, from its parts: it is put behind a socket, it pushes
//! (RFC 8935), and it answers a request for a verification event with one, since the crate only notes that it was asked. Under
//! `/test/` a test says what happens, and looks at what the transmitter has seen.
//!
//! Prints its address, and runs until its standard input is closed.

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::{Method, StatusCode};
use axum::response::Response;
use easyssf_receiver::http::{SsfHttpClient as _, SsfHttpRequest};
use easyssf_test::TestTransmitter;
use easyssf_test::subjects::opaque;
use serde_json::{Map, Value, json};
use std::io::Read as _;
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// The largest body of a call.
const BODY_BYTES_MAX: usize = 1 << 20;

#[derive(Clone)]
struct Shim {
    transmitter: TestTransmitter,
    /// `http://127.0.0.1:PORT`.
    at: String,
    /// What is presented where signals are pushed: the crate does not keep it.
    authorization: Arc<Mutex<Option<String>>>,
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
    let at = format!("http://{}", listener.local_addr().expect("an address"));
    let shim = Shim { transmitter: TestTransmitter::new(), at: at.clone(), authorization: Arc::default() };
    // Whoever has started it may be killed, and then it is to end as well.
    std::thread::spawn(|| {
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        std::process::exit(0);
    });
    println!("{at}");
    let router = Router::new().fallback(answer).with_state(shim);
    axum::serve(listener, router).await.expect("a server");
}

async fn answer(State(shim): State<Shim>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let body = to_bytes(body, BODY_BYTES_MAX).await.expect("a body");
    let body = String::from_utf8(body.to_vec()).expect("text");
    let target = head.uri.path_and_query().map_or("/", |target| target.as_str()).to_owned();
    if let Some(what) = target.strip_prefix("/test/") {
        let answer = shim.told(what, serde_json::from_str(&body).unwrap_or_default()).await;
        return response(200, answer.to_string());
    }
    let url = url::Url::parse(&format!("{}{target}", shim.origin())).expect("a URL");
    let mut call = SsfHttpRequest::of(head.method.as_str(), url);
    for (name, value) in &head.headers {
        call = call.with_header(name.as_str(), value.to_str().unwrap_or_default());
    }
    call.body = (!body.is_empty()).then(|| body.clone());
    let answer = shim.transmitter.execute(call).await.expect("it always answers");
    if answer.is_successful() {
        shim.note(&head.method, &target, &serde_json::from_str(&body).unwrap_or_default());
    }
    // The issuer stays what it is; the endpoints, which begin with it and a slash, are here.
    let endpoints = format!("{}/", shim.transmitter.issuer());
    let here = endpoints.replacen(&shim.origin(), &shim.at, 1);
    response(answer.status, answer.body.replace(&endpoints, &here))
}

fn response(status: u16, body: String) -> Response {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = StatusCode::from_u16(status).expect("a status");
    response
}

impl Shim {
    fn origin(&self) -> String {
        let issuer = url::Url::parse(self.transmitter.issuer()).expect("a URL");
        issuer.origin().ascii_serialization()
    }

    /// Does what a transmitter does beyond its answer.
    fn note(&self, method: &Method, target: &str, body: &Value) {
        if let (true, Some(value)) = (target.contains("/streams"), body["delivery"]["authorization_header"].as_str()) {
            *self.authorization.lock().unwrap() = Some(value.to_owned());
        }
        if method == Method::POST && target.ends_with("/verify") {
            let stream = body["stream_id"].as_str().unwrap_or_default().to_owned();
            let payload = Map::from_iter([("state".to_owned(), body["state"].clone())]);
            let shim = self.clone();
            tokio::spawn(async move { shim.send("SsfStreamVerification", opaque(&stream), payload).await });
        }
    }

    /// What a test says, or asks.
    async fn told(&self, what: &str, body: Value) -> Value {
        let transmitter = &self.transmitter;
        match what {
            "event" => {
                let subject = body["subject"].as_object().cloned().unwrap_or_default();
                let payload = body["payload"].as_object().cloned().unwrap_or_default();
                json!(self.send(body["event"].as_str().expect("an event"), subject, payload).await)
            }
            "available" => {
                transmitter.set_available(body == true);
                Value::Null
            }
            "expire" => {
                transmitter.expire_access_tokens();
                Value::Null
            }
            "state" => json!({
                "streams": transmitter.streams(), "verifications": transmitter.verification_requests(),
                "acknowledged": transmitter.acknowledged_sets(), "errors": transmitter.reported_errors(),
                "queued": transmitter.queued_set_count(), "tokens": transmitter.token_requests(),
                "authorization": *self.authorization.lock().unwrap(),
            }),
            _ => panic!("`{what}` is nothing that a test says"),
        }
    }

    /// Sends an event on each stream, and returns what a receiver has answered; 0 where it polls.
    async fn send(&self, event: &str, subject: Map<String, Value>, payload: Map<String, Value>) -> Vec<u16> {
        let mut answered = Vec::new();
        for stream in self.transmitter.streams() {
            let mut claims = self.transmitter.set_claims_with_payload(event, Some(subject.clone()), payload.clone());
            claims.insert("aud".to_owned(), stream["aud"].clone());
            let set = self.transmitter.sign_set(&claims);
            let to = stream["delivery"]["endpoint_url"].as_str().unwrap_or_default();
            answered.push(match stream["delivery"]["method"].as_str() {
                Some("urn:ietf:rfc:8935") => self.push(to, &set).await,
                _ => {
                    self.transmitter.queue_set(&set);
                    0
                }
            });
        }
        answered
    }

    /// Pushes a token (RFC 8935, section 2.1).
    async fn push(&self, to: &str, set: &str) -> u16 {
        let to = url::Url::parse(to).expect("a URL");
        let address = (to.host_str().expect("a host"), to.port_or_known_default().expect("a port"));
        let mut stream = TcpStream::connect(address).await.expect("the receiver");
        let authorization = self.authorization.lock().unwrap().clone().unwrap_or_default();
        let request = format!(
            "POST {} HTTP/1.1\r\nhost: {}:{}\r\nconnection: close\r\naccept: application/json\r\n\
             content-type: application/secevent+jwt\r\nauthorization: {authorization}\r\ncontent-length: {}\r\n\r\n{set}",
            to.path(),
            address.0,
            address.1,
            set.len()
        );
        stream.write_all(request.as_bytes()).await.expect("a request");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("an answer");
        answer.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status")
    }
}
