//! Every decision by everybody in every state of a request, and what must hold whatever has happened before.

use super::*;
use crate::admins::{Caller, Scope, Subject};
use crate::intern::ScopeSet;
use crate::judge::{End, Reason};
use portcullis_contract::SessionId;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::Arc;

const T0: u64 = 1_700_000_000_000;
const HOUR: u64 = 3_600_000;
const ISSUER: &str = "https://id";
const SESSION: SessionId = SessionId([7; 16]);
const LIFE: Instance = Instance { returned_ms: 0, authenticated_ms: 5 };

fn caller(name: &str, sub: Option<&str>, claims: Value, scope: Scope) -> Caller {
    let subject = sub.map(|sub| Subject { issuer: ISSUER.into(), sub: sub.into() });
    Caller { name: name.into(), scopes: [scope].into_iter().collect(), subject, claims: Arc::new(claims) }
}

fn admin(name: &str) -> Caller {
    caller(name, Some(name), json!({}), Scope::Approve)
}

/// Rita asks, Ben and Cara approve, Leads approve the second step; the session is Alice's.
fn everybody() -> [Caller; 9] {
    [
        admin("rita"),
        admin("ben"),
        admin("cara"),
        caller("https://id lead", Some("lead"), json!({"groups": ["leads"]}), Scope::Approve),
        // The same person as Rita by another way, the session's subject, and one who may not approve anything.
        caller("https://id rita", Some("rita"), json!({"groups": ["leads"]}), Scope::Admin),
        caller("https://id alice", Some("alice"), json!({"groups": ["leads"]}), Scope::Admin),
        caller("ben", Some("ben"), json!({}), Scope::View),
        // Named by the rule, and not known as a user.
        caller("ben", None, json!({}), Scope::Approve),
        admin("stranger"),
    ]
}

fn people(admins: &[&str], leads: bool) -> People {
    let claims = if leads { vec![("groups".to_owned(), vec!["leads".to_owned()])] } else { Vec::new() };
    People { admins: admins.iter().map(|&name| name.to_owned()).collect(), claims }
}

fn rule(steps: usize) -> Rule {
    let first = people(&["ben", "cara", "rita"], false);
    let mut decide = vec![if steps == 1 { People { claims: people(&[], true).claims, ..first } } else { first }];
    decide.extend((steps == 2).then(|| people(&["ben"], true)));
    Rule {
        name: "prod".to_owned(),
        scopes: vec!["prod:admin".to_owned(), "prod:read".to_owned()],
        ask: people(&["rita"], false),
        decide,
        max_duration_ms: HOUR,
        pending_for_ms: 24 * HOUR,
        needs_reason: true,
        needs_ticket: false,
        survives_login: false,
        break_glass: None,
    }
}

fn asked(emergency: bool, escalation: bool, rule: &Rule) -> Asked {
    let user = |name: &str| User { issuer: ISSUER.to_owned(), subject: name.to_owned() };
    Asked {
        requester: Person { name: "rita".to_owned(), user: Some(user("rita")) },
        session: SESSION,
        asked_in: LIFE,
        user: user("alice"),
        scopes: vec!["prod:admin".to_owned()],
        reason: "it is broken".to_owned(),
        ticket: None,
        duration_ms: HOUR,
        escalation,
        emergency,
        rule: rule.clone(),
    }
}

const DECISIONS: [Decision; 8] = [
    Decision::Approve(For::Asked),
    Decision::Approve(For::Time(HOUR / 2)),
    Decision::Approve(For::Session),
    Decision::Approve(For::Once(None)),
    Decision::Deny,
    Decision::Cancel,
    Decision::Review,
    Decision::Revoke,
];

