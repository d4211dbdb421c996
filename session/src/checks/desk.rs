//! The desk of one stream: what the filter has told on it, and the answer to each of its messages. It knows no
//! network; a question about a token that is bound takes no lock and makes no string.

use crate::audit::Audit;
use crate::book::{Binding, Book};
use crate::judge::{Asked, Facts, Judgement, Reason, Refusal, judge};
use crate::metrics::Tally;
use crate::session::{Session, Stored};
use crate::store::StoreError;
use crate::token::Token;
use crate::wire::{FilterMessage, Hello, Outcome, Question, Scopes, Verdict};
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
    /// Sessions that ended before anything of them was written. Their tombstones must be on disk before the answer
    /// leaves: after a crash, nothing would tell that they are over.
    pub to_bury: Vec<Arc<Session>>,
}

struct Route {
    name: String,
    asked: Asked,
}

struct Bound {
    token: Token,
    state: State,
    /// The refusals that have been told to the audit: one bit for each outcome.
    told: u32,
}

enum State {
    /// Told, not yet asked about.
    Told,
    Live(Standing),
    /// Refused. An opening or a rule may change it: it holds for these epochs.
    Refused(Outcome, [u64; 2]),
}

/// How a token stands to a session that lived when it was bound.
struct Standing {
    session: Arc<Session>,
    rules_epoch: u64,
    escalates: bool,
    generation: u32,
    narrowed: Option<Vec<String>>,
}

/// The desk.
pub struct Desk {
    book: Arc<Book>,
    routes: Option<Vec<Route>>,
    handles: HashMap<u32, Bound>,
}

impl Desk {
    /// The desk of a stream that has just opened.
    pub fn new(book: Arc<Book>) -> Self {
        Self { book, routes: None, handles: HashMap::new() }
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
        for handle in &message.forgotten {
            self.handles.remove(handle);
        }
        Ok(answers)
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
        let bound = Bound { token, state: State::Told, told: 0 };
        match self.handles.insert(handle, bound) {
            None => Ok(()),
            Some(_) => Err(contract(format!("token {handle} was told twice"))),
        }
    }

    fn ask(&mut self, question: &Question, now_ms: u64, to_bury: &mut Vec<Arc<Session>>) -> Result<Verdict, Broken> {
        let routes = self.routes.as_deref().unwrap_or_default();
        let route = usize::try_from(question.route)
            .ok()
            .and_then(|index| routes.get(index))
            .ok_or_else(|| contract(format!("there is no route {}", question.route)))?;
        let bound = self
            .handles
            .get_mut(&question.token)
            .ok_or_else(|| contract(format!("token {} was not told", question.token)))?;
        if !bound.is_current(&self.book) {
            bound.bind(&self.book, !route.asked.background, now_ms, to_bury)?;
        }
        let mut verdict = bound.judge(&self.book, route.asked, now_ms, to_bury);
        verdict.id = question.id;
        if verdict.outcome() != Outcome::Active {
            bound.told(verdict.outcome(), &route.name, &self.book.audit, now_ms);
        }
        Ok(verdict)
    }
}

impl Bound {
    fn is_current(&self, book: &Book) -> bool {
        match &self.state {
            State::Told => false,
            State::Live(standing) => standing.session.ended().is_none() && standing.rules_epoch == book.rules_epoch(),
            State::Refused(_, epochs) => *epochs == epochs_of(book),
        }
    }

    fn bind(&mut self, book: &Book, touches: bool, now_ms: u64, to_bury: &mut Vec<Arc<Session>>) -> Result<(), Broken> {
        // Read before the look-up: what changes during it is seen at the next question.
        let epochs = epochs_of(book);
        let [rules_epoch, _] = epochs;
        let binding = book.bind(&self.token, touches, now_ms).map_err(Broken::Store)?;
        self.state = match binding {
            Binding::Live(session) => State::Live(Standing::new(session, &self.token, rules_epoch)),
            Binding::Gone(reason) => {
                to_bury.extend(book.find(self.token.id).filter(|session| is_to_bury(session)));
                State::Refused(outcome_of(reason), epochs)
            }
            Binding::Unknown => State::Refused(Outcome::UnknownSession, epochs),
        };
        Ok(())
    }

