//! What the unit tests share: a registry over a real store in a folder of its own, which can crash and which can fail.

use crate::access::{Access, AccessTypes, Growth, When};
use crate::admins::{Caller, Scope, Subject};
use crate::approvals::{AccessRequest, Asked as AskedFor, Instance, People, Person, Rule, User};
use crate::audit::Audit;
use crate::bound_token::{BoundToken, Required};
use crate::clock::steady_ms;
use crate::clock::{Clock, Reading};
use crate::intern::ScopeSet;
use crate::issuers::KnownIssuer;
use crate::judge::{Asked, Limits};
use crate::metrics::Metrics;
use crate::narrowings::Narrowing;
use crate::registry::{Binding, Enrolment, FirstUse, Registry, Terms, UndatedLogins};
use crate::replica::Lease;
use crate::session::Session;
use crate::store::embedded::Embedded;
use crate::store::{Change, Lead, ReceiptId, Record, Rules, Store, StoreError};
use crate::token::Token;
use crate::usage::Used;
use crate::writer::Commit;
use portcullis_contract::wire::Outcome;
use portcullis_contract::{KeyKind, SessionId};
use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use tempfile::TempDir;

pub(crate) const MINUTE: u64 = 60_000;
pub(crate) const HOUR: u64 = 60 * MINUTE;
/// The start of every test: not a round number, so that clamping to zero shows.
pub(crate) const T0: u64 = 1_700_000_000_123;
pub(crate) const IDLE: u64 = 30 * MINUTE;
pub(crate) const ABSOLUTE: u64 = 8 * HOUR;

/// A store that fails on demand.
pub(crate) struct Faulty {
    inner: Embedded,
    pub(crate) fails: AtomicBool,
    /// It writes, and says that it has not.
    pub(crate) lies: AtomicBool,
    /// It cannot be read.
    pub(crate) is_away: AtomicBool,
    /// The session whose tombstone it cannot read.
    pub(crate) damaged: Mutex<Option<SessionId>>,
}

impl Store for Faulty {
    fn received(&self, ids: &[&ReceiptId]) -> Result<HashSet<ReceiptId>, StoreError> {
        self.inner.received(ids)
    }

    fn issuers(&self) -> Result<Vec<KnownIssuer>, StoreError> {
        self.inner.issuers()
    }

    fn id(&self) -> String {
        self.inner.id()
    }

    fn secret(&self) -> String {
        self.inner.secret()
    }

    fn leads(&self) -> Result<Vec<Lead>, StoreError> {
        self.inner.leads()
    }

    fn rules(&self) -> Result<Rules, StoreError> {
        self.inner.rules()
    }

    fn usage(&self, since: u32, each: &mut dyn FnMut(Used)) -> Result<(), StoreError> {
        self.inner.usage(since, each)
    }

    fn sessions(&self, each: &mut dyn FnMut(Record)) -> Result<usize, StoreError> {
        self.inner.sessions(each)
    }

    fn apply(&self, changes: &[Change]) -> Result<(), StoreError> {
        if self.fails.load(Ordering::SeqCst) {
            return Err(StoreError("disk on fire".to_owned()));
        }
        self.inner.apply(changes)?;
        match self.lies.load(Ordering::SeqCst) {
            true => Err(StoreError("disk on fire".to_owned())),
            false => Ok(()),
        }
    }

    fn recover(&self) -> Result<bool, StoreError> {
        if self.fails.load(Ordering::SeqCst) {
            return Err(StoreError("disk on fire".to_owned()));
        }
        self.inner.recover().map(|_| true)
    }

    fn tombstones_of(&self, ids: &[SessionId]) -> Result<Vec<(SessionId, Option<Record>)>, StoreError> {
        if self.is_away.load(Ordering::SeqCst) {
            return Err(StoreError("disk on fire".to_owned()));
        }
        let damaged = *self.damaged.lock().unwrap();
        let mut found = self.inner.tombstones_of(ids)?;
        found.iter_mut().filter(|(id, _)| Some(*id) == damaged).for_each(|(_, record)| *record = None);
        Ok(found)
    }

    fn tombstones(
        &self,
        after: Option<SessionId>,
        each: &mut dyn FnMut(SessionId, Option<Record>) -> bool,
    ) -> Result<(), StoreError> {
        self.inner.tombstones(after, each)
    }
}

/// A registry with its store, and the folder that outlives both.
pub(crate) struct Fixture {
    pub(crate) registry: Arc<Registry>,
    pub(crate) audit: Arc<Audit>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) store: Arc<Faulty>,
    enrolment: Enrolment,
    folder: TempDir,
}

