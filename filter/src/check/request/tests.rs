//! The whole state space of the machine: every order of events up to a depth at which it has no more to show.

use super::*;
use crate::check::testing::{credential, policy, question};

const DEPTH: u32 = 4;
const NOW_MS: u64 = 100_000;

/// What can happen to a request, by number, so that orders can be counted through.
const EVENTS: usize = 16;

fn event(number: usize, policy: &Policy) -> Event {
    let full = credential(policy, &["read", "write"]);
    let arrival =
        Arrival { rule: RuleId(1), token: "t".into(), circumstances: Rc::default(), deadline_ms: NOW_MS + 200 };
    match number {
        0 => Event::Local(Local::Public(Some(RuleId(0)))),
        1 => Event::Local(Local::Refuse(Denial { code: Code::InvalidToken, rule: Some(RuleId(1)), credential: None })),
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
        12 => Event::Followed(Verdict::Ended(Code::SessionRevoked)),
        13 => Event::Followed(Verdict::Active(Some(Rc::from([])))),
        14 => Event::Followed(Verdict::Active(None)),
        _ => Event::Overdue(Code::TokenExpired),
    }
}

/// The machine once more, as a table that is plainly right: where each event leads from each kind of state.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Model {
    Fresh,
    Asking,
    Asked { number: usize },
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
        // What is open is cut by bad news and by limits; that some scope is left is no bad news where it is enough.
        (OPEN, 12 | 13 | 15) => Model::Denied,
        (state, _) => state,
    }
}

fn kind(request: &Request, asked: usize) -> Model {
    match request {
        Request::Fresh => Model::Fresh,
        Request::Asking(_) => Model::Asking,
        Request::Asked(_) => Model::Asked { number: asked },
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
            if let Model::Asked { number } = expected {
                asked = number;
            }
            let step = request.on(event(number, &policy), &policy);
            assert_eq!(kind(&request, asked), expected, "order {order}, event {number}");
            let newly = was != expected;
            match step {
                Step::Release(_) => assert!(newly && matches!(expected, Model::Released { .. })),
                Step::Deny(_) => assert!(newly && expected == Model::Denied && was != OPEN),
                Step::Cut(_) => assert!(newly && expected == Model::Denied && was == OPEN),
                Step::Ask(_) => assert!(newly && matches!(expected, Model::Asked { .. })),
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
    let credential = credential(&policy, &["read"]);
    let ask = || Event::Local(Local::Ask(question(&credential, 4, "POST")));
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
    let credential = credential(&policy, &["read"]);
    for verdict in [Verdict::Active(None), Verdict::Ended(Code::SessionRevoked)] {
        let mut request = Request::default();
        request.on(Event::Local(Local::Ask(question(&credential, 4, "GET"))), &policy);
        request.on(Event::Verdict(verdict, NOW_MS), &policy);
    }
    let mut request = Request::default();
    request.on(Event::Local(Local::Ask(question(&credential, 4, "GET"))), &policy);
    assert!(matches!(request.on(Event::NoVerdict(NOW_MS), &policy), Step::Deny(_)));
}
