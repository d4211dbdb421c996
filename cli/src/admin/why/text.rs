//! An explanation as text, with the decision first and what to do last.

use super::{
    explanation::{Explanation, MissingScope, Verdict},
    reason,
    session::{Cause, Session},
};
use crate::{
    access_log::Missing,
    admin::{blocks, history::History, plain::plain, table::columns, when},
    policy::{Alternative, describe},
};
use anstyle::{AnsiColor, Style};
use jiff::Timestamp;
use portcullis_engine::answer::Code;
use serde_json::Value;

const BOLD: Style = Style::new().bold();
/// The width of what to do.
const WIDTH: usize = 80;

pub(super) fn text(explanation: &Explanation, now: Timestamp) -> String {
    let rows = rows(explanation, now);
    let table = columns(rows.into_iter().map(|(name, value)| vec![name.to_owned(), value]));
    let events = explanation.known.history.text(now);
    let history = if events.is_empty() { String::new() } else { format!("\n{BOLD}history{BOLD:#}\n{events}") };
    let notes: String = explanation.known.notes.iter().map(|note| wrapped(note, "note: ")).collect();
    let notes = if notes.is_empty() { notes } else { format!("\n{notes}") };
    let commands: String =
        explanation.advice.commands.iter().map(|command| format!("\n    {}", command.text())).collect();
    let commands = if commands.is_empty() { commands } else { commands + "\n" };
    let advice = wrapped(&explanation.advice.text, "  ");
    format!("{}\n\n{table}{history}{notes}\n{BOLD}what to do{BOLD:#}\n{advice}{commands}", headline(explanation))
}

fn headline(explanation: &Explanation) -> String {
    let code = explanation.code.as_deref().map(plain).unwrap_or_default();
    let title = explanation.refusal.map(|code| format!(" ({}): {}", code.status(), code.title())).unwrap_or_default();
    let (colour, words) = match explanation.verdict {
        Verdict::Released => (AnsiColor::Green, format!("released: {code}")),
        Verdict::Outage => (AnsiColor::Yellow, format!("released without a verdict: {code}")),
        Verdict::Shadow => (AnsiColor::Yellow, format!("released in shadow mode; else refused: {code}{title}")),
        Verdict::Refused => (AnsiColor::Red, format!("refused: {code}{title}")),
        // The client has its response, and with it another status.
        Verdict::Cut => {
            let title = explanation.refusal.map(|code| format!(": {}", code.title())).unwrap_or_default();
            (AnsiColor::Red, format!("released, then cut as an open stream: {code}{title}"))
        }
        Verdict::Session => match &explanation.known.session {
            _ if !explanation.known.blocks.is_empty() => {
                (AnsiColor::Red, format!("the session is blocked; each request is answered {code}{title}"))
            }
            None if explanation.refusal.is_some() => {
                (AnsiColor::Yellow, format!("the session is not known; the last refusal: {code}{title}"))
            }
            None => (AnsiColor::Yellow, "the session is not known".to_owned()),
            Some(session) if session.has_ended() => (AnsiColor::Red, format!("the session has ended: {code}")),
            _ if !explanation.missing.is_empty() => {
                (AnsiColor::Yellow, "the session is active, but scopes are taken from it".to_owned())
            }
            _ if explanation.refusal.is_some() => {
                (AnsiColor::Yellow, format!("the session is active; the last refusal in it: {code}{title}"))
            }
            _ => (AnsiColor::Green, "the session is active, and no refusal in it is known".to_owned()),
        },
    };
    let style = Style::new().bold().fg_color(Some(colour.into()));
    format!("{style}{words}{style:#}")
}

fn rows(explanation: &Explanation, now: Timestamp) -> Vec<(&'static str, String)> {
    let known = &explanation.known;
    let mut rows = Vec::new();
    if let Some(logged) = &known.logged {
        let decision = &logged.decision;
        let request = &logged.request;
        let parts =
            [&request.method, &request.host, &request.path].map(|part| part.as_deref().map(plain).unwrap_or_default());
        let [method, host, path] = &parts;
        if parts.iter().any(|part| !part.is_empty()) {
            rows.push(("request", format!("{method} {host}{path}").trim().to_owned()));
        }
        rows.push(("route", decision.route.as_deref().map_or_else(|| "none".into(), plain).into_owned()));
    }
    if let Some(requires) = &known.requires {
        rows.push(("requires", plain(requires).into_owned()));
    }
    if let Some(reason) = explanation.reason {
        rows.push(("reason", format!("{}: {}", reason.name(), reason::meaning(reason))));
    }
    let decision = known.logged.as_ref().map(|logged| &logged.decision);
    match (&known.session, decision.and_then(|decision| decision.session.as_deref())) {
        (Some(session), _) => rows.extend(session_rows(session, now)),
        (None, Some(id)) => rows.push(("session", plain(id).into_owned())),
        (None, None) => {}
    }
    if let (None, Some(client)) = (&known.session, decision.and_then(|decision| decision.client.as_deref())) {
        rows.push(("client", plain(client).into_owned()));
    }
    if let Some(requirement) = explanation.requirement.as_ref().filter(|of| !of.any_of.is_empty()) {
        rows.push(("missing", words(requirement)));
    }
    for missing in &explanation.missing {
        let name = if rows.iter().any(|(name, _)| *name == "missing") { "" } else { "missing" };
        rows.push((name, missing_scope(missing, now)));
    }
    if !explanation.beyond_grant.is_empty() {
        let scopes: Vec<_> = explanation.beyond_grant.iter().map(|scope| format!("`{}`", plain(scope))).collect();
        rows.push(("beyond grant", scopes.join(", ")));
    }
    if let Some(condition) = explanation.condition() {
        let reason = condition.reason.as_deref().map(|reason| format!(": {}", plain(reason)));
        rows.push(("condition", format!("{}{}", plain(&condition.id), reason.unwrap_or_default())));
    }
    if let Some(step_up) = &explanation.step_up {
        rows.push(("step-up", step_up.words(now)));
    }
    rows.extend(known.blocks.iter().map(|block| ("blocked", blocks::words(block, now))));
    // A session that has opened again since is not revoked: what revoked it explains a refusal from before, and nothing else.
    let has_ended = known.session.as_ref().is_none_or(Session::has_ended);
    if has_ended || explanation.refusal == Some(Code::SessionRevoked) {
        rows.extend(revoked(known.revocation.as_ref(), &known.history, now));
    }
    if let Some(session) = known.session.as_ref().filter(|_| !has_ended)
        && explanation.refusal == Some(Code::SessionRevoked)
        && !session.opened_at.is_empty()
    {
        rows.push(("opened again", when::both(&session.opened_at, now)));
    }
    rows
}

