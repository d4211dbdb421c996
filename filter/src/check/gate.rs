//! One Envoy worker: policy, keys, tokens, the requests under way, and the desk.

use super::{
    calls::{CallKey, Calls, Ended},
    credential::Credential,
    desk::{Act, Desk, FollowId, Settled},
    head::Head,
    introspection::{Call, Carried},
    local::{self, Routed},
    request::{Arrival, Circumstances, Event, Inquiry, Local, Mark, Presented, Request, Step, Verdict},
    tally::{Count, Tally},
};
use crate::{
    answer::Code,
    policy::{Access, KeySource, Policy},
    token::{
        self, Entry, FetchError, IssuerId, KeyRing, KeySetError, Lookup, Miss, Rejection, TokenCache, TokenDigest,
    },
    wire,
};
use sha2::{Digest, Sha256};
use std::{
    collections::{HashMap, VecDeque},
    rc::Rc,
};

/// Envoy's number for one request on one worker.
pub type ContextId = u32;

/// A request and what is to be done with it.
pub type Due = (ContextId, Step);

/// How long a request is open before its session is followed: most are over by then, and cost nothing. With the tick, this
/// bounds how late an open request is cut that was released just before its session ended.
const FOLLOW_AFTER_MS: u64 = 50;

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
    tokens: TokenCache<Credential>,
    desk: Desk,
    /// In the desk's place when the session service is an introspection endpoint.
    calls: Option<Calls>,
    timeout_ms: u64,
    requests: HashMap<ContextId, UnderWay>,
    /// Released requests that are not followed yet, oldest first.
    fresh: VecDeque<(u64, ContextId)>,
    /// When each issuer's keys were last fetched.
    keys_fetched_at_ms: Vec<Option<u64>>,
    /// Issuers whose keys a request has asked for, and nobody fetches yet.
    wanted: Vec<IssuerId>,
    /// What is to be counted at the next tick.
    pub tally: Tally,
    /// How long requests waited for their verdicts since the last tick, in milliseconds.
    pub waits_ms: Vec<u64>,
}

/// A key set to be fetched through an Envoy cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetch {
    /// Whose.
    pub issuer: IssuerId,
    /// `:authority`
    pub authority: String,
    /// `:path`
    pub path: String,
    /// `:scheme`
    pub scheme: &'static str,
    /// The Envoy cluster.
    pub cluster: String,
}

