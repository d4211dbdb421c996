//! An issuer's keys over time: when to fetch them, and what a request does when its key is missing.
//!
//! No I/O: the host calls [`KeyRing::due`] on its tick, sends the request, and reports the result. Time is an argument,
//! in milliseconds of any monotonic clock.

mod refetch;

use super::KeySource;
use super::{KeySet, KeySetError};
use crate::Jitter;
use refetch::Refetches;
pub use refetch::{KEY_REFETCH_INTERVAL_MS, KEY_REFETCHES_AT_ONCE, KeyName};
use std::{fmt, time::Duration};

/// The timeout of a fetch in milliseconds.
pub const FETCH_TIMEOUT_MS: u64 = 5_000;
/// A fetch without a result after this time, in milliseconds, counts as lost.
const FETCH_LOST_MS: u64 = 2 * FETCH_TIMEOUT_MS;
/// The delay before the first retry of a failed fetch, in milliseconds; it doubles with each failure, and is shortened by up
/// to a half. While a request waits for the issuer's first keys, it grows to [`KEY_REFETCH_INTERVAL_MS`] only.
pub const KEY_RETRY_FIRST_MS: u64 = 1_000;
/// The maximum delay between two retries, in milliseconds.
pub const KEY_RETRY_LAST_MS: u64 = 60_000;

/// The keys of one issuer.
#[derive(Debug, Clone)]
pub enum KeyRing {
    /// They are part of the policy and never change.
    Inline(KeySet),
    /// They are fetched.
    Remote(Remote),
}

/// Keys that are fetched and regularly refetched.
#[derive(Debug, Clone)]
pub struct Remote {
    refresh_ms: u64,
    /// The keys of the last successful fetch; later failures do not discard them.
    keys: Option<KeySet>,
    fetch: Fetch,
    /// Consecutive failures.
    failures: u32,
    /// When a request that finds no keys at all can cause the next fetch, whatever the schedule says.
    on_demand_ms: u64,
    /// Fetches that missing keys have caused; those of the schedule do not count.
    refetches: Refetches,
    jitter: Jitter,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fetch {
    Idle { next_ms: u64 },
    UnderWay { since_ms: u64 },
}

/// What to do with a request whose key is missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Miss {
    /// Start a fetch now; the request waits for it.
    Fetch,
    /// A fetch is under way; the request waits for it.
    Wait,
    /// No fetch will bring the key in time: refuse the request.
    Reject,
}

/// What a fetch returned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fetched {
    /// The same keys as before.
    Same,
    /// Other keys: tokens that were verified with a removed key are no longer valid.
    Changed,
}

/// Why a fetch returned no keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FetchError {
    /// The status was not 200.
    Status(u32),
    /// There was no response.
    NoAnswer,
    /// The body has more bytes than the policy allows.
    TooLong(usize),
    /// The body is not a usable key set.
    KeySet(KeySetError),
}

impl fmt::Display for FetchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoAnswer => f.write_str("there was no response"),
            Self::Status(status) => write!(f, "the response had status {status}"),
            Self::TooLong(bytes_max) => {
                write!(f, "the key set is longer than {bytes_max} bytes (`limits.key_set_bytes`)")
            }
            Self::KeySet(error) => error.fmt(f),
        }
    }
}

impl KeyRing {
    /// The key ring of a key source; a remote one is due immediately.
    ///
    /// # Errors
    /// The inline key set is unusable.
    pub fn new(source: &KeySource) -> Result<Self, KeySetError> {
        Ok(match source {
            KeySource::Inline(json) => Self::Inline(KeySet::parse(json.as_bytes())?),
            KeySource::Opaque => Self::Inline(KeySet::none()),
            KeySource::Remote { refresh, .. } => Self::Remote(Remote {
                refresh_ms: refresh_ms(*refresh),
                keys: None,
                fetch: Fetch::Idle { next_ms: 0 },
                failures: 0,
                on_demand_ms: 0,
                refetches: Refetches::default(),
                jitter: Jitter::default(),
            }),
        })
    }

    /// Spreads the retries by a seed: an issuer that was away must not be met by all who use its keys at once.
    #[must_use]
    pub fn spread(mut self, seed: u64) -> Self {
        if let Self::Remote(remote) = &mut self {
            remote.jitter = Jitter::new(seed);
        }
        self
    }

    /// Fetches the keys at least this often.
    pub(super) fn refresh_within(&mut self, refresh: Duration) {
        if let Self::Remote(remote) = self {
            remote.refresh_ms = remote.refresh_ms.min(refresh_ms(refresh));
        }
    }

    /// Whether the last fetch failed: the issuer may use keys by now that the ring does not have.
    pub const fn is_failing(&self) -> bool {
        matches!(self, Self::Remote(remote) if remote.failures > 0)
    }

    /// The current keys, if any.
    pub fn keys(&self) -> Option<&KeySet> {
        match self {
            Self::Inline(keys) => Some(keys),
            Self::Remote(remote) => remote.keys.as_ref(),
        }
    }

