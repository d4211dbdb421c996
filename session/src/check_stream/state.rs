//! The state of one check stream: what the filter has sent on it, the answers to each of its messages, and the follows
//! that are due. It knows no network, no timer and no disk; a question about a bound token takes no lock and makes no
//! string.

use super::answers::{Answers, Asked, Broken, Destination, Using};
use super::follows::{Follows, Occasion};
use super::point;
use super::routes::{Route, RouteTable, RouteTables};
use crate::anomalies::Memo;
use crate::audit::Audit;
use crate::bound_token::{Answer, BoundToken, Once, Required, refusal};
use crate::conditions::{self, Conditions, OnTable, OwnRequest, Request};
use crate::followers::Notifier;
use crate::judge;
use crate::metrics::{Metrics, Tally};
use crate::pdp::{Pdp, Ruling};
use crate::registry::{LookUp, LookedUp, Registry};
use crate::token::Token;
use crate::usage::{Effect, Fate, Fresh, StreamUsage, TokenUses};
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

/// How often a question names grants for one request that another request then uses before it has no verdict. More than a
/// session has.
const TRIES_MAX: u32 = 64;

/// A question or a follow that waits for a look-up on disk.
enum Waiting {
    Question(Question),
    Follow(u32),
}

/// A question that waits.
#[derive(Debug)]
pub(super) struct Question {
    id: u32,
    route: u32,
    handle: u32,
    /// Its own, so that the filter may forget the handle.
    token: Arc<Token>,
    /// Its request, if conditions or anomalies need it.
    request: OwnRequest,
    /// What another decision point has decided.
    ruled: Option<point::Fate>,
    /// The grants for one request that it has used.
    took: Vec<String>,
    /// How often others were first.
    tries: u32,
}

/// What has become of the grants that a question was to use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// They are noted as used by it, on disk.
    Own,
    /// Another request was first, or one of them has ended.
    Others,
    /// Nobody knows: the store could not write in time.
    Unknown,
}

/// A token of the stream, and what was asked with it since that was last added to the counts of the service.
struct Counted {
    bound: BoundToken,
    uses: TokenUses,
    /// Where it came from last.
    memo: Memo,
}

impl Counted {
    fn new(bound: BoundToken) -> Self {
        Self { bound, uses: TokenUses::default(), memo: Memo::default() }
    }

    /// Notes where a question about it comes from, if that is watched.
    fn note(&mut self, registry: &Registry, request: Request<'_>, now_ms: u64) {
        let whereabouts = registry.whereabouts();
        if whereabouts.is_watching()
            && let Some(session) = self.bound.live_session()
        {
            whereabouts.note(registry, session, &mut self.memo, request, now_ms);
        }
    }

