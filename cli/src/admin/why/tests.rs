//! What the explanations say, word for word.

use super::{
    explanation::{Answered, Explanation, Known},
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
    let mut known = Known { session: Some(session), history, answered: Answered::Shown, ..known };
    known.set_blocks(view.get("blocks").and_then(Value::as_array).cloned().unwrap_or_default());
    Known { view: Some(view), ..known }
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
  Give back `orders:write`, if the reason for taking it has passed: the same
  token is then enough.

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
            "taken by an administrator from the subject with this client\n",
            "sessions restore 5d41402abc4b2a76b9719d911017c592 --scope orders:write",
        ),
        (insufficient("orders:write"), "missing  `orders:write`\n", "sessions show 5d41402abc4b2a76b9719d911017c592"),
        (
            insufficient("a,b%20c|d+e"),
            "`a` and (`b c` or (`d` and `e`))",
            "a token with `a`, and one of `b c` or (`d` and `e`), unless",
        ),
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
    assert!(text.ends_with("opens the session again with a later login.\n"), "nothing to paste helps: {text}");
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
        assert!(!text.contains("METHOD"), "a command with gaps cannot be pasted: {text}");
    }
    let line = r#"{"method":"GET","host":"api.example.com","path":"/a;b'c","p":"code=no_route route=- session=-"}"#;
    assert_eq!(commands(known(line)), [r"portcullis policy explain policy.yaml GET 'api.example.com/a;b'\''c'"]);
    let line = line.replace("no_route", "invalid_token reason=audience");
    let with_token = Known { policy_file: Some("own.yaml".to_owned()), ..known(&line) };
    let expected = r"portcullis policy explain own.yaml GET 'api.example.com/a;b'\''c' --token @token.txt";
    assert_eq!(commands(with_token), [expected]);
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

#[test]
fn a_block_is_named_with_its_maker_and_reason_and_the_command_that_lifts_it() {
    let blocks = json!([{"id": "687e64ce5abca157", "issuer": "https://id.example.com", "subject": "anna",
        "made_at": "2026-11-26T09:58:00Z", "reason": "ticket 4711"}]);
    let view = || session(json!({"blocked": true, "blocks": blocks, "scopes": ["orders:read", "orders:write"]}));
    let opened = json!([{"event": "opened", "access": "interactive", "at": "2026-11-26T09:00:00Z"}]);
    let expected = "\
the session is blocked; each request is answered blocked (403): The access of this user or client is suspended

session  5d41402abc4b2a76b9719d911017c592
state    active
subject  anna
client   web
access   interactive
blocked  subject `anna`, since 2026-11-26 09:58:00Z (2m ago), until it is lifted, by an administrator: ticket 4711

history
  2026-11-26 09:00:00Z  opened           (interactive)
  2026-11-26 09:58:00Z  blocked          subject `anna` (ticket 4711)

what to do
  Neither a new token nor a new login helps while the block is in force. Lift it
  if its reason no longer applies: the session then continues as before, and
  streams that it has cut must be opened again.

    portcullis blocks delete 687e64ce5abca157
";
    let title = Code::Blocked.title();
    let expected = expected.replace("The access of this user or client is suspended", title);
    assert_eq!(shown(asked(Known::default(), view(), opened)), expected);
    let line = || known(&format!("code=blocked route=x session={ID} client=web"));
    let text = shown(asked(line(), view(), json!([])));
    assert!(text.starts_with("refused: blocked (403)") && text.contains("blocked  subject `anna`, since"), "{text}");
    assert!(text.ends_with("\n    portcullis blocks delete 687e64ce5abca157\n"), "{text}");
    let lifted = shown(asked(line(), session(json!({})), json!([])));
    assert!(lifted.contains("no longer in force") && !lifted.contains("portcullis blocks"), "{lifted}");
    let unasked = shown(line());
    assert!(unasked.ends_with("\n    portcullis blocks list\n"), "{unasked}");
}

#[test]
fn a_revocation_that_a_later_login_has_left_behind_is_not_called_the_state_of_the_session() {
    let events = json!([
        {"event": "session_revoked", "stated_reason": "lost laptop", "at": "2026-11-26T09:30:00Z"},
        {"event": "ended", "reason": "revoked", "at": "2026-11-26T09:30:01Z"},
        {"event": "opened", "access": "interactive", "at": "2026-11-26T09:40:00Z"},
    ]);
    let again = || session(json!({"scopes": ["orders:read", "orders:write"], "opened_at": "2026-11-26T09:40:00Z"}));
    let text = shown(asked(Known::default(), again(), events.clone()));
    assert!(!text.contains("\nrevoked"), "{text}");
    assert!(text.contains("opened           (interactive), anew by a later login or token\n"), "{text}");
    // A refusal from before is explained by it all the same.
    let line = known(&format!("code=session_revoked route=x session={ID} client=web"));
    let text = shown(asked(line, again(), events));
    assert!(
        text.contains("\nrevoked       by an administrator, 2026-11-26 09:30:00Z (30m ago): lost laptop\n"),
        "{text}"
    );
    assert!(text.contains("\nopened again  2026-11-26 09:40:00Z (20m ago)\n"), "{text}");
    assert!(text.contains("opened the session again since"), "{text}");
}

