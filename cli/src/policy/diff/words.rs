//! Formats values for the texts of changes.

use portcullis_engine::policy::{Mode, Outage};
use std::time::Duration;

/// A duration in the notation of a policy, in the largest unit that fits.
pub(super) fn duration(duration: Duration) -> String {
    let ms = duration.as_millis();
    for (unit_ms, unit) in [(3_600_000, "h"), (60_000, "m"), (1_000, "s")] {
        if ms != 0 && ms.is_multiple_of(unit_ms) {
            return format!("{}{unit}", ms / unit_ms);
        }
    }
    format!("{ms}ms")
}

/// An `on_outage` in the notation of a policy.
pub(super) fn outage(outage: Outage) -> String {
    match outage {
        Outage::Deny => "deny".to_owned(),
        Outage::ReadOnly => "read_only".to_owned(),
        Outage::Grace(grace) => format!("{{grace: {}}}", duration(grace)),
    }
}

/// A `freshness` in the notation of a policy.
pub(super) fn freshness(lease: Option<Duration>) -> String {
    lease.map_or_else(|| "each_request".to_owned(), |lease| format!("{{lease: {}}}", duration(lease)))
}

/// A `mode` in the notation of a policy.
pub(super) const fn mode(mode: Mode) -> &'static str {
    match mode {
        Mode::Enforce => "enforce",
        Mode::Shadow => "shadow",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_in_their_largest_unit() {
        for (ms, words) in [
            (0, "0ms"),
            (200, "200ms"),
            (1_500, "1500ms"),
            (30_000, "30s"),
            (90_000, "90s"),
            (900_000, "15m"),
            (7_200_000, "2h"),
        ] {
            assert_eq!(duration(Duration::from_millis(ms)), words);
        }
    }
}