    /// Whether to start a fetch now. If so, it counts as started, and [`KeyRing::fetched`] or [`KeyRing::failed`] must
    /// follow.
    pub fn due(&mut self, now_ms: u64) -> bool {
        match self {
            Self::Inline(_) => false,
            Self::Remote(remote) => remote.due(now_ms),
        }
    }

    /// Called when a request needs a key that is missing, or that may have been replaced; `None` when there are no keys
    /// at all. After [`Miss::Fetch`] and
    /// [`Miss::Wait`], verify the token again once the fetch has ended, successfully or not. If the key is still
    /// missing, call this again: it eventually returns [`Miss::Reject`].
    pub fn missing(&mut self, name: Option<KeyName>, now_ms: u64) -> Miss {
        match self {
            Self::Inline(_) => Miss::Reject,
            Self::Remote(remote) => remote.missing(name, now_ms),
        }
    }

    /// The issuer responded. Its body may have `bytes_max` bytes.
    ///
    /// # Errors
    /// The response is not a key set, or too long; the old keys remain, and the fetch is retried.
    pub fn fetched(&mut self, status: u32, body: &[u8], bytes_max: usize, now_ms: u64) -> Result<Fetched, FetchError> {
        let result = read(status, body, bytes_max);
        match self {
            Self::Inline(_) => result.map(|_| Fetched::Same),
            Self::Remote(remote) => match result {
                Ok(keys) => Ok(remote.replace(keys, now_ms)),
                Err(error) => {
                    remote.failed(now_ms);
                    Err(error)
                }
            },
        }
    }

    /// The fetch could not be sent, or got no response.
    pub fn failed(&mut self, now_ms: u64) {
        if let Self::Remote(remote) = self {
            remote.failed(now_ms);
        }
    }
}

fn refresh_ms(refresh: Duration) -> u64 {
    u64::try_from(refresh.as_millis()).unwrap_or(u64::MAX).max(KEY_RETRY_FIRST_MS)
}

fn read(status: u32, body: &[u8], bytes_max: usize) -> Result<KeySet, FetchError> {
    if status != 200 {
        return Err(FetchError::Status(status));
    }
    if body.len() > bytes_max {
        return Err(FetchError::TooLong(bytes_max));
    }
    KeySet::parse(body).map_err(FetchError::KeySet)
}

impl Remote {
    fn due(&mut self, now_ms: u64) -> bool {
        self.give_up_on_lost(now_ms);
        match self.fetch {
            Fetch::Idle { next_ms } if now_ms >= next_ms => {
                self.fetch = Fetch::UnderWay { since_ms: now_ms };
                true
            }
            _ => false,
        }
    }

    fn missing(&mut self, name: Option<KeyName>, now_ms: u64) -> Miss {
        // Nobody can be let in before there are keys: the first of them are not worth a growing delay.
        if let (Fetch::Idle { next_ms }, None) = (self.fetch, &self.keys) {
            self.fetch = Fetch::Idle { next_ms: next_ms.min(self.on_demand_ms) };
        }
        if self.due(now_ms) {
            return Miss::Fetch;
        }
        match self.fetch {
            Fetch::UnderWay { .. } => Miss::Wait,
            // The fetch for which the request brought the schedule forward is yet to come.
            Fetch::Idle { .. } if self.keys.is_none() => Miss::Reject,
            Fetch::Idle { .. } if name.is_some_and(|name| self.refetches.admit(name, now_ms)) => {
                self.fetch = Fetch::UnderWay { since_ms: now_ms };
                Miss::Fetch
            }
            Fetch::Idle { .. } => Miss::Reject,
        }
    }

    /// A callout can be lost without any callback; the issuer's keys must not depend on it.
    fn give_up_on_lost(&mut self, now_ms: u64) {
        if let Fetch::UnderWay { since_ms } = self.fetch
            && now_ms.saturating_sub(since_ms) >= FETCH_LOST_MS
        {
            self.fetch = Fetch::Idle { next_ms: now_ms };
        }
    }

    fn replace(&mut self, keys: KeySet, now_ms: u64) -> Fetched {
        let same = self.keys.as_ref().is_some_and(|old| old.same_keys(&keys));
        self.keys = Some(keys);
        self.failures = 0;
        self.fetch = Fetch::Idle { next_ms: now_ms.saturating_add(self.refresh_ms) };
        if same { Fetched::Same } else { Fetched::Changed }
    }

    fn failed(&mut self, now_ms: u64) {
        let doubled = 2u64.saturating_pow(self.failures);
        let wait_ms = KEY_RETRY_FIRST_MS.saturating_mul(doubled);
        self.failures = self.failures.saturating_add(1);
        let on_demand_ms = self.jitter.shorten(wait_ms.min(KEY_REFETCH_INTERVAL_MS));
        let next_ms = self.jitter.shorten(wait_ms.min(KEY_RETRY_LAST_MS).min(self.refresh_ms));
        self.on_demand_ms = now_ms.saturating_add(on_demand_ms);
        self.fetch = Fetch::Idle { next_ms: now_ms.saturating_add(next_ms) };
    }
}
