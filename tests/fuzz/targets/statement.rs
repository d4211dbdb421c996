//! Any bytes as the claims of a signed statement are refused, or a statement within its demands that no key has signed.
#![no_main]

use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine as _};
use portcullis_engine::token::{Algorithm, Demands, KeySet, Unproven};
use std::sync::LazyLock;
use std::time::Duration;

const NOW_MS: u64 = 1_700_000_000_000;
const MAX_AGE: Duration = Duration::from_secs(3_600);
const AHEAD: Duration = Duration::from_secs(60);

/// The key of RFC 7515, appendix A.3.
const KEYS: &[u8] = br#"{"keys": [{"kty": "EC", "crv": "P-256",
  "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU", "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}]}"#;

static DEMANDS: LazyLock<Demands> = LazyLock::new(|| Demands {
    issuer: "joe".to_owned(),
    types: vec!["secevent+jwt".to_owned()],
    algorithms: vec![Algorithm::ES256],
    max_age: MAX_AGE,
    ahead: AHEAD,
});

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let encoded = |part: &[u8]| BASE64_URL_SAFE_NO_PAD.encode(part);
    let token =
        format!("{}.{}.{}", encoded(br#"{"alg":"ES256","typ":"secevent+jwt"}"#), encoded(bytes), encoded(&[1; 64]));
    let Ok(unproven) = Unproven::read(&token, &DEMANDS, NOW_MS) else { return };
    let keys = KeySet::parse(KEYS).unwrap_or_else(|error| panic!("{error}"));
    assert!(unproven.verify(&keys, |_| None).is_err(), "forged: {token}");
    // As if the signature were good: what a reader then relies on.
    let Ok(statement) = unproven.verify(&keys, |_| Some(true)) else { panic!("the host vouches for it") };
    let (from, to) = (NOW_MS - 3_600_000, NOW_MS + 60_000);
    assert!((from..=to).contains(&statement.issued_at_ms), "{statement:?}");
    assert!(!statement.id.is_empty() && !statement.id.contains(char::is_control), "{statement:?}");
    assert_eq!(statement.claims["iss"], "joe");
});
