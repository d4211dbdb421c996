//! The state machine of one request: `Fresh → Redeeming → Asking → Asked → Released | Denied`.
//!
//! Each state owns its own data, events go in and [`Step`]s come out. A request passes only by a [`Permit`].

pub(super) mod permit;

use super::{
    Refusal,
    leases::Leased,
    local,
    principal::Principal,
    question::{Arrival, Inquiry, Question, Verdict},
    session_memory::known::Known,
    upstream_token::UpstreamToken,
};
use crate::{
    answer::Code,
    policy::{Access, Mode, Outage, Policy},
    route::RuleId,
};
pub use permit::{Denial, Mark, Permit, StepUp};
use std::rc::Rc;

/// The state of a request.
#[derive(Debug, Default)]
pub enum Request {
    /// No decision has been made yet.
    #[default]
    Fresh,
    /// It came with a handle, and the session service is asked for the token.
    Redeeming(Arrival),
    /// Its question cannot be asked yet, because its issuer's keys are being fetched.
    Asking(Arrival),
    /// The session service has been asked.
    Asked(Inquiry),
    /// It can pass. Holds what has to remain true for as long as the request is open.
    Released(Option<Open>),
    /// It was refused or cut.
    Denied,
}

/// A released request that depends on a session; the session is checked for as long as the request is open.
#[derive(Debug, Clone)]
pub struct Open {
    /// The rule that released it.
    pub rule: RuleId,
    /// The request's verified token.
    pub principal: Rc<Principal>,
}

/// An event in the life of a request.
#[derive(Debug)]
pub enum Event {
    /// The filter's own decision, on arrival or once a token or keys have arrived.
    Decided(Decision),
    /// The session service's verdict, with the wall-clock time.
    Verdict(Verdict, Option<u64>),
    /// The same, with the token for the upstream that came with it.
    VerdictWithToken(Verdict, Option<UpstreamToken>, Option<u64>),
    /// The worker has a lease for its token and route, at this wall-clock time.
    Leased(Leased, Option<u64>),
    /// The session service explained an opaque token and found it valid, at this wall-clock time.
    Proven(Rc<Principal>, u64),
    /// There will be no verdict: the last ones have to decide, at this wall-clock time.
    NoVerdict(Known, Option<u64>),
    /// The keys did not arrive in time.
    NoKeys,
    /// The request is open, and there is a new verdict on its session.
    Followed(Verdict),
    /// The request is open, and the session service cannot tell anything about its session: the last verdicts decide.
    NoNews(Known),
    /// The request is open, and a limit has passed.
    Overdue(Refusal),
}

/// How a request continues, or why it is refused.
pub type Decision = Result<Next, Denial>;

/// How a request continues.
#[derive(Debug)]
pub enum Next {
    /// The token of its handle is asked for.
    AwaitToken(Arrival),
    /// The issuer's keys are being fetched.
    AwaitKeys(Arrival),
    /// Ask the session service.
    Ask(Inquiry),
    /// Let it pass.
    Release(Permit),
}

/// What the caller has to do now.
#[derive(Debug)]
pub enum Step {
    /// Nothing: the request waits, or has been decided before.
    Wait,
    /// Ask the session service.
    Ask(Inquiry),
    /// Let it pass.
    Release(Permit),
    /// Refuse it.
    Deny(Denial),
    /// End an open request.
    Cut(Denial),
    /// Would be `Cut`, but the policy or the rule is in shadow mode.
    Spare(Denial),
}

impl Step {
    /// Why a request is refused, or would be if shadow mode did not release it.
    pub(super) fn refusal(&self) -> Option<&Refusal> {
        match self {
            Self::Deny(denial) | Self::Cut(denial) | Self::Spare(denial) => Some(&denial.refusal),
            Self::Release(Permit { mark: Some(Mark::Shadow(refusal)), .. }) => Some(refusal),
            Self::Release(_) | Self::Wait | Self::Ask(_) => None,
        }
    }
}

