//! What webhooks are to be told about requests for access. A notice is a part of its request until it is delivered: it is on
//! disk with the change that it is about, and a restart or another replica goes on with it. Pure.

use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::hash::{BuildHasher, Hasher, RandomState};

/// How long nobody else tries a notice that somebody tries, in milliseconds. Longer than an attempt can take.
pub const CLAIMED_MS: u64 = 60_000;

/// How long a notice waits after its first failure. Each further one doubles it, up to the longest time.
const WAIT_MS_MIN: u64 = 5_000;
const WAIT_MS_MAX: u64 = 3_600_000;

/// The attempts after which a notice is given up: after about a day.
pub const ATTEMPTS_MAX: u32 = 33;

/// Notices of one webhook that wait at most.
pub const WAITING_MAX: usize = 10_000;

/// How often somebody is reminded of a review that is open, in milliseconds.
pub const REMIND_MS: u64 = 24 * 60 * 60 * 1_000;

/// The longest error that is kept, in bytes.
const ERROR_BYTES_MAX: usize = 256;

/// What a webhook is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// Somebody asks for access, or an escalation was refused that somebody can approve.
    ApprovalRequested,
    /// A step of a request was approved, and another one waits.
    ApprovalStep,
    /// A request was approved, denied or cancelled, or nobody decided it in time.
    ApprovalDecided,
    /// A grant has ended.
    GrantEnded,
    /// Somebody took access in an emergency.
    BreakGlass,
    /// The review of an emergency has been open for another day.
    ReviewOpen,
    /// Somebody closed the review of an emergency.
    ReviewClosed,
}

impl Event {
    /// Every event.
    pub const ALL: [Self; 7] = [
        Self::ApprovalRequested,
        Self::ApprovalStep,
        Self::ApprovalDecided,
        Self::GrantEnded,
        Self::BreakGlass,
        Self::ReviewOpen,
        Self::ReviewClosed,
    ];

    /// Its name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ApprovalRequested => "approval_requested",
            Self::ApprovalStep => "approval_step",
            Self::ApprovalDecided => "approval_decided",
            Self::GrantEnded => "grant_ended",
            Self::BreakGlass => "break_glass",
            Self::ReviewOpen => "review_open",
            Self::ReviewClosed => "review_closed",
        }
    }

    /// The event with that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|event| event.as_str() == name)
    }
}

/// Which notice of which request: what stays the same over all attempts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    /// The id of the request.
    pub request: String,
    /// The name of the webhook.
    pub webhook: String,
    /// What has happened.
    pub event: Event,
    /// When.
    pub at_ms: u64,
}

impl Key {
    /// The id of its message: the same for every attempt and every webhook.
    pub fn id(&self) -> String {
        format!("msg_{}_{}_{:x}", self.request, self.event.as_str(), self.at_ms)
    }
}

/// A notice that is not delivered. Times are milliseconds since the epoch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice {
    /// The name of the webhook.
    pub webhook: String,
    /// What has happened.
    pub event: Event,
    /// When.
    pub at_ms: u64,
    /// How often it was tried.
    pub attempts: u32,
    /// When it is tried next.
    pub next_at_ms: u64,
    /// What became of the last attempt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// It is not tried any more.
    #[serde(default)]
    pub given_up: bool,
}

impl Notice {
    /// A new one. Until it is claimed by another, only the replica that has made it tries it.
    pub fn new(webhook: &str, event: Event, now_ms: u64) -> Self {
        Self {
            webhook: webhook.to_owned(),
            event,
            at_ms: now_ms,
            attempts: 0,
            next_at_ms: now_ms.saturating_add(CLAIMED_MS),
            error: None,
            given_up: false,
        }
    }

    /// Which it is among those of its request.
    pub fn key(&self, request: &str) -> Key {
        let Self { webhook, event, at_ms, .. } = self;
        Key { request: request.to_owned(), webhook: webhook.clone(), event: *event, at_ms: *at_ms }
    }

    /// Whether both are the same one, whatever has become of it.
    pub fn is_same_as(&self, other: &Self) -> bool {
        self.webhook == other.webhook && self.event == other.event && self.at_ms == other.at_ms
    }

    fn is(&self, key: &Key) -> bool {
        self.webhook == key.webhook && self.event == key.event && self.at_ms == key.at_ms
    }
}

/// What becomes of a notice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Noticing {
    /// Somebody is about to try it, who has seen this many attempts.
    Claim(Key, u32),
    /// It was delivered.
    Delivered(Key),
    /// This attempt failed, and why.
    Failed(Key, u32, String),
}

impl Noticing {
    /// Which notice.
    pub const fn key(&self) -> &Key {
        match self {
            Self::Claim(key, _) | Self::Delivered(key) | Self::Failed(key, ..) => key,
        }
    }

    /// Changes the notices of the request; returns whether it has changed them.
    pub fn make(&self, notices: &mut Vec<Notice>, now_ms: u64) -> bool {
        let Some(at) = notices.iter().position(|notice| notice.is(self.key())) else { return false };
        match self {
            Self::Delivered(_) => drop(notices.remove(at)),
            Self::Claim(_, seen) => {
                let unclaimed = |notice: &&mut Notice| notice.attempts == *seen && !notice.given_up;
                let Some(notice) = notices.get_mut(at).filter(unclaimed) else { return false };
                notice.attempts += 1;
                notice.next_at_ms = now_ms.saturating_add(CLAIMED_MS);
            }
            Self::Failed(_, attempt, error) => {
                let Some(notice) = notices.get_mut(at) else { return false };
                notice.attempts = notice.attempts.max(*attempt);
                notice.error =
                    Some(error.get(..error.floor_char_boundary(ERROR_BYTES_MAX)).unwrap_or_default().to_owned());
                notice.given_up = notice.attempts >= ATTEMPTS_MAX;
                notice.next_at_ms = now_ms.saturating_add(wait_ms(notice.attempts));
            }
        }
        true
    }
}

