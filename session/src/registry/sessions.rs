//! The sessions in memory, in shards with separate locks, with the queues of those whose current state is not on disk.
//!
//! Memory holds the live sessions, and the ended ones until their tombstone is on disk; other tombstones are looked up in
//! the store when a token is bound. So for an id that is not in memory, the disk is complete.

use super::notices::Outbox;
use crate::access::{Access, AccessTypes};
use crate::approvals::{Asked, Requests, Rules as ApprovalRules};
use crate::attributes::Attributes;
use crate::audit::{Audit, EndedBy};
use crate::blocks::Blocks;
use crate::clock::Agreement;
use crate::email::EmailDigest;
use crate::fact_epochs::FactEpochs;
use crate::followers::Followers;
use crate::held::HeldSignals;
use crate::intern::Interner;
use crate::issuers::Issuers;
use crate::judge::{End, Reason};
use crate::leads::Leads;
use crate::life::{Stage, Write};
use crate::metrics::Metrics;
use crate::narrowings::Narrowings;
use crate::replica::Lease;
use crate::revocations::Revocations;
use crate::session::{Noted, Origin, Session};
use crate::store::{Record, Store};
use crate::token::Token;
use crate::usage::Usage;
use crate::whereabouts::Whereabouts;
use portcullis_contract::{KeyKind, SessionId};
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock};

/// The number of shards; a power of two.
pub const SHARDS: usize = 64;

/// Who opens sessions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Enrolment {
    /// The first verified token of a session.
    FirstUse,
    /// Only the admin API.
    Explicit,
}

/// How undated logins are treated: their tokens have neither a session claim nor `auth_time`, so a refreshed token
/// looks like a new login.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UndatedLogins {
    /// Their tokens are refused.
    Refuse,
    /// A newer token opens their session again after a limit, and this long after a revocation.
    Reopen {
        /// In milliseconds.
        revoked_for_ms: u64,
    },
}

/// The terms on which sessions open.
#[derive(Debug)]
pub struct Terms {
    /// The access types of the configuration.
    pub access: AccessTypes,
    /// Who opens sessions.
    pub enrolment: Enrolment,
    /// How undated logins are treated.
    pub undated_logins: UndatedLogins,
}

/// What a tombstone says about later tokens.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tombstone {
    pub(super) end: End,
    kind: KeyKind,
    /// See [`Record::returns_from_ms`].
    pub(super) returns_from_ms: u64,
}

impl Tombstone {
    pub(super) fn of(session: &Session, end: End) -> Self {
        let returns_from_ms = session.record().returns_from_ms(end);
        Self { end, kind: session.kind, returns_from_ms }
    }

    pub(super) fn read(record: &Record) -> Option<Self> {
        let end = record.ended?;
        Some(Self { end, kind: record.kind, returns_from_ms: record.returns_from_ms(end) })
    }

    /// One that cannot be read, of a session that was revoked since: nobody knows what opens it again.
    pub(super) fn unreadable(end: End) -> Self {
        Self { end, kind: KeyKind::Claim, returns_from_ms: u64::MAX }
    }

    /// The same with the terms for undated logins: a revocation holds for a while, because the next token may be a
    /// refreshed one.
    pub(super) fn on(self, undated_logins: UndatedLogins) -> Self {
        match undated_logins {
            UndatedLogins::Reopen { revoked_for_ms }
                if self.kind == KeyKind::LoginUndated && self.end.reason == Reason::Revoked =>
            {
                Self {
                    returns_from_ms: self.end.at_ms.saturating_add(revoked_for_ms).max(self.returns_from_ms),
                    ..self
                }
            }
            UndatedLogins::Refuse | UndatedLogins::Reopen { .. } => self,
        }
    }

    /// The same, if it has this end as well.
    pub(super) fn and(self, end: End) -> Self {
        let merged = self.end.merged(end);
        Self { end: merged, returns_from_ms: self.returns_from_ms.max(end.at_ms), ..self }
    }

