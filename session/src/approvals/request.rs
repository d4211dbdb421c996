//! A request for access, from asking to its end: every transition, as a function from one state to the next.

use super::grant::{Ended, Grant, Instance, Used, Why};
use super::rules::Rule;
use crate::admins::{Caller, Scope};
use crate::notices::Notice;
use crate::store::id_text;
use portcullis_contract::SessionId;
use serde::{Deserialize, Serialize};
use std::hash::{BuildHasher, Hasher, RandomState};

/// Where a request is (the states of the AuthZEN access-request draft).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// It waits for its decision.
    Pending,
    /// It was approved: it has a grant.
    Approved,
    /// It was denied.
    Denied,
    /// Nobody decided in time.
    Expired,
    /// The one who asked has taken it back.
    Cancelled,
}

impl State {
    /// Every state.
    pub const ALL: [Self; 5] = [Self::Pending, Self::Approved, Self::Denied, Self::Expired, Self::Cancelled];

    /// Its name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Approved => "approved",
            Self::Denied => "denied",
            Self::Expired => "expired",
            Self::Cancelled => "cancelled",
        }
    }

    /// The state with that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == name)
    }
}

/// A user of an issuer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    /// `iss`
    pub issuer: String,
    /// `sub`
    pub subject: String,
}

/// Somebody who asks or decides.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Person {
    /// The name at the admin API; for a refused escalation, the session's subject.
    pub name: String,
    /// Who it is as a user, if that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<User>,
}

impl Person {
    /// The one who has called.
    pub fn of(caller: &Caller) -> Self {
        let user = caller.subject.as_ref();
        let user = user.map(|user| User { issuer: user.issuer.to_string(), subject: user.sub.to_string() });
        Self { name: caller.name.to_string(), user }
    }

    /// Whether both are the same one, as far as anybody knows.
    pub(crate) fn is(&self, other: &Self) -> bool {
        self.name == other.name || self.user.as_ref().is_some_and(|user| other.user.as_ref() == Some(user))
    }
}

/// A step that somebody has decided.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// Who.
    pub by: Person,
    /// Whether it was approved.
    pub approved: bool,
    /// Why; may be empty.
    pub comment: String,
    /// For how long it was approved, in milliseconds; `None`: as long as the session, or not at all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub granted_ms: Option<u64>,
    /// It was approved for one request only.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub once: bool,
    /// When.
    pub at_ms: u64,
}

/// The review of an emergency: open until somebody else closes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Review {
    /// Who has closed it, and what that one says.
    pub closed: Option<Step>,
}

/// A request for access. Times are milliseconds since the epoch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessRequest {
    /// Its public id: 32 hexadecimal digits, in the order of their creation.
    pub id: String,
    /// The name of its rule.
    pub rule: String,
    /// Where it is.
    pub state: State,
    /// Who asked.
    pub requester: Person,
    /// The session that the grant is for.
    #[serde(with = "id_text")]
    pub session: SessionId,
    /// The life that the session was in: what was asked in one is not granted to another.
    pub asked_in: Instance,
    /// The session's issuer and subject.
    pub user: User,
    /// The scopes that are asked for.
    pub scopes: Vec<String>,
    /// Why.
    pub reason: String,
    /// The ticket, if one is named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ticket: Option<String>,
    /// For how long, in milliseconds.
    pub duration_ms: u64,
    /// A refused escalation has made it.
    #[serde(default)]
    pub escalation: bool,
    /// How many steps have to be approved.
    pub steps_needed: usize,
    /// The steps that were decided.
    pub steps: Vec<Step>,
    /// When it was made.
    pub created_at_ms: u64,
    /// Until when it waits.
    pub expires_at_ms: u64,
    /// When it left `pending`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub closed_at_ms: Option<u64>,
    /// What came of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grant: Option<Grant>,
    /// Whether an emergency is yet to be reviewed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub review: Option<Review>,
    /// When somebody was reminded of that last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reminded_at_ms: Option<u64>,
    /// What webhooks are yet to be told.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notices: Vec<Notice>,
}

