//! The issuers' keys: fetching them, waiting for them, and withdrawing them.

use super::{ContextId, Due, Gate};
use crate::{
    answer::Code,
    authorize::{
        question::Arrival,
        request::{Decision, Denial, Event, Next, Request},
        tally::{Count, FetchResult},
    },
    policy::KeySource,
    time::{Monotonic, Now},
    token::{FetchError, Fetched, IssuerId, KeyName, Miss, Reason, Rejection},
};

/// The maximum memory for the tokens of requests that wait for keys, in bytes.
const WAITING_BYTES_MAX: usize = 64 << 20;

/// The maximum number of requests that wait for keys: all of them are decided in the callback that brings the keys.
const WAITING_MAX: usize = 4_096;

/// The same for tokens whose signature is wrong under a known key. Anybody can make them, and a key is seldom replaced under
/// its name.
const WRONG_KEY_WAITING_MAX: usize = 64;

/// The maximum number of fetches that one callback starts: a policy can have a thousand issuers.
const FETCHES_AT_ONCE: usize = 32;

/// A key set to be fetched through an Envoy cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetch {
    /// The issuer whose keys these are, or the first of several that share them.
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
    /// The key sets to fetch now. [`Gate::fetched`] must follow each.
    pub fn fetches(&mut self, now: Monotonic) -> Vec<Fetch> {
        let mut issuers = std::mem::take(&mut self.wanted);
        issuers.extend(self.rings.due(FETCHES_AT_ONCE, now.0));
        issuers.into_iter().filter_map(|id| fetch(id, &self.policy.issuers.get(id.0)?.keys)).collect()
    }

    /// A fetch has ended, with a status and a body or without a response. Decides the requests that waited for it.
    pub fn fetched(
        &mut self,
        issuer: IssuerId,
        response: Option<(u32, &[u8])>,
        now: Now,
    ) -> (Result<(), FetchError>, Vec<Due>) {
        let Some(ring) = self.rings.ring_mut(issuer) else { return (Ok(()), Vec::new()) };
        let result = match response {
            Some((status, body)) => ring.fetched(status, body, self.policy.limits.key_set_bytes, now.instant.0),
            None => {
                ring.failed(now.instant.0);
                Err(FetchError::NoAnswer)
            }
        };
        self.tally.add(Count::KeyFetch(if result.is_ok() { FetchResult::Ok } else { FetchResult::Failed }));
        if result.is_ok() {
            let ages = self.keys_fetched_at.iter_mut().enumerate();
            ages.filter(|(other, _)| self.rings.is_shared(issuer, IssuerId(*other)))
                .for_each(|(_, at)| *at = Some(now.instant));
        }
        let mut due = match result {
            Ok(Fetched::Changed) => self.forget_tokens_of_withdrawn_keys(issuer, now),
            Ok(Fetched::Same) | Err(_) => Vec::new(),
        };
        let waiting = self.waiting_for_keys();
        due.reserve(waiting.len());
        for (context, arrival) in waiting {
            let decision = self.decide_token(arrival, now);
            due.push((context, self.advance(context, Event::Decided(decision), now)));
        }
        (result.map(|_| ()), due)
    }

    /// Seconds since each issuer's keys were fetched; omits keys that were never fetched.
    pub fn key_ages_s(&self, now: Monotonic) -> impl Iterator<Item = (IssuerId, u64)> + '_ {
        let fetched = self.keys_fetched_at.iter().enumerate();
        fetched.filter_map(move |(id, at)| Some((IssuerId(id), now.since((*at)?) / 1_000)))
    }

    /// A token is refused for its key: the key is missing or may have been replaced (`name`), or there are no keys at all.
    /// The request waits if a fetch can help.
    pub(super) fn await_keys(
        &mut self,
        rejection: Rejection,
        issuer: IssuerId,
        name: Option<KeyName>,
        arrival: Arrival,
        now: Monotonic,
    ) -> Decision {
        let unavailable = Denial::new(Code::KeysUnavailable, Some(arrival.rule));
        if matches!(rejection, Rejection::WrongKey { .. }) && self.waiting.len() >= WRONG_KEY_WAITING_MAX {
            return Err(self.refuse_token(rejection, &arrival));
        }
        if self.waiting.len() >= WAITING_MAX.min(WAITING_BYTES_MAX / self.policy.limits.token_bytes.max(1)) {
            return Err(unavailable);
        }
        let Some(ring) = self.rings.ring_mut(issuer) else { return Err(unavailable) };
        match (ring.missing(name, now.0), rejection) {
            (Miss::Fetch, _) => self.wanted.push(issuer),
            (Miss::Wait, _) => {}
            // The retry may come in time.
            (Miss::Reject, Rejection::NoKeys { .. }) if now < arrival.deadline => {}
            // The key may be one that the issuer uses by now. A 401 would make the client fetch another token in vain.
            (Miss::Reject, Rejection::UnknownKey { .. }) if ring.is_failing() => return Err(unavailable),
            (Miss::Reject, _) => return Err(self.refuse_token(rejection, &arrival)),
        }
        Ok(Next::AwaitKeys(arrival))
    }

    /// A withdrawn key no longer vouches for any token: neither for cached tokens nor for open requests.
    pub(super) fn forget_tokens_of_withdrawn_keys(&mut self, issuer: IssuerId, now: Now) -> Vec<Due> {
        let Some(keys) = self.rings.keys(issuer) else { return Vec::new() };
        let is_of = |other| self.rings.is_shared(issuer, other);
        let void = self.tokens.retain_keys(is_of, keys);
        let open = self.follows.of_withdrawn_keys(is_of, keys);
        void.iter().for_each(|retired| self.retire(retired));
        let mut due = Vec::new();
        let contexts: Vec<ContextId> = open.into_iter().flat_map(|id| self.follows.end(id)).collect();
        for context in contexts {
            due.push((context, self.advance(context, Event::Overdue(Reason::Key.into()), now)));
        }
        due
    }

    pub(super) fn waiting_for_keys(&self) -> Vec<(ContextId, Arrival)> {
        let requests = self.waiting.iter().filter_map(|context| Some((*context, self.requests.get(context)?)));
        let waiting = requests.filter_map(|(context, entry)| match &entry.request {
            Request::Asking(arrival) => Some((context, arrival.clone())),
            _ => None,
        });
        waiting.collect()
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
