//! `/v1/requests`: requests for access: asked, listed, decided.

use super::body::{Input, query};
use super::page::{given, limit_of, next};
use super::problem::{Code, Problem};
use super::sessions::id_of;
use crate::admins::{Caller, Scope};
use crate::approvals::{
    AccessRequest, Asked, Decision, For, Grant, Person, Review, Rule, Rules, State as Is, Step, User,
};
use crate::clock::rfc3339;
use crate::config::{duration_ms, duration_text};
use crate::service::Service;
use crate::session::Session;
use crate::writer::{Approving, Deciding};
use axum::Json;
use axum::extract::{Path, State};
use axum::http::{StatusCode, Uri};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Scopes of one request, and the longest text of one, in bytes.
const SCOPES_MAX: usize = 32;
const TEXT_BYTES_MAX: usize = 1_024;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Ask {
    session: String,
    scopes: Vec<String>,
    #[serde(default)]
    reason: String,
    ticket: Option<String>,
    duration: String,
    #[serde(default)]
    emergency: bool,
}

/// A decided step as the admin API shows it.
#[derive(Serialize)]
struct StepView {
    by: String,
    approved: bool,
    /// For one request only.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    once: bool,
    #[serde(skip_serializing_if = "String::is_empty")]
    comment: String,
    at: String,
}

impl From<Step> for StepView {
    fn from(step: Step) -> Self {
        Self {
            by: step.by.name,
            approved: step.approved,
            once: step.once,
            comment: step.comment,
            at: rfc3339(step.at_ms),
        }
    }
}

/// A grant as the admin API shows it.
#[derive(Serialize)]
pub(super) struct GrantView {
    id: String,
    state: &'static str,
    /// It is for one request.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    once: bool,
    from: String,
    /// Absent when it holds as long as its session.
    #[serde(skip_serializing_if = "Option::is_none")]
    until: Option<String>,
    /// When that request came, and on which route.
    #[serde(skip_serializing_if = "Option::is_none")]
    used_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    route: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ended_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    /// Who has revoked it.
    #[serde(skip_serializing_if = "Option::is_none")]
    ended_by: Option<String>,
}

impl From<Grant> for GrantView {
    fn from(grant: Grant) -> Self {
        let state = match (&grant.ended, &grant.used) {
            (Some(_), _) => "ended",
            (None, Some(_)) => "used",
            (None, None) => "live",
        };
        Self {
            id: grant.id,
            state,
            once: grant.once,
            from: rfc3339(grant.from_ms),
            until: grant.until_ms.map(rfc3339),
            used_at: grant.used.as_ref().map(|used| rfc3339(used.at_ms)),
            route: grant.used.map(|used| used.route),
            ended_at: grant.ended.as_ref().map(|ended| rfc3339(ended.at_ms)),
            reason: grant.ended.as_ref().map(|ended| ended.why.as_str()),
            ended_by: grant.ended.and_then(|ended| ended.by),
        }
    }
}

/// A request as the admin API shows it.
#[derive(Serialize)]
pub(crate) struct RequestView {
    pub(super) id: String,
    state: &'static str,
    rule: String,
    requester: String,
    session: String,
    issuer: String,
    subject: String,
    scopes: Vec<String>,
    reason: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    ticket: Option<String>,
    duration: String,
    /// A refused token has made it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    escalation: bool,
    created_at: String,
    expires_at: String,
    steps: Vec<StepView>,
    steps_needed: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) grant: Option<GrantView>,
    /// `open` or `closed`, after an emergency.
    #[serde(skip_serializing_if = "Option::is_none")]
    review: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reviewed: Option<StepView>,
}

impl From<AccessRequest> for RequestView {
    fn from(request: AccessRequest) -> Self {
        let review = request.review.as_ref().map(|Review { closed }| if closed.is_some() { "closed" } else { "open" });
        Self {
            id: request.id,
            state: request.state.as_str(),
            rule: request.rule,
            requester: request.requester.name,
            session: request.session.to_string(),
            issuer: request.user.issuer,
            subject: request.user.subject,
            scopes: request.scopes,
            reason: request.reason,
            ticket: request.ticket,
            duration: duration_text(request.duration_ms),
            escalation: request.escalation,
            created_at: rfc3339(request.created_at_ms),
            expires_at: rfc3339(request.expires_at_ms),
            steps: request.steps.into_iter().map(StepView::from).collect(),
            steps_needed: request.steps_needed,
            grant: request.grant.map(GrantView::from),
            review,
            reviewed: request.review.and_then(|review| review.closed).map(StepView::from),
        }
    }
}

/// With a clock that was set, nobody knows when what is granted now would end.
fn agreed(service: &Service) -> Result<u64, Problem> {
    match service.clock.agreement().is_parted() {
        true => Err(Problem::new(Code::NotServing, "the clock was set: nothing can be approved until it is confirmed")),
        false => Ok(service.clock.now_ms()),
    }
}

