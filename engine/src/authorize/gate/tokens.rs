//! A request's token: through the cache, through verification, and through the time until its issuer's keys have come.

use super::{ContextId, Due, Gate};
use crate::{
    answer::Code,
    authorize::{
        local,
        principal::Principal,
        request::{Arrival, Event, Local, Presented, Request},
        tally::Count,
        token_cache::{Entry, Lookup},
    },
    policy::KeySource,
    token::{self, FetchError, IssuerId, KeyRing, Miss, Rejection, TokenDigest},
};
use std::rc::Rc;

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

    /// Seconds since each issuer's keys were fetched; none for keys that were never fetched.
    pub fn key_ages_s(&self, now_ms: u64) -> impl Iterator<Item = (IssuerId, u64)> + '_ {
        let fetched = self.keys_fetched_at_ms.iter().enumerate();
        fetched.filter_map(move |(id, at_ms)| Some((IssuerId(id), now_ms.saturating_sub((*at_ms)?) / 1_000)))
    }

    /// Takes the token through cache or verification, and compares it with the rule.
    pub(super) fn verify(&mut self, arrival: Arrival, now_ms: u64) -> Local {
        let tag = self.tokens.tag(&arrival.token);
        match self.tokens.get(&tag, now_ms) {
            Lookup::Hit(principal) => {
                self.tally.add(Count::Cache("hit"));
                return local::compare(&principal, &arrival, &self.policy, now_ms);
            }
            Lookup::Dead(principal) => self.desk.retire(&principal),
            Lookup::Miss => {}
        }
        if let Some(calls) = &mut self.calls
            && token::is_opaque(&arrival.token, &self.policy.issuers)
        {
            let known = calls.known(&TokenDigest::of(&arrival.token));
            return Local::Introspect(Presented { arrival, known });
        }
        self.tally.add(Count::Cache("miss"));
        let rejection = match token::verify(&arrival.token, &self.policy.issuers, &self.rings, self.host, now_ms) {
            Ok(verified) => {
                let principal = Rc::new(Principal::new(verified.issuer, verified.facts.clone(), &self.policy));
                if let Some(retired) = self.tokens.insert(tag, Entry::new(&verified, Rc::clone(&principal))) {
                    self.desk.retire(&retired);
                }
                return local::compare(&principal, &arrival, &self.policy, now_ms);
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
    pub(super) fn missing(&mut self, issuer: IssuerId, arrival: Arrival, now_ms: u64) -> Local {
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
    pub(super) fn forget_tokens_of_withdrawn_keys(&mut self, issuer: IssuerId) {
        let Some(keys) = self.rings.get(issuer.0).and_then(KeyRing::keys) else { return };
        for retired in self.tokens.retain_keys(issuer, keys) {
            self.desk.retire(&retired);
        }
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