    /// Whether a token opens the session again: by a later login, or for a machine client by a later token.
    pub(super) fn opens_for(self, token: &Token) -> bool {
        self.kind == token.kind && token.returns_from_ms() > self.returns_from_ms
    }
}

/// The sessions of one shard.
#[derive(Default)]
pub(super) struct InMemory {
    pub(super) by_id: HashMap<SessionId, Arc<Session>>,
    /// How many sessions have left memory. A look-up in the store is outdated when this has moved meanwhile.
    pub(super) forgotten: u64,
}

#[derive(Default)]
struct Shard {
    sessions: Mutex<InMemory>,
    /// Opened by a first use and not on disk: these are written sooner than the rest.
    opened: Mutex<Vec<Arc<Session>>>,
    changed: Mutex<Vec<Arc<Session>>>,
}

/// The registry.
pub struct Registry {
    shards: [Shard; SHARDS],
    pub(super) revocations: RwLock<Revocations>,
    pub(super) blocks: RwLock<Blocks>,
    pub(super) narrowings: RwLock<Narrowings>,
    pub(super) attributes: RwLock<Attributes>,
    pub(super) fact_epochs: FactEpochs,
    pub(super) held: RwLock<HeldSignals>,
    pub(super) requests: RwLock<Requests>,
    pub(super) approval_rules: RwLock<Arc<ApprovalRules>>,
    /// Refused escalations that somebody may approve.
    pub(super) escalations: Mutex<Vec<Asked>>,
    /// What webhooks are told.
    pub(super) outbox: Outbox,
    pub(super) rules_epoch: AtomicU64,
    pub(super) openings_epoch: AtomicU64,
    pub(super) terms: Terms,
    pub(super) store: Arc<dyn Store>,
    secret: String,
    pub(super) names: Interner,
    pub(super) audit: Arc<Audit>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) followers: Arc<Followers>,
    pub(super) leads: Leads,
    issuers: Issuers,
    usage: Usage,
    whereabouts: OnceLock<Whereabouts>,
    pub(super) agreement: Arc<Agreement>,
    pub(super) lease: Arc<Lease>,
}

impl Registry {
    /// An empty registry. It reads tombstones from `store`; only the writer writes.
    pub fn new(
        terms: Terms,
        store: Arc<dyn Store>,
        audit: Arc<Audit>,
        metrics: Arc<Metrics>,
        agreement: Arc<Agreement>,
    ) -> Self {
        Self {
            shards: std::array::from_fn(|_| Shard::default()),
            revocations: RwLock::default(),
            blocks: RwLock::default(),
            narrowings: RwLock::default(),
            attributes: RwLock::default(),
            fact_epochs: FactEpochs::default(),
            held: RwLock::default(),
            requests: RwLock::default(),
            approval_rules: RwLock::default(),
            escalations: Mutex::default(),
            outbox: Outbox::default(),
            rules_epoch: AtomicU64::new(0),
            openings_epoch: AtomicU64::new(0),
            terms,
            secret: store.secret(),
            store,
            names: Interner::default(),
            audit,
            metrics,
            followers: Arc::default(),
            leads: Leads::default(),
            issuers: Issuers::default(),
            usage: Usage::default(),
            whereabouts: OnceLock::new(),
            agreement,
            lease: Arc::default(),
        }
    }

    /// The same, of a store that replicas share: it judges while that lease holds.
    #[must_use]
    pub fn sharing(self, lease: Arc<Lease>) -> Self {
        Self { lease, ..self }
    }

    /// Until when it may judge.
    pub fn lease(&self) -> &Arc<Lease> {
        &self.lease
    }

    /// Whether the machine's clocks agree.
    pub(crate) fn agreement(&self) -> &Agreement {
        &self.agreement
    }

    /// The access types of the configuration.
    pub fn access(&self) -> &AccessTypes {
        &self.terms.access
    }

    /// Shared copies of names and scope sets.
    pub fn names(&self) -> &Interner {
        &self.names
    }

