//! The answers to a message: what can leave at once, and what has to wait for the disk.

use super::state::Question;
use crate::bound_token::Answer;
use crate::pdp::Query;
use crate::proofs::UsedProof;
use crate::registry::LookUp;
use crate::session::Session;
use crate::tokens::Redemption;
use portcullis_contract::SessionId;
use portcullis_contract::wire::{Renewed, TakeBack, Verdict};
use std::sync::Arc;

/// The filter broke the contract: the stream ends without an answer.
#[derive(Debug, PartialEq, Eq)]
pub struct Broken(pub String);

impl Broken {
    pub(super) fn new(how: impl Into<String>) -> Self {
        Self(how.into())
    }
}

/// What a verdict answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Destination {
    /// A question.
    Question,
    /// A follow.
    Follow,
}

/// A verdict that must not leave before a session is on disk: it rests on an end that nothing would know of after a crash.
#[derive(Debug)]
pub struct Held {
    /// The session.
    pub session: Arc<Session>,
    /// What the verdict answers.
    pub to: Destination,
    /// The verdict.
    pub verdict: Verdict,
}

/// A question that is released if it is the first one to use these grants for one request.
#[derive(Debug)]
pub struct Using {
    /// The session.
    pub session: SessionId,
    /// The ids of the grants.
    pub grants: Vec<String>,
    /// The name of the question's route.
    pub route: Arc<str>,
    /// The question.
    pub(super) question: Question,
}

/// A question that is judged if it is the first one to come with its proof of possession.
#[derive(Debug)]
pub struct Proving {
    /// The proof.
    pub proof: UsedProof,
    /// The question.
    pub(super) question: Question,
}

/// The answers to a message, or to a change.
#[derive(Debug, Default)]
pub struct Answers {
    /// The message began with a hello, which is answered at once.
    pub welcome: bool,
    /// The message had questions, and all of them have been read.
    pub received: bool,
    /// The verdicts of questions that leave at once.
    pub verdicts: Vec<Verdict>,
    /// The verdicts of follows that leave at once: new ones, and those that have changed.
    pub followed: Vec<Verdict>,
    /// The verdicts that wait for the writer.
    pub held: Vec<Held>,
    /// Sessions that questions and follows wait for: only the disk knows them.
    pub look_ups: Vec<LookUp>,
    /// Questions that wait until the grants that they use are noted as used.
    pub uses: Vec<Using>,
    /// Questions that wait until their proofs are noted as used.
    pub proofs: Vec<Proving>,
    /// Handles of browsers that the filter shows.
    pub redemptions: Vec<Redemption>,
    /// The answer to a renewal.
    pub renewed: Option<Renewed>,
    /// Leases that the filter is to drop.
    pub take_backs: Vec<TakeBack>,
    /// What another decision point is asked, each with what its ruling comes back with.
    pub(crate) queries: Vec<(Asked, Query)>,
}

/// What another decision point is asked about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asked {
    /// A question, by a number of its own.
    Question(u64),
    /// A follow.
    Follow(u32),
}

impl Answers {
    pub(super) fn put(&mut self, to: Destination, answer: Answer) {
        let Answer { verdict, awaits, .. } = answer;
        match awaits {
            Some(session) => self.held.push(Held { session, to, verdict }),
            None => self.put_verdict(to, verdict),
        }
    }

    pub(super) fn put_verdict(&mut self, to: Destination, verdict: Verdict) {
        match to {
            Destination::Question => self.verdicts.push(verdict),
            Destination::Follow => self.followed.push(verdict),
        }
    }
}
