//! Whether a bound token comes with what it is bound to: a proof by its key (RFC 9449), its certificate (RFC 8705), or both.

use super::{
    bearer::Scheme,
    circumstances::{self, LookUp},
    head::Head,
    principal::Principal,
};
use crate::{
    policy::{FactSources, Possession},
    token::{
        CertificateDigest, HostVerifier,
        dpop::{self, HttpUrl, NonceKey, ProofFault, ProofTerms, Proven, Proving},
    },
};
use std::fmt;

/// What a request shows besides its token.
#[derive(Clone, PartialEq, Eq)]
pub struct Presented {
    scheme: Scheme,
    proof: Result<String, ProofFault>,
    /// The URL as the client sees it; `None` if it cannot be known.
    url: Option<HttpUrl>,
    /// The certificate of the client's connection.
    certificate: Option<CertificateDigest>,
}

/// Written by hand because a proof belongs to a secret token.
impl fmt::Debug for Presented {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Presented").field("scheme", &self.scheme).field("url", &self.url).finish_non_exhaustive()
    }
}

/// A proof that is good, unless another request has used it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UsedProof {
    /// The proof.
    pub proven: Proven,
    /// Tells the request from every other one: its question may be asked again.
    pub asker: u64,
}

/// Why a request may not use its token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unshown {
    /// It is presented in the wrong way, or on the wrong connection.
    Binding(&'static str),
    /// Its proof is missing or refused.
    Proof(ProofFault),
}

impl fmt::Display for Unshown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Binding(words) => f.write_str(words),
            Self::Proof(fault) => fault.fmt(f),
        }
    }
}

impl Presented {
    /// Reads it from a request.
    pub(super) fn read(
        head: &Head<'_>,
        scheme: Scheme,
        possession: &Possession,
        sources: &FactSources,
        look_up: impl FnMut(LookUp<'_>) -> Option<Vec<u8>>,
    ) -> Self {
        let connection = circumstances::connection(head, sources, look_up);
        let proof = match head.proofs {
            [None, _] => Err(ProofFault::Missing),
            [Some(proof), None] if proof.len() > dpop::PROOF_BYTES_MAX => Err(ProofFault::TooLong),
            [Some(proof), None] => Ok(String::from_utf8_lossy(proof).into_owned()),
            [Some(_), Some(_)] => Err(ProofFault::Several),
        };
        Self {
            scheme,
            proof,
            url: url(head, possession, connection.is_hop),
            certificate: connection.certificate.as_deref().and_then(CertificateDigest::from_hex),
        }
    }
}

/// The URL that the client has asked for. Its scheme is what Envoy knows, or what a trusted hop in front of it says.
fn url(head: &Head<'_>, possession: &Possession, is_hop: bool) -> Option<HttpUrl> {
    let text = |bytes| std::str::from_utf8(bytes).ok();
    let path = text(head.path)?;
    match &possession.external_origin {
        Some(origin) => HttpUrl::parse(&format!("{origin}{path}")),
        None => {
            let scheme = text(head.forwarded_proto.filter(|_| is_hop).or(head.scheme)?)?;
            HttpUrl::parse(&format!("{scheme}://{}{path}", text(head.authority)?))
        }
    }
}

/// Verifies it at `now_ms`, in milliseconds since the Unix epoch. Returns the proof, if the token needs one.
pub(super) fn verify(
    principal: &Principal,
    presented: &Presented,
    method: &str,
    terms: &ProofTerms,
    nonces: Option<&NonceKey>,
    host: HostVerifier,
    now_ms: u64,
) -> Result<Option<Proven>, Unshown> {
    let binding = principal.facts.binding.as_deref();
    let key = binding.and_then(|binding| binding.key);
    match (presented.scheme, key) {
        (Scheme::Dpop, None) => {
            return Err(Unshown::Binding(
                "it was presented under the scheme `DPoP`, and is not bound to a key (`cnf.jkt`)",
            ));
        }
        (Scheme::Bearer, Some(_)) => {
            return Err(Unshown::Binding(
                "it is bound to a key (`cnf.jkt`), and was not presented under the scheme `DPoP`",
            ));
        }
        (Scheme::Bearer, None) | (Scheme::Dpop, Some(_)) => {}
    }
    if let Some(certificate) = binding.and_then(|binding| binding.certificate)
        && presented.certificate != Some(certificate)
    {
        return Err(Unshown::Binding(
            "its connection does not have the certificate that it is bound to (`cnf.x5t#S256`)",
        ));
    }
    let Some(key) = key else { return Ok(None) };
    let proof = presented.proof.as_ref().map_err(|fault| Unshown::Proof(*fault))?;
    let url = presented.url.as_ref().ok_or(Unshown::Proof(ProofFault::Other("htu")))?;
    let request = Proving { method, url, token: principal.facts.digest, key, nonces };
    dpop::prove(proof, &request, terms, host, now_ms).map(Some).map_err(Unshown::Proof)
}
