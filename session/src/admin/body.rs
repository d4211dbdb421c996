//! The bodies and queries that callers send, read strictly.

use super::problem::{Code, Problem};
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{FromRequest, Query, Request};
use axum::http::{StatusCode, Uri};
use serde::de::{DeserializeOwned, Error, Visitor};
use serde::{Deserialize, Deserializer};
use std::fmt;

/// The largest body that is read.
pub(super) const BODY_BYTES_MAX: usize = 64 * 1024;

/// A JSON body; an empty one reads as `{}`.
pub(super) struct Input<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Input<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let bytes = Bytes::from_request(request, state).await.map_err(unread)?;
        let text: &[u8] = if bytes.is_empty() { b"{}" } else { &bytes };
        serde_json::from_slice(text).map(Self).map_err(|e| Problem::invalid(format!("body: {e}")))
    }
}

fn unread(rejection: BytesRejection) -> Problem {
    match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => {
            Problem::new(Code::BodyTooLarge, format!("a body may have at most {} bytes", BODY_BYTES_MAX))
        }
        _ => Problem::invalid("the body could not be read"),
    }
}

/// The query of a request.
pub(super) fn query<T: DeserializeOwned>(uri: &Uri) -> Result<T, Problem> {
    let read = Query::<T>::try_from_uri(uri);
    read.map(|Query(query)| query).map_err(|e| Problem::invalid(format!("query: {}", e.body_text())))
}

/// An instant: RFC 3339 text, or whole seconds since the epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Moment {
    pub(super) ms: u64,
}

impl Moment {
    /// Reads RFC 3339 text.
    pub(super) fn read(text: &str) -> Option<Self> {
        let ms = text.parse::<jiff::Timestamp>().ok()?.as_millisecond();
        u64::try_from(ms).ok().map(|ms| Self { ms })
    }
}

impl<'de> Deserialize<'de> for Moment {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(MomentVisitor)
    }
}

struct MomentVisitor;

impl Visitor<'_> for MomentVisitor {
    type Value = Moment;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an instant as RFC 3339 text or whole seconds since the epoch")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Moment, E> {
        Moment::read(text).ok_or_else(|| E::invalid_value(serde::de::Unexpected::Str(text), &self))
    }

    fn visit_u64<E: Error>(self, seconds: u64) -> Result<Moment, E> {
        // Not later than RFC 3339 can express: that is mostly a number of milliseconds by mistake.
        let is_expressible = i64::try_from(seconds).is_ok_and(|seconds| jiff::Timestamp::from_second(seconds).is_ok());
        match seconds.checked_mul(1000) {
            Some(ms) if is_expressible => Ok(Moment { ms }),
            _ => Err(E::invalid_value(serde::de::Unexpected::Unsigned(seconds), &self)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instant_is_rfc_3339_or_seconds_and_nothing_else() {
        let good = [
            ("\"2023-11-14T22:13:20.5Z\"", 1_700_000_000_500),
            ("\"2023-11-14T23:13:20+01:00\"", 1_700_000_000_000),
            ("1700000000", 1_700_000_000_000),
            ("0", 0),
        ];
        for (text, ms) in good {
            assert_eq!(serde_json::from_str::<Moment>(text).unwrap(), Moment { ms }, "{text}");
        }
        for text in [
            "-1",
            "1.5",
            "1700000000000",
            "\"1700000000\"",
            "\"2023-11-14\"",
            "\"yesterday\"",
            "\"1950-01-01T00:00:00Z\"",
            "{}",
            "true",
        ] {
            assert!(serde_json::from_str::<Moment>(text).is_err(), "{text}");
        }
    }
}
