//! The stream to the session service: whether there is one, and when to try for the next.
//!
//! There is at most one stream that questions go out on, at most one attempt at a new one, and at most one that is being
//! left. The attempt is made because there is no stream, or because the service is about to stop and says so (`drain`):
//! then the old stream goes on until the new one is welcomed.

use crate::{time::Monotonic, wire};
use prost::Message;

/// Between two attempts at a stream: doubled from the first to the last, then jittered down by up to a half.
const BACKOFF_FIRST_MS: u64 = 50;
const BACKOFF_LAST_MS: u64 = 800;

/// How long a new stream may stay without the service's welcome.
const WELCOME_MS_MAX: u64 = 1_000;

/// What the host is to do.
#[derive(Debug, PartialEq, Eq)]
pub enum Act {
    /// Open a stream, and say so with `opened`.
    Open,
    /// Put a message on a stream.
    Send {
        /// The stream.
        stream: u32,
        /// An encoded `FilterMessage`.
        message: Vec<u8>,
    },
    /// Say that nothing more will come on a stream.
    Close {
        /// The stream.
        stream: u32,
    },
    /// Reset a stream.
    Cancel {
        /// The stream.
        stream: u32,
    },
}

#[derive(Debug)]
pub(super) struct Connection {
    current: Option<Stream>,
    attempt: Attempt,
    /// The stream before the current one, while it owes verdicts.
    leaving: Option<u32>,
    /// Streams that are done with.
    parting: Vec<Act>,
    /// Attempts that failed since the last one that was welcomed.
    failures: u32,
    timeout_ms: u64,
    jitter: u64,
}

/// A stream on which the service listens.
#[derive(Debug)]
struct Stream {
    id: u32,
    /// When the group was sent that is not answered yet.
    in_flight: Option<Monotonic>,
}

#[derive(Debug)]
enum Attempt {
    /// None is needed.
    Idle,
    Due {
        at: Monotonic,
    },
    /// [`Act::Open`] was given out.
    Opening,
    /// There is a stream, and the service has not answered the hello.
    Greeting {
        stream: u32,
        since: Monotonic,
        hello_sent: bool,
    },
}

impl Connection {
    pub(super) fn new(timeout_ms: u64, seed: u64) -> Self {
        Self {
            current: None,
            attempt: Attempt::Due { at: Monotonic::default() },
            leaving: None,
            parting: Vec::new(),
            failures: 0,
            timeout_ms,
            jitter: seed | 1,
        }
    }

    /// Whether a question would wait in vain: there is no stream, and the last attempt at one failed.
    pub(super) fn is_out(&self) -> bool {
        self.current.is_none() && self.failures > 0
    }

    /// Whether the service listens.
    pub(super) fn is_ready(&self) -> bool {
        self.current.is_some()
    }

    /// Whether nothing is owed and nothing is attempted.
    pub(super) fn is_settled(&self) -> bool {
        let owed = self.current.as_ref().is_none_or(|current| current.in_flight.is_some());
        !owed && matches!(self.attempt, Attempt::Idle) && self.leaving.is_none()
    }

    /// The stream that questions go out on.
    pub(super) fn current(&self) -> Option<u32> {
        self.current.as_ref().map(|current| current.id)
    }

    /// Whether a group of questions may be sent now.
    pub(super) fn is_free(&self) -> bool {
        self.current.as_ref().is_some_and(|current| current.in_flight.is_none())
    }

    /// Whether messages on this stream are listened to.
    pub(super) fn knows(&self, id: u32) -> bool {
        self.current() == Some(id) || self.leaving == Some(id) || self.greeting() == Some(id)
    }

    fn greeting(&self) -> Option<u32> {
        match self.attempt {
            Attempt::Greeting { stream, .. } => Some(stream),
            Attempt::Idle | Attempt::Due { .. } | Attempt::Opening => None,
        }
    }

    pub(super) fn act(&mut self, now: Monotonic, hello: &wire::Hello) -> Option<Act> {
        if let Some(act) = self.parting.pop() {
            return Some(act);
        }
        match &mut self.attempt {
            Attempt::Due { at } if *at <= now => {
                self.attempt = Attempt::Opening;
                Some(Act::Open)
            }
            Attempt::Greeting { stream, hello_sent, .. } if !*hello_sent => {
                *hello_sent = true;
                let message = wire::FilterMessage { hello: Some(hello.clone()), ..Default::default() };
                Some(Act::Send { stream: *stream, message: message.encode_to_vec() })
            }
            _ => None,
        }
    }

