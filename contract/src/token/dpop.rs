//! Proofs of possession: DPoP (RFC 9449). A proof is a JWT that the client signs for one request, with the key that the token
//! is bound to. All checks of section 4.3 are made here, except that it is used once, which the session service knows.

mod htu;
mod nonce;

pub use htu::{HttpUrl, URL_BYTES_MAX};
pub use nonce::{NONCE_TURN_MS, Nonce, NonceKey};

use super::{
    Algorithm, Fault, HostVerifier, Key, Skip, Thumbprint, TokenDigest,
    compact::Compact,
    dates::date_ms,
    header::Header,
    json::{IllTyped, Object},
};
use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine as _};
use sha2::{Digest as _, Sha256};
use std::{fmt, time::Duration};

/// The maximum length of a proof in bytes: with an RSA key of 4096 bits and a long URL, one has less than half of it.
pub const PROOF_BYTES_MAX: usize = 16_384;

/// The maximum length of a `jti` in bytes.
pub(super) const ID_BYTES_MAX: usize = 256;

/// The only type of a proof, in lower case.
const TYPE: &str = "dpop+jwt";

/// What proofs are accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProofTerms {
    /// How far `iat` may be from now, on either side.
    pub window: Duration,
    /// The algorithms that may sign a proof. None of them is symmetric.
    pub algorithms: Vec<Algorithm>,
}

/// The request that a proof must be for.
#[derive(Debug, Clone, Copy)]
pub struct Proving<'a> {
    /// Its method.
    pub method: &'a str,
    /// Its URL, as the client sees it.
    pub url: &'a HttpUrl,
    /// Its token.
    pub token: TokenDigest,
    /// The key that the token is bound to.
    pub key: Thumbprint,
    /// The key of the nonces, if a proof must have one.
    pub nonces: Option<&'a NonceKey>,
}

/// Identifies a proof: the first 16 bytes of SHA-256(thumbprint, `jti`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ProofId(pub [u8; Self::BYTES]);

impl ProofId {
    /// Its length.
    pub const BYTES: usize = 16;

    fn of(key: Thumbprint, jti: &str) -> Self {
        let digest: [u8; 32] = Sha256::new().chain_update(key.0).chain_update(jti).finalize().into();
        Self(digest.first_chunk().copied().unwrap_or_default())
    }
}

/// A proof that is good, unless it was used before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Proven {
    /// Identifies it.
    pub id: ProofId,
    /// For how long it would be accepted again, in milliseconds.
    pub lasts_ms: u64,
    /// What its nonce is worth, if it must have one.
    pub nonce: Option<Nonce>,
}

/// Why a proof is refused: a closed list, for logs and tests. It repeats nothing from the proof.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProofFault {
    /// There is none.
    Missing,
    /// There are several.
    Several,
    /// It is too long.
    TooLong,
    /// It cannot be read, or its header says what no proof says.
    Malformed(Fault),
    /// Its key cannot be used.
    Key(Skip),
    /// Its key is not the one that the token is bound to.
    OtherKey,
    /// This claim (`htm`, `htu`, `ath`) is about something else, or missing.
    Other(&'static str),
    /// `iat` is missing, or too far from now.
    Date,
    /// `jti` is missing, empty or too long.
    Id,
    /// The signature is invalid.
    Signature,
    /// It must contain a nonce that was handed out lately, and does not.
    Nonce,
}

impl From<Fault> for ProofFault {
    fn from(fault: Fault) -> Self {
        Self::Malformed(fault)
    }
}

impl From<IllTyped> for ProofFault {
    fn from(IllTyped(name): IllTyped) -> Self {
        Self::Malformed(Fault::IllTyped(name))
    }
}

impl fmt::Display for ProofFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => f.write_str("there is no proof (`DPoP`)"),
            Self::Several => f.write_str("there is more than one proof (`DPoP`)"),
            Self::TooLong => write!(f, "the proof is longer than {PROOF_BYTES_MAX} bytes"),
            Self::Malformed(Fault::Algorithm) => f.write_str("`alg` is not one of `dpop.algorithms`"),
            Self::Malformed(Fault::TokenType) => f.write_str("`typ` is not `dpop+jwt`"),
            Self::Malformed(fault) => write!(f, "the proof cannot be read: {fault}"),
            Self::Key(skip) => write!(f, "the proof's key (`jwk`): {skip}"),
            Self::OtherKey => f.write_str("the proof's key is not the one that the token is bound to (`cnf.jkt`)"),
            Self::Other("htu") => f.write_str(
                "`htu` is not the URL of the request; where clients use another one than the proxy sees, set `external_url`",
            ),
            Self::Other(name) => write!(f, "`{name}` is not that of the request"),
            Self::Date => f.write_str("`iat` is further from now than `dpop.window`, or missing"),
            Self::Id => write!(f, "`jti` is missing, empty or longer than {ID_BYTES_MAX} bytes"),
            Self::Signature => f.write_str("the proof's signature is invalid"),
            Self::Nonce => f.write_str("the proof has no nonce that was handed out lately"),
        }
    }
}

