//! `events`, against the real session service.

use super::{portcullis, stderr};
use portcullis_tests::{Link, Testbed, local, until};
use serde_json::{Value, json};
use std::{
    io::{BufRead, BufReader, Read},
    net::SocketAddr,
    process::{Child, Stdio},
    sync::{Arc, Mutex},
    thread,
};

/// A running `portcullis events` and its output so far.
struct Following {
    child: Child,
    out: Arc<Mutex<Vec<String>>>,
    err: Arc<Mutex<Vec<String>>>,
}

impl Following {
    fn start(testbed: &Testbed, form: &str) -> Self {
        Self::start_at(testbed, testbed.service.admin_address(), form)
    }

    fn start_at(testbed: &Testbed, admin: SocketAddr, form: &str) -> Self {
        Self::of(started(testbed, admin, &["--output", form]))
    }

    fn of(mut child: Child) -> Self {
        let out = gathered(child.stdout.take().expect("a pipe"));
        let err = gathered(child.stderr.take().expect("a pipe"));
        Self { child, out, err }
    }

    fn lines(&self) -> Vec<String> {
        self.out.lock().expect("not poisoned").clone()
    }

    /// All events of one kind so far, as JSON.
    fn events(&self, name: &str) -> Vec<Value> {
        let lines = self.lines();
        let events = lines.iter().map(|line| serde_json::from_str::<Value>(line).expect("an object a line"));
        events.filter(|event| event["event"] == name).collect()
    }

    fn has_said(&self, words: &str) -> bool {
        self.err.lock().expect("not poisoned").iter().any(|line| line.contains(words))
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        // It may have ended already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn started(testbed: &Testbed, admin: SocketAddr, options: &[&str]) -> Child {
    let mut command = portcullis();
    command.args(["events", "--url", &format!("http://{admin}")]).args(options);
    command.env("PORTCULLIS_ADMIN_CREDENTIAL", &testbed.admin_credential);
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).stdin(Stdio::null());
    command.spawn().expect("the program runs")
}

fn gathered(pipe: impl Read + Send + 'static) -> Arc<Mutex<Vec<String>>> {
    let lines = Arc::new(Mutex::new(Vec::new()));
    let gathered = Arc::clone(&lines);
    thread::spawn(move || {
        for line in BufReader::new(pipe).lines().map_while(Result::ok) {
            gathered.lock().expect("not poisoned").push(line);
        }
    });
    lines
}