impl Fixture {
    pub(crate) fn new() -> Self {
        Self::with(Enrolment::FirstUse)
    }

    pub(crate) fn with(enrolment: Enrolment) -> Self {
        Self::in_folder(tempfile::tempdir().unwrap(), enrolment)
    }

    fn in_folder(folder: TempDir, enrolment: Enrolment) -> Self {
        let store = Arc::new(Faulty {
            inner: Embedded::open(folder.path()).unwrap(),
            fails: AtomicBool::new(false),
            lies: AtomicBool::new(false),
            is_away: AtomicBool::new(false),
            damaged: Mutex::default(),
        });
        let (audit, metrics) = audit();
        let registry = loaded(store.clone(), enrolment, &audit, &metrics);
        Self { registry, audit, metrics, store, enrolment, folder }
    }

    /// One of several replicas, which may judge.
    pub(crate) fn shared() -> Self {
        let fixture = Self::new();
        let lease = Arc::new(Lease::of(HOUR));
        lease.beaten(steady_ms(), 0, 0);
        let registry = Arc::into_inner(fixture.registry).expect("the registry is still held").sharing(lease);
        Self { registry: Arc::new(registry), ..fixture }
    }

    /// Loses what is in memory and starts again from the disk.
    pub(crate) fn crash(self) -> Self {
        let Self { registry, store, enrolment, folder, .. } = self;
        drop(Arc::into_inner(registry).expect("the registry is still held"));
        drop(Arc::into_inner(store).expect("the store is still held"));
        Self::in_folder(folder, enrolment)
    }

    /// Binds a token, with the look-ups that this takes.
    pub(crate) fn bind_as(&self, token: &Token, first_use: FirstUse, now_ms: u64) -> Binding {
        let mut found = None;
        loop {
            match self.registry.bind(token, first_use, found.as_ref(), now_ms) {
                Ok(binding) => return binding,
                Err(look_up) => found = Some(self.registry.look_up(&look_up).unwrap()),
            }
        }
    }

    pub(crate) fn live(&self, token: &Token, now_ms: u64) -> Arc<Session> {
        match self.bind_as(token, FirstUse::Touches, now_ms) {
            Binding::Session(session) if session.ended().is_none() => session,
            other => panic!("not live: {other:?}"),
        }
    }

    /// The outcome of a question about a token, which is not activity of a session that is there.
    pub(crate) fn outcome(&self, token: &Token, now_ms: u64) -> Outcome {
        let (mut bound, mut found) = (BoundToken::new(Arc::new(token.clone())), None);
        while let Err(look_up) = bound.bind(&self.registry, true, found.as_ref(), now_ms) {
            found = Some(self.registry.look_up(&look_up).unwrap());
        }
        let background = Asked { background: true, ..Asked::default() };
        bound.answer(&self.registry, background, Required::default(), now_ms).verdict.outcome()
    }

    pub(crate) fn commit(&self) -> Commit {
        let (registry, store) = (Arc::clone(&self.registry), self.store.clone());
        let (audit, metrics) = (Arc::clone(&self.audit), Arc::clone(&self.metrics));
        Commit::new(registry, store, audit, metrics, Arc::new(AtomicBool::new(true)))
    }

    /// Writes what is only in memory so far.
    pub(crate) fn flush(&self) {
        self.commit().write_behind(&self.registry.take_changed());
    }
}

/// An audit with metrics of its own.
pub(crate) fn audit() -> (Arc<Audit>, Arc<Metrics>) {
    let metrics = Arc::new(Metrics::new().unwrap());
    let clock = Clock::new(|| Reading { wall_ms: T0, steady_ms: 0 });
    (Arc::new(Audit::new(Arc::clone(&metrics), clock)), metrics)
}

/// A registry, loaded from a store.
pub(crate) fn loaded(
    store: Arc<dyn Store>,
    enrolment: Enrolment,
    audit: &Arc<Audit>,
    metrics: &Arc<Metrics>,
) -> Arc<Registry> {
    loaded_on(UndatedLogins::Refuse, store, enrolment, audit, metrics)
}

/// A registry with these terms for undated logins, loaded from a store.
pub(crate) fn loaded_on(
    undated_logins: UndatedLogins,
    store: Arc<dyn Store>,
    enrolment: Enrolment,
    audit: &Arc<Audit>,
    metrics: &Arc<Metrics>,
) -> Arc<Registry> {
    let terms = Terms { access: types(), enrolment, undated_logins };
    let registry = Registry::new(terms, store, Arc::clone(audit), Arc::clone(metrics), Arc::default());
    registry.load().unwrap();
    Arc::new(registry)
}

