//! Webhooks: what they are told, with which signature, and what becomes of what they do not take.

use crate::client::{Answer, http};
use crate::fixtures::{Fixture, MINUTE, PATIENCE, T0};
use base64::prelude::{BASE64_STANDARD, Engine as _};
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::Sha256;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// The secret of every webhook here (the one of the specification's vector).
pub(crate) const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

const DAY: u64 = 24 * 60 * MINUTE;

/// A request that a receiver got.
#[derive(Debug, Clone)]
pub(crate) struct Received {
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: String,
}

impl Received {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }

    fn is(&self, event: &str) -> bool {
        self.json()["type"] == format!("portcullis.{event}")
    }

    /// Verifies it as a receiver does.
    fn verify(&self) {
        let key = BASE64_STANDARD.decode(SECRET.strip_prefix("whsec_").unwrap()).unwrap();
        let mut mac = Hmac::<Sha256>::new_from_slice(&key).unwrap();
        mac.update(
            format!("{}.{}.{}", self.headers["webhook-id"], self.headers["webhook-timestamp"], self.body).as_bytes(),
        );
        let expected = format!("v1,{}", BASE64_STANDARD.encode(mac.finalize().into_bytes()));
        assert_eq!(self.headers["webhook-signature"], expected);
    }
}

/// A receiver on a loopback address.
#[derive(Clone)]
pub(crate) struct Receiver {
    /// The status of its answers.
    status: Arc<Mutex<u16>>,
    received: Arc<Mutex<Vec<Received>>>,
    pub(crate) url: String,
}

