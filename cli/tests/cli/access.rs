//! Access on request, from the command line.

use crate::fake_api::FakeApi;
use serde_json::{Value, json};
use std::sync::atomic::{AtomicUsize, Ordering};

const ID: &str = "019abc7e64ce5abca15772c27966e0b8";
const SESSION: &str = "5d41402abc4b2a76b9719d911017c592";

fn request(state: &str) -> Value {
    let mut request = json!({
        "id": ID, "state": state, "requester": "rita", "subject": "anna", "issuer": "https://id.example.com", "session": SESSION,
        "rule": "prod", "scopes": ["prod:admin"], "reason": "incident", "duration": "30m", "emergency": false, "escalation": false,
        "steps": [], "steps_needed": 1, "created_at": "2026-11-27T09:30:00Z", "expires_at": "2026-11-28T09:30:00Z",
    });
    if state == "approved" {
        request["grant"] =
            json!({"id": "g1", "state": "live", "from": "2026-11-27T09:31:00Z", "until": "2026-11-27T10:01:00Z"});
    }
    request
}

/// A service where a request that is made waits until it has been looked at twice, and then is in this state.
fn deciding(state: &'static str) -> FakeApi {
    let looked = AtomicUsize::new(0);
    FakeApi::start(move |asked| match asked {
        asked if asked.starts_with("POST /v1/requests {") => (201, request("pending")),
        asked if asked.starts_with("GET /v1/requests/") => {
            (200, request(if looked.fetch_add(1, Ordering::SeqCst) > 0 { state } else { "pending" }))
        }
        _ => (200, json!({"sessions": [{"id": SESSION}]})),
    })
}

#[test]
fn a_request_waits_for_its_decision_and_the_exit_code_is_what_was_decided() {
    for (state, code) in [("approved", 0), ("denied", 1), ("cancelled", 1), ("expired", 1)] {
        let api = deciding(state);
        let line = ["access", "request", SESSION, "--scope", "prod:admin", "--for", "30m", "--reason", "incident"];
        let ended = api.run(&[&line[..], &["--wait"]].concat());
        assert_eq!(ended.code, Some(code), "{state}: {}", ended.stderr);
        assert!(ended.stdout.contains(state) && ended.stderr.contains("waiting for the decision"), "{}", ended.stdout);
        let asked = api.asked();
        let body = r#"{"session":"5d41402abc4b2a76b9719d911017c592","scopes":["prod:admin"],"duration":"30m","reason":"incident"}"#;
        assert!(asked.contains(&format!("POST /v1/requests {body}")), "{asked:?}");
        assert_eq!(asked.iter().filter(|asked| asked.starts_with(&format!("GET /v1/requests/{ID}"))).count(), 2);

        let at_once = deciding(state).run(&line);
        assert_eq!((at_once.code, at_once.stdout.contains("pending")), (Some(0), true), "without --wait");
    }
}

#[test]
fn each_decision_asks_for_what_it_says() {
    let of_request = |deed: &str| format!("POST /v1/requests/{ID}/{deed}");
    for (line, asked) in [
        (&["approve", ID][..], of_request("approve") + " {}"),
        (
            &["approve", ID, "--for", "15m", "--comment", "only now"],
            of_request("approve") + r#" {"comment":"only now","duration":"15m"}"#,
        ),
        (&["approve", ID, "--once"], of_request("approve") + r#" {"once":true}"#),
        (&["approve", ID, "--for-session"], of_request("approve") + r#" {"for":"session"}"#),
        (&["deny", ID, "--comment", "no"], of_request("deny") + r#" {"comment":"no"}"#),
        (&["cancel", ID], of_request("cancel") + " {}"),
        (&["review", ID, "--comment", "it was needed"], of_request("review") + r#" {"comment":"it was needed"}"#),
        (&["revoke", ID, "--comment", "over"], r#"POST /v1/grants/g1/revoke {"comment":"over"}"#.to_owned()),
    ] {
        let api = FakeApi::start(|asked| match asked.starts_with("GET") {
            true => (200, json!({"requests": [request("approved")]})),
            false => (200, request("approved")),
        });
        let ended = api.run(&[&["access"], line].concat());
        assert_eq!(ended.code, Some(0), "{line:?}: {}", ended.stderr);
        assert_eq!(api.asked().last(), Some(&asked), "{line:?}");
    }
    let refused = FakeApi::start(|_| {
        (403, json!({"code": "forbidden", "detail": "nobody decides what he has asked for himself"}))
    });
    let ended = refused.run(&["access", "approve", ID]);
    assert_eq!(ended.code, Some(1));
    assert!(ended.stderr.contains("nobody decides what he has asked for himself"), "{}", ended.stderr);
}
