//! Any name or JSON Pointer leads to scopes that are scopes in any claims, or to none: `POINTER`, a line feed, and an
//! introspection endpoint's answer.
#![no_main]

use portcullis_engine::{
    policy::{Issuer, Policy},
    token::{Introspected, SCOPE_BYTES_MAX, ScopeClaim, TokenDigest},
};
use std::sync::LazyLock;

const POLICY: &str = r#"{
  "issuers": [{"issuer": "joe", "clients": ["web"], "opaque": true, "machine": {"idtyp": ["app", 1, true]}}],
  "session": {"cluster": "s", "protocol": "introspection", "path": "/i"},
  "routes": [{"name": "me", "match": {"path": "/me"}, "authenticated": true}]
}"#;
const NOW_MS: u64 = 1_700_000_000_000;

static ISSUERS: LazyLock<Vec<Issuer>> =
    LazyLock::new(|| Policy::parse(POLICY.as_bytes()).unwrap_or_else(|faults| panic!("{faults:?}")).issuers);

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let mut parts = bytes.splitn(2, |byte| *byte == b'\n');
    let (Some(name), Some(body)) = (parts.next(), parts.next()) else { return };
    let Ok(name) = std::str::from_utf8(name) else { return };
    let Ok(claim) = ScopeClaim::parse(name) else {
        assert!(name.starts_with('/') && name.contains('~'), "{name:?}");
        return;
    };
    let written: String = match name.starts_with('/') {
        true => claim.path().iter().map(|part| format!("/{}", part.replace('~', "~0").replace('/', "~1"))).collect(),
        false => claim.path().join(" "),
    };
    assert_eq!(written, name);
    let Some(answer) = Introspected::parse(body) else { return };
    let mut issuers = ISSUERS.clone();
    issuers.iter_mut().for_each(|issuer| issuer.claim_names.scopes = vec![claim.clone()]);
    let Ok((_, facts)) = answer.facts(TokenDigest::of(""), &issuers, NOW_MS) else { return };
    assert_eq!(facts.client_id.as_deref(), Some("web"));
    assert!(facts.scopes.is_sorted_by(|one, next| one < next), "{:?}", facts.scopes);
    for scope in &facts.scopes {
        let is_scope = scope.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'"' && byte != b'\\');
        assert!(is_scope && (1..=SCOPE_BYTES_MAX).contains(&scope.len()), "{scope:?}");
    }
});
