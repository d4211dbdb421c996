//! The whole state space of the machine: every order of events up to a depth at which it has no more to show.

use super::*;
use crate::authorize::{
    fixtures::{policy, principal, question},
    leases::LeaseId,
    question::RequestAttributes,
};
use crate::time::Monotonic;

const DEPTH: u32 = 4;
const NOW_MS: u64 = 100_000;

/// What can happen to a request, by number, so that orders can be counted through.
const EVENTS: usize = 30;

fn event(number: usize, policy: &Policy) -> Event {
    let full = principal(policy, &["read", "write"]);
    let arrival = Arrival::bearer(RuleId(1), "t", Rc::default(), Monotonic(200));
    let ask = |rule, method| Event::Decided(Ok(Next::Ask(Inquiry::Session(question(&full, rule, method)))));
    let known = |known| Event::NoVerdict(known, Some(NOW_MS));
    let leased = |left: Option<&[&str]>| {
        let narrowed = left.map(|left| left.iter().map(|scope| (*scope).to_owned()).collect());
        Event::Leased(by_lease(narrowed), Some(NOW_MS))
    };
    match number {
        0 => Event::Decided(Ok(Next::Release(Permit::public(RuleId(0), policy).expect("a public rule")))),
        1 => Event::Decided(Err(Denial::new(Code::InvalidToken, Some(RuleId(1))))),
        2 => Event::Decided(Ok(Next::AwaitKeys(arrival))),
        3 => ask(1, "GET"),
        4 => ask(3, "GET"),
        5 => ask(3, "POST"),
        6 => Event::Verdict(Verdict::Active(None), Some(NOW_MS)),
        7 => Event::Verdict(Verdict::Active(Some(Rc::from(["read".to_owned()]))), Some(NOW_MS)),
        8 => Event::Verdict(Verdict::Ended(Code::SessionRevoked.into()), Some(NOW_MS)),
        9 => known(Known::default()),
        10 => Event::NoKeys,
        11 => Event::Verdict(Verdict::Active(Some(Rc::from([]))), Some(NOW_MS)),
        // Two opaque tokens, for a rule that denies in an outage and for one that lets reads pass.
        12 => Event::Decided(Ok(Next::Ask(Inquiry::Token(arrival)))),
        13 => Event::Decided(Ok(Next::Ask(Inquiry::Token(Arrival {
            rule: RuleId(3),
            attributes: Rc::new(RequestAttributes { method: "GET".into(), ..RequestAttributes::default() }),
            ..arrival
        })))),
        14 => Event::Proven(full, NOW_MS),
        15 => Event::Proven(principal(policy, &["read"]), NOW_MS),
        16 => Event::Followed(Verdict::Ended(Code::SessionRevoked.into())),
        17 => Event::Followed(Verdict::Active(Some(Rc::from([])))),
        18 => Event::Followed(Verdict::Active(None)),
        19 => Event::Overdue(Code::TokenExpired.into()),
        20 => known(Known { principal: Some(full), ..Known::default() }),
        21 => known(Known { principal: Some(full), is_refused: true, ..Known::default() }),
        22 => known(Known { principal: Some(full), narrowed: Some(Rc::from([])), ..Known::default() }),
        23 => Event::NoNews(Known::default()),
        24 => Event::NoNews(Known { is_refused: true, ..Known::default() }),
        25 => Event::NoNews(Known { narrowed: Some(Rc::from([])), ..Known::default() }),
        26 => leased(None),
        27 => leased(Some(&["read"])),
        28 => leased(Some(&[])),
        _ => Event::Decided(Ok(Next::AwaitToken(arrival))),
    }
}

/// What a lease allows.
fn by_lease(narrowed: Option<Rc<[String]>>) -> Leased {
    Leased { id: LeaseId(0), confirmed_at: Monotonic(0), narrowed, upstream_token: None }
}

