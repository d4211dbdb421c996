//! The stream to the session service: its state, and when to make the next attempt.
//!
//! There is at most one stream for questions, one attempt at a new one, and one old stream that is being replaced. An
//! attempt starts because there is no stream, or because the service announces that it is about to stop (`drain`): the
//! old stream is then used until the service welcomes the new one. A stream whose service is silent is not used for questions
//! any more, but lingers while its leases live: the service can still take them back there.

use crate::{time::Monotonic, wire};
use portcullis_contract::Jitter;
use prost::Message;

/// The delay between two attempts: doubled from the first to the last, then reduced by a random amount of up to a half.
const BACKOFF_FIRST_MS: u64 = 50;
const BACKOFF_LAST_MS: u64 = 800;

/// How long a new stream can wait for the service's welcome.
const WELCOME_MS_MAX: u64 = 1_000;

/// An action for the host.
#[derive(Debug, PartialEq, Eq)]
pub enum Act {
    /// Open a stream, and report the result with `opened`.
    Open,
    /// Send a message on a stream.
    Send {
        /// The stream.
        stream: u32,
        /// An encoded `FilterMessage`.
        message: Vec<u8>,
    },
    /// Half-close a stream: no more messages will be sent on it.
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
    /// The stream being replaced, while it owes verdicts.
    leaving: Option<u32>,
    /// A silent stream whose leases are alive. There is none beside a current one.
    lingering: Option<u32>,
    /// Actions for streams that are no longer needed.
    parting: Vec<Act>,
    /// Failed attempts since the last welcome.
    failures: u32,
    timeout_ms: u64,
    jitter: Jitter,
}

/// A stream whose service is ready.
#[derive(Debug)]
struct Stream {
    id: u32,
    /// When the unanswered group was sent.
    in_flight: Option<Monotonic>,
}

#[derive(Debug)]
enum Attempt {
    /// No attempt is needed.
    Idle,
    Due {
        at: Monotonic,
    },
    /// [`Act::Open`] was returned.
    Opening,
    /// The stream is open, and the service has not answered the hello yet.
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
            lingering: None,
            parting: Vec::new(),
            failures: 0,
            timeout_ms,
            jitter: Jitter::new(seed),
        }
    }

    /// Whether a question would be futile: there is no stream, and the last attempt failed.
    pub(super) fn is_out(&self) -> bool {
        self.current.is_none() && self.failures > 0
    }

    /// Whether a service is connected.
    pub(super) fn is_ready(&self) -> bool {
        self.current.is_some()
    }

    /// Whether no answer is outstanding and no attempt is in progress.
    pub(super) fn is_settled(&self) -> bool {
        let owed = self.current.as_ref().is_none_or(|current| current.in_flight.is_some());
        !owed && matches!(self.attempt, Attempt::Idle) && self.leaving.is_none()
    }

    /// The stream on which questions are sent.
    pub(super) fn current(&self) -> Option<u32> {
        self.current.as_ref().map(|current| current.id)
    }

    /// The stream whose leases are valid.
    pub(super) fn leased(&self) -> Option<u32> {
        self.current().or(self.lingering)
    }

    /// Whether a message that is not about questions can be sent on this stream.
    pub(super) fn can_send(&self, id: u32) -> bool {
        self.current() == Some(id) || self.leaving == Some(id) || self.lingering == Some(id)
    }

    /// Whether a group of questions may be sent now.
    pub(super) fn is_free(&self) -> bool {
        self.current.as_ref().is_some_and(|current| current.in_flight.is_none())
    }

    /// Whether messages on this stream are still accepted.
    pub(super) fn knows(&self, id: u32) -> bool {
        self.can_send(id) || self.greeting() == Some(id)
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

    /// The attempt has produced a stream, or failed.
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

    /// A message has arrived. Returns true if it makes another stream the current one.
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
        let before = self.current.replace(Stream { id, in_flight: None }).map(|before| before.id);
        self.leaving = before.or(self.lingering.take());
    }

    /// The stream being replaced, while it owes verdicts.
    pub(super) fn leaving(&self) -> Option<u32> {
        self.leaving
    }

    /// The stream being replaced no longer owes any verdicts.
    pub(super) fn part(&mut self) {
        self.parting.extend(self.leaving.take().map(|stream| Act::Close { stream }));
    }

    /// The stream whose peer has owed an answer for too long: twice the timeout of a question, so that one slow answer
    /// does not cost the stream. The peer can have disappeared without closing its connection.
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

    /// A stream has to be abandoned.
    pub(super) fn broken(&mut self, id: u32, now: Monotonic) {
        if self.knows(id) {
            self.parting.push(Act::Cancel { stream: id });
            self.lost(id, now);
        }
    }

    /// The current stream is silent, and its leases are alive.
    pub(super) fn linger(&mut self, now: Monotonic) {
        if let Some(id) = self.current() {
            self.lost(id, now);
            self.lingering = Some(id);
        }
    }

    /// The leases of a silent stream are over.
    pub(super) fn end_lingering(&mut self) {
        self.parting.extend(self.lingering.take().map(|stream| Act::Cancel { stream }));
    }

    /// Whether a silent stream lingers.
    pub(super) fn is_lingering(&self) -> bool {
        self.lingering.is_some()
    }

    /// A stream is gone.
    pub(super) fn lost(&mut self, id: u32, now: Monotonic) {
        if self.leaving == Some(id) {
            self.leaving = None;
        }
        if self.lingering == Some(id) {
            self.lingering = None;
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
        now.after(self.jitter.shorten(backoff_ms))
    }
}
