//! What a token says, and how long it lives. Pure.

use serde::Serialize;

/// The claims of a token (draft-ietf-oauth-transaction-tokens).
#[derive(Debug, Serialize)]
pub(super) struct Claims<'a> {
    pub(super) iss: &'a str,
    pub(super) aud: &'a str,
    pub(super) iat: u64,
    pub(super) exp: u64,
    /// The id of the request that caused the minting.
    pub(super) txn: &'a str,
    pub(super) sub: &'a str,
    /// Separated by spaces; may be empty.
    pub(super) scope: String,
    /// The proxy.
    pub(super) req_wl: &'a str,
    pub(super) rctx: Context<'a>,
}

/// The circumstances of the request.
#[derive(Debug, Serialize)]
pub(super) struct Context<'a> {
    pub(super) route: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) req_ip: Option<&'a str>,
}

/// When a token begins and ends, in seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Life {
    pub(super) iat_s: u64,
    pub(super) exp_s: u64,
    /// Something else ends before its own time would be over.
    pub(super) is_cut: bool,
}

impl Life {
    /// The life of a token that is minted now and ends with the first of `ends_ms`. `None` if nothing of it would be left.
    pub(super) fn of(now_ms: u64, ttl_ms: u64, ends_ms: impl IntoIterator<Item = u64>) -> Option<Self> {
        let own_s = now_ms.saturating_add(ttl_ms) / 1_000;
        // Never later than the instant itself.
        let exp_s = ends_ms.into_iter().map(|end_ms| end_ms / 1_000).fold(own_s, u64::min);
        let life = Self { iat_s: now_ms / 1_000, exp_s, is_cut: exp_s < own_s };
        (exp_s.saturating_mul(1_000) > now_ms).then_some(life)
    }

    /// From when on another token is minted: after half of its life.
    pub(super) const fn renew_at_ms(self, now_ms: u64) -> u64 {
        let left_ms = self.exp_s.saturating_mul(1_000).saturating_sub(now_ms);
        now_ms.saturating_add(left_ms / 2)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_token_ends_with_the_first_of_its_own_time_and_all_that_it_rests_on() {
        let exp =
            |now_ms, ends: &[u64]| Life::of(now_ms, 30_000, ends.iter().copied()).map(|life| (life.exp_s, life.is_cut));
        assert_eq!(exp(10_000, &[]), Some((40, false)));
        assert_eq!(exp(10_900, &[]), Some((40, false)));
        assert_eq!(exp(10_000, &[u64::MAX, 40_999]), Some((40, false)));
        assert_eq!(exp(10_000, &[39_999, 50_000]), Some((39, true)));
        assert_eq!(exp(10_000, &[50_000, 11_000]), Some((11, true)));
        for over in [0, 9_999, 10_000, 10_999] {
            assert_eq!(exp(10_000, &[over]), None, "{over}: nothing is left, or less than a second");
        }
        assert_eq!(exp(u64::MAX, &[]), None, "a clock that cannot be right");
    }

    #[test]
    fn a_token_is_renewed_after_half_of_its_life() {
        let renewed = |now_ms, end_ms| Life::of(now_ms, 30_000, [end_ms]).unwrap().renew_at_ms(now_ms);
        assert_eq!((renewed(10_000, u64::MAX), renewed(10_000, 12_000)), (25_000, 11_000));
    }

    #[test]
    fn claims_are_those_of_the_draft() {
        let of = |req_ip| {
            let rctx = Context { route: "orders.list", req_ip };
            let scope = "orders:read".to_owned();
            let claims = Claims {
                iss: "https://p",
                aud: "orders",
                iat: 1,
                exp: 31,
                txn: "r-1",
                sub: "alice",
                scope,
                req_wl: "edge",
                rctx,
            };
            serde_json::to_value(claims).unwrap()
        };
        let mut expected = json!({
            "iss": "https://p", "aud": "orders", "iat": 1, "exp": 31, "txn": "r-1", "sub": "alice",
            "scope": "orders:read", "req_wl": "edge", "rctx": {"route": "orders.list"},
        });
        assert_eq!(of(None), expected);
        expected["rctx"]["req_ip"] = json!("192.0.2.1");
        assert_eq!(of(Some("192.0.2.1")), expected);
    }
}
