//! The stream to the session service: whether there is one, and when to try for the next.

use crate::wire;
use prost::Message;

/// Between two attempts at a stream: doubled from the first to the last, then jittered down by up to a half.
const BACKOFF_FIRST_MS: u64 = 50;
const BACKOFF_LAST_MS: u64 = 800;

/// How long a new stream may stay without the service's welcome.
const WELCOME_MS_MAX: u64 = 1_000;

/// What the host is to do.
#[derive(Debug, PartialEq, Eq)]
pub enum Act {
    /// Open a stream, and say so with `opened` or `not_opened`.
    Open,
    /// Put a message on a stream.
    Send {
        /// The stream.
        stream: u32,
        /// An encoded `FilterMessage`.
        message: Vec<u8>,
    },
    /// Reset a stream.
    Cancel {
        /// The stream.
        stream: u32,
    },
}

#[derive(Debug)]
enum State {
    /// There is no stream. One that broke is cancelled first.
    Down { retry_at_ms: u64, cancel: Option<u32> },
    /// [`Act::Open`] was given out.
    Opening,
    /// There is a stream, and the service has not answered the hello.
    Greeting { stream: u32, since_ms: u64, hello_sent: bool },
    /// The service listens; `in_flight_ms` is when the unanswered group was sent.
    Ready { stream: u32, in_flight_ms: Option<u64> },
}

#[derive(Debug)]
pub(super) struct Link {
    state: State,
    /// Attempts since the last one that was welcomed.
    failures: u32,
    timeout_ms: u64,
    jitter: u64,
}

impl Link {
    pub(super) fn new(timeout_ms: u64, seed: u64) -> Self {
        Self { state: State::Down { retry_at_ms: 0, cancel: None }, failures: 0, timeout_ms, jitter: seed | 1 }
    }

    /// Whether a question would wait in vain: the last attempt failed, and no later one was welcomed.
    pub(super) fn is_out(&self) -> bool {
        self.failures > 1
    }

    pub(super) fn is(&self, id: u32) -> bool {
        match self.state {
            State::Down { .. } | State::Opening => false,
            State::Greeting { stream, .. } | State::Ready { stream, .. } => stream == id,
        }
    }

    /// The stream, if a group may be sent on it now.
    pub(super) fn free(&self) -> Option<u32> {
        match self.state {
            State::Ready { stream, in_flight_ms: None } => Some(stream),
            _ => None,
        }
    }

    /// Whether there is a stream and nothing to wait for.
    pub(super) fn is_settled(&self) -> bool {
        matches!(self.state, State::Ready { in_flight_ms: None, .. })
    }

    pub(super) fn is_ready(&self) -> bool {
        matches!(self.state, State::Ready { .. })
    }

    pub(super) fn act(&mut self, now_ms: u64, hello: &wire::Hello) -> Option<Act> {
        match &mut self.state {
            State::Down { cancel, .. } if cancel.is_some() => cancel.take().map(|stream| Act::Cancel { stream }),
            State::Down { retry_at_ms, .. } if *retry_at_ms <= now_ms => {
                self.state = State::Opening;
                Some(Act::Open)
            }
            State::Greeting { stream, hello_sent, .. } if !*hello_sent => {
                *hello_sent = true;
                let message = wire::FilterMessage { hello: Some(hello.clone()), ..Default::default() };
                Some(Act::Send { stream: *stream, message: message.encode_to_vec() })
            }
            _ => None,
        }
    }

    pub(super) fn opened(&mut self, stream: u32, now_ms: u64) {
        self.state = State::Greeting { stream, since_ms: now_ms, hello_sent: false };
    }

    pub(super) fn sent(&mut self, now_ms: u64) {
        if let State::Ready { in_flight_ms, .. } = &mut self.state {
            *in_flight_ms = Some(now_ms);
        }
    }

    pub(super) fn heard(&mut self, message: &wire::ServiceMessage) {
        match &mut self.state {
            State::Greeting { stream, .. } if message.welcome.is_some() => {
                self.state = State::Ready { stream: *stream, in_flight_ms: None };
                self.failures = 0;
            }
            State::Ready { in_flight_ms, .. } if !message.verdicts.is_empty() => *in_flight_ms = None,
            _ => {}
        }
    }

    /// Whether the peer owes an answer for too long. It may be dead without a word.
    pub(super) fn stalled(&self, now_ms: u64) -> bool {
        match self.state {
            State::Greeting { since_ms, .. } => now_ms.saturating_sub(since_ms) >= self.timeout_ms.max(WELCOME_MS_MAX),
            State::Ready { in_flight_ms: Some(sent_ms), .. } => now_ms.saturating_sub(sent_ms) >= self.timeout_ms,
            _ => false,
        }
    }

    /// The stream has to be given up.
    pub(super) fn broken(&mut self, now_ms: u64) {
        let cancel = match self.state {
            State::Greeting { stream, .. } | State::Ready { stream, .. } => Some(stream),
            State::Down { cancel, .. } => cancel,
            State::Opening => None,
        };
        self.down(now_ms, cancel);
    }

    /// The stream is gone, or never came to be.
    pub(super) fn lost(&mut self, now_ms: u64) {
        self.down(now_ms, None);
    }

    fn down(&mut self, now_ms: u64, cancel: Option<u32>) {
        let backoff_ms = (BACKOFF_FIRST_MS << self.failures.min(8)).min(BACKOFF_LAST_MS);
        self.failures = self.failures.saturating_add(1);
        let retry_at_ms = now_ms.saturating_add(backoff_ms - self.random() % (backoff_ms / 2 + 1));
        self.state = State::Down { retry_at_ms, cancel };
    }

    /// Xorshift: no more than telling workers apart is asked of it.
    fn random(&mut self) -> u64 {
        self.jitter ^= self.jitter << 13;
        self.jitter ^= self.jitter >> 7;
        self.jitter ^= self.jitter << 17;
        self.jitter
    }
}