impl Receiver {
    pub(crate) async fn start(status: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/hook/hidden", listener.local_addr().unwrap());
        let receiver = Self { status: Arc::new(Mutex::new(status)), received: Arc::default(), url };
        let served = receiver.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let served = served.clone();
                tokio::spawn(async move { served.answer(stream).await });
            }
        });
        receiver
    }

    async fn answer(&self, mut stream: TcpStream) {
        let (mut request, mut chunk) = (Vec::new(), [0; 4096]);
        let (head, body) = loop {
            let count = stream.read(&mut chunk).await.unwrap_or_default();
            if count == 0 {
                return;
            }
            request.extend_from_slice(&chunk[..count]);
            let text = String::from_utf8_lossy(&request).into_owned();
            let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
            let head = head.to_owned();
            let length = head.to_lowercase();
            let length = length.split("content-length: ").nth(1).and_then(|rest| rest.lines().next()?.parse().ok());
            if body.len() >= length.unwrap_or(0) {
                break (head, body.to_owned());
            }
        };
        let headers = head.lines().skip(1).filter_map(|line| line.split_once(": "));
        let headers = headers.map(|(name, value)| (name.to_lowercase(), value.to_owned())).collect();
        self.received.lock().unwrap().push(Received { headers, body });
        let status = *self.status.lock().unwrap();
        let location = if status == 307 { "location: /elsewhere\r\n" } else { "" };
        let answer = format!("HTTP/1.1 {status} X\r\nconnection: close\r\n{location}content-length: 2\r\n\r\n{{}}");
        let _ = stream.write_all(answer.as_bytes()).await;
    }

    pub(crate) fn answers(&self, status: u16) {
        *self.status.lock().unwrap() = status;
    }

    pub(crate) fn received(&self) -> Vec<Received> {
        self.received.lock().unwrap().clone()
    }

    /// Waits until it has received this many requests.
    pub(crate) async fn until(&self, count: usize) -> Vec<Received> {
        let waited = async {
            while self.received.lock().unwrap().len() < count {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let waited = tokio::time::timeout(PATIENCE, waited).await;
        waited.unwrap_or_else(|_| panic!("only {:?}", self.received()));
        self.received()
    }
}

/// Rita asks and helps herself in an emergency, and Ben decides.
fn configured(webhooks: &str) -> String {
    format!(
        "admins:\n\
         - {{name: rita, credential: {{env: ADMIN_RITA}}, subject: {{issuer: https://staff, sub: rita}}, scopes: [portcullis:view]}}\n\
         - {{name: ben, credential: {{env: ADMIN_BEN}}, subject: {{issuer: https://staff, sub: ben}}, scopes: [portcullis:view, portcullis:approve]}}\n\
         external_url: https://p.example.com\n\
         approvals:\n\
         - {{name: prod, scopes: [prod], ask: {{admins: [rita]}}, decide: [{{admins: [ben]}}], max_duration: 1h,\n\
         \x20  break_glass: {{who: {{admins: [rita]}}, max_duration: 5m, notify: loud}}}}\n\
         webhooks: [{webhooks}]\n"
    )
}

fn webhook(name: &str, receiver: &Receiver, more: &str) -> String {
    format!("{{name: {name}, url: '{}', secret: {{env: HOOK}}{more}}}", receiver.url)
}

async fn call(fixture: &Fixture, name: &str, path: &str, body: &Value) -> Answer {
    http(fixture.admin, &format!("Bearer the-secret-of-ADMIN_{name}"), "POST", path, &body.to_string()).await
}

/// A session, and Rita's request for `prod` in it.
async fn ask(fixture: &Fixture, more: &Value) -> Value {
    let opening =
        json!({"issuer": "https://id", "key": "s-1", "subject": "alice", "client_id": "web", "scopes": ["prod"]});
    let opened = fixture.call("POST", "/v1/sessions", &opening.to_string()).await;
    assert_eq!(opened.status, 200, "{opened:?}");
    let mut body =
        json!({"session": opened.json()["id"], "scopes": ["prod"], "reason": "it is down", "duration": "5m"});
    for (name, value) in more.as_object().unwrap() {
        body[name] = value.clone();
    }
    let asked = call(fixture, "RITA", "/v1/requests", &body).await;
    assert_eq!(asked.status, 201, "{asked:?}");
    asked.json()
}

async fn undelivered(fixture: &Fixture) -> Vec<Value> {
    let answer = fixture.call("GET", "/v1/webhooks/undelivered", "").await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert!(!answer.text.contains("hidden"), "a URL can be a secret: {answer:?}");
    answer.json()["undelivered"].as_array().unwrap().clone()
}

async fn until_undelivered(fixture: &Fixture, holds: impl Fn(&[Value]) -> bool) -> Vec<Value> {
    let waited = async {
        loop {
            let undelivered = undelivered(fixture).await;
            if holds(&undelivered) {
                return undelivered;
            }
        }
    };
    tokio::time::timeout(PATIENCE, waited).await.expect("it never is")
}

fn is_failed(undelivered: &[Value]) -> bool {
    undelivered.first().is_some_and(|first| first["error"] == "it answered 500")
}

#[tokio::test]
async fn a_request_is_told_signed_and_with_its_link_from_asking_to_the_end_of_its_grant() {
    let receiver = Receiver::start(200).await;
    let loud = webhook("loud", &receiver, "");
    let fixture = Fixture::with(&configured(&loud)).await;
    let request = ask(&fixture, &json!({})).await;
    let id = request["id"].as_str().unwrap();
    receiver.until(1).await;
    let approved = call(&fixture, "BEN", &format!("/v1/requests/{id}/approve"), &json!({"comment": "go <on>"})).await;
    assert_eq!(approved.status, 200, "{approved:?}");
    receiver.until(2).await;
    fixture.at(6 * MINUTE);
    let received = receiver.until(3).await;
    received.iter().for_each(Received::verify);
    let [asked, decided, ended] = &received[..] else { panic!("{received:?}") };
    assert!(
        asked.is("approval_requested") && decided.is("approval_decided") && ended.is("grant_ended"),
        "{received:?}"
    );
    assert_eq!(asked.headers["content-type"], "application/json");
    assert_eq!(asked.headers["webhook-timestamp"], (T0 / 1_000).to_string());
    let asked = asked.json();
    let link = format!("<https://p.example.com/requests/{id}|Open the request>");
    assert_eq!(asked["text"], format!("*rita* asks for `prod` for 5m, in a session of *alice*: “it is down”. {link}"));
    assert_eq!((&asked["data"], &asked["timestamp"]), (&request, &request["created_at"]));
    let decided = decided.json();
    assert!(decided["text"].as_str().unwrap().contains("“go &lt;on&gt;”"), "{decided}");
    assert_eq!(
        (&decided["data"]["state"], &ended.json()["data"]["grant"]["state"]),
        (&json!("approved"), &json!("ended"))
    );
    assert!(until_undelivered(&fixture, <[Value]>::is_empty).await.is_empty());
    let metrics = fixture.call("GET", "/metrics", "").await.text;
    for line in [
        r#"portcullis_webhook_deliveries_total{outcome="delivered",webhook="loud"} 3"#,
        r#"portcullis_webhook_undelivered{webhook="loud"} 0"#,
    ] {
        assert!(metrics.contains(line), "{line}: {metrics}");
    }
}

#[tokio::test]
async fn what_is_not_taken_is_listed_and_comes_again_with_the_same_id() {
    for status in [500, 307] {
        let receiver = Receiver::start(status).await;
        let fixture = Fixture::with(&configured(&webhook("loud", &receiver, ""))).await;
        let request = ask(&fixture, &json!({})).await;
        let error = format!("it answered {status}");
        let listed =
            until_undelivered(&fixture, |all| all.first().is_some_and(|first| first["error"].is_string())).await;
        let [listed] = &listed[..] else { panic!("{listed:?}") };
        assert_eq!((&listed["webhook"], &listed["type"]), (&json!("loud"), &json!("portcullis.approval_requested")));
        assert_eq!((&listed["request"], &listed["attempts"]), (&request["id"], &json!(1)));
        assert_eq!((&listed["given_up"], &listed["timestamp"]), (&json!(false), &request["created_at"]));
        if status == 500 {
            assert_eq!(listed["error"], error);
        }
        assert_eq!(receiver.received().len(), 1, "a redirect is not followed, and nothing comes before its time");
        receiver.answers(204);
        fixture.at(10_000);
        let received = receiver.until(2).await;
        received.iter().for_each(Received::verify);
        let id = |number: usize| received[number].headers["webhook-id"].clone();
        assert_eq!((id(0), id(1)), (listed["id"].as_str().unwrap().to_owned(), id(0)));
        assert!(received[1].headers["webhook-timestamp"] > received[0].headers["webhook-timestamp"]);
        assert!(until_undelivered(&fixture, <[Value]>::is_empty).await.is_empty());
    }
}

#[tokio::test]
async fn a_restart_goes_on_with_what_was_not_delivered() {
    let receiver = Receiver::start(500).await;
    let settings = configured(&webhook("loud", &receiver, ""));
    let fixture = Fixture::with(&settings).await;
    ask(&fixture, &json!({})).await;
    until_undelivered(&fixture, is_failed).await;
    receiver.answers(200);
    let fixture = Fixture::in_folder(fixture.stop().await, &settings).await;
    let received = receiver.until(2).await;
    assert_eq!(received[0].headers["webhook-id"], received[1].headers["webhook-id"]);
    assert!(until_undelivered(&fixture, <[Value]>::is_empty).await.is_empty());
}

#[tokio::test]
async fn an_emergency_is_told_to_whom_its_rule_names_and_reminds_until_it_is_reviewed() {
    let (loud, other) = (Receiver::start(200).await, Receiver::start(200).await);
    let webhooks = [
        webhook("loud", &loud, ", events: [review_open, review_closed]"),
        webhook("other", &other, ", events: [approval_requested]"),
    ];
    let fixture = Fixture::with(&configured(&webhooks.join(", "))).await;
    let request = ask(&fixture, &json!({"emergency": true})).await;
    let received = loud.until(1).await;
    assert!(received[0].is("break_glass"), "{received:?}");
    assert!(received[0].json()["text"].as_str().unwrap().starts_with("*EMERGENCY* *rita* took `prod` for 5m"));
    for day in 1..=2 {
        fixture.at(day * DAY);
        let received = loud.until(1 + usize::try_from(day).unwrap()).await;
        assert!(received.last().unwrap().is("review_open"), "{received:?}");
    }
    let path = format!("/v1/requests/{}/review", request["id"].as_str().unwrap());
    let reviewed = call(&fixture, "BEN", &path, &json!({"comment": "seen"})).await;
    assert_eq!(reviewed.status, 200, "{reviewed:?}");
    let received = loud.until(4).await;
    assert!(received[3].is("review_closed"), "{received:?}");
    assert!(other.received().is_empty(), "it wants to know nothing of this");
}

#[tokio::test]
async fn the_list_of_what_is_undelivered_has_pages_the_newest_first() {
    let receiver = Receiver::start(500).await;
    let fixture = Fixture::with(&configured(&webhook("loud", &receiver, ""))).await;
    let request = ask(&fixture, &json!({})).await;
    until_undelivered(&fixture, is_failed).await;
    fixture.at(1_000);
    let path = format!("/v1/requests/{}/cancel", request["id"].as_str().unwrap());
    assert_eq!(call(&fixture, "RITA", &path, &json!({})).await.status, 200);
    until_undelivered(&fixture, |all| all.len() == 2 && is_failed(all)).await;
    let first = fixture.call("GET", "/v1/webhooks/undelivered?limit=1", "").await.json();
    assert_eq!(first["undelivered"][0]["type"], "portcullis.approval_decided");
    let path = format!("/v1/webhooks/undelivered?limit=1&cursor={}", first["next"].as_str().unwrap());
    let second = fixture.call("GET", &path, "").await.json();
    assert_eq!(
        (&second["undelivered"][0]["type"], second.get("next")),
        (&json!("portcullis.approval_requested"), None)
    );
    assert_eq!(fixture.call("GET", "/v1/webhooks/undelivered?limit=0", "").await.status, 400);
}
