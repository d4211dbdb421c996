//! What the commands print that call the admin API, word for word. `PORTCULLIS_TEXTS=overwrite cargo test -p portcullis-cli
//! --test cli texts` writes the files of `tests/texts` anew, to be reviewed. Instants are words: those of a real service are
//! printed with their distance from now.

use crate::{
    admin_api::{answer, first_lines, serving},
    fake_api::FakeApi,
    tool::{portcullis, root, stderr},
};
use serde_json::{Value, json};
use std::{env, fs};

const ID: &str = "5d41402abc4b2a76b9719d911017c592";

fn compare(name: &str, printed: &str) {
    let path = root().join("cli/tests/texts").join(name).with_extension("txt");
    if env::var_os("PORTCULLIS_TEXTS").is_some_and(|mode| mode == "overwrite") {
        fs::write(&path, printed).expect("it is written");
        return;
    }
    let written = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    assert_eq!(printed, written, "{}", path.display());
}

fn block() -> Value {
    json!({"id": "687e64ce5abca15772c27966e0b823e8", "issuer": "https://id.example.com", "subject": "anna",
        "made_at": "then", "reason": "ticket 4711"})
}

fn session(more: &Value) -> Value {
    let mut session = json!({
        "id": ID, "issuer": "https://id.example.com", "kind": "claim", "key": "s-1", "subject": "anna", "client_id": "web",
        "access": "interactive", "state": "active", "scopes": ["orders:read"], "granted": ["orders:read"],
        "opened_at": "then", "login_at": "then", "last_seen_at": "then", "expires_at": "later",
    });
    if let (Some(session), Some(more)) = (session.as_object_mut(), more.as_object()) {
        session.extend(more.clone());
    }
    session
}

fn request() -> Value {
    json!({
        "id": "019abc7e64ce5abca15772c27966e0b8", "state": "approved", "requester": "rita", "subject": "anna",
        "session": ID, "scopes": ["prod:admin"], "reason": "incident", "duration": "1h", "rule": "prod",
        "steps": [{"by": "ben", "approved": true, "comment": "fine"}], "grant": {"id": "7", "state": "live", "until": "later"},
    })
}

/// The service of the tests: Anna is blocked, and Bob's session was revoked.
fn service() -> FakeApi {
    FakeApi::start(|asked| {
        let blocked = session(&json!({"blocked": true, "blocks": [block()]}));
        let revoked =
            session(&json!({"id": "687e64ce5abc2a76b9719d911017c592", "subject": "bob", "client_id": "batch",
            "state": "ended", "reason": "revoked", "ended_at": "before"}));
        let batch = json!({"id": "787e64ce5abca15772c27966e0b823e8", "issuer": "https://id.example.com",
            "client_id": "batch", "made_at": "then", "until": "later"});
        let body = match asked {
            events if events.contains("/events") => json!({"events": [
                {"event": "opened", "access": "interactive", "at": "then"},
                {"event": "refused", "outcome": "idle_timeout", "route": "orders.list", "at": "then"},
            ]}),
            one if one.contains(&format!("/v1/sessions/{ID}")) => blocked,
            list if list.contains("/v1/sessions") => json!({"sessions": [blocked, revoked]}),
            blocks if blocks.contains("/v1/blocks") => json!({"blocks": [block(), batch]}),
            requests if requests.contains("/v1/requests") => json!({"requests": [request()]}),
            other => panic!("{other}"),
        };
        (200, body)
    })
}

#[test]
fn the_texts_about_sessions_and_access_are_what_is_written() {
    let service = service();
    for (name, line) in [
        ("sessions_list", &["sessions", "list"][..]),
        ("sessions_show", &["sessions", "show", ID]),
        ("blocks_list", &["blocks", "list"]),
        ("why_session", &["why", ID]),
        ("access_list", &["access", "list"]),
        ("access_show", &["access", "show", "019abc7e64ce"]),
    ] {
        let ended = service.run(line);
        assert_eq!(ended.code, Some(0), "{name}: {}", ended.stderr);
        compare(name, &ended.stdout);
    }
}

#[test]
fn events_are_lines_of_one_kind() {
    let about = |event: &str, more: Value| {
        let mut members = json!({"session": ID, "issuer": "https://id.example.com", "subject": "anna", "client_id": "web", "at": "then"});
        members.as_object_mut().expect("an object").extend(more.as_object().expect("members").clone());
        format!("event: {event}\ndata: {members}\n\n")
    };
    let events = [
        about("opened", json!({"access": "interactive", "by": "first_use", "scopes": ["orders:read"]})),
        about("login", json!({})),
        about(
            "refused",
            json!({"outcome": "step_up_required", "route": "orders.refund", "step_up": "acr", "wanted": "aal2", "had": "aal1"}),
        ),
        about(
            "refused",
            json!({"outcome": "condition_failed", "route": "admin.keys", "condition": "from-home", "stated_reason": "not from abroad"}),
        ),
        about(
            "scopes_narrowed",
            json!({"remove": ["orders:write"], "removed": ["orders:write"], "by": "admin", "admin": "ben"}),
        ),
        about(
            "approval_requested",
            json!({"request": "019abc7e64ce", "requester": "rita", "scopes": ["prod:admin"], "stated_reason": "4711"}),
        ),
        about("grant_ended", json!({"request": "019abc7e64ce", "scopes": ["prod:admin"], "reason": "expired"})),
        about("anomaly", json!({"anomaly": "new_place", "country": "CH", "before": "DE"})),
        about("ended", json!({"reason": "revoked", "by": "admin", "admin": "ben"})),
        "event: lagged\ndata: {\"missed\": 3}\n\n".to_owned(),
    ];
    let url = format!("http://{}", serving(answer(200, "text/event-stream", &events.concat()), Some));
    compare("events", &(first_lines(events.len(), &url, &["events"]) + "\n"));
}

/// Nobody listens at this address.
const NOWHERE: &str = "http://127.0.0.1:9";

#[test]
fn a_line_is_explained_without_the_service_too() {
    let field = format!("code=session_revoked route=orders.list session={ID} client=web stream=cut");
    let mut command = portcullis();
    command.args(["why", &field, "--url", NOWHERE]).env("PORTCULLIS_ADMIN_CREDENTIAL", "secret");
    let output = command.output().expect("the program runs");
    assert!(output.status.success(), "{}", stderr(&output));
    compare("why_without_service", &String::from_utf8_lossy(&output.stdout));

    let mut command = portcullis();
    command.args(["why", ID, "--url", NOWHERE]).env("PORTCULLIS_ADMIN_CREDENTIAL", "secret");
    let output = command.output().expect("the program runs");
    assert_eq!(output.status.code(), Some(1));
    let said = stderr(&output);
    assert!(said.starts_with("error: the session service could not be asked: "), "{said}");
    assert!(said.trim_end().ends_with("a line of the access log can be explained without it"), "{said}");
}

#[test]
fn a_shadow_report_is_what_is_written() {
    let folder = tempfile::tempdir().expect("a folder");
    let log = folder.path().join("access.log");
    let lines = [
        "code=ok route=orders.change session=-",
        "code=shadow:insufficient_scope route=orders.change session=- client=web missing=orders:write",
        "code=shadow:insufficient_scope route=orders.change session=- client=web missing=orders:write",
        "code=shadow:no_credentials route=orders.list session=-",
    ];
    fs::write(&log, lines.join("\n")).expect("a file");
    let output = portcullis().args(["shadow", "report"]).arg(&log).output().expect("the program runs");
    assert!(output.status.success(), "{}", stderr(&output));
    compare("shadow_report", &String::from_utf8_lossy(&output.stdout));
}
