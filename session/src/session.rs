//! One session in memory. What changes on every request is in atomics, so that judging takes no lock.

use crate::access::Access;
use crate::approvals::{Grant, Grants, Instance};
use crate::attributes::Contexts;
use crate::email::EmailDigest;
use crate::intern::{Interner, ScopeSet};
use crate::judge::{End, expiry};
use crate::life::{Life, Stage};
use crate::narrowings::Left;
use crate::revocations::Bearer;
use crate::store::{Marks, Record};
use crate::token::Token;
use portcullis_contract::{KeyKind, SessionId};
use std::ops::Deref;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// What a session was opened with. It never changes.
#[derive(Debug, Clone)]
pub struct Origin {
    /// Its public id.
    pub id: SessionId,
    /// Who issued the tokens.
    pub issuer: Arc<str>,
    /// Names it within its issuer.
    pub key: Box<str>,
    /// What the key was made from.
    pub kind: KeyKind,
    /// `sub` of the first token; empty when it had none.
    pub subject: Box<str>,
    /// The client of the first token; empty when it had none.
    pub client: Arc<str>,
    /// Its limits.
    pub access: Arc<Access>,
    /// Its start.
    pub opened_at_ms: u64,
    /// The end that it came back after.
    pub returned: Option<End>,
    /// A token whose login (of a machine client: its `iat`) is not later than this is from before that end.
    pub returned_from_ms: u64,
}

/// What a token has shown that its session did not know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Noted {
    /// Nothing.
    Nothing,
    /// It was issued later than all others.
    NewerToken,
    /// It is of a later login.
    Login,
}

/// A session in memory.
#[derive(Debug)]
pub struct Session {
    origin: Origin,
    life: Life,
    last_seen_ms: AtomicU64,
    login_at_ms: AtomicU64,
    authenticated_ms: AtomicU64,
    issued_ms: AtomicU64,
    scopes: Mutex<Scopes>,
    contexts: Mutex<Contexts>,
    email: Mutex<Option<EmailDigest>>,
    grants: Mutex<Grants>,
    generation: AtomicU32,
}

/// The scopes of a session.
#[derive(Debug, Clone)]
pub struct Scopes {
    /// Those of its first token, and those that it has grown by: a token with more is an escalation.
    pub granted: ScopeSet,
    /// What narrowings leave of these; `None`: all.
    left: Option<Box<Left>>,
    /// Those that it has now: what is granted and left.
    pub now: ScopeSet,
}

impl Scopes {
    /// Those that it has with more than it was granted.
    pub fn with(&self, more: &ScopeSet) -> ScopeSet {
        let all = ScopeSet::new(self.granted.iter().chain(more.iter()));
        self.left.as_ref().map_or_else(|| all.clone(), |left| left.of(&all))
    }

    fn new(granted: ScopeSet, left: Option<Box<Left>>) -> Self {
        let now = left.as_ref().map_or_else(|| granted.clone(), |left| left.of(&granted));
        Self { granted, left, now }
    }
}

impl Deref for Session {
    type Target = Origin;

    fn deref(&self) -> &Origin {
        &self.origin
    }
}

impl Session {
    /// A session that has just opened, of which nothing is on disk.
    pub fn opened(origin: Origin, granted: ScopeSet, marks: Marks) -> Self {
        Self::new(origin, granted, marks, Stage::Unrecorded)
    }

    /// A session whose record is on disk.
    pub fn loaded(origin: Origin, granted: ScopeSet, marks: Marks) -> Self {
        Self::new(origin, granted, marks, Stage::Recorded)
    }

    fn new(origin: Origin, granted: ScopeSet, marks: Marks, stage: Stage) -> Self {
        Self {
            origin,
            life: Life::new(stage),
            last_seen_ms: AtomicU64::new(marks.last_seen_ms),
            login_at_ms: AtomicU64::new(marks.login_at_ms),
            authenticated_ms: AtomicU64::new(marks.authenticated_ms),
            issued_ms: AtomicU64::new(marks.issued_ms),
            scopes: Mutex::new(Scopes::new(granted, None)),
            contexts: Mutex::default(),
            email: Mutex::default(),
            grants: Mutex::default(),
            generation: AtomicU32::new(0),
        }
    }

