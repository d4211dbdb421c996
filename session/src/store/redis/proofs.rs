//! The proofs of possession that were used, at any of the replicas: keys that end by themselves. No commit waits for them, and
//! none is in the log: each replica asks about those that it is shown.

use super::link::Link;
use super::open::{Redis, lock};
use super::refusal::ask;
use super::script::PROOFS;
use crate::proofs::UsedProof;
use crate::store::StoreError;

impl Redis {
    /// Notes proofs as used at `now_ms`; for each, whether it is by its asker.
    pub(super) fn note_proofs(&self, proofs: &[UsedProof], now_ms: u64) -> Result<Vec<bool>, StoreError> {
        let arguments: Vec<Vec<u8>> = proofs.iter().flat_map(|proof| arguments(proof, now_ms)).collect();
        let arguments: Vec<&[u8]> = arguments.iter().map(Vec::as_slice).collect();
        let link: &mut Link = &mut lock(&self.proofs);
        // Where the epoch has changed, its keys are there all the same.
        let epoch = self.epoch().clone();
        let mut reply = ask(link, &self.id, &epoch, &PROOFS, &arguments)?;
        let words = reply.rest()?;
        Ok(words.iter().map(|word| word == "1").collect())
    }
}

fn arguments(proof: &UsedProof, now_ms: u64) -> [Vec<u8>; 3] {
    let id: String = proof.id.0.iter().map(|byte| format!("{byte:02x}")).collect();
    let lasts_ms = proof.until_ms.saturating_sub(now_ms).max(1);
    [id.into_bytes(), format!("{:016x}", proof.asker).into_bytes(), lasts_ms.to_string().into_bytes()]
}