#[test]
fn a_condition_that_refused_is_named_with_its_reason() {
    let line = |more: &str| known(&format!("code=condition_failed route=x session={ID} client=web{more}"));
    let text = shown(line(" condition=office-only why=only%20from%20the%20office"));
    assert!(text.contains("\ncondition ") && text.contains("office-only: only from the office"), "{text}");
    let text = shown(line(" condition=office-only")).replace("\n  ", " ");
    assert!(
        text.contains("The condition `office-only` of the session service refused, and gives no reason."),
        "{text}"
    );
    assert!(shown(line("")).replace("\n  ", " ").contains("the access log names it (`condition=`)"));
}

#[test]
fn a_step_up_says_what_asked_for_it_with_what_is_wanted_and_what_there_is() {
    let line = |more: &str| known(&format!("code=step_up_required route=x session={ID} client=web{more}"));
    let view = session(json!({"attributes": [{"name": "acr", "value": "aal1", "source": "okta", "set_at": "then"}]}));
    let event = |more: Value| {
        let mut event =
            json!({"event": "refused", "outcome": "step_up_required", "route": "x", "at": "2026-11-26T09:59:00Z"});
        if let (Some(event), Value::Object(more)) = (event.as_object_mut(), more) {
            event.extend(more);
        }
        json!([event])
    };
    let by_acr = event(json!({"step_up": "acr", "wanted": "aal2 aal3", "had": "aal1"}));
    let by_age = event(json!({"step_up": "max_age", "wanted": "900", "had": "2026-11-26T09:00:00Z"}));
    for (known, row, advice) in [
        (
            line(" step_up=acr wanted=aal2 had=aal1"),
            "`acr`: the route accepts `aal2`; the token has `aal1`",
            "`acr_values`",
        ),
        (line(" step_up=acr wanted=aal2 had="), "the token has none", "does not put the `acr`"),
        (
            line(" step_up=max_age wanted=900 had=1795683600"),
            "`max_age`: the route accepts a login at most 15m old; that of the token was 2026-11-26 09:00:00Z (1h ago)",
            "a refreshed token is not a login",
        ),
        (
            asked(line(""), view, by_acr),
            "the route accepts `aal2` or `aal3`; an attribute makes the login count as `aal1`, set by a signal of `okta`",
            "portcullis attributes list --session 5d41402abc4b2a76b9719d911017c592",
        ),
        (
            asked(Known::default(), session(json!({"scopes": ["orders:read", "orders:write"]})), by_age),
            "that of the session was 2026-11-26 09:00:00Z (1h ago)",
            "the `max_age` of the challenge",
        ),
    ] {
        let text = shown(known);
        let paragraph = text.replace("\n  ", " ");
        assert!(text.contains("\nstep-up ") && text.contains(row) && paragraph.contains(advice), "{row}: {text}");
    }
    assert!(!shown(line("")).contains("step-up"), "it is not known");
}

#[test]
fn a_stream_that_was_cut_is_not_called_a_refused_request() {
    let text = shown(known(&format!("code=session_revoked route=x session={ID} client=web stream=cut")));
    let first = text.lines().next().unwrap_or_default();
    assert_eq!(
        first,
        format!("released, then cut as an open stream: session_revoked: {}", Code::SessionRevoked.title())
    );
    assert_eq!(Explanation::of(known("code=blocked route=x session=- stream=cut")).json()["decision"], "cut");
}

#[test]
fn one_entry_of_any_of_is_enough_whatever_each_of_them_lacks() {
    let narrowings = json!([{"client_id": "web", "removed": ["b", "c"]}]);
    let view = session(json!({"granted": ["b", "c"], "scopes": [], "narrowings": narrowings}));
    let known = asked(insufficient("a|b|c"), view, json!([]));
    let commands: Vec<_> =
        Explanation::of(known).advice.commands.iter().map(|command| command.text().to_owned()).collect();
    assert_eq!(commands, ["portcullis sessions restore 5d41402abc4b2a76b9719d911017c592 --scope b"], "and not `c` too");
    let view = session(
        json!({"granted": ["b", "c"], "scopes": [], "narrowings": [{"client_id": "web", "removed": ["b", "c"]}]}),
    );
    let text = shown(asked(insufficient("a|b|c"), view, json!([]))).replace("\n  ", " ");
    assert!(text.contains("One of these is enough. Give back one of `b` or `c`, if"), "{text}");
    assert!(text.contains("The client must request `a` when the person logs in"), "{text}");
}

#[test]
fn a_session_that_is_not_known_is_told_apart_from_one_of_somebody_else() {
    let line = || known(&format!("code=session_unknown route=x session={ID} client=web"));
    let unseen = shown(Known { answered: Answered::Unseen, ..line() }).replace("\n  ", " ");
    assert!(unseen.contains("No session was open") && unseen.contains("`enrolment: explicit`"), "{unseen}");
    let open = shown(asked(line(), session(json!({})), json!([]))).replace("\n  ", " ");
    assert!(open.contains("it is `anna`'s") && open.contains("names another subject"), "{open}");
    let refused =
        json!([{"event": "refused", "outcome": "unknown_session", "route": "x", "at": "2026-11-26T09:00:00Z"}]);
    let history = History::of(json!({"events": refused, "held_since": "2026-11-26T08:00:00Z"}));
    let text = shown(Known { answered: Answered::Unseen, history, ..Known::default() });
    assert!(text.starts_with("the session is not known; the last refusal: session_unknown (401)"), "{text}");
}
