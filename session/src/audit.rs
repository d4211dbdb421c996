//! The audit of decisions that matter: one line each (JSON on standard output, tracing target `audit`), one event for
//! the listeners of the admin API, one count. Never a token: at most the first bytes of its digest.

mod actor;
mod approvals;
mod evaluation;
mod event;
mod history;
mod refresh;
mod service;

pub use actor::Actor;
pub(crate) use evaluation::DeniedEvaluation;
pub use event::{Event, Kind, Named};
pub use history::{History, Next, OfSession, Position};
#[cfg(feature = "conditions")]
pub(crate) use service::{conditions_refused, conditions_reloaded};
pub(crate) use service::{
    configuration_loaded, configuration_refused, configuration_reloaded, policy_gone, policy_seen, started, stopped,
};

use crate::attributes::Attribute;
use crate::blocks::Block;
use crate::clock::{Clock, rfc3339};
use crate::conditions::{Mode, Refused};
use crate::intern::ScopeSet;
use crate::judge::End;
use crate::metrics::{Metrics, OUTCOMES, Opened};
use crate::narrowings::{Narrowing, ScopeChange};
use crate::place::Country;
use crate::revocations::Revocation;
use crate::session::Session;
use crate::store::Record;
use crate::token::Token;
use event::{About, Details, Scopes, Text};
use portcullis_contract::wire::Outcome;
use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex, PoisonError};
use tracing::info;

/// Refusals of introspection that are remembered as reported. When there are more, all are reported once again.
const REPORTED_MAX: usize = 10_000;

/// Who ended a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EndedBy {
    /// The judge, at a question or at a read: a limit had passed.
    Judge,
    /// The cleaner: a limit had passed, and there was no question.
    Cleaner,
    /// A caller who revoked this session.
    Admin,
    /// The person whose session it is, who has logged out.
    Person,
    /// A revocation of its subject, client or issuer.
    Revocation,
    /// Another replica, which has reported it.
    Replica,
}

impl EndedBy {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Judge => "judge",
            Self::Cleaner => "cleaner",
            Self::Admin => "admin",
            Self::Person => "person",
            Self::Revocation => "revocation",
            Self::Replica => "replica",
        }
    }
}

/// A question that was refused.
#[derive(Debug)]
pub struct RefusedQuestion<'r> {
    /// The token that was asked about.
    pub token: &'r Token,
    /// Why.
    pub outcome: Outcome,
    /// The name of the route.
    pub route: &'r str,
    /// What its session was granted, if the token exceeds that.
    pub granted: Option<ScopeSet>,
    /// What its login does not meet, if that is why.
    pub step_up: Option<StepUp>,
    /// The condition that refuses it.
    pub(crate) condition: Option<&'r Condition>,
    /// When.
    pub now_ms: u64,
}

/// A condition that refuses a question.
#[derive(Debug, Clone)]
pub(crate) struct Condition {
    /// Why.
    pub(crate) refused: Arc<Refused>,
    /// Whether that is carried out: in shadow mode, it is not.
    pub(crate) mode: Mode,
}

impl Condition {
    /// Tells it from others, nearly always.
    pub(crate) fn digest(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        (&self.refused.id, self.mode.as_str()).hash(&mut hasher);
        hasher.finish()
    }
}

/// What a route asks of a login, and what the session has instead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StepUp {
    /// An authentication context.
    Acr {
        /// The accepted ones, with spaces in between.
        wanted: String,
        /// What an attribute `acr` makes the login count as.
        had: String,
    },
    /// A recent login.
    MaxAge {
        /// The greatest age, in seconds.
        wanted_s: u64,
        /// The last login.
        login_at_ms: u64,
    },
}

/// The audit.
#[derive(Debug)]
pub struct Audit {
    metrics: Arc<Metrics>,
    history: Arc<History>,
    clock: Clock,
    reported: Mutex<HashSet<(u64, Outcome)>>,
    /// The same for evaluations.
    denied: Mutex<HashSet<u64>>,
}

impl Audit {
    /// An audit that counts into `metrics`.
    pub fn new(metrics: Arc<Metrics>, clock: Clock) -> Self {
        let history = Arc::new(History::new(clock.clone()));
        Self { metrics, history, clock, reported: Mutex::default(), denied: Mutex::default() }
    }

    /// The latest events.
    pub fn history(&self) -> &Arc<History> {
        &self.history
    }

