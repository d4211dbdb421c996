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
    token::{FetchError, IssuerId, KeyName, KeyRing, Miss},
};

/// The maximum number of requests that wait for keys: each holds its token.
const WAITING_MAX: usize = 4_096;

/// A key set to be fetched through an Envoy cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetch {
    /// The issuer whose keys these are.
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
        let due = self.rings.iter_mut().enumerate().filter_map(|(id, ring)| ring.due(now.0).then_some(IssuerId(id)));
        issuers.extend(due);
        issuers.into_iter().filter_map(|id| fetch(id, &self.policy.issuers.get(id.0)?.keys)).collect()
    }

    /// A fetch has ended, with a status and a body or without a response. Decides the requests that waited for it.
    pub fn fetched(
        &mut self,
        issuer: IssuerId,
        response: Option<(u32, &[u8])>,
        now: Now,
    ) -> (Result<(), FetchError>, Vec<Due>) {
        let Some(ring) = self.rings.get_mut(issuer.0) else { return (Ok(()), Vec::new()) };
        let result = match response {
            Some((status, body)) => ring.fetched(status, body, now.instant.0).map(|_| ()),
            None => {
                ring.failed(now.instant.0);
                Err(FetchError::NoAnswer)
            }
        };
        if result.is_ok()
            && let Some(at) = self.keys_fetched_at.get_mut(issuer.0)
        {
            *at = Some(now.instant);
        }
        self.tally.add(Count::KeyFetch(if result.is_ok() { FetchResult::Ok } else { FetchResult::Failed }));
        let mut due = self.forget_tokens_of_withdrawn_keys(issuer, now);
        let waiting = self.waiting_for_keys();
        due.reserve(waiting.len());
        for (context, arrival) in waiting {
            let decision = self.decide_token(arrival, now);
            due.push((context, self.advance(context, Event::Decided(decision), now)));
        }
        (result, due)
    }

    /// Seconds since each issuer's keys were fetched; omits keys that were never fetched.
    pub fn key_ages_s(&self, now: Monotonic) -> impl Iterator<Item = (IssuerId, u64)> + '_ {
        let fetched = self.keys_fetched_at.iter().enumerate();
        fetched.filter_map(move |(id, at)| Some((IssuerId(id), now.since((*at)?) / 1_000)))
    }

    /// A key of `issuer` is missing, or all of them: the request waits if a fetch can bring it.
    pub(super) fn await_keys(
        &mut self,
        issuer: IssuerId,
        name: Option<KeyName>,
        arrival: Arrival,
        now: Monotonic,
    ) -> Decision {
        let refusal = |code| Err(Denial::new(code, Some(arrival.rule)));
        let Some(ring) = self.rings.get_mut(issuer.0) else { return refusal(Code::InvalidToken) };
        // Without keys the token cannot be judged, and the answer must not make the client fetch another one.
        let code = if ring.keys().is_some() { Code::InvalidToken } else { Code::KeysUnavailable };
        if self.waiting.len() >= WAITING_MAX {
            return refusal(Code::KeysUnavailable);
        }
        match ring.missing(name, now.0) {
            Miss::Fetch => self.wanted.push(issuer),
            Miss::Wait => {}
            Miss::Reject if code == Code::KeysUnavailable && now < arrival.deadline => {}
            Miss::Reject => return refusal(code),
        }
        Ok(Next::AwaitKeys(arrival))
    }

    /// A withdrawn key no longer vouches for any token: neither for cached tokens nor for open requests.
    pub(super) fn forget_tokens_of_withdrawn_keys(&mut self, issuer: IssuerId, now: Now) -> Vec<Due> {
        let Some(keys) = self.rings.get(issuer.0).and_then(KeyRing::keys) else { return Vec::new() };
        let void = self.tokens.retain_keys(issuer, keys);
        let open = self.follows.of_withdrawn_keys(issuer, keys);
        void.iter().for_each(|retired| self.retire(retired));
        let mut due = Vec::new();
        let contexts: Vec<ContextId> = open.into_iter().flat_map(|id| self.follows.end(id)).collect();
        for context in contexts {
            due.push((context, self.advance(context, Event::Overdue(Code::InvalidToken), now)));
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
