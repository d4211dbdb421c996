//! Attributes of sessions, subjects and devices: they are listed, set and deleted.

use crate::fake_api::FakeApi;
use serde_json::{Value, json};

const SESSION: &str = "5d41402abc4b2a76b9719d911017c592";
const ISSUER: &str = "https://id.example.com";

fn risk() -> Value {
    json!({"name": "risk", "value": "high", "source": "admin", "set_at": "then", "expires_at": "later"})
}

/// A service that answers every request about one attribute with the same one.
fn service() -> FakeApi {
    FakeApi::start(|request| {
        let path = request.split(['?', ' ']).nth(1).expect("a path");
        let managed = json!({"name": "managed", "value": true, "source": "okta", "set_at": "then"});
        match path.trim_start_matches("/v1/attributes") {
            "/v1/sessions" => (
                200,
                json!({"sessions": [
                    {"id": SESSION, "state": "active", "opened_at": "then", "last_seen_at": "then"},
                ]}),
            ),
            list if list.matches('/').count() == 2 && list.ends_with("/bob") => (200, json!({"attributes": []})),
            list if list.matches('/').count() == 2 => (200, json!({"attributes": [managed, risk()]})),
            one if one.ends_with("/risk") => (200, risk()),
            _ => (404, json!({"detail": "there is no such attribute", "code": "not_found"})),
        }
    })
}

#[test]
fn attributes_are_listed() {
    let service = service();
    let list = service.run(&["attributes", "list", "--subject", "a/b", "--issuer", ISSUER]);
    assert_eq!(
        list.stdout,
        "NAME     VALUE  SOURCE  SET   EXPIRES\n\
         managed  true   okta    then  never\n\
         risk     high   admin   then  later\n"
    );
    assert_eq!(service.asked(), ["GET /v1/attributes/subject/a%2Fb?issuer=https%3A%2F%2Fid%2Eexample%2Ecom"]);
    let none = service.run(&["attributes", "list", "--device", "bob", "--issuer", "i"]);
    assert_eq!((none.code, &*none.stderr), (Some(0), "device `bob` at `i` has no attributes\n"));
    let list = service.run(&["attributes", "list", "--session", SESSION, "--output", "json"]);
    assert_eq!(serde_json::from_str::<Value>(&list.stdout).expect("JSON")["attributes"][1], risk());
}

#[test]
fn an_attribute_is_set_for_a_session_by_the_first_digits_of_its_id() {
    let service = service();
    let set =
        service.run(&["attributes", "set", "--session", "5d41", "risk", "high", "--until", "2026-11-26T12:00:00Z"]);
    assert_eq!(set.stdout, format!("`risk` of session `{SESSION}` is `high`, until later\n"), "{}", set.stderr);
    let asked = service.asked();
    assert!(
        asked[0].starts_with("GET /v1/sessions?id%5Fprefix=5d41") || asked[0].contains("id_prefix=5d41"),
        "{asked:?}"
    );
    let put = asked[1].strip_prefix(&format!("PUT /v1/attributes/session/{SESSION}/risk ")).expect("a call");
    let body: Value = serde_json::from_str(put).expect("JSON");
    assert_eq!(body, json!({"value": "high", "expires_at": "2026-11-26T12:00:00Z"}));
}

#[test]
fn booleans_and_numbers_are_sent_as_such_unless_they_are_said_to_be_text() {
    let service = service();
    let line = ["attributes", "set", "--device", "d", "--issuer", "i", "risk"];
    let path = "PUT /v1/attributes/device/d/risk?issuer=i";
    for (more, body) in [
        (&["false"][..], r#"{"value":false}"#),
        (&["-1.5"], r#"{"value":-1.5}"#),
        (&["007"], r#"{"value":"007"}"#),
        (&["true", "--text"], r#"{"value":"true"}"#),
    ] {
        let set = service.run(&[&line[..], more].concat());
        assert_eq!((set.code, service.asked()), (Some(0), vec![format!("{path} {body}")]), "{}", set.stderr);
    }
    let refused = service.run(&[&line[..], &["18446744073709551616"]].concat());
    assert_eq!((refused.code, service.asked().len()), (Some(2), 0));
    assert!(refused.stderr.contains("use `--text` to set it as text"), "{}", refused.stderr);
    let json = service.run(&[&line[..], &["high", "--output", "json"]].concat());
    assert_eq!(serde_json::from_str::<Value>(&json.stdout).expect("JSON"), risk());
}

#[test]
fn what_is_deleted_is_said() {
    let service = service();
    let delete = ["attributes", "delete", "--subject", "alice", "--issuer", "i"];
    let deleted = service.run(&[&delete[..], &["risk"]].concat());
    assert_eq!(deleted.stdout, "`risk` of subject `alice` at `i` is deleted; it was `high`, set by admin then\n");
    assert_eq!(service.asked(), ["DELETE /v1/attributes/subject/alice/risk?issuer=i"]);
    let none = service.run(&[&delete[..], &["badge"]].concat());
    assert_eq!((none.code, &*none.stderr), (Some(1), "error: there is no such attribute (`not_found`)\n"));
}
