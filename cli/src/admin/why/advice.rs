//! What to do about a refusal: a sentence or two for each code, and commands to paste.

use super::{
    command::Command,
    explanation::Case,
    reason,
    session::{Cause, Session},
};
use crate::admin::plain::plain;
use portcullis_engine::answer::Code;

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Advice {
    pub(super) text: String,
    pub(super) commands: Vec<Command>,
}

impl Advice {
    fn new(text: impl Into<String>) -> Self {
        Self { text: text.into(), commands: Vec::new() }
    }

    fn with(mut self, command: Command) -> Self {
        self.commands.push(command);
        self
    }
}

/// What to do about a code.
pub(super) fn of(code: Code, case: &Case<'_>) -> Advice {
    match code {
        Code::NoCredentials => Advice::new(
            "The client must send an access token as a bearer token. If it does, find what removes the `Authorization` header before this filter.",
        ),
        Code::MalformedCredentials => Advice::new(
            "The client must send exactly one `Authorization` header with one bearer token, and name no `x-portcullis-…` header in `Connection`.",
        ),
        Code::AmbiguousPath => Advice::new(
            "The client must send the path in its plain form: no `//`, dot segments, `;` or encoded delimiters. `policy explain` says what is ambiguous.",
        )
        .with(case.explain_request()),
        Code::InvalidToken => invalid_token(case),
        Code::TokenExpired => Advice::new(
            "The client must refresh its token. If it just has, compare the clocks of the proxy and the identity provider.",
        ),
        Code::SessionIdleTimeout => idle(case),
        Code::SessionLifetimeExceeded => Advice::new(
            "The person must log in again: the session has reached the absolute limit of its access type (`access` in session.yaml).",
        ),
        Code::SessionRevoked => revoked(case),
        Code::SessionUnknown => Advice::new(
            "With `enrolment: explicit`, open the session first (`POST /v1/sessions`). Otherwise no access type of session.yaml matches the token (`access[].when`), or its subject is not that of the session.",
        ),
        Code::Blocked => Advice::new(
            "Neither a new token nor a new login helps while the subject, the client or the session's `sid` is blocked. Find the block and its reason, and lift it if the reason no longer applies (`portcullis blocks delete`): the session then continues as before.",
        )
        .with(Command::portcullis("blocks list")),
        Code::ApprovalRequired => Advice::new(
            "The route requires a scope that somebody has to approve for this session: ask for it, and have another person approve the request. The scope counts while the grant lasts.",
        )
        .with(Command::portcullis("access list")),
        Code::StepUpRequired => Advice::new(
            "The client must have the person log in again, with the `acr_values` and `max_age` of the challenge (RFC 9470). If that does not help, the identity provider does not send `acr` or `auth_time`.",
        ),
        Code::InsufficientScope => insufficient_scope(case),
        Code::ScopeEscalation => Advice::new(
            "The person must log in again to a session that is granted these scopes, or the client must request a token without them. To let sessions grow, set `growth` of the access type in session.yaml.",
        ),
        Code::NoRoute => Advice::new(
            "No route of the policy matches the method, host and path. `policy explain` lists the routes that nearly do.",
        )
        .with(case.explain_request()),
        Code::CrossOrigin => Advice::new(
            "The token is in a cookie. If the page may make this request, add its origin to `allowed_origins` of the policy's `token_from`.",
        ),
        Code::KeysUnavailable => Advice::new(
            "The proxy could not fetch the keys of the issuer; Envoy's log names the URL and the cluster. Clients can try again.",
        )
        .with(case.explain_token("fetch-keys")),
        Code::SessionUnavailable => Advice::new(
            "The filter received no verdict in time: check whether its proxy is connected, and Envoy's log. Clients can try again.",
        )
        .with(Command::portcullis("filters list")),
        Code::NoPolicy => Advice::new("The filter has no valid policy; Envoy's log has every fault.")
            .with(Command::portcullis("policy check").word(case.policy_file())),
    }
}

fn invalid_token(case: &Case<'_>) -> Advice {
    match case.reason {
        Some(reason) => Advice::new(reason::remedy(reason)).with(case.explain_token("")),
        None => Advice::new("Explain the token to learn what is wrong with it; the log line does not say.")
            .with(case.explain_token("")),
    }
}

