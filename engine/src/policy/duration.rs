//! Durations as operators write them: `200ms`, `30s`, `15m`, `8h`, `30d`, and nothing else.

use super::text::quoted;
use std::time::Duration;

/// The maximum duration: ten years, so that sums of times cannot overflow.
const DURATION_MAX: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

/// Reads a duration.
pub fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("{} is not a duration such as `200ms`, `30s`, `15m` or `8h`", quoted(text));
    let unit_at = text.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?;
    let (digits, unit) = text.split_at_checked(unit_at).ok_or_else(wrong)?;
    let unit_ms: u64 = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return Err(wrong()),
    };
    if digits.is_empty() || (digits.starts_with('0') && digits != "0") {
        return Err(wrong());
    }
    let ms = digits.parse::<u64>().ok().and_then(|number| number.checked_mul(unit_ms));
    let duration = ms.map(Duration::from_millis).filter(|duration| *duration <= DURATION_MAX);
    duration.ok_or_else(|| format!("{} is longer than ten years", quoted(text)))
}

/// Reads a duration within bounds. A lower bound of `0s` allows any short duration.
pub(super) fn duration_within(text: &str, min: Duration, max: Duration) -> Result<Duration, String> {
    let duration = duration(text)?;
    if duration < min {
        Err(format!("{} is too short; at least {}", quoted(text), words(min)))
    } else if duration > max {
        Err(format!("{} is too long; at most {}", quoted(text), words(max)))
    } else {
        Ok(duration)
    }
}

/// Reads a duration that is not zero.
pub(super) fn limit(text: &str) -> Result<Duration, String> {
    duration_within(text, Duration::from_millis(1), DURATION_MAX)
}

fn words(duration: Duration) -> String {
    match (duration.as_secs(), duration.subsec_millis()) {
        (secs, 0) => format!("`{secs}s`"),
        _ => format!("`{}ms`", duration.as_millis()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_a_number_and_a_unit() {
        for (text, ms) in [
            ("200ms", 200),
            ("30s", 30_000),
            ("15m", 900_000),
            ("8h", 28_800_000),
            ("0s", 0),
            ("87600h", 315_360_000_000),
            ("3650d", 315_360_000_000),
        ] {
            assert_eq!(duration(text), Ok(Duration::from_millis(ms)), "{text}");
        }
    }

    #[test]
    fn nothing_else_is_a_duration() {
        for text in [
            "",
            "5",
            "s",
            "ms",
            "-5s",
            "+5s",
            "1.5s",
            "5 s",
            " 5s",
            "5s ",
            "5S",
            "5sec",
            "1h30m",
            "1w",
            "3651d",
            "05s",
            "00s",
            "5µs",
            "٣s",
            "1e3s",
            "87601h",
            "99999999999999999999s",
            "18446744073709551615h",
        ] {
            assert!(duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn bounds_are_inclusive_and_named() {
        let (min, max) = (Duration::from_millis(1), Duration::from_secs(60));
        assert!(duration_within("1ms", min, max).is_ok() && duration_within("60s", min, max).is_ok());
        assert_eq!(duration_within("0s", min, max), Err("`0s` is too short; at least `1ms`".into()));
        assert_eq!(duration_within("61s", min, max), Err("`61s` is too long; at most `60s`".into()));
        assert!(limit("0ms").is_err());
    }
}