/// What must hold of a request, whatever has happened to it.
fn check(request: &AccessRequest, rule: &Rule) {
    let shown = format!("{request:?}");
    let is_by = |name: &str| request.steps.iter().any(|step| step.by.name.contains(name));
    assert!(!is_by("rita") && !is_by("alice") && !is_by("stranger"), "{shown}");
    assert_eq!(request.state == State::Pending, request.closed_at_ms.is_none(), "{shown}");
    assert_eq!(request.state == State::Approved, request.grant.is_some(), "{shown}");
    let approved: Vec<&str> =
        request.steps.iter().filter(|step| step.approved).map(|step| step.by.name.as_str()).collect();
    assert_eq!(approved.iter().collect::<BTreeSet<_>>().len(), approved.len(), "each step another person: {shown}");
    if let Some(grant) = &request.grant {
        let is_emergency = request.review.is_some();
        assert!(is_emergency || approved.len() == rule.decide.len(), "{shown}");
        let longest_ms = grant.from_ms + rule.max_duration_ms;
        assert!(grant.until_ms.is_none_or(|until_ms| until_ms <= longest_ms), "{shown}");
        assert!(grant.until_ms.is_some() || request.escalation, "{shown}");
        assert_eq!(grant.once, request.steps.iter().any(|step| step.once), "{shown}");
        assert!(!grant.once || grant.until_ms.is_some(), "{shown}");
        assert!(grant.used.is_none() || grant.once, "{shown}");
    }
    if let Some(Review { closed: Some(step) }) = &request.review {
        assert!(!step.by.name.contains("rita") && !step.by.name.contains("alice"), "{shown}");
    }
}

/// What differs between two requests but for ids and times.
fn shape(request: &AccessRequest) -> String {
    let mut value = serde_json::to_value(request).unwrap();
    value["id"] = json!(0);
    if let Some(grant) = value.get_mut("grant") {
        grant["id"] = json!(0);
    }
    value.to_string()
}

#[test]
fn every_decision_by_everybody_in_every_state_keeps_what_must_hold() {
    for (steps, emergency, escalation) in
        [(1, false, false), (2, false, false), (1, true, false), (2, true, false), (1, false, true), (2, false, true)]
    {
        let rule = rule(steps);
        let first = AccessRequest::new(asked(emergency, escalation, &rule), T0);
        let mut seen = BTreeSet::from([shape(&first)]);
        let mut open = vec![first];
        let mut states = BTreeSet::new();
        while let Some(request) = open.pop() {
            check(&request, &rule);
            states.insert(request.state.as_str());
            let mut next: Vec<AccessRequest> = Vec::new();
            // The clock may have been set back, or the time be over.
            for now_ms in [T0 - HOUR, T0 + 1, T0 + 24 * HOUR] {
                next.extend(request.expired(false, now_ms));
                for caller in everybody() {
                    for decision in &DECISIONS {
                        let decided = request.decided(decision, &caller, "c", Some(&rule), Some(LIFE), now_ms);
                        if decided.is_ok() && request.expires_at_ms <= now_ms && request.state == State::Pending {
                            panic!("decided when its time was over: {request:?}");
                        }
                        next.extend(decided.ok());
                    }
                }
            }
            next.extend(request.used("deploy", T0 + 2));
            for why in [Why::Expired, Why::SessionRevoked] {
                next.extend(request.ended(why, T0 + HOUR));
            }
            open.extend(next.into_iter().filter(|next| seen.insert(shape(next))));
        }
        let all = BTreeSet::from(State::ALL.map(State::as_str));
        assert_eq!(states, if emergency { BTreeSet::from(["approved"]) } else { all }, "{steps} {emergency}");
        assert!(seen.len() > 10 && seen.len() < 20_000, "{}", seen.len());
    }
}

fn approve(request: &AccessRequest, by: &Caller, rule: &Rule) -> Result<AccessRequest, NotDone> {
    request.decided(&Decision::Approve(For::Asked), by, "", Some(rule), Some(LIFE), T0 + 1)
}

#[test]
fn two_people_at_once_and_a_double_click_decide_once() {
    let one = rule(1);
    let pending = AccessRequest::new(asked(false, false, &one), T0);
    let approved = approve(&pending, &admin("ben"), &one).unwrap();
    for late in [admin("ben"), admin("cara")] {
        assert_eq!(approve(&approved, &late, &one), Err(NotDone::Closed(State::Approved)));
    }
    let two = rule(2);
    let pending = AccessRequest::new(asked(false, false, &two), T0);
    let half = approve(&pending, &admin("ben"), &two).unwrap();
    assert_eq!((half.state, half.grant.is_none()), (State::Pending, true));
    assert!(matches!(approve(&half, &admin("ben"), &two), Err(NotDone::Forbidden(_))), "the same one twice");
    assert!(matches!(approve(&half, &admin("cara"), &two), Err(NotDone::Forbidden(_))), "she is of the first step");
    assert_eq!(approve(&half, &everybody()[3], &two).unwrap().state, State::Approved);
}

