//! What the upstream and the access log learn of a decision.

use super::request::{Denial, Mark, Permit};
use crate::{policy::Policy, route::RuleId};

/// The headers that a released request gets.
pub fn headers(permit: &Permit, policy: &Policy) -> Vec<(&'static str, String)> {
    let mut headers = Vec::new();
    if let Some(credential) = &permit.credential {
        let (facts, wanted) = (&credential.facts, policy.identity_headers);
        let fields = [
            ("x-portcullis-subject", wanted.subject.then(|| facts.subject.clone()).flatten()),
            ("x-portcullis-client", wanted.client.then(|| facts.client_id.clone()).flatten()),
            ("x-portcullis-scopes", wanted.scopes.then(|| effective_scopes(permit, &facts.scopes))),
            ("x-portcullis-session", wanted.session.then(|| facts.session_id.clone())),
        ];
        headers.extend(fields.into_iter().filter_map(|(name, value)| Some((name, value?))));
    }
    match permit.mark {
        Some(Mark::Shadow(code)) => headers.push(("x-portcullis-shadow", code.name().to_owned())),
        Some(Mark::OutageReadOnly) => headers.push(("x-portcullis-outage", "read_only".to_owned())),
        Some(Mark::OutageGrace) => headers.push(("x-portcullis-outage", "grace".to_owned())),
        None => {}
    }
    headers
}

/// The token's scopes, less those that its session has lost.
fn effective_scopes(permit: &Permit, of_token: &[String]) -> String {
    permit.narrowed.as_deref().unwrap_or(of_token).join(" ")
}

/// The access log's field of a released request: code, route and session, never the token.
pub fn permit_record(permit: &Permit, policy: &Policy) -> String {
    let code = match (permit.mark, &permit.credential) {
        (Some(Mark::Shadow(code)), _) => format!("shadow:{}", code.name()),
        (Some(Mark::OutageReadOnly), _) => "outage:read_only".to_owned(),
        (Some(Mark::OutageGrace), _) => "outage:grace".to_owned(),
        (None, Some(_)) => "ok".to_owned(),
        (None, None) => "public".to_owned(),
    };
    let session = permit.credential.as_ref().map(|credential| credential.facts.session_id.as_str());
    record(&code, permit.rule, session, policy)
}

/// The access log's field of a refused request.
pub fn denial_record(denial: &Denial, policy: &Policy) -> String {
    let session = denial.credential.as_ref().map(|credential| credential.facts.session_id.as_str());
    record(denial.code.name(), denial.rule, session, policy)
}

fn record(code: &str, rule: Option<RuleId>, session: Option<&str>, policy: &Policy) -> String {
    let route = rule.and_then(|id| policy.rules.get(id.0)).map_or("-", |rule| rule.name.as_str());
    format!("code={code} route={route} session={}", session.unwrap_or("-"))
}
