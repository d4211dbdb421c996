//! Any bytes as the claims or the header of a proof of possession, or as its URL, are refused: nobody has signed them. A URL has
//! one spelling.
#![no_main]

use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine as _};
use portcullis_engine::token::{
    Algorithm, Thumbprint, TokenDigest,
    dpop::{HttpUrl, ProofTerms, Proving, prove},
};
use std::{sync::LazyLock, time::Duration};

const NOW_MS: u64 = 1_562_262_618_000;

/// The header of the proof in RFC 9449, figure 13.
const HEADER: &[u8] = br#"{"typ":"dpop+jwt","alg":"ES256","jwk":{"kty":"EC","x":"l8tFrhx-34tV3hRICRDY9zCkDlpBhF42UQUfWVAWBFs","y":"9VE4jf_Ok_o64zbTTlcuNJajHmt6v9TDVrU0CdvGRDA","crv":"P-256"}}"#;

static TERMS: LazyLock<ProofTerms> = LazyLock::new(|| ProofTerms {
    window: Duration::from_secs(60),
    algorithms: vec![Algorithm::ES256, Algorithm::EdDSA],
});

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let encoded = |part: &[u8]| BASE64_URL_SAFE_NO_PAD.encode(part);
    let Some(url) = HttpUrl::parse("https://resource.example.org/protectedresource") else { panic!("it is a URL") };
    let jkt = BASE64_URL_SAFE_NO_PAD.decode("0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I").unwrap_or_default();
    let key = Thumbprint(jkt.try_into().unwrap_or_default());
    let token = TokenDigest::of("Kz~8mXK1EalYznwH-LC-1fBAo.4Ljp~zsPE_NeO.gxU");
    let request = Proving { method: "GET", url: &url, token, key, nonces: None };
    for (header, claims) in [(HEADER, bytes), (bytes, &b"{}"[..])] {
        let proof = format!("{}.{}.{}", encoded(header), encoded(claims), encoded(&[1; 64]));
        assert!(prove(&proof, &request, &TERMS, |_| None, NOW_MS).is_err(), "forged: {proof}");
        // As if the signature were good: what a reader then relies on.
        if let Ok(proven) = prove(&proof, &request, &TERMS, |_| Some(true), NOW_MS) {
            assert!(proven.lasts_ms <= 120_000, "{proven:?}");
        }
    }
    let Ok(text) = str::from_utf8(bytes) else { return };
    assert!(prove(text, &request, &TERMS, |_| None, NOW_MS).is_err(), "forged: {text}");
    if let Some(url) = HttpUrl::parse(text) {
        assert_eq!(HttpUrl::parse(url.as_str()).as_ref(), Some(&url), "{text}");
        assert!(!url.as_str().contains(['?', '#']), "{text}");
    }
});
