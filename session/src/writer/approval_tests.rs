//! Requests for access and the verdicts on their sessions: with commits, crashes and others of their kind in one commit.

use super::approval::{Approved, Approving, Deciding};
use super::*;
use crate::approvals::{AccessRequest, Decision, For, NotDone, Rule, Rules, State, Why};
use crate::bound_token::{Answer, BoundToken, Required};
use crate::fixtures::{Fixture, HOUR, MINUTE, T0, approval_rule, approver, asked, login, person};
use crate::intern::ScopeSet;
use crate::judge::Asked;
use crate::token::Token;
use portcullis_contract::Requirement;
use portcullis_contract::wire::Outcome;
use std::sync::Arc;

fn fixture() -> Fixture {
    ruled(Fixture::new())
}

fn ruled(fixture: Fixture) -> Fixture {
    fixture.registry.set_approval_rules(Arc::new(Rules(vec![approval_rule()])));
    fixture
}

fn make(fixture: &Fixture, all: Vec<Approving>, now_ms: u64) -> Vec<Approved> {
    let (ops, mut answers): (Vec<_>, Vec<_>) =
        all.into_iter().map(|one| op(|reply| Op::Approval(one, now_ms, reply))).unzip();
    fixture.commit().make_all(ops);
    answers.iter_mut().map(|answer| answer.try_recv().unwrap().unwrap()).collect()
}

fn one(fixture: &Fixture, approving: Approving, now_ms: u64) -> Result<AccessRequest, NotDone> {
    make(fixture, vec![approving], now_ms).remove(0).map(|made| *made.unwrap().0)
}

fn ask(fixture: &Fixture, token: &Token) -> AccessRequest {
    one(fixture, Approving::Ask(Box::new(asked(token))), T0).unwrap()
}

fn deciding(id: &str, by: &str, decision: Decision) -> Approving {
    let (id, comment) = (id.to_owned(), String::new());
    Approving::Decide(Box::new(Deciding { id, decision, caller: approver(by), comment }))
}

fn approve(fixture: &Fixture, request: &AccessRequest, now_ms: u64) -> AccessRequest {
    one(fixture, deciding(&request.id, "ben", Decision::Approve(For::Asked)), now_ms).unwrap()
}

/// A token of a filter whose policy holds `orders:write` back.
struct Asker(BoundToken);

impl Asker {
    fn new(token: &Token) -> Self {
        Self(BoundToken::new(Arc::new(token.clone())).holding_back(&ScopeSet::new(["orders:write"])))
    }

    fn answer(&mut self, fixture: &Fixture, now_ms: u64) -> Answer {
        let mut found = None;
        while self.0.is_outdated(&fixture.registry, true, now_ms) {
            match self.0.bind(&fixture.registry, true, found.as_ref(), now_ms) {
                Ok(()) => break,
                Err(look_up) => found = Some(fixture.registry.look_up(&look_up).unwrap()),
            }
        }
        let requirement = Requirement::of(vec!["orders:write".to_owned()], Vec::new());
        let required = Required { scopes: Some(&requirement), ..Required::default() };
        self.0.answer(&fixture.registry, Asked::default(), required, now_ms)
    }

    fn outcome(&mut self, fixture: &Fixture, now_ms: u64) -> Outcome {
        self.answer(fixture, now_ms).verdict.outcome()
    }
}

const REQUIRED: Outcome = Outcome::ApprovalRequired;

#[test]
fn a_scope_that_is_held_back_counts_while_a_grant_lasts_and_not_a_millisecond_longer() {
    let fixture = fixture();
    let token = person("s", T0);
    let mut asker = Asker::new(&token);
    assert_eq!(asker.outcome(&fixture, T0), REQUIRED);
    assert_eq!(fixture.registry.find(token.id).unwrap().last_seen_ms(), T0, "it is not activity");
    let request = ask(&fixture, &token);
    assert_eq!(asker.outcome(&fixture, T0), REQUIRED, "asking is not enough");
    let approved = approve(&fixture, &request, T0 + 1);
    let answer = asker.answer(&fixture, T0 + 1);
    assert_eq!((answer.verdict.outcome(), answer.verdict.narrowed), (Outcome::Active, None));
    assert_eq!(answer.again_in_ms, Some(MINUTE), "an open request is looked at again then");
    assert_eq!(asker.outcome(&fixture, T0 + MINUTE), Outcome::Active);
    assert_eq!(asker.outcome(&fixture, T0 + 1 + MINUTE), REQUIRED);
    assert_eq!(approved.state, State::Approved);
}

#[test]
fn routes_that_need_no_approval_name_no_scope_that_nobody_has_approved() {
    let fixture = fixture();
    let token = person("s", T0);
    let mut asker = Asker::new(&token);
    asker.answer(&fixture, T0);
    let verdict = asker.0.answer(&fixture.registry, Asked::default(), Required::default(), T0).verdict;
    assert_eq!(verdict.outcome(), Outcome::Active);
    assert_eq!(verdict.narrowed.unwrap().scopes, ["openid", "orders:read"]);
    let mut other = BoundToken::new(Arc::new(token));
    other.bind(&fixture.registry, true, None, T0).unwrap();
    let verdict = other.answer(&fixture.registry, Asked::default(), Required::default(), T0).verdict;
    assert_eq!(verdict.narrowed, None, "another policy holds nothing back");
}

