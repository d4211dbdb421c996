//! Sampling: of refusals that come in great numbers, a share is kept, and says so.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The codes that can be sampled: nobody has done what they report.
pub const SAMPLED: [&str; 2] = ["refused", "evaluation_denied"];

/// All of them, in millionths.
pub const ALL_MILLIONTHS: u64 = 1_000_000;

/// A share of the refusals with an outcome, or of all.
#[derive(Debug, Clone)]
pub struct Sample {
    /// Their code, one of [`SAMPLED`].
    pub code: String,
    /// The outcome; `None` for any.
    pub outcome: Option<String>,
    /// The share that is kept, in millionths, at most all.
    pub kept_millionths: u64,
    seen: Arc<AtomicU64>,
}

/// The count does not belong to the rule.
impl PartialEq for Sample {
    fn eq(&self, other: &Self) -> bool {
        (&self.code, &self.outcome, self.kept_millionths) == (&other.code, &other.outcome, other.kept_millionths)
    }
}

/// What becomes of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// No rule is about it.
    Kept,
    /// It stands for others, too: this share of them is kept, in millionths.
    Stands(u64),
    /// Another one stands for it.
    Left,
}

impl Sample {
    /// A rule.
    pub fn new(code: &str, outcome: Option<String>, kept_millionths: u64) -> Self {
        Self { code: code.to_owned(), outcome, kept_millionths, seen: Arc::default() }
    }

    /// Every share is spread evenly: of any hundred in a row, one per cent is one.
    fn fate(&self) -> Fate {
        let seen = self.seen.fetch_add(1, Ordering::Relaxed);
        let kept = |count: u64| u128::from(count) * u128::from(self.kept_millionths) / u128::from(ALL_MILLIONTHS);
        if kept(seen.wrapping_add(1)) > kept(seen) { Fate::Stands(self.kept_millionths) } else { Fate::Left }
    }
}

/// What becomes of a record by the first rule that is about it.
pub(super) fn fate(rules: &[Sample], code: &str, outcome: Option<&str>) -> Fate {
    let is_about = |rule: &&Sample| rule.code == code && rule.outcome.as_deref().is_none_or(|of| Some(of) == outcome);
    rules.iter().find(is_about).map_or(Fate::Kept, Sample::fate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_share_is_exact_and_only_of_what_the_first_rule_is_about() {
        let rule = |outcome: Option<&str>, kept| Sample::new("refused", outcome.map(str::to_owned), kept);
        let rules = [rule(Some("no_such"), 0), rule(Some("expired"), 10_000)];
        let kept = |outcome| {
            let fates = (0..1_000).map(|_| fate(&rules, "refused", outcome));
            fates.filter(|fate| *fate != Fate::Left).count()
        };
        assert_eq!(
            (kept(Some("expired")), kept(Some("other")), kept(None), kept(Some("no_such"))),
            (10, 1_000, 1_000, 0)
        );
        assert_eq!(fate(&[rule(None, 0)], "login", Some("expired")), Fate::Kept);
        assert_eq!(fate(&[rule(None, 0)], "evaluation_denied", Some("expired")), Fate::Kept);
        assert_eq!(fate(&[rule(None, ALL_MILLIONTHS)], "refused", None), Fate::Stands(ALL_MILLIONTHS));
    }
}