/// What is asked for.
#[derive(Debug, Clone)]
pub struct Asked {
    /// Who asks.
    pub requester: Person,
    /// The session.
    pub session: SessionId,
    /// The life that it is in.
    pub asked_in: Instance,
    /// Its issuer and subject.
    pub user: User,
    /// The scopes.
    pub scopes: Vec<String>,
    /// Why.
    pub reason: String,
    /// The ticket, if one is named.
    pub ticket: Option<String>,
    /// For how long, in milliseconds.
    pub duration_ms: u64,
    /// A refused escalation asks.
    pub escalation: bool,
    /// It is granted at once, and reviewed afterwards.
    pub emergency: bool,
    /// The rule by which the one who asks may.
    pub rule: Rule,
}

/// How long a grant is to hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum For {
    /// As long as was asked for.
    Asked,
    /// So many milliseconds, and not longer than was asked for.
    Time(u64),
    /// As long as the session: for refused escalations only.
    Session,
    /// For one request, which has to come within so many milliseconds, or within the time that was asked for.
    Once(Option<u64>),
}

/// What somebody does with a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// Approves its next step.
    Approve(For),
    /// Denies it.
    Deny,
    /// Takes it back.
    Cancel,
    /// Closes the review of an emergency.
    Review,
    /// Ends its grant.
    Revoke,
}

/// Why something was not done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotDone {
    /// There is no such request or grant.
    Unknown,
    /// It is no longer in a state in which that can be done.
    Closed(State),
    /// The caller may not.
    Forbidden(&'static str),
    /// What is asked cannot be granted.
    Invalid(String),
    /// Too many requests are kept.
    Full,
}

impl AccessRequest {
    /// A request, by a rule that is about its scopes.
    pub fn new(asked: Asked, now_ms: u64) -> Self {
        let Asked { requester, session, asked_in, user, scopes, .. } = asked;
        let Asked { reason, ticket, duration_ms, escalation, emergency, ref rule, .. } = asked;
        let mut request = Self {
            id: id(now_ms),
            rule: rule.name.clone(),
            state: State::Pending,
            requester,
            session,
            asked_in,
            user,
            scopes,
            reason,
            ticket,
            duration_ms,
            escalation,
            steps_needed: rule.decide.len(),
            steps: Vec::new(),
            created_at_ms: now_ms,
            expires_at_ms: now_ms.saturating_add(rule.pending_for_ms),
            closed_at_ms: None,
            grant: None,
            review: None,
            reminded_at_ms: None,
            notices: Vec::new(),
        };
        if emergency {
            request.grant(rule, Some(duration_ms), asked_in, now_ms);
            request.review = Some(Review { closed: None });
        }
        request
    }

    /// Whether the same was asked for already, and waits or was taken in an emergency that lasts. An escalation that somebody has
    /// denied stays so for as long as it could have waited: clients repeat it with each token.
    pub fn is_same_as(&self, asked: &Asked, now_ms: u64) -> bool {
        let is_denied = || asked.escalation && self.state == State::Denied && now_ms < self.expires_at_ms;
        let is_taken = || {
            let lasts =
                |grant: &Grant| grant.ended.is_none() && grant.until_ms.is_none_or(|until_ms| now_ms < until_ms);
            self.review.is_some() && self.grant.as_ref().is_some_and(lasts)
        };
        (if asked.emergency { is_taken() } else { self.waits(now_ms).is_ok() || is_denied() })
            && self.session == asked.session
            && self.asked_in.returned_ms == asked.asked_in.returned_ms
            && self.scopes == asked.scopes
            && self.requester.name == asked.requester.name
            && self.escalation == asked.escalation
    }

