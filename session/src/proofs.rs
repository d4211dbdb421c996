//! Proofs of possession are used once (RFC 9449, section 11.1): by one request, whichever filter and replica it came to.
//!
//! Memory knows those of this process. The store knows those of other replicas, or those from before a restart. A proof is
//! noted in both before its request is judged, and kept for longer than any filter would accept it.

mod batch;
mod keeper;
mod memory;

pub use batch::Batches;
pub(crate) use keeper::Proofs;
pub use memory::{Memory, PROOFS_MAX};

use portcullis_contract::bounds::PROOF_LASTS_MS_MAX;
use portcullis_contract::token::dpop::ProofId;
use portcullis_contract::wire;

/// For how long a proof is kept beyond its end, in milliseconds: the clocks of filters differ, and one that is behind accepts
/// it for longer.
pub const MARGIN_MS: u64 = 60_000;

/// A proof that a question came with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UsedProof {
    /// Identifies it.
    pub id: ProofId,
    /// Identifies the question.
    pub asker: u64,
    /// Until when it is kept.
    pub until_ms: u64,
}

impl UsedProof {
    /// Reads a question's proof; `None` if it breaks the contract.
    pub(crate) fn read(proof: &wire::Proof, now_ms: u64) -> Option<Self> {
        let id = ProofId(proof.id.as_slice().try_into().ok()?);
        let lasts_ms = Some(proof.lasts_ms).filter(|lasts_ms| *lasts_ms <= PROOF_LASTS_MS_MAX)?;
        Some(Self { id, asker: proof.asker, until_ms: now_ms.saturating_add(lasts_ms).saturating_add(MARGIN_MS) })
    }
}
