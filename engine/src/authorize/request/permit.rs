//! The right to pass, and the refusal.

use crate::{
    answer::Code,
    authorize::{head::Head, principal::Principal},
    policy::{Access, Policy},
    route::RuleId,
};
use std::rc::Rc;

/// The right to pass. Nobody makes one but the request machine, and the two functions here that check for themselves that
/// nothing needs to be asked.
#[derive(Debug)]
#[expect(clippy::manual_non_exhaustive, reason = "no other module of this crate may make one either")]
pub struct Permit {
    /// The rule that let the request pass; none for a preflight.
    pub rule: Option<RuleId>,
    /// Who passes; none on a public route.
    pub principal: Option<Rc<Principal>>,
    /// The scopes that are left, if fewer than the token's.
    pub narrowed: Option<Rc<[String]>>,
    /// What the upstream must know of how the request passed.
    pub mark: Option<Mark>,
    /// Inbound headers to remove: only the filter may set them.
    pub strip: Vec<String>,
    _only_made_here: (),
}

impl Permit {
    pub(super) fn new(
        rule: Option<RuleId>,
        principal: Option<Rc<Principal>>,
        narrowed: Option<Rc<[String]>>,
        mark: Option<Mark>,
    ) -> Self {
        Self { rule, principal, narrowed, mark, strip: Vec::new(), _only_made_here: () }
    }

    /// The permit of a public rule; none for any other.
    pub(in crate::authorize) fn public(id: RuleId, policy: &Policy) -> Option<Self> {
        let is_public = policy.rule(id).is_some_and(|rule| matches!(rule.access, Access::Public));
        is_public.then(|| Self::new(Some(id), None, None, None))
    }

    /// The permit of a CORS preflight, where the policy lets those pass.
    pub(in crate::authorize) fn preflight(head: &Head<'_>, policy: &Policy) -> Option<Self> {
        (head.preflight && policy.cors_preflight).then(|| Self::new(None, None, None, None))
    }
}

/// Why a request passed that would not have in other times.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mark {
    /// It would have been refused, but the policy is in shadow mode.
    Shadow(Code),
    /// The session service is out, and the rule lets reads pass.
    OutageReadOnly,
    /// The session service is out, and the same was granted a short while ago.
    OutageGrace,
}

/// A refusal, and to whom.
#[derive(Debug)]
pub struct Denial {
    /// Why.
    pub code: Code,
    /// The rule that refused; none when no rule was found.
    pub rule: Option<RuleId>,
    /// Who was refused, as far as a verified token says.
    pub principal: Option<Rc<Principal>>,
}

impl Denial {
    pub(in crate::authorize) const fn new(code: Code, rule: Option<RuleId>) -> Self {
        Self { code, rule, principal: None }
    }

    pub(in crate::authorize) fn of(principal: &Rc<Principal>, code: Code, rule: RuleId) -> Self {
        Self { code, rule: Some(rule), principal: Some(Rc::clone(principal)) }
    }
}
