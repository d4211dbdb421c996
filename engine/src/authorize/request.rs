//! The machine of one request: `Fresh → Asking → Asked → Released | Denied`.
//!
//! Each state owns its own data, events go in and [`Step`]s come out. A request passes only by a [`Permit`].

mod permit;

use super::{
    last_heard::Known,
    local,
    principal::Principal,
    question::{Arrival, Inquiry, Question, Verdict},
};
use crate::{
    answer::Code,
    policy::{Access, Mode, Outage, Policy},
    route::RuleId,
};
pub use permit::{Denial, Mark, Permit};
use std::rc::Rc;

/// Where a request stands.
#[derive(Debug, Default)]
pub enum Request {
    /// Nothing is known yet.
    #[default]
    Fresh,
    /// It cannot be asked about yet: its issuer's keys are on their way.
    Asking(Arrival),
    /// The session service is asked.
    Asked(Inquiry),
    /// It may pass; with what has to stay true for as long as it lasts.
    Released(Option<Open>),
    /// It was refused, or cut.
    Denied,
}

/// A released request that was judged by its session: it goes on being judged for as long as it is open.
#[derive(Debug, Clone)]
pub struct Open {
    /// The rule that released it.
    pub rule: RuleId,
    /// Whose token it came with.
    pub principal: Rc<Principal>,
}

/// What happens to a request.
#[derive(Debug)]
pub enum Event {
    /// What the filter found out by itself, at arrival or after keys came.
    Decided(Decision),
    /// The session service answered, at this time of the wall clock.
    Verdict(Verdict, Option<u64>),
    /// The session service says what an opaque token means, and that it is good, at this time.
    Proven(Rc<Principal>, u64),
    /// There is no verdict, and there will be none: what was last heard must do, at this time of the wall clock.
    NoVerdict(Known, Option<u64>),
    /// The keys did not come in time.
    NoKeys,
    /// It is open, and there is news of its session.
    Followed(Verdict),
    /// It is open, and a limit has passed.
    Overdue(Code),
}

/// How a request goes on, or why it does not.
pub type Decision = Result<Next, Denial>;

/// How a request goes on.
#[derive(Debug)]
pub enum Next {
    /// The issuer's keys are on their way.
    AwaitKeys(Arrival),
    /// Ask the session service.
    Ask(Inquiry),
    /// Let it pass.
    Release(Permit),
}

/// What is to be done now.
#[derive(Debug)]
pub enum Step {
    /// Nothing: the request waits, or its fate is settled.
    Wait,
    /// Ask the session service.
    Ask(Inquiry),
    /// Let it pass.
    Release(Permit),
    /// Refuse it.
    Deny(Denial),
    /// It is open: end it.
    Cut(Denial),
    /// It would be cut, but the policy is in shadow mode.
    Spare(Denial),
}

impl Request {
    /// The one way in which a request changes. An event that does not fit the state (a late answer, a second one) changes
    /// nothing.
    pub fn on(&mut self, event: Event, policy: &Policy) -> Step {
        let decision = match (&*self, event) {
            (Self::Fresh | Self::Asking(_), Event::Decided(decision)) => decision,
            (Self::Asking(arrival), Event::NoKeys) => Err(Denial::new(Code::KeysUnavailable, Some(arrival.rule))),
            (Self::Asked(Inquiry::Session(question)), Event::Verdict(verdict, wall_ms)) => {
                alive(&question.principal, question.rule, wall_ms).and_then(|()| judged(question, verdict, policy))
            }
            (Self::Asked(Inquiry::Token(arrival)), Event::Verdict(Verdict::Ended(code), _)) => {
                Err(Denial::new(code, Some(arrival.rule)))
            }
            (Self::Asked(Inquiry::Token(arrival)), Event::Proven(principal, now_ms)) => {
                proven(arrival, &principal, policy, now_ms)
            }
            (Self::Asked(inquiry), Event::NoVerdict(known, wall_ms)) => outage(inquiry, &known, policy, wall_ms),
            (Self::Released(Some(open)), Event::Followed(verdict)) => {
                return self.follow(&open.clone(), verdict, policy);
            }
            (Self::Released(Some(open)), Event::Overdue(code)) => return self.cut(&open.clone(), code, policy),
            _ => return Step::Wait,
        };
        match decision {
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
            Err(denial) => self.refuse(denial, policy.mode),
        }
    }

    fn refuse(&mut self, denial: Denial, mode: Mode) -> Step {
        match mode {
            Mode::Enforce => {
                *self = Self::Denied;
                Step::Deny(denial)
            }
            Mode::Shadow => {
                *self = Self::Released(None);
                Step::Release(Permit::new(denial.rule, denial.principal, None, Some(Mark::Shadow(denial.code))))
            }
        }
    }

