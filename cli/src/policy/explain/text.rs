//! An explanation for people: the answer first.

use super::{
    candidates::{Candidate, Fit, Route},
    explanation::{Decision, Explanation, Reply, Says, SessionLimits, Token, Vouched},
};
use anstyle::{AnsiColor, Style};
use std::time::Duration;

/// Where the second column begins.
const COLUMN: usize = 12;

const BOLD: Style = Style::new().bold();
const DIM: Style = Style::new().dimmed();

pub(super) fn text(explanation: &Explanation) -> String {
    let mut lines = vec![headline(explanation)];
    if explanation.shadow {
        lines.push(format!(
            "{BOLD}The policy is in shadow mode: a request that is refused here is released all the same.{BOLD:#}"
        ));
    }
    lines.push(String::new());
    rows(explanation, &mut lines);
    if let Some(reply) = &explanation.answer {
        lines.extend([String::new(), format!("{BOLD}The client is answered{BOLD:#}")]);
        lines.extend(answer(reply).into_iter().map(|line| format!("  {line}")));
    }
    if !explanation.others.is_empty() {
        lines.extend([String::new(), format!("{BOLD}Other rules that are near{BOLD:#}")]);
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
        (Decision::Released, ..) => (AnsiColor::Green, "released, and nobody is asked".to_owned()),
        (Decision::Asks, ..) => {
            (AnsiColor::Cyan, "the session service is asked, and if it says active: released".to_owned())
        }
        (Decision::Refused, code, Some(Reply::Grpc { status, name, .. })) => {
            (AnsiColor::Red, format!("refused: {} (gRPC {status} {name})", code.unwrap_or_default()))
        }
        (Decision::Refused, code, Some(Reply::Http { status, .. })) => {
            (AnsiColor::Red, format!("refused: {status} {}", code.unwrap_or_default()))
        }
        (Decision::Refused, code, None) => (AnsiColor::Red, format!("refused: {}", code.unwrap_or_default())),
    };
    let words = match &explanation.token {
        Some(token) if token.vouched == Vouched::Opaque && explanation.decision == Decision::Asks => {
            "the introspection endpoint is asked what the token means, and its word decides".to_owned()
        }
        Some(token) if token.vouched == Vouched::SignatureNotChecked => {
            format!("{words}, if the token's signature holds")
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
    match &explanation.rule {
        Some(rule) => row(
            "rule",
            &format!("{BOLD}{}{BOLD:#}, {}:{}: {}", rule.name, explanation.policy, rule.line, answers(rule)),
        ),
        None => row("rule", "none"),
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
    if !explanation.stripped.is_empty() {
        row("stripped", &explanation.stripped.join(", "));
    }
}

fn token_rows(token: &Token, row: &mut impl FnMut(&str, &str)) {
    let vouched = match token.vouched {
        Vouched::Verified => "verified with a key of the policy".to_owned(),
        Vouched::SignatureNotChecked => {
            let keys = token.keys.as_deref().unwrap_or("elsewhere");
            format!(
                "{BOLD}SIGNATURE NOT CHECKED{BOLD:#}: its keys are at {keys} and were not fetched; all else is in order"
            )
        }
        Vouched::Assumed => "assumed: a verified one that says".to_owned(),
        Vouched::Opaque => "opaque: what it says is not known here, and its scopes were not compared".to_owned(),
        Vouched::Refused => token.fault.clone().unwrap_or_else(|| "refused".to_owned()),
        Vouched::NotLookedAt => "not looked at".to_owned(),
    };
    row("token", &vouched);
    if let Some(says) = &token.says {
        row("holds", if says.scopes.is_empty() { "no scope".to_owned() } else { says.scopes.join(" ") }.as_str());
        let of = of(says, token.vouched != Vouched::Assumed);
        row("of", &of);
    }
}

/// Who a token is of; of one that nobody has, what was made up for it is left out.
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

fn session_rows(limits: &SessionLimits, decision: Decision, row: &mut impl FnMut(&str, &str)) {
    let mut parts = Vec::new();
    let seconds = |limit: f64| time(Duration::from_secs_f64(limit));
    parts.extend(limits.max_age_s.map(|limit| format!("a login of the last {}", seconds(limit))));
    parts.extend(limits.max_idle_s.map(|limit| format!("used within the last {}", seconds(limit))));
    if parts.is_empty() {
        parts.push("its own limits".to_owned());
    }
    if !limits.touch {
        parts.push("this request is no activity".to_owned());
    }
    if limits.outlive_token {
        parts.push("an open request outlives its token".to_owned());
    }
    row("session", &parts.join("; "));
    if decision == Decision::Asks {
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
        Fit::LessSpecificHost => "fits, but its host is less specific",
        Fit::LessSpecificPath => "fits, but its path is less specific",
        Fit::Method => "another method",
        Fit::Host => "another host",
        Fit::HostAndMethod => "another host and method",
        Fit::Path => "another path",
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

/// A time in hours, minutes and seconds, such as `1h 30m`.
pub(super) fn time(time: Duration) -> String {
    let (seconds, ms) = (time.as_secs(), time.subsec_millis());
    let parts = [(seconds / 3_600, "h"), (seconds / 60 % 60, "m"), (seconds % 60, "s"), (u64::from(ms), "ms")];
    let parts: Vec<_> =
        parts.into_iter().filter(|(count, _)| *count > 0).map(|(count, unit)| format!("{count}{unit}")).collect();
    if parts.is_empty() { "0s".to_owned() } else { parts.join(" ") }
}