#[test]
fn requests_and_grants_are_there_after_a_crash() {
    let fixture = fixture();
    let token = person("s", T0);
    drop(fixture.live(&token, T0));
    fixture.flush();
    let request = ask(&fixture, &token);
    let fixture = ruled(fixture.crash());
    let approved = approve(&fixture, &request, T0 + 1);
    let fixture = ruled(fixture.crash());
    assert_eq!(fixture.registry.request(&request.id), Some(approved));
    assert_eq!(Asker::new(&token).outcome(&fixture, T0 + 2), Outcome::Active);
}

#[test]
fn a_session_that_a_crash_has_lost_keeps_its_request_and_its_grant() {
    let fixture = fixture();
    let token = person("s", T0);
    drop(fixture.live(&token, T0));
    let request = ask(&fixture, &token);
    let swept = |fixture: Fixture, now_ms| {
        let fixture = ruled(fixture.crash());
        assert!(fixture.registry.find(token.id).is_none(), "it was not written yet");
        assert!(make(&fixture, vec![Approving::Sweep(true)], now_ms).remove(0).unwrap().is_none(), "that is no end");
        fixture
    };
    let fixture = swept(fixture, T0 + 1);
    assert_eq!(Asker::new(&token).outcome(&fixture, T0 + 2), REQUIRED);
    approve(&fixture, &request, T0 + 3);
    let fixture = swept(fixture, T0 + 4);
    assert_eq!(Asker::new(&token).outcome(&fixture, T0 + 5), Outcome::Active);
}

#[test]
fn two_who_decide_in_one_commit_decide_once_and_the_same_request_is_one() {
    let fixture = fixture();
    let token = person("s", T0);
    drop(fixture.live(&token, T0));
    let both = [(), ()].map(|()| Approving::Ask(Box::new(asked(&token))));
    let made = make(&fixture, both.into(), T0);
    let [Ok(Some((first, true))), Ok(Some((second, false)))] = &made[..] else { panic!("{made:?}") };
    assert_eq!(first, second);
    let how = Decision::Approve(For::Asked);
    let clicks = vec![
        deciding(&first.id, "rita", how.clone()),
        deciding(&first.id, "ben", how.clone()),
        deciding(&first.id, "ben", how),
        deciding(&first.id, "ben", Decision::Deny),
    ];
    let made = make(&fixture, clicks, T0 + 1);
    assert!(matches!(made[0], Err(NotDone::Forbidden(_))), "she has asked");
    assert!(made[1].as_ref().is_ok_and(|made| made.as_ref().is_some_and(|(made, _)| made.grant.is_some())));
    assert_eq!((made[2].clone().err(), made[3].clone().err()), {
        let closed = Some(NotDone::Closed(State::Approved));
        (closed.clone(), closed)
    });
}

#[test]
fn a_grant_dies_with_a_login_a_revocation_its_rule_and_by_hand() {
    for how in ["login", "revocation", "rule", "hand"] {
        let fixture = fixture();
        let token = login("s", T0);
        let mut asker = Asker::new(&token);
        assert_eq!(asker.outcome(&fixture, T0), REQUIRED);
        let request = ask(&fixture, &token);
        let grant = approve(&fixture, &request, T0 + 1).grant.unwrap();
        assert_eq!(asker.outcome(&fixture, T0 + 2), Outcome::Active);
        let later = login("s", T0 + 10_000);
        let why = match how {
            "login" => {
                assert_eq!(Asker::new(&later).outcome(&fixture, T0 + 10_000), REQUIRED, "{how}");
                Why::SessionEnded
            }
            "revocation" => {
                let (revoke, _answer) = op(|reply| {
                    let (id, reason, now_ms) = (token.id, String::new(), T0 + 3);
                    Op::Revoke(Revoking { id, reason, unseen: Unseen::Ignored, now_ms }, reply)
                });
                fixture.commit().make_all(vec![revoke]);
                assert_eq!(asker.outcome(&fixture, T0 + 4), Outcome::Revoked, "{how}");
                assert_eq!(Asker::new(&later).outcome(&fixture, T0 + 10_000), REQUIRED, "it came back without it");
                Why::SessionRevoked
            }
            "rule" => {
                fixture.registry.set_approval_rules(Arc::default());
                assert_eq!(asker.outcome(&fixture, T0 + 3), REQUIRED, "{how}");
                Why::RuleGone
            }
            _ => {
                one(&fixture, deciding(&grant.id, "ben", Decision::Revoke), T0 + 3).unwrap();
                assert_eq!(asker.outcome(&fixture, T0 + 3), REQUIRED, "{how}");
                Why::Revoked
            }
        };
        make(&fixture, vec![Approving::Sweep(true)], T0 + 10_001);
        let ended = fixture.registry.request(&request.id).unwrap().grant.unwrap().ended.unwrap();
        assert_eq!(ended.why, why, "{how}");
        let fixture = ruled(fixture.crash());
        assert_eq!(fixture.registry.count_requests(), (0, 0), "{how}");
    }
}

