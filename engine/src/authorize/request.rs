//! The machine of one request: `Fresh → Asking → Asked → Released | Denied`.
//!
//! Each state owns its own data, events go in and [`Step`]s come out. A request passes only by a [`Permit`], and only this
//! file can make one.

use super::{introspection::Carried, local, principal::Principal};
use crate::{
    answer::Code,
    policy::{Access, Mode, Outage, Policy},
    route::RuleId,
};
use std::rc::Rc;

/// Where a request stands.
#[derive(Debug, Default)]
pub enum Request {
    /// Nothing is known yet.
    #[default]
    Fresh,
    /// It cannot be asked about yet: its issuer's keys are on their way.
    Asking(Arrival),
    /// The question is with the desk.
    Asked(Question),
    /// The session service is asked what its token means, and whether it is good.
    Presented(Presented),
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
    /// The token that it came with.
    pub principal: Rc<Principal>,
}

/// A request whose token is still to be verified.
#[derive(Debug, Clone)]
pub struct Arrival {
    /// The rule that answers the request.
    pub rule: RuleId,
    /// The token that it came with.
    pub token: String,
    /// The rest of what will be asked.
    pub attributes: Rc<RequestAttributes>,
    /// Until when it may wait.
    pub deadline_ms: u64,
}

/// An opaque token: until it is answered for, nothing is known of it.
#[derive(Debug, Clone)]
pub struct Presented {
    /// The request and its token.
    pub arrival: Arrival,
    /// What was last heard of the token; believed in an outage only, as far as the rule's policy goes.
    pub known: Option<Rc<Principal>>,
}

/// What is asked of the session service: about the session of a verified token, or about a token.
#[derive(Debug, Clone)]
pub enum Inquiry {
    /// Whether the session behind a verified token is good.
    Session(Question),
    /// What an opaque token means, and whether it is good.
    Token(Presented),
}

/// What is asked of the session service.
#[derive(Debug, Clone)]
pub struct Question {
    /// The rule that answers the request.
    pub rule: RuleId,
    /// The token that it came with.
    pub principal: Rc<Principal>,
    /// What changes from request to request of the same token and route.
    pub attributes: Rc<RequestAttributes>,
}

/// What changes from request to request of the same token and route.
#[derive(Debug, Default)]
pub struct RequestAttributes {
    /// The method.
    pub method: String,
    /// The address of the downstream peer, without its port; empty when unknown.
    pub client_address: String,
    /// The first 8 bytes of SHA-256 of `User-Agent`.
    pub user_agent_digest: Option<u64>,
    /// What a call to an introspection endpoint needs; none on the check stream.
    pub carried: Option<Carried>,
}

impl RequestAttributes {
    /// Whether the method is one that `on_outage: read_only` lets pass; all are safe (RFC 9110, section 9.2.1).
    fn read_only(&self) -> bool {
        matches!(self.method.as_str(), "GET" | "HEAD" | "OPTIONS")
    }
}

/// What happens to a request.
#[derive(Debug)]
pub enum Event {
    /// What the filter found out by itself, at arrival or after keys came.
    Local(Local),
    /// The session service answered; the time is for the grace of a later outage.
    Verdict(Verdict, u64),
    /// The session service says what an opaque token means, and that it is good.
    Proven(Rc<Principal>, u64),
    /// There is no verdict, and there will be none.
    NoVerdict(u64),
    /// The keys did not come in time.
    NoKeys,
    /// It is open, and there is news of its session.
    Followed(Verdict),
    /// It is open, and a limit has passed.
    Overdue(Code),
}

/// What the filter can say without asking the session service.
#[derive(Debug)]
pub enum Local {
    /// The rule is public, or a preflight is let through.
    Public(Option<RuleId>),
    /// Refused.
    Refuse(Denial),
    /// The issuer's keys are on their way.
    AwaitKeys(Arrival),
    /// Token and scopes are good: ask.
    Ask(Question),
    /// The token is opaque: ask what it means.
    Introspect(Presented),
}

/// What the session service says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The session is good; with the scopes that are left, if they are fewer than the token's.
    Active(Option<Rc<[String]>>),
    /// It is not.
    Ended(Code),
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