#[test]
fn an_approver_who_was_removed_and_a_rule_that_has_gone_decide_nothing() {
    let before = rule(1);
    let pending = AccessRequest::new(asked(false, false, &before), T0);
    let after = Rule { decide: vec![people(&["cara"], false)], ..before.clone() };
    assert!(matches!(approve(&pending, &admin("ben"), &after), Err(NotDone::Forbidden(_))));
    assert!(approve(&pending, &admin("cara"), &after).is_ok());
    let gone = pending.decided(&Decision::Approve(For::Asked), &admin("ben"), "", None, Some(LIFE), T0 + 1);
    assert!(matches!(gone, Err(NotDone::Forbidden(_))));
    let over = pending.decided(&Decision::Approve(For::Asked), &admin("ben"), "", Some(&before), None, T0 + 1);
    assert!(matches!(over, Err(NotDone::Invalid(_))), "its session is not live");
}

#[test]
fn a_shorter_first_step_stays_short_in_the_second() {
    let two = rule(2);
    let pending = AccessRequest::new(asked(false, false, &two), T0);
    let short = Decision::Approve(For::Time(HOUR / 2));
    let half = pending.decided(&short, &admin("ben"), "", Some(&two), Some(LIFE), T0 + 1).unwrap();
    let approved = approve(&half, &everybody()[3], &two).unwrap();
    assert_eq!(approved.grant.unwrap().until_ms, Some(T0 + 1 + HOUR / 2));
}

#[test]
fn a_request_that_waits_obeys_the_rule_as_it_is_now() {
    let before = rule(1);
    let pending = AccessRequest::new(asked(false, false, &before), T0);
    let shorter = Rule { max_duration_ms: HOUR / 4, ..before.clone() };
    let approved = approve(&pending, &admin("ben"), &shorter).unwrap();
    assert_eq!(approved.grant.unwrap().until_ms, Some(T0 + 1 + HOUR / 4));
    let half = approve(&pending, &admin("ben"), &rule(2)).unwrap();
    assert_eq!((half.state, half.steps_needed), (State::Pending, 2));
    let two = AccessRequest::new(asked(false, false, &rule(2)), T0);
    let half = approve(&two, &admin("ben"), &rule(2)).unwrap();
    assert_eq!(approve(&half, &admin("cara"), &before).unwrap().state, State::Approved, "one is enough now");
    let other = Rule { scopes: vec!["prod:read".to_owned()], ..before.clone() };
    assert!(matches!(approve(&pending, &admin("ben"), &other), Err(NotDone::Forbidden(_))));
    let again = Instance { returned_ms: T0 + 1, ..LIFE };
    let decided =
        pending.decided(&Decision::Approve(For::Asked), &admin("ben"), "", Some(&before), Some(again), T0 + 2);
    assert!(matches!(decided, Err(NotDone::Invalid(_))), "what was asked in one life is not granted to another");
    assert_eq!(pending.expired(true, T0 + 1).unwrap().state, State::Expired);
}

#[test]
fn a_second_step_never_lengthens_what_the_first_has_approved() {
    let two = rule(2);
    let pending = AccessRequest::new(asked(false, true, &two), T0);
    let by = |request: &AccessRequest, how, who: &Caller| {
        request.decided(&Decision::Approve(how), who, "", Some(&two), Some(LIFE), T0 + 1)
    };
    let lead = &everybody()[3];
    let timed = by(&pending, For::Time(HOUR / 12), &admin("ben")).unwrap();
    assert!(matches!(by(&timed, For::Session, lead), Err(NotDone::Invalid(_))));
    assert_eq!(by(&timed, For::Asked, lead).unwrap().grant.unwrap().until_ms, Some(T0 + 1 + HOUR / 12));
    let for_session = by(&pending, For::Session, &admin("ben")).unwrap();
    assert_eq!(by(&for_session, For::Session, lead).unwrap().grant.unwrap().until_ms, None);
    assert_eq!(by(&for_session, For::Time(HOUR / 2), lead).unwrap().grant.unwrap().until_ms, Some(T0 + 1 + HOUR / 2));
}

