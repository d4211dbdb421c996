//! What waits: questions and follows for a look-up on disk, and questions for grants and proofs that they use, or for
//! another decision point.

use super::asking::{Answered, Asking};
use super::counted::Counted;
use super::leasing::{Giving, Wanted};
use super::{StreamState, holding_back, is_asked, no_verdict, route};
use crate::bound_token::{Once, refusal};
use crate::check_stream::answers::{Answers, Asked, Destination, Proving, Using};
use crate::check_stream::follows::Occasion;
use crate::check_stream::leases::StreamLeases;
use crate::check_stream::point;
use crate::conditions::OwnRequest;
use crate::log::Sampler;
use crate::metrics::Tally;
use crate::minting;
use crate::pdp::Ruling;
use crate::registry::{LookUp, LookedUp};
use crate::token::Token;
use portcullis_contract::SessionId;
use portcullis_contract::wire::{Outcome, Verdict};
use std::sync::Arc;

/// How often a question names grants for one request that another request then uses before it has no verdict. More than a
/// session has.
const TRIES_MAX: u32 = 64;

/// A question or a follow that waits for a look-up on disk.
pub(super) enum Waiting {
    Question(Question),
    Follow(u32),
}

/// A question that waits.
#[derive(Debug)]
pub(in crate::check_stream) struct Question {
    pub(super) id: u32,
    pub(super) route: u32,
    pub(super) handle: u32,
    /// Its own, so that the filter may forget the handle.
    pub(super) token: Arc<Token>,
    /// Its request, if conditions or anomalies need it.
    pub(super) request: OwnRequest,
    /// What it says for a token, if its route wants one.
    minting: minting::OwnRequest,
    /// What another decision point has decided.
    ruled: Option<point::Fate>,
    /// The grants for one request that it has used.
    took: Vec<String>,
    /// How often others were first.
    tries: u32,
    /// The lease that it asks for.
    lease: Option<Wanted>,
}

impl Question {
    /// One that has not been asked about anywhere.
    pub(super) fn new(
        id: u32,
        route: u32,
        handle: u32,
        token: &Arc<Token>,
        request: OwnRequest,
        minting: minting::OwnRequest,
    ) -> Self {
        let (token, took) = (Arc::clone(token), Vec::new());
        Self { id, route, handle, token, request, minting, ruled: None, took, tries: 0, lease: None }
    }

    /// The same, which asks for a lease.
    pub(super) fn leasing(self, lease: Option<Wanted>) -> Self {
        Self { lease, ..self }
    }

    /// The same, which gets none.
    pub(super) fn without_lease(self, leases: &StreamLeases) -> Self {
        self.lease.iter().for_each(|wanted| leases.line().refuse(wanted.id));
        Self { lease: None, ..self }
    }
}

/// What has become of the grants that a question was to use, or of its proof of possession.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// They are noted as used by it, in the store.
    Own,
    /// Another request was first, or a grant has ended.
    Others,
    /// Nobody knows: the store could not write in time.
    Unknown,
}

impl StreamState {
    /// Answers what has waited for look-ups.
    pub fn looked_up(&mut self, found: &[LookedUp], now_ms: u64) -> Answers {
        let (mut answers, mut tally) = (Answers::default(), Tally::default());
        if !self.registry.lease().holds() {
            let ids: Vec<SessionId> = found.iter().map(|found| found.asked.id).collect();
            self.unreadable(&ids, &mut answers);
            return answers;
        }
        self.renew_conditions();
        for found in found {
            let waiting = self.waiting.remove(&found.asked.id).unwrap_or_default();
            self.waiting_count -= waiting.len();
            for waiting in waiting {
                self.resume(waiting, found, &mut tally, now_ms, &mut answers);
            }
        }
        self.metrics.answered(&tally);
        answers
    }

    /// Answers that there is no verdict on what has waited for look-ups that failed: nobody has ended those sessions. The
    /// next question about one of their tokens tries again.
    pub fn unreadable(&mut self, ids: &[SessionId], answers: &mut Answers) {
        let mut tally = Tally::default();
        for waiting in ids.iter().flat_map(|id| self.waiting.remove(id).unwrap_or_default()) {
            self.waiting_count -= 1;
            match waiting {
                Waiting::Question(question) => {
                    no_verdict(question.without_lease(&self.leases).id, &mut tally, answers);
                }
                Waiting::Follow(id) => self.follows.give_up(id, answers),
            }
        }
        self.metrics.answered(&tally);
    }

    /// Has a question or a follow wait for a look-up, which is made once for all that wait for the same session.
    pub(super) fn wait(&mut self, look_up: LookUp, waiting: Waiting, answers: &mut Answers) {
        let others = self.waiting.entry(look_up.id).or_default();
        if others.is_empty() {
            answers.look_ups.push(look_up);
        }
        others.push(waiting);
        self.waiting_count += 1;
    }

    /// Goes on with what has waited. The look-up may be outdated by now: then it waits for another.
    fn resume(&mut self, waiting: Waiting, found: &LookedUp, tally: &mut Tally, now_ms: u64, answers: &mut Answers) {
        match waiting {
            Waiting::Follow(id) => {
                if let Some(look_up) = self.follows.judge(id, Occasion::Entered, Some(found), now_ms, answers) {
                    self.wait(look_up, waiting, answers);
                }
            }
            Waiting::Question(question) => self.ask_again(question, Some(found), tally, now_ms, answers),
        }
    }

