//! Any bytes are refused as a token, and any bytes are a key set or an error.
#![no_main]

use portcullis_engine::{
    authorize::{Scheme, credentials},
    policy::Policy,
    token::{self, KeyRings, KeySet},
};
use std::sync::LazyLock;

struct World {
    policy: Policy,
}

/// One key of RFC 7515, appendix A.3: nobody who fuzzes has its private half at hand.
const POLICY: &str = r#"{
  "issuers": [{"issuer": "joe", "audiences": ["api"], "algorithms": ["ES256", "RS256", "EdDSA"],
    "token_types": ["at+jwt", "JWT"],
    "keys": {"inline": {"keys": [{"kty": "EC", "crv": "P-256", "kid": "1",
      "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU", "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}]}}}],
  "session": {"cluster": "session"},
  "routes": [{"name": "me", "match": {"path": "/me"}, "authenticated": true}]
}"#;

static WORLD: LazyLock<World> = LazyLock::new(|| {
    let policy = Policy::parse(POLICY.as_bytes()).unwrap_or_else(|faults| panic!("{faults:?}"));
    World { policy }
});

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let _ = KeySet::parse(bytes);
    let Ok(token) = credentials(Scheme::Bearer, std::iter::once(bytes)) else { return };
    let issuers = &WORLD.policy.issuers;
    let rings = KeyRings::new(issuers.iter().map(|issuer| &issuer.keys)).unwrap_or_default();
    assert!(token::verify(token, issuers, &rings, |_| None, 1_300_000_000_000).is_err(), "forged: {token}");
});
