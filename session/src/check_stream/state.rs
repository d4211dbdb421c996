//! The state of one check stream: what the filter has sent on it, the answers to each of its messages, and the follows
//! that are due. It knows no network, no timer and no disk; a question about a bound token takes no lock and makes no
//! string.

use super::answers::{Answers, Broken, Destination};
use super::follows::{Follows, Occasion};
use super::routes::{Route, RouteTable, RouteTables};
use crate::audit::Audit;
use crate::bound_token::{Answer, BoundToken, Required, refusal};
use crate::followers::Notifier;
use crate::metrics::{Metrics, Tally};
use crate::registry::{LookUp, LookedUp, Registry};
use crate::token::Token;
use portcullis_contract::SessionId;
use portcullis_contract::bounds::TOKENS_MAX;
use portcullis_contract::wire::{self, FilterMessage, Follow, Hello, Outcome, Verdict};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

/// Beats in the time for which a filter lets open requests go on without a word: one that is late or lost costs nothing.
const BEATS_PER_LEASE: u64 = 5;

/// The shortest time between two beats, in milliseconds, whatever a filter asks for.
const BEAT_MS_MIN: u64 = 50;

/// A question or a follow that waits for a look-up on disk.
enum Waiting {
    Question(Question),
    Follow(u32),
}

struct Question {
    id: u32,
    route: u32,
    handle: u32,
    /// Its own, so that the filter may forget the handle.
    token: Arc<Token>,
}

/// The state of one stream.
pub struct StreamState {
    registry: Arc<Registry>,
    audit: Arc<Audit>,
    metrics: Arc<Metrics>,
    route_tables: Arc<RouteTables>,
    routes: Option<Arc<RouteTable>>,
    /// How long the filter may hear nothing; none when it does not mind.
    beat_every: Option<Duration>,
    tokens: HashMap<u32, BoundToken>,
    follows: Follows,
    waiting: HashMap<SessionId, Vec<Waiting>>,
    waiting_count: usize,
}

impl StreamState {
    /// The state of a stream that has just opened.
    pub fn new(
        registry: Arc<Registry>,
        audit: Arc<Audit>,
        metrics: Arc<Metrics>,
        route_tables: Arc<RouteTables>,
    ) -> Self {
        let follows = Follows::new(&registry, &metrics);
        Self {
            registry,
            audit,
            metrics,
            route_tables,
            routes: None,
            beat_every: None,
            tokens: HashMap::new(),
            follows,
            waiting: HashMap::new(),
            waiting_count: 0,
        }
    }

    /// Answers a message that has arrived by `now_ms`.
    pub fn receive(&mut self, message: FilterMessage, now_ms: u64) -> Result<Answers, Broken> {
        // Read after the message has arrived: what another replica has ended since is refused there or here.
        let serves = self.registry.lease().holds();
        let received = !message.questions.is_empty();
        let mut answers = Answers { welcome: message.hello.is_some(), received, ..Answers::default() };
        match (message.hello, self.routes.is_some()) {
            (Some(hello), false) => self.greet(hello)?,
            (None, true) => {}
            (Some(_), true) => return Err(Broken::new("a second hello")),
            (None, false) => return Err(Broken::new("the first message has no hello")),
        }
        for facts in &message.tokens {
            self.describe(facts, now_ms)?;
        }
        let mut tally = Tally::default();
        answers.verdicts.reserve_exact(message.questions.len());
        for question in &message.questions {
            match serves {
                true => self.ask(question, &mut tally, now_ms, &mut answers)?,
                false => no_verdict(question.id, &mut tally, &mut answers),
            }
        }
        self.metrics.answered(&tally);
        for follow in &message.follows {
            self.follow(follow, serves, now_ms, &mut answers)?;
        }
        for id in &message.unfollowed {
            self.follows.close(*id);
        }
        for id in message.active.iter().filter(|_| serves) {
            self.follows.judge(*id, Occasion::Active, None, now_ms, &mut answers);
        }
        for handle in &message.forgotten {
            self.tokens.remove(handle);
        }
        // Here too: a filter that never pauses must not keep follows that are due from being judged.
        if serves {
            self.follows.review(now_ms, &mut answers);
        }
        Ok(answers)
    }

    /// Whether the filter has sent its hello.
    pub fn is_greeted(&self) -> bool {
        self.routes.is_some()
    }

    /// How long the filter may hear nothing, once it has said hello; none when it does not mind.
    pub fn beat_every(&self) -> Option<Duration> {
        self.beat_every
    }

