//! The limits on tokens, their cache and key sets.

use super::ROOT;
use crate::{
    policy::{Sizes, deserialize::Given, fault::Faults, json_path::At, raw::RawSizes},
    token::TOKEN_BYTES_MAX,
};
use std::ops::RangeInclusive;

/// What each limit can be. A token cannot be longer than what session services read, and Envoy's headers; a cache that is
/// too small would hold no token at all.
const TOKEN_BYTES: RangeInclusive<usize> = 1 << 10..=TOKEN_BYTES_MAX;
const TOKEN_CACHE_BYTES: RangeInclusive<usize> = 1 << 20..=1 << 30;
const KEY_SET_BYTES: RangeInclusive<usize> = 1 << 10..=16 << 20;

pub(super) fn sizes(raw: Given<RawSizes>, faults: &mut Faults) -> Option<Sizes> {
    let default = Sizes::default();
    raw.or(default, |raw| {
        let at = ROOT.key("limits");
        let token = bytes(raw.token_bytes, default.token_bytes, &TOKEN_BYTES, &at.key("token_bytes"), faults);
        let cache = bytes(
            raw.token_cache_bytes,
            default.token_cache_bytes,
            &TOKEN_CACHE_BYTES,
            &at.key("token_cache_bytes"),
            faults,
        );
        let key_set = bytes(raw.key_set_bytes, default.key_set_bytes, &KEY_SET_BYTES, &at.key("key_set_bytes"), faults);
        Some(Sizes { token_bytes: token?, token_cache_bytes: cache?, key_set_bytes: key_set? })
    })
}

fn bytes(
    given: Given<u64>,
    default: usize,
    range: &RangeInclusive<usize>,
    at: &At<'_>,
    faults: &mut Faults,
) -> Option<usize> {
    given.or(default, |number| {
        let bytes = usize::try_from(number).ok().filter(|bytes| range.contains(bytes));
        if bytes.is_none() {
            let (least, most) = (range.start(), range.end());
            faults.add(at, format_args!("{number} is out of range; between {least} and {most} bytes are allowed"));
        }
        bytes
    })
}
