//! Bearer credentials of callers: read once, kept as a digest, compared in constant time.

use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use base64::prelude::{BASE64_STANDARD, Engine as _};
use sha2::{Digest, Sha256};
use subtle::{Choice, ConstantTimeEq};

/// The credentials of which callers must present one: there are several while one replaces another.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials(Vec<[u8; 32]>);

impl Credentials {
    /// The credentials `secrets`.
    pub fn new<S: AsRef<str>>(secrets: impl IntoIterator<Item = S>) -> Self {
        Self(secrets.into_iter().map(|secret| Sha256::digest(secret.as_ref()).into()).collect())
    }

    /// Whether a caller could present one of them as one of `others`.
    pub(crate) fn overlap(&self, others: &Self) -> bool {
        self.0.iter().any(|digest| others.0.contains(digest))
    }

    /// Whether the request presents one.
    pub fn are_presented(&self, headers: &HeaderMap) -> bool {
        Presented::read(headers).is_some_and(|presented| self.hold(&presented))
    }

    /// Whether the request presents one as the password of any client (RFC 6749, section 2.3.1). That section requires the
    /// password to be form-encoded, which many callers leave out: both are accepted.
    pub fn are_password(&self, headers: &HeaderMap) -> bool {
        let Some(pair) = after_scheme(headers, b"basic ").and_then(|encoded| BASE64_STANDARD.decode(encoded).ok())
        else {
            return false;
        };
        let Some(password) = pair.splitn(2, |byte| *byte == b':').nth(1) else {
            return false;
        };
        self.hold(&Presented::of(password)) || self.hold(&Presented::of(&form_decoded(password)))
    }

    /// Whether it is one of them. Compares with all, so that the time does not reveal which one it is.
    pub(crate) fn hold(&self, presented: &Presented) -> bool {
        let found = self.0.iter().fold(Choice::from(0), |found, held| found | presented.0.as_slice().ct_eq(held));
        found.into()
    }
}

/// The bearer token of a request that has exactly one `authorization` (RFC 6750, section 2.1).
pub(crate) fn bearer(headers: &HeaderMap) -> Option<&[u8]> {
    after_scheme(headers, b"bearer ")
}

/// What a caller presents as its credential: a digest, so that the time of a comparison does not reveal a secret's length.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) struct Presented([u8; 32]);

impl Presented {
    /// The bearer token of a request that has exactly one `authorization` (RFC 6750, section 2.1).
    pub(crate) fn read(headers: &HeaderMap) -> Option<Self> {
        bearer(headers).map(Self::of)
    }

    /// The whole value of the only `authorization` of a request.
    pub(crate) fn whole(headers: &HeaderMap) -> Option<Self> {
        let mut values = headers.get_all(AUTHORIZATION).iter();
        let (value, None) = (values.next()?, values.next()) else {
            return None;
        };
        Some(Self::of(value.as_bytes()))
    }

    pub(crate) fn of(secret: &[u8]) -> Self {
        Self(Sha256::digest(secret).into())
    }
}

impl std::fmt::Debug for Presented {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Presented(…)")
    }
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Credentials(…)")
    }
}

/// What follows the scheme, which is in lower case and ends with its space, in the only `authorization`.
fn after_scheme<'a>(headers: &'a HeaderMap, scheme: &[u8]) -> Option<&'a [u8]> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let (value, None) = (values.next()?, values.next()) else {
        return None;
    };
    let (named, rest) = value.as_bytes().split_at_checked(scheme.len())?;
    named.eq_ignore_ascii_case(scheme).then(|| rest.trim_ascii())
}

fn form_decoded(text: &[u8]) -> Vec<u8> {
    let value = [b"=".as_slice(), text].concat();
    form_urlencoded::parse(&value).next().map(|(_, value)| value.into_owned().into_bytes()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn presents(values: &[&str]) -> bool {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(AUTHORIZATION, value.parse().unwrap());
        }
        Credentials::new(["another", "s3cret", "one more"]).are_presented(&headers)
    }

    #[test]
    fn one_bearer_token_that_is_one_of_the_credentials_is_accepted() {
        assert!(presents(&["Bearer s3cret"]));
        assert!(presents(&["bearer  s3cret"]));
        assert!(presents(&["Bearer another"]) && presents(&["Bearer one more"]));
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

    #[test]
    fn the_credential_is_accepted_as_any_clients_password() {
        let presents = |secret: &str, pair: &str| {
            let mut headers = HeaderMap::new();
            headers.append(AUTHORIZATION, format!("Basic {}", BASE64_STANDARD.encode(pair)).parse().unwrap());
            Credentials::new([secret]).are_password(&headers)
        };
        for (secret, pair) in
            [("s3cret", "web:s3cret"), ("s3cret", ":s3cret"), ("a:b&c d", "web:a:b&c d"), ("a:b&c d", "x:a%3Ab%26c+d")]
        {
            assert!(presents(secret, pair), "{pair}");
        }
        for pair in ["", "s3cret", "s3cret:", "web:", "web:s3cre", "web:s3cret ", "web:x:s3cret", "web:x&=s3cret"] {
            assert!(!presents("s3cret", pair), "{pair}");
        }
    }
}
