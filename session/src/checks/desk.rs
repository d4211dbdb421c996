//! The desk of one stream: what the filter has told on it, the answer to each of its messages, and the follows that
//! are due. It knows no network and no timer; a question about a token that is bound takes no lock and makes no string.

use super::bound::Bound;
use super::follows::Follows;
use crate::book::Book;
use crate::followers::Mailbox;
use crate::judge::Asked;
use crate::metrics::Tally;
use crate::session::Session;
use crate::store::StoreError;
use crate::token::Token;
use crate::wire::{FilterMessage, Follow, Hello, Outcome, Question, Verdict};
use std::collections::HashMap;
use std::sync::Arc;

/// Tokens that one stream may have told and not forgotten.
pub const HANDLES_MAX: usize = 1_000_000;

/// Routes that a filter may have.
pub const ROUTES_MAX: usize = 100_000;

/// Why a stream ends without an answer.
#[derive(Debug, PartialEq, Eq)]
pub enum Broken {
    /// The filter broke the contract.
    Contract(String),
    /// The store failed: there is no verdict, which is not the same as a refusal.
    Store(StoreError),
}

/// What a message comes to.
#[derive(Debug, Default)]
pub struct Answers {
    /// Whether the message began with a hello, which is answered at once.
    pub welcome: bool,
    /// One for each question, in their order.
    pub verdicts: Vec<Verdict>,
    /// The verdicts of follows that are new or have changed.
    pub followed: Vec<Verdict>,
    /// Sessions that ended before anything of them was written. Their tombstones must be on disk before the answer
    /// leaves: after a crash, nothing would tell that they are over.
    pub to_bury: Vec<Arc<Session>>,
}

struct Route {
    name: String,
    asked: Asked,
    requirement: Requirement,
}

/// The scopes that a route requires.
struct Requirement {
    all_of: Vec<String>,
    any_of: Vec<Vec<String>>,
}

impl Requirement {
    fn met_by(&self, scopes: &[String]) -> bool {
        let holds = |names: &[String]| names.iter().all(|name| scopes.contains(name));
        holds(&self.all_of) && (self.any_of.is_empty() || self.any_of.iter().any(|group| holds(group)))
    }
}

/// The desk.
pub struct Desk {
    book: Arc<Book>,
    routes: Option<Vec<Route>>,
    handles: HashMap<u32, Bound>,
    follows: Follows,
}

impl Desk {
    /// The desk of a stream that has just opened.
    pub fn new(book: Arc<Book>) -> Self {
        let follows = Follows::new(&book);
        Self { book, routes: None, handles: HashMap::new(), follows }
    }

    /// Answers a message that arrived by `now_ms`.
    pub fn read(&mut self, message: FilterMessage, now_ms: u64) -> Result<Answers, Broken> {
        let mut answers = Answers { welcome: message.hello.is_some(), ..Answers::default() };
        match (message.hello, self.routes.is_some()) {
            (Some(hello), false) => self.greet(hello)?,
            (None, true) => {}
            (Some(_), true) => return Err(contract("hello came twice")),
            (None, false) => return Err(contract("the first message has no hello")),
        }
        for facts in &message.tokens {
            self.tell(facts, now_ms)?;
        }
        let mut tally = Tally::default();
        answers.verdicts.reserve_exact(message.questions.len());
        for question in &message.questions {
            let verdict = self.ask(question, now_ms, &mut answers.to_bury)?;
            tally.add(verdict.outcome());
            answers.verdicts.push(verdict);
        }
        self.book.audit.metrics.answered(&tally);
        for follow in &message.follows {
            self.follow(follow, now_ms, &mut answers)?;
        }
        for id in &message.unfollowed {
            self.follows.close(*id);
        }
        for id in &message.active {
            self.follows.active(*id, now_ms, &mut answers)?;
        }
        for handle in &message.forgotten {
            self.handles.remove(handle);
        }
        // Here too: a filter that never pauses must not keep what is due from being looked at.
        self.follows.look(now_ms, &mut answers)?;
        Ok(answers)
    }