/// The machine once more, as a table that is plainly right: where each event leads from each kind of state.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Model {
    Fresh,
    Redeeming,
    Asking,
    /// With the number of the event that asked.
    Asked {
        number: usize,
    },
    /// With the number of the event that asked, if the request depends on a session.
    Released {
        asked: Option<usize>,
    },
    Denied,
}

const PUBLIC: Model = Model::Released { asked: None };

const fn open(number: usize) -> Model {
    Model::Released { asked: Some(number) }
}

impl Model {
    const fn is_open(self) -> bool {
        matches!(self, Self::Released { asked: Some(_) })
    }
}

fn model(state: Model, number: usize) -> Model {
    match (state, number) {
        (Model::Fresh | Model::Redeeming | Model::Asking, 0) => PUBLIC,
        (Model::Fresh | Model::Redeeming | Model::Asking, 1) => Model::Denied,
        (Model::Fresh | Model::Redeeming | Model::Asking, 2) => Model::Asking,
        (Model::Fresh | Model::Redeeming | Model::Asking, 29) => Model::Redeeming,
        (Model::Fresh | Model::Redeeming | Model::Asking, 3..=5) => Model::Asked { number },
        (Model::Asking, 10) => Model::Denied,
        (Model::Asked { number: number @ 3..=5 }, 6) => open(number),
        // Rule 1 needs both scopes, rule 3 only the one that is left.
        (Model::Asked { number: 3 }, 7) => Model::Denied,
        (Model::Asked { number: number @ 3..=5 }, 7) => open(number),
        (Model::Asked { .. }, 8) => Model::Denied,
        (Model::Asked { number: 3..=5 }, 11) => Model::Denied,
        (Model::Fresh | Model::Redeeming | Model::Asking, 12 | 13) => Model::Asked { number },
        (Model::Asked { number: number @ (12 | 13) }, 14) => open(number),
        (Model::Asked { number: 12 }, 15) => Model::Denied,
        (Model::Asked { number: 13 }, 15) => open(13),
        // A lease releases what a verdict would, and refuses nothing: that is asked about.
        (Model::Asked { number: number @ 3..=5 }, 26) => open(number),
        (Model::Asked { number: number @ (4 | 5) }, 27) => open(number),
        // Rule 1 denies in an outage, rule 3 lets reads pass, but nobody of whom worse is known. Nobody can say whose an opaque
        // token is that is not known.
        (Model::Asked { number: 4 }, 9 | 20) => open(4),
        (Model::Asked { number: 13 }, 20) => open(13),
        (Model::Asked { .. }, 9 | 20..=22) => Model::Denied,
        // A verdict that does not say what an opaque token means releases nobody, and facts that were not asked for neither.
        // What is open is cut by bad news and by limits; that some scope is left is no bad news where it is enough.
        (Model::Released { asked: Some(_) }, 16 | 17 | 19 | 24 | 25) => Model::Denied,
        // No news end it only where an outage denies.
        (Model::Released { asked: Some(3 | 12) }, 23) => Model::Denied,
        (state, _) => state,
    }
}

fn kind(request: &Request, asked: usize) -> Model {
    match request {
        Request::Fresh => Model::Fresh,
        Request::Redeeming(_) => Model::Redeeming,
        Request::Asking(_) => Model::Asking,
        Request::Asked(_) => Model::Asked { number: asked },
        Request::Released(open) => Model::Released { asked: open.is_some().then_some(asked) },
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
                Step::Deny(_) => assert!(newly && expected == Model::Denied && !was.is_open()),
                Step::Cut(_) => assert!(newly && expected == Model::Denied && was.is_open()),
                Step::Ask(_) => {
                    assert!(newly && matches!(expected, Model::Asked { .. }));
                }
                Step::Spare(_) => panic!("nothing is spared where refusals are carried out"),
                Step::Wait => assert!(!newly || matches!(expected, Model::Redeeming | Model::Asking)),
            }
            settled += u32::from(newly && matches!(expected, Model::Released { .. } | Model::Denied) && !was.is_open());
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
    assert_eq!(permit.mark, Some(Mark::Shadow(Code::SessionRevoked.into())));
}

