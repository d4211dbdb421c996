//! The scopes that a session still has of a token: one bit each, because there are thousands of leases.

use std::rc::Rc;

/// The most scopes of a token with a narrowed session that a lease can be about. Tokens with more are asked about.
const SCOPES_MAX: usize = 128;

/// The scopes that are left of a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(in crate::authorize) struct Left([u64; 2]);

impl Left {
    /// All of them.
    pub(super) const WHOLE: Self = Self([u64::MAX; 2]);

    /// What a verdict says about a token with these scopes; `None` if that is too much to keep.
    pub(in crate::authorize) fn of(narrowed: Option<&[String]>, scopes: &[String]) -> Option<Self> {
        let Some(left) = narrowed else { return Some(Self::WHOLE) };
        if scopes.len() > SCOPES_MAX {
            return None;
        }
        let bits = scopes.iter().zip(0_u32..).filter(|(scope, _)| left.contains(scope));
        let bits = bits.fold(0_u128, |bits, (_, at)| bits | 1_u128.unbounded_shl(at));
        // Both halves of the bits.
        Some(Self([bits as u64, (bits >> u64::BITS) as u64]))
    }

    /// The scopes that are left, if that is not all of them.
    pub(super) fn of_scopes(self, scopes: &[String]) -> Option<Rc<[String]>> {
        if self == Self::WHOLE {
            return None;
        }
        let [low, high] = self.0.map(u128::from);
        let bits = high << u64::BITS | low;
        let is_left = |at: u32| bits.unbounded_shr(at) & 1 == 1;
        Some(scopes.iter().zip(0_u32..).filter(|(_, at)| is_left(*at)).map(|(scope, _)| scope.clone()).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scopes(count: usize) -> Vec<String> {
        (0..count).map(|n| format!("s{n}")).collect()
    }

    #[test]
    fn what_is_left_is_what_was_said() {
        for count in [0, 1, 63, 64, 65, 127, 128] {
            let all = scopes(count);
            assert_eq!(Left::of(None, &all).map(|left| left.of_scopes(&all)), Some(None));
            for keep in [|_| false, |n| n % 2 == 0, |n| n % 3 == 1, |n| n == 64] as [fn(usize) -> bool; 4] {
                let left: Vec<String> =
                    all.iter().enumerate().filter(|(n, _)| keep(*n)).map(|(_, scope)| scope.clone()).collect();
                let read = Left::of(Some(&left), &all).and_then(|kept| kept.of_scopes(&all));
                assert_eq!(read.as_deref(), Some(&left[..]), "{count}");
            }
        }
    }

    #[test]
    fn of_too_many_scopes_nothing_is_kept_unless_all_are_left() {
        let all = scopes(SCOPES_MAX + 1);
        assert_eq!(Left::of(Some(&all[1..]), &all), None);
        assert_eq!(Left::of(None, &all), Some(Left::WHOLE));
    }
}
