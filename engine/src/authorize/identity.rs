//! What the upstream and the access log learn about a decision.

use super::{
    principal::Principal,
    request::{Denial, Mark, Permit},
};
use crate::{policy::Policy, route::RuleId};
use std::borrow::Cow;

/// The headers added to a released request.
pub fn headers<'a>(permit: &'a Permit, policy: &Policy) -> impl Iterator<Item = (&'static str, Cow<'a, str>)> {
    let wanted = policy.identity_headers;
    let field = |name, wanted: bool, value: fn(&'a Permit, &'a Principal) -> Option<Cow<'a, str>>| {
        let principal = permit.principal.as_deref().filter(|_| wanted && !is_nobody(permit));
        principal.and_then(|principal| Some((name, value(permit, principal)?)))
    };
    let mark = permit.mark.map(|mark| match mark {
        Mark::Shadow(code) => ("x-portcullis-shadow", code.name().into()),
        Mark::OutageReadOnly => ("x-portcullis-outage", "read_only".into()),
        Mark::OutageGrace => ("x-portcullis-outage", "grace".into()),
    });
    let headers = [
        field("x-portcullis-subject", wanted.subject, |_, known| known.facts.subject.as_deref().map(Cow::from)),
        field("x-portcullis-client", wanted.client, |_, known| known.facts.client_id.as_deref().map(Cow::from)),
        field("x-portcullis-scopes", wanted.scopes, |permit, known| Some(effective_scopes(permit, known))),
        field("x-portcullis-session", wanted.session, |_, known| Some(Cow::from(&known.facts.session_id))),
        mark,
    ];
    headers.into_iter().flatten()
}

/// Whether shadow mode released a token that proves nothing any more: the upstream must not treat it as an identity.
fn is_nobody(permit: &Permit) -> bool {
    matches!(permit.mark, Some(Mark::Shadow(code)) if code.status() == 401)
}

/// The token's scopes without those that its session has lost.
fn effective_scopes<'a>(permit: &Permit, principal: &'a Principal) -> Cow<'a, str> {
    match &permit.narrowed {
        Some(left) => left.join(" ").into(),
        None => principal.scopes.as_str().into(),
    }
}

/// The access-log field of a released request: code, route and session, but never the token.
pub fn permit_record(permit: &Permit, policy: &Policy) -> String {
    let (kind, code) = match (permit.mark, &permit.principal) {
        (Some(Mark::Shadow(code)), _) => ("shadow:", code.name()),
        (Some(Mark::OutageReadOnly), _) => ("outage:", "read_only"),
        (Some(Mark::OutageGrace), _) => ("outage:", "grace"),
        (None, Some(_)) => ("", "ok"),
        (None, None) => ("", "public"),
    };
    let session = permit.principal.as_ref().map(|principal| principal.facts.session_id.as_str());
    record(kind, code, permit.rule, session, policy)
}

/// The access-log field of a refused request.
pub fn denial_record(denial: &Denial, policy: &Policy) -> String {
    let session = denial.principal.as_ref().map(|principal| principal.facts.session_id.as_str());
    record("", denial.code.name(), denial.rule, session, policy)
}

fn record(kind: &str, code: &str, rule: Option<RuleId>, session: Option<&str>, policy: &Policy) -> String {
    let route = rule.and_then(|id| policy.rule(id)).map_or("-", |rule| rule.name.as_str());
    ["code=", kind, code, " route=", route, " session=", session.unwrap_or("-")].concat()
}
