//! The filters that are connected, for operators who ask which proxies enforce which policy.

use crate::audit;
use portcullis_contract::wire::Hello;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The most of a version or a digest that is kept, in characters: a filter states them.
const TEXT_CHARS_MAX: usize = 64;

/// What is shown of a filter. Each worker of an Envoy has a check stream of its own, and so has Envoy's main thread; all of
/// them with the same address, version and policy are one filter.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Filter {
    /// The address from which its streams come.
    pub address: IpAddr,
    /// The version of the filter.
    pub version: String,
    /// The digest of its policy: SHA-256 in lower-case hex.
    pub policy_digest: String,
}

/// The streams of a filter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Streams {
    /// How many are open.
    pub count: usize,
    /// When the oldest of them said hello.
    pub since_ms: u64,
}

/// All filters that are connected.
#[derive(Debug, Default)]
pub struct Filters {
    streams: Mutex<BTreeMap<u64, (Filter, u64)>>,
    opened: AtomicU64,
}

/// An open stream; dropping it takes the stream from the list.
#[derive(Debug)]
pub struct Connected {
    filters: Arc<Filters>,
    number: u64,
}

impl Filter {
    /// A filter that has said hello.
    pub fn of(peer: Option<SocketAddr>, hello: &Hello) -> Self {
        let cut = |text: &str| text.chars().take(TEXT_CHARS_MAX).collect();
        Self {
            address: peer.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |peer| peer.ip().to_canonical()),
            version: cut(&hello.filter_version),
            policy_digest: cut(&hello.policy_digest),
        }
    }
}

impl Filters {
    /// A stream of a filter has opened.
    pub fn connect(self: &Arc<Self>, filter: Filter, now_ms: u64) -> Connected {
        let number = self.opened.fetch_add(1, Ordering::Relaxed);
        let mut streams = self.lock();
        let is_first = !has(&streams, &filter.policy_digest);
        streams.insert(number, (filter.clone(), now_ms));
        // Outside the lock: a line is written.
        drop(streams);
        if is_first {
            audit::policy_seen(&filter);
        }
        Connected { filters: Arc::clone(self), number }
    }

    /// The filters with their streams, in the order of their addresses.
    pub fn list(&self) -> BTreeMap<Filter, Streams> {
        let mut filters = BTreeMap::new();
        for (filter, since_ms) in self.lock().values() {
            let streams = filters.entry(filter.clone()).or_insert(Streams { count: 0, since_ms: *since_ms });
            streams.count += 1;
            streams.since_ms = streams.since_ms.min(*since_ms);
        }
        filters
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<u64, (Filter, u64)>> {
        self.streams.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether a filter with this policy is connected.
fn has(streams: &BTreeMap<u64, (Filter, u64)>, digest: &str) -> bool {
    streams.values().any(|(filter, _)| filter.policy_digest == digest)
}

impl Drop for Connected {
    fn drop(&mut self) {
        let mut streams = self.filters.lock();
        let gone = streams.remove(&self.number).map(|(filter, _)| filter);
        let last = gone.filter(|filter| !has(&streams, &filter.policy_digest));
        drop(streams);
        if let Some(last) = last {
            audit::policy_gone(&last);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filter(peer: &str, version: &str, digest: &str) -> Filter {
        let hello = Hello { filter_version: version.to_owned(), policy_digest: digest.to_owned(), ..Hello::default() };
        Filter::of(Some(peer.parse().unwrap()), &hello)
    }

    #[test]
    fn the_streams_of_a_proxy_are_one_filter_until_the_last_of_them_closes() {
        let filters = Arc::new(Filters::default());
        let listed = |filters: &Filters| -> Vec<_> {
            let one = |(filter, streams): (Filter, Streams)| {
                (filter.address.to_string(), filter.policy_digest, streams.count, streams.since_ms)
            };
            filters.list().into_iter().map(one).collect()
        };
        let first = filters.connect(filter("10.0.0.2:4001", "1", "old"), 7);
        let second = filters.connect(filter("10.0.0.2:4002", "1", "old"), 9);
        let replaced = filters.connect(filter("10.0.0.2:4003", "1", "new"), 11);
        let _other = filters.connect(filter("[::ffff:10.0.0.1]:4001", "1", "old"), 12);
        let address = |text: &str| text.to_owned();
        assert_eq!(
            listed(&filters),
            [
                (address("10.0.0.1"), address("old"), 1, 12),
                (address("10.0.0.2"), address("new"), 1, 11),
                (address("10.0.0.2"), address("old"), 2, 7),
            ]
        );
        drop(first);
        assert_eq!(listed(&filters)[2], (address("10.0.0.2"), address("old"), 1, 9));
        drop((second, replaced));
        assert_eq!(listed(&filters).len(), 1);
    }

    #[test]
    fn what_a_filter_states_is_cut() {
        let long = filter("10.0.0.2:4001", &"ä".repeat(1_000), &"x".repeat(1_000_000));
        assert_eq!((long.version.chars().count(), long.policy_digest.len()), (64, 64));
    }
}