fn session_rows(session: &Session, now: Timestamp) -> Vec<(&'static str, String)> {
    let text = |text: &str| plain(text).into_owned();
    let ended = session.ended_at.as_deref().map(|at| format!(", {}", when::ended(at, now))).unwrap_or_default();
    let state = match &session.reason {
        Some(reason) => format!("{}: {}{ended}", plain(&session.state), plain(reason)),
        None => text(&session.state),
    };
    vec![
        ("session", text(&session.id)),
        ("state", state),
        ("subject", text(&session.subject)),
        ("client", text(&session.client_id)),
        ("access", text(&session.access)),
    ]
}

fn missing_scope(missing: &MissingScope, now: Timestamp) -> String {
    let scope = plain(&missing.scope);
    let at = |at: &Option<String>| at.as_deref().map(|at| format!(", {}", when::both(at, now))).unwrap_or_default();
    let cause = match &missing.cause {
        Cause::Narrowed { made_at, reason, every_client } => {
            let whose =
                if *every_client { "from the subject with every client" } else { "from the subject with this client" };
            let why = reason.as_deref().map(|why| format!(": {}", plain(why))).unwrap_or_default();
            format!("taken by an administrator {whose}{}{why}", at(made_at))
        }
        Cause::Signalled { transmitter } => format!("taken by a signal of {}", plain(transmitter)),
        Cause::Restored { at: restored } => format!("was taken, and was given back{}", at(&Some(restored.clone()))),
        Cause::NotGranted => "the session was never granted it".to_owned(),
        Cause::NotInToken => "the session has it, the token did not".to_owned(),
        Cause::Unknown => return format!("`{scope}`"),
    };
    format!("`{scope}`: {cause}")
}

/// Why a session was revoked, if that is known.
fn revoked(revocation: Option<&Value>, history: &History, now: Timestamp) -> Option<(&'static str, String)> {
    if let Some(revocation) = revocation {
        let text = |key: &str| revocation.get(key).and_then(Value::as_str);
        let party = ["subject", "client_id", "sid"].iter().find_map(|key| Some((*key, text(key)?)));
        let except = match text("except_sid") {
            Some(sid) => format!(" except sid `{}`", plain(sid)),
            None if revocation["without_sid"] == true => " without a session claim".to_owned(),
            None => String::new(),
        };
        let party = match party {
            Some((key, value)) => format!("{} `{}`{except}", key.trim_end_matches("_id"), plain(value)),
            None => "the whole issuer".to_owned(),
        };
        let made = text("made_at").map(|at| format!(", {}", when::both(at, now))).unwrap_or_default();
        let why =
            text("reason").filter(|why| !why.is_empty()).map(|why| format!(": {}", plain(why))).unwrap_or_default();
        return Some(("revoked", format!("with {party}{made}{why}")));
    }
    let event = history.latest("session_revoked", |_| true)?;
    let why = event.get("stated_reason").and_then(Value::as_str);
    let at = event.get("at").and_then(Value::as_str).map(|at| when::both(at, now)).unwrap_or_default();
    Some((
        "revoked",
        format!("by an administrator, {at}{}", why.map(|why| format!(": {}", plain(why))).unwrap_or_default()),
    ))
}

fn words(missing: &Missing) -> String {
    let any: Vec<_> = missing
        .any_of
        .iter()
        .map(|group| Alternative { set: None, scopes: group.iter().map(|scope| plain(scope)).collect() })
        .collect();
    describe(missing.all_of.iter().map(|scope| plain(scope)), &any)
}

/// A paragraph within the width, behind `first` on its first line and as many spaces on the others.
fn wrapped(text: &str, first: &str) -> String {
    let indent = " ".repeat(first.len());
    let (mut lines, mut line) = (String::new(), first.to_owned());
    let mut is_empty = true;
    for word in text.split(' ') {
        if !is_empty && line.chars().count() + 1 + word.chars().count() > WIDTH {
            lines += &line;
            lines.push('\n');
            line.clone_from(&indent);
            is_empty = true;
        }
        if !is_empty {
            line.push(' ');
        }
        line += word;
        is_empty = false;
    }
    lines + &line + "\n"
}