    /// The request after somebody has decided something about it. `instance` is the life that its session is in; `None`: it is
    /// not live.
    pub fn decided(
        &self,
        decision: &Decision,
        caller: &Caller,
        comment: &str,
        rule: Option<&Rule>,
        instance: Option<Instance>,
        now_ms: u64,
    ) -> Result<Self, NotDone> {
        let by = Person::of(caller);
        let once = matches!(decision, Decision::Approve(For::Once(_)));
        let step = |approved, granted_ms| Step {
            by: by.clone(),
            approved,
            comment: comment.to_owned(),
            granted_ms,
            once,
            at_ms: now_ms,
        };
        let mut next = self.clone();
        match decision {
            Decision::Approve(duration) => {
                self.waits(now_ms)?;
                let rule = rule.ok_or(NotDone::Forbidden("the rule of the request is no longer configured"))?;
                self.may_decide(&by, caller, rule)?;
                let granted_ms = self.length(*duration, rule)?;
                let instance = instance.filter(|instance| instance.returned_ms == self.asked_in.returned_ms);
                let instance = instance.ok_or_else(|| NotDone::Invalid("its session is not live".to_owned()))?;
                next.steps.push(step(true, granted_ms));
                next.duration_ms = granted_ms.unwrap_or(next.duration_ms);
                // The rule may have become stricter since.
                next.steps_needed = rule.decide.len();
                if next.steps.len() >= next.steps_needed {
                    next.grant(rule, granted_ms, instance, now_ms);
                }
            }
            Decision::Deny => {
                self.waits(now_ms)?;
                let rule = rule.ok_or(NotDone::Forbidden("the rule of the request is no longer configured"))?;
                self.may_decide(&by, caller, rule)?;
                next.steps.push(step(false, None));
                next.close(State::Denied, now_ms);
            }
            Decision::Cancel => {
                if !self.requester.is(&by) {
                    return Err(NotDone::Forbidden("only the one who asked can cancel a request"));
                }
                self.waits(now_ms)?;
                next.close(State::Cancelled, now_ms);
            }
            Decision::Review => {
                if !matches!(self.review, Some(Review { closed: None })) {
                    return Err(NotDone::Closed(self.state));
                }
                self.is_another(&by)?;
                next.review = Some(Review { closed: Some(step(true, None)) });
            }
            Decision::Revoke => {
                let grant = next.grant.as_mut().filter(|grant| grant.ended.is_none());
                let grant = grant.ok_or(NotDone::Closed(self.state))?;
                let comment = comment.to_owned();
                grant.ended = Some(Ended { at_ms: now_ms, why: Why::Revoked, by: Some(by.name), comment });
            }
        }
        Ok(next)
    }

    /// The request after its time is over, if it is; or after its session is.
    pub fn expired(&self, is_session_over: bool, now_ms: u64) -> Option<Self> {
        let is_over = self.state == State::Pending && (is_session_over || self.expires_at_ms <= now_ms);
        is_over.then(|| {
            let mut next = self.clone();
            next.close(State::Expired, now_ms);
            next
        })
    }

    /// The request after its grant has ended.
    pub fn ended(&self, why: Why, now_ms: u64) -> Option<Self> {
        let mut next = self.clone();
        let grant = next.grant.as_mut().filter(|grant| grant.ended.is_none())?;
        let at_ms = grant.until_ms.filter(|_| why == Why::Expired).unwrap_or(now_ms);
        grant.ended = Some(Ended { at_ms, why, by: None, comment: String::new() });
        Some(next)
    }

    /// The request after a request on this route was released because of its grant; `None`: its grant is not for one request, or
    /// no longer open for it.
    pub fn used(&self, route: &str, now_ms: u64) -> Option<Self> {
        let mut next = self.clone();
        let grant = next.grant.as_mut().filter(|grant| grant.once && grant.is_open())?;
        grant.used = Some(Used { at_ms: now_ms, route: route.to_owned() });
        Some(next)
    }

    /// Whether somebody has approved it for one request only.
    pub fn is_once(&self) -> bool {
        self.steps.iter().any(|step| step.once)
    }

    /// Whether it waits for a decision, or its grant for a request.
    pub fn is_waiting(&self) -> bool {
        self.state == State::Pending || self.grant.as_ref().is_some_and(Grant::is_open)
    }

    /// Whether it was an emergency that nobody has reviewed.
    pub const fn is_to_be_reviewed(&self) -> bool {
        matches!(self.review, Some(Review { closed: None }))
    }

    /// Whether it is time to remind somebody that it is to be reviewed, which is done this often.
    pub fn is_reminder_due(&self, every_ms: u64, now_ms: u64) -> bool {
        let since_ms = self.reminded_at_ms.unwrap_or(self.created_at_ms);
        self.is_to_be_reviewed() && now_ms.saturating_sub(since_ms) >= every_ms
    }

