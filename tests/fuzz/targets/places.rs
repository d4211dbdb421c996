//! Any bytes are cookies and subprotocols: what is found in them is gone once it is removed.
#![no_main]

use portcullis_engine::authorize::{cookie, subprotocol};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    // Two headers.
    let middle = bytes.iter().position(|byte| *byte == b'\n').unwrap_or(bytes.len());
    let headers = [&bytes[..middle], &bytes[middle..]];
    match cookie::without(&headers, "session") {
        None => assert_eq!(cookie::find(&headers, "session"), Ok(None)),
        Some(left) => assert_eq!(cookie::find(&[&left], "session"), Ok(None)),
    }
    match subprotocol::without(&headers, "bearer") {
        None => assert_eq!(subprotocol::find(&headers, "bearer"), Ok(None)),
        Some(left) => assert_eq!(subprotocol::find(&[&left], "bearer"), Ok(None)),
    }
});