    /// Its life.
    pub fn life(&self) -> &Life {
        &self.life
    }

    /// Its end, once it has one.
    pub fn ended(&self) -> Option<End> {
        self.life.stage().end()
    }

    /// The end that its own limits have set by `now_ms`.
    pub fn expiry(&self, now_ms: u64) -> Option<End> {
        expiry(self.login_at_ms(), self.last_seen_ms(), self.access.limits, now_ms)
    }

    /// What revocations are compared with.
    pub fn bearer(&self) -> Bearer<'_> {
        Bearer {
            issuer: &self.issuer,
            subject: &self.subject,
            client: &self.client,
            kind: self.kind,
            key: &self.key,
            start_ms: self.login_at_ms(),
            login_ms: self.marks().authenticated_ms,
        }
    }

    /// The last activity.
    pub fn last_seen_ms(&self) -> u64 {
        self.last_seen_ms.load(Ordering::Relaxed)
    }

    /// Notes activity. A clock that went back never makes it older.
    pub fn touch(&self, now_ms: u64) {
        self.last_seen_ms.fetch_max(now_ms, Ordering::Relaxed);
    }

    /// The last login; without any, the session's start.
    pub fn login_at_ms(&self) -> u64 {
        self.login_at_ms.load(Ordering::Relaxed)
    }

    /// What moves while it lives.
    pub fn marks(&self) -> Marks {
        Marks {
            last_seen_ms: self.last_seen_ms(),
            login_at_ms: self.login_at_ms(),
            authenticated_ms: self.authenticated_ms.load(Ordering::Relaxed),
            issued_ms: self.issued_ms.load(Ordering::Relaxed),
        }
    }

    /// Notes a token of the session that was presented. A later `auth_time` than any so far is a login: it is activity
    /// as of then, and the lifetime runs from it.
    pub fn note(&self, token: &Token) -> Noted {
        let is_newer = self.issued_ms.fetch_max(token.issued_at_ms, Ordering::Relaxed) < token.issued_at_ms;
        let older = if is_newer { Noted::NewerToken } else { Noted::Nothing };
        let Some(authenticated_ms) = token.authenticated_ms else {
            return older;
        };
        let known = self.authenticated_ms.fetch_max(authenticated_ms, Ordering::Relaxed);
        if known >= authenticated_ms {
            return older;
        }
        self.login_at_ms.fetch_max(token.start_ms, Ordering::Relaxed);
        self.touch(token.start_ms);
        self.logged_in();
        Noted::Login
    }

    /// Takes over the later instants of another replica.
    pub fn merge(&self, marks: Marks) {
        self.last_seen_ms.fetch_max(marks.last_seen_ms, Ordering::Relaxed);
        self.login_at_ms.fetch_max(marks.login_at_ms, Ordering::Relaxed);
        let known_ms = self.authenticated_ms.fetch_max(marks.authenticated_ms, Ordering::Relaxed);
        self.issued_ms.fetch_max(marks.issued_ms, Ordering::Relaxed);
        if marks.authenticated_ms > known_ms {
            self.logged_in();
        }
    }

    /// A login ends grants, and conditions look at it: whoever has compared a token with either has to do so again.
    fn logged_in(&self) {
        self.generation.fetch_add(1, Ordering::SeqCst);
    }

    /// The life that it is in.
    pub fn instance(&self) -> Instance {
        let returned_ms = self.returned.map_or(0, |end| end.at_ms);
        Instance { returned_ms, authenticated_ms: self.authenticated_ms.load(Ordering::Relaxed) }
    }

    /// Its grants, with those that no longer hold.
    pub fn grants(&self) -> Grants {
        self.grants.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The grants that hold, each with its scopes.
    pub fn live_grants(&self, now_ms: u64) -> Vec<(ScopeSet, Grant)> {
        self.grants().live(self.instance(), self.returned, now_ms).cloned().collect()
    }

    /// Sets its grants; returns whether they are others than before.
    pub fn set_grants(&self, grants: Grants) -> bool {
        let mut held = self.grants.lock().unwrap_or_else(PoisonError::into_inner);
        let is_new = *held != grants;
        *held = grants;
        drop(held);
        if is_new {
            self.generation.fetch_add(1, Ordering::SeqCst);
        }
        is_new
    }

    /// Its scopes, with the generation they belong to or an older one: a caller that keeps both sees a newer generation as
    /// soon as its copy is outdated.
    pub fn scopes(&self) -> (u32, Scopes) {
        let generation = self.generation();
        let scopes = self.scopes.lock().unwrap_or_else(PoisonError::into_inner);
        (generation, scopes.clone())
    }

    /// The scopes that it was granted.
    pub fn granted(&self) -> ScopeSet {
        self.scopes().1.granted
    }

    /// What its logins count as.
    pub fn contexts(&self) -> Contexts {
        self.contexts.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Sets that.
    pub fn set_contexts(&self, contexts: Contexts) {
        let mut held = self.contexts.lock().unwrap_or_else(PoisonError::into_inner);
        let is_new = *held != contexts;
        *held = contexts;
        drop(held);
        if is_new {
            self.generation.fetch_add(1, Ordering::SeqCst);
        }
    }

    /// The latest e-mail address that its tokens have said.
    pub fn email(&self) -> Option<EmailDigest> {
        *self.email.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes an address; returns whether it was not known.
    pub fn set_email(&self, email: EmailDigest) -> bool {
        self.email.lock().unwrap_or_else(PoisonError::into_inner).replace(email) != Some(email)
    }

    /// How often its scopes, its grants, its login, or what that counts as, have changed.
    pub fn generation(&self) -> u32 {
        self.generation.load(Ordering::SeqCst)
    }

    /// Leaves it this of the scopes that it is granted.
    pub fn narrow(&self, left: Left) {
        let left = (!left.is_all()).then(|| Box::new(left));
        self.set_scopes(|scopes| Scopes::new(scopes.granted.clone(), left));
    }

    /// Grants it these scopes as well.
    pub fn grant(&self, more: &ScopeSet, names: &Interner) {
        let all = |granted: &ScopeSet| names.scopes(ScopeSet::new(granted.iter().chain(more.iter())));
        self.set_scopes(|scopes| Scopes::new(all(&scopes.granted), scopes.left.clone()));
    }

    fn set_scopes(&self, change: impl FnOnce(&Scopes) -> Scopes) {
        let mut scopes = self.scopes.lock().unwrap_or_else(PoisonError::into_inner);
        *scopes = change(&scopes);
        drop(scopes);
        self.generation.fetch_add(1, Ordering::SeqCst);
    }

    /// The session as it is now, for the disk and for the admin API.
    pub fn record(&self) -> Record {
        self.record_with(self.ended())
    }

    /// The record as it will be with that end.
    pub fn record_with(&self, ended: Option<End>) -> Record {
        let scopes = self.scopes().1;
        Record {
            issuer: self.issuer.to_string(),
            key: self.key.to_string(),
            kind: self.kind,
            subject: self.subject.to_string(),
            client_id: self.client.to_string(),
            access: self.access.name.clone(),
            absolute_ms: self.access.limits.absolute_ms,
            idle_ms: self.access.limits.idle_ms,
            granted: scopes.granted.to_vec(),
            scopes: scopes.now.to_vec(),
            opened_at_ms: self.opened_at_ms,
            marks: self.marks(),
            returned: self.returned,
            returned_from_ms: self.returned_from_ms,
            ended,
            email: self.email(),
        }
    }
}