#[test]
fn an_emergency_is_the_same_only_as_one_that_lasts() {
    let one = rule(1);
    let (normal, emergency) = (asked(false, false, &one), asked(true, false, &one));
    let pending = AccessRequest::new(normal.clone(), T0);
    assert!(pending.is_same_as(&normal, T0 + 1) && !pending.is_same_as(&emergency, T0 + 1));
    assert!(!pending.is_same_as(&normal, T0 + 24 * HOUR), "nobody can approve it any more");
    let taken = AccessRequest::new(emergency.clone(), T0);
    assert!(taken.is_same_as(&emergency, T0 + 1) && !taken.is_same_as(&normal, T0 + 1));
    assert!(!taken.is_same_as(&emergency, T0 + HOUR), "it is over");
}

#[test]
fn a_denied_escalation_is_not_asked_again_by_the_next_token() {
    let one = rule(1);
    for escalation in [true, false] {
        let asked = asked(false, escalation, &one);
        let pending = AccessRequest::new(asked.clone(), T0);
        let denied = pending.decided(&Decision::Deny, &admin("ben"), "no", Some(&one), Some(LIFE), T0 + 1).unwrap();
        assert_eq!(denied.is_same_as(&asked, T0 + 24 * HOUR - 1), escalation, "a person may ask again");
        assert!(!denied.is_same_as(&asked, T0 + 24 * HOUR));
    }
}

#[test]
fn a_grant_ends_at_its_instant_and_with_its_session() {
    let grant = |survives_login| Grant {
        id: "1".to_owned(),
        from_ms: T0,
        until_ms: Some(T0 + HOUR),
        instance: LIFE,
        survives_login,
        once: false,
        used: None,
        ended: None,
    };
    let returned = |reason| Some(End { reason, at_ms: T0 + 1 });
    let again = Instance { returned_ms: T0 + 1, ..LIFE };
    let login = Instance { authenticated_ms: 6, ..LIFE };
    for (survives, now, end, at_ms, over) in [
        (false, LIFE, None, T0 + HOUR - 1, None),
        (false, LIFE, None, T0 + HOUR, Some(Why::Expired)),
        // The clock of another replica is a little behind; one that was set back by more was wrong when the grant was made.
        (false, LIFE, None, T0 - 60_000, None),
        (false, LIFE, None, T0 - 60_001, Some(Why::Expired)),
        (false, login, None, T0, Some(Why::SessionEnded)),
        (true, login, None, T0, None),
        (false, again, returned(Reason::IdleTimeout), T0, Some(Why::SessionEnded)),
        (true, again, returned(Reason::IdleTimeout), T0, None),
        (true, again, returned(Reason::Revoked), T0, Some(Why::SessionRevoked)),
    ] {
        assert_eq!(grant(survives).over(now, end, at_ms), over, "{survives} {now:?} {at_ms}");
    }
    let with_session = Grant { until_ms: None, ..grant(true) };
    assert_eq!(with_session.over(login, None, T0), None);
    assert_eq!(with_session.over(again, returned(Reason::IdleTimeout), T0), Some(Why::SessionEnded), "never longer");
    let grants = Grants::new(vec![(ScopeSet::new(["a"]), grant(false))]);
    assert_eq!(grants.live(LIFE, None, T0).count(), 1);
    assert_eq!(grants.live(LIFE, None, T0 + HOUR).count(), 0);
}

#[test]
fn grants_hold_while_their_rule_is_about_their_scopes() {
    let one = rule(1);
    let mut requests = Requests::default();
    let approved = approve(&AccessRequest::new(asked(false, false, &one), T0), &admin("ben"), &one).unwrap();
    requests.put(approved.clone());
    let scopes = |rules: Vec<Rule>| -> Vec<String> {
        let grants = requests.grants_of(SESSION, &Rules(rules));
        grants.live(LIFE, None, T0 + 1).flat_map(|(scopes, _)| scopes.to_vec()).collect()
    };
    assert_eq!(scopes(vec![one.clone()]), ["prod:admin"]);
    assert!(scopes(Vec::new()).is_empty() && scopes(vec![Rule { scopes: Vec::new(), ..one.clone() }]).is_empty());
    let grant = approved.grant.as_ref().unwrap();
    assert_eq!(requests.of_grant(&grant.id), Some(&approved));
    let over = approved.ended(Why::Expired, T0 + 2 * HOUR).unwrap();
    assert_eq!(over.grant.as_ref().unwrap().ended.as_ref().unwrap().at_ms, T0 + 1 + HOUR, "the instant of its end");
    requests.put(over);
    assert_eq!((requests.open().count(), requests.granted().len()), (0, 0));
    requests.remove(&approved.id);
    assert_eq!((requests.all().count(), requests.of_grant(&grant.id)), (0, None));
}