/// How long to wait after so many failures: at most a fifth more or less than twice as long as the time before.
pub fn wait_ms(failures: u32) -> u64 {
    let doubled = WAIT_MS_MIN.saturating_mul(1 << failures.saturating_sub(1).min(20)).min(WAIT_MS_MAX);
    // The standard library seeds its hashers at random.
    let spread = RandomState::new().build_hasher().finish() % (doubled * 2 / 5 + 1);
    doubled - doubled / 5 + spread
}

/// Who is told what: each webhook with the events that it wants; `None`: all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Subscribers(pub Vec<(String, Option<BTreeSet<Event>>)>);

impl Subscribers {
    /// Who is told of an event: those that want it, and the one that is named.
    pub fn of<'s>(&'s self, event: Event, named: Option<&'s str>) -> impl Iterator<Item = &'s str> {
        let wants =
            move |events: &Option<BTreeSet<Event>>| events.as_ref().is_none_or(|events| events.contains(&event));
        let told = self.0.iter().filter(move |(name, events)| named == Some(&**name) || wants(events));
        told.map(|(name, _)| &**name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const T0: u64 = 1_700_000_000_123;

    fn notice() -> (Vec<Notice>, Key) {
        let notice = Notice::new("ops", Event::BreakGlass, T0);
        let key = notice.key("r");
        (vec![Notice::new("ops", Event::GrantEnded, T0), notice], key)
    }

    #[test]
    fn the_names_of_events_are_their_own() {
        for event in Event::ALL {
            assert_eq!(Event::named(event.as_str()), Some(event));
            assert_eq!(serde_json::to_string(&event).unwrap(), format!("\"{}\"", event.as_str()));
        }
    }

    #[test]
    fn of_two_who_claim_a_notice_one_gets_it() {
        let (mut notices, key) = notice();
        let claim = Noticing::Claim(key, 0);
        assert!(claim.make(&mut notices, T0) && !claim.make(&mut notices, T0 + 1));
        assert_eq!((notices[1].attempts, notices[1].next_at_ms, notices[0].attempts), (1, T0 + CLAIMED_MS, 0));
    }

    #[test]
    fn a_delivered_notice_is_gone_and_nothing_more_becomes_of_it() {
        let (mut notices, key) = notice();
        assert!(Noticing::Delivered(key.clone()).make(&mut notices, T0));
        assert_eq!(notices.len(), 1);
        for late in [Noticing::Claim(key.clone(), 0), Noticing::Failed(key.clone(), 1, String::new())] {
            assert!(!late.make(&mut notices, T0));
        }
    }

    #[test]
    fn a_notice_that_fails_is_tried_for_a_day_and_then_given_up() {
        let (mut notices, key) = notice();
        let (mut now_ms, mut attempts) = (T0, 0);
        while !notices[1].given_up {
            attempts += 1;
            assert!(Noticing::Failed(key.clone(), attempts, "x".repeat(1_000)).make(&mut notices, now_ms));
            let next_at_ms = notices[1].next_at_ms;
            assert!(next_at_ms > now_ms && next_at_ms - now_ms <= WAIT_MS_MAX * 6 / 5, "{next_at_ms}");
            now_ms = next_at_ms;
        }
        let hours = (now_ms - T0) / 3_600_000;
        assert!((18..=30).contains(&hours) && attempts == ATTEMPTS_MAX, "{hours} h, {attempts} attempts");
        assert_eq!(notices[1].error.as_ref().unwrap().len(), ERROR_BYTES_MAX);
        assert!(!Noticing::Claim(key, ATTEMPTS_MAX).make(&mut notices, now_ms), "nobody claims it any more");
    }

    #[test]
    fn the_time_between_attempts_doubles_within_a_fifth() {
        for (failures, expected) in
            [(0, 5_000), (1, 5_000), (2, 10_000), (5, 80_000), (11, 3_600_000), (u32::MAX, 3_600_000)]
        {
            for _ in 0..50 {
                let wait = wait_ms(failures);
                assert!((expected * 4 / 5..=expected * 6 / 5).contains(&wait), "{failures}: {wait}");
            }
        }
    }

    #[test]
    fn a_webhook_is_told_what_it_wants_and_what_names_it() {
        let only = |events: &[Event]| Some(events.iter().copied().collect());
        let subscribers = Subscribers(vec![
            ("all".to_owned(), None),
            ("some".to_owned(), only(&[Event::GrantEnded])),
            ("none".to_owned(), only(&[])),
        ]);
        let told = |event, named| subscribers.of(event, named).collect::<Vec<_>>();
        assert_eq!(told(Event::GrantEnded, None), ["all", "some"]);
        assert_eq!(told(Event::BreakGlass, None), ["all"]);
        assert_eq!(told(Event::BreakGlass, Some("none")), ["all", "none"]);
        assert_eq!(told(Event::BreakGlass, Some("unknown")), ["all"]);
    }
}
