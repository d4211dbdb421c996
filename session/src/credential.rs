//! Bearer credentials of callers: read once, kept as a digest, compared in constant time.

use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// A credential that callers must present.
#[derive(Clone)]
pub struct Credential([u8; 32]);

impl Credential {
    /// The credential `secret`.
    pub fn new(secret: &str) -> Self {
        Self(Sha256::digest(secret).into())
    }

    /// Whether the request presents it. Digests are compared, so the time tells nothing of the secret's length either.
    pub fn is_presented(&self, headers: &HeaderMap) -> bool {
        let presented = bearer(headers).map(Sha256::digest);
        presented.is_some_and(|digest| bool::from(digest.as_slice().ct_eq(&self.0)))
    }
}

impl std::fmt::Debug for Credential {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Credential(…)")
    }
}

/// The bearer token of a request that has exactly one `authorization` (RFC 6750, section 2.1).
fn bearer(headers: &HeaderMap) -> Option<&[u8]> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let (value, None) = (values.next()?, values.next()) else {
        return None;
    };
    let (scheme, rest) = value.as_bytes().split_at_checked("bearer ".len())?;
    scheme.eq_ignore_ascii_case(b"bearer ").then(|| rest.trim_ascii())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn presents(values: &[&str]) -> bool {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(AUTHORIZATION, value.parse().unwrap());
        }
        Credential::new("s3cret").is_presented(&headers)
    }

    #[test]
    fn only_the_one_bearer_credential_is_taken() {
        assert!(presents(&["Bearer s3cret"]));
        assert!(presents(&["bearer  s3cret"]));
        let refused: &[&[&str]] = &[
            &[],
            &["s3cret"],
            &["Basic s3cret"],
            &["Bearer"],
            &["Bearer "],
            &["Bearer s3cre"],
            &["Bearer s3crets"],
            &["Bearer s3cret", "Bearer s3cret"],
        ];
        for values in refused {
            assert!(!presents(values), "{values:?}");
        }
    }
}
