//! The audit of requests for access.

use super::Audit;
use super::event::{About, Details, Event, Kind, Scopes, Text};
use crate::approvals::{AccessRequest, Decision, State, User, Why};
use crate::clock::rfc3339;
use portcullis_contract::SessionId;
use tracing::{info, warn};

impl Audit {
    /// A request was made. One that helps itself in an emergency is loud.
    pub fn access_requested(&self, request: &AccessRequest) {
        let AccessRequest { id, rule, requester, session, user, reason, ticket, escalation, .. } = request;
        let scopes = request.scopes.join(" ");
        let expires_at = rfc3339(request.expires_at_ms);
        info!(
            target: "audit", event = "approval_requested", request = id, rule, requester = requester.name,
            session = %session, issuer = user.issuer, subject = user.subject, scopes, stated_reason = reason,
            ticket = ticket.as_deref(), escalation, expires_at,
        );
        let stated = || Details { stated_reason: Text::given(reason), ..Details::default() };
        self.announce_request(Kind::ApprovalRequested, request, stated(), request.created_at_ms);
        if let (Some(grant), Some(_)) = (&request.grant, &request.review) {
            let until = grant.until_ms.map(rfc3339);
            info!(
                target: "audit", event = "break_glass", request = id, rule, requester = requester.name,
                session = %session, issuer = user.issuer, subject = user.subject, scopes, stated_reason = reason,
                grant = grant.id, until,
            );
            self.announce_request(Kind::BreakGlass, request, stated(), request.created_at_ms);
            warn!(
                request = id,
                requester = requester.name,
                scopes,
                "access was taken in an emergency, without an approval: it must be reviewed by somebody else"
            );
        }
    }

    /// Somebody has decided something about a request.
    pub fn access_decided(&self, request: &AccessRequest, decision: &Decision, by: &str, comment: &str) {
        let AccessRequest { id, rule, requester, session, user, state, .. } = request;
        let event = match decision {
            Decision::Approve(_) | Decision::Deny => "approval_decided",
            Decision::Cancel => "approval_cancelled",
            Decision::Review => "approval_reviewed",
            // Its comment is a part of the end.
            Decision::Revoke => return self.access_over(request, Some(Why::Revoked)),
        };
        let approved = !matches!(decision, Decision::Deny | Decision::Cancel);
        let grant = request.grant.as_ref().filter(|_| matches!(decision, Decision::Approve(_)));
        let until = grant.and_then(|grant| grant.until_ms).map(rfc3339);
        let once = grant.map(|grant| grant.once);
        info!(
            target: "audit", event, request = id, rule, requester = requester.name, session = %session, issuer = user.issuer,
            subject = user.subject, scopes = request.scopes.join(" "), approved, state = state.as_str(),
            step = request.steps.len(), comment, grant = grant.map(|grant| grant.id.as_str()), until, once,
            admin = by,
        );
        if matches!(decision, Decision::Approve(_) | Decision::Deny) {
            let (stated_reason, admin) = (Text::given(comment), Some(by.into()));
            let details = Details { state: Some(state.as_str()), stated_reason, admin, ..Details::default() };
            self.announce_request(Kind::ApprovalDecided, request, details, self.clock.now_ms());
        }
    }

    /// Nobody has decided a request in time, or its grant has ended.
    pub fn access_over(&self, request: &AccessRequest, why: Option<Why>) {
        let AccessRequest { id, rule, session, user, .. } = request;
        let scopes = request.scopes.join(" ");
        match (why, &request.grant) {
            (Some(why), Some(grant)) => {
                let by = grant.ended.as_ref().and_then(|ended| ended.by.as_deref());
                let comment = grant.ended.as_ref().map(|ended| ended.comment.as_str()).filter(|text| !text.is_empty());
                info!(
                    target: "audit", event = "grant_ended", request = id, grant = grant.id, rule, session = %session,
                    issuer = user.issuer, subject = user.subject, scopes, reason = why.as_str(), admin = by, comment,
                );
                let at_ms = grant.ended.as_ref().map_or_else(|| self.clock.now_ms(), |ended| ended.at_ms);
                let details = Details { reason: Some(why.as_str()), admin: by.map(Into::into), ..Details::default() };
                self.announce_request(Kind::GrantEnded, request, details, at_ms);
            }
            _ => {
                let state = State::Expired.as_str();
                info!(
                    target: "audit", event = "approval_expired", request = id, rule, session = %session,
                    issuer = user.issuer, subject = user.subject, scopes, state,
                );
            }
        }
    }

    /// A request was released because of a grant for one request.
    pub fn grant_used(&self, request: &AccessRequest) {
        let AccessRequest { id, rule, session, user, .. } = request;
        let Some((grant, used)) = request.grant.as_ref().and_then(|grant| Some((grant, grant.used.as_ref()?))) else {
            return;
        };
        info!(
            target: "audit", event = "grant_used", request = id, grant = grant.id, rule, session = %session,
            issuer = user.issuer, subject = user.subject, scopes = request.scopes.join(" "), route = used.route,
        );
        let details = Details { route: Some(Text::new(&used.route)), ..Details::default() };
        self.announce_request(Kind::GrantUsed, request, details, used.at_ms);
    }

    fn announce_request(&self, kind: Kind, request: &AccessRequest, details: Details, at_ms: u64) {
        let about = About::Request {
            session: request.session,
            issuer: request.user.issuer.as_str().into(),
            subject: request.user.subject.as_str().into(),
            id: request.id.as_str().into(),
        };
        let details = Details { scopes: Scopes::given(&request.scopes), ..details };
        self.history.push(Event { kind, about, details, at_ms });
    }

    /// An escalation was refused that nobody can approve.
    pub fn nobody_approves(&self, session: SessionId, user: &User, scopes: &[String]) {
        info!(
            target: "audit", event = "approval_impossible", session = %session, issuer = user.issuer,
            subject = user.subject, scopes = scopes.join(" "),
        );
    }
}
