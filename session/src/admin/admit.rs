//! Who may pass to the routes of the admin API: callers who are known, and hold the scope that the route needs.

use super::permissions::{Entry, Needed, entry};
use super::problem::{Code, Problem};
use crate::admins::{Caller, MetricsAccess, Pass, Refused, Scope};
use crate::credential::{Presented, bearer};
use crate::listener::Peer;
use crate::log::Sampler;
use crate::replica::State as Lease;
use crate::service::Service;
use crate::token::Token;
use axum::extract::{FromRequestParts, MatchedPath, Request, State};
use axum::http::request::Parts;
use axum::http::{Method, Uri};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tracing::info;

/// Callers who are not known, and calls that a caller may not make: anybody can cause the one, and many the other.
static UNKNOWN: Sampler = Sampler::new();
static FORBIDDEN: Sampler = Sampler::new();

/// The most of a refused call's path that is logged.
const PATH_CHARS_MAX: usize = 200;

/// What is answered also by a replica whose serve lease has run out.
const WITHOUT_LEASE: [&str; 5] = [METRICS, "/v1/replicas", "/v1/filters", "/v1/clock/confirm", "/v1/whoami"];

const METRICS: &str = "/metrics";

/// Why a call is refused that its route lets pass, and the approval rules do not.
const BY_RULES: &str = "approvals";

/// The one who has called, for handlers that change something.
impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Response> {
        // It is there wherever `admit` has let a request pass.
        let caller = parts.extensions.get::<Self>().cloned();
        caller.ok_or_else(|| Problem::new(Code::Internal, "nobody is known to have called").into_response())
    }
}

/// Lets a request pass whose caller is known, and may do what it asks for.
pub(super) async fn admit(State(service): State<Arc<Service>>, request: Request, next: Next) -> Response {
    let (mut request, body) = request.into_parts();
    let mut called = None;
    if !may_read_metrics(&service, &request) {
        match identified(&service, &request).await {
            Ok((caller, pass)) => {
                match watched(&service, &request, &pass).await {
                    Ok(token) => request.extensions.insert(token),
                    Err(problem) => return problem.into_response(),
                };
                called = Some((Call::of(&request), caller.clone()));
                request.extensions.insert(caller);
                request.extensions.insert(pass);
            }
            Err(problem) => return problem.into_response(),
        }
    }
    if !service.is_loaded.load(Ordering::SeqCst) {
        return Problem::new(Code::NotReady, "the stored sessions are still being loaded").into_response();
    }
    // What it would read may be outdated, and what it would change may not hold elsewhere.
    if !WITHOUT_LEASE.contains(&request.uri.path())
        && let Lease::Out(why) = service.registry.lease().state()
    {
        return Problem::new(Code::NotServing, why).into_response();
    }
    let response = next.run(Request::from_parts(request, body)).await;
    // Such as somebody who would approve his own request.
    let is_refused = response.status() == 403;
    if let Some((call, caller)) = called.filter(|_| is_refused) {
        call.report(&FORBIDDEN, Some(&caller), BY_RULES);
    }
    response
}

/// Whether it asks for the metrics, and may without being an admin.
fn may_read_metrics(service: &Service, request: &Parts) -> bool {
    let is_about_metrics = request.method == Method::GET && route(request) == Some(METRICS);
    is_about_metrics
        && match &*service.metrics_access.read() {
            MetricsAccess::Admins => false,
            MetricsAccess::Open => true,
            MetricsAccess::Credential(credentials) => credentials.are_presented(&request.headers),
        }
}

/// The caller of a request that it may make, and what has let it in.
async fn identified(service: &Service, request: &Parts) -> Result<(Caller, Pass), Problem> {
    let (admins, now_ms) = (service.admins.read().clone(), service.clock.now_ms());
    let (caller, pass) = match admins.identify(&request.headers, now_ms).await {
        Ok(found) => found,
        Err(refused) => {
            service.metrics.unauthenticated_admin.inc();
            Call::of(request).report(&UNKNOWN, None, &refused.why());
            return Err(refused.into());
        }
    };
    let (presented, by) = match &pass {
        Pass::Credential(presented) => (Some(presented.clone()), "credential"),
        Pass::Token(..) => (Presented::read(&request.headers), "token"),
    };
    if presented.is_some_and(|presented| service.signed_in.is_news(&presented, now_ms)) {
        let scopes: Vec<&str> = caller.scopes.names().collect();
        let scopes = scopes.join(" ");
        info!(target: "audit", event = "admin_signed_in", admin = &*caller.name, with = by, scopes, peer = peer(request));
    }
    match permitted(&caller, request) {
        Ok(()) => Ok((caller, pass)),
        Err((why, problem)) => {
            Call::of(request).report(&FORBIDDEN, Some(&caller), why);
            Err(problem)
        }
    }
}

/// The token of a caller, as that of a session: empty for another credential.
#[derive(Debug, Clone, Default)]
pub(super) struct Watched(pub(super) Option<Arc<Token>>);

