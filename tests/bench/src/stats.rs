//! Medians, and ratios with their spread.

use serde::Serialize;

/// A median with the smallest and the largest of its values.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
}

impl Spread {
    /// The spread of some values; `None` if there are none or one is not a finite number.
    pub(crate) fn of(values: &[f64]) -> Option<Self> {
        let mut sorted = values.to_vec();
        sorted.sort_unstable_by(f64::total_cmp);
        let (min, max) = (*sorted.first()?, *sorted.last()?);
        if values.iter().any(|value| !value.is_finite()) {
            return None;
        }
        let middle = sorted.len() / 2;
        let median = if sorted.len().is_multiple_of(2) {
            f64::midpoint(sorted[middle - 1], sorted[middle])
        } else {
            sorted[middle]
        };
        Some(Self { median, min, max })
    }
}

/// The ratios of two series, round by round: whatever slows a whole round down affects both and cancels out.
pub(crate) fn ratio(ours: &[f64], theirs: &[f64]) -> Option<Spread> {
    if ours.len() != theirs.len() {
        return None;
    }
    let ratios: Vec<f64> = ours.iter().zip(theirs).map(|(ours, theirs)| ours / theirs).collect();
    Spread::of(&ratios)
}

/// The ratios of what two series add to a base, round by round.
pub(crate) fn added_ratio(ours: &[f64], theirs: &[f64], base: &[f64]) -> Option<Spread> {
    if ours.len() != base.len() || theirs.len() != base.len() {
        return None;
    }
    let added = |values: &[f64]| -> Vec<f64> { values.iter().zip(base).map(|(value, base)| value - base).collect() };
    ratio(&added(ours), &added(theirs))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spread(median: f64, min: f64, max: f64) -> Option<Spread> {
        Some(Spread { median, min, max })
    }

    #[test]
    fn the_median_is_the_middle_or_between_the_two_middle_ones() {
        assert_eq!(Spread::of(&[3.0, 1.0, 2.0]), spread(2.0, 1.0, 3.0));
        assert_eq!(Spread::of(&[4.0, 1.0, 2.0, 3.0]), spread(2.5, 1.0, 4.0));
        assert_eq!(Spread::of(&[]), None);
        assert_eq!(Spread::of(&[1.0, f64::NAN]), None);
    }

    #[test]
    fn ratios_are_taken_round_by_round() {
        // The second round was half as fast for both.
        assert_eq!(ratio(&[30.0, 15.0, 33.0], &[10.0, 5.0, 11.0]), spread(3.0, 3.0, 3.0));
        assert_eq!(ratio(&[1.0], &[1.0, 2.0]), None);
        assert_eq!(ratio(&[1.0], &[0.0]), None);
    }

    #[test]
    fn what_is_added_to_a_base_is_compared() {
        assert_eq!(added_ratio(&[15.0, 13.0], &[20.0, 16.0], &[10.0, 10.0]), spread(0.5, 0.5, 0.5));
        assert_eq!(added_ratio(&[15.0], &[10.0], &[10.0]), None);
    }
}
