//! The subset of DER (ITU-T X.690) in which a host's signature verifier expects keys and signatures.

use super::material::Material;

const INTEGER: u8 = 0x02;
const BIT_STRING: u8 = 0x03;
const NULL: u8 = 0x05;
const OBJECT_IDENTIFIER: u8 = 0x06;
const SEQUENCE: u8 = 0x30;

/// `rsaEncryption` (RFC 8017, appendix C), `id-ecPublicKey` and its curves (RFC 5480, section 2.1.1).
const RSA_ENCRYPTION: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01];
const EC_PUBLIC_KEY: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01];
const SECP256R1: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
const SECP384R1: &[u8] = &[0x2b, 0x81, 0x04, 0x00, 0x22];
const SECP521R1: &[u8] = &[0x2b, 0x81, 0x04, 0x00, 0x23];

/// Encodes a key as `SubjectPublicKeyInfo` (RFC 5280, section 4.1); `None` for key types that no host verifies.
pub(super) fn public_key_info(material: &Material) -> Option<Vec<u8>> {
    let (algorithm, parameters, key) = match material {
        Material::Rsa { n, e } => {
            let numbers = [unsigned(n), unsigned(e)].concat();
            (RSA_ENCRYPTION, value(NULL, &[]), value(SEQUENCE, &numbers))
        }
        Material::P256 { .. } => (EC_PUBLIC_KEY, value(OBJECT_IDENTIFIER, SECP256R1), material.point()?),
        Material::P384 { .. } => (EC_PUBLIC_KEY, value(OBJECT_IDENTIFIER, SECP384R1), material.point()?),
        Material::P521 { .. } => (EC_PUBLIC_KEY, value(OBJECT_IDENTIFIER, SECP521R1), material.point()?),
        Material::Ed25519 { .. } => return None,
    };
    let algorithm = value(SEQUENCE, &[value(OBJECT_IDENTIFIER, algorithm), parameters].concat());
    // All bits of the last byte are used.
    let key = value(BIT_STRING, &[&[0], key.as_slice()].concat());
    Some(value(SEQUENCE, &[algorithm, key].concat()))
}

/// Converts an ECDSA signature to `Ecdsa-Sig-Value` (RFC 3279, section 2.2.3) from the concatenation of r and s (RFC
/// 7518, section 3.4), each `size` bytes long; `None` if the length does not match.
pub(super) fn ecdsa_signature(concatenated: &[u8], size: usize) -> Option<Vec<u8>> {
    if concatenated.len() != size {
        return None;
    }
    let (r, s) = concatenated.split_at_checked(size / 2)?;
    Some(value(SEQUENCE, &[unsigned(r), unsigned(s)].concat()))
}

/// A number in its shortest form: the only leading zero is the one that keeps it from being negative.
fn unsigned(big_endian: &[u8]) -> Vec<u8> {
    let zeros = big_endian.iter().take_while(|byte| **byte == 0).count();
    let digits = big_endian.get(zeros..).unwrap_or_default();
    let sign = if digits.first().is_none_or(|first| *first >= 0x80) { &[0][..] } else { &[] };
    value(INTEGER, &[sign, digits].concat())
}

fn value(tag: u8, content: &[u8]) -> Vec<u8> {
    let mut bytes = vec![tag];
    let length = content.len().to_be_bytes();
    let used = length.iter().skip_while(|byte| **byte == 0);
    match u8::try_from(content.len()) {
        Ok(short) if short < 0x80 => bytes.push(short),
        // The long form: the number of length bytes, then the length.
        _ => {
            bytes.push(0x80 | u8::try_from(used.clone().count()).unwrap_or_default());
            bytes.extend(used);
        }
    }
    bytes.extend_from_slice(content);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_numbers_of_a_signature_have_their_shortest_form() {
        for (concatenated, expected) in [
            (&[1, 2, 3, 4][..], &[0x30, 8, 2, 2, 1, 2, 2, 2, 3, 4][..]),
            (&[0, 2, 0x80, 0], &[0x30, 8, 2, 1, 2, 2, 3, 0, 0x80, 0]),
            (&[0, 0, 0, 0], &[0x30, 6, 2, 1, 0, 2, 1, 0]),
            (&[0x7f, 0, 0, 0x80], &[0x30, 8, 2, 2, 0x7f, 0, 2, 2, 0, 0x80]),
        ] {
            assert_eq!(ecdsa_signature(concatenated, 4).as_deref(), Some(expected), "{concatenated:?}");
        }
        assert_eq!(ecdsa_signature(&[1, 2, 3], 4), None);
        assert_eq!(ecdsa_signature(&[], 64), None);
    }

    #[test]
    fn long_values_say_how_long_their_length_is() {
        for (bytes, head) in [(0x7f, &[4, 0x7f][..]), (0x80, &[4, 0x81, 0x80]), (0x1234, &[4, 0x82, 0x12, 0x34])] {
            assert!(value(4, &vec![0; bytes]).starts_with(head), "{bytes}");
        }
    }
}
