//! The start of what is to be shown: an instant, or how long ago it was.

use jiff::{Span, SpanRelativeTo, Timestamp};

/// Reads `2026-11-26T09:00:00Z`, `90s`, `15m`, `2h 30m` or `1d` as an instant.
pub(crate) fn instant(text: &str) -> Result<Timestamp, String> {
    before(text, Timestamp::now())
}

fn before(text: &str, now: Timestamp) -> Result<Timestamp, String> {
    if let Ok(instant) = text.parse() {
        return Ok(instant);
    }
    let ago = text.parse::<Span>().ok().and_then(|span| span.to_duration(SpanRelativeTo::days_are_24_hours()).ok());
    let ago = ago.filter(|ago| ago.is_positive());
    ago.and_then(|ago| now.checked_sub(ago).ok())
        .ok_or_else(|| "expected a duration such as `15m`, `2h 30m` or `1d`, or an instant in RFC 3339".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_start_is_an_instant_or_a_time_ago_and_nothing_else() {
        let now: Timestamp = "2026-11-26T12:00:00Z".parse().expect("an instant");
        for (text, expected) in [
            ("2026-11-26T09:00:00Z", "2026-11-26T09:00:00Z"),
            ("2026-11-26T10:00:00+01:00", "2026-11-26T09:00:00Z"),
            ("90s", "2026-11-26T11:58:30Z"),
            ("15m", "2026-11-26T11:45:00Z"),
            ("2h 30m", "2026-11-26T09:30:00Z"),
            ("1d", "2026-11-25T12:00:00Z"),
        ] {
            assert_eq!(before(text, now).map(|instant| instant.to_string()), Ok(expected.to_owned()), "{text}");
        }
        for text in ["", "15", "yesterday", "-15m", "0s", "2026-11-26", "99999999999999999y"] {
            assert!(before(text, now).is_err(), "{text}");
        }
    }
}