    /// A session opened.
    pub fn opened(&self, session: &Session, by: Opened, actor: &Actor, now_ms: u64) {
        self.metrics.opened(by);
        let (by, scopes) = (by.as_str(), Scopes::given(session.granted().iter()));
        info!(
            target: "audit", event = Kind::Opened.as_str(), session = %session.id, issuer = &*session.issuer,
            subject = &*session.subject, client_id = &*session.client, access = session.access.name, by,
            scopes = scopes.as_ref().map(Scopes::joined), admin = actor.admin(), opened_at = rfc3339(session.opened_at_ms),
        );
        let (access, admin) = (Some(Arc::clone(&session.access)), actor.shared());
        let details = Details { access, by: Some(by), scopes, admin, ..Details::default() };
        self.announce(Kind::Opened, session, details, now_ms);
    }

    /// Somebody logged in again within a session, at `login_at_ms`.
    pub fn login(&self, session: &Session, login_at_ms: u64) {
        info!(
            target: "audit", event = Kind::Login.as_str(), session = %session.id, issuer = &*session.issuer,
            subject = &*session.subject, client_id = &*session.client, login_at = rfc3339(login_at_ms),
        );
        self.announce(Kind::Login, session, Details::default(), login_at_ms);
    }

    /// A session opened at another replica, which has reported it.
    pub fn opened_elsewhere(&self, session: &Session) {
        self.metrics.sessions.inc();
        let details = Details { access: Some(Arc::clone(&session.access)), by: Some("replica"), ..Details::default() };
        self.announce(Kind::Opened, session, details, session.opened_at_ms);
    }

    /// A session ended.
    pub fn ended(&self, session: &Session, end: End, by: EndedBy) {
        let by_replica = by == EndedBy::Replica;
        let by = by.as_str();
        if by_replica {
            self.metrics.sessions.dec();
        } else {
            self.metrics.ended(end.reason);
            info!(
                target: "audit", event = Kind::Ended.as_str(), session = %session.id, issuer = &*session.issuer,
                subject = &*session.subject, client_id = &*session.client, reason = end.reason.as_str(), by,
                ended_at = rfc3339(end.at_ms),
            );
        }
        let access = Some(Arc::clone(&session.access));
        let details = Details { access, reason: Some(end.reason.as_str()), by: Some(by), ..Details::default() };
        self.announce(Kind::Ended, session, details, end.at_ms);
    }

    /// The idle end of a session is taken back: another replica had seen its activity.
    pub fn end_withdrawn(&self, session: &Session) {
        self.metrics.sessions.inc();
        info!(
            target: "audit", event = "end_withdrawn", session = %session.id, issuer = &*session.issuer,
            subject = &*session.subject, client_id = &*session.client,
        );
    }

    /// Introspection refused a token. A caller that asks about a dead token again and again is reported once.
    pub fn refused_introspection(&self, refused: RefusedQuestion<'_>) {
        let mut reported = self.reported.lock().unwrap_or_else(PoisonError::into_inner);
        if reported.len() >= REPORTED_MAX {
            reported.clear();
        }
        let is_new = reported.insert((refused.token.digest, refused.outcome));
        drop(reported);
        if is_new {
            self.refused(refused);
        }
    }

    /// A question was refused, or would have been. A stream reports this once for each of its tokens and each outcome.
    pub fn refused(&self, refused: RefusedQuestion<'_>) {
        let RefusedQuestion { token, outcome, route, granted, step_up, condition, now_ms } = refused;
        let (step_up, wanted, had) = match step_up {
            Some(StepUp::Acr { wanted, had }) => (Some("acr"), Some(wanted), Some(had)),
            Some(StepUp::MaxAge { wanted_s, login_at_ms }) => {
                (Some("max_age"), Some(wanted_s.to_string()), Some(rfc3339(login_at_ms)))
            }
            None => (None, None, None),
        };
        let beyond_grant = granted.as_ref().and_then(|granted| Scopes::given(token.scopes.beyond(granted)));
        let outcome = label(outcome);
        let kind = match condition.map(|condition| condition.mode) {
            Some(Mode::Shadow) => Kind::WouldRefuse,
            Some(Mode::Enforce) | None => Kind::Refused,
        };
        let (condition, reason) =
            condition.map(|Condition { refused, .. }| (refused.id.as_str(), refused.reason.as_str())).unzip();
        info!(
            target: "audit", event = kind.as_str(), session = %token.id, issuer = &*token.issuer,
            subject = &*token.subject, client_id = &*token.client, outcome, route,
            beyond_grant = beyond_grant.as_ref().map(Scopes::joined), step_up, wanted, had,
            condition, stated_reason = reason, token = format!("{:016x}", token.digest),
        );
        let about = About::Session {
            id: token.id,
            issuer: Arc::clone(&token.issuer),
            subject: token.subject.clone(),
            client_id: Arc::clone(&token.client),
        };
        let (wanted, had) = (wanted.as_deref().map(Text::new), had.as_deref().map(Text::new));
        let (outcome, route) = (Some(outcome), Text::given(route));
        let (condition, stated_reason) = (condition.map(Text::new), reason.and_then(Text::given));
        let details = Details {
            outcome,
            route,
            beyond_grant,
            step_up,
            wanted,
            had,
            condition,
            stated_reason,
            ..Details::default()
        };
        self.history.push(Event { kind, about, details, at_ms: now_ms });
    }