    fn collect(&mut self, usage: &mut StreamUsage, now_ms: u64) {
        if !self.uses.is_empty() {
            usage.collect(&self.bound.token().client, &mut self.uses, now_ms);
        }
    }
}

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
    waiting: HashMap<SessionId, Vec<Waiting>>,
    waiting_count: usize,
    /// Questions that wait until grants are noted as used.
    using: usize,
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
            waiting: HashMap::new(),
            waiting_count: 0,
            using: 0,
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
        self.renew_conditions();
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
        for used in &message.uses {
            self.reported(used, now_ms)?;
        }
        for handle in &message.forgotten {
            if let Some(mut forgotten) = self.tokens.remove(handle) {
                forgotten.collect(&mut self.usage, now_ms);
            }
        }
        self.add_usage(now_ms);
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
        self.renew_conditions();
        // Without the lease the stream is drained, and its follows are judged elsewhere.
        if self.registry.lease().holds() {
            self.follows.review(now_ms, &mut answers);
        }
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

    /// How many questions and follows wait for look-ups, for grants that they use, or for another decision point.
    pub fn waiting(&self) -> usize {
        self.waiting_count + self.using + self.asked.len()
    }

    /// Answers what has waited for look-ups.
    pub fn looked_up(&mut self, found: &[LookedUp], now_ms: u64) -> Answers {
        let (mut answers, mut tally) = (Answers::default(), Tally::default());
        if !self.registry.lease().holds() {
            let ids: Vec<SessionId> = found.iter().map(|found| found.asked.id).collect();
            self.unreadable(&ids, &mut answers);
            return answers;
        }
        self.renew_conditions();
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
        let routes = self.route_tables.share(hello.policy_digest, hello.routes, &hello.approvals);
        let on_table = |conditions| OnTable::new(conditions, &routes.conditions, routes.len());
        self.on_table = self.conditions.clone().map(on_table);
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
        now_ms: u64,
        answers: &mut Answers,
    ) -> Result<(), Broken> {
        let route = route(self.routes.as_deref(), question.route)?;
        let &wire::Question { id, route: index, token: handle, .. } = question;
        let token = self.tokens.get_mut(&handle).ok_or_else(|| not_described(handle))?;
        let on_table = self.on_table.as_ref();
        let request = Request::of(question);
        if is_asked(self.point.as_ref(), route) {
            let (token, request, route) = (Arc::clone(token.bound.token()), request.own(), index);
            let question = Question { id, route, handle, token, request, ruled: None, took: Vec::new(), tries: 0 };
            self.ask_again(question, None, tally, now_ms, answers);
            return Ok(());
        }
        let conditions = on_table.map(|on| on.asking(index, &route.facts, request));
        let (registry, audit, metrics) = (&*self.registry, &*self.audit, &*self.metrics);
        let once = Once::Takes;
        let asking = Asking { registry, audit, metrics, route, index, conditions, id, once, now_ms, denied: false };
        let answered = asking.answer(token, None, tally, &mut self.usage);
        let is_needed = on_table.is_some() || self.registry.whereabouts().is_watching();
        let question = |token: &Counted| {
            let (token, route) = (Arc::clone(token.bound.token()), index);
            let request = if is_needed { request.own() } else { OwnRequest::default() };
            Question { id, route, handle, token, request, ruled: None, took: Vec::new(), tries: 0 }
        };
        match answered {
            Ok(Answered::Now(answer, fresh)) => {
                token.note(&self.registry, request, now_ms);
                if fresh == Fresh::First {
                    self.usage.has_counts(handle, now_ms);
                }
                answers.put(Destination::Question, answer);
            }
            Ok(Answered::Uses(grants)) => {
                let question = question(token);
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
        match waiting {
            Waiting::Follow(id) => {
                if let Some(look_up) = self.follows.judge(id, Occasion::Entered, Some(found), now_ms, answers) {
                    self.wait(look_up, waiting, answers);
                }
            }
            Waiting::Question(question) => self.ask_again(question, Some(found), tally, now_ms, answers),
        }
    }

    /// Answers a question that has waited.
    fn ask_again(
        &mut self,
        question: Question,
        found: Option<&LookedUp>,
        tally: &mut Tally,
        now_ms: u64,
        answers: &mut Answers,
    ) {
        // It had a route when it came, and the routes of a stream never change.
        let Ok(route) = route(self.routes.as_deref(), question.route) else {
            return;
        };
        let &Question { id, route: index, ref took, .. } = &question;
        let mut own = None;
        let token = match self.tokens.get_mut(&question.handle) {
            Some(token) if Arc::ptr_eq(token.bound.token(), &question.token) => token,
            _ => own.insert(Counted::new(holding_back(Arc::clone(&question.token), self.routes.as_deref()))),
        };
        let once = if took.is_empty() { Once::Takes } else { Once::Took(took) };
        let conditions = self.on_table.as_ref().map(|on| on.asking(index, &route.facts, question.request.borrow()));
        let (registry, audit, metrics) = (&*self.registry, &*self.audit, &*self.metrics);
        let denied = question.ruled == Some(point::Fate::Denied);
        let asking = Asking { registry, audit, metrics, route, index, conditions, id, once, now_ms, denied };
        if question.ruled.is_none() && is_asked(self.point.as_ref(), route) {
            match asking.would_pass(token, found) {
                Ok(true) => {
                    let request = question.request.borrow();
                    let query = point::query(&token.bound, &route.facts, request, registry, now_ms);
                    self.asked_ever += 1;
                    answers.queries.push((Asked::Question(self.asked_ever), query));
                    self.asked.insert(self.asked_ever, question);
                    return;
                }
                // Something else refuses it.
                Ok(false) => {}
                Err(look_up) => return self.wait(look_up, Waiting::Question(question), answers),
            }
        }
        let answered = asking.answer(token, found, tally, &mut self.usage);
        token.note(&self.registry, question.request.borrow(), now_ms);
        // Whether or not its handle was forgotten meanwhile.
        token.collect(&mut self.usage, now_ms);
        match answered {
            Ok(Answered::Now(answer, _)) => answers.put(Destination::Question, answer),
            Ok(Answered::Uses(grants)) => {
                let (session, route) = (question.token.id, Arc::clone(&route.scopes.name));
                answers.uses.push(Using { session, grants, route, question });
                self.using += 1;
            }
            Err(look_up) => self.wait(look_up, Waiting::Question(question), answers),
        }
    }

    /// Answers a question that was to use grants for one request. What it has used counts for no other, whatever it is answered.
    pub fn used(&mut self, using: Using, taken: Taken, now_ms: u64) -> Answers {
        let Using { grants, question, .. } = using;
        self.using = self.using.saturating_sub(1);
        let (mut answers, mut tally) = (Answers::default(), Tally::default());
        self.renew_conditions();
        match taken {
            _ if !self.registry.lease().holds() => no_verdict(question.id, &mut tally, &mut answers),
            Taken::Unknown => no_verdict(question.id, &mut tally, &mut answers),
            Taken::Own => {
                self.ask_again(Question { took: grants, ..question }, None, &mut tally, now_ms, &mut answers);
            }
            Taken::Others if question.tries >= TRIES_MAX => no_verdict(question.id, &mut tally, &mut answers),
            // There may be other grants.
            Taken::Others => {
                let question = Question { tries: question.tries + 1, ..question };
                self.ask_again(question, None, &mut tally, now_ms, &mut answers);
            }
        }
        self.metrics.answered(&tally);
        self.add_usage(now_ms);
        answers
    }
}

/// A question that is about to be answered.
struct Asking<'a> {
    registry: &'a Registry,
    audit: &'a Audit,
    metrics: &'a Metrics,
    route: &'a Route,
    /// The index of the route.
    index: u32,
    /// What conditions are asked, if there are any.
    conditions: Option<conditions::Asking<'a>>,
    id: u32,
    once: Once<'a>,
    now_ms: u64,
    /// Another decision point denies it, unless something else refuses it.
    denied: bool,
}

