//! The whole state space of the machine: every order of events up to a depth at which it has no more to show.

use super::*;
use crate::authorize::fixtures::{policy, principal, question};

const DEPTH: u32 = 4;
const NOW_MS: u64 = 100_000;

/// What can happen to a request, by number, so that orders can be counted through.
const EVENTS: usize = 20;

fn event(number: usize, policy: &Policy) -> Event {
    let full = principal(policy, &["read", "write"]);
    let arrival = Arrival { rule: RuleId(1), token: "t".into(), attributes: Rc::default(), deadline_ms: NOW_MS + 200 };
    match number {
        0 => Event::Local(Local::Public(Some(RuleId(0)))),
        1 => Event::Local(Local::Refuse(Denial { code: Code::InvalidToken, rule: Some(RuleId(1)), principal: None })),
        2 => Event::Local(Local::AwaitKeys(arrival)),
        3 => Event::Local(Local::Ask(question(&full, 1, "GET"))),
        4 => Event::Local(Local::Ask(question(&full, 3, "GET"))),
        5 => Event::Local(Local::Ask(question(&full, 3, "POST"))),
        6 => Event::Verdict(Verdict::Active(None), NOW_MS),
        7 => Event::Verdict(Verdict::Active(Some(Rc::from(["read".to_owned()]))), NOW_MS),
        8 => Event::Verdict(Verdict::Ended(Code::SessionRevoked), NOW_MS),
        9 => Event::NoVerdict(NOW_MS),
        10 => Event::NoKeys,
        11 => Event::Verdict(Verdict::Active(Some(Rc::from([]))), NOW_MS),
        // Two opaque tokens: one that nothing is known of, and one that was good before.
        12 => Event::Local(Local::Introspect(Presented { arrival, known: None })),
        13 => Event::Local(Local::Introspect(Presented {
            arrival: Arrival {
                rule: RuleId(3),
                attributes: Rc::new(RequestAttributes { method: "GET".into(), ..RequestAttributes::default() }),
                ..arrival
            },
            known: Some(full),
        })),
        14 => Event::Proven(full, NOW_MS),
        15 => Event::Proven(principal(policy, &["read"]), NOW_MS),
        16 => Event::Followed(Verdict::Ended(Code::SessionRevoked)),
        17 => Event::Followed(Verdict::Active(Some(Rc::from([])))),
        18 => Event::Followed(Verdict::Active(None)),
        _ => Event::Overdue(Code::TokenExpired),
    }
}

/// The machine once more, as a table that is plainly right: where each event leads from each kind of state.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Model {
    Fresh,
    Asking,
    Asked { number: usize },
    Presented { number: usize },
    Released { open: bool },
    Denied,
}

const PUBLIC: Model = Model::Released { open: false };
const OPEN: Model = Model::Released { open: true };

fn model(state: Model, number: usize) -> Model {
    match (state, number) {
        (Model::Fresh | Model::Asking, 0) => PUBLIC,
        (Model::Fresh | Model::Asking, 1) => Model::Denied,
        (Model::Fresh | Model::Asking, 2) => Model::Asking,
        (Model::Fresh | Model::Asking, 3..=5) => Model::Asked { number },
        (Model::Asking, 10) => Model::Denied,
        (Model::Asked { .. }, 6) => OPEN,
        // Rule 1 needs both scopes, rule 3 only the one that is left.
        (Model::Asked { number: 3 }, 7) => Model::Denied,
        (Model::Asked { .. }, 7) => OPEN,
        (Model::Asked { .. }, 8 | 11) => Model::Denied,
        // Rule 1 denies in an outage, rule 3 lets reads pass.
        (Model::Asked { number: 4 }, 9) => OPEN,
        (Model::Asked { .. }, 9) => Model::Denied,
        (Model::Fresh | Model::Asking, 12 | 13) => Model::Presented { number },
        (Model::Presented { .. }, 14) => OPEN,
        (Model::Presented { number: 12 }, 15) => Model::Denied,
        (Model::Presented { .. }, 15) => OPEN,
        (Model::Presented { .. }, 8) => Model::Denied,
        // Nobody can say whose a token is that is not known.
        (Model::Presented { number: 13 }, 9) => OPEN,
        (Model::Presented { .. }, 9) => Model::Denied,
        // A verdict that does not say what an opaque token means releases nobody, and facts that were not asked for neither.
        // What is open is cut by bad news and by limits; that some scope is left is no bad news where it is enough.
        (OPEN, 16 | 17 | 19) => Model::Denied,
        (state, _) => state,
    }
}

