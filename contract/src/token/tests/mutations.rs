//! Nothing makes the verifier panic, and no change to a token goes unnoticed.

use super::world::*;
use crate::token::KeySet;
use proptest::prelude::*;
use std::sync::LazyLock;

static GOOD: LazyLock<String> = LazyLock::new(good);

proptest! {
    #[test]
    fn arbitrary_strings_are_refused(token in ".{0,300}") {
        prop_assert!(check(&token).is_err());
    }

    #[test]
    fn strings_that_look_like_tokens_are_refused(token in "[A-Za-z0-9_-]{0,80}\\.[A-Za-z0-9_-]{0,80}\\.[A-Za-z0-9_-]{0,90}") {
        prop_assert!(check(&token).is_err());
    }

    #[test]
    fn arbitrary_signed_payloads_do_not_panic(payload in ".{0,200}", header in ".{0,100}") {
        prop_assert!(check(&raw(&header, &payload)).is_err());
        prop_assert!(check(&raw(HEADER, &payload)).is_err());
    }

    #[test]
    fn a_token_with_any_one_character_changed_is_refused(at in any::<prop::sample::Index>(), to in any::<char>()) {
        let mut characters: Vec<char> = GOOD.chars().collect();
        let at = at.index(characters.len());
        prop_assume!(characters[at] != to);
        characters[at] = to;
        prop_assert!(check(&String::from_iter(characters)).is_err());
    }

    #[test]
    fn a_token_with_a_part_cut_out_or_doubled_is_refused(
        from in any::<prop::sample::Index>(), length in 1usize..40, twice: bool,
    ) {
        let from = from.index(GOOD.len());
        let to = (from + length).min(GOOD.len());
        let middle = if twice { GOOD[from..to].repeat(2) } else { String::new() };
        let token = format!("{}{middle}{}", &GOOD[..from], &GOOD[to..]);
        prop_assert!(check(&token).is_err());
    }

    #[test]
    fn arbitrary_key_sets_do_not_panic(json in any::<Vec<u8>>(), n in "[A-Za-z0-9_-]{0,700}", e in "[A-Za-z0-9_-]{0,8}") {
        prop_assert!(KeySet::parse(&json).is_err());
        let _ = KeySet::parse(format!(r#"{{"keys":[{{"kty":"RSA","n":"{n}","e":"{e}"}}]}}"#).as_bytes());
        let _ = KeySet::parse(format!(r#"{{"keys":[{{"kty":"OKP","crv":"Ed25519","x":"{n}"}}]}}"#).as_bytes());
    }
}

#[test]
fn every_character_of_a_token_counts() {
    for (at, is) in GOOD.char_indices() {
        for to in ['A', 'B', 'w', '.', '=', ' '] {
            if is != to {
                let token = format!("{}{to}{}", &GOOD[..at], &GOOD[at + 1..]);
                assert!(check(&token).is_err(), "{at}");
            }
        }
    }
}