/// What is answered to a question.
#[expect(clippy::large_enum_variant, reason = "nearly every question is answered now, and should cost no allocation")]
enum Answered {
    /// This, and whether its token is to be collected.
    Now(Answer, Fresh),
    /// Nothing yet: first, these grants must be noted as used.
    Uses(Vec<String>),
}

impl Asking<'_> {
    /// Whether nothing refuses it so far. Nothing is touched, and no grant is used.
    fn would_pass(&self, token: &mut Counted, looked_up: Option<&LookedUp>) -> Result<bool, LookUp> {
        let Self { registry, route, once, now_ms, .. } = *self;
        let touches = !route.asked.background;
        if token.bound.is_outdated(registry, touches, now_ms) {
            token.bound.bind(registry, touches, looked_up, now_ms)?;
        }
        let required =
            Required { scopes: Some(&route.requirement), acr: &route.acr, once, conditions: self.conditions };
        let asked = judge::Asked { background: true, ..route.asked };
        let verdict = token.bound.answer(registry, asked, required, now_ms).verdict;
        // The filter refuses what the session's scopes do not cover.
        let is_covered = route.requirement.met_by(|scope| match &verdict.narrowed {
            Some(left) => left.scopes.contains(scope),
            None => token.bound.token().scopes.holds(scope),
        });
        Ok(verdict.outcome() == Outcome::Active && is_covered)
    }

    /// Answers it, if the disk is not needed for that, and counts it.
    fn answer(
        &self,
        token: &mut Counted,
        looked_up: Option<&LookedUp>,
        tally: &mut Tally,
        usage: &mut StreamUsage,
    ) -> Result<Answered, LookUp> {
        let Self { registry, route, once, now_ms, .. } = *self;
        if token.bound.is_outdated(registry, !route.asked.background, now_ms) {
            // What was counted was about the session that it had.
            token.collect(usage, now_ms);
            token.bound.bind(registry, !route.asked.background, looked_up, now_ms)?;
        }
        let Counted { bound, uses, .. } = token;
        let required =
            Required { scopes: Some(&route.requirement), acr: &route.acr, once, conditions: self.conditions };
        // A refused question is not activity.
        let asked = judge::Asked { background: route.asked.background || self.denied, ..route.asked };
        let mut answer = bound.answer(registry, asked, required, now_ms);
        if self.denied && answer.verdict.outcome() == Outcome::Active {
            answer = point::denied();
        }
        if once == Once::Takes && !answer.once.is_empty() {
            return Ok(Answered::Uses(answer.once));
        }
        answer.verdict.id = self.id;
        let outcome = answer.verdict.outcome();
        tally.add(outcome);
        if let Some(condition) = &answer.condition {
            self.metrics.conditions.refused(&condition.refused, condition.mode);
            bound.report_condition(condition, &route.scopes.name, self.audit, now_ms);
        } else if outcome != Outcome::Active {
            bound.report(outcome, &route.scopes.name, (route.asked, required), self.audit, now_ms);
            if outcome == Outcome::ScopeEscalation {
                bound.ask_for_approval(registry, now_ms);
            }
        }
        // What it was released with may be more than its session has: a grant for this one request.
        let holds = |scope: &str| match (outcome, &answer.verdict.narrowed) {
            (Outcome::Active, Some(left)) => left.scopes.iter().any(|held| held == scope),
            (Outcome::Active, None) => bound.token().scopes.holds(scope),
            _ => bound.holds(scope),
        };
        let fate = match outcome {
            Outcome::Active => Fate::Released,
            Outcome::ApprovalRequired => Fate::HeldBack,
            _ => Fate::Barred,
        };
        let fresh = uses.count((self.index, fate, bound.generation()), now_ms, || match fate {
            // Those that nobody has approved are missing.
            Fate::Released | Fate::HeldBack => route.scopes.effect(holds),
            Fate::Barred => Effect::Barred,
        });
        if fresh == Fresh::Full {
            token.collect(usage, now_ms);
        }
        Ok(Answered::Now(answer, fresh))
    }
}

