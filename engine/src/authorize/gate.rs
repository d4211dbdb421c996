//! One Envoy worker: policy, keys, tokens, the requests under way, and the desk.

mod hello;
mod open;
mod tokens;

use super::{
    head::Head,
    introspection::{Call, CallKey, Carried, Ended, IntrospectionClient},
    local::{self, Routed},
    principal::Principal,
    request::{Arrival, Denial, Event, Inquiry, Mark, Permit, Request, RequestAttributes, Step, Verdict},
    stream_client::{Act, FollowId, Settled, StreamClient},
    tally::{Count, Tally},
    token_cache::TokenCache,
};
use crate::{
    map::{HashMap, HashSet},
    policy::Policy,
    token::{HostVerifier, IssuerId, KeyRing, KeySetError},
};
use lru::LruCache;
use sha2::{Digest, Sha256};
use std::{collections::VecDeque, num::NonZeroUsize, rc::Rc};

pub use tokens::Fetch;

/// Sessions that are remembered as ended.
const ENDED_MAX: NonZeroUsize = NonZeroUsize::new(65_536).unwrap();

/// Envoy's number for one request on one worker.
pub type ContextId = u32;

/// A request and what is to be done with it.
pub type Due = (ContextId, Step);

/// A request that is under way, and what its answer depends on beside its state.
#[derive(Debug, Default)]
struct UnderWay {
    request: Request,
    /// Whether the caller understands a gRPC answer.
    grpc: bool,
    /// Whether the upstream's answer has begun.
    responded: bool,
    follow: Option<FollowId>,
}

/// A worker's share of the filter, without the host.
pub struct Gate {
    policy: Policy,
    rings: Vec<KeyRing>,
    host: HostVerifier,
    tokens: TokenCache<Principal>,
    desk: StreamClient,
    /// In the desk's place when the session service is an introspection endpoint.
    calls: Option<IntrospectionClient>,
    timeout_ms: u64,
    requests: HashMap<ContextId, UnderWay>,
    /// Released requests that are not followed yet, oldest first.
    fresh: VecDeque<(u64, ContextId)>,
    /// When each issuer's keys were last fetched.
    keys_fetched_at_ms: Vec<Option<u64>>,
    /// Sessions that were said to be over, as far as an outage policy may have to know: a grace is not for them, whichever of
    /// their tokens comes.
    ended: LruCache<String, ()>,
    /// Requests that wait for keys.
    waiting: HashSet<ContextId>,
    /// Issuers whose keys a request has asked for, and nobody fetches yet.
    wanted: Vec<IssuerId>,
    /// What is to be counted at the next tick.
    pub tally: Tally,
    /// How long requests waited for their verdicts since the last tick, in milliseconds.
    pub waits_ms: Vec<u64>,
}

impl Gate {
    /// A gate for `policy`. `host` is asked about signatures first, `seed` tells workers apart.
    ///
    /// # Errors
    ///
    /// An inline key set without a usable key, with the index of its issuer.
    pub fn new(policy: Policy, host: HostVerifier, seed: u64) -> Result<Self, (usize, KeySetError)> {
        let sources = policy.issuers.iter().map(|issuer| &issuer.keys).enumerate();
        let rings = sources.map(|(index, source)| KeyRing::new(source).map_err(|error| (index, error)));
        let rings = rings.collect::<Result<_, _>>()?;
        let timeout_ms = policy.session.as_ref().map_or(0, |session| millis(session.timeout));
        Ok(Self {
            desk: StreamClient::new(hello::hello(&policy), timeout_ms, seed),
            calls: IntrospectionClient::new(&policy),
            keys_fetched_at_ms: vec![None; policy.issuers.len()],
            policy,
            rings,
            host,
            tokens: TokenCache::default(),
            timeout_ms,
            requests: HashMap::default(),
            fresh: VecDeque::new(),
            ended: LruCache::sparse(ENDED_MAX),
            waiting: HashSet::default(),
            wanted: Vec::new(),
            tally: Tally::default(),
            waits_ms: Vec::new(),
        })
    }

    /// The policy that is enforced.
    pub const fn policy(&self) -> &Policy {
        &self.policy
    }

    /// A request's headers have come. `client_address` is asked only when it is needed.
    pub fn arrive(
        &mut self,
        context: ContextId,
        head: &Head<'_>,
        client_address: impl FnOnce() -> String,
        now_ms: u64,
    ) -> Step {
        let local = match local::route(head, &self.policy) {
            Routed::Done(local) => local,
            Routed::Guarded(rule) => match head.token {
                Err(error) => local::no_token(error, rule),
                Ok(token) => {
                    let attributes = RequestAttributes {
                        method: head.method.to_owned(),
                        client_address: client_address(),
                        user_agent_digest: head.user_agent.map(digest8),
                        carried: self.calls.is_some().then(|| Carried::new(token, head.trace)),
                    };
                    self.verify(
                        Arrival {
                            rule,
                            token: token.to_owned(),
                            attributes: Rc::new(attributes),
                            deadline_ms: now_ms.saturating_add(self.timeout_ms),
                        },
                        now_ms,
                    )
                }
            },
        };
        self.requests.insert(context, UnderWay { grpc: head.grpc, ..UnderWay::default() });
        self.advance(context, Event::Local(local), now_ms)
    }

