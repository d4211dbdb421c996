//! The permission to pass, and the refusal.

use crate::{
    answer::Code,
    authorize::{
        Refusal, UpstreamToken,
        bearer::{CredentialError, Scheme},
        head::Head,
        oauth,
        principal::Principal,
        token_place,
    },
    policy::{Access, Policy, WithoutToken},
    route::{Host, Path, RuleId},
};
use std::{borrow::Cow, rc::Rc};

/// The permission to pass. Only the request machine creates one, and the functions here that check for themselves that
/// nothing needs to be asked.
#[derive(Debug)]
#[expect(clippy::manual_non_exhaustive, reason = "no other module of this crate may make one either")]
pub struct Permit {
    /// The rule that released the request; `None` for a preflight, and for the token endpoint.
    pub rule: Option<RuleId>,
    /// The verified token; `None` on a public route, and where a token is optional and there is none.
    pub principal: Option<Rc<Principal>>,
    /// The remaining scopes, if there are fewer than in the token.
    pub narrowed: Option<Rc<[String]>>,
    /// Why the request passed, if the upstream must know about it.
    pub mark: Option<Mark>,
    /// Inbound headers to remove, because only the filter is allowed to set them, or because they hold the token.
    pub strip: Vec<Cow<'static, str>>,
    /// Inbound headers to replace, each by one value without the token.
    pub replace: Vec<(&'static str, Vec<u8>)>,
    /// The token of the session service for the upstream, where the rule wants one.
    pub upstream_token: Option<UpstreamToken>,
    /// Whether a lease released the request, so that the session service was not asked.
    pub is_leased: bool,
    /// Whether it is for the token endpoint, and goes to the session service.
    pub is_oauth: bool,
    _only_made_here: (),
}

impl Permit {
    pub(super) fn new(
        rule: Option<RuleId>,
        principal: Option<Rc<Principal>>,
        narrowed: Option<Rc<[String]>>,
        mark: Option<Mark>,
    ) -> Self {
        Self {
            rule,
            principal,
            narrowed,
            mark,
            strip: Vec::new(),
            replace: Vec::new(),
            upstream_token: None,
            is_leased: false,
            is_oauth: false,
            _only_made_here: (),
        }
    }

    /// The same with the token that its rule wants for the upstream. The error is why it must not pass without one.
    pub(super) fn with_token(
        self,
        token: Option<UpstreamToken>,
        policy: &Policy,
        wall_ms: Option<u64>,
    ) -> Result<Self, Denial> {
        let wanted = self.rule.and_then(|id| policy.rule(id)).and_then(|rule| rule.upstream_token.as_deref());
        match (wanted, &token) {
            (None, _) => Ok(self),
            (Some(wanted), None) if wanted.without == WithoutToken::Refuse => Err(self.without_token(wall_ms)),
            (Some(_), _) => Ok(Self { upstream_token: token, ..self }),
        }
    }

    /// None is minted for a token that has expired. Those are accepted for as long as clocks may differ, but only a new one
    /// helps.
    fn without_token(self, wall_ms: Option<u64>) -> Denial {
        let Self { rule, principal, narrowed, .. } = self;
        let has_expired = principal.as_ref().zip(wall_ms).is_some_and(|(of, now_ms)| of.facts.expires_at_ms <= now_ms);
        let code = if has_expired { Code::TokenExpired } else { Code::SessionUnavailable };
        Denial { principal, narrowed, ..Denial::new(code, rule) }
    }

    #[cfg(test)]
    pub(in crate::authorize) fn for_test(
        rule: RuleId,
        principal: Rc<Principal>,
        narrowed: Option<Rc<[String]>>,
    ) -> Self {
        Self::new(Some(rule), Some(principal), narrowed, None)
    }

    /// The permit of a public rule; `None` for any other rule.
    pub(in crate::authorize) fn public(id: RuleId, policy: &Policy) -> Option<Self> {
        let is_public = policy.rule(id).is_some_and(|rule| matches!(rule.access, Access::Public));
        is_public.then(|| Self::new(Some(id), None, None, None))
    }