    /// Whether the filter has said hello.
    pub fn is_greeted(&self) -> bool {
        self.routes.is_some()
    }

    /// The verdicts of follows whose session changed, and of those that a limit is due for.
    pub fn look(&mut self, now_ms: u64) -> Result<Answers, Broken> {
        let mut answers = Answers::default();
        self.follows.look(now_ms, &mut answers)?;
        Ok(answers)
    }

    /// When [`Desk::look`] is to be called next, if no session changes before.
    pub fn due_ms(&self) -> Option<u64> {
        self.follows.due_ms()
    }

    /// Rings when [`Desk::look`] is to be called.
    pub fn mailbox(&self) -> &Arc<Mailbox> {
        self.follows.mailbox()
    }

    fn greet(&mut self, hello: Hello) -> Result<(), Broken> {
        if hello.routes.len() > ROUTES_MAX {
            return Err(contract(format!("more than {ROUTES_MAX} routes")));
        }
        tracing::info!(
            filter = hello.filter_version,
            policy = hello.policy_digest,
            routes = hello.routes.len(),
            "a filter opened a stream"
        );
        let routes = hello.routes.into_iter().map(|route| Route {
            name: route.name,
            requirement: Requirement {
                all_of: route.all_of,
                any_of: route.any_of.into_iter().map(|group| group.scopes).collect(),
            },
            asked: Asked { max_age_ms: route.max_age_ms, max_idle_ms: route.max_idle_ms, background: route.background },
        });
        self.routes = Some(routes.collect());
        Ok(())
    }

    fn tell(&mut self, facts: &crate::wire::Token, now_ms: u64) -> Result<(), Broken> {
        let handle = facts.handle;
        if self.handles.len() >= HANDLES_MAX {
            return Err(contract(format!("more than {HANDLES_MAX} tokens that are not forgotten")));
        }
        let token = Token::read(facts, &self.book.names, now_ms)
            .map_err(|malformed| contract(format!("token {handle}: {}", malformed.0)))?;
        match self.handles.insert(handle, Bound::new(Arc::new(token))) {
            None => Ok(()),
            Some(_) => Err(contract(format!("token {handle} was told twice"))),
        }
    }

    fn ask(&mut self, question: &Question, now_ms: u64, to_bury: &mut Vec<Arc<Session>>) -> Result<Verdict, Broken> {
        let route = route(self.routes.as_deref(), question.route)?;
        let bound = self.handles.get_mut(&question.token).ok_or_else(|| not_told(question.token))?;
        if !bound.is_current(&self.book) {
            let touches = !route.asked.background;
            bound.bind(&self.book, touches, now_ms, to_bury).map_err(Broken::Store)?;
        }
        // The filter will refuse what the session's scopes no longer cover, and a refused question is no activity.
        let is_covered = bound.scopes_left().is_none_or(|left| route.requirement.met_by(left));
        let asked = Asked { background: route.asked.background || !is_covered, ..route.asked };
        let mut verdict = bound.judge(&self.book, asked, now_ms, to_bury);
        verdict.id = question.id;
        if verdict.outcome() != Outcome::Active {
            bound.told(verdict.outcome(), &route.name, &self.book.audit, now_ms);
        }
        Ok(verdict)
    }

    fn follow(&mut self, follow: &Follow, now_ms: u64, answers: &mut Answers) -> Result<(), Broken> {
        let route = route(self.routes.as_deref(), follow.route)?;
        let bound = self.handles.get(&follow.token).ok_or_else(|| not_told(follow.token))?;
        self.follows.open(follow.id, Arc::clone(bound.token()), route.asked, now_ms, answers)
    }
}

fn route(routes: Option<&[Route]>, index: u32) -> Result<&Route, Broken> {
    let found = usize::try_from(index).ok().and_then(|index| routes?.get(index));
    found.ok_or_else(|| contract(format!("there is no route {index}")))
}

fn not_told(handle: u32) -> Broken {
    contract(format!("token {handle} was not told"))
}

pub(super) fn contract(broken: impl Into<String>) -> Broken {
    Broken::Contract(broken.into())
}