    /// The attempt has come to a stream, or has not.
    pub(super) fn opened(&mut self, stream: Option<u32>, now: Monotonic) {
        match stream {
            Some(stream) => self.attempt = Attempt::Greeting { stream, since: now, hello_sent: false },
            None => self.attempt_failed(now),
        }
    }

    /// A group of questions was sent on the current stream.
    pub(super) fn sent(&mut self, now: Monotonic) {
        if let Some(current) = &mut self.current {
            current.in_flight = Some(now);
        }
    }

    /// A message has come. True when it makes another stream the current one.
    pub(super) fn received(&mut self, id: u32, message: &wire::ServiceMessage, now: Monotonic) -> bool {
        if self.greeting() == Some(id) && message.welcome.is_some() {
            self.welcomed(id);
            return true;
        }
        if let Some(current) = self.current.as_mut().filter(|current| current.id == id) {
            if message.received {
                current.in_flight = None;
            }
            if message.drain && matches!(self.attempt, Attempt::Idle) {
                self.attempt = Attempt::Due { at: now };
            }
        }
        false
    }

    fn welcomed(&mut self, id: u32) {
        self.attempt = Attempt::Idle;
        self.failures = 0;
        self.part();
        self.leaving = self.current.replace(Stream { id, in_flight: None }).map(|before| before.id);
    }

    /// The stream that is being left, while it owes verdicts.
    pub(super) fn leaving(&self) -> Option<u32> {
        self.leaving
    }

    /// The stream that is being left owes nothing any more.
    pub(super) fn part(&mut self) {
        self.parting.extend(self.leaving.take().map(|stream| Act::Close { stream }));
    }

    /// The stream whose peer owes an answer for too long, if one does: for twice as long as a question waits, so that one slow
    /// answer does not cost the stream. The peer may be dead without a word.
    pub(super) fn stalled(&self, now: Monotonic) -> Option<u32> {
        let late = |since: Monotonic, max_ms: u64| now.since(since) >= max_ms;
        let current = self
            .current
            .as_ref()
            .filter(|current| current.in_flight.is_some_and(|sent| late(sent, self.timeout_ms.saturating_mul(2))));
        match self.attempt {
            _ if current.is_some() => self.current(),
            Attempt::Greeting { stream, since, .. } if late(since, self.timeout_ms.max(WELCOME_MS_MAX)) => Some(stream),
            _ => None,
        }
    }

    /// A stream has to be given up.
    pub(super) fn broken(&mut self, id: u32, now: Monotonic) {
        if self.knows(id) {
            self.parting.push(Act::Cancel { stream: id });
            self.lost(id, now);
        }
    }

    /// A stream is gone.
    pub(super) fn lost(&mut self, id: u32, now: Monotonic) {
        if self.leaving == Some(id) {
            self.leaving = None;
        }
        if self.greeting() == Some(id) {
            self.attempt_failed(now);
        }
        if self.current() == Some(id) {
            self.current = None;
            if matches!(self.attempt, Attempt::Idle) {
                self.attempt = Attempt::Due { at: self.after_backoff(now) };
            }
        }
    }

    fn attempt_failed(&mut self, now: Monotonic) {
        self.failures = self.failures.saturating_add(1);
        self.attempt = Attempt::Due { at: self.after_backoff(now) };
    }

    fn after_backoff(&mut self, now: Monotonic) -> Monotonic {
        let backoff_ms = (BACKOFF_FIRST_MS << self.failures.min(8)).min(BACKOFF_LAST_MS);
        now.after(backoff_ms - self.random() % (backoff_ms / 2 + 1))
    }

    /// Xorshift: no more than telling workers apart is asked of it.
    fn random(&mut self) -> u64 {
        self.jitter ^= self.jitter << 13;
        self.jitter ^= self.jitter >> 7;
        self.jitter ^= self.jitter << 17;
        self.jitter
    }
}
