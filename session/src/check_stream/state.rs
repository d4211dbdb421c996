//! The state of one check stream: what the filter has sent on it, the answers to each of its messages, and the follows
//! that are due. It knows no network, no timer and no disk; a question about a bound token takes no lock and makes no
//! string.

mod asking;
mod counted;
mod leasing;
mod waiting;

pub(super) use waiting::Question;
pub use waiting::Taken;

use super::answers::{Answers, Broken, Destination, Proving, Using};
use super::follows::{Follows, Occasion};
use super::leases::StreamLeases;
use super::redeemed;
use super::routes::{Route, RouteTable, RouteTables};
use crate::audit::Audit;
use crate::bound_token::{BoundToken, Once, refusal};
use crate::clock::steady_ms;
use crate::conditions::{Conditions, OnTable, OwnRequest, Request};
use crate::followers::Notifier;
use crate::metrics::{Metrics, Tally};
use crate::minting::{self, Minter};
use crate::pdp::Pdp;
use crate::proofs::UsedProof;
use crate::registry::Registry;
use crate::token::Token;
use crate::usage::{Fresh, StreamUsage};
use asking::{Answered, Asking};
use counted::Counted;
use leasing::Giving;
use portcullis_contract::SessionId;
use portcullis_contract::bounds::TOKENS_MAX;
use portcullis_contract::wire::{self, FilterMessage, Follow, Hello, Outcome, Verdict};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use waiting::Waiting;

/// Beats in the time for which a filter lets open requests go on without a word: one that is late or lost costs nothing.
const BEATS_PER_LEASE: u64 = 5;

/// The shortest time between two beats, in milliseconds, whatever a filter asks for.
const BEAT_MS_MIN: u64 = 50;

/// The longest name of a proxy in tokens, in characters: a filter states it.
const WORKLOAD_CHARS_MAX: usize = 256;

/// The state of one stream.
pub struct StreamState {
    registry: Arc<Registry>,
    audit: Arc<Audit>,
    metrics: Arc<Metrics>,
    route_tables: Arc<RouteTables>,
    routes: Option<Arc<RouteTable>>,
    conditions: Option<Arc<Conditions>>,
    on_table: Option<OnTable>,
    /// How long the filter may hear nothing; none when it does not mind.
    beat_every: Option<Duration>,
    tokens: HashMap<u32, Counted>,
    usage: StreamUsage,
    follows: Follows,
    leases: StreamLeases,
    waiting: HashMap<SessionId, Vec<Waiting>>,
    waiting_count: usize,
    /// Questions that wait until grants or proofs are noted as used.
    using: usize,
    minter: Option<Arc<Minter>>,
    /// The proxy's name in tokens.
    workload: Box<str>,
    point: Option<Arc<Pdp>>,
    /// Questions that another decision point is asked about.
    asked: HashMap<u64, Question>,
    asked_ever: u64,
}

impl StreamState {
    /// The state of a stream that has just opened.
    pub fn new(
        registry: Arc<Registry>,
        audit: Arc<Audit>,
        metrics: Arc<Metrics>,
        route_tables: Arc<RouteTables>,
    ) -> Self {
        let follows = Follows::new(&registry, &metrics, &audit);
        let leases = StreamLeases::new(registry.followers().leases().line(Arc::clone(follows.notifier())));
        Self {
            registry,
            audit,
            metrics,
            route_tables,
            routes: None,
            conditions: None,
            on_table: None,
            beat_every: None,
            tokens: HashMap::new(),
            usage: StreamUsage::default(),
            follows,
            leases,
            waiting: HashMap::new(),
            waiting_count: 0,
            using: 0,
            minter: None,
            workload: Box::default(),
            point: None,
            asked: HashMap::new(),
            asked_ever: 0,
        }
    }

    /// The same, where another decision point decides about some routes.
    #[must_use]
    pub(crate) fn asking(mut self, point: Option<Arc<Pdp>>) -> Self {
        self.follows.ask(point.clone());
        self.point = point;
        self
    }

    /// The same, where tokens are minted for upstreams.
    #[must_use]
    pub fn minting(mut self, minter: Option<Arc<Minter>>) -> Self {
        self.minter = minter;
        self
    }

    /// The same, where conditions decide as well.
    #[must_use]
    pub fn judging_by(mut self, conditions: Option<Arc<Conditions>>) -> Self {
        self.conditions = conditions;
        self
    }

