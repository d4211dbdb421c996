//! Grants for one request, on streams: taken by one of several questions, kept by the request that they released, and by no
//! other.

use super::state::tests::{Stream, fresh, hello, token};
use super::{Answers, Taken, Using};
use crate::approvals::{AccessRequest, Decision, For, Rules};
use crate::fixtures::{Fixture, HOUR, MINUTE, T0, approval_rule, approver, asked, person};
use crate::registry::Registry;
use crate::usage::{Kind, Summary};
use crate::writer::{self, Approving, Deciding, NotWritten, Op, op};
use portcullis_contract::wire::{FilterMessage, Follow, Hello, Outcome, Question, Token};
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// The route of every test, which requires `orders:write`.
const WRITE: u32 = 4;

const REQUIRED: Outcome = Outcome::ApprovalRequired;
const ACTIVE: Outcome = Outcome::Active;

/// A stream whose policy holds `orders:write` back.
fn open(fixture: &Fixture) -> Stream {
    let mut stream = Stream(fresh(fixture), Arc::clone(&fixture.registry));
    let hello = Some(Hello { approvals: vec!["orders:write".to_owned()], ..hello() });
    stream.send(FilterMessage { hello, tokens: vec![token(1, "s", T0)], ..FilterMessage::default() }, T0);
    stream
}

fn fixture() -> Fixture {
    let fixture = Fixture::new();
    fixture.registry.set_approval_rules(Arc::new(Rules(vec![approval_rule()])));
    drop(fixture.live(&person("s", T0), T0));
    fixture
}

fn approving(fixture: &Fixture, approving: Approving, now_ms: u64) -> Option<AccessRequest> {
    let (op, mut answer) = op(|reply| Op::Approval(approving, now_ms, reply));
    fixture.commit().make_all(vec![op]);
    answer.try_recv().unwrap().unwrap().unwrap().map(|(request, _)| *request)
}

/// A request that is approved for one request.
fn granted(fixture: &Fixture) -> AccessRequest {
    let request = approving(fixture, Approving::Ask(Box::new(asked(&person("s", T0)))), T0).unwrap();
    let how = Decision::Approve(For::Once(None));
    let (id, comment) = (request.id, String::new());
    let deciding = Deciding { id, decision: how, caller: approver("ben"), comment };
    approving_of(fixture, deciding)
}

fn approving_of(fixture: &Fixture, deciding: Deciding) -> AccessRequest {
    approving(fixture, Approving::Decide(Box::new(deciding)), T0 + 1).unwrap()
}

fn questions(ids: &[u32]) -> FilterMessage {
    let questions = ids.iter().map(|id| Question { id: *id, token: 1, route: WRITE, ..Question::default() }).collect();
    FilterMessage { questions, ..FilterMessage::default() }
}

fn follow(id: u32) -> FilterMessage {
    FilterMessage {
        follows: vec![Follow { id, token: 1, route: WRITE, ..Follow::default() }],
        ..FilterMessage::default()
    }
}

/// What the writer answers.
fn take(fixture: &Fixture, using: &Using, now_ms: u64) -> Taken {
    let uses = writer::Using { session: using.session, grants: using.grants.clone(), route: using.route.to_string() };
    let (op, mut answer) = op(|reply| Op::Approval(Approving::Use(uses), now_ms, reply));
    fixture.commit().make_all(vec![op]);
    match answer.try_recv().unwrap() {
        Ok(Ok(_)) => Taken::Own,
        Ok(Err(_)) => Taken::Others,
        Err(NotWritten::Failed(_) | NotWritten::Busy | NotWritten::Late) => Taken::Unknown,
    }
}

impl Stream {
    fn taken(&mut self, fixture: &Fixture, using: Using, now_ms: u64) -> Answers {
        let taken = take(fixture, &using, now_ms);
        self.0.used(using, taken, now_ms)
    }

    /// The outcomes of questions, with the writer's part.
    fn all(&mut self, fixture: &Fixture, ids: &[u32], now_ms: u64) -> Vec<Outcome> {
        let mut answers = self.0.receive(questions(ids), now_ms).unwrap();
        let mut outcomes: Vec<Outcome> = answers.verdicts.iter().map(|verdict| verdict.outcome()).collect();
        while let Some(using) = answers.uses.pop() {
            let more = self.taken(fixture, using, now_ms);
            outcomes.extend(more.verdicts.iter().map(|verdict| verdict.outcome()));
            answers.uses.extend(more.uses);
        }
        assert_eq!(self.0.waiting(), 0);
        outcomes.sort_unstable();
        outcomes
    }

