//! The explanation of a decision, from what is known of it. It is data; `text.rs` prints it.

use super::{
    advice::{self, Advice},
    command::Command,
    given::{Logged, Request},
    login::StepUp,
    reason,
    session::{Cause, Session},
};
use crate::{
    access_log::{Condition, Decision, Kind, Missing},
    admin::{event_text, history::History},
};
use portcullis_engine::{answer::Code, token::Reason};
use serde_json::{Value, json};

/// The policy's name in a command, if none is given.
const POLICY_FILE: &str = "policy.yaml";

/// What the session service answered about the session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Answered {
    /// It was not asked.
    #[default]
    NotAsked,
    /// It did not answer.
    Failed,
    /// It knows no such session.
    Unseen,
    /// It showed the session.
    Shown,
}

/// What is known.
#[derive(Debug, Default)]
pub(super) struct Known {
    /// What the filter decided; without it, the state of the session is explained.
    pub(super) logged: Option<Logged>,
    pub(super) answered: Answered,
    /// The session as the service shows it.
    pub(super) view: Option<Value>,
    pub(super) session: Option<Session>,
    pub(super) history: History,
    /// The blocks of its party that are in force.
    pub(super) blocks: Vec<Value>,
    /// The revocation of a party that ended the session.
    pub(super) revocation: Option<Value>,
    pub(super) policy_file: Option<String>,
    /// What the route requires, according to that policy.
    pub(super) requires: Option<String>,
    /// What is not known, and why.
    pub(super) notes: Vec<String>,
}

/// What advice depends on.
#[derive(Debug)]
pub(super) struct Case<'k> {
    pub(super) reason: Option<Reason>,
    pub(super) session: Option<&'k Session>,
    pub(super) session_id: Option<&'k str>,
    pub(super) missing: &'k [MissingScope],
    pub(super) answered: Answered,
    pub(super) blocks: &'k [Value],
    pub(super) step_up: Option<&'k StepUp>,
    /// The condition that refused.
    pub(super) condition: Option<&'k Condition>,
    pub(super) revocation_id: Option<&'k str>,
    request: &'k Request,
    policy_file: Option<&'k str>,
}

/// A scope that was missing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct MissingScope {
    pub(super) scope: String,
    pub(super) cause: Cause,
    /// The entry of `any_of` that it is of; one of these entries is enough. `None` if the scope is required by itself.
    pub(super) alternative: Option<usize>,
}

/// What was decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The request was released.
    Released,
    /// It was released without a verdict of the session service.
    Outage,
    /// Shadow mode released what would have been refused.
    Shadow,
    /// It was refused.
    Refused,
    /// It was an open stream, whose response had begun, and was cut.
    Cut,
    /// No request is known: this is the state of a session.
    Session,
}

/// The explanation.
#[derive(Debug)]
pub(super) struct Explanation {
    pub(super) verdict: Verdict,
    /// The code as the log or the service has it.
    pub(super) code: Option<String>,
    /// The same, if it is one of the filter's refusals.
    pub(super) refusal: Option<Code>,
    pub(super) reason: Option<Reason>,
    pub(super) missing: Vec<MissingScope>,
    /// What was missing, as the log has it.
    pub(super) requirement: Option<Missing>,
    pub(super) beyond_grant: Vec<String>,
    /// What asked for another login.
    pub(super) step_up: Option<StepUp>,
    pub(super) known: Known,
    pub(super) advice: Advice,
}

impl Case<'_> {
    /// The policy, if it was given.
    pub(super) fn policy_file(&self) -> Option<&str> {
        self.policy_file
    }

    /// The command that explains the request, if the line says which one it was: a command with gaps cannot be pasted.
    pub(super) fn explain_request(&self) -> Option<Command> {
        let Request { method: Some(method), host: Some(host), path: Some(path) } = self.request else { return None };
        let policy = self.policy_file.unwrap_or(POLICY_FILE);
        Some(Command::portcullis("policy explain").word(policy).word(method).word(&format!("{host}{path}")))
    }

    /// The command that explains the token of the request, with one more flag.
    pub(super) fn explain_token(&self, flag: &str) -> Option<Command> {
        let command = self.explain_request()?.option("token", "@token.txt");
        Some(if flag.is_empty() { command } else { command.flag(flag) })
    }
}