fn kind(request: &Request, asked: usize) -> Model {
    match request {
        Request::Fresh => Model::Fresh,
        Request::Asking(_) => Model::Asking,
        Request::Asked(_) => Model::Asked { number: asked },
        Request::Presented(_) => Model::Presented { number: asked },
        Request::Released(open) => Model::Released { open: open.is_some() },
        Request::Denied => Model::Denied,
    }
}

#[test]
fn every_order_of_events_leads_where_the_table_says_and_settles_a_request_once() {
    let policy = policy("enforce");
    let mut orders = 0;
    for order in 0..EVENTS.pow(DEPTH) {
        let mut rest = order;
        let (mut request, mut expected, mut asked, mut settled) = (Request::default(), Model::Fresh, 0, 0);
        for _ in 0..DEPTH {
            let number = rest % EVENTS;
            rest /= EVENTS;
            let was = expected;
            expected = model(expected, number);
            if let Model::Asked { number } | Model::Presented { number } = expected {
                asked = number;
            }
            let step = request.on(event(number, &policy), &policy);
            assert_eq!(kind(&request, asked), expected, "order {order}, event {number}");
            let newly = was != expected;
            match step {
                Step::Release(_) => assert!(newly && matches!(expected, Model::Released { .. })),
                Step::Deny(_) => assert!(newly && expected == Model::Denied && was != OPEN),
                Step::Cut(_) => assert!(newly && expected == Model::Denied && was == OPEN),
                Step::Ask(_) => {
                    assert!(newly && matches!(expected, Model::Asked { .. } | Model::Presented { .. }));
                }
                Step::Spare(_) => panic!("nothing is spared where refusals are carried out"),
                Step::Wait => assert!(!newly || expected == Model::Asking),
            }
            settled += u32::from(newly && matches!(expected, Model::Released { .. } | Model::Denied) && was != OPEN);
            assert_eq!(request.is_released(), matches!(expected, Model::Released { .. }));
        }
        assert!(settled <= 1);
        orders += 1;
    }
    assert_eq!(orders, EVENTS.pow(DEPTH));
}

#[test]
fn shadow_mode_releases_what_it_would_refuse_and_says_so() {
    let policy = policy("shadow");
    let mut request = Request::default();
    request.on(event(3, &policy), &policy);
    let Step::Release(permit) = request.on(event(8, &policy), &policy) else { panic!("not released") };
    assert_eq!(permit.mark, Some(Mark::Shadow(Code::SessionRevoked)));
}

#[test]
fn grace_lasts_from_a_positive_verdict_for_its_time_and_no_longer() {
    let policy = policy("enforce");
    let principal = principal(&policy, &["read"]);
    let ask = || Event::Local(Local::Ask(question(&principal, 4, "POST")));
    let mut first = Request::default();
    first.on(ask(), &policy);
    assert!(matches!(first.on(Event::Verdict(Verdict::Active(None), NOW_MS), &policy), Step::Release(_)));
    for (later_ms, passes) in [(0, true), (30_000, true), (30_001, false)] {
        let mut request = Request::default();
        request.on(ask(), &policy);
        let step = request.on(Event::NoVerdict(NOW_MS + later_ms), &policy);
        assert_eq!(matches!(step, Step::Release(Permit { mark: Some(Mark::OutageGrace), .. })), passes, "{later_ms}");
    }
}

#[test]
fn grace_ends_with_the_session() {
    let policy = policy("enforce");
    let principal = principal(&policy, &["read"]);
    for verdict in [Verdict::Active(None), Verdict::Ended(Code::SessionRevoked)] {
        let mut request = Request::default();
        request.on(Event::Local(Local::Ask(question(&principal, 4, "GET"))), &policy);
        request.on(Event::Verdict(verdict, NOW_MS), &policy);
    }
    let mut request = Request::default();
    request.on(Event::Local(Local::Ask(question(&principal, 4, "GET"))), &policy);
    assert!(matches!(request.on(Event::NoVerdict(NOW_MS), &policy), Step::Deny(_)));
}

