//! Fetching keys: every short order of events, and the promises one by one.

use super::world::*;
use crate::token::{
    FETCH_TIMEOUT_MS, FetchError, Fetched, KEY_REFETCH_INTERVAL_MS, KEY_REFETCHES_AT_ONCE, KeyName, KeyRing,
    KeySetError, KeySource, Miss,
};
use std::time::Duration;

const REFRESH_MS: u64 = 600_000;
const START_MS: u64 = 1_000_000;

/// The largest key set, in bytes.
const BYTES_MAX: usize = 1 << 20;

fn ring() -> KeyRing {
    ring_of(REFRESH_MS)
}

fn ring_of(refresh_ms: u64) -> KeyRing {
    KeyRing::new(&KeySource::Remote {
        authority: "id.example.com".to_owned(),
        path: "/jwks".to_owned(),
        https: true,
        cluster: "id".to_owned(),
        refresh: Duration::from_millis(refresh_ms),
    })
    .unwrap()
}

fn keys() -> String {
    format!("{{\"keys\":[{}]}}", WORLD.ed.public_key().to_jwk())
}

fn other_keys() -> String {
    format!("{{\"keys\":[{}]}}", WORLD.p256.public_key().to_jwk())
}

fn kid(name: &str) -> Option<KeyName> {
    Some(KeyName::of(Some(name)))
}

/// A ring whose first fetch has just succeeded.
fn filled() -> KeyRing {
    let mut ring = ring();
    assert!(ring.due(START_MS));
    assert_eq!(ring.fetched(200, keys().as_bytes(), BYTES_MAX, START_MS), Ok(Fetched::Changed));
    ring
}

#[test]
fn keys_are_fetched_at_the_start_and_then_every_refresh() {
    let mut ring = ring();
    assert!(ring.keys().is_none());
    assert!(ring.due(START_MS));
    assert!(!ring.due(START_MS), "one is under way");
    assert_eq!(ring.fetched(200, keys().as_bytes(), BYTES_MAX, START_MS + 7), Ok(Fetched::Changed));
    assert!(ring.keys().is_some());
    assert!(!ring.due(START_MS + 7 + REFRESH_MS - 1));
    assert!(ring.due(START_MS + 7 + REFRESH_MS));
    assert_eq!(ring.fetched(200, keys().as_bytes(), BYTES_MAX, START_MS), Ok(Fetched::Same));
}

#[test]
fn a_failed_fetch_keeps_the_old_keys_and_is_tried_again_ever_later() {
    let mut ring = filled();
    let mut now_ms = START_MS + REFRESH_MS;
    for wait_ms in [1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000] {
        assert!(ring.due(now_ms));
        ring.failed(now_ms);
        assert!(ring.keys().is_some());
        assert!(!ring.due(now_ms + wait_ms - 1));
        now_ms += wait_ms;
    }
    assert!(ring.due(now_ms));
    assert!(ring.fetched(200, keys().as_bytes(), BYTES_MAX, now_ms).is_ok());
    assert!(ring.due(now_ms + REFRESH_MS));
    ring.failed(now_ms);
    assert!(ring.due(now_ms + 1_000), "a success starts the count again");
}

#[test]
fn rings_whose_fetch_fails_at_the_same_time_do_not_retry_in_step() {
    let retries = |seed, refresh_ms| {
        let (mut ring, mut now_ms, mut at_ms) = (ring_of(refresh_ms).spread(seed), START_MS, Vec::new());
        for wait_ms in [1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000].map(|ms| refresh_ms.min(ms)) {
            assert!(ring.due(now_ms));
            ring.failed(now_ms);
            assert!(!ring.due(now_ms + wait_ms / 2 - 1), "less than half of {wait_ms} ms");
            now_ms = (now_ms..=now_ms + wait_ms).find(|ms| ring.clone().due(*ms)).expect("a retry");
            at_ms.push(now_ms);
        }
        at_ms
    };
    for refresh_ms in [1_000, REFRESH_MS] {
        let all: Vec<_> = (0..10).map(|seed| retries(seed, refresh_ms)).collect();
        assert_eq!(all[3], retries(3, refresh_ms), "the seed decides");
        for (number, one) in all.iter().enumerate() {
            assert!(all[..number].iter().all(|other| other != one), "{refresh_ms} {number}");
        }
    }
}

