//! What the explanations say, word for word.

use super::{
    explanation::{Explanation, Known},
    given::Given,
    reason, text,
};
use crate::admin::history::History;
use jiff::Timestamp;
use portcullis_engine::{answer::Code, token::Reason};
use serde_json::{Value, json};

const ID: &str = "5d41402abc4b2a76b9719d911017c592";

fn now() -> Timestamp {
    "2026-11-26T10:00:00Z".parse().expect("an instant")
}

fn known(line: &str) -> Known {
    match Given::read(line, None) {
        Ok(Given::Decision(logged)) => Known { logged: Some(*logged), ..Known::default() },
        other => panic!("{other:?}"),
    }
}

fn session(more: Value) -> Value {
    let mut session = json!({
        "id": ID, "issuer": "https://id.example.com", "key": "s-1", "subject": "anna", "client_id": "web",
        "access": "interactive", "state": "active", "scopes": ["orders:read"],
        "granted": ["orders:read", "orders:write"], "opened_at": "2026-11-26T09:00:00Z",
    });
    if let (Some(session), Value::Object(more)) = (session.as_object_mut(), more) {
        session.extend(more);
    }
    session
}

fn asked(known: Known, view: Value, events: Value) -> Known {
    let session = serde_json::from_value(view.clone()).expect("a session");
    let history = History::of(json!({"events": events, "held_since": "2026-11-26T08:00:00Z"}));
    Known { session: Some(session), view: Some(view), history, ..known }
}

/// The explanation as it is printed, without colours.
fn shown(known: Known) -> String {
    let shown = text::text(&Explanation::of(known), now());
    anstream::adapter::strip_str(&shown).to_string()
}

fn commands(known: Known) -> Vec<String> {
    Explanation::of(known).advice.commands.iter().map(|command| command.text().to_owned()).collect()
}

fn insufficient(missing: &str) -> Known {
    known(&format!("code=insufficient_scope route=orders.change session={ID} client=web missing={missing}"))
}

#[test]
fn a_scope_that_was_taken_is_explained_with_when_and_why_and_how_to_give_it_back() {
    let narrowings = json!([{"issuer": "https://id.example.com", "subject": "anna", "removed": ["orders:write"],
        "made_at": "2026-11-26T09:58:00Z", "reason": "ticket 4711"}]);
    let events = json!([
        {"event": "opened", "access": "interactive", "at": "2026-11-26T09:00:00Z"},
        {"event": "scopes_narrowed", "remove": ["orders:write"], "stated_reason": "ticket 4711", "at": "2026-11-26T09:58:00Z"},
    ]);
    let line = format!(
        r#"{{"method":"PUT","host":"api.example.com","path":"/orders/7","portcullis":"code=insufficient_scope route=orders.change session={ID} client=web missing=orders:write"}}"#
    );
    let known = asked(known(&line), session(json!({"narrowings": narrowings})), events);
    let known = Known { requires: Some("`orders:write`".to_owned()), ..known };
    let expected = "\
refused: insufficient_scope (403): A required scope is missing

request   PUT api.example.com/orders/7
route     orders.change
requires  `orders:write`
session   5d41402abc4b2a76b9719d911017c592
state     active
subject   anna
client    web
access    interactive
missing   `orders:write`: taken by an administrator from the subject with every client, 2026-11-26 09:58:00Z (2m ago): ticket 4711

history
  2026-11-26 09:00:00Z  opened           (interactive)
  2026-11-26 09:58:00Z  scopes_narrowed  taken: orders:write (ticket 4711)

what to do
  Give back what was taken, if the reason for that has passed: the same token is
  then enough.

    portcullis sessions restore --issuer https://id.example.com --subject anna --scope orders:write
";
    assert_eq!(shown(known), expected);
}