/// The answer to a request with an opaque token of which `known` is known.
fn presented(
    policy: &Policy,
    rule: usize,
    method: &str,
    known: Option<&Rc<Principal>>,
    answer: impl FnOnce() -> Event,
) -> Step {
    let arrival = Arrival {
        rule: RuleId(rule),
        token: "opaque".into(),
        attributes: Rc::new(RequestAttributes { method: method.to_owned(), ..RequestAttributes::default() }),
        deadline_ms: NOW_MS + 200,
    };
    let mut request = Request::default();
    let step = request.on(Event::Local(Local::Introspect(Presented { arrival, known: known.cloned() })), policy);
    assert!(matches!(step, Step::Ask(Inquiry::Token(_))) && !request.is_released());
    request.on(answer(), policy)
}

fn code(step: &Step) -> &'static str {
    match step {
        Step::Release(permit) => match permit.mark {
            Some(Mark::OutageReadOnly) => "read_only",
            Some(Mark::OutageGrace) => "grace",
            _ => "released",
        },
        Step::Deny(denial) | Step::Cut(denial) | Step::Spare(denial) => denial.code.name(),
        Step::Wait | Step::Ask(_) => "waits",
    }
}

#[test]
fn an_opaque_token_meets_the_rule_just_as_a_verified_one_does() {
    let policy = policy("enforce");
    for (rule, scopes, expected) in [
        (1, &["read", "write"][..], "released"),
        (1, &["read"], "insufficient_scope"),
        (1, &[], "insufficient_scope"),
        (2, &[], "released"),
    ] {
        let proven = || Event::Proven(principal(&policy, scopes), NOW_MS);
        assert_eq!(code(&presented(&policy, rule, "GET", None, proven)), expected, "{rule} {scopes:?}");
    }
}

#[test]
fn in_an_outage_an_opaque_token_is_what_it_last_was_and_an_unknown_one_is_nothing() {
    let policy = policy("enforce");
    let (full, other) = (principal(&policy, &["read", "write"]), principal(&policy, &["write"]));
    let granted = principal(&policy, &["read"]);
    granted.note_granted(RuleId(4), NOW_MS - 1_000);
    let dies_ms = full.facts.dies_at_ms;
    for (rule, method, known, now_ms, expected) in [
        (3, "GET", None, NOW_MS, "session_unavailable"),
        (3, "GET", Some(&full), NOW_MS, "read_only"),
        (3, "POST", Some(&full), NOW_MS, "session_unavailable"),
        (3, "GET", Some(&other), NOW_MS, "session_unavailable"),
        (3, "GET", Some(&full), dies_ms - 1, "read_only"),
        (3, "GET", Some(&full), dies_ms, "session_unavailable"),
        (1, "GET", Some(&full), NOW_MS, "session_unavailable"),
        (4, "POST", Some(&full), NOW_MS, "session_unavailable"),
        (4, "POST", Some(&granted), NOW_MS, "grace"),
        (4, "POST", Some(&granted), NOW_MS + 29_001, "session_unavailable"),
    ] {
        let step = presented(&policy, rule, method, known, || Event::NoVerdict(now_ms));
        assert_eq!(code(&step), expected, "{rule} {method} {now_ms}");
    }
}

#[test]
fn grace_of_an_opaque_token_begins_with_an_answer_and_ends_with_a_refusal() {
    let policy = policy("enforce");
    let token = principal(&policy, &["read"]);
    let proven = || Event::Proven(Rc::clone(&token), NOW_MS);
    assert_eq!(code(&presented(&policy, 4, "GET", None, proven)), "released");
    assert_eq!(code(&presented(&policy, 4, "GET", Some(&token), || Event::NoVerdict(NOW_MS))), "grace");
    let step_up = || Event::Verdict(Verdict::Ended(Code::StepUpRequired), NOW_MS);
    assert_eq!(code(&presented(&policy, 4, "GET", Some(&token), step_up)), "step_up_required");
    assert_eq!(code(&presented(&policy, 4, "GET", Some(&token), || Event::NoVerdict(NOW_MS))), "grace");
    let ended = || Event::Verdict(Verdict::Ended(Code::InvalidToken), NOW_MS);
    assert_eq!(code(&presented(&policy, 4, "GET", Some(&token), ended)), "invalid_token");
    let after = presented(&policy, 4, "GET", Some(&token), || Event::NoVerdict(NOW_MS));
    assert_eq!(code(&after), "session_unavailable");
}