    /// The permit of a rule whose token is optional, for a request without one; `None` for any other rule or request.
    pub(in crate::authorize) fn anonymous(id: RuleId, head: &Head<'_>, policy: &Policy) -> Option<Self> {
        let is_optional = policy.rule(id).is_some_and(|rule| matches!(rule.access, Access::Optional));
        let has_none = matches!(token_place::find(head, policy), Err(CredentialError::NoCredentials));
        (is_optional && has_none).then(|| Self::new(Some(id), None, None, None))
    }

    /// The permit of a request for the token endpoint, which judges it; `None` for any other request. The error is why it must
    /// not reach the endpoint.
    pub(in crate::authorize) fn oauth(
        head: &Head<'_>,
        host: &Host<'_>,
        path: &Path<'_>,
        policy: &Policy,
    ) -> Option<Result<Self, Denial>> {
        let endpoint = oauth::endpoint(host, path, policy)?;
        let admitted = oauth::admit(endpoint, head, policy).map_err(|code| Denial::new(code, None));
        Some(admitted.map(|()| Self { is_oauth: true, ..Self::new(None, None, None, None) }))
    }

    /// The permit of a CORS preflight, if the policy allows it and a rule answers the request that it announces. A
    /// preflight has no body (Fetch standard, section 4.8), and what is released unchecked must not carry one.
    pub(in crate::authorize) fn preflight(
        head: &Head<'_>,
        host: &Host<'_>,
        path: &Path<'_>,
        policy: &Policy,
    ) -> Option<Self> {
        let method = head.preflight.filter(|_| policy.cors_preflight && !head.has_body)?;
        policy.routes.find(host, method, path).map(|_| Self::new(None, None, None, None))
    }
}

/// Why a request passed that would normally have been refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mark {
    /// The policy is in shadow mode; this is the refusal that was not carried out.
    Shadow(Refusal),
    /// The session service is unavailable, and the rule releases reads.
    OutageReadOnly,
    /// The session service is unavailable, and the same token was released on the same rule a short while ago.
    OutageGrace,
}

/// A refusal, and the party it concerns.
#[derive(Debug)]
pub struct Denial {
    /// Why.
    pub refusal: Refusal,
    /// The rule that refused the request; `None` if no rule was found.
    pub rule: Option<RuleId>,
    /// The verified token that was refused, if there is one.
    pub principal: Option<Rc<Principal>>,
    /// The remaining scopes, if they were refused and are fewer than in the token.
    pub narrowed: Option<Rc<[String]>>,
    /// What the token's login does not meet, if that is why it was refused.
    pub step_up: Option<StepUp>,
    /// The scheme under which the token was presented, which the challenge is about.
    pub scheme: Scheme,
    /// The nonce that the next proof must contain, if one is required.
    pub nonce: Option<String>,
    /// Whether the request came with a handle in a cookie.
    pub is_of_cookie: bool,
}

/// What a token says of its login and a rule does not accept (RFC 9470). What the session service refuses is not known here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StepUp {
    /// Its `acr` is none of the rule's.
    Acr,
    /// Its `auth_time` is older than the rule's `max_age`, or cannot be read.
    MaxAge,
}

impl Denial {
    pub(in crate::authorize) fn new(refusal: impl Into<Refusal>, rule: Option<RuleId>) -> Self {
        let (scheme, nonce) = Default::default();
        Self {
            refusal: refusal.into(),
            rule,
            principal: None,
            narrowed: None,
            step_up: None,
            scheme,
            nonce,
            is_of_cookie: false,
        }
    }

    pub(in crate::authorize) fn of_login(principal: &Rc<Principal>, step_up: StepUp, rule: RuleId) -> Self {
        Self { step_up: Some(step_up), ..Self::of(principal, Code::StepUpRequired, rule) }
    }

    pub(in crate::authorize) fn of(principal: &Rc<Principal>, refusal: impl Into<Refusal>, rule: RuleId) -> Self {
        Self { principal: Some(Rc::clone(principal)), ..Self::new(refusal, Some(rule)) }
    }
}
