//! The names that Kubernetes allows.

/// The longest name of an object, in bytes (RFC 1123, as Kubernetes applies it).
const NAME_BYTES_MAX: usize = 253;
/// The longest namespace, in bytes.
const LABEL_BYTES_MAX: usize = 63;

/// Checks the name of a Kubernetes object.
pub(super) fn dns_name(text: &str) -> Result<(), String> {
    if text.len() <= NAME_BYTES_MAX && text.split('.').all(is_label) {
        return Ok(());
    }
    Err("Kubernetes names have lower-case letters, digits, `-` and `.`, with a letter or digit at both ends and around each `.`".to_owned())
}

/// Parses a Kubernetes namespace.
pub(super) fn dns_label(text: &str) -> Result<String, String> {
    if text.len() <= LABEL_BYTES_MAX && is_label(text) {
        return Ok(text.to_owned());
    }
    Err(format!(
        "expected at most {LABEL_BYTES_MAX} lower-case letters, digits and `-`, with a letter or digit at both ends"
    ))
}

fn is_label(text: &str) -> bool {
    let is_edge = |byte: Option<&u8>| byte.is_some_and(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
    let bytes = text.as_bytes();
    is_edge(bytes.first())
        && is_edge(bytes.last())
        && bytes.iter().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || *byte == b'-')
}