    fn judge(&mut self, book: &Book, asked: Asked, now_ms: u64, to_bury: &mut Vec<Arc<Session>>) -> Verdict {
        match &mut self.state {
            // `ask` binds before it judges; were it not so, the token would name no session.
            State::Told => refused(Outcome::UnknownSession),
            State::Refused(outcome, _) => refused(*outcome),
            State::Live(standing) => standing.judge(&self.token, book, asked, now_ms, to_bury),
        }
    }

    fn told(&mut self, outcome: Outcome, route: &str, audit: &Audit, now_ms: u64) {
        let bit = 1 << outcome as u32;
        if self.told & bit == 0 {
            self.told |= bit;
            audit.refused(&self.token, outcome, route, now_ms);
        }
    }
}

impl Standing {
    fn new(session: Arc<Session>, token: &Token, rules_epoch: u64) -> Self {
        let (generation, narrowed) = narrowed(&session, token);
        Self { escalates: !token.scopes.is_within(&session.granted), session, rules_epoch, generation, narrowed }
    }

    fn judge(
        &mut self,
        token: &Token,
        book: &Book,
        asked: Asked,
        now_ms: u64,
        to_bury: &mut Vec<Arc<Session>>,
    ) -> Verdict {
        let session = &self.session;
        let facts = Facts {
            ended: session.ended(),
            // The rules were checked when the token was bound, which is done again when they change.
            ruled_out: false,
            opened_at_ms: session.opened_at_ms,
            last_seen_ms: session.last_seen_ms(),
            limits: session.access.limits,
            escalates: self.escalates,
        };
        match judge(facts, asked, now_ms) {
            Judgement::Active { remaining_ms, idle_ms, touches } => {
                if touches {
                    book.touch(session, now_ms);
                }
                if self.generation != session.generation() {
                    (self.generation, self.narrowed) = narrowed(session, token);
                }
                Verdict {
                    id: 0,
                    outcome: Outcome::Active as i32,
                    remaining_ms,
                    idle_ms,
                    narrowed: self.narrowed.clone().map(|scopes| Scopes { scopes }),
                }
            }
            Judgement::Ended(end) => {
                book.end(session, end, "judge");
                if is_to_bury(session) {
                    to_bury.push(Arc::clone(session));
                }
                // Another end may have been first: that one is the session's.
                refused(outcome_of(session.ended().unwrap_or(end).reason))
            }
            Judgement::Refused(refusal) => refused(match refusal {
                Refusal::RuledOut => Outcome::Revoked,
                Refusal::ScopeEscalation => Outcome::ScopeEscalation,
                Refusal::StepUpRequired => Outcome::StepUpRequired,
                Refusal::RouteIdle => Outcome::IdleTimeout,
            }),
        }
    }
}

/// The scopes that are left of the token's, when they are fewer, with the generation that they belong to.
fn narrowed(session: &Session, token: &Token) -> (u32, Option<Vec<String>>) {
    let (generation, scopes) = session.scopes();
    let is_whole = token.scopes.is_within(&scopes);
    (generation, (!is_whole).then(|| token.scopes.and(&scopes)))
}

fn is_to_bury(session: &Session) -> bool {
    session.ended().is_some() && session.stored() == Stored::Nothing
}

fn epochs_of(book: &Book) -> [u64; 2] {
    [book.rules_epoch(), book.openings_epoch()]
}

fn outcome_of(reason: Reason) -> Outcome {
    match reason {
        Reason::IdleTimeout => Outcome::IdleTimeout,
        Reason::LifetimeExceeded => Outcome::LifetimeExceeded,
        Reason::Revoked => Outcome::Revoked,
    }
}

fn refused(outcome: Outcome) -> Verdict {
    Verdict { outcome: outcome as i32, ..Verdict::default() }
}

fn contract(broken: impl Into<String>) -> Broken {
    Broken::Contract(broken.into())
}
