//! Finds and removes one cookie in a request's `Cookie` headers (RFC 6265, section 5.4).
//!
//! HTTP/2 splits the header, so there can be several. Names are compared exactly, without the white space around them.

/// Why a cookie's value cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ambiguous {
    /// The name occurs twice: the filter and the upstream could each take another one.
    Twice,
}

/// The value of a cookie, without the quotes around it; `None` if there is none.
///
/// # Errors
/// The name occurs twice.
pub fn find<'a>(headers: &[&'a [u8]], name: &str) -> Result<Option<&'a [u8]>, Ambiguous> {
    let mut values = pairs(headers).filter_map(|pair| value(pair, name));
    match (values.next(), values.next()) {
        (found, None) => Ok(found),
        (_, Some(_)) => Err(Ambiguous::Twice),
    }
}

/// The header without a cookie: `None` if it does not occur, empty if nothing else is left.
pub fn without(headers: &[&[u8]], name: &str) -> Option<Vec<u8>> {
    pairs(headers).find(|pair| value(pair, name).is_some())?;
    let others: Vec<&[u8]> = pairs(headers).filter(|pair| value(pair, name).is_none()).collect();
    Some(others.join(&b"; "[..]))
}

fn pairs<'a>(headers: &[&'a [u8]]) -> impl Iterator<Item = &'a [u8]> {
    let pairs = headers.iter().flat_map(|header| header.split(|byte| *byte == b';'));
    pairs.map(<[u8]>::trim_ascii).filter(|pair| !pair.is_empty())
}

/// The value of a pair, if it has this name.
fn value<'a>(pair: &'a [u8], name: &str) -> Option<&'a [u8]> {
    let at = pair.iter().position(|byte| *byte == b'=')?;
    let (own, value) = (pair.get(..at)?, pair.get(at + 1..)?.trim_ascii());
    if own.trim_ascii() != name.as_bytes() {
        return None;
    }
    Some(value.strip_prefix(b"\"").and_then(|value| value.strip_suffix(b"\"")).unwrap_or(value))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn found<'a>(headers: &[&'a str]) -> Result<Option<&'a str>, Ambiguous> {
        let headers: Vec<&[u8]> = headers.iter().map(|header| header.as_bytes()).collect();
        find(&headers, "session").map(|value| value.map(|value| std::str::from_utf8(value).unwrap()))
    }

    #[test]
    fn a_cookie_is_found_wherever_it_stands() {
        for (headers, expected) in [
            (&["session=a.b-c"][..], Some("a.b-c")),
            (&["a=1; session=t; b=2"], Some("t")),
            (&["a=1;session=t"], Some("t")),
            (&["a=1", "session=t", "b=2"], Some("t")),
            (&["session=\"t\""], Some("t")),
            (&[" session = t "], Some("t")),
            (&["session="], Some("")),
            (&["session=a=b"], Some("a=b")),
            (&["session=\"t"], Some("\"t")),
            (&["Session=t"], None),
            (&["xsession=t; session2=t; a=session=t"], None),
            (&["session"], None),
            (&["", ";;"], None),
            (&[], None),
        ] {
            assert_eq!(found(headers), Ok(expected), "{headers:?}");
        }
    }

    #[test]
    fn two_cookies_of_a_name_are_ambiguous_even_when_they_agree() {
        for headers in [
            &["session=a; session=a"][..],
            &["session=a", "session=b"],
            &["session=a; a=1; session="],
            &["session=a;session =b"],
        ] {
            assert_eq!(found(headers), Err(Ambiguous::Twice), "{headers:?}");
        }
    }

    #[test]
    fn only_that_cookie_is_removed() {
        for (headers, expected) in [
            (&["a=1; session=t; b=\"2\""][..], Some("a=1; b=\"2\"")),
            (&["session=t"], Some("")),
            (&["a=1", "session=t", "b"], Some("a=1; b")),
            (&["session=t; session=u; a=1"], Some("a=1")),
            (&["a=1"], None),
        ] {
            let headers: Vec<&[u8]> = headers.iter().map(|header| header.as_bytes()).collect();
            assert_eq!(without(&headers, "session").as_deref(), expected.map(str::as_bytes), "{headers:?}");
        }
    }

    proptest! {
        #[test]
        fn what_is_left_has_every_other_cookie_and_none_of_that_name(headers in prop::collection::vec("([a-c =;\"]|session){0,12}", 0..3)) {
            let bytes: Vec<&[u8]> = headers.iter().map(|header| header.as_bytes()).collect();
            let others = |headers: &[&[u8]]| -> Vec<Vec<u8>> {
                pairs(headers).filter(|pair| value(pair, "session").is_none()).map(<[u8]>::to_vec).collect()
            };
            match without(&bytes, "session") {
                None => prop_assert_eq!(find(&bytes, "session"), Ok(None)),
                Some(left) => {
                    prop_assert_eq!(find(&[&left], "session"), Ok(None));
                    prop_assert_eq!(others(&[&left]), others(&bytes));
                }
            }
        }

        #[test]
        fn no_bytes_make_it_fall(header: Vec<u8>) {
            let _ = find(&[&header], "session");
            let _ = without(&[&header], "session");
        }
    }
}
