//! Notices to webhooks are made with the change that they are about, and one replica tries each.

use super::approval::{Approving, Deciding};
use super::*;
use crate::approvals::{AccessRequest, Asked, BreakGlass, Decision, For, People, Rule, Rules};
use crate::fixtures::{Fixture, HOUR, MINUTE, T0, approval_rule, approver, asked, person};
use crate::notices::{CLAIMED_MS, Event, Noticing, REMIND_MS, Subscribers};
use std::sync::Arc;

const DAY: u64 = 24 * HOUR;

fn rule() -> Rule {
    let people = People { admins: vec!["rita".to_owned()], claims: Vec::new() };
    let break_glass = BreakGlass { who: people, max_duration_ms: HOUR, notify: Some("loud".to_owned()) };
    Rule { break_glass: Some(break_glass), ..approval_rule() }
}

fn told(fixture: Fixture) -> Fixture {
    fixture.registry.set_approval_rules(Arc::new(Rules(vec![rule()])));
    let loud = ("loud".to_owned(), Some([Event::ReviewOpen].into()));
    fixture.registry.set_subscribers(Subscribers(vec![("ops".to_owned(), None), loud]));
    fixture
}

fn make(fixture: &Fixture, all: Vec<Approving>, now_ms: u64) -> Vec<Option<AccessRequest>> {
    let (ops, mut answers): (Vec<_>, Vec<_>) =
        all.into_iter().map(|one| op(|reply| Op::Approval(one, now_ms, reply))).unzip();
    fixture.commit().make_all(ops);
    let answered = answers.iter_mut().map(|answer| answer.try_recv().unwrap().unwrap().unwrap());
    answered.map(|made| made.map(|(request, _)| *request)).collect()
}

fn one(fixture: &Fixture, approving: Approving, now_ms: u64) -> AccessRequest {
    make(fixture, vec![approving], now_ms).remove(0).unwrap()
}

fn asking(emergency: bool) -> Approving {
    Approving::Ask(Box::new(Asked { emergency, rule: rule(), ..asked(&person("s", T0)) }))
}

fn deciding(id: &str, decision: Decision) -> Approving {
    let deciding = Deciding { id: id.to_owned(), decision, caller: approver("ben"), comment: "why".to_owned() };
    Approving::Decide(Box::new(deciding))
}

fn notice(noticing: Noticing) -> Approving {
    Approving::Notice(Box::new(noticing))
}

fn events(request: &AccessRequest) -> Vec<(&str, Event)> {
    request.notices.iter().map(|notice| (&*notice.webhook, notice.event)).collect()
}

#[test]
fn each_change_of_a_request_makes_the_notices_of_those_who_want_them() {
    let fixture = told(Fixture::new());
    drop(fixture.live(&person("s", T0), T0));
    let asked = one(&fixture, asking(false), T0);
    assert_eq!(events(&asked), [("ops", Event::ApprovalRequested)]);
    let approved = one(&fixture, deciding(&asked.id, Decision::Approve(For::Asked)), T0 + 1);
    assert_eq!(events(&approved)[1..], [("ops", Event::ApprovalDecided)]);
    make(&fixture, vec![Approving::Sweep(false)], T0 + 2 * MINUTE);
    let ended = fixture.registry.request(&asked.id).unwrap();
    assert_eq!(events(&ended)[2..], [("ops", Event::GrantEnded)]);
    // They are found again after a crash, and nobody takes them for new.
    let fixture = told(fixture.crash());
    assert_eq!(fixture.registry.request(&asked.id), Some(ended));
    assert_eq!(fixture.registry.due_notices("ops", u64::MAX).len(), 3);
    assert!(fixture.registry.new_notice("ops").is_none());
    assert!(fixture.registry.due_notice("ops", T0 + CLAIMED_MS - 1).is_none(), "another replica may be trying them");
}

#[test]
fn an_emergency_is_told_to_whom_its_rule_names_and_its_review_once_a_day() {
    let fixture = told(Fixture::new());
    drop(fixture.live(&person("s", T0), T0));
    let taken = one(&fixture, asking(true), T0);
    assert_eq!(events(&taken), [("ops", Event::BreakGlass), ("loud", Event::BreakGlass)]);
    assert!(fixture.registry.reviews_due(T0 + DAY - 1).is_empty());
    let remind = || Approving::Remind(taken.id.clone());
    // Two replicas ask for it.
    let made = make(&fixture, vec![remind(), remind()], T0 + REMIND_MS);
    let [Some(reminded), None] = &made[..] else { panic!("{made:?}") };
    assert_eq!(events(reminded)[2..], [("ops", Event::ReviewOpen), ("loud", Event::ReviewOpen)]);
    let reviewed = one(&fixture, deciding(&taken.id, Decision::Review), T0 + DAY + 1);
    assert_eq!(events(&reviewed)[4..], [("ops", Event::ReviewClosed)]);
    assert_eq!(make(&fixture, vec![remind()], T0 + 3 * DAY), [None]);
    assert!(fixture.registry.reviews_due(T0 + 3 * DAY).is_empty());
}

#[test]
fn a_notice_is_new_once_and_gone_once_it_is_delivered() {
    let fixture = told(Fixture::new());
    drop(fixture.live(&person("s", T0), T0));
    let asked = one(&fixture, asking(false), T0);
    let key = fixture.registry.new_notice("ops").unwrap();
    assert_eq!(
        (&key.request, fixture.registry.new_notice("ops"), fixture.registry.new_notice("loud")),
        (&asked.id, None, None)
    );
    // Two claim it in one commit.
    let claim = || notice(Noticing::Claim(key.clone(), 0));
    let made = make(&fixture, vec![claim(), claim()], T0 + CLAIMED_MS);
    assert!(matches!(&made[..], [Some(_), None]), "{made:?}");
    let failed = one(&fixture, notice(Noticing::Failed(key.clone(), 1, "it answered 500".to_owned())), T0 + CLAIMED_MS);
    let waits_ms = failed.notices[0].next_at_ms;
    assert!(fixture.registry.due_notice("ops", waits_ms - 1).is_none());
    assert_eq!(fixture.registry.due_notice("ops", waits_ms), Some((key.clone(), 1)));
    assert_eq!(fixture.registry.undelivered().len(), 1);
    // A decision in the same commit keeps what has become of it, and the other way round.
    let delivered = notice(Noticing::Delivered(key));
    let made = make(&fixture, vec![delivered, deciding(&asked.id, Decision::Deny)], waits_ms);
    assert_eq!(events(made[1].as_ref().unwrap()), [("ops", Event::ApprovalDecided)]);
    assert_eq!(events(&fixture.registry.request(&asked.id).unwrap()), [("ops", Event::ApprovalDecided)]);
}
