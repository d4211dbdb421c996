//! The thumbprint of a public key: SHA-256 of its required members, in one spelling (RFC 7638, section 3; RFC 8037, appendix
//! A.3).

use super::{Thumbprint, material::Material};
use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine as _};
use sha2::{Digest as _, Sha256};

/// The thumbprint of a key.
pub(super) fn of(material: &Material) -> Thumbprint {
    let text = |bytes: &[u8]| BASE64_URL_SAFE_NO_PAD.encode(bytes);
    let curve = |name: &str, x: &[u8], y: &[u8]| {
        format!(r#"{{"crv":"{name}","kty":"EC","x":"{}","y":"{}"}}"#, text(x), text(y))
    };
    // The members in the order of their names, without white space.
    let members = match material {
        Material::Rsa { n, e } => format!(r#"{{"e":"{}","kty":"RSA","n":"{}"}}"#, text(e), text(n)),
        Material::P256 { x, y } => curve("P-256", x, y),
        Material::P384 { x, y } => curve("P-384", x, y),
        Material::P521 { x, y } => curve("P-521", x, y),
        Material::Ed25519 { x } => format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{}"}}"#, text(x)),
    };
    Thumbprint(Sha256::digest(members).into())
}

#[cfg(test)]
mod tests {
    use crate::token::{Key, json::Object};
    use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine as _};

    #[test]
    fn keys_have_the_thumbprints_of_the_standards() {
        for (standard, jwk, thumbprint) in [
            (
                "RFC 7638, section 3.1",
                r#"{"kty":"RSA","n":"0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw","e":"AQAB","alg":"RS256","kid":"2011-04-29"}"#,
                "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs",
            ),
            (
                "RFC 9449, section 6.1",
                r#"{"kty":"EC","x":"l8tFrhx-34tV3hRICRDY9zCkDlpBhF42UQUfWVAWBFs","y":"9VE4jf_Ok_o64zbTTlcuNJajHmt6v9TDVrU0CdvGRDA","crv":"P-256"}"#,
                "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I",
            ),
            (
                "RFC 8037, appendix A.3",
                r#"{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#,
                "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k",
            ),
        ] {
            let key = Key::import(&Object::parse(jwk.as_bytes()).unwrap()).unwrap();
            assert_eq!(BASE64_URL_SAFE_NO_PAD.encode(key.thumbprint().0), thumbprint, "{standard}");
        }
    }
}
