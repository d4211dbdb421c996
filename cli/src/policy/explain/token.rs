//! The token options of the command line.

use crate::{
    error::Error,
    policy::cases::{Bearer, Claim, Quality, claim_of},
};
use serde_json::Value;
use std::{fs, io::Read};

/// More than the longest token that the filter accepts, in bytes.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Reads the token that an argument specifies.
pub(super) fn read(argument: &str) -> Result<String, Error> {
    let mut text = String::new();
    let result = match (argument, argument.strip_prefix('@')) {
        ("-", _) => std::io::stdin().take(FILE_BYTES_MAX).read_to_string(&mut text),
        (_, Some(path)) => fs::File::open(path).and_then(|file| file.take(FILE_BYTES_MAX).read_to_string(&mut text)),
        (token, None) => return Ok(bare(token)),
    };
    match result {
        Ok(_) => Ok(bare(&text)),
        Err(error) => Err(Error::failed(format_args!("cannot read the token: {error}"))),
    }
}

/// A token that was copied from a header starts with the scheme.
fn bare(text: &str) -> String {
    let text = text.trim();
    let after = |scheme: &str| {
        let is_given = text.get(..scheme.len()).is_some_and(|given| given.eq_ignore_ascii_case(scheme));
        if is_given { text.get(scheme.len()..) } else { None }
    };
    after("bearer ").or_else(|| after("dpop ")).unwrap_or(text).trim_start().to_owned()
}

/// `NAME=VALUE`
pub(super) fn claim(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("expected `NAME=VALUE`")?;
    Ok((name.to_owned(), value.to_owned()))
}

/// `NAME: VALUE`
pub(super) fn header(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once(':').ok_or("expected `NAME: VALUE`")?;
    if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err("expected `NAME: VALUE`; method, host and path are separate arguments".to_owned());
    }
    Ok((name.to_ascii_lowercase(), value.trim().to_owned()))
}

/// A valid token with these scopes and claims.
pub(super) fn bearer(scopes: Option<&str>, claims: &[(String, String)]) -> Result<Bearer, String> {
    let words = |text: &str| text.split_whitespace().map(str::to_owned).collect();
    let claims = claims.iter().map(|(name, text)| {
        let value = match text.parse::<u64>() {
            Ok(number) => Value::from(number),
            Err(_) => Value::from(text.as_str()),
        };
        let claim = claim_of(name, value).map_err(|message| format!("claim `{}`: {message}", name.escape_debug()))?;
        Ok((name.clone(), claim))
    });
    let claims = claims.collect::<Result<Vec<(String, Claim)>, String>>()?;
    Ok(Bearer { issuer: None, quality: Quality::Good, scopes: scopes.map(words), claims, without: Vec::new() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_may_be_copied_with_its_scheme() {
        for text in ["a.b.c", "Bearer a.b.c", "bearer   a.b.c\n", "DPoP a.b.c", "  a.b.c "] {
            assert_eq!(bare(text), "a.b.c", "{text:?}");
        }
    }

    #[test]
    fn pseudo_headers_are_no_headers() {
        assert_eq!(header("X-A:  b "), Ok(("x-a".to_owned(), "b".to_owned())));
        for text in [":path: /x", "no colon", ": x", "a b: c"] {
            assert!(header(text).is_err(), "{text}");
        }
    }
}