/// Verifies the proof of a request at `now_ms`, in milliseconds since the Unix epoch. `host` is asked to verify the signature
/// first.
///
/// # Errors
/// Returns why the proof is refused. Cheap checks come first, and a nonce last: a client that is to try again with another one
/// has done everything else right.
pub fn prove(
    proof: &str,
    request: &Proving<'_>,
    terms: &ProofTerms,
    host: HostVerifier,
    now_ms: u64,
) -> Result<Proven, ProofFault> {
    if proof.len() > PROOF_BYTES_MAX {
        return Err(ProofFault::TooLong);
    }
    let compact = Compact::parse(proof)?;
    let (header, jwk) = Header::parse_with_key(&compact.header)?;
    header.admit(&terms.algorithms, &[TYPE.to_owned()])?;
    let claims = Object::parse(&compact.claims).map_err(Fault::Claims)?;
    let text = |name| claims.string(name).map_err(ProofFault::from);
    let id = text("jti")?.filter(|id| !id.is_empty() && id.len() <= ID_BYTES_MAX).ok_or(ProofFault::Id)?;
    is_about(text("htm")? == Some(request.method), "htm")?;
    is_about(text("htu")?.and_then(HttpUrl::parse).as_ref() == Some(request.url), "htu")?;
    is_about(text("ath")? == Some(&BASE64_URL_SAFE_NO_PAD.encode(request.token.0)), "ath")?;
    let lasts_ms = lasts_ms(&claims, terms.window, now_ms)?;
    let key = Key::import(&jwk).map_err(ProofFault::Key)?;
    if key.thumbprint() != request.key {
        return Err(ProofFault::OtherKey);
    }
    if !key.is_for(header.algorithm) {
        return Err(ProofFault::Malformed(Fault::KeyAlgorithm));
    }
    let nonce = text("nonce")?;
    let nonce = request.nonces.map(|key| nonce.and_then(|nonce| key.judge(nonce, now_ms)));
    if !key.verify(&compact.signed(header.algorithm), host) {
        return Err(ProofFault::Signature);
    }
    let nonce = match nonce {
        Some(None) => return Err(ProofFault::Nonce),
        Some(Some(nonce)) => Some(nonce),
        None => None,
    };
    Ok(Proven { id: ProofId::of(request.key, id), lasts_ms, nonce })
}

/// A request that a proof must be for, at an endpoint that issues tokens: it presents none (section 5).
#[derive(Debug, Clone, Copy)]
pub struct Asking<'a> {
    /// Its method.
    pub method: &'a str,
    /// Its URL: one of these.
    pub urls: &'a [HttpUrl],
}

/// Verifies the proof of a request for a token at `now_ms`, in milliseconds since the Unix epoch; returns the key that signed
/// it, and the URL that it names as an index.
///
/// # Errors
/// Returns why the proof is refused.
pub fn prove_key(
    proof: &str,
    request: &Asking<'_>,
    terms: &ProofTerms,
    host: HostVerifier,
    now_ms: u64,
) -> Result<(Thumbprint, usize, Proven), ProofFault> {
    if proof.len() > PROOF_BYTES_MAX {
        return Err(ProofFault::TooLong);
    }
    let compact = Compact::parse(proof)?;
    let (header, jwk) = Header::parse_with_key(&compact.header)?;
    header.admit(&terms.algorithms, &[TYPE.to_owned()])?;
    let claims = Object::parse(&compact.claims).map_err(Fault::Claims)?;
    let text = |name| claims.string(name).map_err(ProofFault::from);
    let id = text("jti")?.filter(|id| !id.is_empty() && id.len() <= ID_BYTES_MAX).ok_or(ProofFault::Id)?;
    is_about(text("htm")? == Some(request.method), "htm")?;
    let named = text("htu")?.and_then(HttpUrl::parse);
    let url = named.and_then(|named| request.urls.iter().position(|url| *url == named));
    let url = url.ok_or(ProofFault::Other("htu"))?;
    let lasts_ms = lasts_ms(&claims, terms.window, now_ms)?;
    let key = Key::import(&jwk).map_err(ProofFault::Key)?;
    if !key.is_for(header.algorithm) {
        return Err(ProofFault::Malformed(Fault::KeyAlgorithm));
    }
    if !key.verify(&compact.signed(header.algorithm), host) {
        return Err(ProofFault::Signature);
    }
    let thumbprint = key.thumbprint();
    Ok((thumbprint, url, Proven { id: ProofId::of(thumbprint, id), lasts_ms, nonce: None }))
}

fn is_about(is_so: bool, name: &'static str) -> Result<(), ProofFault> {
    is_so.then_some(()).ok_or(ProofFault::Other(name))
}

/// For how long `iat` is within the window.
fn lasts_ms(claims: &Object, window: Duration, now_ms: u64) -> Result<u64, ProofFault> {
    let window_ms = u64::try_from(window.as_millis()).unwrap_or(u64::MAX);
    let issued_at_ms = date_ms(claims, "iat")?.ok_or(ProofFault::Date)?;
    match issued_at_ms.abs_diff(now_ms) <= window_ms {
        true => Ok(issued_at_ms.saturating_add(window_ms).saturating_sub(now_ms)),
        false => Err(ProofFault::Date),
    }
}
