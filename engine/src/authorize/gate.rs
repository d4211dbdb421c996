//! The state of one Envoy worker: policy, keys, tokens, current requests, and the client of the session service.

mod decide;
mod handles;
mod keys;
mod open;
mod proofs;

use super::{
    bearer::Scheme,
    circumstances::LookUp,
    follows::{FollowId, Follows},
    head::{Head, PROOF, fact_headers},
    introspection::{Asker, Call, CallKey, Ended},
    oauth,
    principal::Principal,
    question::{Inquiry, Question, RequestAttributes, Verdict},
    redemptions::TokenText,
    refused_tokens::{RefusedToken, RefusedTokens},
    request::{self, Denial, Event, Next, Request, Step},
    session_client::SessionClient,
    session_memory::SessionMemory,
    stream_client::{Act, PeerNews, Settled},
    tally::{Count, StreamEvent, Tally},
    token_cache::TokenCache,
    token_place::{self, Removal},
    upstream_token,
};
use crate::{
    answer::{Caller, Code},
    map::{HashMap, HashSet},
    policy::{Outage, Policy},
    time::{Monotonic, Now},
    token::{Claimed, HostVerifier, IssuerId, KeyRings, KeySetError, Reason, dpop::Nonce},
};
use sha2::{Digest, Sha256};
use std::{borrow::Cow, collections::VecDeque, hash::RandomState, rc::Rc};

pub use keys::Fetch;

/// Envoy's id for one request on one worker.
pub type ContextId = u32;

/// A request and the step to carry out for it.
pub type Due = (ContextId, Step);

/// A request in progress, and what its answer depends on besides its state.
#[derive(Debug, Default)]
struct UnderWay {
    request: Request,
    /// In which form the caller understands a refusal.
    caller: Caller,
    /// Whether the upstream's response has started.
    responded: bool,
    follow: Option<FollowId>,
    /// What has to be known of the request again while it is open: by an introspection endpoint, or by the conditions of a
    /// session service.
    kept: Option<Rc<RequestAttributes>>,
    /// Inbound headers that must not reach the upstream, or not as they came; they are handed to the permit.
    strip: Vec<Cow<'static, str>>,
    replace: Vec<(&'static str, Vec<u8>)>,
    /// The scheme under which its token is presented.
    scheme: Scheme,
    /// Whether its client should be given a newer nonce.
    needs_nonce: bool,
    /// Whether it came with a handle in place of its token, and that token.
    is_of_cookie: bool,
    redeemed: Option<TokenText>,
    /// The websocket subprotocol to select, unless the upstream selects another one.
    subprotocol: Option<String>,
}

/// One worker's share of the filter, without host calls.
pub struct Gate {
    policy: Policy,
    rings: KeyRings,
    host: HostVerifier,
    tokens: TokenCache,
    /// `None` if every rule is public.
    client: Option<SessionClient>,
    follows: Follows,
    session_memory: SessionMemory,
    timeout_ms: u64,
    requests: HashMap<ContextId, UnderWay>,
    /// Released requests that are not followed yet, oldest first.
    fresh: VecDeque<(Monotonic, ContextId)>,
    /// When each issuer's keys were last fetched.
    keys_fetched_at: Vec<Option<Monotonic>>,
    /// Requests that wait for keys.
    waiting: HashSet<ContextId>,
    /// Issuers whose keys a request needs and whose fetch has not started yet.
    wanted: Vec<IssuerId>,
    /// Refused tokens that the log is yet to learn about.
    refused_tokens: RefusedTokens,
    /// What the askers of proofs are numbered with.
    askers: RandomState,
    asked_ever: u64,
    /// Where Envoy would have taken the last request for the token endpoint, if that is not where the policy says.
    misrouted: Option<String>,
    /// Counts to report on the next tick.
    pub tally: Tally,
    /// How long requests waited for their verdicts since the last tick, in milliseconds.
    pub waits_ms: Vec<u64>,
}

impl Gate {
    /// Creates the gate for `policy`. `host` is asked to verify signatures first; `seed` distinguishes workers.
    ///
    /// # Errors
    ///
    /// An inline key set has no usable key; returns its issuer.
    pub fn new(policy: Policy, host: HostVerifier, seed: u64) -> Result<Self, (IssuerId, KeySetError)> {
        let rings = KeyRings::new(policy.issuers.iter().map(|issuer| &issuer.keys))?.spread(seed);
        let timeout_ms = policy.session.as_ref().map_or(0, |session| millis(session.timeout));
        Ok(Self {
            client: SessionClient::new(&policy, policy.hello(), timeout_ms, seed),
            follows: Follows::default(),
            session_memory: SessionMemory::new(&policy),
            keys_fetched_at: vec![None; policy.issuers.len()],
            tokens: TokenCache::new(policy.limits.token_cache_bytes),
            policy,
            rings,
            host,
            timeout_ms,
            requests: HashMap::default(),
            fresh: VecDeque::new(),
            waiting: HashSet::default(),
            wanted: Vec::new(),
            refused_tokens: RefusedTokens::default(),
            askers: RandomState::new(),
            asked_ever: 0,
            misrouted: None,
            tally: Tally::default(),
            waits_ms: Vec::new(),
        })
    }

