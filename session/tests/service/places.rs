//! Where requests come from, from a question to the attribute, the event and the metric.

use crate::client::{Filter, PLAIN, session_id, token};
use crate::fixtures::{Fixture, PATIENCE, T0};
use portcullis_contract::wire::{Circumstances, FilterMessage, Place, Question, SessionKey, Token};
use serde_json::{Value, json};
use std::time::Instant;

const ANOMALIES: &str = "anomalies: {new_place: {}, flapping: {}, user_agent: {}, many_addresses: {count: 2}}";
const HOUR: u64 = 3_600_000;

/// A question about the first token, from a country, a network and an address.
fn question(id: u32, country: &str, asn: u32, address: &str) -> Question {
    let place = Some(Place { country: country.to_owned(), asn: Some(asn), proxy: None });
    Question {
        id,
        token: 1,
        route: PLAIN,
        method: "GET".to_owned(),
        client_address: address.to_owned(),
        user_agent_digest: Some(1),
        circumstances: Some(Circumstances { place, ..Circumstances::default() }),
        ..Question::default()
    }
}

async fn ask(filter: &mut Filter, question: Question) {
    filter.send(FilterMessage { questions: vec![question], ..FilterMessage::default() }).await;
    filter.verdicts(1).await;
}

/// A filter that has asked about a session twice from Zurich: the first question only opens it.
async fn at_home(fixture: &Fixture, of: Token) -> Filter {
    let mut filter = fixture.filter().await;
    filter.ask_new(of).await;
    ask(&mut filter, question(1, "CH", 3303, "192.0.2.1")).await;
    filter
}

/// Reads until what is read is what is wanted.
async fn until(fixture: &Fixture, path: &str, is_wanted: impl Fn(&Value) -> bool) -> Value {
    let started = Instant::now();
    loop {
        let read = fixture.call("GET", path, "").await.json();
        if is_wanted(&read) {
            return read;
        }
        assert!(started.elapsed() < PATIENCE, "{read}");
        tokio::task::yield_now().await;
    }
}

async fn attributes(fixture: &Fixture, sid: &str, count: usize) -> Vec<String> {
    let path = format!("/v1/attributes/session/{}", session_id(sid));
    let read =
        until(fixture, &path, |read| read["attributes"].as_array().is_some_and(|list| list.len() == count)).await;
    let list = read["attributes"].as_array().unwrap();
    assert!(list.iter().all(|one| one["source"] == "anomaly" && one["value"] == true), "{read}");
    list.iter().map(|one| one["name"].as_str().unwrap().to_owned()).collect()
}

async fn countries(fixture: &Fixture, wanted: &str) {
    let path = "/v1/attributes/subject/alice/anomaly.countries?issuer=https://id";
    until(fixture, path, |read| read["value"] == wanted).await;
}