/// Asks for access. The same open request is answered with 200.
pub(super) async fn ask(
    caller: Caller,
    State(service): State<Arc<Service>>,
    Input(input): Input<Ask>,
) -> Result<(StatusCode, Json<RequestView>), Problem> {
    let now_ms = agreed(&service)?;
    let session = service.registry.find(id_of(&input.session)?).filter(|session| session.expiry(now_ms).is_none());
    let session = session.filter(|session| session.ended().is_none());
    let session = session.ok_or_else(|| Problem::new(Code::NotFound, "there is no live session with that id"))?;
    let rules = service.registry.approval_rules();
    let scopes = scopes_of(&input.scopes)?;
    let rule = rules.covering(&scopes).ok_or_else(|| uncovered(&rules, &scopes))?;
    let asked = asked_by(&caller, input, scopes, rule, &session)?;
    let made = service.writer.approve(Approving::Ask(Box::new(asked)), now_ms).await??;
    let (request, is_new) = made.ok_or_else(lost)?;
    let status = if is_new { StatusCode::CREATED } else { StatusCode::OK };
    Ok((status, Json((*request).into())))
}

/// No rule is about all of the scopes: several may be, if they are asked for by themselves.
fn uncovered(rules: &Rules, scopes: &[String]) -> Problem {
    let parts = rules.parts(scopes).into_iter().flatten();
    let parts: Vec<String> =
        parts.map(|(rule, scopes)| format!("`{}` (rule `{}`)", scopes.join(" "), rule.name)).collect();
    let hint = match parts.as_slice() {
        [] => String::new(),
        parts => format!(": ask by itself for each of {}", parts.join(", ")),
    };
    Problem::unprocessable(format!("body: no approval rule is about all of these `scopes`{hint}"))
}

fn scopes_of(given: &[String]) -> Result<Vec<String>, Problem> {
    let mut scopes = given.to_vec();
    scopes.sort_unstable();
    scopes.dedup();
    let is_scope = |scope: &String| !scope.is_empty() && scope.len() <= TEXT_BYTES_MAX;
    if scopes.is_empty() || scopes.len() > SCOPES_MAX || !scopes.iter().all(is_scope) {
        return Err(Problem::unprocessable(format!("body: `scopes` must name 1 to {SCOPES_MAX} scopes")));
    }
    Ok(scopes)
}

fn asked_by(
    caller: &Caller,
    input: Ask,
    scopes: Vec<String>,
    rule: &Rule,
    session: &Session,
) -> Result<Asked, Problem> {
    let Ask { reason, ticket, duration, emergency, .. } = input;
    let break_glass = rule.break_glass.as_ref().filter(|_| emergency);
    let (people, max_ms) = match (break_glass, emergency) {
        (Some(break_glass), _) => (&break_glass.who, break_glass.max_duration_ms),
        (None, false) => (&rule.ask, rule.max_duration_ms),
        (None, true) => {
            return Err(Problem::new(Code::Forbidden, format!("the rule `{}` knows no emergencies", rule.name)));
        }
    };
    let user = User { issuer: session.issuer.to_string(), subject: session.subject.to_string() };
    if !people.may_ask_for(&user, caller) {
        let what = if emergency { "have this in an emergency" } else { "ask for this" };
        return Err(Problem::new(
            Code::Forbidden,
            format!("the rule `{}` does not let you {what} in this session", rule.name),
        ));
    }
    let is_blank = |text: &str| text.trim().is_empty();
    if is_blank(&reason) && (rule.needs_reason || emergency) {
        return Err(Problem::unprocessable("body: `reason` must say why"));
    }
    if rule.needs_ticket && ticket.as_deref().is_none_or(is_blank) {
        return Err(Problem::unprocessable("body: `ticket` must name a ticket"));
    }
    if reason.len() > TEXT_BYTES_MAX || ticket.as_ref().is_some_and(|ticket| ticket.len() > TEXT_BYTES_MAX) {
        return Err(Problem::unprocessable(format!("body: a text may have at most {TEXT_BYTES_MAX} bytes")));
    }
    let duration_ms = length(&duration)?;
    if duration_ms > max_ms {
        let longest = duration_text(max_ms);
        return Err(Problem::unprocessable(format!(
            "body: `duration` may be at most {longest} by the rule `{}`",
            rule.name
        )));
    }
    Ok(Asked {
        requester: Person::of(caller),
        session: session.id,
        asked_in: session.instance(),
        user,
        scopes,
        reason,
        ticket,
        duration_ms,
        escalation: false,
        emergency,
        rule: rule.clone(),
    })
}

