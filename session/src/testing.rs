//! What the unit tests share: a book over a real store in a folder of its own, which can crash and which can fail.

use crate::access::{Access, AccessTypes, When};
use crate::audit::Audit;
use crate::book::{Binding, Book, Enrolment};
use crate::id::{KeyKind, SessionId};
use crate::intern::ScopeSet;
use crate::judge::Limits;
use crate::metrics::Metrics;
use crate::rules::Rule;
use crate::session::Session;
use crate::store::embedded::Embedded;
use crate::store::{Change, Record, Store, StoreError};
use crate::token::Token;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tempfile::TempDir;

pub(crate) const MINUTE: u64 = 60_000;
pub(crate) const HOUR: u64 = 60 * MINUTE;
/// The start of every test: no round number, so that clamping to zero shows.
pub(crate) const T0: u64 = 1_700_000_000_123;
pub(crate) const IDLE: u64 = 30 * MINUTE;
pub(crate) const ABSOLUTE: u64 = 8 * HOUR;

/// A store that fails on demand.
pub(crate) struct Faulty {
    inner: Embedded,
    pub(crate) fails: AtomicBool,
}

impl Store for Faulty {
    fn rules(&self) -> Result<Vec<Rule>, StoreError> {
        self.inner.rules()
    }

    fn sessions(&self, each: &mut dyn FnMut(Record)) -> Result<(), StoreError> {
        self.inner.sessions(each)
    }

    fn apply(&self, changes: &[Change]) -> Result<(), StoreError> {
        if self.fails.load(Ordering::SeqCst) {
            return Err(StoreError("disk on fire".to_owned()));
        }
        self.inner.apply(changes)
    }

    fn tombstone(&self, id: SessionId) -> Result<Option<Record>, StoreError> {
        self.inner.tombstone(id)
    }

    fn tombstones(
        &self,
        after: Option<SessionId>,
        each: &mut dyn FnMut(SessionId, Record) -> bool,
    ) -> Result<(), StoreError> {
        self.inner.tombstones(after, each)
    }
}

/// A book, its store, and the folder that outlives both.
pub(crate) struct Room {
    pub(crate) book: Arc<Book>,
    pub(crate) store: Arc<Faulty>,
    enrolment: Enrolment,
    folder: TempDir,
}

impl Room {
    pub(crate) fn new() -> Self {
        Self::with(Enrolment::FirstUse)
    }

    pub(crate) fn with(enrolment: Enrolment) -> Self {
        Self::in_folder(tempfile::tempdir().unwrap(), enrolment)
    }

    fn in_folder(folder: TempDir, enrolment: Enrolment) -> Self {
        let store = Arc::new(Faulty { inner: Embedded::open(folder.path()).unwrap(), fails: AtomicBool::new(false) });
        let audit = Arc::new(Audit::new(Metrics::new().unwrap()));
        let book = Book::new(types(), enrolment, store.clone(), audit);
        book.load().unwrap();
        Self { book: Arc::new(book), store, enrolment, folder }
    }

    /// Loses what is in memory and starts again from the disk.
    pub(crate) fn crash(self) -> Self {
        let Self { book, store, enrolment, folder } = self;
        drop(Arc::into_inner(book).expect("the book is still held"));
        drop(Arc::into_inner(store).expect("the store is still held"));
        Self::in_folder(folder, enrolment)
    }

    pub(crate) fn bind(&self, token: &Token, now_ms: u64) -> Binding {
        self.book.bind(token, true, now_ms).unwrap()
    }

    pub(crate) fn live(&self, token: &Token, now_ms: u64) -> Arc<Session> {
        match self.bind(token, now_ms) {
            Binding::Live(session) => session,
            other => panic!("not live: {other:?}"),
        }
    }
}

pub(crate) fn types() -> AccessTypes {
    let access =
        |name: &str, absolute_ms, idle_ms| Access { name: name.to_owned(), limits: Limits { absolute_ms, idle_ms } };
    let list = |entry: &str| Some(vec![entry.to_owned()]);
    AccessTypes::new([
        (When { grant: list("client_credentials"), ..When::default() }, access("machine", Some(12 * HOUR), None)),
        (When { scope: list("openid"), ..When::default() }, access("person", Some(ABSOLUTE), Some(IDLE))),
    ])
}

/// A person's token with that session claim, issued and authenticated at `at_ms`.
pub(crate) fn person(key: &str, at_ms: u64) -> Token {
    Token {
        id: SessionId::of("https://id", key),
        issuer: "https://id".into(),
        kind: KeyKind::Claim,
        key: key.into(),
        subject: "alice".into(),
        client: "web".into(),
        scopes: ScopeSet::new(["openid", "orders:read", "orders:write"]),
        issued_at_ms: at_ms,
        start_ms: at_ms,
        grant: "".into(),
        digest: 0,
    }
}

/// A machine client's token, issued at `at_ms`.
pub(crate) fn machine(at_ms: u64) -> Token {
    Token {
        kind: KeyKind::Client,
        subject: "robot".into(),
        client: "robot".into(),
        grant: "client_credentials".into(),
        ..person("robot", at_ms)
    }
}
