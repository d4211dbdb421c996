//! The dates of a token (RFC 7519, sections 4.1.4 to 4.1.6), and whether it is valid now.

use super::{Fault, Rejection, json::Object};
use serde_json::Value;
use std::time::Duration;

/// 9999-12-31T23:59:59Z, in seconds since the Unix epoch. A later date is an error, such as milliseconds instead of
/// seconds.
const DATE_SECONDS_MAX: u64 = 253_402_300_799;

/// The dates of a token, in milliseconds since the Unix epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Dates {
    /// `iat`, else `auth_time`, else `nbf`.
    pub(super) issued_at_ms: u64,
    pub(super) expires_at_ms: u64,
    pub(super) authenticated_at_ms: Option<u64>,
    /// `auth_time` has a value, which is no date.
    pub(super) is_login_unreadable: bool,
    not_before_ms: Option<u64>,
    skew_ms: u64,
    /// `exp` plus the clock skew: the token is expired from this time on.
    pub(super) dies_at_ms: u64,
}

impl Dates {
    /// Reads the dates of a token whose issuer's clock may differ by `skew`.
    pub(super) fn read(claims: &Object, skew: Duration) -> Result<Self, Fault> {
        let skew_ms = u64::try_from(skew.as_millis()).unwrap_or(u64::MAX);
        let not_before_ms = date_ms(claims, "nbf")?;
        let authenticated_at_ms = readable_ms(claims, "auth_time");
        let issued_at_ms = readable_ms(claims, "iat").or(authenticated_at_ms).or(not_before_ms);
        let expires_at_ms = date_ms(claims, "exp")?.ok_or(Fault::Missing("exp"))?;
        Ok(Self {
            not_before_ms,
            // RFC 9068, section 2.2 requires `iat`; other servers leave it out. Without any of these dates, a session
            // would have no start, and its limits no meaning.
            issued_at_ms: issued_at_ms.ok_or(Fault::Undated)?,
            expires_at_ms,
            authenticated_at_ms,
            is_login_unreadable: authenticated_at_ms.is_none()
                && claims.get("auth_time").is_some_and(|value| !value.is_null()),
            skew_ms,
            dies_at_ms: expires_at_ms.saturating_add(skew_ms),
        })
    }

    /// No date but `exp` can be in the future; a login in the future, for example, would satisfy every `max_age`.
    pub(super) fn begun(&self, now_ms: u64) -> Result<(), Fault> {
        let dates =
            [("nbf", self.not_before_ms), ("auth_time", self.authenticated_at_ms), ("iat", Some(self.issued_at_ms))];
        let latest_ms = now_ms.saturating_add(self.skew_ms);
        let ahead = dates.into_iter().find(|(_, at_ms)| at_ms.is_some_and(|at_ms| at_ms > latest_ms));
        ahead.map_or(Ok(()), |(name, _)| Err(Fault::NotYetValid(name)))
    }

    /// Whether `nbf` is in the future.
    pub(super) fn is_early(&self, now_ms: u64) -> bool {
        self.not_before_ms.is_some_and(|at_ms| at_ms > now_ms.saturating_add(self.skew_ms))
    }

    /// A token is expired "on or after" `exp` (RFC 7519, section 4.1.4). Checked last: only a token that is otherwise
    /// valid is reported as expired.
    pub(super) fn alive(&self, now_ms: u64) -> Result<(), Rejection> {
        if now_ms < self.dies_at_ms { Ok(()) } else { Err(Rejection::Expired) }
    }
}

/// A date that only helps: one that cannot be read counts as absent.
pub(super) fn readable_ms(claims: &Object, name: &'static str) -> Option<u64> {
    date_ms(claims, name).ok().flatten()
}

/// A NumericDate: seconds since the Unix epoch, with or without a fraction (RFC 7519, section 2).
pub(super) fn date_ms(claims: &Object, name: &'static str) -> Result<Option<u64>, Fault> {
    let Some(value) = claims.get(name) else {
        return Ok(None);
    };
    let ms = match value {
        Value::Number(number) => match number.as_u64() {
            Some(seconds) => (seconds <= DATE_SECONDS_MAX).then(|| seconds * 1_000),
            None => number.as_f64().and_then(fraction_ms),
        },
        _ => None,
    };
    ms.map(Some).ok_or(Fault::IllTyped(name))
}

fn fraction_ms(seconds: f64) -> Option<u64> {
    let sane = (0.0..=DATE_SECONDS_MAX as f64).contains(&seconds);
    sane.then(|| (seconds * 1_000.0).round() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(date: &str) -> Result<Option<u64>, Fault> {
        let json = format!("{{\"exp\":{date}}}");
        date_ms(&Object::parse(json.as_bytes()).unwrap(), "exp")
    }

    #[test]
    fn dates_are_whole_or_fractional_seconds() {
        for (date, ms) in [
            ("0", 0),
            ("-0.0", 0),
            ("1", 1_000),
            ("1.5", 1_500),
            ("1.0009", 1_001),
            ("1617757825.8", 1_617_757_825_800),
            ("1e3", 1_000_000),
            ("253402300799", 253_402_300_799_000),
        ] {
            assert_eq!(read(date), Ok(Some(ms)), "{date}");
        }
    }

    #[test]
    fn absurd_dates_are_refused() {
        for date in [
            "-1",
            "-0.1",
            "-1e300",
            "253402300800",
            "253402300800.5",
            "1e300",
            "18446744073709551615",
            "18446744073709551616",
            "1700000000000",
            "\"1700000000\"",
            "null",
            "true",
            "[1]",
            "{}",
        ] {
            assert_eq!(read(date), Err(Fault::IllTyped("exp")), "{date}");
        }
    }

    #[test]
    fn a_missing_date_is_no_date() {
        assert_eq!(date_ms(&Object::parse(b"{}").unwrap(), "exp"), Ok(None));
    }
}