/// The right to pass. Only the request machine can make one.
#[derive(Debug)]
#[expect(clippy::manual_non_exhaustive, reason = "no other module of this crate may make one either")]
pub struct Permit {
    /// The rule that let it pass; none for a preflight.
    pub rule: Option<RuleId>,
    /// Who passes; none on a public route.
    pub principal: Option<Rc<Principal>>,
    /// The scopes that are left, if fewer than the token's.
    pub narrowed: Option<Rc<[String]>>,
    /// What the upstream must know of how it passed.
    pub mark: Option<Mark>,
    _only_the_machine_makes_permits: (),
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

impl Request {
    /// The one way in which a request changes. An event that does not fit the state (a late answer, a second one) changes
    /// nothing.
    pub fn on(&mut self, event: Event, policy: &Policy) -> Step {
        let step = match (&*self, event) {
            (Self::Fresh | Self::Asking(_), Event::Local(local)) => locally(local),
            (Self::Asking(arrival), Event::NoKeys) => deny(Code::KeysUnavailable, arrival.rule, None),
            (Self::Asked(question), Event::Verdict(verdict, now_ms)) => judged(question, verdict, policy, now_ms),
            (Self::Asked(question), Event::NoVerdict(now_ms)) => outage(question, policy, now_ms),
            (Self::Released(Some(open)), Event::Followed(verdict)) => match followed(open, verdict, policy) {
                Some(code) => cut(code, open),
                None => return Step::Wait,
            },
            (Self::Released(Some(open)), Event::Overdue(code)) => cut(code, open),
            (Self::Presented(presented), Event::Proven(principal, now_ms)) => {
                proven(presented, &principal, policy, now_ms)
            }
            (Self::Presented(presented), Event::Verdict(Verdict::Ended(code), _)) => refused(presented, code),
            (Self::Presented(presented), Event::NoVerdict(now_ms)) => opaque_outage(presented, policy, now_ms),
            _ => return Step::Wait,
        };
        match step {
            Next::Await(arrival) => {
                *self = Self::Asking(arrival);
                Step::Wait
            }
            Next::Ask(question) => {
                *self = Self::Asked(question.clone());
                Step::Ask(Inquiry::Session(question))
            }
            Next::Introspect(presented) => {
                *self = Self::Presented(presented.clone());
                Step::Ask(Inquiry::Token(presented))
            }
            Next::Release(permit) => {
                *self = Self::Released(open(&permit));
                Step::Release(permit)
            }
            Next::Deny(denial) => match policy.mode {
                Mode::Enforce => {
                    *self = Self::Denied;
                    Step::Deny(denial)
                }
                Mode::Shadow => {
                    *self = Self::Released(None);
                    Step::Release(permit(denial.rule, denial.principal, None, Some(Mark::Shadow(denial.code))))
                }
            },
            Next::Cut(denial) => match policy.mode {
                Mode::Enforce => {
                    *self = Self::Denied;
                    Step::Cut(denial)
                }
                // It goes on, and nothing more is asked of it.
                Mode::Shadow => {
                    *self = Self::Released(None);
                    Step::Spare(denial)
                }
            },
        }
    }

    /// The token that an answer is awaited about, as far as it is known.
    pub fn asked_about(&self) -> Option<&Principal> {
        match self {
            Self::Asked(question) => Some(&question.principal),
            Self::Presented(presented) => presented.known.as_deref(),
            Self::Fresh | Self::Asking(_) | Self::Released(_) | Self::Denied => None,
        }
    }

