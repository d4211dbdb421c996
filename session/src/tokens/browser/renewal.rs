//! When the token of a browser is renewed. Pure.
//!
//! The next token is asked for ahead of need, when two thirds of the life of the current one are over: what is asked about meanwhile is
//! answered with the current one at once. Only when that is about to end does an answer wait for the next one.

use super::pause;
use crate::tokens::family::{Browser, Family};
use crate::tokens::rotation::Terms;

/// How much of a token's life is left when the next one is asked for: one part in so many.
const AHEAD: u64 = 3;

/// A token with less left than this, or than one part in so many of its life, is about to end: it could do so on its way.
const ENDING_MS: u64 = 1_000;
const ENDING: u64 = 10;

/// The bounds of the time after which a filter asks again while the next token is on its way.
const SOON_MS_MIN: u64 = 50;
const SOON_MS_MAX: u64 = 1_000;

/// What is held for a browser, as far as its renewal depends on it. Instants are those of the wall clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Held {
    pub(super) since_ms: u64,
    pub(super) expires_at_ms: u64,
    /// When the family ends.
    pub(super) ends_at_ms: u64,
    /// How long the family goes on without a renewal.
    pub(super) idle_ms: u64,
    /// There is a refresh token.
    pub(super) is_renewable: bool,
    /// For how long the issuer is not asked, after it has not answered.
    pub(super) paused_ms: u64,
}

/// What becomes of a redemption.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Decision {
    /// The current token is answered, and the filter asks again after so many milliseconds.
    Current(u64),
    /// The same, and the next one is asked for meanwhile.
    Due(u64),
    /// The answer waits for the next token.
    Wait,
    /// There is no good token, and the issuer is not asked now.
    Paused,
    /// There will be none.
    Over,
}

impl Held {
    /// That of a family; `paused_ms` is for how long its issuer is asked by nobody.
    pub(super) fn of(family: &Family, browser: &Browser, terms: &Terms, paused_ms: u64, now_ms: u64) -> Self {
        Self {
            since_ms: browser.since_ms,
            expires_at_ms: family.said.expires_at_ms(),
            ends_at_ms: family.ends_at_ms(terms),
            idle_ms: terms.idle_ms,
            is_renewable: family.refresh_token.is_some(),
            paused_ms: paused_ms.max(pause::left_ms(browser.retry_at_ms, now_ms)),
        }
    }

    /// Decides about a redemption.
    pub(super) fn decide(&self, now_ms: u64) -> Decision {
        if self.ends_at_ms <= now_ms {
            return Decision::Over;
        }
        let left_ms = self.left_ms(now_ms);
        let again = |in_ms: u64| {
            let at_most = left_ms.min(self.ends_at_ms.saturating_sub(now_ms));
            in_ms.min(at_most).max(SOON_MS_MIN)
        };
        if !self.is_renewable {
            return if left_ms > 0 { Decision::Current(again(left_ms)) } else { Decision::Over };
        }
        if left_ms > ENDING_MS.min(self.life_ms() / ENDING) {
            return match (self.due_at_ms().saturating_sub(now_ms), self.paused_ms) {
                (0, 0) => Decision::Due(again(soon_ms(left_ms))),
                (0, paused_ms) => Decision::Current(again(paused_ms)),
                (due_ms, _) => Decision::Current(again(due_ms)),
            };
        }
        match (self.paused_ms, left_ms) {
            (0, _) => Decision::Wait,
            (_, 0) => Decision::Paused,
            (paused_ms, _) => Decision::Current(again(paused_ms)),
        }
    }

    /// Whether the next token is wanted, and the issuer may be asked for it.
    pub(super) fn is_due(&self, now_ms: u64) -> bool {
        matches!(self.decide(now_ms), Decision::Due(_) | Decision::Wait)
    }

    /// How long the current token is good.
    pub(super) const fn left_ms(&self, now_ms: u64) -> u64 {
        self.expires_at_ms.saturating_sub(now_ms)
    }

    const fn life_ms(&self) -> u64 {
        self.expires_at_ms.saturating_sub(self.since_ms)
    }

    /// A browser that is used keeps its family, however long its tokens live.
    fn due_at_ms(&self) -> u64 {
        let life_ms = self.life_ms().min(self.idle_ms);
        self.since_ms.saturating_add(life_ms.saturating_sub(life_ms / AHEAD))
    }
}

/// When the next token is likely there, once it was asked for.
pub(super) fn soon_ms(left_ms: u64) -> u64 {
    (left_ms / 4).clamp(SOON_MS_MIN, SOON_MS_MAX)
}

#[cfg(test)]
mod orders;
#[cfg(test)]
mod tests;
