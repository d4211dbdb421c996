//! Extracts the token from `Authorization`: under the scheme Bearer (RFC 6750, section 2.1), or under DPoP (RFC 9449, section
//! 7.1), which has the same form.

use std::fmt;

/// Why a request has no usable bearer token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CredentialError {
    /// There is no `Authorization` header, or it has another scheme: 401 without an error code (RFC 6750, section 3.1).
    NoCredentials,
    /// There are several credentials, or a bearer token is broken: 400.
    Malformed,
}

impl fmt::Display for CredentialError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoCredentials => "no credentials",
            Self::Malformed => "not exactly one bearer token",
        })
    }
}

/// The scheme under which a token is presented.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Scheme {
    /// Whoever has the token can use it. A token in a cookie or a subprotocol is presented like this as well.
    #[default]
    Bearer,
    /// It comes with a proof of possession.
    Dpop,
}

impl Scheme {
    /// The name, in lower case.
    const fn name(self) -> &'static [u8] {
        match self {
            Self::Bearer => b"bearer",
            Self::Dpop => b"dpop",
        }
    }
}

/// The access token under a scheme, given the values of all `Authorization` headers of a request. Its length is not judged
/// here: an over-long token is an invalid token, not a malformed request.
///
/// # Errors
/// More than one value, a header that has no scheme, or anything but one token in the alphabet of RFC 6750 is malformed.
/// This includes credentials joined by commas, because the alphabet has no comma. Another scheme is no credential: the
/// client asks which one it should use.
pub fn credentials<'a>(scheme: Scheme, mut values: impl Iterator<Item = &'a [u8]>) -> Result<&'a str, CredentialError> {
    let value = values.next().ok_or(CredentialError::NoCredentials)?;
    if values.next().is_some() {
        return Err(CredentialError::Malformed);
    }
    token(scheme, value).ok_or(if is_other_scheme(scheme, value) {
        CredentialError::NoCredentials
    } else {
        CredentialError::Malformed
    })
}

/// Whether it has another scheme: a token (RFC 9110, sections 5.6.2 and 11.4), alone or before a space.
fn is_other_scheme(scheme: Scheme, value: &[u8]) -> bool {
    let given = value.split(|byte| *byte == b' ').next().unwrap_or_default();
    let is_token =
        !given.is_empty() && given.iter().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte));
    is_token && !given.eq_ignore_ascii_case(scheme.name())
}

fn token(scheme: Scheme, value: &[u8]) -> Option<&str> {
    let (given, rest) = value.split_at_checked(scheme.name().len())?;
    let token = rest.trim_ascii_start();
    let space = rest.len() - token.len();
    let spaces_only = rest.iter().take(space).all(|&byte| byte == b' ');
    if !given.eq_ignore_ascii_case(scheme.name()) || space == 0 || !spaces_only {
        return None;
    }
    b64token(token)
}

/// The bytes as a token, if they are one in the alphabet of RFC 6750.
pub(super) fn b64token(bytes: &[u8]) -> Option<&str> {
    is_b64token(bytes).then(|| std::str::from_utf8(bytes).ok()).flatten()
}

/// `b64token = 1*( ALPHA / DIGIT / "-" / "." / "_" / "~" / "+" / "/" ) *"="`
fn is_b64token(token: &[u8]) -> bool {
    let padding = token.iter().rev().take_while(|&&byte| byte == b'=').count();
    let body = token.len() - padding;
    body > 0 && token.iter().take(body).all(|byte| B64TOKEN.get(usize::from(*byte)) == Some(&true))
}

/// For each byte, whether a token can contain it. A table, because every byte of every request's token is checked.
const B64TOKEN: [bool; 256] = {
    let mut allowed = [false; 256];
    let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~+/";
    let mut index = 0;
    while index < alphabet.len() {
        #[expect(clippy::indexing_slicing, reason = "evaluated by the compiler, which would say so")]
        {
            allowed[alphabet[index] as usize] = true;
        }
        index += 1;
    }
    allowed
};

#[cfg(test)]
mod tests {
    use super::{CredentialError::*, *};

    fn of<'a>(values: &[&'a str]) -> Result<&'a str, CredentialError> {
        credentials(Scheme::Bearer, values.iter().map(|value| value.as_bytes()))
    }

    #[test]
    fn no_header_is_no_credentials() {
        assert_eq!(of(&[]), Err(NoCredentials));
    }

    #[test]
    fn the_scheme_is_case_insensitive_and_spaces_may_repeat() {
        for value in ["Bearer a.b-c", "bearer a.b-c", "BEARER a.b-c", "bEaReR    a.b-c"] {
            assert_eq!(of(&[value]), Ok("a.b-c"), "{value}");
        }
        assert_eq!(of(&["Bearer AZaz09-._~+/=="]), Ok("AZaz09-._~+/=="));
    }

    #[test]
    fn a_broken_bearer_token_is_malformed() {
        for value in [
            "",
            " ",
            "Bearer",
            "Bearer ",
            "Bearer  ",
            "Bearer\ta",
            "Bearer \ta",
            " Bearer a",
            "Bearer a ",
            "Bearer a b",
            "Bearer a,Bearer b",
            "Bearer a, b",
            "Bearer \"a\"",
            "Bearer a=b",
            "Bearer =",
            "Bearer ==",
            "Bearer ä",
            "Bearer a\0",
            "Bearer a;b",
            "Bearer: a",
            "\"Basic\" a",
            "Ba/sic a",
        ] {
            assert_eq!(of(&[value]), Err(Malformed), "{value:?}");
        }
        assert_eq!(credentials(Scheme::Bearer, [&b"Bearer \xff"[..]].into_iter()), Err(Malformed));
    }

    #[test]
    fn another_scheme_is_no_credential() {
        for value in
            ["Basic YTpi", "DPoP a", "Negotiate", "Negotiate YII=", "Digest a=\"b\", c=d", "Bear a", "Bearera", "a.b.c"]
        {
            assert_eq!(of(&[value]), Err(NoCredentials), "{value}");
        }
    }

    #[test]
    fn a_token_is_found_under_its_scheme_alone() {
        let under = |scheme, value: &'static str| credentials(scheme, [value.as_bytes()].into_iter());
        for value in ["DPoP a.b-c", "dpop a.b-c", "DPOP   a.b-c"] {
            assert_eq!(under(Scheme::Dpop, value), Ok("a.b-c"), "{value}");
            assert_eq!(under(Scheme::Bearer, value), Err(NoCredentials), "{value}");
        }
        assert_eq!(under(Scheme::Dpop, "Bearer a.b-c"), Err(NoCredentials));
        for value in ["DPoP", "DPoP ", "DPoP a b", "DPoP a,DPoP b", "DPoP: a"] {
            assert_eq!(under(Scheme::Dpop, value), Err(Malformed), "{value}");
        }
    }

    #[test]
    fn two_headers_are_malformed_even_when_they_agree() {
        assert_eq!(of(&["Bearer a", "Bearer a"]), Err(Malformed));
        assert_eq!(of(&["Bearer a", "Basic YTpi"]), Err(Malformed));
        assert_eq!(of(&["Bearer a", ""]), Err(Malformed));
    }

    proptest::proptest! {
        #[test]
        fn credentials_come_whole_or_not_at_all(value in proptest::prelude::any::<Vec<u8>>()) {
            if let Ok(token) = credentials(Scheme::Bearer, [&value[..]].into_iter()) {
                proptest::prop_assert!(value.ends_with(token.as_bytes()));
                proptest::prop_assert!(!token.contains(|c: char| !c.is_ascii_graphic()));
            }
        }
    }
}
