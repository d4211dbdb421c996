//! Any bytes are a path in its one spelling, or ambiguous; and the same for hosts.
#![no_main]

use portcullis_engine::route::{Host, Path};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    if let Some(host) = Host::parse(bytes) {
        assert_eq!(host.as_str(), host.as_str().to_ascii_lowercase());
    }
    let Ok(path) = Path::parse(bytes) else { return };
    let path = path.as_str();
    let lower = path.to_ascii_lowercase();
    assert!(path.starts_with('/'));
    // An encoded slash may pass; the segments around it are as plain as any others.
    let decoded = lower.replace("%2f", "/");
    assert!(!decoded.contains("//"), "{path}");
    assert!(!decoded.split('/').any(|segment| matches!(segment, "." | "..")), "{path}");
    for hidden in ["//", "%5c", "%00", "%2e", "\\", ";", "?", "#", "/./", "/../"] {
        assert!(!lower.contains(hidden), "{hidden} in {path}");
    }
    let again = Path::parse(path.as_bytes()).expect("a normal path stays one");
    assert_eq!(again.as_str(), path, "normalised twice is normalised once");
});
