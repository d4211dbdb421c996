//! What becomes of a handle that is shown: asked about at the issuer, answered as before, or taken for stolen. Pure.
//!
//! A family has one current handle. Its use makes the next one; the one before it is good for the same answer once more while
//! the retry window is open, because an answer can be lost and a client can ask twice at a time. Whatever is older was used by
//! somebody who has no right to it, or belongs to somebody whose handle another one uses: the family ends (RFC 9700, section
//! 4.14.2).
//!
//! Before the issuer is asked, the intent is on disk. It keeps two replicas from asking with the same refresh token, and says
//! after a kill that the issuer may have been asked.

use super::handle::HandleDigest;
use serde::{Deserialize, Serialize};

/// How long an intent holds for others: longer than the issuer can take.
pub(super) const ASKING_MS_MAX: u64 = 15_000;

/// How long before the start of a process an answer can have been made that its successor gives once more, however long the retry
/// window is: a service that is away for longer costs the logins that it was refreshing when it died.
const AWAY_MS_MAX: u64 = 60 * 60 * 1_000;

/// The times of the configuration, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Terms {
    pub(super) retry_window_ms: u64,
    pub(super) idle_ms: u64,
    pub(super) absolute_ms: u64,
}

/// Who decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Process {
    /// Tells this run of it from every other one.
    pub(super) run: u64,
    /// When it began.
    pub(super) started_at_ms: u64,
    /// Nobody else uses its store: what another run was about to do, nobody does any more.
    pub(super) is_alone: bool,
}

/// An intent: the issuer is asked, or may have been.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Asking {
    pub(super) attempt: u64,
    pub(super) run: u64,
    pub(super) since_ms: u64,
}

/// The handles of a family.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Rotation {
    /// That of the current handle.
    pub(super) generation: u64,
    pub(super) current: HandleDigest,
    /// The one before it.
    pub(super) previous: Option<HandleDigest>,
    /// When the current one was made.
    pub(super) rotated_at_ms: u64,
    pub(super) opened_at_ms: u64,
    pub(super) asking: Option<Asking>,
}

/// A handle that is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Shown {
    pub(super) generation: u64,
    pub(super) digest: HandleDigest,
    /// It was made here.
    pub(super) is_genuine: bool,
}

/// What becomes of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Decision {
    /// It is the current one: the issuer is asked, once the intent is on disk.
    Ask,
    /// Its answer is given once more.
    Repeat,
    /// Somebody else is asking the issuer, until then at the latest.
    Wait(u64),
    /// It was used before, by somebody else or for somebody else.
    Reuse,
    /// The family is over: nobody has used it for too long, or it is too old.
    Expired,
    /// It is not a handle of this family: made up, or from before the store was put back.
    Unknown,
}

impl Rotation {
    /// That of a family that begins.
    pub(super) const fn new(current: HandleDigest, now_ms: u64) -> Self {
        Self { generation: 0, current, previous: None, rotated_at_ms: now_ms, opened_at_ms: now_ms, asking: None }
    }

    /// Decides about a handle.
    pub(super) fn decide(&self, shown: Shown, terms: &Terms, process: Process, now_ms: u64) -> Decision {
        let place = self.place(shown);
        if place != Place::Foreign && self.ends_at_ms(terms) <= now_ms {
            return Decision::Expired;
        }
        match place {
            Place::Current => match self.asking {
                // Of this run, nobody asks any more: whoever did would hold the family.
                Some(asking) if asking.is_others(process) && now_ms < asking.until_ms() => {
                    Decision::Wait(asking.until_ms())
                }
                Some(_) | None => Decision::Ask,
            },
            Place::Previous if now_ms < self.retry_until_ms(terms, process) => Decision::Repeat,
            Place::Previous | Place::Older => Decision::Reuse,
            Place::Foreign => Decision::Unknown,
        }
    }

    /// Whether a handle is of this family. One that is not was made up, or is from before the store was put back.
    pub(super) fn knows(&self, shown: Shown) -> bool {
        self.place(shown) != Place::Foreign
    }

    /// Which of the family's handles it is.
    fn place(&self, shown: Shown) -> Place {
        if shown.digest == self.current {
            Place::Current
        } else if Some(shown.digest) == self.previous {
            Place::Previous
        } else if shown.is_genuine && shown.generation < self.generation.saturating_sub(1) {
            Place::Older
        } else {
            Place::Foreign
        }
    }

    /// Until when the handle before the current one is good for the same answer. A process that was killed before its answer had
    /// left has its successor give it: for that one, the window opens with its start.
    fn retry_until_ms(&self, terms: &Terms, process: Process) -> u64 {
        let is_inherited = process.started_at_ms.saturating_sub(self.rotated_at_ms) <= AWAY_MS_MAX;
        let opened_at_ms = if is_inherited { process.started_at_ms } else { 0 }.max(self.rotated_at_ms);
        opened_at_ms.saturating_add(terms.retry_window_ms)
    }

    /// When the family ends if nobody uses it.
    pub(super) fn ends_at_ms(&self, terms: &Terms) -> u64 {
        let idle_ms = self.rotated_at_ms.saturating_add(terms.idle_ms);
        idle_ms.min(self.opened_at_ms.saturating_add(terms.absolute_ms))
    }

    /// The issuer is about to be asked.
    pub(super) const fn begin(&mut self, attempt: u64, process: Process, now_ms: u64) {
        self.asking = Some(Asking { attempt, run: process.run, since_ms: now_ms });
    }

    /// The issuer has answered: the next handle is the current one. `false`: another attempt has taken the place of this one,
    /// and nothing changes.
    pub(super) fn settle(&mut self, attempt: u64, next: HandleDigest, now_ms: u64) -> bool {
        if !self.is_attempt(attempt) {
            return false;
        }
        self.previous = Some(self.current);
        self.current = next;
        self.generation = self.generation.saturating_add(1);
        self.rotated_at_ms = now_ms;
        self.asking = None;
        true
    }

    /// The issuer has answered for a browser, whose handle stays the current one. `false`: another attempt has taken the place of
    /// this one, and nothing changes.
    pub(super) fn renew(&mut self, attempt: u64, now_ms: u64) -> bool {
        let is_own = self.withdraw(attempt);
        if is_own {
            self.rotated_at_ms = now_ms;
        }
        is_own
    }

    /// The current handle, as it is shown.
    pub(super) const fn held(&self) -> Shown {
        Shown { generation: self.generation, digest: self.current, is_genuine: true }
    }

    /// The issuer has not answered, or has refused something that says nothing about the handle, which stays good.
    pub(super) fn withdraw(&mut self, attempt: u64) -> bool {
        let is_own = self.is_attempt(attempt);
        if is_own {
            self.asking = None;
        }
        is_own
    }

    fn is_attempt(&self, attempt: u64) -> bool {
        self.asking.is_some_and(|asking| asking.attempt == attempt)
    }
}

impl Asking {
    const fn is_others(self, process: Process) -> bool {
        !process.is_alone && self.run != process.run
    }

    const fn until_ms(self) -> u64 {
        self.since_ms.saturating_add(ASKING_MS_MAX)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Current,
    Previous,
    Older,
    Foreign,
}

#[cfg(test)]
mod tests;