#[test]
fn requests_that_wait_for_the_first_keys_do_not_fetch_in_step_either() {
    let first = |seed| {
        let mut ring = ring().spread(seed);
        assert!(ring.due(START_MS));
        ring.failed(START_MS);
        (START_MS..=START_MS + 1_000).find(|ms| ring.clone().missing(kid("a"), *ms) == Miss::Fetch).expect("a fetch")
    };
    let all: std::collections::BTreeSet<u64> = (0..10).map(first).collect();
    assert!(all.len() > 5 && all.iter().all(|ms| *ms >= START_MS + 500), "{all:?}");
}

#[test]
fn retries_go_on_however_often_they_fail() {
    let mut ring = ring();
    let mut now_ms = START_MS;
    for _ in 0..100 {
        assert!(ring.due(now_ms));
        ring.failed(now_ms);
        now_ms += 60_000;
    }
}

#[test]
fn only_a_sound_answer_replaces_keys() {
    let huge = " ".repeat(BYTES_MAX) + &other_keys();
    for (status, body, error) in [
        (404, other_keys(), FetchError::Status(404)),
        (301, other_keys(), FetchError::Status(301)),
        (204, String::new(), FetchError::Status(204)),
        (503, String::new(), FetchError::Status(503)),
        (0, String::new(), FetchError::Status(0)),
        (200, huge, FetchError::TooLong(BYTES_MAX)),
        (200, "{\"keys\":[]}".to_owned(), FetchError::KeySet(KeySetError::NoUsableKey(vec![]))),
    ] {
        let mut ring = filled();
        let before = ring.keys().unwrap().clone();
        let now_ms = START_MS + REFRESH_MS;
        assert!(ring.due(now_ms));
        assert_eq!(ring.fetched(status, body.as_bytes(), BYTES_MAX, now_ms), Err(error));
        assert!(ring.keys().unwrap().same_keys(&before));
        assert!(ring.due(now_ms + 1_000));
    }
}

#[test]
fn an_unknown_key_causes_a_fetch_at_once_but_not_twice_within_five_seconds() {
    let mut ring = filled();
    let now_ms = START_MS + 1;
    assert_eq!(ring.missing(kid("a"), now_ms), Miss::Fetch, "the fetch of the start does not count");
    assert_eq!(ring.missing(kid("a"), now_ms), Miss::Wait);
    assert!(!ring.due(now_ms));
    assert_eq!(ring.fetched(200, other_keys().as_bytes(), BYTES_MAX, now_ms + 50), Ok(Fetched::Changed));
    assert_eq!(ring.missing(kid("a"), now_ms + 50), Miss::Reject);
    assert_eq!(ring.missing(kid("a"), now_ms + KEY_REFETCH_INTERVAL_MS - 1), Miss::Reject);
    assert_eq!(ring.missing(kid("a"), now_ms + KEY_REFETCH_INTERVAL_MS), Miss::Fetch);
}

#[test]
fn a_key_that_was_made_up_does_not_stand_in_the_way_of_a_new_one() {
    let mut ring = filled();
    let mut now_ms = START_MS;
    for _ in 0..20 {
        // The same one over and over, as often as it causes a fetch.
        now_ms += KEY_REFETCH_INTERVAL_MS;
        assert_eq!(ring.missing(kid("made up"), now_ms), Miss::Fetch);
        assert!(ring.fetched(200, keys().as_bytes(), BYTES_MAX, now_ms).is_ok());
        assert_eq!(ring.missing(kid("made up"), now_ms), Miss::Reject);
    }
    assert_eq!(ring.missing(kid("new"), now_ms + 1), Miss::Fetch);
    assert_eq!(ring.fetched(200, other_keys().as_bytes(), BYTES_MAX, now_ms + 1), Ok(Fetched::Changed));
    assert_eq!(ring.missing(None, now_ms + 2), Miss::Reject, "nothing is missing by name");
}