    /// All that is left to a party was set, or that was lifted.
    pub fn narrowed(&self, narrowing: &Narrowing, by: &'static str, actor: &Actor) {
        let is_narrowed = narrowing.scopes.is_some() || !narrowing.signalled.is_empty();
        let kind = if is_narrowed { Kind::ScopesNarrowed } else { Kind::ScopesRestored };
        let made_at_ms = narrowing.made_at_ms.unwrap_or_else(|| self.clock.now_ms());
        let details = Details { by: Some(by), admin: actor.shared(), ..Details::default() };
        self.scopes(kind, narrowing, details, made_at_ms);
    }

    /// Scopes were taken from a party, or given back to it: one line for each party whose narrowing this has changed. What is
    /// given back to a subject is given back to its clients, and nothing more is taken from those.
    pub fn scopes_changed(&self, narrowings: &[Narrowing], change: &ScopeChange, actor: &Actor) {
        for narrowing in narrowings {
            let is_own = narrowing.party == change.party;
            let remove = if is_own { Scopes::given(&change.remove) } else { None };
            let kind = if remove.is_some() { Kind::ScopesNarrowed } else { Kind::ScopesRestored };
            let (restore, stated_reason) = (Scopes::given(&change.restore), Text::given(&change.reason));
            let (by, admin) = (Some("admin"), actor.shared());
            let details = Details { remove, restore, stated_reason, by, admin, ..Details::default() };
            self.scopes(kind, narrowing, details, change.made_at_ms);
        }
    }

    /// Reports a change of the scopes of a party, after which `narrowing` holds.
    fn scopes(&self, kind: Kind, narrowing: &Narrowing, details: Details, at_ms: u64) {
        let Narrowing { party, scopes, removed, signalled, .. } = narrowing;
        let client_id = (!party.every_client).then_some(party.client.as_str());
        let (scopes, removed) = (scopes.as_ref().map(Scopes::new), Scopes::given(removed));
        let signalled = (!signalled.is_empty()).then(|| serde_json::to_string(signalled).unwrap_or_default());
        let (details, by) = (Details { scopes, removed, ..details }, details.by);
        let joined = |list: &Option<Scopes>| list.as_ref().map(Scopes::joined);
        info!(
            target: "audit", event = kind.as_str(), issuer = party.issuer, subject = party.subject, client_id,
            key = party.named_key(), remove = joined(&details.remove), restore = joined(&details.restore),
            scopes = joined(&details.scopes), removed = joined(&details.removed), signalled,
            stated_reason = details.stated_reason.as_ref().map(Text::as_str), by, admin = details.admin.as_deref(),
        );
        self.history.push(Event { kind, about: About::Party(party.clone()), details, at_ms });
    }

    /// A session was granted more scopes by a token, as its access type allows.
    pub fn scopes_grew(&self, session: &Session, more: &[&str]) {
        let scopes = Scopes::new(more);
        info!(
            target: "audit", event = Kind::ScopesGrew.as_str(), session = %session.id, issuer = &*session.issuer,
            subject = &*session.subject, client_id = &*session.client, scopes = scopes.joined(),
        );
        let details = Details { scopes: Some(scopes), ..Details::default() };
        self.announce(Kind::ScopesGrew, session, details, self.clock.now_ms());
    }