impl Request {
    /// The only way to change a request's state. An event that does not fit the state (late or duplicate) changes
    /// nothing.
    pub fn on(&mut self, event: Event, policy: &Policy) -> Step {
        let decision = match (&*self, event) {
            (Self::Fresh | Self::Redeeming(_) | Self::Asking(_), Event::Decided(decision)) => decision,
            (Self::Asking(arrival), Event::NoKeys) => Err(Denial::new(Code::KeysUnavailable, Some(arrival.rule))),
            (Self::Asked(Inquiry::Session(question)), Event::Verdict(verdict, wall_ms)) => {
                answered(question, verdict, None, policy, wall_ms).map(Next::Release)
            }
            (Self::Asked(Inquiry::Session(question)), Event::VerdictWithToken(verdict, token, wall_ms)) => {
                answered(question, verdict, token, policy, wall_ms).map(Next::Release)
            }
            (Self::Asked(Inquiry::Session(question)), Event::Leased(leased, wall_ms)) => {
                match by_lease(question, leased, policy, wall_ms) {
                    Some(permit) => Ok(Next::Release(permit)),
                    None => return Step::Wait,
                }
            }
            (Self::Asked(Inquiry::Token(arrival)), Event::Verdict(Verdict::Ended(refusal), _)) => {
                Err(Denial::new(refusal, Some(arrival.rule)))
            }
            (Self::Asked(Inquiry::Token(arrival)), Event::Proven(principal, now_ms)) => {
                proven(arrival, &principal, policy, now_ms)
            }
            (Self::Asked(inquiry), Event::NoVerdict(known, wall_ms)) => outage(inquiry, &known, policy, wall_ms),
            (Self::Released(Some(open)), Event::Followed(verdict)) => {
                return self.follow(&open.clone(), verdict, policy);
            }
            (Self::Released(Some(open)), Event::NoNews(known)) => {
                return self.hold(&open.clone(), &known, policy);
            }
            (Self::Released(Some(open)), Event::Overdue(refusal)) => return self.cut(&open.clone(), refusal, policy),
            _ => return Step::Wait,
        };
        match decision {
            Ok(Next::AwaitToken(arrival)) => {
                *self = Self::Redeeming(arrival);
                Step::Wait
            }
            Ok(Next::AwaitKeys(arrival)) => {
                *self = Self::Asking(arrival);
                Step::Wait
            }
            Ok(Next::Ask(inquiry)) => {
                *self = Self::Asked(inquiry.clone());
                Step::Ask(inquiry)
            }
            Ok(Next::Release(permit)) => {
                *self = Self::Released(open(&permit));
                Step::Release(permit)
            }
            Err(denial) => self.refuse(denial, policy),
        }
    }

    fn refuse(&mut self, denial: Denial, policy: &Policy) -> Step {
        match policy.mode_on(denial.rule) {
            Mode::Enforce => {
                *self = Self::Denied;
                Step::Deny(denial)
            }
            Mode::Shadow => {
                *self = Self::Released(None);
                Step::Release(Permit::new(
                    denial.rule,
                    denial.principal,
                    denial.narrowed,
                    Some(Mark::Shadow(denial.refusal)),
                ))
            }
        }
    }

    fn follow(&mut self, open: &Open, verdict: Verdict, policy: &Policy) -> Step {
        match verdict {
            Verdict::Ended(refusal) => self.cut(open, refusal, policy),
            Verdict::Active(Some(left)) if !scopes_suffice(policy, open.rule, &left) => {
                let denial = Denial::of(&open.principal, Code::InsufficientScope, open.rule);
                self.cut_for(Denial { narrowed: Some(left), ..denial }, policy)
            }
            Verdict::Active(_) => Step::Wait,
        }
    }