#[test]
fn keys_that_were_made_up_cause_a_few_fetches_and_then_one_in_five_seconds() {
    let mut ring = filled();
    let mut fetches = |from: u64, now_ms: u64| {
        let is_fetched = |n: &u64| {
            let is_fetch = ring.missing(kid(&format!("{n}")), now_ms) == Miss::Fetch;
            assert!(!is_fetch || ring.fetched(200, keys().as_bytes(), BYTES_MAX, now_ms).is_ok());
            is_fetch
        };
        (from..from + 1_000).filter(is_fetched).count() as u64
    };
    assert_eq!(fetches(0, START_MS), KEY_REFETCHES_AT_ONCE);
    assert_eq!(fetches(1_000, START_MS + KEY_REFETCH_INTERVAL_MS - 1), 0);
    assert_eq!(fetches(2_000, START_MS + KEY_REFETCH_INTERVAL_MS), 1);
    assert_eq!(fetches(3_000, START_MS + 100 * KEY_REFETCH_INTERVAL_MS), KEY_REFETCHES_AT_ONCE, "and no more");
}

#[test]
fn an_unknown_key_waits_for_a_background_fetch_without_using_up_its_own() {
    let mut ring = filled();
    let now_ms = START_MS + REFRESH_MS;
    assert!(ring.due(now_ms));
    assert_eq!(ring.missing(kid("a"), now_ms), Miss::Wait);
    assert!(ring.fetched(200, keys().as_bytes(), BYTES_MAX, now_ms).is_ok());
    assert_eq!(ring.missing(kid("a"), now_ms), Miss::Fetch);
}

#[test]
fn without_keys_a_request_waits_for_the_fetch_and_not_for_the_retry() {
    let mut ring = ring();
    assert_eq!(ring.missing(kid("a"), START_MS), Miss::Fetch);
    assert_eq!(ring.missing(kid("a"), START_MS + 1), Miss::Wait);
    ring.failed(START_MS + 2);
    assert_eq!(ring.missing(kid("a"), START_MS + 3), Miss::Reject);
    assert_eq!(ring.missing(kid("a"), START_MS + 2 + 1_000), Miss::Fetch);
}

#[test]
fn a_request_brings_the_fetch_of_the_first_keys_forward_whatever_the_schedule_says() {
    let mut ring = ring();
    let mut now_ms = START_MS;
    // By now the schedule waits for a minute.
    for _ in 0..10 {
        assert!(ring.due(now_ms));
        ring.failed(now_ms);
        now_ms += 60_000;
    }
    let failed_ms = now_ms - 60_000;
    assert_eq!(ring.missing(kid("a"), failed_ms + 4_999), Miss::Reject);
    assert!(!ring.due(failed_ms + 4_999));
    assert_eq!(ring.missing(kid("a"), failed_ms + 5_000), Miss::Fetch);
    ring.failed(failed_ms + 5_000);
    // Many requests cause one fetch in five seconds, and the tick is enough for it.
    assert_eq!(ring.missing(kid("a"), failed_ms + 5_001), Miss::Reject);
    assert_eq!(ring.missing(kid("b"), failed_ms + 9_500), Miss::Reject);
    assert!(!ring.due(failed_ms + 9_999));
    assert!(ring.due(failed_ms + 10_000));
    ring.failed(failed_ms + 10_000);
    assert!(!ring.due(failed_ms + 69_999), "without requests the schedule holds");
    // Keys that are there are served while their issuer is away.
    let mut ring = filled();
    let mut now_ms = START_MS + REFRESH_MS;
    for _ in 0..10 {
        assert!(ring.due(now_ms));
        ring.failed(now_ms);
        now_ms += 60_000;
    }
    assert_eq!(ring.missing(None, now_ms - 50_000), Miss::Reject);
    assert!(!ring.due(now_ms - 50_000));
}

