//! The parameters of a public key before it is imported.

use super::Algorithm;

/// The parameters of a public key; numbers are big-endian.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Material {
    Rsa { n: Vec<u8>, e: Vec<u8> },
    P256 { x: [u8; 32], y: [u8; 32] },
    P384 { x: [u8; 48], y: [u8; 48] },
    P521 { x: [u8; 66], y: [u8; 66] },
    Ed25519 { x: [u8; 32] },
}

impl Material {
    pub(super) fn algorithms(&self) -> &'static [Algorithm] {
        use Algorithm::{ES256, ES384, ES512, EdDSA, PS256, PS384, PS512, RS256, RS384, RS512};
        match self {
            Self::Rsa { .. } => &[RS256, RS384, RS512, PS256, PS384, PS512],
            Self::P256 { .. } => &[ES256],
            Self::P384 { .. } => &[ES384],
            Self::P521 { .. } => &[ES512],
            Self::Ed25519 { .. } => &[EdDSA],
        }
    }

    /// The uncompressed point (SEC 1, section 2.3.3) of an elliptic-curve key.
    pub(super) fn point(&self) -> Option<Vec<u8>> {
        match self {
            Self::P256 { x, y } => Some([&[0x04], x.as_slice(), y].concat()),
            Self::P384 { x, y } => Some([&[0x04], x.as_slice(), y].concat()),
            Self::P521 { x, y } => Some([&[0x04], x.as_slice(), y].concat()),
            Self::Rsa { .. } | Self::Ed25519 { .. } => None,
        }
    }
}