    /// The verdicts of follows whose session has changed, and of those with a limit that is due.
    pub fn review(&mut self, now_ms: u64) -> Answers {
        let mut answers = Answers::default();
        // Without the lease the stream is drained, and its follows are judged elsewhere.
        if self.registry.lease().holds() {
            self.follows.review(now_ms, &mut answers);
        }
        answers
    }

    /// When [`StreamState::review`] is to be called next, if no session changes before.
    pub fn review_at_ms(&self) -> Option<u64> {
        self.follows.review_at_ms()
    }

    /// Notifies when [`StreamState::review`] is to be called.
    pub fn notifier(&self) -> &Arc<Notifier> {
        self.follows.notifier()
    }

    /// How many questions and follows wait for look-ups.
    pub fn waiting(&self) -> usize {
        self.waiting_count
    }

    /// Answers what has waited for look-ups.
    pub fn looked_up(&mut self, found: &[LookedUp], now_ms: u64) -> Answers {
        let (mut answers, mut tally) = (Answers::default(), Tally::default());
        if !self.registry.lease().holds() {
            let ids: Vec<SessionId> = found.iter().map(|found| found.asked.id).collect();
            self.unreadable(&ids, &mut answers);
            return answers;
        }
        for found in found {
            let waiting = self.waiting.remove(&found.asked.id).unwrap_or_default();
            self.waiting_count -= waiting.len();
            for waiting in waiting {
                self.resume(waiting, found, &mut tally, now_ms, &mut answers);
            }
        }
        self.metrics.answered(&tally);
        answers
    }

    /// Answers that there is no verdict on what has waited for look-ups that failed: nobody has ended those sessions. The
    /// next question about one of their tokens tries again.
    pub fn unreadable(&mut self, ids: &[SessionId], answers: &mut Answers) {
        let mut tally = Tally::default();
        for waiting in ids.iter().flat_map(|id| self.waiting.remove(id).unwrap_or_default()) {
            self.waiting_count -= 1;
            match waiting {
                Waiting::Question(question) => no_verdict(question.id, &mut tally, answers),
                Waiting::Follow(id) => self.follows.give_up(id, answers),
            }
        }
        self.metrics.answered(&tally);
    }

    fn greet(&mut self, hello: Hello) -> Result<(), Broken> {
        self.registry.issuers().learn(hello.issuers).map_err(Broken::new)?;
        let listens = hello.stream_lease_ms > 0 && hello.capabilities.iter().any(|name| name == wire::BEAT);
        let beat_ms = (hello.stream_lease_ms / BEATS_PER_LEASE).max(BEAT_MS_MIN);
        self.beat_every = listens.then(|| Duration::from_millis(beat_ms));
        tracing::info!(
            filter = hello.filter_version,
            policy = &*hello.policy_digest,
            routes = hello.routes.len(),
            "a filter opened a stream"
        );
        self.routes = Some(self.route_tables.share(hello.policy_digest, hello.routes, &hello.approvals));
        Ok(())
    }

    fn describe(&mut self, facts: &wire::Token, now_ms: u64) -> Result<(), Broken> {
        let handle = facts.handle;
        if self.tokens.len() >= TOKENS_MAX {
            return Err(Broken::new(format!("more than {TOKENS_MAX} tokens that are not forgotten")));
        }
        let token = Token::read(facts, self.registry.names(), now_ms)
            .map_err(|malformed| Broken::new(format!("token {handle}: {}", malformed.0)))?;
        let bound = holding_back(BoundToken::new(Arc::new(token)), self.routes.as_deref());
        match self.tokens.insert(handle, bound) {
            None => Ok(()),
            Some(_) => Err(Broken::new(format!("token {handle} was described twice"))),
        }
    }

    fn ask(
        &mut self,
        question: &wire::Question,
        tally: &mut Tally,
        now_ms: u64,
        answers: &mut Answers,
    ) -> Result<(), Broken> {
        let route = route(self.routes.as_deref(), question.route)?;
        let bound = self.tokens.get_mut(&question.token).ok_or_else(|| not_described(question.token))?;
        let asking = Asking { registry: &self.registry, audit: &self.audit, route, id: question.id, now_ms };
        match asking.answer(bound, None, tally) {
            Ok(answer) => answers.put(Destination::Question, answer),
            Err(look_up) => {
                let token = Arc::clone(bound.token());
                let &wire::Question { id, route, token: handle, .. } = question;
                self.wait(look_up, Waiting::Question(Question { id, route, handle, token }), answers);
            }
        }
        Ok(())
    }

