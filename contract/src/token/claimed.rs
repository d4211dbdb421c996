//! What a token says of its own origin, read without any check: for log lines about tokens that were refused.

use super::{compact::Compact, json::Object};

/// The issuer and the key that a token names. Both are its sender's choice: they can be of any length, and hold anything.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Claimed {
    /// `iss`
    pub issuer: Option<String>,
    /// `kid`
    pub kid: Option<String>,
}

impl Claimed {
    /// Reads what can be read of `token`.
    pub fn read(token: &str) -> Self {
        let Ok(compact) = Compact::parse(token) else { return Self::default() };
        let text = |json: &[u8], name: &'static str| {
            let object = Object::parse(json).ok()?;
            object.string(name).ok().flatten().map(str::to_owned)
        };
        Self { issuer: text(&compact.claims, "iss"), kid: text(&compact.header, "kid") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine as _};

    #[test]
    fn what_cannot_be_read_is_left_out() {
        let token = |header: &str, claims: &str| {
            format!("{}.{}.AA", BASE64_URL_SAFE_NO_PAD.encode(header), BASE64_URL_SAFE_NO_PAD.encode(claims))
        };
        for (token, issuer, kid) in [
            (token(r#"{"kid":"k"}"#, r#"{"iss":"https://id.example"}"#), Some("https://id.example"), Some("k")),
            (token("[]", r#"{"iss":"https://id.example"}"#), Some("https://id.example"), None),
            (token(r#"{"kid":1}"#, "{"), None, None),
            ("a.b".to_owned(), None, None),
            (String::new(), None, None),
        ] {
            let expected = Claimed { issuer: issuer.map(str::to_owned), kid: kid.map(str::to_owned) };
            assert_eq!(Claimed::read(&token), expected, "{token}");
        }
    }
}