    /// Whether headers, body and trailers may pass.
    pub const fn is_released(&self) -> bool {
        matches!(self, Self::Released(_))
    }
}

/// Where an event leads.
enum Next {
    Await(Arrival),
    Ask(Question),
    Introspect(Presented),
    Release(Permit),
    Deny(Denial),
    Cut(Denial),
}

fn locally(local: Local) -> Next {
    match local {
        Local::Public(rule) => Next::Release(permit(rule, None, None, None)),
        Local::Refuse(denial) => Next::Deny(denial),
        Local::AwaitKeys(arrival) => Next::Await(arrival),
        Local::Ask(question) => Next::Ask(question),
        Local::Introspect(presented) => Next::Introspect(presented),
    }
}

fn judged(question: &Question, verdict: Verdict, policy: &Policy, now_ms: u64) -> Next {
    let Question { rule, principal, .. } = question;
    let narrowed = match verdict {
        Verdict::Ended(code) => {
            // A step-up is asked of this route alone; everything else is true of the session everywhere.
            if code != Code::StepUpRequired {
                principal.forget_granted();
            }
            return deny(code, *rule, Some(principal));
        }
        Verdict::Active(narrowed) => narrowed,
    };
    // The session may hold fewer scopes than the token by now: the route is checked again against what is left.
    if let Some(left) = &narrowed
        && !scopes_suffice(policy, *rule, left)
    {
        principal.forget_granted();
        return deny(Code::InsufficientScope, *rule, Some(principal));
    }
    if matches!(outage_of(policy, *rule), Outage::Grace(_)) {
        principal.note_granted(*rule, now_ms);
    }
    Next::Release(permit(Some(*rule), Some(Rc::clone(principal)), narrowed, None))
}

/// An opaque token is good: what it means is compared with the rule as a verified token is, and the answer that told so is
/// its verdict.
fn proven(presented: &Presented, principal: &Rc<Principal>, policy: &Policy, now_ms: u64) -> Next {
    match locally(local::compare(principal, &presented.arrival, policy, now_ms)) {
        Next::Ask(question) => judged(&question, Verdict::Active(None), policy, now_ms),
        next => next,
    }
}

/// An opaque token is not good.
fn refused(presented: &Presented, code: Code) -> Next {
    if let Some(known) = &presented.known
        && code != Code::StepUpRequired
    {
        known.forget_granted();
    }
    deny(code, presented.arrival.rule, presented.known.as_ref())
}

/// No answer about an opaque token: it may only be what it last was, as long as that lasted.
fn opaque_outage(presented: &Presented, policy: &Policy, now_ms: u64) -> Next {
    let Presented { arrival, known } = presented;
    let alive = known.as_ref().filter(|known| now_ms < known.facts.dies_at_ms);
    match alive.map(|known| locally(local::compare(known, arrival, policy, now_ms))) {
        Some(Next::Ask(question)) => outage(&question, policy, now_ms),
        _ => deny(Code::SessionUnavailable, arrival.rule, None),
    }
}

/// No verdict: the rule says what is allowed now. Only a token that was verified and whose scopes suffice comes here.
fn outage(question: &Question, policy: &Policy, now_ms: u64) -> Next {
    let Question { rule, principal, attributes } = question;
    let mark = match outage_of(policy, *rule) {
        Outage::ReadOnly if attributes.read_only() => Mark::OutageReadOnly,
        Outage::Grace(grace) if principal.granted_within(*rule, grace, now_ms) => Mark::OutageGrace,
        _ => return deny(Code::SessionUnavailable, *rule, Some(principal)),
    };
    Next::Release(permit(Some(*rule), Some(Rc::clone(principal)), None, Some(mark)))
}

/// Why an open request has to end, if it has to.
fn followed(open: &Open, verdict: Verdict, policy: &Policy) -> Option<Code> {
    match verdict {
        Verdict::Ended(code) => Some(code),
        Verdict::Active(Some(left)) if !scopes_suffice(policy, open.rule, &left) => Some(Code::InsufficientScope),
        Verdict::Active(_) => None,
    }
}

fn cut(code: Code, open: &Open) -> Next {
    if code != Code::StepUpRequired {
        open.principal.forget_granted();
    }
    Next::Cut(Denial { code, rule: Some(open.rule), principal: Some(Rc::clone(&open.principal)) })
}

fn open(permit: &Permit) -> Option<Open> {
    Some(Open { rule: permit.rule?, principal: Rc::clone(permit.principal.as_ref()?) })
}

fn outage_of(policy: &Policy, rule: RuleId) -> Outage {
    policy.rules.get(rule.0).map_or(Outage::Deny, |rule| rule.limits.on_outage)
}

fn scopes_suffice(policy: &Policy, rule: RuleId, scopes: &[String]) -> bool {
    match policy.rules.get(rule.0).map(|rule| &rule.access) {
        Some(Access::Public | Access::Authenticated) => true,
        Some(Access::Scopes(requirement)) => {
            requirement.met_by(&policy.register.held(scopes.iter().map(String::as_str)))
        }
        None => false,
    }
}

fn deny(code: Code, rule: RuleId, principal: Option<&Rc<Principal>>) -> Next {
    Next::Deny(Denial { code, rule: Some(rule), principal: principal.cloned() })
}

fn permit(
    rule: Option<RuleId>,
    principal: Option<Rc<Principal>>,
    narrowed: Option<Rc<[String]>>,
    mark: Option<Mark>,
) -> Permit {
    Permit { rule, principal, narrowed, mark, _only_the_machine_makes_permits: () }
}

#[cfg(test)]
mod tests;
