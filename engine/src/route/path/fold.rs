//! Lower case for canonical paths, encoded letters included.

use super::{hex_digit, hex_pair};
use std::borrow::Cow;

/// A canonical path, or a part of one, in lower case. Letters beyond ASCII are encoded, and have case as well.
pub fn lower_case(path: &str) -> Cow<'_, str> {
    if !path.bytes().any(|byte| byte.is_ascii_uppercase() || byte == b'%') {
        return path.into();
    }
    let mut folded = String::with_capacity(path.len());
    let mut rest = path;
    while let Some((plain, encoded)) = rest.split_once('%') {
        folded.extend(plain.chars().map(|char| char.to_ascii_lowercase()));
        let mut bytes = Vec::new();
        let mut tail = encoded;
        // A run of encoded bytes holds whole characters, because the bytes around it are ASCII.
        while let Some(byte) = hex_pair(tail.as_bytes()) {
            bytes.push(byte);
            tail = tail.get(2..).unwrap_or_default();
            match tail.strip_prefix('%') {
                Some(more) => tail = more,
                None => break,
            }
        }
        String::from_utf8_lossy(&bytes).chars().for_each(|char| spell(char, &mut folded));
        rest = tail;
    }
    folded.extend(rest.chars().map(|char| char.to_ascii_lowercase()));
    folded.into()
}

/// Writes an encoded character in lower case, as servers compare that ignore case: they also take a letter for another one
/// that shares its upper case (`ſ` for `s`, `ı` for `i`), and `İ` for `i`.
fn spell(char: char, folded: &mut String) {
    let encode = |char: char, folded: &mut String| {
        for byte in char.encode_utf8(&mut [0; 4]).bytes() {
            folded.extend(['%', hex_digit(byte >> 4), hex_digit(byte & 15)]);
        }
    };
    if char.is_ascii() {
        return encode(char, folded);
    }
    let mut upper = char.to_uppercase();
    let upper = match (upper.next(), upper.next()) {
        (Some(only), None) => only,
        _ => char,
    };
    let lower = upper.to_lowercase().next().unwrap_or(upper);
    if lower.is_ascii() { folded.push(lower) } else { encode(lower, folded) }
}

#[cfg(test)]
mod tests {
    use super::super::Path;
    use proptest::prelude::*;

    #[test]
    fn every_letter_has_one_case() {
        for (path, expected) in [
            ("/files/special", "/files/special"),
            ("/Files/SPECIAL", "/files/special"),
            ("/CAF%C3%89/X", "/caf%C3%A9/x"),
            ("/adm%C4%B1n", "/admin"),
            ("/adm%C4%B0n", "/admin"),
            ("/u%C5%BFers", "/users"),
            ("/%CF%82", "/%CF%83"),
            ("/a%2FB", "/a%2Fb"),
            ("/A%20%25Z", "/a%20%25z"),
            ("/%E2%84%AAelvin", "/kelvin"),
        ] {
            assert_eq!(Path::parse(path.as_bytes()).unwrap().without_case(), expected, "{path}");
        }
    }

    proptest! {
        #[test]
        fn folding_twice_is_folding_once(text in "(/[a-zA-ZÄäßİſ%K ]{1,6}){1,3}") {
            let encoded: String = text.bytes().map(|byte| match byte {
                b'/' => "/".to_owned(),
                byte => format!("%{byte:02x}"),
            }).collect();
            if let Ok(path) = Path::parse(encoded.as_bytes()) {
                let once = path.without_case().into_owned();
                let again = Path::parse(once.as_bytes()).unwrap();
                prop_assert_eq!(again.without_case(), once.as_str());
                prop_assert_eq!(again.as_str(), once.as_str(), "a folded path is canonical");
            }
        }
    }
}