    /// Whether the caller of a request understands a gRPC answer.
    pub fn is_grpc(&self, context: ContextId) -> bool {
        self.requests.get(&context).is_some_and(|entry| entry.grpc)
    }

    /// Whether headers, body and trailers of a request may pass.
    pub fn is_released(&self, context: ContextId) -> bool {
        self.requests.get(&context).is_some_and(|entry| entry.request.is_released())
    }

    /// A request has ended, whatever its state.
    pub fn gone(&mut self, context: ContextId) {
        let Some(entry) = self.requests.remove(&context) else { return };
        self.waiting.remove(&context);
        if matches!(entry.request, Request::Asked(_) | Request::Presented(_)) {
            self.desk.withdraw(context);
            if let Some(calls) = &mut self.calls {
                calls.withdraw(context);
            }
        }
        if let Some(id) = entry.follow {
            self.desk.unfollow(id, context);
        }
    }

    /// Time has passed.
    pub fn tick(&mut self, now_ms: u64) -> Vec<Due> {
        let settled = self.desk.expire(now_ms);
        let mut due = self.settle(settled, now_ms);
        let ended = self.calls.as_mut().map(|calls| calls.expire(now_ms)).unwrap_or_default();
        due.extend(ended.into_iter().map(|ended| self.ended(ended, now_ms)));
        for (context, arrival) in self.waiting_for_keys() {
            if arrival.deadline_ms <= now_ms {
                due.push((context, self.advance(context, Event::NoKeys, now_ms)));
            }
        }
        for (id, code) in self.desk.overdue(now_ms) {
            for context in self.desk.end_follow(id) {
                due.push((context, self.advance(context, Event::Overdue(code), now_ms)));
            }
        }
        self.follow_the_lasting(now_ms);
        due
    }

    /// What is to be done about the check stream now, if anything. Ask until there is nothing.
    pub fn act(&mut self, now_ms: u64) -> Option<Act> {
        self.policy.session.as_ref().filter(|_| self.calls.is_none())?;
        self.desk.act(now_ms)
    }

    /// Questions that may be sent now: what of [`Gate::act`] can be done in the course of a request.
    pub fn send(&mut self, now_ms: u64) -> Option<Act> {
        self.desk.send(now_ms)
    }

    /// The stream that [`Act::Open`] asked for; `None` when it could not be opened.
    pub fn opened(&mut self, stream: Option<u32>, now_ms: u64) {
        self.tally.add(Count::Stream(if stream.is_some() { "opened" } else { "failed" }));
        self.desk.opened(stream, now_ms);
    }

    /// A message has come on the check stream.
    pub fn message(&mut self, stream: u32, bytes: &[u8], now_ms: u64) -> Vec<Due> {
        let heard = self.desk.message(stream, bytes, now_ms);
        let mut due = self.settle(heard.settled, now_ms);
        for (id, verdict) in heard.followed {
            for context in self.desk.followers(id) {
                due.push((context, self.advance(context, Event::Followed(verdict.clone()), now_ms)));
            }
        }
        due
    }

    /// The check stream was closed.
    pub fn closed(&mut self, stream: u32, now_ms: u64) -> Vec<Due> {
        self.tally.add(Count::Stream("closed"));
        let settled = self.desk.closed(stream, now_ms);
        self.settle(settled, now_ms)
    }

    /// As whom an introspection endpoint is called; see [`super::authorization`].
    pub fn authorize_calls(&mut self, authorization: Option<String>) {
        if let Some(calls) = &mut self.calls {
            calls.authorize(authorization);
        }
    }

    /// The calls to the introspection endpoint that are to be made now. Each must be answered with [`Gate::answered`].
    pub fn take_calls(&mut self) -> Vec<(CallKey, Call)> {
        self.calls.as_mut().map(IntrospectionClient::take_pending).unwrap_or_default()
    }

    /// Whether somebody waits for the answer to a call: one that a request made ends with it, without a word.
    pub fn awaits(&self, key: CallKey) -> bool {
        self.calls.as_ref().is_some_and(|calls| calls.awaits(key))
    }

    /// A call was answered: with a status and a body, or without an answer.
    pub fn answered(&mut self, key: CallKey, response: Option<(u32, &[u8])>, now_ms: u64) -> Option<Due> {
        let ended = self.calls.as_mut()?.answered(key, response, &self.policy, now_ms)?;
        Some(self.ended(ended, now_ms))
    }

