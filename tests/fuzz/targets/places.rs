//! Any bytes are cookies and subprotocols: what is found in them is gone once it is removed.
#![no_main]

use portcullis_engine::authorize::{cookie, handle::HandleDigest, subprotocol};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    // Two headers.
    let middle = bytes.iter().position(|byte| *byte == b'\n').unwrap_or(bytes.len());
    let headers = [&bytes[..middle], &bytes[middle..]];
    match cookie::without(&headers, "session") {
        None => assert_eq!(cookie::find(&headers, "session"), Ok(None)),
        Some(left) => assert_eq!(cookie::find(&[&left], "session"), Ok(None)),
    }
    // What can be a handle can stand in a cookie again, as it is.
    if let Ok(Some(value)) = cookie::find(&headers, "session")
        && let Ok(text) = std::str::from_utf8(value)
        && HandleDigest::of(text).is_some()
    {
        let again = format!("session={text}");
        assert_eq!(cookie::find(&[again.as_bytes()], "session"), Ok(Some(value)));
    }
    match subprotocol::without(&headers, "bearer") {
        None => assert_eq!(subprotocol::find(&headers, "bearer"), Ok(None)),
        Some(left) => assert_eq!(subprotocol::find(&[&left], "bearer"), Ok(None)),
    }
});