pub(crate) fn types() -> AccessTypes {
    let access = |name: &str, absolute_ms, idle_ms| Access {
        name: name.to_owned(),
        limits: Limits { absolute_ms, idle_ms },
        growth: Growth::default(),
    };
    let list = |entry: &str| Some(vec![entry.to_owned()]);
    AccessTypes::new([
        (When { grant: list("client_credentials"), ..When::default() }, access("machine", Some(12 * HOUR), None)),
        (When { scope: list("openid"), ..When::default() }, access("person", Some(ABSOLUTE), Some(IDLE))),
    ])
}

/// A person's token with that session claim and a login at `at_ms`, when it was issued.
pub(crate) fn login(key: &str, at_ms: u64) -> Token {
    Token { authenticated_ms: Some(at_ms), ..person(key, at_ms) }
}

/// A person's token with that session claim and without `auth_time`, issued at `at_ms`.
pub(crate) fn person(key: &str, at_ms: u64) -> Token {
    Token {
        id: SessionId::of(KeyKind::Claim, "https://id", key, "web"),
        issuer: "https://id".into(),
        kind: KeyKind::Claim,
        key: key.into(),
        subject: "alice".into(),
        client: "web".into(),
        scopes: ScopeSet::new(["openid", "orders:read", "orders:write"]),
        issued_at_ms: at_ms,
        expires_at_ms: at_ms + HOUR,
        authenticated_ms: None,
        start_ms: at_ms,
        grant: "".into(),
        email: "".into(),
        digest: 0,
        acr: "".into(),
        further: None,
    }
}

/// A narrowing of the party of a session; `None` lifts it.
pub(crate) fn narrowing(session: &Session, scopes: Option<&[&str]>) -> Narrowing {
    let owned = |scopes: &[&str]| scopes.iter().map(|&scope| scope.to_owned()).collect();
    Narrowing { scopes: scopes.map(owned), ..Narrowing::none(session.party()) }
}

/// The rule of every test of approvals: `rita` asks for `orders:write`, and `ben` decides.
pub(crate) fn approval_rule() -> Rule {
    let people = |name: &str| People { admins: vec![name.to_owned()], claims: Vec::new() };
    Rule {
        name: "write".to_owned(),
        scopes: vec!["orders:write".to_owned()],
        ask: people("rita"),
        decide: vec![people("ben")],
        max_duration_ms: HOUR,
        pending_for_ms: 24 * HOUR,
        needs_reason: false,
        needs_ticket: false,
        survives_login: false,
        break_glass: None,
    }
}

/// What Rita asks for the session of a token.
pub(crate) fn asked(token: &Token) -> AskedFor {
    AskedFor {
        requester: Person { name: "rita".to_owned(), user: None },
        session: token.id,
        asked_in: Instance { returned_ms: 0, authenticated_ms: token.authenticated_ms.unwrap_or_default() },
        user: User { issuer: token.issuer.to_string(), subject: token.subject.to_string() },
        scopes: vec!["orders:write".to_owned()],
        reason: "it is broken".to_owned(),
        ticket: None,
        duration_ms: MINUTE,
        escalation: false,
        emergency: false,
        rule: approval_rule(),
    }
}

/// Somebody who may approve.
pub(crate) fn approver(name: &str) -> Caller {
    let claims = Arc::new(serde_json::Value::Null);
    let subject = Some(Subject { issuer: "https://staff".into(), sub: name.into() });
    Caller { name: name.into(), scopes: [Scope::Approve].into_iter().collect(), subject, claims }
}

/// Her request.
pub(crate) fn request() -> AccessRequest {
    AccessRequest::new(asked(&person("s", T0)), T0)
}

/// The token with a key of that kind, and so of another session.
pub(crate) fn of_kind(kind: KeyKind, token: Token) -> Token {
    Token { kind, id: SessionId::of(kind, &token.issuer, &token.key, &token.client), ..token }
}

/// A machine client's token, issued at `at_ms`.
pub(crate) fn machine(at_ms: u64) -> Token {
    let party = Token { subject: "robot".into(), client: "robot".into(), ..person("robot", at_ms) };
    Token { grant: "client_credentials".into(), ..of_kind(KeyKind::Machine, party) }
}
