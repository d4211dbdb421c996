//! A token bound to its session: what every question and every follow about it is judged by.

use crate::audit::Audit;
use crate::book::{Binding, Book};
use crate::judge::{Asked, Facts, Judgement, Reason, Refusal, judge};
use crate::session::{Session, Stored};
use crate::store::StoreError;
use crate::token::Token;
use crate::wire::{Outcome, Scopes, Verdict};
use std::sync::Arc;

/// A token that was told, and how it stands to its session.
pub(crate) struct Bound {
    token: Arc<Token>,
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

impl Bound {
    /// A token that has not been asked about.
    pub(crate) fn new(token: Arc<Token>) -> Self {
        Self { token, state: State::Told, told: 0 }
    }

    pub(crate) fn token(&self) -> &Arc<Token> {
        &self.token
    }

    /// The session that it was bound to while that lived.
    pub(crate) fn session(&self) -> Option<&Arc<Session>> {
        match &self.state {
            State::Live(standing) => Some(&standing.session),
            State::Told | State::Refused(..) => None,
        }
    }

    /// Whether it is bound as it would be bound now.
    pub(crate) fn is_current(&self, book: &Book) -> bool {
        match &self.state {
            State::Told => false,
            State::Live(standing) => standing.session.ended().is_none() && standing.rules_epoch == book.rules_epoch(),
            State::Refused(_, epochs) => *epochs == epochs_of(book),
        }
    }

    /// Looks up its session, which opens when this is its first use. `touches` says that what is behind it is activity.
    pub(crate) fn bind(
        &mut self,
        book: &Book,
        touches: bool,
        now_ms: u64,
        to_bury: &mut Vec<Arc<Session>>,
    ) -> Result<(), StoreError> {
        // Read before the look-up: what changes during it is seen at the next question.
        let epochs = epochs_of(book);
        let [rules_epoch, _] = epochs;
        let binding = book.bind(&self.token, touches, now_ms)?;
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

    /// The verdict, without an id.
    pub(crate) fn judge(&mut self, book: &Book, asked: Asked, now_ms: u64, to_bury: &mut Vec<Arc<Session>>) -> Verdict {
        match &mut self.state {
            // Whoever asks binds before it judges; were it not so, the token would name no session.
            State::Told => refused(Outcome::UnknownSession),
            State::Refused(outcome, _) => refused(*outcome),
            State::Live(standing) => standing.judge(&self.token, book, asked, now_ms, to_bury),
        }
    }

    /// The scopes that its session has left, when they are fewer than the token's.
    pub(crate) fn scopes_left(&mut self) -> Option<&[String]> {
        match &mut self.state {
            State::Live(standing) => standing.scopes_left(&self.token),
            State::Told | State::Refused(..) => None,
        }
    }

    /// Tells a refusal to the audit, once for each outcome.
    pub(crate) fn told(&mut self, outcome: Outcome, route: &str, audit: &Audit, now_ms: u64) {
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

    fn scopes_left(&mut self, token: &Token) -> Option<&[String]> {
        if self.generation != self.session.generation() {
            (self.generation, self.narrowed) = narrowed(&self.session, token);
        }
        self.narrowed.as_deref()
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
                let narrowed = self.scopes_left(token).map(|scopes| Scopes { scopes: scopes.to_vec() });
                Verdict { id: 0, outcome: Outcome::Active as i32, remaining_ms, idle_ms, narrowed }
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

/// Whether it ended before anything of it was on disk.
pub(crate) fn is_to_bury(session: &Session) -> bool {
    session.ended().is_some() && session.stored() == Stored::Nothing
}

fn epochs_of(book: &Book) -> [u64; 2] {
    [book.rules_epoch(), book.openings_epoch()]
}

pub(crate) fn outcome_of(reason: Reason) -> Outcome {
    match reason {
        Reason::IdleTimeout => Outcome::IdleTimeout,
        Reason::LifetimeExceeded => Outcome::LifetimeExceeded,
        Reason::Revoked => Outcome::Revoked,
    }
}

pub(crate) fn refused(outcome: Outcome) -> Verdict {
    Verdict { outcome: outcome as i32, ..Verdict::default() }
}