/// Refuses a token that is good in itself, but whose subject, client or session was blocked or revoked here. Its limits are not
/// those of a session at the filters: `max_age` is for that.
async fn watched(service: &Arc<Service>, request: &Parts, pass: &Pass) -> Result<Watched, Problem> {
    let text = match pass {
        Pass::Credential(_) => return Ok(Watched::default()),
        Pass::Token(..) => bearer(&request.headers).and_then(|token| std::str::from_utf8(token).ok()),
    };
    let now_ms = service.clock.now_ms();
    // As the filters read it, so that it names the same session.
    let facts = text.and_then(|text| service.registry.issuers().read(text).ok()).map(|read| read.facts.to_wire(0));
    let Some(Ok(token)) = facts.map(|facts| Token::read(&facts, service.registry.names(), now_ms)) else {
        return Ok(Watched::default());
    };
    let token = Arc::new(token);
    let (registry, asked) = (Arc::clone(&service.registry), Arc::clone(&token));
    let looked = service.blocking.spawn_blocking(move || registry.is_taken_back_on_disk(&asked, now_ms)).await;
    match looked.map_err(|_| Problem::new(Code::Internal, "the session of the token was not looked up"))?? {
        false => Ok(Watched(Some(token))),
        true => {
            let refused = Refused::Token("its session was revoked, or its user or client is blocked".to_owned());
            service.metrics.unauthenticated_admin.inc();
            Call::of(request).report(&UNKNOWN, None, &refused.why());
            Err(refused.into())
        }
    }
}

/// Paths that match no route are for the fallback: there is nothing behind them.
fn permitted(caller: &Caller, request: &Parts) -> Result<(), (&'static str, Problem)> {
    let Some(route) = route(request) else { return Ok(()) };
    let method = request.method.as_str();
    match entry(method, route) {
        Entry::Needs(needed) if needed.is_met_by(caller) => Ok(()),
        Entry::Needs(Needed::Scope(scope)) => Err((scope.as_str(), Problem::forbidden(&caller.name, scope))),
        Entry::OtherMethods => {
            let detail = format!("`{}` does not support `{method}`", request.uri.path());
            Err(("method", Problem::new(Code::MethodNotAllowed, detail)))
        }
        Entry::Needs(Needed::Credential) | Entry::Missing => {
            let detail = "nobody may call this: it has no entry in the table of permissions";
            Err(("route", Problem::new(Code::Forbidden, detail)))
        }
    }
}

fn route(request: &Parts) -> Option<&str> {
    request.extensions.get::<MatchedPath>().map(MatchedPath::as_str)
}

fn peer(request: &Parts) -> Option<tracing::field::DisplayValue<std::net::SocketAddr>> {
    request.extensions.get::<Peer>().map(|peer| tracing::field::display(peer.0))
}

/// What is told of a call that is refused. What was presented is not part of it.
struct Call {
    method: Method,
    uri: Uri,
    peer: Option<Peer>,
}

impl Call {
    fn of(request: &Parts) -> Self {
        let peer = request.extensions.get::<Peer>().copied();
        Self { method: request.method.clone(), uri: request.uri.clone(), peer }
    }

    fn report(&self, sampler: &Sampler, caller: Option<&Caller>, why: &str) {
        if let Some(not_logged) = sampler.admit() {
            let path: String = self.uri.path().chars().take(PATH_CHARS_MAX).collect();
            let (method, admin) = (self.method.as_str(), caller.map(|caller| &*caller.name));
            let peer = self.peer.as_ref().map(|peer| tracing::field::display(peer.0));
            info!(
                target: "audit", event = "admin_refused", admin, why, method, path, peer, not_logged,
                "refused a call of the admin API"
            );
        }
    }
}

impl Refused {
    /// For the operator; the caller learns less.
    fn why(&self) -> String {
        match self {
            Self::Missing => "no credential".to_owned(),
            Self::Unknown => "its credential is wrong".to_owned(),
            Self::Token(why) => format!("its token is not valid: {why}"),
            Self::Login { .. } => "its login is not strong or not recent enough".to_owned(),
            Self::Unavailable(issuer) => format!("the keys of `{issuer}` cannot be fetched"),
        }
    }
}

impl From<Refused> for Problem {
    fn from(refused: Refused) -> Self {
        let wrong = "the credential is missing or wrong";
        match refused {
            Refused::Missing => Self::new(Code::Unauthorized, wrong),
            // Which of the two it is would be of use to those who guess.
            Refused::Unknown | Refused::Token(_) => {
                Self::new(Code::Unauthorized, wrong).challenge("Bearer error=\"invalid_token\"")
            }
            Refused::Login { acr, max_age } => {
                let detail = "the login behind the token is not strong or not recent enough: log in again";
                Self::new(Code::InsufficientUserAuthentication, detail).challenge(&step_up(&acr, max_age))
            }
            Refused::Unavailable(_) => {
                Self::new(Code::KeysUnavailable, "the keys of the token's issuer cannot be fetched: try again later")
            }
        }
    }
}

/// What the client is to ask its authorization server for (RFC 9470, section 3).
fn step_up(acr: &[String], max_age: Option<Duration>) -> String {
    let acr = if acr.is_empty() { String::new() } else { format!(", acr_values=\"{}\"", acr.join(" ")) };
    let max_age = max_age.map(|max_age| format!(", max_age=\"{}\"", max_age.as_secs())).unwrap_or_default();
    format!("Bearer error=\"insufficient_user_authentication\"{acr}{max_age}")
}

impl Problem {
    fn forbidden(name: &str, scope: Scope) -> Self {
        let scope = scope.as_str();
        Self::new(Code::Forbidden, format!("`{name}` lacks the scope `{scope}`"))
            .challenge(&format!("Bearer error=\"insufficient_scope\", scope=\"{scope}\""))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_up_challenge_says_what_is_missing() {
        let (acr, ten_minutes) = (["aal2".to_owned(), "aal3".to_owned()], Some(Duration::from_mins(10)));
        let error = "Bearer error=\"insufficient_user_authentication\"";
        assert_eq!(step_up(&acr, ten_minutes), format!("{error}, acr_values=\"aal2 aal3\", max_age=\"600\""));
        assert_eq!(step_up(&[], ten_minutes), format!("{error}, max_age=\"600\""));
        assert_eq!(step_up(&acr[..1], None), format!("{error}, acr_values=\"aal2\""));
    }
}
