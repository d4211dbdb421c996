//! Judging proofs in groups: memory knows most of what was used here, and the store is asked about the rest at once.

use super::UsedProof;
use super::memory::{Known, Memory};
use crate::check_stream::Taken;
use crate::store::{Store, StoreError};
use std::sync::Arc;

/// Memory and store.
pub struct Batches {
    memory: Memory,
    store: Arc<dyn Store>,
}

/// What is known of a proof before the store is asked.
enum Judged {
    Known(Taken),
    /// What the store says of the one with this index.
    Asked(usize),
}

impl Batches {
    /// Takes over what the store has kept of an earlier process.
    pub fn open(store: Arc<dyn Store>, mut memory: Memory, now_ms: u64) -> Result<Self, StoreError> {
        store.kept_proofs(now_ms, &mut |proof| {
            memory.note(&proof);
        })?;
        Ok(Self { memory, store })
    }

    /// Notes proofs as used; for each, by whom it is. The error is for the log.
    pub fn take(&mut self, proofs: &[UsedProof], now_ms: u64) -> (Vec<Taken>, Option<StoreError>) {
        self.memory.drop_ended(now_ms);
        let mut asked: Vec<UsedProof> = Vec::new();
        let judged: Vec<Judged> = proofs
            .iter()
            .map(|proof| match self.memory.note(proof) {
                Known::New => {
                    asked.push(*proof);
                    Judged::Asked(asked.len() - 1)
                }
                // It can be in this very group.
                Known::Own => match asked.iter().position(|other| other.id == proof.id) {
                    Some(index) => Judged::Asked(index),
                    None => Judged::Known(Taken::Own),
                },
                Known::Used => Judged::Known(Taken::Others),
                Known::Full => Judged::Known(Taken::Unknown),
            })
            .collect();
        let (kept, error) = match asked.is_empty() {
            true => (Vec::new(), None),
            false => self.keep(&asked, now_ms),
        };
        let taken = judged.into_iter().map(|judged| match judged {
            Judged::Known(taken) => taken,
            Judged::Asked(index) => kept.get(index).copied().unwrap_or(Taken::Unknown),
        });
        (taken.collect(), error)
    }

    fn keep(&mut self, asked: &[UsedProof], now_ms: u64) -> (Vec<Taken>, Option<StoreError>) {
        let kept = match self.store.keep_proofs(asked, now_ms) {
            Ok(kept) => kept,
            Err(error) => {
                asked.iter().for_each(|proof| self.memory.forget(proof));
                return (vec![Taken::Unknown; asked.len()], Some(error));
            }
        };
        let mut answered = kept.into_iter();
        let taken = asked.iter().map(|proof| match answered.next() {
            Some(true) => Taken::Own,
            Some(false) => {
                self.memory.used_elsewhere(proof);
                Taken::Others
            }
            None => {
                self.memory.forget(proof);
                Taken::Unknown
            }
        });
        (taken.collect(), None)
    }
}