#[test]
fn a_request_that_nobody_decides_expires_and_is_forgotten() {
    let fixture = fixture();
    let token = person("s", T0);
    drop(fixture.live(&token, T0));
    let request = ask(&fixture, &token);
    make(&fixture, vec![Approving::Sweep(false)], T0 + 24 * HOUR - 1);
    assert_eq!(fixture.registry.request(&request.id).unwrap().state, State::Pending);
    make(&fixture, vec![Approving::Sweep(false)], T0 + 24 * HOUR);
    assert_eq!(fixture.registry.request(&request.id).unwrap().state, State::Expired);
    let (forget, _answer) = op(|reply| Op::Forget(None, T0 + 24 * HOUR + 1, reply));
    fixture.commit().make_all(vec![forget]);
    assert_eq!(fixture.registry.request(&request.id), None);
    assert!(fixture.crash().registry.all_requests().is_empty());
}

#[test]
fn a_refused_escalation_becomes_one_request_and_its_approval_lets_the_token_in() {
    let fixture = fixture();
    let narrow = Token { scopes: ScopeSet::new(["openid"]), ..person("s", T0) };
    drop(fixture.live(&narrow, T0));
    let more = Token { scopes: ScopeSet::new(["openid", "orders:write"]), ..narrow.clone() };
    let mut asker = Asker::new(&more);
    for _ in 0..3 {
        assert_eq!(asker.outcome(&fixture, T0 + 1), Outcome::ScopeEscalation);
        asker.0.ask_for_approval(&fixture.registry, T0 + 5);
    }
    let waiting = fixture.registry.take_escalations();
    assert_eq!(waiting.len(), 1);
    let request = one(&fixture, Approving::Ask(Box::new(waiting[0].clone())), T0 + 2).unwrap();
    assert_eq!((request.escalation, request.scopes.as_slice()), (true, &["orders:write".to_owned()][..]));
    let session = one(&fixture, deciding(&request.id, "ben", Decision::Approve(For::Session)), T0 + 3).unwrap();
    assert_eq!(session.grant.unwrap().until_ms, None);
    assert_eq!(asker.outcome(&fixture, T0 + 4), Outcome::Active);
    let beyond = Token { scopes: ScopeSet::new(["admin", "openid"]), ..narrow };
    let mut asker = Asker::new(&beyond);
    assert_eq!(asker.outcome(&fixture, T0 + 5), Outcome::ScopeEscalation);
    asker.0.ask_for_approval(&fixture.registry, T0 + 5);
    assert!(fixture.registry.take_escalations().is_empty(), "no rule is about it");
}

#[test]
fn an_escalation_that_two_rules_are_about_passes_once_both_parts_are_approved() {
    let fixture = Fixture::new();
    let of =
        |name: &str, scope: &str| Rule { name: name.to_owned(), scopes: vec![scope.to_owned()], ..approval_rule() };
    fixture.registry.set_approval_rules(Arc::new(Rules(vec![of("one", "admin"), of("two", "orders:write")])));
    let narrow = Token { scopes: ScopeSet::new(["openid"]), ..person("s", T0) };
    drop(fixture.live(&narrow, T0));
    let more = Token { scopes: ScopeSet::new(["admin", "openid", "orders:write"]), ..narrow };
    let mut asker = Asker::new(&more);
    assert_eq!(asker.outcome(&fixture, T0 + 1), Outcome::ScopeEscalation);
    asker.0.ask_for_approval(&fixture.registry, T0 + 1);
    let waiting = fixture.registry.take_escalations();
    let requests: Vec<AccessRequest> =
        waiting.into_iter().map(|asked| one(&fixture, Approving::Ask(Box::new(asked)), T0 + 2).unwrap()).collect();
    let parts: Vec<_> = requests.iter().map(|request| (request.rule.as_str(), request.scopes.join(" "))).collect();
    assert_eq!(parts, [("one", "admin".to_owned()), ("two", "orders:write".to_owned())]);
    approve(&fixture, &requests[0], T0 + 3);
    assert_eq!(asker.outcome(&fixture, T0 + 3), Outcome::ScopeEscalation, "the other part is missing");
    asker.0.ask_for_approval(&fixture.registry, T0 + 3);
    let again = fixture.registry.take_escalations();
    assert_eq!(again.len(), 1, "it is asked for in another generation");
    let same = one(&fixture, Approving::Ask(Box::new(again[0].clone())), T0 + 3).unwrap();
    assert_eq!(same.id, requests[1].id, "and is the same request");
    approve(&fixture, &requests[1], T0 + 4);
    assert_eq!(asker.outcome(&fixture, T0 + 4), Outcome::Active);
}
