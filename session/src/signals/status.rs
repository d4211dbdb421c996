//! What has become of the signals of a transmitter since the service started.

use super::transmitter::Transmitter;
use crate::clock::rfc3339;
use serde::Serialize;
use std::sync::{Mutex, PoisonError};

/// What became of one signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It has its effects.
    Applied,
    /// It has its effects, and no session was live that they are about.
    Unmatched,
    /// It is valid, and not wanted.
    Ignored,
    /// It was received before.
    Repeated,
    /// It is about the stream itself.
    Stream,
    /// It is durable, and has no effect until somebody releases it.
    Held,
    /// It was held, and is dropped.
    Dropped,
}

impl Fate {
    /// The fate's name in logs.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Applied => "applied",
            Self::Unmatched => "unmatched",
            Self::Ignored => "ignored",
            Self::Repeated => "repeated",
            Self::Stream => "stream",
            Self::Held => "held",
            Self::Dropped => "dropped",
        }
    }
}

#[derive(Debug, Default)]
struct Seen {
    received: u64,
    refused: u64,
    applied: u64,
    unmatched: u64,
    ignored: u64,
    last_at_ms: Option<u64>,
    verified_at_ms: Option<u64>,
    refusal: Option<(u64, String)>,
    /// Why the last poll has failed, if it has.
    unpolled: Option<String>,
}

/// The status of a transmitter.
#[derive(Debug)]
pub(super) struct Status {
    started_at_ms: u64,
    seen: Mutex<Seen>,
}

impl Status {
    pub(super) fn new(now_ms: u64) -> Self {
        Self { started_at_ms: now_ms, seen: Mutex::default() }
    }

    pub(super) fn accepted(&self, fate: Fate, now_ms: u64) {
        let mut seen = self.seen();
        seen.received += 1;
        seen.last_at_ms = Some(now_ms);
        match fate {
            Fate::Applied => seen.applied += 1,
            Fate::Unmatched => seen.unmatched += 1,
            Fate::Ignored => seen.ignored += 1,
            Fate::Repeated | Fate::Stream | Fate::Held | Fate::Dropped => {}
        }
    }

    pub(super) fn refused(&self, why: &str, now_ms: u64) {
        let mut seen = self.seen();
        seen.received += 1;
        seen.refused += 1;
        seen.refusal = Some((now_ms, why.to_owned()));
    }

    /// Notes how a poll has ended; returns whether the one before had failed.
    pub(super) fn polled(&self, failure: Option<String>) -> bool {
        std::mem::replace(&mut self.seen().unpolled, failure).is_some()
    }

    pub(super) fn verified(&self, now_ms: u64) {
        self.seen().verified_at_ms = Some(now_ms);
    }

    /// How long ago a verification event arrived; without one, how long the service has run.
    pub(super) fn silent_ms(&self, now_ms: u64) -> u64 {
        now_ms.saturating_sub(self.seen().verified_at_ms.unwrap_or(self.started_at_ms))
    }

    fn seen(&self) -> std::sync::MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A transmitter as the admin API shows it. The counts are this replica's, since it started.
#[derive(Debug, Serialize)]
pub(crate) struct StatusView {
    name: String,
    kind: &'static str,
    /// Absent where it is polled.
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    issuer: Option<String>,
    tokens_of: Vec<String>,
    /// Absent where nothing is signed.
    #[serde(skip_serializing_if = "Option::is_none")]
    keys: Option<&'static str>,
    /// `ok`, or why the last poll has failed. Absent where it sends by itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    poll: Option<String>,
    /// `ok`, or how it is otherwise with the stream. Absent where it is not managed.
    #[serde(skip_serializing_if = "Option::is_none")]
    stream: Option<String>,
    /// Absent where no verification events are expected.
    #[serde(skip_serializing_if = "Option::is_none")]
    stale: Option<bool>,
    received: u64,
    applied: u64,
    unmatched: u64,
    ignored: u64,
    refused: u64,
    /// Signals that are held now, at every replica. Absent where none can be.
    #[serde(skip_serializing_if = "Option::is_none")]
    held: Option<usize>,
    /// When the oldest of them arrived.
    #[serde(skip_serializing_if = "Option::is_none")]
    held_since: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_received_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_verified_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_refusal: Option<RefusalView>,
}

#[derive(Debug, Serialize)]
struct RefusalView {
    at: String,
    reason: String,
}

impl Transmitter {
    /// Whether no verification event has arrived for too long; `None` where none is expected.
    pub(super) fn is_stale(&self, now_ms: u64) -> Option<bool> {
        let limit = self.settings.stale_after?;
        Some(u128::from(self.status.silent_ms(now_ms)) > limit.as_millis())
    }

    /// What the admin API shows. The pair is how many signals are held, and since when.
    pub(crate) fn view(&self, (held, since_ms): (usize, Option<u64>), now_ms: u64) -> StatusView {
        let settings = &self.settings;
        let seen = self.status.seen();
        let keys = self.keys.as_ref().map(|keys| if keys.are_failing() { "failing" } else { "ok" });
        let view = StatusView {
            name: settings.name.clone(),
            kind: settings.kind.as_str(),
            path: (!self.is_polled()).then(|| format!("/signals/{}", settings.name)),
            poll: self.is_polled().then(|| seen.unpolled.clone().unwrap_or_else(|| "ok".to_owned())),
            stream: self.managed.as_ref().map(|managed| managed.shown()),
            issuer: settings.signed.as_ref().map(|signed| signed.demands.issuer.clone()),
            tokens_of: settings.tokens_of.clone(),
            keys,
            stale: None,
            received: seen.received,
            applied: seen.applied,
            unmatched: seen.unmatched,
            ignored: seen.ignored,
            refused: seen.refused,
            held: (settings.hold_above.is_some() || held > 0).then_some(held),
            held_since: since_ms.map(rfc3339),
            last_received_at: seen.last_at_ms.map(rfc3339),
            last_verified_at: seen.verified_at_ms.map(rfc3339),
            last_refusal: seen.refusal.clone().map(|(at_ms, reason)| RefusalView { at: rfc3339(at_ms), reason }),
        };
        drop(seen);
        StatusView { stale: self.is_stale(now_ms), ..view }
    }
}
