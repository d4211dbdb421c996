//! An explanation as text, with the decision first.

use super::{
    candidates::{Candidate, Fit, Route},
    explanation::{Conclusion, Explanation, Reply, Says, SessionLimits, Token, UpstreamToken, Vouched},
};
use anstyle::{AnsiColor, Style};
use std::time::Duration;

/// The width of the first column.
const COLUMN: usize = 12;

/// What is said of a token whose logins nothing tells apart.
const UNDATED: &str = "it has neither a session claim nor auth_time: the session service refuses it (401 invalid_token), \
                       unless its undated_logins says otherwise";

/// What is said of a token whose `auth_time` is no date.
const UNREADABLE: &str =
    "its auth_time is not a number of seconds, and counts as absent: routes with max_age refuse it";

const BOLD: Style = Style::new().bold();
const DIM: Style = Style::new().dimmed();

pub(super) fn text(explanation: &Explanation) -> String {
    let mut lines = vec![headline(explanation)];
    if explanation.shadow {
        lines.push(format!("{BOLD}This route is in shadow mode: a refused request is released nevertheless.{BOLD:#}"));
    }
    lines.push(String::new());
    rows(explanation, &mut lines);
    if let Some(reply) = &explanation.answer {
        lines.extend([String::new(), format!("{BOLD}Response to the client{BOLD:#}")]);
        lines.extend(answer(reply).into_iter().map(|line| format!("  {line}")));
    }
    if !explanation.others.is_empty() {
        lines.extend([String::new(), format!("{BOLD}Similar routes{BOLD:#}")]);
        let width = explanation.others.iter().map(|other| other.route.name.chars().count()).max().unwrap_or_default();
        lines.extend(explanation.others.iter().map(|other| other_rule(other, width)));
        if explanation.others_more > 0 {
            lines.push(format!("  {DIM}and {} more{DIM:#}", explanation.others_more));
        }
    }
    lines.join("\n")
}

fn headline(explanation: &Explanation) -> String {
    let (colour, words) = match (explanation.decision, explanation.code, &explanation.answer) {
        (Conclusion::Released, ..) => (AnsiColor::Green, "released, without asking the session service".to_owned()),
        (Conclusion::Asks, ..) => {
            (AnsiColor::Cyan, "released, if the session service reports an active session".to_owned())
        }
        (Conclusion::Refused, code, Some(Reply::Grpc { status, name, .. })) => {
            (AnsiColor::Red, format!("refused: {} (gRPC {status} {name})", code.unwrap_or_default()))
        }
        (Conclusion::Refused, code, Some(Reply::Http { status, .. })) => {
            (AnsiColor::Red, format!("refused: {status} {}", code.unwrap_or_default()))
        }
        (Conclusion::Refused, code, None) => (AnsiColor::Red, format!("refused: {}", code.unwrap_or_default())),
    };
    let words = match &explanation.token {
        Some(token) if token.vouched == Vouched::Opaque && explanation.decision == Conclusion::Asks => {
            "the introspection endpoint is asked about the token, and its answer decides".to_owned()
        }
        Some(token) if token.vouched == Vouched::SignatureNotChecked => {
            format!("{words} (if the token's signature is valid)")
        }
        _ => words,
    };
    let style = Style::new().bold().fg_color(Some(colour.into()));
    format!("{style}{words}{style:#}")
}

fn rows(explanation: &Explanation, lines: &mut Vec<String>) {
    let mut row = |name: &str, words: &str| lines.push(format!("  {DIM}{name:<COLUMN$}{DIM:#}{words}"));
    row("request", &explanation.request);
    explanation.because.iter().for_each(|because| row("because", because));
    if let Some(missing) = &explanation.missing {
        row("missing", &format!("{BOLD}{}{BOLD:#}", missing.words()));
    }
    explanation.hints.iter().for_each(|hint| row("hint", hint));
    match &explanation.rule {
        Some(rule) => row(
            "route",
            &format!("{BOLD}{}{BOLD:#}, {}:{}: {}", rule.name, explanation.policy, rule.line, answers(rule)),
        ),
        None => row("route", "none"),
    }
    if let Some(requires) = &explanation.requires {
        row("requires", &requires.words());
    }
    if !explanation.acr.is_empty() {
        row("acr", &explanation.acr.join(" or "));
    }
    if let Some(token) = &explanation.token {
        token_rows(token, &mut row);
    }
    if let Some(limits) = &explanation.session {
        session_rows(limits, explanation.decision, &mut row);
    }
    if let Some(token) = &explanation.upstream_token {
        row("upstream", &upstream(token));
    }
    if !explanation.stripped.is_empty() {
        row("stripped", &explanation.stripped.join(", "));
    }
}

fn token_rows(token: &Token, row: &mut impl FnMut(&str, &str)) {
    let vouched = match token.vouched {
        Vouched::Verified => match &token.keys {
            Some(from) => format!("verified with a key from {from}"),
            None => "verified with a key in the policy".to_owned(),
        },
        Vouched::SignatureNotChecked => {
            let keys = token.keys.as_deref().unwrap_or("elsewhere");
            format!(
                "{BOLD}SIGNATURE NOT CHECKED{BOLD:#}: the keys at {keys} were not fetched (see --fetch-keys); everything else is valid"
            )
        }
        Vouched::Assumed => "assumed to be verified, with these claims".to_owned(),
        Vouched::Opaque => "opaque: its claims are unknown here, and its scopes were not compared".to_owned(),
        Vouched::Refused => refused(token),
        Vouched::NotLookedAt => "ignored".to_owned(),
    };
    row("token", &vouched);
    if let Some(expected) = &token.expected {
        row("expected", expected);
    }
    if let Some(says) = &token.says {
        row("scopes", if says.scopes.is_empty() { "none".to_owned() } else { says.scopes.join(" ") }.as_str());
        let of = of(says, token.vouched != Vouched::Assumed);
        row("issuer", &of);
        if says.is_undated {
            row("note", UNDATED);
        }
        if says.is_login_unreadable {
            row("note", UNREADABLE);
        }
        for scope in &says.with_comma {
            row("note", &format!("{scope} is one scope, with a comma in it: scopes are separated by spaces"));
        }
    }
}