impl StreamState {
    /// Goes on with what another decision point has decided.
    pub(crate) fn ruled(&mut self, asked: Asked, ruling: Ruling, now_ms: u64) -> Answers {
        let (mut answers, mut tally) = (Answers::default(), Tally::default());
        self.renew_conditions();
        let number = match asked {
            Asked::Follow(id) => {
                self.follows.ruled(id, ruling, now_ms, &mut answers);
                return answers;
            }
            Asked::Question(number) => number,
        };
        if let Some((question, point)) = self.asked.remove(&number).zip(self.point.clone()) {
            match point::fate(&point, ruling, question.request.borrow().method()) {
                _ if !self.registry.lease().holds() => no_verdict(question.id, &mut tally, &mut answers),
                point::Fate::Undecided => no_verdict(question.id, &mut tally, &mut answers),
                fate => {
                    let question = Question { ruled: Some(fate), ..question };
                    self.ask_again(question, None, &mut tally, now_ms, &mut answers);
                }
            }
        }
        self.metrics.answered(&tally);
        answers
    }

    /// Takes note of requests that the filter has decided by itself.
    fn reported(&mut self, used: &wire::Use, now_ms: u64) -> Result<(), Broken> {
        let effect = match used.route {
            Some(index) => route(self.routes.as_deref(), index)?.scopes.refused(&used.missing),
            None => Effect::Barred,
        };
        let client = self.registry.names().name(&used.client_id);
        self.usage.reported(&client, used.route, effect, used.count, now_ms);
        Ok(())
    }

    /// Adds the counts of this stream to those of the service, if it is time.
    fn add_usage(&mut self, now_ms: u64) {
        if self.usage.is_due(now_ms) {
            self.add_all_usage(now_ms);
        }
    }

    fn add_all_usage(&mut self, now_ms: u64) {
        for handle in self.usage.take_counted() {
            // One that was forgotten was collected then.
            if let Some(token) = self.tokens.get_mut(&handle) {
                token.collect(&mut self.usage, now_ms);
            }
        }
        let routes = self.routes.as_deref();
        let scopes = |index| Some(&routes?.route(index).ok()?.scopes);
        self.usage.add(self.registry.usage(), &self.metrics, scopes);
    }
}

impl Drop for StreamState {
    fn drop(&mut self) {
        self.add_all_usage(0);
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