fn length(text: &str) -> Result<u64, Problem> {
    let ms = duration_ms(text).filter(|ms| *ms > 0);
    ms.ok_or_else(|| Problem::unprocessable("body: `duration` must be a duration such as `30m`"))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Listing {
    state: Option<String>,
    session: Option<String>,
    limit: Option<String>,
    cursor: Option<String>,
}

#[derive(Serialize)]
pub(super) struct ListView {
    requests: Vec<RequestView>,
    /// The cursor of the next page, when there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

/// The requests, the newest first. Without `portcullis:view`, only those of the caller.
pub(super) async fn list(
    caller: Caller,
    State(service): State<Arc<Service>>,
    uri: Uri,
) -> Result<Json<ListView>, Problem> {
    let Listing { state, session, limit, cursor } = query(&uri)?;
    let named = |name: String| {
        let known = Is::ALL.map(Is::as_str).join("`, `");
        Is::named(&name).ok_or_else(|| Problem::invalid(format!("query: `state` must be one of `{known}`")))
    };
    let state = given(state).map(named).transpose()?;
    let session = given(session).map(|id| id_of(&id)).transpose()?;
    let may_read = may_read(&caller);
    let is_wanted = |request: &AccessRequest| {
        may_read(request)
            && state.is_none_or(|state| request.state == state)
            && session.is_none_or(|session| request.session == session)
    };
    let (page, has_more) = service.registry.requests_page(given(cursor).as_deref(), limit_of(limit)?, is_wanted);
    let next = next(&page, has_more);
    Ok(Json(ListView { requests: page.into_iter().map(|(_, request)| request.into()).collect(), next }))
}

/// Whoever has asked may see what has become of it.
fn may_read(caller: &Caller) -> impl Fn(&AccessRequest) -> bool + use<> {
    let (sees_all, by) = (caller.may(Scope::View), Person::of(caller));
    move |request| sees_all || request.requester.is(&by)
}

pub(super) async fn read(
    caller: Caller,
    State(service): State<Arc<Service>>,
    Path(id): Path<String>,
) -> Result<Json<RequestView>, Problem> {
    let request = service.registry.request(&id).filter(may_read(&caller));
    let request = request.ok_or_else(|| Problem::new(Code::NotFound, "there is no request with that id"))?;
    Ok(Json(request.into()))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Approve {
    #[serde(default)]
    comment: String,
    duration: Option<String>,
    r#for: Option<String>,
    #[serde(default)]
    once: bool,
}

pub(super) async fn approve(
    caller: Caller,
    State(service): State<Arc<Service>>,
    Path(id): Path<String>,
    Input(input): Input<Approve>,
) -> Result<Json<RequestView>, Problem> {
    let how = match (input.duration.as_deref(), input.r#for.as_deref()) {
        (duration, None) if input.once => For::Once(duration.map(length).transpose()?),
        (_, Some(_)) if input.once => {
            return Err(Problem::unprocessable("body: specify `once` or `for`, not both"));
        }
        (None, None) => For::Asked,
        (Some(duration), None) => For::Time(length(duration)?),
        (None, Some("session")) => For::Session,
        (None, Some(_)) => return Err(Problem::unprocessable("body: `for` can only be `session`")),
        (Some(_), Some(_)) => return Err(Problem::unprocessable("body: specify `duration` or `for`, not both")),
    };
    decide(&service, caller, id, Decision::Approve(how), input.comment).await
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Comment {
    #[serde(default)]
    comment: String,
}

pub(super) async fn deny(
    caller: Caller,
    State(service): State<Arc<Service>>,
    Path(id): Path<String>,
    Input(input): Input<Comment>,
) -> Result<Json<RequestView>, Problem> {
    decide(&service, caller, id, Decision::Deny, needed(input.comment)?).await
}

pub(super) async fn cancel(
    caller: Caller,
    State(service): State<Arc<Service>>,
    Path(id): Path<String>,
    Input(input): Input<Comment>,
) -> Result<Json<RequestView>, Problem> {
    decide(&service, caller, id, Decision::Cancel, input.comment).await
}

pub(super) async fn review(
    caller: Caller,
    State(service): State<Arc<Service>>,
    Path(id): Path<String>,
    Input(input): Input<Comment>,
) -> Result<Json<RequestView>, Problem> {
    decide(&service, caller, id, Decision::Review, needed(input.comment)?).await
}

/// A comment that has to say something.
fn needed(comment: String) -> Result<String, Problem> {
    match comment.trim().is_empty() {
        true => Err(Problem::unprocessable("body: `comment` must say why")),
        false => Ok(comment),
    }
}

/// Decides something about a request, or about the grant with that id.
pub(super) async fn decide(
    service: &Service,
    caller: Caller,
    id: String,
    decision: Decision,
    comment: String,
) -> Result<Json<RequestView>, Problem> {
    if comment.len() > TEXT_BYTES_MAX {
        return Err(Problem::unprocessable(format!("body: a comment may have at most {TEXT_BYTES_MAX} bytes")));
    }
    let now_ms = match decision {
        Decision::Approve(_) => agreed(service)?,
        Decision::Deny | Decision::Cancel | Decision::Review | Decision::Revoke => service.clock.now_ms(),
    };
    let deciding = Deciding { id, decision, caller, comment };
    let decided = service.writer.approve(Approving::Decide(Box::new(deciding)), now_ms).await??;
    let (request, _) = decided.ok_or_else(lost)?;
    Ok(Json((*request).into()))
}

fn lost() -> Problem {
    Problem::new(Code::Internal, "the request was not processed")
}