/// What the upstream receives.
fn upstream(token: &UpstreamToken) -> String {
    let scopes = if token.scopes == "route" { "what the route requires" } else { "all that the session holds" };
    let clients = if token.forwards_client_token { "is forwarded too" } else { "is removed" };
    let address = if token.rctx == "address" { ", for one client address" } else { "" };
    let without = if token.omit { "; if it cannot be minted, the request passes without it" } else { "" };
    let ttl = time(Duration::from_secs_f64(token.ttl_s));
    format!(
        "{}: a token for {} that lives {ttl} at most, with {scopes}{address}; the client's token {clients}{without}",
        token.header,
        token.audience.escape_debug()
    )
}

/// The reason as counters and logs name it, and what was found.
fn refused(token: &Token) -> String {
    match (token.reason, &token.fault) {
        (Some(reason), Some(fault)) => format!("{reason}: {fault}"),
        (None, Some(fault)) => fault.clone(),
        _ => "refused".to_owned(),
    }
}

/// The issuer, subject and client of a token. For an assumed token, invented values are left out.
fn of(says: &Says, exists: bool) -> String {
    let mut parts = vec![says.issuer.clone()];
    parts.extend(says.subject.as_ref().filter(|_| exists).map(|subject| format!("subject {subject}")));
    parts.extend(says.client.as_ref().filter(|_| exists).map(|client| format!("client {client}")));
    parts.extend(says.acr.as_ref().map(|acr| format!("acr {acr}")));
    parts.extend(says.login_age_s.map(|age| format!("login {} ago", time(Duration::from_secs(age)))));
    if exists {
        parts.push(format!("expires in {}", time(Duration::from_secs(says.expires_in_s))));
        parts.push(format!("session {}", says.session));
    }
    parts.join(", ").escape_debug().to_string().replace("\\'", "'")
}

fn session_rows(limits: &SessionLimits, decision: Conclusion, row: &mut impl FnMut(&str, &str)) {
    let mut parts = Vec::new();
    let seconds = |limit: f64| time(Duration::from_secs_f64(limit));
    parts.extend(limits.max_age_s.map(|limit| format!("a login within the last {}", seconds(limit))));
    parts.extend(limits.max_idle_s.map(|limit| format!("used within the last {}", seconds(limit))));
    if parts.is_empty() {
        parts.push("no limits beyond those of the session service".to_owned());
    }
    if !limits.touch {
        parts.push("this request does not count as activity".to_owned());
    }
    if limits.outlive_token {
        parts.push("an open request continues when its token expires".to_owned());
    }
    if let Some(lease) = limits.lease_s {
        let lease = seconds(lease);
        parts.push(format!("a worker may decide the token's next requests by itself, for {lease} at a time"));
    }
    row("session", &parts.join("; "));
    if decision == Conclusion::Asks {
        row("no verdict", &limits.on_outage);
    }
}

fn answers(route: &Route) -> String {
    let methods = if route.methods.is_empty() { "any method".to_owned() } else { route.methods.join(", ") };
    match route.hosts.as_slice() {
        [] => format!("{methods} {}", route.path),
        hosts => format!("{methods} {} at {}", route.path, hosts.join(", ")),
    }
}

fn other_rule(other: &Candidate, width: usize) -> String {
    let why = match other.why {
        Fit::LessSpecificHost => "matches, but its host is less specific",
        Fit::LessSpecificPath => "matches, but its path is less specific",
        Fit::Method => "other method",
        Fit::Host => "other host",
        Fit::HostAndMethod => "other host and method",
        Fit::NothingForRest => "nothing is left for `{*name}`, which matches one segment or more",
        Fit::Path => "other path",
    };
    format!("  {:<width$}  {why}: {} {DIM}(line {}){DIM:#}", other.route.name, answers(&other.route), other.route.line)
}

fn answer(reply: &Reply) -> Vec<String> {
    let shown = |headers: &[(String, String)]| -> Vec<String> {
        headers.iter().map(|(name, value)| format!("{name}: {value}")).collect()
    };
    match reply {
        Reply::Http { status, headers, text, .. } => {
            let mut lines = vec![format!("HTTP {status}")];
            lines.extend(shown(headers));
            lines.push(text.clone());
            lines
        }
        Reply::Grpc { status, message, headers, .. } => {
            let mut lines = vec![format!("grpc-status: {status}"), format!("grpc-message: {message}")];
            lines.extend(shown(headers));
            lines
        }
    }
}

/// A duration in hours, minutes and seconds, such as `1h 30m`.
pub(super) fn time(time: Duration) -> String {
    let (seconds, ms) = (time.as_secs(), time.subsec_millis());
    let parts = [(seconds / 3_600, "h"), (seconds / 60 % 60, "m"), (seconds % 60, "s"), (u64::from(ms), "ms")];
    let parts: Vec<_> =
        parts.into_iter().filter(|(count, _)| *count > 0).map(|(count, unit)| format!("{count}{unit}")).collect();
    if parts.is_empty() { "0s".to_owned() } else { parts.join(" ") }
}