impl Gate {
    /// A gate for `policy`. `seed` tells workers apart.
    ///
    /// # Errors
    ///
    /// An inline key set without a usable key, with the index of its issuer.
    pub fn new(policy: Policy, seed: u64) -> Result<Self, (usize, KeySetError)> {
        let sources = policy.issuers.iter().map(|issuer| &issuer.keys).enumerate();
        let rings = sources.map(|(index, source)| KeyRing::new(source).map_err(|error| (index, error)));
        let rings = rings.collect::<Result<_, _>>()?;
        let timeout_ms = policy.session.as_ref().map_or(0, |session| millis(session.timeout));
        Ok(Self {
            desk: Desk::new(hello(&policy), timeout_ms, seed),
            calls: Calls::new(&policy),
            keys_fetched_at_ms: vec![None; policy.issuers.len()],
            policy,
            rings,
            tokens: TokenCache::default(),
            timeout_ms,
            requests: HashMap::new(),
            fresh: VecDeque::new(),
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
                    let circumstances = Circumstances {
                        method: head.method.to_owned(),
                        client_address: client_address(),
                        user_agent_digest: head.user_agent.map(digest8),
                        carried: self.calls.is_some().then(|| Carried::new(token, head.trace)),
                    };
                    self.verify(
                        Arrival {
                            rule,
                            token: token.to_owned(),
                            circumstances: Rc::new(circumstances),
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

    /// The upstream's answer to a request begins.
    pub fn responding(&mut self, context: ContextId) {
        if let Some(entry) = self.requests.get_mut(&context) {
            entry.responded = true;
        }
    }

    /// Whether it has begun: then a request that has to end can only be reset.
    pub fn has_responded(&self, context: ContextId) -> bool {
        self.requests.get(&context).is_some_and(|entry| entry.responded)
    }

    /// Bytes of a body have passed, in either direction.
    pub fn note_activity(&mut self, context: ContextId) {
        if let Some(id) = self.requests.get(&context).and_then(|entry| entry.follow) {
            self.desk.note_activity(id);
        }
    }

    /// Whether headers, body and trailers of a request may pass.
    pub fn is_released(&self, context: ContextId) -> bool {
        self.requests.get(&context).is_some_and(|entry| entry.request.is_released())
    }

    /// A request has ended, whatever its state.
    pub fn gone(&mut self, context: ContextId) {
        let Some(entry) = self.requests.remove(&context) else { return };
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

    /// Has the sessions followed of requests that turn out to be more than short.
    fn follow_the_lasting(&mut self, now_ms: u64) {
        while let Some((released_at_ms, context)) = self.fresh.front().copied()
            && released_at_ms.saturating_add(FOLLOW_AFTER_MS) <= now_ms
        {
            self.fresh.pop_front();
            let Some(entry) = self.requests.get_mut(&context) else { continue };
            if let Request::Released(Some(open)) = &entry.request
                && let Some(rule) = self.policy.rules.get(open.rule.0)
            {
                let id = self.desk.follow(context, &open.credential, open.rule, rule.limits.outlive_token);
                entry.follow = Some(id);
                self.tally.add(Count::Followed);
            }
        }
    }

    fn waiting_for_keys(&self) -> Vec<(ContextId, Arrival)> {
        let requests = self.requests.iter();
        let waiting = requests.filter_map(|(context, entry)| match &entry.request {
            Request::Asking(arrival) => Some((*context, arrival.clone())),
            _ => None,
        });
        waiting.collect()
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
        self.calls.as_mut().map(Calls::take_pending).unwrap_or_default()
    }

    /// A call was answered: with a status and a body, or without an answer.
    pub fn answered(&mut self, key: CallKey, response: Option<(u32, &[u8])>, now_ms: u64) -> Option<Due> {
        let ended = self.calls.as_mut()?.answered(key, response, &self.policy, now_ms)?;
        Some(self.ended(ended, now_ms))
    }

    /// The key sets that are to be fetched now. Each must be answered with [`Gate::fetched`].
    pub fn fetches(&mut self, now_ms: u64) -> Vec<Fetch> {
        let mut issuers = std::mem::take(&mut self.wanted);
        let due = self.rings.iter_mut().enumerate().filter_map(|(id, ring)| ring.due(now_ms).then_some(IssuerId(id)));
        issuers.extend(due);
        issuers.into_iter().filter_map(|id| fetch(id, &self.policy.issuers.get(id.0)?.keys)).collect()
    }

    /// A fetch has ended: with a status and a body, or without an answer. Requests that waited for it are decided.
    pub fn fetched(
        &mut self,
        issuer: IssuerId,
        response: Option<(u32, &[u8])>,
        now_ms: u64,
    ) -> (Result<(), FetchError>, Vec<Due>) {
        let Some(ring) = self.rings.get_mut(issuer.0) else { return (Ok(()), Vec::new()) };
        let result = match response {
            Some((status, body)) => ring.fetched(status, body, now_ms).map(|_| ()),
            None => {
                ring.failed(now_ms);
                Err(FetchError::NoAnswer)
            }
        };
        if result.is_ok()
            && let Some(at_ms) = self.keys_fetched_at_ms.get_mut(issuer.0)
        {
            *at_ms = Some(now_ms);
        }
        self.tally.add(Count::KeyFetch(if result.is_ok() { "ok" } else { "failed" }));
        self.forget_tokens_of_withdrawn_keys(issuer);
        let waiting = self.waiting_for_keys();
        let mut due = Vec::with_capacity(waiting.len());
        for (context, arrival) in waiting {
            let local = self.verify(arrival, now_ms);
            due.push((context, self.advance(context, Event::Local(local), now_ms)));
        }
        (result, due)
    }

    /// Whether something waits for a deadline, so that ticks must come quickly.
    pub fn is_busy(&self) -> bool {
        self.calls.as_ref().map_or_else(|| self.desk.is_busy(), Calls::is_busy)
            || !self.fresh.is_empty()
            || self.requests.values().any(|entry| matches!(entry.request, Request::Asking(_)))
    }

    /// Whether the session service listens.
    pub fn is_connected(&self) -> bool {
        self.desk.is_connected()
    }

    /// Seconds since each issuer's keys were fetched; none for keys that were never fetched.
    pub fn key_ages_s(&self, now_ms: u64) -> impl Iterator<Item = (IssuerId, u64)> + '_ {
        let fetched = self.keys_fetched_at_ms.iter().enumerate();
        fetched.filter_map(move |(id, at_ms)| Some((IssuerId(id), now_ms.saturating_sub((*at_ms)?) / 1_000)))
    }

    /// Takes the token through cache or verification, and compares it with the rule.
    fn verify(&mut self, arrival: Arrival, now_ms: u64) -> Local {
        let digest = TokenDigest::of(&arrival.token);
        match self.tokens.get(&digest, now_ms) {
            Lookup::Hit(credential) => {
                self.tally.add(Count::Cache("hit"));
                return local::compare(&credential, &arrival, &self.policy, now_ms);
            }
            Lookup::Dead(credential) => self.desk.retire(&credential),
            Lookup::Miss => {}
        }
        if let Some(calls) = &mut self.calls
            && token::is_opaque(&arrival.token, &self.policy.issuers)
        {
            let known = calls.known(&digest);
            return Local::Introspect(Presented { arrival, known });
        }
        self.tally.add(Count::Cache("miss"));
        let rejection = match token::verify(&arrival.token, &self.policy.issuers, &self.rings, now_ms) {
            Ok(verified) => {
                let credential = Rc::new(Credential::new(verified.facts.clone(), &self.policy));
                if let Some(retired) = self.tokens.insert(digest, Entry::new(&verified, Rc::clone(&credential))) {
                    self.desk.retire(&retired);
                }
                return local::compare(&credential, &arrival, &self.policy, now_ms);
            }
            Err(rejection) => rejection,
        };
        match rejection {
            Rejection::Expired => local::refuse(Code::TokenExpired, Some(arrival.rule), None),
            Rejection::Invalid(_) => local::refuse(Code::InvalidToken, Some(arrival.rule), None),
            Rejection::UnknownKey { issuer } | Rejection::NoKeys { issuer } => self.missing(issuer, arrival, now_ms),
        }
    }

    /// A key is missing: the request waits if a fetch may bring it.
    fn missing(&mut self, issuer: IssuerId, arrival: Arrival, now_ms: u64) -> Local {
        let Some(ring) = self.rings.get_mut(issuer.0) else {
            return local::refuse(Code::InvalidToken, Some(arrival.rule), None);
        };
        // Without keys nothing can be said of the token, and the answer must not send the client for another one.
        let code = if ring.keys().is_some() { Code::InvalidToken } else { Code::KeysUnavailable };
        match ring.missing(now_ms) {
            Miss::Fetch => {
                self.wanted.push(issuer);
                Local::AwaitKeys(arrival)
            }
            Miss::Wait => Local::AwaitKeys(arrival),
            Miss::Reject if code == Code::KeysUnavailable && now_ms < arrival.deadline_ms => Local::AwaitKeys(arrival),
            Miss::Reject => local::refuse(code, Some(arrival.rule), None),
        }
    }

    /// A key that the issuer has withdrawn vouches for nothing any more.
    fn forget_tokens_of_withdrawn_keys(&mut self, issuer: IssuerId) {
        let Some(keys) = self.rings.get(issuer.0).and_then(KeyRing::keys) else { return };
        for retired in self.tokens.retain_keys(issuer, keys) {
            self.desk.retire(&retired);
        }
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
                entry.request.on(Event::NoVerdict(now_ms), &self.policy)
            };
        }
        if !matches!(entry.request, Request::Released(Some(_)))
            && let Some(id) = entry.follow.take()
        {
            self.desk.unfollow(id, context);
        }
        self.count(&step);
        if matches!(&step, Step::Release(permit) if permit.credential.is_some()) {
            self.fresh.push_back((now_ms, context));
        }
        step
    }

    fn count(&mut self, step: &Step) {
        match step {
            Step::Release(permit) => self.tally.add(match (permit.mark, &permit.credential) {
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

fn fetch(issuer: IssuerId, keys: &KeySource) -> Option<Fetch> {
    match keys {
        KeySource::Inline(_) | KeySource::Opaque => None,
        KeySource::Remote { authority, path, https, cluster, .. } => Some(Fetch {
            issuer,
            authority: authority.clone(),
            path: path.clone(),
            scheme: if *https { "https" } else { "http" },
            cluster: cluster.clone(),
        }),
    }
}

/// The route table as the service needs it; a question names its route by the index of its rule.
fn hello(policy: &Policy) -> wire::Hello {
    let owned = |names: Vec<&str>| names.into_iter().map(str::to_owned).collect();
    let routes = policy.rules.iter().map(|rule| {
        let requirement = match &rule.access {
            Access::Scopes(requirement) => Some(requirement),
            Access::Public | Access::Authenticated => None,
        };
        let any_of = requirement.into_iter().flat_map(|requirement| requirement.any_of(&policy.register));
        wire::Route {
            name: rule.name.clone(),
            all_of: requirement.map(|all| owned(all.all_of(&policy.register).collect())).unwrap_or_default(),
            any_of: any_of.map(|scopes| wire::Scopes { scopes: owned(scopes) }).collect(),
            max_age_ms: rule.limits.max_age.map(millis),
            max_idle_ms: rule.limits.max_idle.map(millis),
            background: !rule.limits.touch,
        }
    });
    wire::Hello {
        filter_version: env!("CARGO_PKG_VERSION").to_owned(),
        policy_digest: policy.digest.clone(),
        routes: routes.collect(),
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