impl Explanation {
    /// Explains what is known.
    pub(super) fn of(known: Known) -> Self {
        let (verdict, code) = match known.logged.as_ref().map(|logged| &logged.decision) {
            Some(decision) => (verdict(decision), Some(decision.code.clone())),
            None => (Verdict::Session, state_code(&known)),
        };
        let refusal = code.as_deref().and_then(Code::named);
        let decision = known.logged.as_ref().map(|logged| &logged.decision);
        let reason = decision.and_then(|decision| decision.reason.as_deref()).and_then(reason::named);
        let missing = missing(&known);
        let beyond_grant = match refusal {
            Some(Code::ScopeEscalation) => beyond_grant(&known),
            _ => Vec::new(),
        };
        let request = known.logged.as_ref().map(|logged| logged.request.clone()).unwrap_or_default();
        let step_up = match refusal {
            Some(Code::StepUpRequired) => StepUp::of(decision, known.view.as_ref(), &known.history),
            _ => None,
        };
        let case = Case {
            reason,
            session: known.session.as_ref(),
            session_id: decision.and_then(|decision| decision.session.as_deref()),
            missing: &missing,
            answered: known.answered,
            blocks: &known.blocks,
            step_up: step_up.as_ref(),
            condition: decision.and_then(|decision| decision.condition.as_ref()),
            revocation_id: known.revocation.as_ref().and_then(|of| of.get("id")).and_then(Value::as_str),
            request: &request,
            policy_file: known.policy_file.as_deref(),
        };
        let advice = match (verdict, refusal) {
            (Verdict::Outage, _) => Advice {
                text: "The session service did not answer in time, and the route's `on_outage` let the request pass. Check whether the proxy is connected.".to_owned(),
                commands: vec![Command::portcullis("filters list")],
            },
            (Verdict::Released, _) => Advice { text: "Nothing: the request was released.".to_owned(), ..Advice::default() },
            (_, Some(code)) => advice::of(code, &case),
            (Verdict::Session, None) if known.session.is_none() => Advice {
                text: "Nothing is known of it besides its history. With a line of the access log, this command explains the request.".to_owned(),
                ..Advice::default()
            },
            (Verdict::Session, None) => {
                Advice { text: "Nothing: the session is active, and none of its scopes are taken.".to_owned(), ..Advice::default() }
            }
            (Verdict::Shadow | Verdict::Refused | Verdict::Cut, None) => Advice {
                text: "This tool does not know the code. Is the filter newer than the tool?".to_owned(),
                ..Advice::default()
            },
        };
        let requirement = decision.and_then(|decision| decision.missing.clone());
        Self { verdict, code, refusal, reason, missing, requirement, beyond_grant, step_up, known, advice }
    }

    /// The condition of the session service that refused, if the line names one.
    pub(super) fn condition(&self) -> Option<&Condition> {
        self.known.logged.as_ref().and_then(|logged| logged.decision.condition.as_ref())
    }

    /// The explanation for programs.
    pub(super) fn json(&self) -> Value {
        let logged = self.known.logged.as_ref();
        let decision = logged.map(|logged| &logged.decision);
        let missing: Vec<_> = self
            .missing
            .iter()
            .map(|MissingScope { scope, cause, alternative }| {
                let mut entry = serde_json::to_value(cause).unwrap_or_default();
                if let Some(members) = entry.as_object_mut() {
                    members.insert("scope".to_owned(), scope.clone().into());
                    members.extend(alternative.map(|index| ("alternative".to_owned(), index.into())));
                }
                entry
            })
            .collect();
        json!({
            "decision": self.verdict.name(),
            "code": self.code,
            "status": self.refusal.map(Code::status),
            "reason": self.reason.map(Reason::name),
            "route": decision.and_then(|decision| decision.route.clone()),
            "requires": self.known.requires,
            "client_id": decision.and_then(|decision| decision.client.clone()),
            "session": self.known.view,
            "session_id": decision.and_then(|decision| decision.session.clone()),
            "missing": missing,
            "beyond_grant": self.beyond_grant,
            "step_up": self.step_up,
            "condition": self.condition(),
            "blocks": self.known.blocks,
            "revocation": self.known.revocation,
            "events": self.known.history.events,
            "held_since": self.known.history.held_since,
            "notes": self.known.notes,
            "advice": self.advice.text,
            "commands": self.advice.commands.iter().map(Command::text).collect::<Vec<_>>(),
        })
    }
}