    fn followed(&mut self, message: FilterMessage, now_ms: u64) -> Vec<Outcome> {
        self.0.receive(message, now_ms).unwrap().followed.iter().map(|verdict| verdict.outcome()).collect()
    }
}

#[test]
fn of_parallel_questions_exactly_one_passes_on_one_stream_and_on_two() {
    let fixture = fixture();
    let (mut one, mut two) = (open(&fixture), open(&fixture));
    assert_eq!(one.all(&fixture, &[1, 2], T0), [REQUIRED, REQUIRED]);
    granted(&fixture);
    let first = one.0.receive(questions(&[1, 2, 3]), T0 + 2).unwrap();
    let second = two.0.receive(questions(&[4, 5]), T0 + 2).unwrap();
    assert_eq!((first.verdicts.len(), first.uses.len(), second.uses.len()), (0, 3, 2), "all of them wait");
    let mut outcomes = Vec::new();
    for using in second.uses {
        outcomes.extend(two.taken(&fixture, using, T0 + 3).verdicts);
    }
    for using in first.uses {
        outcomes.extend(one.taken(&fixture, using, T0 + 3).verdicts);
    }
    let passed: Vec<_> = outcomes.iter().filter(|verdict| verdict.outcome() == ACTIVE).collect();
    assert_eq!((outcomes.len(), passed.len()), (5, 1), "{outcomes:?}");
    assert_eq!(passed[0].narrowed, None, "it has all of its scopes");
    assert_eq!(outcomes.iter().filter(|verdict| verdict.outcome() == REQUIRED).count(), 4);
    assert_eq!((one.0.waiting(), two.0.waiting()), (0, 0));
    assert_eq!(one.all(&fixture, &[6], T0 + 4), [REQUIRED]);
}

#[test]
fn each_of_two_grants_releases_one_request() {
    let fixture = fixture();
    let mut stream = open(&fixture);
    granted(&fixture);
    granted(&fixture);
    assert_eq!(stream.all(&fixture, &[1, 2, 3], T0 + 2), [ACTIVE, ACTIVE, REQUIRED]);
}

#[test]
fn a_grant_that_could_not_be_noted_as_used_releases_nothing_and_one_that_was_is_gone_after_a_crash() {
    let fixture = fixture();
    fixture.flush();
    granted(&fixture);
    let mut stream = open(&fixture);
    fixture.store.fails.store(true, Ordering::SeqCst);
    assert_eq!(stream.all(&fixture, &[1], T0 + 2), [Outcome::Unavailable]);
    fixture.store.fails.store(false, Ordering::SeqCst);
    let answers = stream.0.receive(questions(&[2]), T0 + 3).unwrap();
    assert_eq!(take(&fixture, &answers.uses[0], T0 + 3), Taken::Own, "and its process dies before it has answered");
    drop((answers, stream));
    let fixture = fixture.crash();
    fixture.registry.set_approval_rules(Arc::new(Rules(vec![approval_rule()])));
    assert_eq!(open(&fixture).all(&fixture, &[3], T0 + 4), [REQUIRED]);
}

#[test]
fn the_request_that_used_it_goes_on_until_the_grant_ends_and_on_another_stream_too() {
    let fixture = fixture();
    let mut stream = open(&fixture);
    let request = granted(&fixture);
    assert_eq!(stream.all(&fixture, &[1], T0 + 2), [ACTIVE]);
    assert_eq!(stream.followed(follow(1), T0 + 30), [ACTIVE]);
    let mut other = open(&fixture);
    assert_eq!(other.followed(follow(1), T0 + 40), [ACTIVE], "its filter has opened its stream elsewhere");
    assert_eq!(stream.all(&fixture, &[2], T0 + 50), [REQUIRED], "no second one");
    assert!(stream.followed(FilterMessage::default(), T0 + MINUTE).is_empty());
    assert_eq!(stream.followed(FilterMessage::default(), T0 + 1 + MINUTE), [REQUIRED], "its time is over");
    let (id, comment) = (request.grant.unwrap().id, String::new());
    approving_of(&fixture, Deciding { id, decision: Decision::Revoke, caller: approver("ben"), comment });
    assert_eq!(other.followed(FilterMessage::default(), T0 + 60), [REQUIRED], "it was revoked");
}