    fn follow(&mut self, follow: &Follow, serves: bool, now_ms: u64, answers: &mut Answers) -> Result<(), Broken> {
        let route = route(self.routes.as_deref(), follow.route)?;
        let bound = self.tokens.get(&follow.token).ok_or_else(|| not_described(follow.token))?;
        // The order is the point: see the followers.
        let bound = holding_back(BoundToken::new(Arc::clone(bound.token())), self.routes.as_deref());
        self.follows.enter(follow.id, bound, route)?;
        if !serves {
            self.follows.give_up(follow.id, answers);
            return Ok(());
        }
        if let Some(look_up) = self.follows.judge(follow.id, Occasion::Entered, None, now_ms, answers) {
            self.wait(look_up, Waiting::Follow(follow.id), answers);
        }
        Ok(())
    }

    /// Has a question or a follow wait for a look-up, which is made once for all that wait for the same session.
    fn wait(&mut self, look_up: LookUp, waiting: Waiting, answers: &mut Answers) {
        let others = self.waiting.entry(look_up.id).or_default();
        if others.is_empty() {
            answers.look_ups.push(look_up);
        }
        others.push(waiting);
        self.waiting_count += 1;
    }

    /// Goes on with what has waited. The look-up may be outdated by now: then it waits for another.
    fn resume(&mut self, waiting: Waiting, found: &LookedUp, tally: &mut Tally, now_ms: u64, answers: &mut Answers) {
        let unanswered = match &waiting {
            Waiting::Follow(id) => self.follows.judge(*id, Occasion::Entered, Some(found), now_ms, answers),
            Waiting::Question(question) => {
                // It had a route when it came, and the routes of a stream never change.
                let Ok(route) = route(self.routes.as_deref(), question.route) else {
                    return;
                };
                let mut own = None;
                let bound = match self.tokens.get_mut(&question.handle) {
                    Some(bound) if Arc::ptr_eq(bound.token(), &question.token) => bound,
                    _ => {
                        let bound = BoundToken::new(Arc::clone(&question.token));
                        own.insert(holding_back(bound, self.routes.as_deref()))
                    }
                };
                let asking = Asking { registry: &self.registry, audit: &self.audit, route, id: question.id, now_ms };
                let answer = asking.answer(bound, Some(found), tally);
                answer.map(|answer| answers.put(Destination::Question, answer)).err()
            }
        };
        if let Some(look_up) = unanswered {
            self.wait(look_up, waiting, answers);
        }
    }
}

/// A question that is about to be answered.
struct Asking<'a> {
    registry: &'a Registry,
    audit: &'a Audit,
    route: &'a Route,
    id: u32,
    now_ms: u64,
}

impl Asking<'_> {
    /// Answers it, if the disk is not needed for that.
    fn answer(
        &self,
        bound: &mut BoundToken,
        looked_up: Option<&LookedUp>,
        tally: &mut Tally,
    ) -> Result<Answer, LookUp> {
        let Self { registry, route, now_ms, .. } = *self;
        if bound.is_outdated(registry, !route.asked.background, now_ms) {
            bound.bind(registry, !route.asked.background, looked_up, now_ms)?;
        }
        let required = Required { scopes: Some(&route.requirement), acr: &route.acr };
        let mut answer = bound.answer(registry, route.asked, required, now_ms);
        answer.verdict.id = self.id;
        let outcome = answer.verdict.outcome();
        tally.add(outcome);
        if outcome != Outcome::Active {
            bound.report(outcome, &route.name, self.audit, now_ms);
            if outcome == Outcome::ScopeEscalation {
                bound.ask_for_approval(registry);
            }
        }
        Ok(answer)
    }
}

/// Answers that there is no verdict.
fn no_verdict(id: u32, tally: &mut Tally, answers: &mut Answers) {
    tally.add(Outcome::Unavailable);
    answers.put_verdict(Destination::Question, Verdict { id, ..refusal(Outcome::Unavailable) });
}

/// A token as the policy of its stream takes it.
fn holding_back(bound: BoundToken, routes: Option<&RouteTable>) -> BoundToken {
    match routes {
        Some(routes) => bound.holding_back(&routes.approvals),
        None => bound,
    }
}

fn route(routes: Option<&RouteTable>, index: u32) -> Result<&Route, Broken> {
    routes.ok_or_else(|| Broken::new("there is no hello yet"))?.route(index)
}

fn not_described(handle: u32) -> Broken {
    Broken::new(format!("token {handle} was not described"))
}

#[cfg(test)]
pub(super) mod tests;