#[test]
fn requests_are_bounded_and_the_same_one_is_found() {
    let one = rule(1);
    let mut requests = Requests::default();
    let first = AccessRequest::new(asked(false, true, &one), T0);
    requests.put(first.clone());
    assert_eq!(requests.same(&asked(false, true, &one), T0), Some(&first));
    assert_eq!(requests.same(&asked(false, false, &one), T0), None);
    assert!(requests.have_room_for(&asked(false, false, &one)));
    for _ in 0..40 {
        requests.put(AccessRequest::new(asked(false, false, &one), T0));
    }
    assert!(!requests.have_room_for(&asked(false, false, &one)), "one session cannot fill all");
    assert!(requests.have_room_for(&asked(true, false, &one)), "an emergency is not held up");
    let other = Asked { session: SessionId([8; 16]), ..asked(false, true, &one) };
    assert!(requests.have_room_for(&other));
    for n in 0..1_000_u32 {
        let mut id = [0; 16];
        id[..4].copy_from_slice(&n.to_be_bytes());
        requests.put(AccessRequest::new(Asked { session: SessionId(id), ..asked(false, true, &one) }, T0));
    }
    assert!(!requests.have_room_for(&other), "clients cause these");
    assert!(requests.have_room_for(&Asked { escalation: false, ..other }));
}

#[test]
fn what_one_step_approves_for_one_request_is_for_one_request_and_used_once() {
    let two = rule(2);
    let pending = AccessRequest::new(asked(false, false, &two), T0);
    let approve = |request: &AccessRequest, how, by: &Caller| {
        request.decided(&Decision::Approve(how), by, "", Some(&two), Some(LIFE), T0 + 1).unwrap()
    };
    for (first, second) in [(For::Once(None), For::Asked), (For::Asked, For::Once(Some(HOUR / 2)))] {
        let half = approve(&pending, first, &admin("ben"));
        let approved = approve(&half, second, &everybody()[3]);
        let grant = approved.grant.clone().unwrap();
        assert!(grant.once && grant.is_open() && grant.until_ms.is_some(), "{grant:?}");
        let used = approved.used("deploy", T0 + 2).unwrap();
        assert_eq!(used.used("deploy", T0 + 3), None, "it is used once");
        assert!(!used.grant.as_ref().unwrap().is_open() && !used.is_waiting());
        let revoked = used.decided(&Decision::Revoke, &admin("ben"), "", Some(&two), Some(LIFE), T0 + 4).unwrap();
        assert_eq!(revoked.grant.unwrap().ended.unwrap().why, Why::Revoked, "and its request can be cut");
    }
    let longer = Decision::Approve(For::Once(Some(2 * HOUR)));
    let refused = pending.decided(&longer, &admin("ben"), "", Some(&two), Some(LIFE), T0 + 1);
    assert!(matches!(refused, Err(NotDone::Invalid(_))), "{refused:?}");
    let ordinary = approve(&approve(&pending, For::Asked, &admin("ben")), For::Asked, &everybody()[3]);
    assert_eq!(ordinary.used("deploy", T0 + 2), None);
}

#[test]
fn scopes_that_only_several_rules_are_about_are_asked_for_in_parts() {
    let owned = |scopes: &[&str]| -> Vec<String> { scopes.iter().map(|&scope| scope.to_owned()).collect() };
    let of = |name: &str, scopes: &[&str]| Rule { name: name.to_owned(), scopes: owned(scopes), ..rule(1) };
    let rules = Rules(vec![of("a", &["x", "y"]), of("b", &["z"]), of("c", &["x", "z"])]);
    let parts = |scopes: &[&str]| {
        let parts = rules.parts(&owned(scopes))?;
        Some(parts.into_iter().map(|(rule, scopes)| format!("{}: {}", rule.name, scopes.join(" "))).collect::<Vec<_>>())
    };
    assert_eq!(parts(&["x", "z"]), Some(owned(&["c: x z"])), "one rule is about both");
    assert_eq!(parts(&["x", "y", "z"]), Some(owned(&["a: x y", "b: z"])));
    assert_eq!(parts(&["w", "x"]), None, "nobody can approve one of them");
}