/// Opens sessions until an event arrives. From then on no event is missed.
async fn heard(testbed: &Testbed, following: &Following) {
    let before = following.lines().len();
    until("events are heard", async || {
        testbed.get("/orders").bearer(testbed.issuer.token().subject("tuning").sign()).await;
        (following.lines().len() > before).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn events_are_printed_and_a_lost_connection_is_opened_again() {
    let testbed = Testbed::start().await;
    testbed.ready().await;
    let following = Following::start(&testbed, "json");
    heard(&testbed, &following).await;

    let hostile = "anna\u{9b}31m\n";
    let session = json!({"issuer": "i", "key": "k", "subject": hostile, "client_id": "web"});
    testbed.service.admin().open(&session).await.status(200);
    let anna = testbed.issuer.token().sign();
    testbed.get("/orders").bearer(&anna).await.passes();
    testbed.service.admin().revoke(&anna.session).await;
    testbed.get("/orders").bearer(&anna).await.refused(401, "session_revoked");
    let of = |name: &str| following.events(name).into_iter().find(|event| event["session"] == *anna.session);
    let refused = until("the refusal is told", async || of("refused")).await;
    assert_eq!(refused["outcome"], "revoked");
    assert!(of("opened").is_some() && following.events("opened").iter().any(|event| event["subject"] == hostile));
    assert_eq!(of("ended").expect("told before")["reason"], "revoked");
    assert!(following.lines().iter().all(|line| !line.contains(char::is_control)));

    testbed.service.kill();
    until("the loss is told", async || following.has_said("reconnecting").then_some(())).await;
    testbed.service.restart().await;
    until("the gap is told", async || (following.events("lagged").len() == 1).then_some(())).await;
    assert_eq!(following.events("lagged")[0]["missed"], Value::Null, "nobody knows how many");
    testbed.ready().await;
    heard(&testbed, &following).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_connection_loses_no_event() {
    let testbed = Testbed::start().await;
    testbed.ready().await;
    let link = Link::open().await;
    link.lead_to(testbed.service.admin_address());
    let following = Following::start_at(&testbed, local(link.port), "json");
    heard(&testbed, &following).await;

    link.close();
    until("the loss is told", async || following.has_said("reconnecting").then_some(())).await;
    let mut keys: Vec<String> = (0..5).map(|number| format!("meanwhile-{number}")).collect();
    for key in &keys {
        let session = json!({"issuer": "i", "key": key, "subject": key, "client_id": "web"});
        testbed.service.admin().open(&session).await.status(200);
    }
    link.accept_again();
    let replayed = || {
        let opened = following.events("opened").into_iter();
        opened
            .filter_map(|event| event["subject"].as_str().map(str::to_owned))
            .filter(|who| who.starts_with("meanwhile"))
    };
    until("what happened meanwhile is told", async || (replayed().count() >= keys.len()).then_some(())).await;
    let mut told: Vec<String> = replayed().collect();
    told.sort();
    keys.sort();
    assert_eq!(told, keys, "each once");
    assert!(following.events("lagged").is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_happened_since_an_instant_is_replayed_and_it_says_if_some_is_not_held() {
    let testbed = Testbed::start().await;
    testbed.ready().await;
    let anna = testbed.issuer.token().sign();
    testbed.get("/orders").bearer(&anna).await.passes();
    let replay = |since: &str| {
        Following::of(started(&testbed, testbed.service.admin_address(), &["--output", "json", "--since", since]))
    };
    let recent = replay("2h");
    until("the past is told", async || {
        let opened = recent.events("opened").into_iter();
        opened.into_iter().find(|event| event["session"] == *anna.session)
    })
    .await;
    let lagged = recent.events("lagged");
    assert!(lagged.len() == 1 && lagged[0]["held_since"].is_string(), "the service has not run that long: {lagged:?}");
    let held_since = lagged[0]["held_since"].as_str().expect("an instant").to_owned();
    let whole = replay(&held_since);
    until("the past is told", async || (!whole.events("opened").is_empty()).then_some(())).await;
    assert!(whole.events("lagged").is_empty(), "all of it is held");
}

#[tokio::test(flavor = "multi_thread")]
async fn people_read_sentences() {
    let testbed = Testbed::start().await;
    testbed.ready().await;
    let following = Following::start(&testbed, "text");
    heard(&testbed, &following).await;
    let anna = testbed.issuer.token().sign();
    testbed.get("/orders").bearer(&anna).await.passes();
    testbed.service.admin().revoke(&anna.session).await;
    let of =
        |name: &str| following.lines().into_iter().find(|line| line.contains(&anna.session) && line.contains(name));
    let ended = until("the end is told", async || of("ended")).await;
    assert!(ended.contains("anna via ") && ended.contains(": revoked"), "{ended}");
    assert!(of("opened").is_some_and(|line| line.ends_with("(interactive)")), "{:?}", following.lines());
}

#[tokio::test(flavor = "multi_thread")]
async fn it_ends_when_its_output_is_closed_even_without_an_event() {
    let testbed = Testbed::start().await;
    let mut child = started(&testbed, testbed.service.admin_address(), &["--output", "text"]);
    drop(child.stdout.take());
    let status = until("the program ends", async || child.try_wait().expect("the state of a child")).await;
    assert_eq!(status.code(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_credential_ends_it() {
    let testbed = Testbed::start().await;
    let mut command = portcullis();
    command.args(["events", "--url", &format!("http://{}", testbed.service.admin_address())]);
    let output = command.env("PORTCULLIS_ADMIN_CREDENTIAL", "wrong").output().expect("the program runs");
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("rejected the credential"));
}