    /// The streams that follow sessions.
    pub fn followers(&self) -> &Arc<Followers> {
        &self.followers
    }

    /// The claim names of issuers, for tokens that callers present.
    pub fn issuers(&self) -> &Issuers {
        &self.issuers
    }

    /// The counts of what is used that the store lacks.
    pub fn usage(&self) -> &Usage {
        &self.usage
    }

    /// Finds out where requests come from.
    pub(crate) fn whereabouts(&self) -> &Whereabouts {
        self.whereabouts.get_or_init(Whereabouts::default)
    }

    /// Sets that, once, before it is asked for.
    pub(crate) fn set_whereabouts(&self, whereabouts: Whereabouts) {
        drop(self.whereabouts.set(whereabouts));
    }

    /// How far the clocks of issuers are ahead.
    pub(crate) fn leads(&self) -> &Leads {
        &self.leads
    }

    /// Whether the tokens of undated logins are accepted.
    pub fn reopens_undated_logins(&self) -> bool {
        self.terms.undated_logins != UndatedLogins::Refuse
    }

    /// Moves when a revocation or a block is published or lifted: it may cover a token that was judged before.
    pub fn rules_epoch(&self) -> u64 {
        self.rules_epoch.load(Ordering::SeqCst)
    }

    /// Moves when what is known of a session, a subject or a device changes.
    pub(crate) fn fact_epochs(&self) -> &FactEpochs {
        &self.fact_epochs
    }

    /// Moves when the admin API opens a session: a token that named none, or an ended one, may now name one.
    pub fn openings_epoch(&self) -> u64 {
        self.openings_epoch.load(Ordering::SeqCst)
    }

    /// The session in memory under that id: live, or ended with a tombstone that is not on disk yet.
    pub fn find(&self, id: SessionId) -> Option<Arc<Session>> {
        self.in_memory(id).by_id.get(&id).cloned()
    }

    /// The end of the session at `now_ms`. A limit that has passed ends it here, unless the clocks disagree.
    pub fn settle(&self, session: &Arc<Session>, now_ms: u64, by: EndedBy) -> Option<End> {
        if let Some(end) = session.ended() {
            return Some(end);
        }
        let end = session.expiry(now_ms)?;
        self.end(session, end, by);
        session.ended()
    }

    /// Ends a session in memory; the writer writes its tombstone. `false`: it had already ended, and both ends are
    /// merged; or a limit has passed while the clocks disagree, or while another replica may know of later activity, and it
    /// is only refused.
    pub fn end(&self, session: &Arc<Session>, end: End, by: EndedBy) -> bool {
        if end.reason != Reason::Revoked && !(self.agreement.may_end(end.at_ms) && self.lease.holds()) {
            return false;
        }
        let (before, after) = session.life().change(|stage| stage.ended(end));
        self.ended(session, before, after, by)
    }

    /// A write of the session is on disk. A tombstone ends a session that is still live, and takes it out of memory.
    pub fn written(&self, session: &Arc<Session>, write: Write) {
        self.written_by(session, write, EndedBy::Admin);
    }

    /// The same, for whom the write was.
    pub(crate) fn written_by(&self, session: &Arc<Session>, write: Write, by: EndedBy) {
        let (before, after) = session.life().change(|stage| stage.written(write));
        self.ended(session, before, after, by);
        if after.to_write().is_none() {
            self.forget(session);
        }
    }

    /// The one place where the end of a session is announced: followers are notified once it can be found.
    pub(super) fn ended(&self, session: &Arc<Session>, before: Stage, after: Stage, by: EndedBy) -> bool {
        let (None, Some(end)) = (before.end(), after.end()) else {
            if after.end() != before.end() {
                self.enqueue(session);
            }
            return false;
        };
        self.followers.changed(session.id);
        self.audit.ended(session, end, by);
        self.enqueue(session);
        true
    }

    /// Notes activity; the writer writes it later.
    pub fn touch(&self, session: &Arc<Session>, now_ms: u64) {
        session.touch(self.agreement.activity_ms(now_ms));
        self.enqueue(session);
    }

