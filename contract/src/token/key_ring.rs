//! An issuer's keys over time: when to fetch them, and what a request does that needs a key which is not there.
//!
//! Pure: the host asks [`KeyRing::due`] on its tick, sends the request, and reports what came of it. Time is passed in,
//! in milliseconds of any clock that does not go backwards.

use super::KeySource;
use super::{KEY_SET_BYTES_MAX, KeySet, KeySetError};
use std::fmt;

/// How long a fetch may take, in milliseconds: the timeout of the host's request.
pub const FETCH_TIMEOUT_MS: u64 = 5_000;
/// A fetch that has not reported after this time, in milliseconds, never will.
const FETCH_LOST_MS: u64 = 2 * FETCH_TIMEOUT_MS;
/// The shortest time between two fetches because of an unknown key, in milliseconds: tokens with made-up `kid`s must
/// not become a flood at the issuer.
pub const KEY_REFETCH_INTERVAL_MS: u64 = 5_000;
/// How long after the first failure a fetch is tried again, in milliseconds; doubles with each failure.
pub const KEY_RETRY_FIRST_MS: u64 = 1_000;
/// The longest time between two tries, in milliseconds.
pub const KEY_RETRY_LAST_MS: u64 = 60_000;

/// The keys of one issuer.
#[derive(Debug, Clone)]
pub enum KeyRing {
    /// They stand in the policy and never change.
    Inline(KeySet),
    /// They are fetched.
    Remote(Remote),
}

/// Keys that are fetched, and fetched again.
#[derive(Debug, Clone)]
pub struct Remote {
    refresh_ms: u64,
    /// Those of the last fetch that succeeded, however many have failed since.
    keys: Option<KeySet>,
    fetch: Fetch,
    /// In a row.
    failures: u32,
    /// When an unknown key last caused a fetch.
    refetched_at_ms: Option<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fetch {
    Idle { next_ms: u64 },
    UnderWay { since_ms: u64 },
}

/// What to do with a request that needs a key which is not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Miss {
    /// Start a fetch now; the request waits for it.
    Fetch,
    /// A fetch is under way; the request waits for it.
    Wait,
    /// Nothing will come in time: refuse.
    Reject,
}

/// What a fetch brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fetched {
    /// The keys that were there already.
    Same,
    /// Other keys: tokens that were verified with a key that is gone are void, see
    /// [`super::TokenCache::retain_keys`].
    Changed,
}

/// Why a fetch brought no keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FetchError {
    /// The status was not 200.
    Status(u32),
    /// Nothing came back.
    NoAnswer,
    /// The body is no key set that can be used.
    KeySet(KeySetError),
}

impl fmt::Display for FetchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoAnswer => f.write_str("no answer came"),
            Self::Status(status) => write!(f, "the answer had status {status}"),
            Self::KeySet(error) => error.fmt(f),
        }
    }
}

impl KeyRing {
    /// The ring of a key source; a remote one is due at once.
    ///
    /// # Errors
    /// When the inline key set cannot be used.
    pub fn new(source: &KeySource) -> Result<Self, KeySetError> {
        Ok(match source {
            KeySource::Inline(json) => Self::Inline(KeySet::parse(json.as_bytes())?),
            KeySource::Opaque => Self::Inline(KeySet::none()),
            KeySource::Remote { refresh, .. } => {
                let refresh_ms = u64::try_from(refresh.as_millis()).unwrap_or(u64::MAX);
                Self::Remote(Remote {
                    refresh_ms: refresh_ms.max(KEY_RETRY_FIRST_MS),
                    keys: None,
                    fetch: Fetch::Idle { next_ms: 0 },
                    failures: 0,
                    refetched_at_ms: None,
                })
            }
        })
    }

    /// The keys, if there are any yet.
    pub fn keys(&self) -> Option<&KeySet> {
        match self {
            Self::Inline(keys) => Some(keys),
            Self::Remote(remote) => remote.keys.as_ref(),
        }
    }

    /// Whether a fetch is to be started now. If so it counts as under way, and [`KeyRing::fetched`] or
    /// [`KeyRing::failed`] must follow.
    pub fn due(&mut self, now_ms: u64) -> bool {
        match self {
            Self::Inline(_) => false,
            Self::Remote(remote) => remote.due(now_ms),
        }
    }

    /// A request needs a key that is not there, or there are no keys at all. After [`Miss::Fetch`] and [`Miss::Wait`] the
    /// token is to be verified again when the fetch has ended, whether it succeeded or not; if the key is still missing,
    /// ask again: the answer comes to be [`Miss::Reject`].
    pub fn missing(&mut self, now_ms: u64) -> Miss {
        match self {
            Self::Inline(_) => Miss::Reject,
            Self::Remote(remote) => remote.missing(now_ms),
        }
    }

    /// The issuer answered.
    ///
    /// # Errors
    /// When the answer is no key set; the old keys stay, and a fetch will be tried again.
    pub fn fetched(&mut self, status: u32, body: &[u8], now_ms: u64) -> Result<Fetched, FetchError> {
        let result = read(status, body);
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

    /// The issuer could not be asked, or did not answer.
    pub fn failed(&mut self, now_ms: u64) {
        if let Self::Remote(remote) = self {
            remote.failed(now_ms);
        }
    }
}

fn read(status: u32, body: &[u8]) -> Result<KeySet, FetchError> {
    if status != 200 {
        return Err(FetchError::Status(status));
    }
    if body.len() > KEY_SET_BYTES_MAX {
        return Err(FetchError::KeySet(KeySetError::TooLong));
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

    fn missing(&mut self, now_ms: u64) -> Miss {
        if self.due(now_ms) {
            return Miss::Fetch;
        }
        match self.fetch {
            Fetch::UnderWay { .. } => Miss::Wait,
            // Without any keys every request would ask; the retries see to it.
            Fetch::Idle { .. } if self.keys.is_none() || !self.may_refetch(now_ms) => Miss::Reject,
            Fetch::Idle { .. } => {
                self.refetched_at_ms = Some(now_ms);
                self.fetch = Fetch::UnderWay { since_ms: now_ms };
                Miss::Fetch
            }
        }
    }

    fn may_refetch(&self, now_ms: u64) -> bool {
        self.refetched_at_ms.is_none_or(|at_ms| now_ms.saturating_sub(at_ms) >= KEY_REFETCH_INTERVAL_MS)
    }

    /// A callout can be lost without a word; the issuer's keys must not depend on one.
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
        self.fetch =
            Fetch::Idle { next_ms: now_ms.saturating_add(wait_ms.min(KEY_RETRY_LAST_MS).min(self.refresh_ms)) };
    }
}