#[tokio::test]
async fn an_anomaly_is_an_attribute_until_its_end_or_the_next_login_an_event_and_a_count() {
    let fixture = Fixture::with(ANOMALIES).await;
    let mut filter = at_home(&fixture, token(1, "s", T0)).await;
    countries(&fixture, "CH").await;
    ask(&mut filter, question(2, "US", 7018, "198.51.100.1")).await;
    assert_eq!(attributes(&fixture, "s", 1).await, ["new_place"]);
    countries(&fixture, "CH US").await;
    let events = fixture.call("GET", &format!("/v1/sessions/{}/events", session_id("s")), "").await.json();
    let found = events["events"].as_array().unwrap().iter().find(|event| event["event"] == "anomaly").unwrap();
    assert_eq!(
        (&found["anomaly"], &found["country"], &found["before"], &found["subject"]),
        (&json!("new_place"), &json!("US"), &json!("CH"), &json!("alice"))
    );
    let metrics = fixture.call("GET", "/metrics", "").await.text;
    assert!(metrics.contains(r#"portcullis_anomalies_total{anomaly="new_place"} 1"#), "{metrics}");
    // No address is anywhere.
    assert!(!events.to_string().contains("198.51.100"), "{events}");
    fixture.at(HOUR - 1);
    assert_eq!(attributes(&fixture, "s", 1).await, ["new_place"]);
    fixture.at(HOUR);
    assert_eq!(attributes(&fixture, "s", 0).await, [""; 0]);
}

#[tokio::test]
async fn the_session_shows_an_anomaly_only_until_its_next_login() {
    let fixture = Fixture::with(ANOMALIES).await;
    let login = |handle, at_ms| Token { authenticated_at_ms: Some(at_ms), ..token(handle, "s", at_ms) };
    let mut filter = at_home(&fixture, login(1, T0)).await;
    countries(&fixture, "CH").await;
    ask(&mut filter, question(2, "US", 7018, "198.51.100.1")).await;
    assert_eq!(attributes(&fixture, "s", 1).await, ["new_place"]);
    let path = format!("/v1/sessions/{}", session_id("s"));
    let shown = async || {
        let session = fixture.call("GET", &path, "").await.json();
        let names = session["attributes"].as_array().cloned().unwrap_or_default();
        names.iter().any(|one| one["name"] == "new_place")
    };
    assert!(shown().await);
    fixture.at(10_000);
    filter.ask_new(login(2, T0 + 9_000)).await;
    assert!(!shown().await, "whoever has logged in again has answered for it");
}

#[tokio::test]
async fn a_first_country_is_not_new() {
    let fixture = Fixture::with(ANOMALIES).await;
    let mut filter = at_home(&fixture, token(1, "s", T0)).await;
    countries(&fixture, "CH").await;
    drop(at_home(&fixture, token(1, "t", T0)).await);
    // Another agent, which is found: what came before it was not.
    ask(&mut filter, Question { user_agent_digest: Some(2), ..question(2, "CH", 3303, "192.0.2.1") }).await;
    assert_eq!(attributes(&fixture, "s", 1).await, ["anomaly.user_agent"]);
    assert_eq!(attributes(&fixture, "t", 0).await, [""; 0]);
}

#[tokio::test]
async fn a_machine_is_not_watched_for_its_instances_share_a_session() {
    let fixture = Fixture::with(ANOMALIES).await;
    let kind = SessionKey::Machine as i32;
    let robot = Token { key_kind: kind, grant: "client_credentials".to_owned(), ..token(1, "robot", T0) };
    let mut filter = at_home(&fixture, robot).await;
    ask(&mut filter, question(2, "US", 7018, "198.51.100.1")).await;
    // A person's anomaly is found after that.
    let mut other = at_home(&fixture, token(1, "s", T0)).await;
    ask(&mut other, Question { user_agent_digest: Some(2), ..question(2, "CH", 3303, "192.0.2.1") }).await;
    assert_eq!(attributes(&fixture, "s", 1).await, ["anomaly.user_agent"]);
    countries(&fixture, "CH").await;
    let metrics = fixture.call("GET", "/metrics", "").await.text;
    assert!(metrics.contains(r#"portcullis_anomalies_total{anomaly="new_place"} 0"#), "{metrics}");
}

#[tokio::test]
async fn two_clients_of_one_session_are_found_by_their_networks_and_addresses() {
    let fixture = Fixture::with(ANOMALIES).await;
    let mut filter = at_home(&fixture, token(1, "s", T0)).await;
    for (number, (asn, address)) in [(2, "192.0.2.2"), (3303, "192.0.2.1"), (2, "192.0.2.3")].into_iter().enumerate() {
        let number = u32::try_from(number).unwrap();
        fixture.at(u64::from(number) * 2_000);
        ask(&mut filter, question(2 + number, "CH", asn, address)).await;
    }
    assert_eq!(attributes(&fixture, "s", 2).await, ["anomaly.flapping", "anomaly.many_addresses"]);
}

#[tokio::test]
async fn what_cannot_be_written_is_counted_and_holds_up_no_verdict() {
    let fixture = Fixture::with(ANOMALIES).await;
    let mut filter = at_home(&fixture, token(1, "s", T0)).await;
    countries(&fixture, "CH").await;
    fixture.faults.fails.store(true, std::sync::atomic::Ordering::SeqCst);
    ask(&mut filter, question(2, "US", 7018, "198.51.100.1")).await;
    let started = Instant::now();
    let lost = |text: &str| text.lines().any(|line| line == "portcullis_anomalies_lost_total 2");
    while !lost(&fixture.call("GET", "/metrics", "").await.text) {
        assert!(started.elapsed() < PATIENCE, "it is not counted");
        tokio::task::yield_now().await;
    }
    assert_eq!(attributes(&fixture, "s", 0).await, [""; 0]);
}