    /// Names the proxy in tokens for upstreams, unless the policy does.
    pub fn name_workload(&mut self, name: &str) {
        if let Some(client) = self.client.as_mut().and_then(SessionClient::stream) {
            client.name_workload(name);
        }
    }

    /// The policy that is enforced.
    pub const fn policy(&self) -> &Policy {
        &self.policy
    }

    /// A request's headers have arrived. `look_up` is only called for what is needed.
    pub fn arrive(
        &mut self,
        context: ContextId,
        head: &Head<'_>,
        look_up: impl FnMut(LookUp<'_>) -> Option<Vec<u8>>,
        now: Now,
    ) -> Step {
        self.observe(now);
        let decision = self.decide(head, look_up, now);
        let rule = request::rule_of(&decision);
        let is_oauth = matches!(&decision, Ok(Next::Release(permit)) if permit.is_oauth);
        let Removal { strip, replace, subprotocol } = match is_oauth {
            true => oauth::removal(head, &self.policy),
            false => token_place::removal(head, &self.policy, rule),
        };
        let forged = head.forged.iter().map(|name| Cow::Owned((*name).to_owned()));
        let facts = fact_headers(head.headers, &self.policy.facts).map(|name| Cow::Owned(name.to_owned()));
        // A proof is for this filter. Where none is verified, it may be for the upstream, and the token endpoint verifies its own.
        let proof = head.proofs.first().is_some_and(Option::is_some) && self.policy.possession.is_some() && !is_oauth;
        let proof = proof.then_some(Cow::Borrowed(PROOF));
        let tokens = upstream_token::forged(head.headers, &self.policy).map(|name| Cow::Owned(name.to_owned()));
        let strip =
            forged.chain(strip.into_iter().map(Cow::Borrowed)).chain(facts).chain(proof).chain(tokens).collect();
        let subprotocol = subprotocol.filter(|_| head.upgrades);
        let scheme = self.scheme(head);
        let is_of_cookie = self.policy.session_cookie().is_some()
            && token_place::find(head, &self.policy).is_ok_and(|found| found.is_handle);
        let caller = head.caller;
        let entry = UnderWay { caller, strip, replace, scheme, is_of_cookie, subprotocol, ..UnderWay::default() };
        self.requests.insert(context, entry);
        self.advance(context, Event::Decided(decision), now)
    }

    /// In which form the caller of a request understands a refusal.
    pub fn caller(&self, context: ContextId) -> Caller {
        self.requests.get(&context).map(|entry| entry.caller).unwrap_or_default()
    }

    /// Whether headers, body and trailers of a request may pass.
    pub fn is_released(&self, context: ContextId) -> bool {
        self.requests.get(&context).is_some_and(|entry| entry.request.is_released())
    }

    /// Whether a request has arrived and is not gone.
    pub fn is_in_progress(&self, context: ContextId) -> bool {
        self.requests.contains_key(&context)
    }

    /// A request has ended, whatever its state.
    pub fn gone(&mut self, context: ContextId) {
        let Some(entry) = self.requests.remove(&context) else { return };
        self.waiting.remove(&context);
        self.stop_waiting(context, &entry.request);
        if let (Request::Asked(_), Some(client)) = (&entry.request, &mut self.client) {
            client.withdraw(context);
        }
        if let Some(id) = entry.follow {
            self.follows.leave(id, context);
        }
    }

    /// Handles whatever is due at `now`.
    pub fn tick(&mut self, now: Now) -> Vec<Due> {
        self.observe(now);
        if let Some(client) = self.client.as_mut().and_then(SessionClient::stream) {
            self.tally.leases(client.take_lease_counts());
        }
        let mut due = match &mut self.client {
            Some(SessionClient::Stream(client)) => {
                let settled = client.expire(now.instant);
                let is_lease_over = client.is_lease_over(now.instant);
                let mut due = self.settle(settled, now);
                if is_lease_over {
                    due.extend(self.cut_the_unheard(now));
                }
                due
            }
            Some(SessionClient::Introspection(client)) => {
                let ended = client.expire(now.instant);
                let silent = client.review_the_open(&self.policy, now.instant, |id| self.follows.is_open(id));
                let mut due: Vec<Due> = ended.into_iter().flat_map(|ended| self.ended(ended, now)).collect();
                due.extend(silent.into_iter().flat_map(|id| self.followed(id, None, now)));
                due
            }
            None => Vec::new(),
        };
        for (context, arrival) in self.waiting_for_keys() {
            if arrival.deadline <= now.instant {
                due.push((context, self.advance(context, Event::NoKeys, now)));
            }
        }
        for (id, code) in self.follows.overdue(now) {
            for context in self.follows.end(id) {
                due.push((context, self.advance(context, Event::Overdue(code.into()), now)));
            }
        }
        due.extend(self.end_waits(now));
        due.extend(self.follow_the_lasting(now));
        due
    }

    /// The next action on the check stream, if any. Call until it returns `None`.
    pub fn act(&mut self, now: Monotonic) -> Option<Act> {
        self.client.as_mut()?.stream()?.act(&mut self.follows, now)
    }

    /// The next message to send, if any: the only kind of [`Gate::act`] that is possible inside a request's callback.
    pub fn send(&mut self, now: Monotonic) -> Option<Act> {
        self.client.as_mut()?.stream()?.send(&mut self.follows, now)
    }

    /// The stream that [`Act::Open`] asked for; `None` when it could not be opened.
    pub fn opened(&mut self, stream: Option<u32>, now: Monotonic) {
        let event = if stream.is_some() { StreamEvent::Opened } else { StreamEvent::Failed };
        self.tally.add(Count::Stream(event));
        if let Some(client) = self.client.as_mut().and_then(SessionClient::stream) {
            client.opened(stream, now);
        }
    }

    /// A message has arrived on the check stream.
    pub fn message(&mut self, stream: u32, bytes: &[u8], now: Now) -> Vec<Due> {
        self.observe(now);
        let Some(client) = self.client.as_mut().and_then(SessionClient::stream) else { return Vec::new() };
        let received = client.message(stream, bytes, &mut self.follows, now.instant);
        let mut due = self.settle(received.settled, now);
        for (id, verdict) in received.followed {
            due.extend(self.followed(id, verdict.as_ref(), now));
        }
        for (handle, redeemed) in &received.redeemed {
            due.extend(self.redeemed(*handle, redeemed, now));
        }
        due
    }

    /// What the session service has said about itself since the last call.
    pub fn take_peer_news(&mut self) -> Vec<PeerNews> {
        let client = self.client.as_mut().and_then(SessionClient::stream);
        client.map(|client| client.take_news()).unwrap_or_default()
    }

    /// Where people ask for approvals, if the session service has said so: the id of their session is appended.
    pub fn requests_url(&self) -> Option<&str> {
        match &self.client {
            Some(SessionClient::Stream(client)) => client.requests_url(),
            Some(SessionClient::Introspection(_)) | None => None,
        }
    }

    /// The check stream was closed.
    pub fn closed(&mut self, stream: u32, now: Now) -> Vec<Due> {
        self.tally.add(Count::Stream(StreamEvent::Closed));
        let Some(client) = self.client.as_mut().and_then(SessionClient::stream) else { return Vec::new() };
        let settled = client.closed(stream, now.instant);
        self.settle(settled, now)
    }

    /// Sets the `authorization` with which an introspection endpoint is called; see [`super::authorization`].
    pub fn authorize_calls(&mut self, authorization: Option<String>) {
        if let Some(client) = self.client.as_mut().and_then(SessionClient::introspection) {
            client.authorize(authorization);
        }
    }

    /// The calls to make to the introspection endpoint now. [`Gate::answered`] must follow each.
    pub fn take_calls(&mut self) -> Vec<(CallKey, Call)> {
        let client = self.client.as_mut().and_then(SessionClient::introspection);
        client.map(|client| client.take_pending()).unwrap_or_default()
    }

    /// Whether the answer to this call is still needed. Envoy drops a call without a callback when the request that made it
    /// ends.
    pub fn awaits(&self, key: CallKey) -> bool {
        matches!(&self.client, Some(SessionClient::Introspection(client)) if client.awaits(key))
    }

    /// A call was answered with a status and a body, or failed.
    pub fn answered(&mut self, key: CallKey, response: Option<(u32, &[u8])>, now: Now) -> Vec<Due> {
        let client = self.client.as_mut().and_then(SessionClient::introspection);
        match client.and_then(|client| client.answered(key, response, &self.policy, now)) {
            Some(ended) => self.ended(ended, now),
            None => Vec::new(),
        }
    }

    /// The line about refused tokens that the log is to have now, if any.
    pub fn refused_token(&mut self, now: Monotonic) -> Option<RefusedToken> {
        self.refused_tokens.take(now)
    }

    /// Whether something waits for a deadline, so that ticks must be frequent.
    pub fn is_busy(&self) -> bool {
        self.client.as_ref().is_some_and(SessionClient::is_busy) || !self.fresh.is_empty() || !self.waiting.is_empty()
    }

    /// How soon something can be due besides, in milliseconds; `None` if nothing can.
    pub fn pace_ms(&self) -> Option<u64> {
        match &self.client {
            Some(SessionClient::Stream(client)) => client.lease_pace_ms(),
            Some(SessionClient::Introspection(_)) | None => None,
        }
    }

    /// How many leases the worker has.
    pub fn leases_held(&self) -> usize {
        match &self.client {
            Some(SessionClient::Stream(client)) => client.leases_held(),
            Some(SessionClient::Introspection(_)) | None => 0,
        }
    }

    /// Whether a session service is connected on a check stream.
    pub fn is_connected(&self) -> bool {
        matches!(&self.client, Some(SessionClient::Stream(client)) if client.is_connected())
    }

    /// Compares the clocks, which leases depend on.
    fn observe(&mut self, now: Now) {
        if let Some(client) = self.client.as_mut().and_then(SessionClient::stream) {
            client.observe(now);
        }
    }

    fn retire(&mut self, principal: &Principal) {
        if let Some(client) = &mut self.client {
            client.retire(principal);
        }
    }

    /// Turns questions that have left the stream client into steps of their requests.
    fn settle(&mut self, settled: Vec<Settled>, now: Now) -> Vec<Due> {
        let mut due = Vec::with_capacity(settled.len());
        for Settled { context, verdict, token, waited_ms } in settled {
            self.waits_ms.push(waited_ms);
            let step = match verdict {
                Some(verdict) if token.is_some() => {
                    self.advance(context, Event::VerdictWithToken(verdict, token, now.wall_ms), now)
                }
                Some(verdict) => self.advance(context, Event::Verdict(verdict, now.wall_ms), now),
                None => self.no_verdict(context, now),
            };
            due.push((context, step));
        }
        due
    }

    /// Nothing has been received from the session service for too long, so it is unknown whether the sessions of open
    /// requests are still alive, except where there is a lease. Requests end here if the policy denies in an outage.
    fn cut_the_unheard(&mut self, now: Now) -> Vec<Due> {
        let denies = |rule| self.policy.rule(rule).is_none_or(|rule| rule.limits.on_outage == Outage::Deny);
        let mut unheard = self.follows.on_rules(denies);
        if let Some(SessionClient::Stream(client)) = &mut self.client {
            unheard.retain(|id| {
                let follow = self.follows.principal(*id).zip(self.follows.rule(*id));
                !follow.is_some_and(|(principal, rule)| client.has_lease(principal, rule, now.instant))
            });
        }
        let contexts: Vec<ContextId> = unheard.into_iter().flat_map(|id| self.follows.end(id)).collect();
        let overdue =
            |gate: &mut Self, context| gate.advance(context, Event::Overdue(Code::SessionUnavailable.into()), now);
        contexts.into_iter().map(|context| (context, overdue(self, context))).collect()
    }

    /// Turns a finished call into steps of the requests that it was made for. One about open requests that was not
    /// answered is made again.
    fn ended(&mut self, Ended { asker, event, waited_ms }: Ended, now: Now) -> Vec<Due> {
        match (asker, event) {
            (Asker::Request(context), event) => {
                self.waits_ms.push(waited_ms);
                let step = match event {
                    Some(event) => self.advance(context, event, now),
                    None => self.no_verdict(context, now),
                };
                vec![(context, step)]
            }
            (Asker::Follow(id), Some(Event::Followed(verdict))) => self.followed(id, Some(&verdict), now),
            (Asker::Follow(_), _) => Vec::new(),
        }
    }

    /// Passes a verdict to the open requests of a follow; `None` if the session service cannot tell.
    fn followed(&mut self, id: FollowId, verdict: Option<&Verdict>, now: Now) -> Vec<Due> {
        let contexts = self.follows.contexts(id).into_iter();
        let steps = contexts.map(|context| match verdict {
            Some(verdict) => (context, self.advance(context, Event::Followed(verdict.clone()), now)),
            None => (context, self.no_news(context, now)),
        });
        steps.collect()
    }

    /// No verdict will arrive for a request: the last verdict about its session has to decide.
    fn no_verdict(&mut self, context: ContextId, now: Now) -> Step {
        let known = match self.requests.get(&context).map(|entry| &entry.request) {
            Some(Request::Asked(inquiry)) => {
                let mut known = self.session_memory.recall(inquiry, now);
                if let (Inquiry::Session(question), Some(SessionClient::Stream(client))) = (inquiry, &mut self.client) {
                    known.upstream_token = client.recall_token(question, &known, now.wall_ms);
                }
                known
            }
            _ => return Step::Wait,
        };
        self.advance(context, Event::NoVerdict(known, now.wall_ms), now)
    }

    /// The session service cannot tell anything about the session of an open request.
    fn no_news(&mut self, context: ContextId, now: Now) -> Step {
        let known = match self.requests.get(&context).map(|entry| &entry.request) {
            Some(Request::Released(Some(open))) => self.session_memory.session(&open.principal, open.rule, now),
            _ => return Step::Wait,
        };
        self.advance(context, Event::NoNews(known), now)
    }

    /// Releases a request without a question, if the worker has a lease that does.
    fn by_lease(&mut self, context: ContextId, inquiry: &Inquiry, now: Now) -> Option<Step> {
        let (Inquiry::Session(question), Some(SessionClient::Stream(client))) = (inquiry, &mut self.client) else {
            return None;
        };
        let leased = client.leased(question, now)?;
        let id = leased.id;
        let step = self.advance(context, Event::Leased(leased, now.wall_ms), now);
        let Step::Release(_) = &step else { return None };
        if let Some(client) = self.client.as_mut().and_then(SessionClient::stream) {
            client.note_leased(id, now.instant);
        }
        Some(step)
    }

    /// Passes an event to a request, and a resulting question to the session service.
    fn advance(&mut self, context: ContextId, event: Event, now: Now) -> Step {
        let Some(entry) = self.requests.get_mut(&context) else { return Step::Wait };
        self.session_memory.record(&entry.request, &event, &self.policy, now.instant);
        self.tally.event(&event);
        if let (Request::Asked(inquiry), Event::Verdict(Verdict::Ended(refusal), _)) = (&entry.request, &event)
            && let Some(reason) = refusal.reason
        {
            self.refused_tokens.note(|| refused_when_asked(inquiry, reason));
        }
        if let Request::Asked(inquiry) = &entry.request
            && inquiry.about().1.are_needed_again()
        {
            entry.kept = Some(Rc::clone(inquiry.about().1));
        }
        if let Request::Asked(Inquiry::Session(Question { proof: Some(proof), .. })) = &entry.request {
            entry.needs_nonce = proof.proven.nonce == Some(Nonce::Fading);
        }
        if let Request::Asked(Inquiry::Session(Question { redeemed: Some(token), .. })) = &entry.request {
            entry.redeemed = Some(token.clone());
        }
        let has_waited = matches!(entry.request, Request::Redeeming(_));
        let mut step = entry.request.on(event, &self.policy);
        if let Step::Deny(denial) | Step::Cut(denial) = &mut step {
            denial.scheme = entry.scheme;
            denial.is_of_cookie = entry.is_of_cookie;
            // The handle has not expired, and the person can do nothing about its token.
            if entry.is_of_cookie && denial.refusal.code == Code::TokenExpired {
                denial.refusal = Code::SessionUnavailable.into();
            }
        }
        if let Request::Redeeming(arrival) = &entry.request
            && !has_waited
        {
            let arrival = arrival.clone();
            if !self.begin_to_wait(context, &arrival) {
                let denial = Denial::new(Code::SessionUnavailable, Some(arrival.rule));
                return self.advance(context, Event::Decided(Err(denial)), now);
            }
            self.waiting.remove(&context);
            return Step::Wait;
        }
        if let Step::Ask(inquiry) = step {
            if let Some(step) = self.by_lease(context, &inquiry, now) {
                return step;
            }
            let client = self.client.as_mut();
            if !client.is_some_and(|client| client.ask(context, inquiry, &self.policy, now.instant)) {
                return self.no_verdict(context, now);
            }
            self.waiting.remove(&context);
            return Step::Wait;
        }
        match entry.request {
            Request::Asking(_) => self.waiting.insert(context),
            _ => self.waiting.remove(&context),
        };
        if !matches!(entry.request, Request::Released(Some(_)))
            && let Some(id) = entry.follow.take()
        {
            self.follows.leave(id, context);
        }
        if let Step::Release(permit) = &mut step {
            permit.strip = std::mem::take(&mut entry.strip);
            permit.replace = std::mem::take(&mut entry.replace);
            if let Some(token) = entry.redeemed.take().filter(|_| permit.principal.is_some())
                && self.policy.forwards_token(permit.rule)
            {
                permit.replace.push(("authorization", format!("Bearer {}", token.0).into_bytes()));
            }
            if matches!(entry.request, Request::Released(Some(_))) {
                self.fresh.push_back((now.instant, context));
            }
        }
        self.tally.step(&step);
        step
    }
}

/// A token that was refused by whoever was asked about it.
fn refused_when_asked(inquiry: &Inquiry, reason: Reason) -> RefusedToken {
    let issuer = match inquiry {
        Inquiry::Session(question) => Some(question.principal.facts.issuer.to_string()),
        Inquiry::Token(_) => None,
    };
    let words = match reason {
        Reason::Undated => "the session service requires a session claim or `auth_time`",
        _ => "the introspection endpoint does not vouch for it",
    };
    RefusedToken::new(reason, words, Claimed { issuer, kid: None })
}

fn millis(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn digest8(bytes: &[u8]) -> u64 {
    let digest: [u8; 32] = Sha256::digest(bytes).into();
    digest.first_chunk::<8>().map_or(0, |first| u64::from_le_bytes(*first))
}

#[cfg(test)]
mod tests;