    fn follow(&mut self, open: &Open, verdict: Verdict, policy: &Policy) -> Step {
        match verdict {
            Verdict::Ended(code) => self.cut(open, code, policy),
            Verdict::Active(Some(left)) if !scopes_suffice(policy, open.rule, &left) => {
                self.cut(open, Code::InsufficientScope, policy)
            }
            Verdict::Active(_) => Step::Wait,
        }
    }

    fn cut(&mut self, open: &Open, code: Code, policy: &Policy) -> Step {
        let denial = Denial::of(&open.principal, code, open.rule);
        match policy.mode {
            Mode::Enforce => {
                *self = Self::Denied;
                Step::Cut(denial)
            }
            // It goes on, and nothing more is asked of it.
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

/// A token may have expired while its request waited; without a clock nobody can say that it has not.
fn alive(principal: &Rc<Principal>, rule: RuleId, wall_ms: Option<u64>) -> Result<(), Denial> {
    match wall_ms {
        Some(wall_ms) if wall_ms < principal.facts.dies_at_ms => Ok(()),
        Some(_) => Err(Denial::of(principal, Code::TokenExpired, rule)),
        None => Err(Denial::of(principal, Code::SessionUnavailable, rule)),
    }
}

fn judged(question: &Question, verdict: Verdict, policy: &Policy) -> Decision {
    let Question { rule, principal, .. } = question;
    let narrowed = match verdict {
        Verdict::Ended(code) => return Err(Denial::of(principal, code, *rule)),
        Verdict::Active(narrowed) => narrowed,
    };
    // The session may hold fewer scopes than the token by now: the route is checked again against what is left.
    if let Some(left) = &narrowed
        && !scopes_suffice(policy, *rule, left)
    {
        return Err(Denial::of(principal, Code::InsufficientScope, *rule));
    }
    Ok(Next::Release(Permit::new(Some(*rule), Some(Rc::clone(principal)), narrowed, None)))
}

/// An opaque token is good: what it means is compared with the rule as a verified token is, and the answer that told so is
/// its verdict.
fn proven(arrival: &Arrival, principal: &Rc<Principal>, policy: &Policy, now_ms: u64) -> Decision {
    judged(&local::question(principal, arrival, policy, now_ms)?, Verdict::Active(None), policy)
}

/// No verdict: the rule says what is allowed now, to a session of which nothing worse was heard. An opaque token can only be
/// what it last was.
fn outage(inquiry: &Inquiry, known: &Known, policy: &Policy, wall_ms: Option<u64>) -> Decision {
    let question = match inquiry {
        Inquiry::Session(question) => question.clone(),
        Inquiry::Token(arrival) => {
            let unavailable = || Denial::new(Code::SessionUnavailable, Some(arrival.rule));
            let (principal, wall_ms) = known.principal.as_ref().zip(wall_ms).ok_or_else(unavailable)?;
            local::question(principal, arrival, policy, wall_ms).map_err(|_| unavailable())?
        }
    };
    let Question { rule, principal, attributes } = question;
    alive(&principal, rule, wall_ms)?;
    let lost = known.narrowed.as_ref().is_some_and(|left| !scopes_suffice(policy, rule, left));
    let mark = match policy.rule(rule).map_or(Outage::Deny, |rule| rule.limits.on_outage) {
        _ if known.is_refused || lost => None,
        Outage::ReadOnly => attributes.is_read_only().then_some(Mark::OutageReadOnly),
        Outage::Grace(grace) => {
            let is_recent = |ago_ms: u64| u128::from(ago_ms) <= grace.as_millis();
            known.granted_ago_ms.is_some_and(is_recent).then_some(Mark::OutageGrace)
        }
        Outage::Deny => None,
    };
    let mark = mark.ok_or_else(|| Denial::of(&principal, Code::SessionUnavailable, rule))?;
    Ok(Next::Release(Permit::new(Some(rule), Some(principal), known.narrowed.clone(), Some(mark))))
}

fn open(permit: &Permit) -> Option<Open> {
    Some(Open { rule: permit.rule?, principal: Rc::clone(permit.principal.as_ref()?) })
}

fn scopes_suffice(policy: &Policy, rule: RuleId, scopes: &[String]) -> bool {
    match policy.rule(rule).map(|rule| &rule.access) {
        Some(Access::Public | Access::Authenticated) => true,
        Some(Access::Scopes(requirement)) => {
            requirement.met_by(&policy.register.held(scopes.iter().map(String::as_str)))
        }
        None => false,
    }
}

#[cfg(test)]
mod tests;
