//! Finds and removes a token in `Sec-WebSocket-Protocol`: browsers cannot send another header with a websocket.
//!
//! The client offers a name and, after it, the token: `bearer, TOKEN`. Neither is a protocol that the upstream speaks.

/// Why the token cannot be used: the name occurs twice, or no token follows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Malformed;

/// The token after a name; `None` if the name is not offered.
///
/// # Errors
/// The name occurs twice, or nothing follows it.
pub fn find<'a>(headers: &[&'a [u8]], name: &str) -> Result<Option<&'a [u8]>, Malformed> {
    let mut offered = offered(headers);
    if !offered.by_ref().any(|protocol| protocol == name.as_bytes()) {
        return Ok(None);
    }
    let token = offered.next().ok_or(Malformed)?;
    match token == name.as_bytes() || offered.any(|protocol| protocol == name.as_bytes()) {
        true => Err(Malformed),
        false => Ok(Some(token)),
    }
}

/// The header without each name and what follows it: `None` if the name is not offered, empty if nothing else is.
pub fn without(headers: &[&[u8]], name: &str) -> Option<Vec<u8>> {
    offered(headers).find(|protocol| *protocol == name.as_bytes())?;
    let mut others = Vec::new();
    let mut is_token = false;
    for protocol in offered(headers) {
        let is_name = protocol == name.as_bytes();
        if !is_name && !is_token {
            others.push(protocol);
        }
        is_token = is_name;
    }
    Some(others.join(&b", "[..]))
}

fn offered<'a>(headers: &[&'a [u8]]) -> impl Iterator<Item = &'a [u8]> {
    let items = headers.iter().flat_map(|header| header.split(|byte| *byte == b','));
    items.map(<[u8]>::trim_ascii).filter(|item| !item.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_token_follows_its_name() {
        for (headers, expected) in [
            (&["bearer, a.b-c"][..], Ok(Some("a.b-c"))),
            (&["chat, bearer, t, superchat"], Ok(Some("t"))),
            (&["chat", "bearer,t"], Ok(Some("t"))),
            (&["bearer", "t"], Ok(Some("t"))),
            (&["chat"], Ok(None)),
            (&["Bearer, t"], Ok(None)),
            (&[], Ok(None)),
            (&["bearer"], Err(Malformed)),
            (&["chat, bearer"], Err(Malformed)),
            (&["bearer, t, bearer, u"], Err(Malformed)),
            (&["bearer, bearer, t"], Err(Malformed)),
        ] {
            let bytes: Vec<&[u8]> = headers.iter().map(|header| header.as_bytes()).collect();
            assert_eq!(find(&bytes, "bearer"), expected.map(|token| token.map(str::as_bytes)), "{headers:?}");
        }
    }

    #[test]
    fn the_other_protocols_stay() {
        for (headers, expected) in [
            (&["chat, bearer, t, superchat"][..], Some("chat, superchat")),
            (&["bearer, t"], Some("")),
            (&["bearer"], Some("")),
            (&["bearer, bearer, t"], Some("")),
            (&["bearer, t, bearer, u, chat"], Some("chat")),
            (&["chat"], None),
        ] {
            let bytes: Vec<&[u8]> = headers.iter().map(|header| header.as_bytes()).collect();
            assert_eq!(without(&bytes, "bearer").as_deref(), expected.map(str::as_bytes), "{headers:?}");
        }
    }

    proptest! {
        #[test]
        fn what_is_found_is_no_longer_there_when_it_is_removed(header in "(chat|bearer|t[0-9]|[ ,]){0,10}") {
            let headers = [header.as_bytes()];
            if let Ok(Some(token)) = find(&headers, "bearer") {
                let left = without(&headers, "bearer").unwrap();
                prop_assert_eq!(find(&[&left], "bearer"), Ok(None));
                let count = |header: &[u8]| offered(&[header]).filter(|item| *item == token).count();
                prop_assert_eq!(count(&left) + 1, count(header.as_bytes()));
            }
        }

        #[test]
        fn no_bytes_make_it_fall(header: Vec<u8>) {
            let _ = find(&[&header], "bearer");
            let _ = without(&[&header], "bearer");
        }
    }
}