    /// Answers a question that has waited.
    pub(super) fn ask_again(
        &mut self,
        question: Question,
        found: Option<&LookedUp>,
        tally: &mut Tally,
        now_ms: u64,
        answers: &mut Answers,
    ) {
        // It had a route when it came, and the routes of a stream never change.
        let Ok(route) = route(self.routes.as_deref(), question.route) else {
            return;
        };
        let &Question { id, route: index, ref took, .. } = &question;
        let mut own = None;
        let token = match self.tokens.get_mut(&question.handle) {
            Some(token) if Arc::ptr_eq(token.bound.token(), &question.token) => token,
            _ => own.insert(Counted::new(holding_back(Arc::clone(&question.token), self.routes.as_deref()))),
        };
        let once = if took.is_empty() { Once::Takes } else { Once::Took(took) };
        let conditions = self.on_table.as_ref().map(|on| on.asking(index, &route.facts, question.request.borrow()));
        let (registry, audit, metrics) = (&*self.registry, &*self.audit, &*self.metrics);
        let denied = question.ruled == Some(point::Fate::Denied);
        let mint = self.minter.as_deref().map(|minter| (minter, &*self.workload, question.minting.borrow()));
        let asking = Asking { registry, audit, metrics, route, index, conditions, mint, id, once, now_ms, denied };
        if question.ruled.is_none() && is_asked(self.point.as_ref(), route) {
            match asking.would_pass(token, found) {
                Ok(true) => {
                    let request = question.request.borrow();
                    let query = point::query(&token.bound, &route.facts, request, registry, now_ms);
                    self.asked_ever += 1;
                    answers.queries.push((Asked::Question(self.asked_ever), query));
                    self.asked.insert(self.asked_ever, question);
                    return;
                }
                // Something else refuses it.
                Ok(false) => {}
                Err(look_up) => return self.wait(look_up, Waiting::Question(question), answers),
            }
        }
        let answered = asking.answer(token, found, tally, &mut self.usage);
        token.note(&self.registry, question.request.borrow(), now_ms);
        // Whether or not its handle was forgotten meanwhile.
        token.collect(&mut self.usage, now_ms);
        match answered {
            Ok(Answered::Now(mut answer, _)) => {
                if let Some(wanted) = question.lease {
                    let giving = Giving { registry, metrics, handle: question.handle, index, now_ms };
                    giving.give(&mut self.leases, wanted, &asking, token, &mut answer);
                }
                answers.put(Destination::Question, answer);
            }
            Ok(Answered::Uses(grants)) => {
                let question = question.without_lease(&self.leases);
                let (session, route) = (question.token.id, Arc::clone(&route.scopes.name));
                answers.uses.push(Using { session, grants, route, question });
                self.using += 1;
            }
            Err(look_up) => self.wait(look_up, Waiting::Question(question), answers),
        }
    }

    /// Answers a question that came with a proof of possession. The proof is used, whatever is answered.
    pub fn proved(&mut self, proving: Proving, taken: Taken, now_ms: u64) -> Answers {
        static REPEATED: Sampler = Sampler::new();
        self.noted(proving.question, taken, now_ms, |_, question, tally, answers| {
            if let Some(not_logged) = REPEATED.admit() {
                let session = question.token.id;
                tracing::warn!(%session, not_logged, "a proof of possession was used a second time: refused");
            }
            let outcome = Outcome::ProofUsed;
            tally.add(outcome);
            answers.put_verdict(Destination::Question, Verdict { id: question.id, ..refusal(outcome) });
        })
    }

    /// Answers a question that was to use grants for one request. What it has used counts for no other, whatever it is answered.
    pub fn used(&mut self, using: Using, taken: Taken, now_ms: u64) -> Answers {
        let Using { grants, question, .. } = using;
        let took = if taken == Taken::Own { grants } else { Vec::new() };
        self.noted(Question { took, ..question }, taken, now_ms, |stream, question, tally, answers| {
            if question.tries >= TRIES_MAX {
                return no_verdict(question.id, tally, answers);
            }
            // There may be other grants.
            let question = Question { tries: question.tries + 1, ..question };
            stream.ask_again(question, None, tally, now_ms, answers);
        })
    }

    /// Goes on with a question whose grants or proof were to be noted; `others` answers it where another request was first.
    fn noted(
        &mut self,
        question: Question,
        taken: Taken,
        now_ms: u64,
        others: impl FnOnce(&mut Self, Question, &mut Tally, &mut Answers),
    ) -> Answers {
        self.using = self.using.saturating_sub(1);
        let (mut answers, mut tally) = (Answers::default(), Tally::default());
        self.renew_conditions();
        match taken {
            _ if !self.registry.lease().holds() => no_verdict(question.id, &mut tally, &mut answers),
            Taken::Unknown => no_verdict(question.id, &mut tally, &mut answers),
            Taken::Own => self.ask_again(question, None, &mut tally, now_ms, &mut answers),
            Taken::Others => others(self, question, &mut tally, &mut answers),
        }
        self.metrics.answered(&tally);
        self.add_usage(now_ms);
        answers
    }

    /// Goes on with what another decision point has decided.
    pub(crate) fn ruled(&mut self, asked: Asked, ruling: Ruling, now_ms: u64) -> Answers {
        let (mut answers, mut tally) = (Answers::default(), Tally::default());
        self.renew_conditions();
        let number = match asked {
            Asked::Follow(id) => {
                self.follows.ruled(id, ruling, now_ms, &mut answers);
                return answers;
            }
            Asked::Question(number) => number,
        };
        if let Some((question, point)) = self.asked.remove(&number).zip(self.point.clone()) {
            match point::fate(&point, ruling, question.request.borrow().method()) {
                _ if !self.registry.lease().holds() => no_verdict(question.id, &mut tally, &mut answers),
                point::Fate::Undecided => no_verdict(question.id, &mut tally, &mut answers),
                fate => {
                    let question = Question { ruled: Some(fate), ..question };
                    self.ask_again(question, None, &mut tally, now_ms, &mut answers);
                }
            }
        }
        self.metrics.answered(&tally);
        answers
    }
}
