//! The follows of one stream: open requests that hear of a change of their session without asking.
//!
//! Limits are met without anyone asking either: each follow has one instant at which it is looked at again, the
//! nearest of its limits when it was judged last. Activity moves the idle limit only later, so a look that comes too
//! early finds out and is put off; nothing is done for a follow in between.

use super::bound::{Bound, is_to_bury, outcome_of, refused};
use super::desk::{Answers, Broken, contract};
use crate::book::Book;
use crate::followers::{Line, Mailbox};
use crate::judge::Asked;
use crate::session::Session;
use crate::store::StoreError;
use crate::token::Token;
use crate::wire::{Outcome, Scopes, Verdict};
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

/// Follows that one stream may have open.
pub(super) const FOLLOWS_MAX: usize = 200_000;

/// One open request, or several of one token and route.
struct Follow {
    /// Its own, so that the filter may forget the token's handle.
    bound: Bound,
    asked: Asked,
    /// The scopes that were told last.
    narrowed: Option<Scopes>,
    due_ms: Option<u64>,
}

/// What a follow is judged for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Occasion {
    /// It was just entered: the verdict is told whatever it is.
    Entered,
    /// Its open requests saw bytes.
    Active,
    /// Its session changed, or a limit is due.
    Changed,
}

/// The follows of one stream.
pub(super) struct Follows {
    book: Arc<Book>,
    line: Line,
    open: HashMap<u32, Follow>,
    /// The instant at which each is looked at again, where it has a limit.
    due: BTreeSet<(u64, u32)>,
}

impl Follows {
    pub(super) fn new(book: &Arc<Book>) -> Self {
        let line = book.followers.line();
        Self { book: Arc::clone(book), line, open: HashMap::new(), due: BTreeSet::new() }
    }

    pub(super) fn mailbox(&self) -> &Arc<Mailbox> {
        self.line.mailbox()
    }

    pub(super) fn due_ms(&self) -> Option<u64> {
        self.due.first().map(|(due_ms, _)| *due_ms)
    }

    /// Begins a follow, and tells its verdict.
    pub(super) fn open(
        &mut self,
        id: u32,
        token: Arc<Token>,
        asked: Asked,
        now_ms: u64,
        answers: &mut Answers,
    ) -> Result<(), Broken> {
        // The order is the point: see the register.
        self.enter(id, token, asked)?;
        self.judge(id, Occasion::Entered, now_ms, answers)
    }

    pub(super) fn enter(&mut self, id: u32, token: Arc<Token>, asked: Asked) -> Result<(), Broken> {
        if self.open.len() >= FOLLOWS_MAX {
            return Err(contract(format!("more than {FOLLOWS_MAX} follows")));
        }
        if self.open.contains_key(&id) {
            return Err(contract(format!("follow {id} is open already")));
        }
        self.line.follow(token.id, id);
        self.open.insert(id, Follow { bound: Bound::new(token), asked, narrowed: None, due_ms: None });
        let metrics = &self.book.audit.metrics;
        metrics.follows.inc();
        metrics.follows_open.inc();
        Ok(())
    }

    /// Takes a follow back. One that is not open has ended meanwhile.
    pub(super) fn close(&mut self, id: u32) {
        if let Some(follow) = self.open.remove(&id) {
            self.line.unfollow(follow.bound.token().id, id);
            if let Some(due_ms) = follow.due_ms {
                self.due.remove(&(due_ms, id));
            }
            self.book.audit.metrics.follows_open.dec();
        }
    }

    /// Notes activity of a follow, unless it is over by now.
    pub(super) fn active(&mut self, id: u32, now_ms: u64, answers: &mut Answers) -> Result<(), Broken> {
        self.judge(id, Occasion::Active, now_ms, answers)
    }

    /// Judges the follows that are marked or due.
    pub(super) fn look(&mut self, now_ms: u64, answers: &mut Answers) -> Result<(), Broken> {
        let marked = self.line.mailbox().take();
        let mut wanted: Vec<u32> = match marked.all {
            true => self.open.keys().copied().collect(),
            false => marked.follows.into_iter().collect(),
        };
        // One that is due is due until it is judged: judging moves it on, or ends it.
        wanted.extend(self.due.iter().take_while(|(due_ms, _)| *due_ms <= now_ms).map(|(_, id)| *id));
        for id in wanted {
            self.judge(id, Occasion::Changed, now_ms, answers)?;
        }
        Ok(())
    }

    pub(super) fn judge(
        &mut self,
        id: u32,
        occasion: Occasion,
        now_ms: u64,
        answers: &mut Answers,
    ) -> Result<(), Broken> {
        let Some(follow) = self.open.get_mut(&id) else {
            return Ok(());
        };
        let mut verdict = follow.judge(&self.book, occasion, now_ms, &mut answers.to_bury).map_err(Broken::Store)?;
        verdict.id = id;
        if verdict.outcome() != Outcome::Active {
            self.book.audit.metrics.cut(verdict.outcome());
            self.close(id);
            answers.followed.push(verdict);
            return Ok(());
        }
        let left_ms = [verdict.remaining_ms, verdict.idle_ms].into_iter().flatten().min();
        let due_ms = left_ms.map(|left_ms| now_ms.saturating_add(left_ms));
        if follow.due_ms != due_ms {
            if let Some(before) = std::mem::replace(&mut follow.due_ms, due_ms) {
                self.due.remove(&(before, id));
            }
            self.due.extend(due_ms.map(|due_ms| (due_ms, id)));
        }
        if occasion == Occasion::Entered || verdict.narrowed != follow.narrowed {
            follow.narrowed.clone_from(&verdict.narrowed);
            answers.followed.push(verdict);
        }
        Ok(())
    }
}

impl Drop for Follows {
    fn drop(&mut self) {
        for (id, follow) in self.open.drain() {
            self.line.unfollow(follow.bound.token().id, id);
            self.book.audit.metrics.follows_open.dec();
        }
    }
}

impl Follow {
    fn judge(
        &mut self,
        book: &Book,
        occasion: Occasion,
        now_ms: u64,
        to_bury: &mut Vec<Arc<Session>>,
    ) -> Result<Verdict, StoreError> {
        let held = self.bound.session().cloned();
        let lives = |session: &Arc<Session>| session.ended().is_none();
        if !self.bound.is_current(book) && held.as_ref().is_none_or(lives) {
            // A follow that opens the session anew, such as at another replica, is of a request that was let in: the
            // idle time starts with it. It is no activity of a session that is there.
            self.bound.bind(book, !self.asked.background, now_ms, to_bury)?;
        }
        // It follows this session to its end, and no other that may come in its place.
        if let Some(session) = held
            && let Some(end) = session.ended()
        {
            to_bury.extend(Some(session).filter(|session| is_to_bury(session)));
            return Ok(refused(outcome_of(end.reason)));
        }
        let background = self.asked.background || occasion != Occasion::Active;
        Ok(self.bound.judge(book, Asked { background, ..self.asked }, now_ms, to_bury))
    }
}