#[test]
fn each_cause_of_a_missing_scope_has_its_own_advice() {
    let restored = json!([{"event": "scopes_restored", "restore": ["orders:write"], "at": "2026-11-26T09:59:00Z"}]);
    let whole = || session(json!({"scopes": ["orders:read", "orders:write"]}));
    let own = json!([{"client_id": "web", "removed": ["orders:write"]}]);
    for (known, cause, advice) in [
        (asked(insufficient("admin"), session(json!({})), json!([])), "never granted it", "when the person logs in"),
        (asked(insufficient("orders:write"), whole(), json!([])), "the token did not", "request a token with"),
        (asked(insufficient("orders:write"), whole(), restored), "was given back", "try again"),
        (
            asked(insufficient("orders:write"), session(json!({"narrowings": own})), json!([])),
            "taken by an administrator from this party\n",
            "sessions restore 5d41402abc4b2a76b9719d911017c592 --scope orders:write",
        ),
        (insufficient("orders:write"), "missing  `orders:write`\n", "sessions show 5d41402abc4b2a76b9719d911017c592"),
        (insufficient("a,b%20c|d+e"), "`a` and (`b c` or (`d` and `e`))", "`a`, `b c`, `d`"),
    ] {
        let shown = shown(known);
        assert!(shown.contains(cause) && shown.replace("\n  ", " ").contains(advice), "{cause}: {shown}");
    }
    // What was cut is not taken for a scope.
    let long = shown(asked(insufficient("admin,orders:wr*"), session(json!({})), json!([])));
    assert!(long.contains("`admin`") && !long.contains("orders:wr"), "{long}");
}

#[test]
fn an_escalation_names_what_is_beyond_the_grant() {
    let events = json!([
        {"event": "refused", "outcome": "scope_escalation", "route": "other", "beyond_grant": ["x"], "at": "2026-11-26T09:00:00Z"},
        {"event": "refused", "outcome": "scope_escalation", "route": "orders.list", "beyond_grant": ["admin"], "at": "2026-11-26T09:01:00Z"},
        {"event": "refused", "outcome": "step_up_required", "route": "orders.list", "at": "2026-11-26T09:02:00Z"},
    ]);
    let line = |route: &str| known(&format!("code=scope_escalation route={route} session={ID} client=web"));
    for (route, beyond) in [("orders.list", "admin"), ("other", "x"), ("third", "admin")] {
        let shown = shown(asked(line(route), session(json!({})), events.clone()));
        assert!(shown.contains(&format!("\nbeyond grant  `{beyond}`\n")), "{route}: {shown}");
    }
}

#[test]
fn a_revocation_is_explained_with_who_and_why() {
    let ended = || session(json!({"state": "ended", "reason": "revoked", "ended_at": "2026-11-26T09:30:00Z"}));
    let line = || known(&format!("code=session_revoked route=orders.list session={ID} client=web"));
    let by_admin = json!([{"event": "session_revoked", "stated_reason": "lost laptop", "by": "admin", "at": "2026-11-26T09:30:00Z"}]);
    let text = shown(asked(line(), ended(), by_admin));
    assert!(text.contains("state    ended: revoked, 2026-11-26 09:30:00Z (30m ago)\n"), "{text}");
    assert!(text.contains("revoked  by an administrator, 2026-11-26 09:30:00Z (30m ago): lost laptop\n"), "{text}");
    assert!(text.ends_with("\n    portcullis sessions list --subject anna\n"), "{text}");
    let revocation = json!({"id": "ab12", "subject": "anna", "made_at": "2026-11-26T09:30:00Z", "reason": "left"});
    let of_party = Known { revocation: Some(revocation), ..asked(line(), ended(), json!([])) };
    let text = shown(of_party);
    assert!(text.contains("revoked  with subject `anna`, 2026-11-26 09:30:00Z (30m ago): left\n"), "{text}");
    assert!(text.ends_with("\n    portcullis revocations delete ab12\n"), "{text}");
    let others = json!({"id": "ab12", "subject": "anna", "except_sid": "s-2", "made_at": "2026-11-26T09:30:00Z"});
    let of_others = Known { revocation: Some(others), ..asked(line(), ended(), json!([])) };
    let text = shown(of_others);
    assert!(text.contains("revoked  with subject `anna` except sid `s-2`, 2026-11-26 09:30:00Z (30m ago)\n"), "{text}");
}

