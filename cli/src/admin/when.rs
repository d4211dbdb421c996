//! Instants as text: absolute, and relative to now.

use super::plain::plain;
use jiff::{SignedDuration, Timestamp};
use portcullis_engine::policy::document::duration;

const UNITS: [(u64, &str); 4] = [(86_400, "d"), (3_600, "h"), (60, "m"), (1, "s")];

/// An RFC 3339 instant with its distance from now: `2026-11-21 20:38:02Z (2h 3m ago)`.
pub(super) fn both(text: &str, now: Timestamp) -> String {
    match text.parse::<Timestamp>() {
        Ok(instant) => format!("{} ({})", absolute(instant), relative(instant, now)),
        Err(_) => plain(text).into_owned(),
    }
}

/// The end of a session. A revocation covers what is issued up to an instant slightly ahead, which is then its end.
pub(super) fn ended(text: &str, now: Timestamp) -> String {
    match text.parse::<Timestamp>() {
        Ok(instant) if instant.as_second() > now.as_second() => {
            format!("now, for everything issued before {}", both(text, now))
        }
        _ => both(text, now),
    }
}

/// The distance of an RFC 3339 instant from now.
pub(super) fn distance(text: &str, now: Timestamp) -> String {
    match text.parse::<Timestamp>() {
        Ok(instant) => relative(instant, now),
        Err(_) => plain(text).into_owned(),
    }
}

/// The same in its largest unit only, for tables.
pub(super) fn short(text: &str, now: Timestamp) -> String {
    let whole = distance(text, now);
    let mut words: Vec<&str> = whole.split(' ').collect();
    // `2h 3m ago`, `in 2h 3m`
    match words.as_slice() {
        [_, _, "ago"] => drop(words.remove(1)),
        ["in", _, _] => drop(words.pop()),
        _ => {}
    }
    words.join(" ")
}

/// The instant, to the second, in UTC.
pub(super) fn absolute(instant: Timestamp) -> String {
    instant.strftime("%Y-%m-%d %H:%M:%SZ").to_string()
}

fn relative(instant: Timestamp, now: Timestamp) -> String {
    let seconds = now.as_second().saturating_sub(instant.as_second());
    match (seconds, span(seconds.unsigned_abs())) {
        (0, _) => "now".to_owned(),
        (1.., span) => format!("{span} ago"),
        (_, span) => format!("in {span}"),
    }
}

/// Reads an instant (RFC 3339).
pub(super) fn instant(text: &str) -> Result<Timestamp, String> {
    text.parse().map_err(|_| "expected an instant such as `2026-11-21T12:00:00Z`".to_owned())
}

/// Reads a duration such as `2h`, and returns the instant so long after `now`.
pub(super) fn after(text: &str, now: Timestamp) -> Option<Timestamp> {
    let duration = duration(text).ok().filter(|duration| !duration.is_zero())?;
    now.checked_add(SignedDuration::try_from(duration).ok()?).ok()
}

/// The two largest units: seconds do not matter after a day.
pub(super) fn span(seconds: u64) -> String {
    let mut rest = seconds;
    let mut parts = UNITS.iter().map(|(size, unit)| {
        let count = rest / size;
        rest %= size;
        (count, unit)
    });
    let Some((count, unit)) = parts.find(|(count, _)| *count > 0) else {
        return "0s".to_owned();
    };
    match parts.next() {
        Some((more, smaller)) if more > 0 => format!("{count}{unit} {more}{smaller}"),
        _ => format!("{count}{unit}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_distance_has_two_units_and_a_direction() {
        let now: Timestamp = "2026-11-21T20:38:02Z".parse().expect("an instant");
        for (instant, distance_then) in [
            ("2026-11-21T20:38:02Z", "now"),
            ("2026-11-21T20:38:01.9Z", "1s ago"),
            ("2026-11-21T20:37:02Z", "1m ago"),
            ("2026-11-21T18:35:01Z", "2h 3m ago"),
            ("2026-11-20T20:37:02Z", "1d ago"),
            ("2026-11-21T20:39:32Z", "in 1m 30s"),
            ("2027-11-21T20:38:02Z", "in 365d"),
            ("9999-12-30T22:00:00Z", "in 2912117d 1h"),
            ("soon\u{1b}", "soon\\u{1b}"),
        ] {
            assert_eq!(distance(instant, now), distance_then, "{instant}");
        }
        for (instant, expected) in [
            ("2026-11-21T20:38:02Z", "now"),
            ("2026-11-21T18:35:01Z", "2h ago"),
            ("2026-11-20T20:37:02Z", "1d ago"),
            ("2026-11-21T20:39:32Z", "in 1m"),
            ("2026-11-21T20:38:12Z", "in 10s"),
            ("soon\u{1b}", "soon\\u{1b}"),
        ] {
            assert_eq!(short(instant, now), expected, "{instant}");
        }
        assert_eq!(both("2026-11-21T18:35:01.5Z", now), "2026-11-21 18:35:01Z (2h 3m ago)");
        assert_eq!(both("2026-11-21T21:35:01+01:00", now), "2026-11-21 20:35:01Z (3m 1s ago)");
        assert_eq!(ended("2026-11-21T20:35:01Z", now), "2026-11-21 20:35:01Z (3m 1s ago)");
        let ahead = "now, for everything issued before 2026-11-21 20:38:03Z (in 1s)";
        assert_eq!(ended("2026-11-21T20:38:03Z", now), ahead);
    }
}
