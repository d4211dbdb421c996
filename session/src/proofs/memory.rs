//! The proofs that this process knows to be used.

use super::UsedProof;
use portcullis_contract::token::dpop::ProofId;
use std::collections::{BTreeMap, HashMap};

/// The most proofs that are known at a time: some 100 MB. Beyond it there is no verdict.
pub const PROOFS_MAX: usize = 1_000_000;

/// How exactly ends are known, in milliseconds.
const GRAIN_MS: u64 = 1_000;

/// What is known of a proof.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Known {
    /// Nothing: it is noted now.
    New,
    /// The same question came with it before.
    Own,
    /// Another one did.
    Used,
    /// There is no room to note it.
    Full,
}

/// The proofs that are known to be used.
#[derive(Debug)]
pub struct Memory {
    /// Who has used each; `None`: somebody elsewhere.
    askers: HashMap<ProofId, Option<u64>>,
    /// By when they end, rounded up.
    ends: BTreeMap<u64, Vec<ProofId>>,
    max: usize,
}

impl Memory {
    /// An empty memory for so many proofs.
    pub fn of(max: usize) -> Self {
        Self { askers: HashMap::new(), ends: BTreeMap::new(), max }
    }

    /// How many are known.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.askers.len()
    }

    /// Notes a proof, if it is not known.
    pub(super) fn note(&mut self, proof: &UsedProof) -> Known {
        match self.askers.get(&proof.id) {
            Some(asker) if *asker == Some(proof.asker) => return Known::Own,
            Some(_) => return Known::Used,
            None if self.askers.len() >= self.max => return Known::Full,
            None => {}
        }
        self.askers.insert(proof.id, Some(proof.asker));
        self.ends.entry(proof.until_ms.div_ceil(GRAIN_MS)).or_default().push(proof.id);
        Known::New
    }

    /// The store knows that somebody else has used it.
    pub(super) fn used_elsewhere(&mut self, proof: &UsedProof) {
        if let Some(asker) = self.askers.get_mut(&proof.id) {
            *asker = None;
        }
    }

    /// The store could not note it: its question was not answered, and may come again.
    pub(super) fn forget(&mut self, proof: &UsedProof) {
        self.askers.remove(&proof.id);
    }

    /// Drops those that end before `now_ms`.
    pub(super) fn drop_ended(&mut self, now_ms: u64) {
        while let Some(first) = self.ends.first_entry().filter(|first| first.key().saturating_mul(GRAIN_MS) < now_ms) {
            // One that was forgotten and came again has another end as well, at which it is gone already.
            for id in first.remove() {
                self.askers.remove(&id);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proof(id: u8, asker: u64, until_ms: u64) -> UsedProof {
        UsedProof { id: ProofId([id; ProofId::BYTES]), asker, until_ms }
    }

    #[test]
    fn a_proof_is_used_by_one_question_and_known_until_it_ends() {
        let mut memory = Memory::of(10);
        assert_eq!(memory.note(&proof(1, 7, 60_000)), Known::New);
        assert_eq!(memory.note(&proof(1, 7, 60_000)), Known::Own);
        assert_eq!(memory.note(&proof(1, 8, 60_000)), Known::Used);
        memory.drop_ended(60_000);
        assert_eq!(memory.note(&proof(1, 8, 60_000)), Known::Used);
        memory.drop_ended(60_001);
        assert_eq!(memory.note(&proof(1, 8, 90_000)), Known::New);
    }

    #[test]
    fn one_that_is_used_elsewhere_is_used_for_its_own_question_too() {
        let mut memory = Memory::of(10);
        memory.note(&proof(1, 7, 60_000));
        memory.used_elsewhere(&proof(1, 7, 60_000));
        assert_eq!(memory.note(&proof(1, 7, 60_000)), Known::Used);
    }

    #[test]
    fn one_that_was_not_kept_can_come_again() {
        let mut memory = Memory::of(10);
        memory.note(&proof(1, 7, 60_000));
        memory.forget(&proof(1, 7, 60_000));
        assert_eq!(memory.note(&proof(1, 8, 60_000)), Known::New);
    }

    #[test]
    fn there_is_room_for_so_many_and_no_more() {
        let mut memory = Memory::of(2);
        assert_eq!((memory.note(&proof(1, 1, 1_000)), memory.note(&proof(2, 1, 2_000))), (Known::New, Known::New));
        assert_eq!(memory.note(&proof(3, 1, 3_000)), Known::Full);
        assert_eq!(memory.note(&proof(2, 2, 3_000)), Known::Used, "what is known is refused all the same");
        memory.drop_ended(1_001);
        assert_eq!((memory.note(&proof(3, 1, 3_000)), memory.len()), (Known::New, 2));
    }
}