    /// Whether an open request continues without news about its session: not where an outage denies, nor against the
    /// last verdict.
    fn hold(&mut self, open: &Open, known: &Known, policy: &Policy) -> Step {
        let denies = policy.rule(open.rule).is_none_or(|rule| rule.limits.on_outage == Outage::Deny);
        match denies || forbids(known, open.rule, policy) {
            true => self.cut(open, Code::SessionUnavailable, policy),
            false => Step::Wait,
        }
    }

    fn cut(&mut self, open: &Open, refusal: impl Into<Refusal>, policy: &Policy) -> Step {
        self.cut_for(Denial::of(&open.principal, refusal, open.rule), policy)
    }

    fn cut_for(&mut self, denial: Denial, policy: &Policy) -> Step {
        match policy.mode_on(denial.rule) {
            Mode::Enforce => {
                *self = Self::Denied;
                Step::Cut(denial)
            }
            // The request continues, and is not checked any further.
            Mode::Shadow => {
                *self = Self::Released(None);
                Step::Spare(denial)
            }
        }
    }

    /// Whether headers, body and trailers may pass.
    pub const fn is_released(&self) -> bool {
        matches!(self, Self::Released(_))
    }
}

/// A token can expire while its request waits; without a clock it is unknown whether it has.
fn alive(principal: &Rc<Principal>, rule: RuleId, wall_ms: Option<u64>) -> Result<(), Denial> {
    match wall_ms {
        Some(wall_ms) if wall_ms < principal.facts.dies_at_ms => Ok(()),
        Some(_) => Err(Denial::of(principal, Code::TokenExpired, rule)),
        None => Err(Denial::of(principal, Code::SessionUnavailable, rule)),
    }
}

/// The session service has answered: with a token for the upstream, where the rule wants one.
fn answered(
    question: &Question,
    verdict: Verdict,
    token: Option<UpstreamToken>,
    policy: &Policy,
    wall_ms: Option<u64>,
) -> Result<Permit, Denial> {
    alive(&question.principal, question.rule, wall_ms)?;
    judged(question, verdict, policy)?.with_token(token, policy, wall_ms)
}

/// The last verdict, and what has confirmed it since, still holds: it is judged as if it had come now. What it would not
/// release is asked about, and so is a token that is only accepted because clocks may differ.
fn by_lease(question: &Question, leased: Leased, policy: &Policy, wall_ms: Option<u64>) -> Option<Permit> {
    let expires_at_ms = question.principal.facts.expires_at_ms;
    if question.proof.is_some() || wall_ms.is_none_or(|wall_ms| expires_at_ms <= wall_ms) {
        return None;
    }
    let mut permit =
        answered(question, Verdict::Active(leased.narrowed), leased.upstream_token, policy, wall_ms).ok()?;
    permit.is_leased = true;
    Some(permit)
}

fn judged(question: &Question, verdict: Verdict, policy: &Policy) -> Result<Permit, Denial> {
    let Question { rule, principal, .. } = question;
    let narrowed = match verdict {
        // Whoever repeats a proof is not the party that the token is about.
        Verdict::Ended(refusal) if refusal.code == Code::InvalidDpopProof => {
            return Err(Denial::new(refusal, Some(*rule)));
        }
        Verdict::Ended(refusal) => return Err(Denial::of(principal, refusal, *rule)),
        Verdict::Active(narrowed) => narrowed,
    };
    // The session can hold fewer scopes than the token by now, so the route is checked again against the remaining
    // ones.
    if let Some(left) = &narrowed
        && !scopes_suffice(policy, *rule, left)
    {
        return Err(Denial { narrowed, ..Denial::of(principal, Code::InsufficientScope, *rule) });
    }
    Ok(Permit::new(Some(*rule), Some(Rc::clone(principal)), narrowed, None))
}

/// An opaque token is valid: its facts are compared with the rule like those of a verified token. The response that
/// supplied them is also its verdict.
fn proven(arrival: &Arrival, principal: &Rc<Principal>, policy: &Policy, now_ms: u64) -> Decision {
    let question = local::opaque_question(principal, arrival, policy, now_ms)?;
    judged(&question, Verdict::Active(None), policy)?.with_token(None, policy, Some(now_ms)).map(Next::Release)
}