#[test]
fn a_session_is_explained_by_its_state_and_else_by_its_last_refusal() {
    let of = |view: Value, events: Value| shown(asked(Known::default(), view, events));
    let narrowed = session(json!({"narrowings": [{"client_id": "web", "removed": ["orders:write"]}]}));
    let whole = || session(json!({"scopes": ["orders:read", "orders:write"]}));
    let ended = session(json!({"state": "ended", "reason": "idle_timeout", "ended_at": "2026-11-26T09:30:00Z"}));
    let refused =
        json!([{"event": "refused", "outcome": "step_up_required", "route": "x", "at": "2026-11-26T09:00:00Z"}]);
    for (shown, first) in [
        (of(narrowed, json!([])), "the session is active, but scopes are taken from it"),
        (of(whole(), json!([])), "the session is active, and no refusal in it is known"),
        (of(ended, json!([])), "the session has ended: session_idle_timeout"),
        (
            of(whole(), refused),
            "the session is active; the last refusal in it: step_up_required (401): A stronger or more recent authentication is required",
        ),
    ] {
        assert_eq!(shown.lines().next(), Some(first), "{shown}");
    }
}

#[test]
fn every_code_has_something_to_do_within_two_sentences_and_80_columns() {
    for code in Code::ALL {
        let text = shown(known(&format!("code={} route=x session=-", code.name())));
        let (_, advice) = text.split_once("what to do\n").expect("what to do");
        assert!(advice.len() > 40, "{text}");
        let sentences = advice.replace('\n', " ").matches(". ").count();
        assert!(sentences <= 3, "{advice}");
        // The first line holds a code and its title, and a command is not broken.
        let prose = text.lines().skip(1).filter(|line| !line.starts_with("    "));
        assert!(prose.map(|line| line.chars().count()).all(|width| width <= 80), "{text}");
        assert!(text.starts_with(&format!("refused: {} ({})", code.name(), code.status())), "{text}");
    }
}

#[test]
fn every_reason_of_a_token_is_explained() {
    for token in Reason::ALL {
        let text = shown(known(&format!("code=invalid_token reason={} route=x session=-", token.name())));
        assert!(text.contains(&format!("reason  {}: {}\n", token.name(), reason::meaning(token))), "{text}");
        assert!(text.contains("portcullis policy explain policy.yaml METHOD URL --token @token.txt"), "{text}");
    }
    let line = r#"{"method":"GET","host":"api.example.com","path":"/a;b'c","p":"code=no_route route=- session=-"}"#;
    assert_eq!(commands(known(line)), [r"portcullis policy explain policy.yaml GET 'api.example.com/a;b'\''c'"]);
}

#[test]
fn what_was_released_is_said_too() {
    for (line, first) in [
        ("code=ok route=x session=-", "released: ok"),
        ("code=outage:grace route=x session=-", "released without a verdict: grace"),
        (
            "code=shadow:no_credentials route=x session=-",
            "released in shadow mode; else refused: no_credentials (401): An access token is required",
        ),
        ("code=new_code route=x session=-", "refused: new_code"),
    ] {
        assert_eq!(shown(known(line)).lines().next(), Some(first));
    }
}

#[test]
fn nothing_from_a_log_or_the_service_reaches_the_terminal_as_a_command() {
    let hostile = "\u{1b}]0;x\u{7}\n\u{202e}";
    let view = session(json!({"subject": hostile, "client_id": hostile, "access": hostile, "state": hostile,
        "reason": hostile, "ended_at": hostile, "granted": [hostile], "issuer": hostile,
        "narrowings": [{"removed": [hostile], "made_at": hostile, "reason": hostile}]}));
    let events = json!([{"event": "session_revoked", "stated_reason": hostile, "at": hostile}]);
    let revocation = json!({"id": hostile, "subject": hostile, "made_at": hostile, "reason": hostile});
    let line = json!({"method": hostile, "host": hostile, "path": hostile,
        "p": format!("code=insufficient_scope route=a\u{1b}b session={ID} client=%1B missing=%1B%0A")});
    let known = Known { requires: Some(hostile.to_owned()), ..known(&line.to_string()) };
    for known in [
        asked(known, view.clone(), events.clone()),
        Known { revocation: Some(revocation), ..asked(Known::default(), view, events) },
    ] {
        let shown = shown(known);
        assert!(!shown.contains(|c: char| (c.is_control() && c != '\n') || c == '\u{202e}'), "{shown:?}");
    }
}