#[test]
fn a_fetch_that_never_reports_is_given_up() {
    let mut ring = ring();
    assert!(ring.due(START_MS));
    assert!(!ring.due(START_MS + FETCH_TIMEOUT_MS + 1_000));
    assert!(ring.due(START_MS + 2 * FETCH_TIMEOUT_MS));
}

#[test]
fn inline_keys_are_never_fetched() {
    let mut ring = KeyRing::new(&KeySource::Inline(keys())).unwrap();
    assert!(!ring.due(u64::MAX));
    assert_eq!(ring.missing(kid("a"), u64::MAX), Miss::Reject);
    ring.failed(0);
    assert!(ring.keys().is_some());
    assert!(KeyRing::new(&KeySource::Inline("{}".to_owned())).is_err());
}

#[derive(Debug, Clone, Copy)]
enum Event {
    Tick,
    Unknown(&'static str),
    Fetched,
    Failed,
    Second,
    FiveSeconds,
}

const EVENTS: [Event; 7] = [
    Event::Tick,
    Event::Unknown("a"),
    Event::Unknown("b"),
    Event::Fetched,
    Event::Failed,
    Event::Second,
    Event::FiveSeconds,
];

/// What an observer outside the ring knows.
#[derive(Clone)]
struct Seen {
    ring: KeyRing,
    now_ms: u64,
    under_way_since: Option<u64>,
    fetches_by_unknown: Vec<(&'static str, u64)>,
    had_keys: bool,
}

impl Seen {
    fn start(&mut self) {
        let lost = |since| self.now_ms - since >= 2 * FETCH_TIMEOUT_MS;
        assert!(self.under_way_since.is_none_or(lost), "two fetches at a time");
        self.under_way_since = Some(self.now_ms);
    }

    fn unknown(&mut self, name: &'static str, was_due: bool) {
        match self.ring.missing(kid(name), self.now_ms) {
            Miss::Fetch => {
                self.start();
                if !was_due {
                    self.fetches_by_unknown.push((name, self.now_ms));
                }
            }
            Miss::Wait => assert!(self.under_way_since.is_some(), "waits for nothing"),
            Miss::Reject => assert!(!was_due, "refuses although a fetch could help"),
        }
    }

    fn step(mut self, event: Event) -> Self {
        match event {
            Event::Tick => {
                if self.ring.due(self.now_ms) {
                    self.start();
                }
            }
            Event::Unknown(name) => {
                let was_due = self.ring.clone().due(self.now_ms);
                self.unknown(name, was_due);
            }
            Event::Fetched => {
                assert!(self.ring.fetched(200, keys().as_bytes(), BYTES_MAX, self.now_ms).is_ok());
                self.under_way_since = None;
                self.had_keys = true;
            }
            Event::Failed => {
                self.ring.failed(self.now_ms);
                self.under_way_since = None;
            }
            Event::Second => self.now_ms += 1_000,
            Event::FiveSeconds => self.now_ms += 5_000,
        }
        assert_eq!(self.ring.keys().is_some(), self.had_keys, "keys are lost");
        self
    }
}

#[test]
fn every_order_of_seven_kinds_of_event_keeps_the_promises() {
    let seen =
        Seen { ring: ring(), now_ms: START_MS, under_way_since: None, fetches_by_unknown: vec![], had_keys: false };
    let mut leaves = vec![seen];
    for _ in 0..5 {
        let after = |seen: Seen| EVENTS.map(|event| seen.clone().step(event));
        leaves = leaves.into_iter().flat_map(after).collect();
    }
    for seen in leaves {
        for name in ["a", "b"] {
            let own: Vec<u64> =
                seen.fetches_by_unknown.iter().filter(|(of, _)| *of == name).map(|(_, at)| *at).collect();
            assert!(own.windows(2).all(|gap| gap[1] - gap[0] >= KEY_REFETCH_INTERVAL_MS));
        }
    }
}
