//! What to do about a refusal: a sentence or two for each code, and commands to paste.

use super::{
    command::Command,
    explanation::{Answered, Case, MissingScope},
    login::{Asked, Of},
    reason,
    session::{Cause, Session},
};
use crate::{
    access_log::Condition,
    admin::{party_rules, plain::plain},
};
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

    fn with(mut self, command: impl Into<Option<Command>>) -> Self {
        self.commands.extend(command.into());
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
        Code::InvalidDpopProof => Advice::new(
            "The client must send one new proof of possession (`DPoP`) with each request: for its method, URL and token, signed with the key of the token. Envoy's log says what is wrong with a proof. If `htu` is, clients use another URL than the proxy sees: set `external_url` of the policy.",
        ),
        Code::UseDpopNonce => Advice::new(
            "The client must repeat the request with a proof that contains the nonce of the answer's `DPoP-Nonce`. A client that never does cannot use nonces: `dpop.nonce` of the policy.",
        ),
        Code::SessionIdleTimeout => idle(case),
        Code::SessionLifetimeExceeded => Advice::new(
            "The person must log in again: the session has reached the absolute limit of its access type (`access` in session.yaml).",
        ),
        Code::SessionRevoked => revoked(case),
        Code::SessionUnknown => unknown(case),
        Code::Blocked => blocked(case),
        Code::ApprovalRequired => Advice::new(
            "The route requires a scope that somebody has to approve for this session: ask for it with `access request`, and have another person approve the request. The scope counts while the grant lasts.",
        )
        .with(Command::portcullis("access list")),
        Code::ConditionFailed => condition(case),
        Code::StepUpRequired => step_up(case),
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
        Code::NoPolicy => Advice::new(
            "The filter has no valid policy: Envoy's log has every fault, and `portcullis policy check` reports the same for the file.",
        )
        .with(case.policy_file().map(|file| Command::portcullis("policy check").word(file))),
    }
}

fn invalid_token(case: &Case<'_>) -> Advice {
    match case.reason {
        Some(reason) => Advice::new(reason::remedy(reason)).with(case.explain_token("")),
        None => Advice::new(
            "The log line does not say what is wrong with the token: explain it with `portcullis policy explain`.",
        )
        .with(case.explain_token("")),
    }
}

