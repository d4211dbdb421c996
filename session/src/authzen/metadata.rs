//! `/.well-known/authzen-configuration`: where the endpoints are, seen from the caller. It needs no credential, as metadata of
//! this kind never does: it says nothing that its caller has not just used.

use super::fault::Fault;
use super::router::{EVALUATION, EVALUATIONS, Point};
use axum::Json;
use axum::extract::State;
use axum::http::header::HOST;
use axum::http::uri::Authority;
use axum::http::{HeaderMap, Uri};
use serde_json::{Value, json};

/// The header in which a proxy that ends TLS before the service says so.
const FORWARDED_PROTO: &str = "x-forwarded-proto";

/// Answers a call.
pub(super) async fn metadata(State(point): State<Point>, uri: Uri, headers: HeaderMap) -> Result<Json<Value>, Fault> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let is_encrypted = point.tls.read().is_some() || text(FORWARDED_PROTO) == Some("https");
    let authority = uri.authority().map(Authority::as_str).or_else(|| text(HOST.as_str()));
    base(authority.unwrap_or_default(), is_encrypted).map(|base| Json(described(&base)))
}

/// The identifier of the decision point, by the host that the caller has used.
fn base(authority: &str, is_encrypted: bool) -> Result<String, Fault> {
    let read: Authority = authority.parse().map_err(|_| Fault::invalid("the request has no usable `Host`"))?;
    if read.as_str().contains('@') {
        return Err(Fault::invalid("the request has no usable `Host`"));
    }
    Ok(format!("{}://{read}", if is_encrypted { "https" } else { "http" }))
}

fn described(base: &str) -> Value {
    json!({
        "policy_decision_point": base,
        "access_evaluation_endpoint": format!("{base}{EVALUATION}"),
        "access_evaluations_endpoint": format!("{base}{EVALUATIONS}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_endpoints_are_where_the_caller_has_found_the_metadata() {
        let of = |authority, is_encrypted| base(authority, is_encrypted).ok();
        assert_eq!(of("pdp.example.com", true).as_deref(), Some("https://pdp.example.com"));
        assert_eq!(of("[::1]:7070", false).as_deref(), Some("http://[::1]:7070"));
        for wrong in ["", "a b", "user@example.com", "a/b", "a?b"] {
            assert_eq!(of(wrong, true), None, "{wrong}");
        }
        let wanted = json!({
            "policy_decision_point": "https://pdp.example.com",
            "access_evaluation_endpoint": "https://pdp.example.com/access/v1/evaluation",
            "access_evaluations_endpoint": "https://pdp.example.com/access/v1/evaluations",
        });
        assert_eq!(described("https://pdp.example.com"), wanted);
    }
}