#[test]
fn an_open_request_of_another_grant_ends_with_that_one() {
    let fixture = fixture();
    let mut stream = open(&fixture);
    let asked = approving(&fixture, Approving::Ask(Box::new(asked(&person("s", T0)))), T0).unwrap();
    let (id, comment, how) = (asked.id, String::new(), Decision::Approve(For::Asked));
    let timed = approving_of(&fixture, Deciding { id, decision: how, caller: approver("ben"), comment });
    assert_eq!(stream.all(&fixture, &[1], T0 + 2), [ACTIVE]);
    assert_eq!(stream.followed(follow(1), T0 + 30), [ACTIVE]);
    let once = granted(&fixture);
    assert_eq!(stream.all(&fixture, &[2], T0 + 40), [ACTIVE], "it needs no other grant");
    assert!(fixture.registry.request(&once.id).unwrap().grant.unwrap().is_open());
    let (id, comment) = (timed.grant.unwrap().id, String::new());
    approving_of(&fixture, Deciding { id, decision: Decision::Revoke, caller: approver("ben"), comment });
    assert_eq!(stream.followed(FilterMessage::default(), T0 + 50), [REQUIRED]);
    assert_eq!(stream.all(&fixture, &[3], T0 + 60), [ACTIVE], "the other one is still there");
}

#[test]
fn an_escalation_that_is_approved_once_passes_where_its_route_needs_it_and_can_be_asked_for_again() {
    let fixture = Fixture::new();
    fixture.registry.set_approval_rules(Arc::new(Rules(vec![approval_rule()])));
    let narrow = crate::token::Token { scopes: crate::intern::ScopeSet::new(["openid"]), ..person("s", T0) };
    drop(fixture.live(&narrow, T0));
    let mut stream = Stream::open(&fixture);
    let scopes = vec!["openid".to_owned(), "orders:write".to_owned()];
    stream.describe(Token { scopes, ..token(1, "s", T0) }, T0);
    let escalate = |stream: &mut Stream, at_ms| {
        assert_eq!(stream.all(&fixture, &[1, 2], at_ms), [Outcome::ScopeEscalation; 2]);
        let mut waiting = fixture.registry.take_escalations();
        assert_eq!(waiting.len(), 1);
        approving(&fixture, Approving::Ask(Box::new(waiting.remove(0))), at_ms).unwrap()
    };
    let request = escalate(&mut stream, T0 + 1);
    let how = Decision::Approve(For::Once(None));
    let deciding = Deciding { id: request.id, decision: how, caller: approver("ben"), comment: String::new() };
    approving_of(&fixture, deciding);
    assert_eq!(stream.outcome(1, 0, T0 + 2), Outcome::ScopeEscalation, "the plain route does not need it");
    assert!(fixture.registry.take_escalations().is_empty(), "nor has anybody to be asked");
    assert_eq!(stream.all(&fixture, &[1], T0 + 3), [ACTIVE]);
    escalate(&mut stream, T0 + 4);
}

#[test]
fn what_somebody_has_yet_to_approve_counts_as_refused_and_a_request_by_one_grant_as_granted() {
    let fixture = fixture();
    let mut stream = open(&fixture);
    assert_eq!(stream.all(&fixture, &[1, 2], T0), [REQUIRED; 2]);
    granted(&fixture);
    assert_eq!(stream.all(&fixture, &[3], T0 + 2), [ACTIVE]);
    drop(stream);
    let count = counted(&fixture.registry, &fixture);
    assert_eq!(count, (3, 1, 2));
}

/// How often `orders:write` was asked for, granted and refused.
fn counted(registry: &Registry, fixture: &Fixture) -> (u64, u64, u64) {
    let mut summary = Summary::default();
    registry.usage().read(&*fixture.store, 0, &mut |used| summary.add(used)).unwrap();
    let found = summary.of(Kind::Scope).find(|(name, ..)| *name == "orders:write");
    let (_, _, count) = found.expect("it was counted");
    (count.asked, count.granted, count.refused)
}

#[test]
fn it_waits_no_longer_than_its_time_and_dies_with_its_rule() {
    let fixture = fixture();
    let mut stream = open(&fixture);
    granted(&fixture);
    assert_eq!(stream.all(&fixture, &[1], T0 + 1 + MINUTE), [REQUIRED]);
    let answers = stream.0.receive(questions(&[2]), T0 + 2).unwrap();
    fixture.registry.set_approval_rules(Arc::default());
    assert_eq!(take(&fixture, &answers.uses[0], T0 + HOUR), Taken::Others);
}