#[test]
fn in_an_outage_shadow_mode_forwards_neither_a_refused_session_nor_scopes_that_one_has_lost() {
    let policy = policy("shadow");
    let principal = principal(&policy, &["read", "write"]);
    let left: Rc<[String]> = Rc::from(["read".to_owned()]);
    for (known, has_identity) in [
        (Known::default(), true),
        (Known { narrowed: Some(Rc::clone(&left)), ..Known::default() }, true),
        (Known { is_refused: true, ..Known::default() }, false),
    ] {
        let narrowed = known.narrowed.clone();
        let mut request = Request::default();
        request.on(Event::Decided(Ok(Next::Ask(Inquiry::Session(question(&principal, 1, "GET"))))), &policy);
        let Step::Release(permit) = request.on(Event::NoVerdict(known, Some(NOW_MS)), &policy) else { panic!() };
        assert_eq!(permit.mark, Some(Mark::Shadow(Code::SessionUnavailable.into())));
        assert_eq!((permit.principal.is_some(), permit.narrowed), (has_identity, narrowed));
    }
}

#[test]
fn a_rule_has_a_mode_of_its_own_for_what_arrives_and_for_what_is_open() {
    for (of_policy, of_rule, is_shadow) in [
        ("enforce", Mode::Shadow, true),
        ("shadow", Mode::Enforce, false),
        ("enforce", Mode::Enforce, false),
        ("shadow", Mode::Shadow, true),
    ] {
        let mut policy = policy(of_policy);
        policy.rules[1].mode = of_rule;
        let mut request = Request::default();
        request.on(event(3, &policy), &policy);
        let step = request.on(event(8, &policy), &policy);
        assert_eq!((matches!(step, Step::Release(_)), request.is_released()), (is_shadow, is_shadow), "{of_policy}");
        let mut open = Request::default();
        open.on(event(3, &policy), &policy);
        open.on(event(6, &policy), &policy);
        let step = open.on(event(16, &policy), &policy);
        assert_eq!((matches!(step, Step::Spare(_)), open.is_released()), (is_shadow, is_shadow), "{of_policy}");
        // Another rule, and no rule at all, follow the policy.
        let shadows = |step: Step| matches!(step, Step::Release(Permit { mark: Some(Mark::Shadow(_)), .. }));
        for rule in [Some(RuleId(2)), None] {
            let denied = Event::Decided(Err(Denial::new(Code::NoCredentials, rule)));
            assert_eq!(shadows(Request::default().on(denied, &policy)), of_policy == "shadow", "{of_policy} {rule:?}");
        }
    }
}

#[test]
fn grace_lasts_for_its_time_and_no_longer() {
    let policy = policy("enforce");
    let principal = principal(&policy, &["read"]);
    for (granted_ago_ms, passes) in [(None, false), (Some(0), true), (Some(30_000), true), (Some(30_001), false)] {
        let mut request = Request::default();
        request.on(Event::Decided(Ok(Next::Ask(Inquiry::Session(question(&principal, 4, "POST"))))), &policy);
        let known = Known { granted_ago_ms, ..Known::default() };
        let step = request.on(Event::NoVerdict(known, Some(NOW_MS)), &policy);
        let has_passed = matches!(step, Step::Release(Permit { mark: Some(Mark::OutageGrace), .. }));
        assert_eq!(has_passed, passes, "{granted_ago_ms:?}");
    }
}