    /// Notes a verified token that was presented for its session.
    pub fn note(&self, session: &Arc<Session>, token: &Token) {
        if self.note_email(session, token) {
            // The record on disk lacks it, and is written whole.
            session.life().change(Stage::overwritten);
            self.enqueue(session);
        }
        match session.note(token) {
            Noted::Nothing => return,
            Noted::NewerToken => {}
            Noted::Login => {
                self.audit.login(session, token.start_ms);
                self.followers.changed(session.id);
            }
        }
        self.enqueue(session);
    }

    /// Notes the e-mail address of a token; returns whether its session did not know it.
    pub(super) fn note_email(&self, session: &Session, token: &Token) -> bool {
        !token.email.is_empty() && session.set_email(self.email_digest(&token.issuer, &token.email))
    }

    /// The digest of an e-mail address at an issuer.
    pub fn email_digest(&self, issuer: &str, address: &str) -> EmailDigest {
        EmailDigest::of(&self.secret, issuer, address)
    }

    /// Has the session written at the next flush.
    pub fn enqueue(&self, session: &Arc<Session>) {
        if session.life().enqueue() {
            lock(&self.shard(session.id).changed).push(Arc::clone(session));
        }
    }

    /// Has a session that has just opened written soon.
    pub(super) fn enqueue_opened(&self, session: &Arc<Session>) {
        session.life().enqueue();
        lock(&self.shard(session.id).opened).push(Arc::clone(session));
    }

    /// Takes the sessions that the disk does not have at all.
    pub fn take_opened(&self) -> Vec<Arc<Session>> {
        self.shards.iter().flat_map(|shard| std::mem::take(&mut *lock(&shard.opened))).collect()
    }

    /// Takes the sessions whose current state is not on disk.
    pub fn take_changed(&self) -> Vec<Arc<Session>> {
        let mut changed = self.take_opened();
        changed.extend(self.shards.iter().flat_map(|shard| std::mem::take(&mut *lock(&shard.changed))));
        changed
    }

    /// Drops an ended session of which nothing is left to write.
    fn forget(&self, session: &Arc<Session>) {
        let mut sessions = self.in_memory(session.id);
        if sessions.by_id.get(&session.id).is_some_and(|held| Arc::ptr_eq(held, session)) {
            sessions.by_id.remove(&session.id);
            sessions.forgotten += 1;
        }
    }

    /// The sessions in one shard.
    pub(super) fn in_shard(&self, shard: usize) -> Vec<Arc<Session>> {
        let all = |shard: &Shard| lock(&shard.sessions).by_id.values().cloned().collect();
        self.shards.get(shard).map(all).unwrap_or_default()
    }

    /// The shard that holds a session, locked.
    pub(super) fn in_memory(&self, id: SessionId) -> MutexGuard<'_, InMemory> {
        lock(&self.shard(id).sessions)
    }

    fn shard(&self, id: SessionId) -> &Shard {
        let [first, ..] = id.0;
        #[expect(clippy::indexing_slicing, reason = "the remainder is below the array's length")]
        &self.shards[usize::from(first) % SHARDS]
    }
}

/// The end by a revocation.
pub fn revoked(at_ms: u64) -> End {
    End { reason: Reason::Revoked, at_ms }
}

/// What a session opens with.
pub(super) fn origin(token: &Token, access: Arc<Access>, returned: Option<Tombstone>) -> Origin {
    Origin {
        id: token.id,
        issuer: Arc::clone(&token.issuer),
        key: token.key.clone(),
        kind: token.kind,
        subject: token.subject.clone(),
        client: Arc::clone(&token.client),
        access,
        opened_at_ms: token.start_ms,
        returned: returned.map(|tombstone| tombstone.end),
        returned_from_ms: returned.map_or(0, |tombstone| tombstone.returns_from_ms),
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What these locks guard is consistent between any two statements: a panic elsewhere does not spoil it.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
