//! Lists: the newest entry comes first, in whichever order and on whichever page the service has it.

use crate::fake_api::FakeApi;
use serde_json::{Value, json};

fn narrowing(subject: &str, made_at: Option<&str>) -> Value {
    let mut narrowing =
        json!({"id": subject, "issuer": "i", "subject": subject, "client_id": "w".repeat(72), "removed": ["a"]});
    if let Some(made_at) = made_at {
        narrowing["made_at"] = json!(made_at);
    }
    narrowing
}

fn filter(address: &str, connected_at: &str) -> Value {
    json!({"address": address, "version": "1", "policy_digest": "d", "streams": 2, "connected_at": connected_at})
}

fn service() -> FakeApi {
    FakeApi::start(|request| match request {
        asked if asked.contains("/v1/filters") => (
            200,
            json!({"filters": [filter("10.0.0.1", "2026-11-26T10:00:00Z"), filter("10.0.0.2", "2026-11-26T11:00:00Z")]}),
        ),
        asked if asked.contains("cursor=more") => {
            (200, json!({"narrowings": [narrowing("newest", Some("2026-11-26T12:00:00Z"))]}))
        }
        _ => {
            let entries = [narrowing("undated", None), narrowing("old", Some("2026-11-26T10:00:00Z"))];
            (200, json!({"narrowings": entries, "next": "more"}))
        }
    })
}

/// The first word of each line.
fn first_cells(table: &str) -> Vec<&str> {
    table.lines().filter_map(|line| line.split_whitespace().next()).collect()
}

#[test]
fn lists_show_the_newest_entry_first_and_fit_80_columns() {
    let service = service();
    for (command, expected) in [
        (&["sessions", "narrowings"][..], &["SUBJECT", "newest", "old", "undated"][..]),
        (&["filters", "list"], &["ADDRESS", "10.0.0.2", "10.0.0.1"]),
    ] {
        let list = service.run(command);
        assert_eq!(first_cells(&list.stdout), expected, "{}{}", list.stdout, list.stderr);
        assert!(list.stdout.lines().all(|line| line.chars().count() <= 80), "{}", list.stdout);
    }
}

#[test]
fn programs_read_lists_in_the_same_order() {
    let service = service();
    for (command, member, key, expected) in [
        (["sessions", "narrowings"], "narrowings", "subject", &["newest", "old", "undated"][..]),
        (["filters", "list"], "filters", "address", &["10.0.0.2", "10.0.0.1"]),
    ] {
        let list = service.run(&[&command[..], &["--output", "json"]].concat());
        let json: Value = serde_json::from_str(&list.stdout).expect("JSON");
        let found: Vec<_> = json[member].as_array().expect("a list").iter().map(|of| of[key].clone()).collect();
        assert_eq!(found, expected, "{}", list.stdout);
    }
}