    /// Whether something waits for a deadline, so that ticks must come quickly.
    pub fn is_busy(&self) -> bool {
        self.calls.as_ref().map_or_else(|| self.desk.is_busy(), IntrospectionClient::is_busy)
            || !self.fresh.is_empty()
            || !self.waiting.is_empty()
    }

    /// Whether the session service listens.
    pub fn is_connected(&self) -> bool {
        self.desk.is_connected()
    }

    /// Questions that left the desk become steps of their requests.
    fn settle(&mut self, settled: Vec<Settled>, now_ms: u64) -> Vec<Due> {
        let mut due = Vec::with_capacity(settled.len());
        for Settled { context, verdict, waited_ms } in settled {
            self.waits_ms.push(waited_ms);
            self.tally.add(Count::Check(match &verdict {
                Some(Verdict::Active(_)) => "active",
                Some(Verdict::Ended(code)) => code.name(),
                None => "no_verdict",
            }));
            let event = verdict.map_or(Event::NoVerdict(now_ms), |verdict| Event::Verdict(verdict, now_ms));
            due.push((context, self.advance(context, event, now_ms)));
        }
        due
    }

    /// A call that has ended becomes a step of its request.
    fn ended(&mut self, Ended { context, event, waited_ms }: Ended, now_ms: u64) -> Due {
        self.waits_ms.push(waited_ms);
        self.tally.add(Count::Check(match &event {
            Event::Proven(..) | Event::Verdict(Verdict::Active(_), _) => "active",
            Event::Verdict(Verdict::Ended(code), _) => code.name(),
            _ => "no_verdict",
        }));
        (context, self.advance(context, event, now_ms))
    }

    /// Gives an event to a request, and a question that comes of it to the desk.
    fn advance(&mut self, context: ContextId, event: Event, now_ms: u64) -> Step {
        let Some(entry) = self.requests.get_mut(&context) else { return Step::Wait };
        if matches!(event, Event::NoVerdict(_)) {
            no_grace_for_the_ended(&entry.request, &self.ended);
        }
        let mut step = entry.request.on(event, &self.policy);
        if let Step::Ask(inquiry) = step {
            let asked = match (&mut self.calls, inquiry) {
                (Some(calls), inquiry) => calls.ask(context, inquiry, &self.policy, now_ms),
                (None, Inquiry::Session(question)) => self.desk.ask(context, question, now_ms),
                (None, Inquiry::Token(_)) => false,
            };
            step = if asked {
                Step::Wait
            } else {
                self.tally.add(Count::Check("no_verdict"));
                no_grace_for_the_ended(&entry.request, &self.ended);
                entry.request.on(Event::NoVerdict(now_ms), &self.policy)
            };
        }
        match entry.request {
            Request::Asking(_) => self.waiting.insert(context),
            _ => self.waiting.remove(&context),
        };
        if !matches!(entry.request, Request::Released(Some(_)))
            && let Some(id) = entry.follow.take()
        {
            self.desk.unfollow(id, context);
        }
        self.remember_end(&step);
        self.count(&step);
        if matches!(&step, Step::Release(permit) if permit.principal.is_some()) {
            self.fresh.push_back((now_ms, context));
        }
        step
    }

    fn remember_end(&mut self, step: &Step) {
        match step {
            Step::Deny(Denial { code, principal: Some(principal), .. })
            | Step::Cut(Denial { code, principal: Some(principal), .. })
                if code.ends_session() =>
            {
                self.ended.put(principal.facts.session_id.clone(), ());
            }
            Step::Release(Permit { principal: Some(principal), mark: None, .. }) if !self.ended.is_empty() => {
                self.ended.pop(&principal.facts.session_id);
            }
            _ => {}
        }
    }

    fn count(&mut self, step: &Step) {
        match step {
            Step::Release(permit) => self.tally.add(match (permit.mark, &permit.principal) {
                (Some(Mark::Shadow(code)), _) => Count::Shadowed(code.name(), permit.rule),
                (Some(Mark::OutageReadOnly), _) => Count::Outage("read_only", permit.rule),
                (Some(Mark::OutageGrace), _) => Count::Outage("grace", permit.rule),
                (None, Some(_)) => Count::Decision("ok", permit.rule),
                (None, None) => Count::Decision("public", permit.rule),
            }),
            Step::Deny(denial) => self.tally.add(Count::Decision(denial.code.name(), denial.rule)),
            Step::Cut(denial) => self.tally.add(Count::Cut(denial.code.name(), denial.rule)),
            Step::Spare(denial) => self.tally.add(Count::Shadowed(denial.code.name(), denial.rule)),
            Step::Wait | Step::Ask(_) => {}
        }
    }
}

/// To be called before a request learns that there is no verdict.
fn no_grace_for_the_ended(request: &Request, ended: &LruCache<String, ()>) {
    if let Some(principal) = request.asked_about()
        && ended.contains(&principal.facts.session_id)
    {
        principal.forget_granted();
    }
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
