//! Proofs of possession: each is for one question, on whichever stream, and after a restart too.

use crate::client::{FILTER, Filter, PLAIN, hello, token};
use crate::fixtures::{Fixture, T0};
use portcullis_contract::token::dpop::ProofId;
use portcullis_contract::wire::{FilterMessage, Outcome, PROOFS, Proof, Question, Welcome};
use std::sync::atomic::Ordering;
use tonic::transport::Endpoint;

const ACTIVE: Outcome = Outcome::Active;
const USED: Outcome = Outcome::ProofUsed;

/// A question about token 1 with the proof of that id.
fn question(id: u32, proof: u8, asker: u64) -> Question {
    let proof = Some(Proof { id: vec![proof; ProofId::BYTES], asker, lasts_ms: 60_000 });
    Question { id, token: 1, route: PLAIN, method: "GET".to_owned(), proof, ..Question::default() }
}

/// The outcomes of questions, by their ids.
async fn asked(filter: &mut Filter, questions: Vec<Question>) -> Vec<(u32, Outcome)> {
    let count = questions.len();
    filter.send(FilterMessage { questions, ..FilterMessage::default() }).await;
    let verdicts = filter.verdicts(count).await;
    let mut outcomes: Vec<_> = verdicts.iter().map(|verdict| (verdict.id, verdict.outcome())).collect();
    outcomes.sort_unstable();
    outcomes
}

async fn filter(fixture: &Fixture) -> Filter {
    let filter = fixture.filter().await;
    filter.send(FilterMessage { tokens: vec![token(1, "s", T0)], ..FilterMessage::default() }).await;
    filter
}

async fn welcome(fixture: &Fixture) -> Welcome {
    let channel = Endpoint::from_shared(format!("http://{}", fixture.checks)).unwrap().connect().await.unwrap();
    let mut filter = Filter::silent(channel, FILTER).await.unwrap();
    filter.send(hello()).await;
    filter.answer().await.unwrap().unwrap().welcome.unwrap()
}

#[tokio::test]
async fn a_proof_is_for_one_question_whichever_stream_it_comes_on() {
    let fixture = Fixture::open().await;
    let (mut one, mut two) = (filter(&fixture).await, filter(&fixture).await);
    let first = vec![question(1, 1, 11), question(2, 1, 12), question(3, 2, 13)];
    assert_eq!(asked(&mut one, first).await, [(1, ACTIVE), (2, USED), (3, ACTIVE)]);
    let second = vec![question(1, 1, 14), question(2, 2, 13), question(3, 3, 15)];
    assert_eq!(asked(&mut two, second).await, [(1, USED), (2, ACTIVE), (3, ACTIVE)], "question 2 is asked again");
}

#[tokio::test]
async fn a_proof_that_was_used_is_refused_after_a_restart_until_it_ends() {
    let fixture = Fixture::open().await;
    assert_eq!(asked(&mut filter(&fixture).await, vec![question(1, 1, 11)]).await, [(1, ACTIVE)]);
    let before = welcome(&fixture).await;
    let fixture = Fixture::in_folder(fixture.stop().await, "").await;
    let mut filter = filter(&fixture).await;
    assert_eq!(asked(&mut filter, vec![question(1, 1, 12), question(2, 1, 11)]).await, [(1, USED), (2, ACTIVE)]);
    assert!(before.capabilities.iter().any(|name| name == PROOFS));
    assert_eq!((before.nonce_key.len(), &welcome(&fixture).await.nonce_key), (32, &before.nonce_key));
    fixture.at(180_000);
    assert_eq!(asked(&mut filter, vec![question(3, 1, 13)]).await, [(3, ACTIVE)]);
}

#[tokio::test]
async fn without_a_store_to_note_a_proof_there_is_no_verdict_and_the_proof_is_not_lost() {
    let fixture = Fixture::open().await;
    let mut filter = filter(&fixture).await;
    fixture.faults.fails.store(true, Ordering::SeqCst);
    assert_eq!(asked(&mut filter, vec![question(1, 1, 11)]).await, [(1, Outcome::Unavailable)]);
    fixture.faults.fails.store(false, Ordering::SeqCst);
    assert_eq!(asked(&mut filter, vec![question(2, 1, 12)]).await, [(2, ACTIVE)]);
}