/// There is no verdict: the rule's outage policy decides, unless the last verdict on the session was a refusal. For an
/// opaque token, the facts of its last verdict are used.
fn outage(inquiry: &Inquiry, known: &Known, policy: &Policy, wall_ms: Option<u64>) -> Decision {
    let question = match inquiry {
        Inquiry::Session(question) => question.clone(),
        Inquiry::Token(arrival) => {
            let unavailable = || Denial::new(Code::SessionUnavailable, Some(arrival.rule));
            let (principal, wall_ms) = known.principal.as_ref().zip(wall_ms).ok_or_else(unavailable)?;
            local::opaque_question(principal, arrival, policy, wall_ms).map_err(|_| unavailable())?
        }
    };
    let Question { rule, principal, attributes, proof, .. } = question;
    alive(&principal, rule, wall_ms)?;
    // Nobody else knows whether its proof was used before, and then it is anybody's.
    if proof.is_some() {
        return Err(Denial::new(Code::SessionUnavailable, Some(rule)));
    }
    let mark = match policy.rule(rule).map_or(Outage::Deny, |rule| rule.limits.on_outage) {
        _ if forbids(known, rule, policy) => None,
        Outage::ReadOnly => attributes.is_read_only().then_some(Mark::OutageReadOnly),
        Outage::Grace(grace) => {
            let is_recent = |ago_ms: u64| u128::from(ago_ms) <= grace.as_millis();
            known.granted_ago_ms.is_some_and(is_recent).then_some(Mark::OutageGrace)
        }
        Outage::Deny => None,
    };
    let mark = mark.ok_or_else(|| unavailable(&principal, known, rule))?;
    let permit = Permit::new(Some(rule), Some(principal), known.narrowed.clone(), Some(mark));
    permit.with_token(known.upstream_token.clone(), policy, wall_ms).map(Next::Release)
}

/// The refusal of a request without a verdict. Shadow mode forwards the identity that is in it, so a session that was last
/// known to be refused is nobody's, and one that has lost scopes has not regained them.
fn unavailable(principal: &Rc<Principal>, known: &Known, rule: RuleId) -> Denial {
    match known.is_refused {
        true => Denial::new(Code::SessionUnavailable, Some(rule)),
        false => Denial { narrowed: known.narrowed.clone(), ..Denial::of(principal, Code::SessionUnavailable, rule) },
    }
}

/// Whether the last verdict speaks against a request: the session was over, or has lost a scope that the rule requires.
fn forbids(known: &Known, rule: RuleId, policy: &Policy) -> bool {
    known.is_refused || known.narrowed.as_ref().is_some_and(|left| !scopes_suffice(policy, rule, left))
}

/// The rule that a decision was made by.
pub(super) fn rule_of(decision: &Decision) -> Option<RuleId> {
    match decision {
        Ok(Next::AwaitToken(arrival) | Next::AwaitKeys(arrival)) => Some(arrival.rule),
        Ok(Next::Ask(inquiry)) => Some(inquiry.about().0),
        Ok(Next::Release(permit)) => permit.rule,
        Err(denial) => denial.rule,
    }
}

fn open(permit: &Permit) -> Option<Open> {
    Some(Open { rule: permit.rule?, principal: Rc::clone(permit.principal.as_ref()?) })
}

fn scopes_suffice(policy: &Policy, rule: RuleId, scopes: &[String]) -> bool {
    match policy.rule(rule).map(|rule| &rule.access) {
        Some(Access::Public | Access::Optional | Access::Authenticated) => true,
        Some(Access::Scopes(requirement)) => {
            requirement.met_by(&policy.register.held(scopes.iter().map(String::as_str)))
        }
        None => false,
    }
}

#[cfg(test)]
mod tests;
