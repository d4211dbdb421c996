//! What a token is bound to (`cnf`; RFC 7800): a key of its client (RFC 9449, section 6), a certificate (RFC 8705, section
//! 3.1), or both. Whoever presents the token must show that they have all of it.

use super::{Fault, compact::decode, json::Object};
use serde_json::Value;

/// The member that names a key by its thumbprint.
const KEY: &str = "jkt";
/// The member that names a certificate by its digest.
const CERTIFICATE: &str = "x5t#S256";

/// The SHA-256 thumbprint of a public key (RFC 7638).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Thumbprint(pub [u8; 32]);

/// The SHA-256 of a certificate's DER.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct CertificateDigest(pub [u8; 32]);

/// What a token is bound to: at least one of these, and all that are there must be shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Binding {
    /// The key that must sign a proof for each request.
    pub key: Option<Thumbprint>,
    /// The certificate that the client must present to its connection.
    pub certificate: Option<CertificateDigest>,
}

impl Binding {
    /// Reads `cnf`. A member that is not known asks for a proof that nobody checks here, so the token is refused.
    pub(super) fn read(cnf: &Value) -> Result<Self, Fault> {
        let members = cnf.as_object().filter(|members| !members.is_empty()).ok_or(Fault::Confirmation)?;
        let mut binding = Self { key: None, certificate: None };
        for (name, value) in members {
            let digest = value.as_str().and_then(digest).ok_or(Fault::Confirmation)?;
            match name.as_str() {
                KEY => binding.key = Some(Thumbprint(digest)),
                CERTIFICATE => binding.certificate = Some(CertificateDigest(digest)),
                _ => return Err(Fault::Confirmation),
            }
        }
        Ok(binding)
    }

    /// What the claims of a token say; `None` if they bind it to nothing.
    pub(super) fn of(claims: &Object) -> Result<Option<Self>, Fault> {
        claims.get("cnf").map(Self::read).transpose()
    }
}

/// A SHA-256 in its one canonical base64url.
fn digest(text: &str) -> Option<[u8; 32]> {
    decode(text).ok()?.try_into().ok()
}

impl CertificateDigest {
    /// Reads the digest in lower-case hex, as proxies write it.
    pub fn from_hex(text: &str) -> Option<Self> {
        let mut digest = [0; 32];
        let read = base16ct::lower::decode(text, &mut digest).ok()?;
        (read.len() == digest.len()).then_some(Self(digest))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// The examples of RFC 9449, section 6.1, and RFC 8705, section 3.1.
    const JKT: &str = "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I";
    const X5T: &str = "bwcK0esc3ACC3DB2Y5_lESsXE8o9ltc05O89jdN-dg2";

    #[test]
    fn a_token_is_bound_to_a_key_to_a_certificate_or_to_both() {
        // The last character of the example in RFC 8705 has unused bits that are not zero.
        let certificate = X5T.replace("dg2", "dg0");
        for (cnf, has_key, has_certificate) in [
            (json!({"jkt": JKT}), true, false),
            (json!({"x5t#S256": certificate}), false, true),
            (json!({"jkt": JKT, "x5t#S256": certificate}), true, true),
        ] {
            let binding = Binding::read(&cnf).unwrap();
            assert_eq!((binding.key.is_some(), binding.certificate.is_some()), (has_key, has_certificate), "{cnf}");
        }
    }

    #[test]
    fn whatever_is_not_known_or_cannot_be_read_is_refused() {
        for cnf in [
            json!(null),
            json!({}),
            json!([]),
            json!(JKT),
            json!({"jkt": null}),
            json!({"jkt": 1}),
            json!({"jkt": ""}),
            json!({"jkt": JKT.replace("0Zc", "Zc")}),
            json!({"jkt": format!("{JKT}=")}),
            json!({"jkt": format!("{JKT}AA")}),
            json!({"JKT": JKT}),
            json!({"x5t": JKT}),
            json!({"x5t#S256": X5T}),
            json!({"jwk": {"kty": "EC"}}),
            json!({"kid": "k1"}),
            json!({"jkt": JKT, "kid": "k1"}),
            json!({"jkt": JKT, "x5t#S256": 1}),
        ] {
            assert_eq!(Binding::read(&cnf), Err(Fault::Confirmation), "{cnf}");
        }
    }

    #[test]
    fn a_proxy_writes_a_certificate_in_hex() {
        assert_eq!(CertificateDigest::from_hex(&"0a".repeat(32)), Some(CertificateDigest([10; 32])));
        for text in ["", "0a", &"0A".repeat(32), &"0a".repeat(31), &"0a".repeat(33), &"0g".repeat(32)] {
            assert_eq!(CertificateDigest::from_hex(text), None, "{text}");
        }
    }
}