    /// Takes over conditions that have come into force since.
    fn renew_conditions(&mut self) {
        if let (Some(on_table), Some(routes)) = (&mut self.on_table, &self.routes) {
            on_table.renew(&routes.conditions, routes.len());
            self.follows.judge_on(on_table, routes);
        }
    }

    /// Answers a message that has arrived by `now_ms`.
    pub fn receive(&mut self, message: FilterMessage, now_ms: u64) -> Result<Answers, Broken> {
        // Read after the message has arrived: what another replica has ended since is refused there or here, and leases are
        // counted from when they were asked for.
        let (serves, steady_ms) = (self.registry.lease().holds(), steady_ms());
        let received = !message.questions.is_empty();
        let mut answers = Answers { welcome: message.hello.is_some(), received, ..Answers::default() };
        match (message.hello, self.routes.is_some()) {
            (Some(hello), false) => self.greet(hello)?,
            (None, true) => {}
            (Some(_), true) => return Err(Broken::new("a second hello")),
            (None, false) => return Err(Broken::new("the first message has no hello")),
        }
        message.taken_back.iter().for_each(|id| self.leases.taken_back(*id));
        self.renew_conditions();
        if let Some(renewal) = &message.renewal {
            answers.renewed = self.renew(renewal, serves, now_ms, steady_ms);
        }
        for facts in &message.tokens {
            self.describe(facts, now_ms)?;
        }
        let mut tally = Tally::default();
        answers.verdicts.reserve_exact(message.questions.len());
        for question in &message.questions {
            match serves {
                true => self.ask(question, &mut tally, [now_ms, steady_ms], &mut answers)?,
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
        for used in &message.uses {
            self.reported(used, now_ms)?;
        }
        for handle in &message.forgotten {
            if let Some(mut forgotten) = self.tokens.remove(handle) {
                forgotten.collect(&mut self.usage, now_ms);
            }
        }
        answers.redemptions = redeemed::read(&message.redemptions)?;
        self.add_usage(now_ms);
        // Here too: a filter that never pauses must not keep follows that are due from being judged.
        if serves {
            self.follows.review(now_ms, &mut answers);
        }
        self.review_leases(serves, now_ms, &mut answers);
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
        self.renew_conditions();
        // Without the lease the stream is drained, and its follows are judged elsewhere.
        let serves = self.registry.lease().holds();
        if serves {
            self.follows.review(now_ms, &mut answers);
        }
        self.review_leases(serves, now_ms, &mut answers);
        self.add_usage(now_ms);
        answers
    }

    /// When [`StreamState::review`] is to be called next, if no session changes before.
    pub fn review_at_ms(&self) -> Option<u64> {
        self.follows.review_at_ms()
    }

    /// When it is to be called for the counts of what is used, if there are any.
    pub fn usage_at_ms(&self) -> Option<u64> {
        self.usage.add_at_ms()
    }

    /// Notifies when [`StreamState::review`] is to be called.
    pub fn notifier(&self) -> &Arc<Notifier> {
        self.follows.notifier()
    }

    /// How many questions and follows wait for look-ups, for grants and proofs that they use, or for another decision point.
    pub fn waiting(&self) -> usize {
        self.waiting_count + self.using + self.asked.len()
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
        self.workload = hello.workload.chars().take(WORKLOAD_CHARS_MAX).collect();
        let routes = self.route_tables.share(hello.policy_digest, hello.routes, &hello.approvals);
        let on_table = |conditions| OnTable::new(conditions, &routes.conditions, routes.len());
        self.on_table = self.conditions.clone().map(on_table);
        self.registry.followers().leases().want(routes.longest_lease_ms());
        self.routes = Some(routes);
        Ok(())
    }

    fn describe(&mut self, facts: &wire::Token, now_ms: u64) -> Result<(), Broken> {
        let handle = facts.handle;
        if self.tokens.len() >= TOKENS_MAX {
            return Err(Broken::new(format!("more than {TOKENS_MAX} tokens that are not forgotten")));
        }
        let token = Token::read(facts, self.registry.names(), now_ms)
            .map_err(|malformed| Broken::new(format!("token {handle}: {}", malformed.0)))?;
        let counted = Counted::new(holding_back(Arc::new(token), self.routes.as_deref()));
        match self.tokens.insert(handle, counted) {
            None => Ok(()),
            Some(_) => Err(Broken::new(format!("token {handle} was described twice"))),
        }
    }

    fn ask(
        &mut self,
        question: &wire::Question,
        tally: &mut Tally,
        [now_ms, steady_ms]: [u64; 2],
        answers: &mut Answers,
    ) -> Result<(), Broken> {
        let lease = self.enter_lease(question, steady_ms);
        let route = route(self.routes.as_deref(), question.route)?;
        let &wire::Question { id, route: index, token: handle, .. } = question;
        let token = self.tokens.get_mut(&handle).ok_or_else(|| not_described(handle))?;
        let on_table = self.on_table.as_ref();
        let request = Request::of(question);
        let for_token = minting::Request::of(question);
        let own_minting = || if route.upstream.is_some() { for_token.own() } else { minting::OwnRequest::default() };
        if let Some(proof) = &question.proof {
            let malformed = || Broken::new(format!("question {id} has a malformed proof"));
            let proof = UsedProof::read(proof, now_ms).ok_or_else(malformed)?;
            let question = Question::new(id, index, handle, token.bound.token(), request.own(), own_minting());
            answers.proofs.push(Proving { proof, question });
            self.using += 1;
            return Ok(());
        }
        if is_asked(self.point.as_ref(), route) {
            let question = Question::new(id, index, handle, token.bound.token(), request.own(), own_minting());
            self.ask_again(question, None, tally, now_ms, answers);
            return Ok(());
        }
        let conditions = on_table.map(|on| on.asking(index, &route.facts, request));
        let (registry, audit, metrics) = (&*self.registry, &*self.audit, &*self.metrics);
        let once = Once::Takes;
        let mint = self.minter.as_deref().map(|minter| (minter, &*self.workload, for_token));
        let denied = false;
        let asking = Asking { registry, audit, metrics, route, index, conditions, mint, id, once, now_ms, denied };
        let answered = asking.answer(token, None, tally, &mut self.usage);
        let is_needed = on_table.is_some() || self.registry.whereabouts().is_watching();
        let question = |token: &Counted| {
            let request = if is_needed { request.own() } else { OwnRequest::default() };
            Question::new(id, index, handle, token.bound.token(), request, own_minting()).leasing(lease)
        };
        match answered {
            Ok(Answered::Now(mut answer, fresh)) => {
                if let Some(wanted) = lease {
                    let giving = Giving { registry, metrics, handle, index, now_ms };
                    giving.give(&mut self.leases, wanted, &asking, token, &mut answer);
                }
                token.note(&self.registry, request, now_ms);
                if fresh == Fresh::First {
                    self.usage.has_counts(handle, now_ms);
                }
                answers.put(Destination::Question, answer);
            }
            Ok(Answered::Uses(grants)) => {
                let question = question(token).without_lease(&self.leases);
                let (session, route) = (question.token.id, Arc::clone(&route.scopes.name));
                answers.uses.push(Using { session, grants, route, question });
                self.using += 1;
            }
            Err(look_up) => {
                let question = question(token);
                self.wait(look_up, Waiting::Question(question), answers);
            }
        }
        Ok(())
    }

    fn follow(&mut self, follow: &Follow, serves: bool, now_ms: u64, answers: &mut Answers) -> Result<(), Broken> {
        let route = route(self.routes.as_deref(), follow.route)?;
        let token = self.tokens.get(&follow.token).ok_or_else(|| not_described(follow.token))?;
        // The order is the point: see the followers.
        let bound = holding_back(Arc::clone(token.bound.token()), self.routes.as_deref());
        let is_asked = is_asked(self.point.as_ref(), route);
        let request = (self.on_table.is_some() || is_asked).then(|| Request::followed(follow).own());
        self.follows.enter(follow.id, bound, (follow.route, route), request)?;
        if is_asked {
            self.follows.ask_about(follow.id, &route.facts, now_ms);
        }
        if !serves {
            self.follows.give_up(follow.id, answers);
            return Ok(());
        }
        if let Some(look_up) = self.follows.judge(follow.id, Occasion::Entered, None, now_ms, answers) {
            self.wait(look_up, Waiting::Follow(follow.id), answers);
        }
        Ok(())
    }
}

/// Whether another decision point decides about a route.
fn is_asked(point: Option<&Arc<Pdp>>, route: &Route) -> bool {
    point.is_some_and(|point| point.settings().classes.hold(&route.facts.class))
}

/// Answers that there is no verdict.
fn no_verdict(id: u32, tally: &mut Tally, answers: &mut Answers) {
    tally.add(Outcome::Unavailable);
    answers.put_verdict(Destination::Question, Verdict { id, ..refusal(Outcome::Unavailable) });
}

/// A token as the policy of its stream takes it.
fn holding_back(token: Arc<Token>, routes: Option<&RouteTable>) -> BoundToken {
    let bound = BoundToken::new(token);
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
