//! How a stream ends, or is refused, as its client sees it.

use std::{fmt, time::Instant};

/// A stream that could not be opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// The HTTP status, or the gRPC status for a gRPC stream; 0 if there was no answer.
    pub status: u16,
    /// The body, the gRPC message, or the client library's error.
    pub text: String,
}

impl Refused {
    pub(super) fn failed(fault: impl fmt::Display) -> Self {
        Self { status: 0, text: fault.to_string() }
    }
}

/// The end of a stream.
#[derive(Debug, Clone)]
pub struct End {
    /// When the client saw it.
    pub at: Instant,
    /// Whether it was broken off. A regular end is not a cut, except for websockets: their close frame counts as one.
    pub cut: bool,
    /// What the client library reported.
    pub detail: String,
}

impl End {
    pub(super) fn now(cut: bool, detail: impl fmt::Debug) -> Self {
        Self { at: Instant::now(), cut, detail: format!("{detail:?}") }
    }
}