    /// When nothing more can come of it: it is closed, its grant has ended and its review is done.
    pub fn over_since_ms(&self) -> Option<u64> {
        let closed_at_ms = self.closed_at_ms?;
        if matches!(self.review, Some(Review { closed: None })) {
            return None;
        }
        match &self.grant {
            None => Some(closed_at_ms),
            Some(grant) => grant.ended.as_ref().map(|ended| ended.at_ms.max(closed_at_ms)),
        }
    }

    fn waits(&self, now_ms: u64) -> Result<(), NotDone> {
        match self.state {
            State::Pending if self.expires_at_ms <= now_ms => Err(NotDone::Closed(State::Expired)),
            State::Pending => Ok(()),
            state => Err(NotDone::Closed(state)),
        }
    }

    /// Neither the one who asked nor the session's subject decides, whatever they hold. Of somebody who is not known as a user,
    /// nobody could tell.
    fn is_another(&self, by: &Person) -> Result<(), NotDone> {
        if by.user.is_none() {
            return Err(NotDone::Forbidden(
                "nobody decides who is not known as a user: your credential has no `subject`",
            ));
        }
        if self.requester.is(by) {
            return Err(NotDone::Forbidden("nobody decides what he has asked for himself"));
        }
        if by.user.as_ref() == Some(&self.user) {
            return Err(NotDone::Forbidden("nobody decides about a session of his own"));
        }
        Ok(())
    }

    fn may_decide(&self, by: &Person, caller: &Caller, rule: &Rule) -> Result<(), NotDone> {
        self.is_another(by)?;
        if self.steps.iter().any(|step| step.by.is(by)) {
            return Err(NotDone::Forbidden("each step takes another person"));
        }
        if !rule.covers(&self.scopes) {
            return Err(NotDone::Forbidden("the rule of the request is no longer about its scopes"));
        }
        // Where the rule has fewer steps than before, the last one is taken again.
        let people = rule.decide.get(self.steps.len()).or(rule.decide.last());
        match caller.may(Scope::Approve) && people.is_some_and(|people| people.include(caller)) {
            true => Ok(()),
            false => Err(NotDone::Forbidden("the rule does not name you for this step")),
        }
    }

    /// For how long it is granted; `None`: as long as the session. What an earlier step or the rule has shortened stays short.
    fn length(&self, duration: For, rule: &Rule) -> Result<Option<u64>, NotDone> {
        match duration {
            For::Asked | For::Once(None) => Ok(Some(self.duration_ms.min(rule.max_duration_ms))),
            For::Time(ms) | For::Once(Some(ms)) if ms > 0 && ms <= self.duration_ms => {
                Ok(Some(ms.min(rule.max_duration_ms)))
            }
            For::Time(_) | For::Once(Some(_)) => {
                Err(NotDone::Invalid("`duration` can only be shorter than what was asked for".to_owned()))
            }
            For::Session if !self.escalation => {
                Err(NotDone::Invalid("`for: session` is for refused escalations only".to_owned()))
            }
            For::Session if self.steps.iter().any(|step| step.granted_ms.is_some()) => {
                Err(NotDone::Invalid("`for: session` would be longer than an earlier step has approved".to_owned()))
            }
            For::Session => Ok(None),
        }
    }

    fn close(&mut self, state: State, now_ms: u64) {
        self.state = state;
        self.closed_at_ms = Some(now_ms);
    }

    fn grant(&mut self, rule: &Rule, duration_ms: Option<u64>, instance: Instance, now_ms: u64) {
        self.close(State::Approved, now_ms);
        self.grant = Some(Grant {
            id: id(now_ms),
            from_ms: now_ms,
            until_ms: duration_ms.map(|ms| now_ms.saturating_add(ms)),
            instance,
            survives_login: rule.survives_login,
            // What one step has approved for one request, no other one widens.
            once: self.is_once(),
            used: None,
            ended: None,
        });
    }
}

/// A new id: the time, so that ids are in order, and random digits.
fn id(now_ms: u64) -> String {
    // The standard library seeds its hashers at random.
    let random = || RandomState::new().build_hasher().finish();
    let time = now_ms & 0xffff_ffff_ffff;
    format!("{time:012x}{:016x}{:04x}", random(), random() & 0xffff)
}