#[test]
fn in_an_outage_nobody_passes_by_scopes_that_the_session_has_lost() {
    let policy = policy("enforce");
    let principal = principal(&policy, &["read", "write"]);
    for (left, passes) in [(&["read"][..], true), (&["write"], false), (&[], false)] {
        let left: Rc<[String]> = left.iter().map(|scope| (*scope).to_owned()).collect();
        let mut request = Request::default();
        request.on(Event::Decided(Ok(Next::Ask(Inquiry::Session(question(&principal, 3, "GET"))))), &policy);
        let known = Known { narrowed: Some(Rc::clone(&left)), ..Known::default() };
        match request.on(Event::NoVerdict(known, Some(NOW_MS)), &policy) {
            Step::Release(permit) => assert!(passes && permit.narrowed.as_ref() == Some(&left), "{left:?}"),
            step => assert!(!passes, "{step:?}"),
        }
    }
}

/// The answer to a request with an opaque token.
fn opaque(policy: &Policy, rule: usize, method: &str, answer: Event) -> Step {
    let attributes = RequestAttributes { method: method.to_owned(), ..RequestAttributes::default() };
    let arrival = Arrival::bearer(RuleId(rule), "opaque", Rc::new(attributes), Monotonic(200));
    let mut request = Request::default();
    let step = request.on(Event::Decided(Ok(Next::Ask(Inquiry::Token(arrival)))), policy);
    assert!(matches!(step, Step::Ask(Inquiry::Token(_))) && !request.is_released());
    request.on(answer, policy)
}

fn code(step: &Step) -> &'static str {
    match step {
        Step::Release(permit) => match permit.mark {
            Some(Mark::OutageReadOnly) => "read_only",
            Some(Mark::OutageGrace) => "grace",
            _ => "released",
        },
        Step::Deny(denial) | Step::Cut(denial) | Step::Spare(denial) => denial.refusal.code.name(),
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
        let proven = Event::Proven(principal(&policy, scopes), NOW_MS);
        assert_eq!(code(&opaque(&policy, rule, "GET", proven)), expected, "{rule} {scopes:?}");
    }
}

#[test]
fn in_an_outage_an_opaque_token_is_what_it_last_was_and_an_unknown_one_is_nothing() {
    let policy = policy("enforce");
    let (full, other) = (principal(&policy, &["read", "write"]), principal(&policy, &["write"]));
    for (rule, method, principal, granted_ago_ms, expected) in [
        (3, "GET", None, None, "session_unavailable"),
        (3, "GET", Some(&full), None, "read_only"),
        (3, "POST", Some(&full), None, "session_unavailable"),
        (3, "GET", Some(&other), None, "session_unavailable"),
        (1, "GET", Some(&full), None, "session_unavailable"),
        (4, "POST", Some(&full), None, "session_unavailable"),
        (4, "POST", Some(&full), Some(1_000), "grace"),
        (4, "POST", Some(&full), Some(30_001), "session_unavailable"),
        (4, "POST", None, Some(1_000), "session_unavailable"),
    ] {
        let known = Known { principal: principal.cloned(), granted_ago_ms, ..Known::default() };
        let step = opaque(&policy, rule, method, Event::NoVerdict(known, Some(NOW_MS)));
        assert_eq!(code(&step), expected, "{rule} {method} {granted_ago_ms:?}");
    }
}

#[test]
fn a_token_that_expired_while_its_request_waited_releases_nobody() {
    let policy = policy("enforce");
    let principal = principal(&policy, &["read"]);
    let dies_ms = principal.facts.dies_at_ms;
    for (wall_ms, verdict, outage) in [
        (Some(dies_ms - 1), "released", "read_only"),
        (Some(dies_ms), "token_expired", "token_expired"),
        (None, "session_unavailable", "session_unavailable"),
    ] {
        for (event, expected) in [
            (Event::Verdict(Verdict::Active(None), wall_ms), verdict),
            (Event::NoVerdict(Known::default(), wall_ms), outage),
        ] {
            let mut request = Request::default();
            request.on(Event::Decided(Ok(Next::Ask(Inquiry::Session(question(&principal, 3, "GET"))))), &policy);
            assert_eq!(code(&request.on(event, &policy)), expected, "{wall_ms:?}");
        }
    }
}