impl Verdict {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Released => "released",
            Self::Outage => "released_without_verdict",
            Self::Shadow => "shadow",
            Self::Refused => "refused",
            Self::Cut => "cut",
            Self::Session => "session",
        }
    }
}

fn verdict(decision: &Decision) -> Verdict {
    match (decision.kind, decision.code.as_str()) {
        (Kind::Outage, _) => Verdict::Outage,
        (Kind::Shadow, _) => Verdict::Shadow,
        (Kind::Enforced, "ok" | "public" | "oauth") => Verdict::Released,
        (Kind::Enforced, _) if decision.is_cut => Verdict::Cut,
        (Kind::Enforced, _) => Verdict::Refused,
    }
}

/// The code that a request in the session gets now, or got last. A block answers before every other reason.
fn state_code(known: &Known) -> Option<String> {
    let of = |code: Code| Some(code.name().to_owned());
    if !known.blocks.is_empty() {
        return of(Code::Blocked);
    }
    if let Some(session) = &known.session {
        if session.has_ended() {
            return event_text::code(session.reason.as_deref()?).and_then(of);
        }
        if !session.taken().is_empty() {
            return of(Code::InsufficientScope);
        }
    }
    let outcome = known.history.latest("refused", |_| true)?.get("outcome")?.as_str()?;
    event_text::code(outcome).and_then(of)
}

fn missing(known: &Known) -> Vec<MissingScope> {
    let scopes: Vec<(String, Option<usize>)> = match &known.logged {
        Some(logged) => scopes_of(&logged.decision),
        None => {
            let session = known.session.as_ref().filter(|session| !session.has_ended());
            session.map(Session::taken).unwrap_or_default().into_iter().map(|scope| (scope, None)).collect()
        }
    };
    let cause =
        |scope: &str| known.session.as_ref().map_or(Cause::Unknown, |session| session.cause(scope, &known.history));
    let with_cause = |(scope, alternative): (String, _)| MissingScope { cause: cause(&scope), scope, alternative };
    scopes.into_iter().map(with_cause).collect()
}

/// The missing scopes of a line, each once, with the entry of `any_of` that it is of. The last of a list that was cut is not
/// one.
fn scopes_of(decision: &Decision) -> Vec<(String, Option<usize>)> {
    let Some(Missing { all_of, any_of }) = &decision.missing else { return Vec::new() };
    // One entry is no choice.
    let alternative = |index| (any_of.len() > 1).then_some(index);
    let any = any_of.iter().enumerate().flat_map(|(index, group)| group.iter().map(move |scope| (scope, Some(index))));
    let mut scopes: Vec<(String, Option<usize>)> = Vec::new();
    for (scope, index) in all_of.iter().map(|scope| (scope, None)).chain(any) {
        let is_rest = decision.is_missing_cut && scope.ends_with('*');
        if !is_rest && !scopes.iter().any(|(listed, _)| listed == scope) {
            scopes.push((scope.clone(), index.and_then(alternative)));
        }
    }
    scopes
}

/// The scopes beyond the grant of the session in its latest refusal for that, on the same route if the line names one.
fn beyond_grant(known: &Known) -> Vec<String> {
    let route = known.logged.as_ref().and_then(|logged| logged.decision.route.as_deref());
    let is_meant = |event: &Value, route: Option<&str>| {
        let text = |key: &str| event.get(key).and_then(Value::as_str);
        text("outcome") == Some("scope_escalation") && (route.is_none() || text("route") == route)
    };
    let refused = known.history.latest("refused", |event| is_meant(event, route));
    // A token is reported once for each stream, and so perhaps on another route.
    let refused = refused.or_else(|| known.history.latest("refused", |event| is_meant(event, None)));
    let beyond = refused.and_then(|event| event.get("beyond_grant")).and_then(Value::as_array);
    beyond.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}
