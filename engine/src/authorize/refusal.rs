//! Why a request is refused, and the answer to it: the code's own, with the requirements of the rule that refused it.

use super::{bearer::Scheme, condition::Condition, request::Denial};
use crate::{
    answer::{Answer, Code, Demand, DpopDemand},
    policy::{Access, Policy},
    token::{Reason, Rejection},
};
use std::rc::Rc;

/// Why a request is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// What the client learns.
    pub code: Code,
    /// What was wrong with its token: for operators only. Every `invalid_token` has a reason, and no other code has one.
    pub reason: Option<Reason>,
    /// The condition of the session service that refused it, if one did.
    pub condition: Option<Rc<Condition>>,
}

impl From<Code> for Refusal {
    fn from(code: Code) -> Self {
        Self { code, reason: None, condition: None }
    }
}

impl From<Reason> for Refusal {
    fn from(reason: Reason) -> Self {
        Self { code: Code::InvalidToken, reason: Some(reason), condition: None }
    }
}

impl From<Rejection> for Refusal {
    fn from(rejection: Rejection) -> Self {
        match (rejection.reason(), rejection) {
            (Some(reason), _) => reason.into(),
            (None, Rejection::NoKeys { .. }) => Code::KeysUnavailable.into(),
            (None, _) => Code::TokenExpired.into(),
        }
    }
}

impl Denial {
    /// The answer for the client. `requests_url` is where people ask for approvals, if the session service has said so.
    pub fn answer(&self, policy: &Policy, requests_url: Option<&str>) -> Answer {
        let request_url = self.request_url(requests_url);
        let dpop = policy.possession.as_ref().map(|possession| DpopDemand {
            algorithms: &possession.algorithms,
            is_presented: self.scheme == Scheme::Dpop,
            nonce: self.nonce.as_deref(),
        });
        // The person is logged out here, and must not be told so with each request. A login of another kind does not end it.
        let ends_cookie =
            self.is_of_cookie && self.refusal.code.status() == 401 && self.refusal.code != Code::StepUpRequired;
        let cleared_cookie = policy.session_cookie().filter(|_| ends_cookie);
        let demand = Demand { request_url: request_url.as_deref(), dpop, cleared_cookie, ..self.demand(policy) };
        Answer::new(self.refusal.code, &policy.realm, demand)
    }

    /// Where an approval for the refused session can be asked for.
    fn request_url(&self, requests_url: Option<&str>) -> Option<String> {
        let principal = self.principal.as_ref().filter(|_| self.refusal.code == Code::ApprovalRequired)?;
        Some(format!("{}{}", requests_url?, principal.facts.session_id))
    }

    /// The requirements of the rule that refused the request. What its condition says of a login is more exact.
    fn demand<'a>(&'a self, policy: &'a Policy) -> Demand<'a> {
        let condition = self.refusal.condition.as_deref();
        let requestable = condition.filter(|_| self.refusal.code == Code::ApprovalRequired);
        let Some(rule) = self.rule.and_then(|id| policy.rule(id)) else { return Demand::default() };
        Demand {
            scope: match &rule.access {
                Access::Scopes(requirement) => requirement.challenge(),
                Access::Public | Access::Optional | Access::Authenticated => "",
            },
            acr: condition.map(|of| of.acr.as_slice()).filter(|acr| !acr.is_empty()).unwrap_or(&rule.acr),
            max_age: condition.and_then(|of| of.max_age).or(rule.limits.max_age),
            request_url: None,
            dpop: None,
            cleared_cookie: None,
            requestable: requestable.map(|of| of.requestable.as_str()).filter(|scope| !scope.is_empty()),
            detail: condition.and_then(Condition::detail),
        }
    }
}
