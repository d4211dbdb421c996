//! Proofs of possession are used once, also across a restart.

use super::*;
use crate::check_stream::Taken;
use crate::proofs::{Batches, Memory, UsedProof};
use portcullis_contract::token::dpop::ProofId;

const NOW_MS: u64 = 1_800_000_000_000;

fn proof(id: u8, asker: u64) -> UsedProof {
    UsedProof { id: ProofId([id; ProofId::BYTES]), asker, until_ms: NOW_MS + 120_000 }
}

fn batches(home: &impl Home) -> Batches {
    Batches::open(Arc::from(home.open()), Memory::of(100), NOW_MS).unwrap()
}

fn take(batches: &mut Batches, proofs: &[UsedProof]) -> Vec<Taken> {
    let (taken, error) = batches.take(proofs, NOW_MS);
    assert_eq!(error, None);
    taken
}

pub(super) fn a_proof_is_used_by_one_question_which_may_ask_again(home: &impl Home) {
    let mut batches = batches(home);
    assert_eq!(take(&mut batches, &[proof(1, 7), proof(2, u64::MAX)]), [Taken::Own, Taken::Own]);
    assert_eq!(
        take(&mut batches, &[proof(1, 8), proof(1, 7), proof(2, u64::MAX)]),
        [Taken::Others, Taken::Own, Taken::Own]
    );
    assert_eq!(take(&mut batches, &[proof(3, 1), proof(3, 2), proof(3, 1)]), [Taken::Own, Taken::Others, Taken::Own]);
}

pub(super) fn a_proof_that_was_used_before_a_restart_is_refused_after_it(home: &impl Home) {
    assert_eq!(take(&mut batches(home), &[proof(1, 7)]), [Taken::Own]);
    let mut reopened = batches(home);
    assert_eq!(take(&mut reopened, &[proof(1, 8), proof(2, 8)]), [Taken::Others, Taken::Own]);
    assert_eq!(take(&mut reopened, &[proof(1, 8)]), [Taken::Others], "the store's word is remembered");
}
