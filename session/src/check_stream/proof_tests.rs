//! Questions with proofs of possession: each proof is for one of them.

use super::state::tests::{Stream, fresh, hello, token};
use super::{Answers, Taken};
use crate::fixtures::{Fixture, T0, person};
use crate::proofs::{Batches, MARGIN_MS, Memory};
use crate::store::embedded::Embedded;
use portcullis_contract::bounds::PROOF_LASTS_MS_MAX;
use portcullis_contract::token::dpop::ProofId;
use portcullis_contract::wire::{FilterMessage, Outcome, Proof, Question};
use std::sync::Arc;
use tempfile::TempDir;

const USED: Outcome = Outcome::ProofUsed;
const ACTIVE: Outcome = Outcome::Active;

fn open(fixture: &Fixture) -> Stream {
    drop(fixture.live(&person("s", T0), T0));
    let mut stream = Stream(fresh(fixture), Arc::clone(&fixture.registry));
    let message = FilterMessage { hello: Some(hello()), tokens: vec![token(1, "s", T0)], ..FilterMessage::default() };
    stream.send(message, T0);
    stream
}

/// The keeper of that many proofs, and where its store is.
fn batches(max: usize) -> (Batches, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let store = Arc::new(Embedded::open(folder.path()).unwrap());
    (Batches::open(store, Memory::of(max), T0).unwrap(), folder)
}

/// A question with the proof of that id, and who asks it.
fn question(id: u32, proof: u8, asker: u64) -> Question {
    let proof = Proof { id: vec![proof; ProofId::BYTES], asker, lasts_ms: 60_000 };
    Question { id, token: 1, proof: Some(proof), ..Question::default() }
}

fn asked(stream: &mut Stream, questions: Vec<Question>, now_ms: u64) -> Answers {
    stream.0.receive(FilterMessage { questions, ..FilterMessage::default() }, now_ms).unwrap()
}

impl Stream {
    /// The outcomes of questions by their ids, with the part of the keeper of proofs.
    fn proved(&mut self, batches: &mut Batches, questions: Vec<Question>, now_ms: u64) -> Vec<(u32, Outcome)> {
        let answers = asked(self, questions, now_ms);
        assert!(answers.verdicts.is_empty(), "none is judged before its proof is noted");
        assert_eq!(self.0.waiting(), answers.proofs.len());
        let mut outcomes = Vec::new();
        for proving in answers.proofs {
            let (taken, _) = batches.take(&[proving.proof], now_ms);
            let more = self.0.proved(proving, taken[0], now_ms);
            outcomes.extend(more.verdicts.iter().map(|verdict| (verdict.id, verdict.outcome())));
        }
        assert_eq!(self.0.waiting(), 0);
        outcomes
    }
}

#[test]
fn a_proof_is_for_one_question_on_one_stream_and_on_two() {
    let fixture = Fixture::new();
    let (mut one, mut two) = (open(&fixture), open(&fixture));
    let (mut batches, _folder) = batches(100);
    let first = vec![question(1, 1, 11), question(2, 1, 12), question(3, 2, 13)];
    assert_eq!(one.proved(&mut batches, first, T0), [(1, ACTIVE), (2, USED), (3, ACTIVE)]);
    assert_eq!(two.proved(&mut batches, vec![question(1, 1, 14), question(2, 3, 15)], T0), [(1, USED), (2, ACTIVE)]);
}

#[test]
fn a_question_that_is_asked_again_on_another_stream_may_have_its_proof_again() {
    let fixture = Fixture::new();
    let (mut one, mut two) = (open(&fixture), open(&fixture));
    let (mut batches, _folder) = batches(100);
    assert_eq!(one.proved(&mut batches, vec![question(1, 1, 11)], T0), [(1, ACTIVE)]);
    assert_eq!(two.proved(&mut batches, vec![question(9, 1, 11)], T0 + 5), [(9, ACTIVE)]);
}

#[test]
fn a_proof_is_known_for_longer_than_any_filter_would_accept_it() {
    let fixture = Fixture::new();
    let (mut stream, (mut batches, _folder)) = (open(&fixture), batches(100));
    stream.proved(&mut batches, vec![question(1, 1, 11)], T0);
    let end_ms = T0 + 60_000 + MARGIN_MS;
    assert_eq!(stream.proved(&mut batches, vec![question(2, 1, 12)], end_ms), [(2, USED)]);
    assert_eq!(stream.proved(&mut batches, vec![question(3, 1, 13)], end_ms + 1_001).len(), 1);
}

#[test]
fn without_room_to_note_a_proof_there_is_no_verdict() {
    let fixture = Fixture::new();
    let (mut stream, (mut batches, _folder)) = (open(&fixture), batches(1));
    let outcomes = stream.proved(&mut batches, vec![question(1, 1, 11), question(2, 2, 12)], T0);
    assert_eq!(outcomes, [(1, ACTIVE), (2, Outcome::Unavailable)]);
}

#[test]
fn what_nobody_could_note_has_no_verdict() {
    let fixture = Fixture::new();
    let mut stream = open(&fixture);
    let proving = asked(&mut stream, vec![question(1, 1, 11)], T0).proofs.remove(0);
    let answers = stream.0.proved(proving, Taken::Unknown, T0);
    assert_eq!(answers.verdicts[0].outcome(), Outcome::Unavailable);
}

#[test]
fn a_malformed_proof_ends_the_stream() {
    let fixture = Fixture::new();
    let good = question(1, 1, 11).proof.unwrap();
    for proof in [
        Proof { id: Vec::new(), ..good.clone() },
        Proof { id: vec![1; ProofId::BYTES + 1], ..good.clone() },
        Proof { lasts_ms: PROOF_LASTS_MS_MAX + 1, ..good.clone() },
    ] {
        let questions = vec![Question { proof: Some(proof), ..question(1, 1, 11) }];
        let message = FilterMessage { questions, ..FilterMessage::default() };
        assert!(open(&fixture).0.receive(message, T0).is_err());
    }
}