fn condition(case: &Case<'_>) -> Advice {
    match case.condition {
        Some(Condition { id, reason: Some(reason) }) => Advice::new(format!(
            "The condition `{}` of the session service refused: {}. A new token does not help; what the condition asks for does.",
            plain(id),
            plain(reason)
        )),
        Some(Condition { id, reason: None }) => Advice::new(format!(
            "The condition `{}` of the session service refused, and gives no reason. A new token does not help; what the condition asks for does.",
            plain(id)
        )),
        None => Advice::new(
            "A condition of the session service refused; the access log names it (`condition=`). A new token does not help; what the condition asks for does.",
        ),
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

fn unknown(case: &Case<'_>) -> Advice {
    match (case.answered, case.session) {
        (_, Some(session)) if !session.has_ended() => Advice::new(format!(
            "The session is open, and it is `{}`'s. If it opened after this request, try again; otherwise the token names another subject, and the identity provider has given one session id to two people.",
            plain(&session.subject)
        )),
        (Answered::Shown, _) => {
            Advice::new("The session has ended, and this token cannot open it again: the person must log in again.")
        }
        (Answered::NotAsked | Answered::Failed | Answered::Unseen, _) => Advice::new(
            "No session was open, and this token may not open one. Either sessions must be opened first (`enrolment: explicit`, then `POST /v1/sessions`), or no access type of session.yaml matches the token (`access[].when`), or the route is background traffic (`touch: false`) and the token is older than the limits of its session.",
        ),
    }
}

fn blocked(case: &Case<'_>) -> Advice {
    const VAIN: &str = "Neither a new token nor a new login helps while the block is in force.";
    match (case.answered, case.blocks) {
        (Answered::Shown, []) => Advice::new(
            "The block is no longer in force: it was lifted, or it has run out. The client can try again; streams that it has cut must be opened again.",
        ),
        (_, []) => Advice::new(format!(
            "{VAIN} Find the block of the subject, the client or the session's `sid`, and lift it with `portcullis blocks delete` if its reason no longer applies: the session then continues as before."
        ))
        .with(Command::portcullis("blocks list")),
        (_, blocks) => {
            let advice = Advice::new(format!(
                "{VAIN} Lift it if its reason no longer applies: the session then continues as before, and streams that it has cut must be opened again."
            ));
            let lift = |block| Command::portcullis("blocks delete").word(party_rules::text(block, "id"));
            blocks.iter().map(lift).fold(advice, Advice::with)
        }
    }
}

fn step_up(case: &Case<'_>) -> Advice {
    const LOGIN: &str = "The client must have the person log in again";
    match case.step_up.map(|step_up| (step_up.asked, step_up.of)) {
        Some((Asked::Acr, Of::Token)) => Advice::new(format!(
            "{LOGIN}, with the `acr_values` of the challenge (RFC 9470). If that does not help, the identity provider does not put the `acr` into its tokens."
        )),
        Some((Asked::Acr, Of::Session)) => {
            let advice = Advice::new(format!(
                "{LOGIN}: a later login counts in full again. If the attribute was set by mistake, delete it."
            ));
            let of = case.session.map(|session| Command::portcullis("attributes list").option("session", &session.id));
            advice.with(of)
        }
        Some((Asked::MaxAge, _)) => Advice::new(format!(
            "{LOGIN}, with the `max_age` of the challenge (RFC 9470); a refreshed token is not a login. If that does not help, the identity provider does not send `auth_time`."
        )),
        None => Advice::new(format!(
            "{LOGIN}, with the `acr_values` and `max_age` of the challenge (RFC 9470). If that does not help, the identity provider does not send `acr` or `auth_time`."
        )),
    }
}

fn revoked(case: &Case<'_>) -> Advice {
    if case.session.is_some_and(|session| !session.has_ended()) {
        return Advice::new(
            "A later login or token has opened the session again since. The client must use a token of that login: those from before the revocation stay refused.",
        );
    }
    let login = "Anyone who may still log in opens the session again with a later login.";
    if let Some(id) = case.revocation_id {
        return Advice::new(format!(
            "{login} If the revocation was a mistake, take it back, so that it no longer covers logins before it; the sessions that it ended stay ended."
        ))
        .with(Command::portcullis("revocations delete").word(id));
    }
    Advice::new(login)
}

fn insufficient_scope(case: &Case<'_>) -> Advice {
    let of = |is_meant: fn(&Cause) -> bool| {
        case.missing.iter().filter(|missing| is_meant(&missing.cause)).collect::<Vec<_>>()
    };
    let narrowed = of(|cause| matches!(cause, Cause::Narrowed { .. }));
    let mut texts = Vec::new();
    let mut add = |scopes: &[&MissingScope], text: &dyn Fn(String) -> String| {
        if !scopes.is_empty() {
            texts.push(text(names(scopes)));
        }
    };
    add(&narrowed, &|scopes| {
        format!("Give back {scopes}, if the reason for taking it has passed: the same token is then enough.")
    });
    let signalled = of(|cause| matches!(cause, Cause::Signalled { .. }));
    add(&signalled, &|scopes| {
        format!("A signal has taken {scopes}: find out what its transmitter knows about this person or device.")
    });
    add(&of(|cause| matches!(cause, Cause::NotGranted)), &|scopes| {
        format!(
            "The client must request {scopes} when the person logs in, and the identity provider must grant it: this session was opened without it."
        )
    });
    add(&of(|cause| matches!(cause, Cause::NotInToken)), &|scopes| {
        format!("The client must request a token with {scopes}: its session has it.")
    });
    add(&of(|cause| matches!(cause, Cause::Restored { .. })), &|scopes| {
        format!("{scopes} was given back in the meantime: try again.")
    });
    let unknown = of(|cause| matches!(cause, Cause::Unknown));
    let is_unseen = case.answered == Answered::Unseen;
    add(&unknown, &|scopes| match is_unseen {
        true => format!("The client must get a token with {scopes}."),
        false => format!(
            "The client must get a token with {scopes}, unless an administrator has taken it from the session: the session service knows."
        ),
    });
    let mut advice = Advice::new(match texts.as_slice() {
        [] => "The client must get a token with the scopes that the route requires.".to_owned(),
        // The entries of `any_of` lack their scopes for different reasons.
        [_, _, ..] if case.missing.iter().all(|missing| missing.alternative.is_some()) => {
            format!("One of these is enough. {}", texts.join(" "))
        }
        _ => texts.join(" "),
    });
    if let Some(session) = case.session {
        advice.commands = restores(session, &restorable(&narrowed));
        if !signalled.is_empty() {
            advice = advice.with(Command::portcullis("sessions narrowings"));
        }
    } else if let Some(id) = case.session_id.filter(|_| !unknown.is_empty() && case.answered == Answered::NotAsked) {
        advice = advice.with(Command::portcullis("sessions show").word(id));
    }
    advice
}

/// Of what was taken, what has to be given back: of several entries of `any_of`, the first.
fn restorable<'k>(narrowed: &[&'k MissingScope]) -> Vec<&'k str> {
    let first = narrowed.iter().find_map(|missing| missing.alternative);
    let is_meant = |missing: &&&MissingScope| missing.alternative.is_none() || missing.alternative == first;
    narrowed.iter().filter(is_meant).map(|missing| missing.scope.as_str()).collect()
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

/// `a`, and one of `b` or (`c` and `d`): the scopes that are required by themselves, and those of which one entry is enough.
fn names(missing: &[&MissingScope]) -> String {
    let quoted = |missing: &&&MissingScope| format!("`{}`", plain(&missing.scope));
    let own: Vec<_> = missing.iter().filter(|of| of.alternative.is_none()).map(|of| quoted(&of)).collect();
    let mut indexes: Vec<_> = missing.iter().filter_map(|of| of.alternative).collect();
    indexes.dedup();
    let entry = |index: &usize| {
        let scopes: Vec<_> = missing.iter().filter(|of| of.alternative == Some(*index)).map(|of| quoted(&of)).collect();
        match scopes.as_slice() {
            [one] => one.clone(),
            several => format!("({})", several.join(" and ")),
        }
    };
    let entries: Vec<_> = indexes.iter().map(entry).collect();
    let any = match entries.as_slice() {
        [] => None,
        [one] => Some(one.clone()),
        several => Some(format!("one of {}", several.join(" or "))),
    };
    let all = (!own.is_empty()).then(|| own.join(", "));
    [all, any].into_iter().flatten().collect::<Vec<_>>().join(", and ")
}