fn idle(case: &Case<'_>) -> Advice {
    match case.session {
        Some(session) if !session.has_ended() => Advice::new(
            "The session is active, so only the `max_idle` of this route had passed, or another login has opened it again since. Another request that counts as activity opens the route again.",
        ),
        _ => Advice::new(
            "The person must log in again. If this comes too early, raise the idle limit of the access type in session.yaml.",
        ),
    }
}

fn revoked(case: &Case<'_>) -> Advice {
    let login = "Anyone who may still log in opens the session again with a later login.";
    if let Some(id) = case.revocation_id {
        return Advice::new(format!(
            "{login} If the revocation was a mistake, take it back, so that it no longer covers logins before it; the sessions that it ended stay ended."
        ))
        .with(Command::portcullis("revocations delete").word(id));
    }
    let advice = Advice::new(login);
    match case.session.filter(|session| !session.subject.is_empty()) {
        Some(session) => advice.with(Command::portcullis("sessions list").option("subject", &session.subject)),
        None => advice,
    }
}

fn insufficient_scope(case: &Case<'_>) -> Advice {
    let of = |is_meant: fn(&Cause) -> bool| {
        let meant = case.missing.iter().filter(|missing| is_meant(&missing.cause));
        meant.map(|missing| missing.scope.as_str()).collect::<Vec<_>>()
    };
    let narrowed = of(|cause| matches!(cause, Cause::Narrowed { .. }));
    let signalled = of(|cause| matches!(cause, Cause::Signalled { .. }));
    let not_granted = of(|cause| matches!(cause, Cause::NotGranted));
    let not_in_token = of(|cause| matches!(cause, Cause::NotInToken));
    let restored = of(|cause| matches!(cause, Cause::Restored { .. }));
    let unknown = of(|cause| matches!(cause, Cause::Unknown));
    let mut texts = Vec::new();
    if !narrowed.is_empty() {
        texts.push(
            "Give back what was taken, if the reason for that has passed: the same token is then enough.".to_owned(),
        );
    }
    if !signalled.is_empty() {
        texts.push(format!(
            "A signal has taken {}: find out what its transmitter knows about this person or device.",
            names(&signalled)
        ));
    }
    if !not_granted.is_empty() {
        texts.push(format!(
            "The client must request {} when the person logs in, and the identity provider must grant it: this session was opened without it.",
            names(&not_granted)
        ));
    }
    if !not_in_token.is_empty() {
        texts.push(format!("The client must request a token with {}: its session has it.", names(&not_in_token)));
    }
    if !restored.is_empty() {
        texts.push(format!("{} was given back in the meantime: try again.", names(&restored)));
    }
    if !unknown.is_empty() {
        texts.push(format!(
            "The client must get a token with {}, unless an administrator has taken it from the session: the session service knows.",
            names(&unknown)
        ));
    }
    let mut advice = Advice::new(if texts.is_empty() {
        "The client must get a token with the scopes that the route requires.".to_owned()
    } else {
        texts.join(" ")
    });
    if let Some(session) = case.session {
        advice.commands = restores(session, &narrowed);
        if !signalled.is_empty() {
            advice = advice.with(Command::portcullis("sessions narrowings"));
        }
    } else if let Some(id) = case.session_id.filter(|_| !unknown.is_empty()) {
        advice = advice.with(Command::portcullis("sessions show").word(id));
    }
    advice
}

/// The commands that give scopes back: to the subject with every client, and to the session's party.
fn restores(session: &Session, scopes: &[&str]) -> Vec<Command> {
    let (every, own): (Vec<&str>, Vec<&str>) = scopes
        .iter()
        .partition(|scope| session.narrowing_of(scope).is_some_and(|narrowing| narrowing.is_for_every_client()));
    let with = |command: Command, scopes: &[&str]| {
        scopes.iter().fold(command, |command, scope| command.option("scope", scope))
    };
    let restore = || Command::portcullis("sessions restore");
    let to_subject = || restore().option("issuer", &session.issuer).option("subject", &session.subject);
    let mut commands = Vec::new();
    if !every.is_empty() {
        commands.push(with(to_subject(), &every));
    }
    if !own.is_empty() {
        commands.push(with(restore().word(&session.id), &own));
    }
    commands
}

fn names(scopes: &[&str]) -> String {
    scopes.iter().map(|scope| format!("`{}`", plain(scope))).collect::<Vec<_>>().join(", ")
}
