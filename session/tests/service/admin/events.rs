//! Events, and the history of a session.

use super::*;

/// A listener of the events, and what it has read.
struct Listener {
    lines: BufReader<TcpStream>,
    read: String,
}

impl Listener {
    /// Connects, with more headers, and waits until it is served.
    async fn open(fixture: &Fixture, headers: &str) -> Self {
        Self::open_at(fixture, "/v1/events", headers).await
    }

    async fn open_at(fixture: &Fixture, path: &str, headers: &str) -> Self {
        let mut lines = BufReader::new(TcpStream::connect(fixture.admin).await.unwrap());
        let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {ADMIN}\r\n{headers}\r\n");
        lines.get_mut().write_all(request.as_bytes()).await.unwrap();
        let mut listener = Self { lines, read: String::new() };
        listener.until("text/event-stream").await;
        listener.until("id: ").await;
        listener
    }

    async fn until(&mut self, wanted: &str) {
        let reading = async {
            while !self.read.contains(wanted) {
                assert!(self.lines.read_line(&mut self.read).await.unwrap() > 0, "{}", self.read);
            }
        };
        tokio::time::timeout(PATIENCE, reading).await.unwrap_or_else(|_| panic!("no {wanted}"));
    }

    /// Leaves; gives the header to come back with.
    fn leave(self) -> String {
        let last = self.read.lines().rev().find_map(|line| line.strip_prefix("id: "));
        format!("last-event-id: {}\r\n", last.expect("events have ids"))
    }
}

#[tokio::test]
async fn events_tell_what_opens_ends_and_is_refused() {
    let fixture = Fixture::open().await;
    let mut listener = Listener::open(&fixture, "").await;
    let mut filter = fixture.filter().await;
    filter.ask_new(token(1, "s1", T0)).await;
    listener.until("event: opened\n").await;
    let id = session_id("s1");
    fixture.call("POST", &format!("/v1/sessions/{id}/revoke"), "").await;
    listener.until("event: ended\n").await;
    listener.until("event: session_revoked\n").await;
    filter.ask(1, 0).await;
    listener.until("event: refused\n").await;
    listener.until("\"outcome\":\"revoked\"").await;
    filter.close();
    // An open listener does not keep the service from stopping.
    fixture.stop().await;
}

#[tokio::test]
async fn a_listener_that_comes_back_reads_what_it_missed_and_after_a_restart_that_it_missed_some() {
    let fixture = Fixture::open().await;
    // It leaves without having read one event.
    let came_from = Listener::open(&fixture, "").await.leave();
    let mut filter = fixture.filter().await;
    filter.ask_new(token(1, "s1", T0)).await;
    let id = session_id("s1");
    fixture.call("POST", &format!("/v1/sessions/{id}/revoke"), "").await;
    let mut listener = Listener::open(&fixture, &came_from).await;
    listener.until("event: ended\n").await;
    listener.until(&format!("\"session\":\"{id}\"")).await;
    assert!(listener.read.contains("event: opened\n") && !listener.read.contains("lagged"), "{}", listener.read);
    listener.until("\"reason\":\"revoked\"").await;
    listener.until("\nid: ").await;
    let came_from = listener.leave();
    filter.close();

    let fixture = Fixture::in_folder(fixture.stop().await, "").await;
    let mut listener = Listener::open(&fixture, &came_from).await;
    listener.until("event: lagged\n").await;
    listener.until("\"missed\":null").await;
    assert!(listener.read.contains("\"held_since\":\"2023-11-14T22:13:20"), "{}", listener.read);
}

#[tokio::test]
async fn a_listener_reads_what_happened_since_an_instant_and_is_told_if_some_is_not_held() {
    let fixture = Fixture::open().await;
    let mut filter = fixture.filter().await;
    filter.ask_new(token(1, "before", T0)).await;
    fixture.at(10_000);
    filter.ask_new(token(2, "after", T0)).await;
    let (before, after) = (session_id("before").to_string(), session_id("after").to_string());
    let mut listener = Listener::open_at(&fixture, "/v1/events?since=2023-11-14T22:13:25Z", "").await;
    listener.until(&after).await;
    assert!(!listener.read.contains(&before) && !listener.read.contains("lagged"), "{}", listener.read);
    // It comes back to the same address, and reads nothing twice.
    listener.read.clear();
    listener.until("id: ").await;
    let mut listener = Listener::open_at(&fixture, "/v1/events?since=2023-11-14T22:13:25Z", &listener.leave()).await;
    fixture.call("POST", &format!("/v1/sessions/{after}/revoke"), "").await;
    listener.until("event: ended\n").await;
    assert!(!listener.read.contains("event: opened"), "{}", listener.read);
    let mut listener = Listener::open_at(&fixture, "/v1/events?since=2001-01-01T00:00:00Z", "").await;
    listener.until("event: lagged\n").await;
    listener.until("\"held_since\":\"2023-11-14T22:13:20").await;
    listener.until(&before).await;
    let wrong = fixture.call("GET", "/v1/events?since=yesterday", "").await;
    assert_eq!((wrong.status, wrong.code().as_str()), (400, "invalid_request"), "{wrong:?}");
    filter.close();
}

#[tokio::test]
async fn the_history_of_a_session_has_what_was_done_to_it_and_to_its_party() {
    let fixture = Fixture::open().await;
    let mut filter = fixture.filter().await;
    filter.ask_new(token(1, "s1", T0)).await;
    filter.ask_new(token(2, "s2", T0)).await;
    let id = session_id("s1");
    let party = r#"{"issuer":"https://id","subject":"alice","remove":["openid"],"reason":"ticket 4711"}"#;
    assert_eq!(fixture.call("POST", "/v1/narrowings", party).await.status, 200);
    let shown = fixture.call("GET", &format!("/v1/sessions/{id}"), "").await.json();
    let narrowing = &shown["narrowings"][0];
    assert_eq!((&narrowing["removed"], &narrowing["reason"]), (&json!(["openid"]), &json!("ticket 4711")), "{shown}");
    assert!(narrowing["made_at"].as_str().is_some_and(|at| at.starts_with("2023-11-14T22:13:20")), "{shown}");
    assert_eq!(shown["granted"].as_array().unwrap().len(), shown["scopes"].as_array().unwrap().len() + 1, "{shown}");
    assert_eq!(
        fixture.call("POST", "/v1/narrowings", &party.replace("remove", "restore")).await.json().get("made_at"),
        None,
        "nothing is taken any more"
    );
    fixture.call("POST", &format!("/v1/sessions/{id}/revoke"), r#"{"reason":"lost laptop"}"#).await;
    filter.ask(1, 0).await;
    let history = fixture.call("GET", &format!("/v1/sessions/{id}/events"), "").await.json();
    let events = history["events"].as_array().unwrap();
    let names: Vec<_> = events.iter().map(|event| event["event"].as_str().unwrap()).collect();
    let expected = ["opened", "scopes_narrowed", "scopes_restored", "ended", "session_revoked", "refused"];
    assert_eq!(names, expected, "{history}");
    assert_eq!(events[1]["stated_reason"], "ticket 4711");
    assert_eq!((&events[3]["reason"], &events[3]["by"]), (&json!("revoked"), &json!("admin")));
    assert_eq!(events[4]["stated_reason"], "lost laptop");
    assert_eq!(events[5]["outcome"], "revoked");
    assert!(history["held_since"].is_string());
    let unknown = fixture.call("GET", &format!("/v1/sessions/{}/events", "0".repeat(32)), "").await;
    assert_eq!(unknown.status, 404);
    filter.close();
}
