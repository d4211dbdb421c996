//! Who may pass to the routes of the admin API: callers with a credential, and with the scope that the route needs.

use super::permissions::{Entry, Needed, entry};
use super::problem::{Code, Problem};
use crate::admins::{Caller, Scope};
use crate::listener::Peer;
use crate::log::Sampler;
use crate::replica::State as Lease;
use crate::service::Service;
use axum::extract::{FromRequestParts, MatchedPath, Request, State};
use axum::http::request::Parts;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde_json::Value;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tracing::warn;

/// Refused calls that are logged: anybody can make them.
static REFUSED: Sampler = Sampler::new();

/// The most of a refused call's path that is logged.
const PATH_CHARS_MAX: usize = 200;

/// What is answered also by a replica whose serve lease has run out.
const WITHOUT_LEASE: [&str; 5] = ["/metrics", "/v1/replicas", "/v1/filters", "/v1/clock/confirm", "/v1/whoami"];

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
pub(super) async fn admit(State(service): State<Arc<Service>>, mut request: Request, next: Next) -> Response {
    let caller = match identified(&service, &request) {
        Ok(caller) => caller,
        Err(problem) => return problem.into_response(),
    };
    if let Err(problem) = permitted(&caller, &request) {
        return problem.into_response();
    }
    if !service.is_loaded.load(Ordering::SeqCst) {
        return Problem::new(Code::NotReady, "the stored sessions are still being loaded").into_response();
    }
    // What it would read may be outdated, and what it would change may not hold elsewhere.
    if !WITHOUT_LEASE.contains(&request.uri().path())
        && let Lease::Out(why) = service.registry.lease().state()
    {
        return Problem::new(Code::NotServing, why).into_response();
    }
    request.extensions_mut().insert(caller);
    next.run(request).await
}

fn identified(service: &Service, request: &Request) -> Result<Caller, Problem> {
    if service.admin_credential.read().are_presented(request.headers()) {
        let (scopes, claims) = ([Scope::Admin].into_iter().collect(), Arc::new(Value::Null));
        return Ok(Caller { name: "admin_credential".into(), scopes, subject: None, claims });
    }
    service.metrics.unauthenticated_admin.inc();
    if let Some(not_logged) = REFUSED.admit() {
        let peer = request.extensions().get::<Peer>().map(|peer| tracing::field::display(peer.0));
        let path: String = request.uri().path().chars().take(PATH_CHARS_MAX).collect();
        warn!(peer, path, not_logged, "refused a call of the admin API: its credential is missing or wrong");
    }
    Err(Problem::new(Code::Unauthorized, "the credential is missing or wrong"))
}

/// Paths that match no route are for the fallback: there is nothing behind them.
fn permitted(caller: &Caller, request: &Request) -> Result<(), Problem> {
    let Some(route) = request.extensions().get::<MatchedPath>() else { return Ok(()) };
    let method = request.method().as_str();
    match entry(method, route.as_str()) {
        Entry::Needs(needed) if needed.is_met_by(caller) => Ok(()),
        Entry::Needs(Needed::Scope(scope)) => {
            Err(Problem::new(Code::Forbidden, format!("`{}` lacks the scope `{}`", caller.name, scope.as_str())))
        }
        Entry::OtherMethods => {
            let path = request.uri().path();
            Err(Problem::new(Code::MethodNotAllowed, format!("`{path}` does not support `{method}`")))
        }
        Entry::Needs(Needed::Credential) | Entry::Missing => {
            Err(Problem::new(Code::Forbidden, "nobody may call this: it has no entry in the table of permissions"))
        }
    }
}