    /// One session was revoked, durably; `stated_reason` is the reason that its caller stated.
    pub fn session_revoked(&self, record: &Record, stated_reason: &str, actor: &Actor) {
        self.metrics.revoked_session();
        let (id, by) = (record.id(), actor.revokes_as().as_str());
        info!(
            target: "audit", event = Kind::SessionRevoked.as_str(), session = %id, issuer = record.issuer,
            subject = record.subject, client_id = record.client_id, stated_reason, by,
            admin = actor.admin(),
        );
        let about = About::Session {
            id,
            issuer: record.issuer.as_str().into(),
            subject: record.subject.as_str().into(),
            client_id: record.client_id.as_str().into(),
        };
        let (stated_reason, admin) = (Text::given(stated_reason), actor.shared());
        let details = Details { stated_reason, by: Some(by), admin, ..Details::default() };
        self.history.push(Event { kind: Kind::SessionRevoked, about, details, at_ms: self.clock.now_ms() });
    }

    /// A revocation of a whole party was made; `ended` is the number of live sessions that it ended.
    pub fn revocation_made(&self, revocation: &Revocation, ended: usize, by: &'static str, actor: &Actor) {
        self.metrics.revoked(&revocation.party);
        let party = serde_json::to_string(&revocation.party).unwrap_or_default();
        let before = rfc3339(revocation.before_ms);
        info!(
            target: "audit", event = "revocation_made", issuer = revocation.issuer, party, before, ended,
            stated_reason = revocation.reason, by, admin = actor.admin(),
        );
    }

    /// A revocation of a whole party was lifted.
    pub fn revocation_lifted(&self, revocation: &Revocation, actor: &Actor) {
        let party = serde_json::to_string(&revocation.party).unwrap_or_default();
        let before = rfc3339(revocation.before_ms);
        info!(
            target: "audit", event = "revocation_lifted", issuer = revocation.issuer, party, before, by = "admin",
            admin = actor.admin(),
        );
    }

    /// A party was blocked; `is_replaced` says that another block of it has lost its place to this one.
    pub fn block_made(&self, block: &Block, is_replaced: bool, actor: &Actor) {
        let party = serde_json::to_string(&block.party).unwrap_or_default();
        let until = block.until_ms.map(rfc3339);
        info!(
            target: "audit", event = "block_made", issuer = block.issuer, party, until, replaced = is_replaced,
            stated_reason = block.reason, by = maker(block), admin = actor.admin(),
        );
    }

    /// A block of a party was lifted.
    pub fn block_lifted(&self, block: &Block, actor: &Actor) {
        let party = serde_json::to_string(&block.party).unwrap_or_default();
        let until = block.until_ms.map(rfc3339);
        info!(
            target: "audit", event = "block_lifted", issuer = block.issuer, party, until, by = maker(block),
            admin = actor.admin(),
        );
    }

    /// An attribute was set, or removed.
    pub fn attribute(&self, attribute: &Attribute, by: &'static str, actor: &Actor) {
        let Attribute { holder, name, source, fact } = attribute;
        let holder = serde_json::to_string(holder).unwrap_or_default();
        match fact {
            Some(fact) => {
                let value = serde_json::to_string(&fact.value).unwrap_or_default();
                let expires_at = fact.expires_at_ms.map(rfc3339);
                let admin = actor.admin();
                info!(target: "audit", event = "attribute_set", holder, name, value, source, expires_at, by, admin);
            }
            None => {
                info!(target: "audit", event = "attribute_removed", holder, name, source, by, admin = actor.admin());
            }
        }
    }

    /// Something is unusual about where the requests of a session come from: the country, and the one before.
    pub fn anomaly(
        &self,
        session: &Session,
        anomaly: &'static str,
        [country, before]: [Option<Country>; 2],
        at_ms: u64,
    ) {
        info!(
            target: "audit", event = Kind::Anomaly.as_str(), session = %session.id, issuer = &*session.issuer,
            subject = &*session.subject, client_id = &*session.client, anomaly,
            country = country.as_ref().map(Country::as_str), before = before.as_ref().map(Country::as_str),
        );
        self.announce(
            Kind::Anomaly,
            session,
            Details { anomaly: Some(anomaly), country, before, ..Details::default() },
            at_ms,
        );
    }

    fn announce(&self, kind: Kind, session: &Session, details: Details, at_ms: u64) {
        let about = About::Session {
            id: session.id,
            issuer: Arc::clone(&session.issuer),
            subject: session.subject.clone(),
            client_id: Arc::clone(&session.client),
        };
        self.history.push(Event { kind, about, details, at_ms });
    }
}

/// Who has made a block, or had it lifted.
fn maker(block: &Block) -> &'static str {
    if block.transmitter.is_empty() { "admin" } else { "signal" }
}

fn label(outcome: Outcome) -> &'static str {
    let of = OUTCOMES.iter().find(|(of, _)| *of == outcome);
    of.map_or("unspecified", |(_, label)| label)
}
