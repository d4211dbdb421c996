//! Lists of sessions: which pages are asked for.

use crate::fake_api::FakeApi;
use serde_json::{Value, json};

fn session(id: &str) -> Value {
    json!({"id": id, "state": "ended", "opened_at": "then", "last_seen_at": "then"})
}

#[test]
fn all_sessions_are_listed_by_id_through_pages_that_have_none() {
    let service = FakeApi::start(|request| match request {
        empty if empty.contains("cursor=a") => (200, json!({"sessions": [], "next": "b"})),
        last if last.contains("cursor=b") => (200, json!({"sessions": [session("2")]})),
        _ => (200, json!({"sessions": [session("1")], "next": "a"})),
    });
    let all = service.run(&["sessions", "list", "--all", "--output", "json"]);
    let listed: Value = serde_json::from_str(&all.stdout).expect("JSON");
    assert_eq!(listed, json!({"sessions": [session("1"), session("2")]}), "{}", all.stderr);
    let asked = service.asked();
    assert!(asked.len() == 3 && asked.iter().all(|path| path.contains("order=id")), "{asked:?}");

    let first = service.run(&["sessions", "list", "--limit", "1"]);
    assert!(first.stderr.contains("there are more sessions"), "{}", first.stderr);
    let asked = service.asked();
    assert!(asked.len() == 1 && asked[0].contains("order=newest"), "{asked:?}");
}