#[test]
fn a_rule_that_wants_a_token_for_the_upstream_releases_with_one_and_not_without() {
    use crate::authorize::upstream_token::tests::document;
    let parse = |policy: serde_json::Value| Policy::parse(policy.to_string().as_bytes()).expect("a valid policy");
    let (mut omitting, mut shadow) = (document(), document());
    omitting["routes"][1]["upstream_token"]["on_outage"] = "omit".into();
    shadow["mode"] = "shadow".into();
    let token = || Some(UpstreamToken::for_test(7, "a.b.c"));
    let active = || Verdict::Active(None);
    let left = |scope: &str| Verdict::Active(Some(Rc::from([scope.to_owned()])));
    for (policy, without) in [(document(), "session_unavailable"), (omitting, "released"), (shadow, "released")] {
        let policy = parse(policy);
        let refuses = policy.mode == Mode::Enforce;
        let full = principal(&policy, &["read", "write"]);
        let late_ms = full.facts.expires_at_ms;
        let expired = if without == "released" { "released" } else { "token_expired" };
        let if_enforced = |code| if refuses { code } else { "released" };
        for (event, expected, has_token) in [
            (Event::VerdictWithToken(active(), token(), Some(NOW_MS)), "released", true),
            (Event::VerdictWithToken(active(), None, Some(NOW_MS)), without, false),
            (Event::Verdict(active(), Some(NOW_MS)), without, false),
            (Event::Verdict(active(), Some(late_ms)), expired, false),
            (Event::VerdictWithToken(left("read"), token(), Some(NOW_MS)), if_enforced("insufficient_scope"), false),
            (
                Event::VerdictWithToken(Verdict::Ended(Code::SessionRevoked.into()), token(), Some(NOW_MS)),
                if_enforced("session_revoked"),
                false,
            ),
            (Event::NoVerdict(Known::default(), Some(NOW_MS)), if_enforced("session_unavailable"), false),
        ] {
            let mut request = Request::default();
            request.on(Event::Decided(Ok(Next::Ask(Inquiry::Session(question(&full, 1, "GET"))))), &policy);
            let step = request.on(event, &policy);
            assert_eq!(code(&step), expected);
            let carries = matches!(&step, Step::Release(permit) if permit.upstream_token.is_some());
            assert_eq!(carries, has_token, "{expected}");
        }
    }
}

#[test]
fn a_lease_releases_what_its_verdict_would_and_only_while_the_token_is_alive_beyond_doubt() {
    let policy = policy("enforce");
    let full = principal(&policy, &["read", "write"]);
    let (expires_ms, left) = (full.facts.expires_at_ms, Some(Rc::from(["read".to_owned()])));
    for (rule, narrowed, wall_ms, passes) in [
        (1, None, Some(NOW_MS), true),
        (1, None, Some(expires_ms - 1), true),
        // Accepted as long as clocks may differ: the service says what it thinks of it.
        (1, None, Some(expires_ms), false),
        (1, None, None, false),
        (1, left.clone(), Some(NOW_MS), false),
        (3, left.clone(), Some(NOW_MS), true),
    ] {
        let mut request = Request::default();
        request.on(Event::Decided(Ok(Next::Ask(Inquiry::Session(question(&full, rule, "GET"))))), &policy);
        let step = request.on(Event::Leased(by_lease(narrowed.clone()), wall_ms), &policy);
        match step {
            Step::Release(permit) => {
                assert!(passes && permit.is_leased && permit.mark.is_none());
                assert_eq!((permit.rule, permit.narrowed), (Some(RuleId(rule)), narrowed));
            }
            Step::Wait => assert!(!passes && matches!(request, Request::Asked(_)), "{rule} {narrowed:?} {wall_ms:?}"),
            other => panic!("{other:?}"),
        }
    }
}
