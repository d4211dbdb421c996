//! Leases where conditions decide: given where nothing of a single request matters, and taken back when what they look at changes.

use super::conditions_tests::{conditions, session, set, subject};
use super::lease_tests::{LEASED, LENGTH, WRITE, ask, hello, renew, taken_back};
use super::state::tests::{Stream, fresh, token};
use crate::attributes::Holder;
use crate::conditions::Mode;
use crate::fixtures::{Fixture, MINUTE, T0};
use portcullis_contract::wire::{FilterMessage, Outcome, Renewal};
use std::sync::Arc;

/// A stream whose filter asks for leases, where a condition refuses this, and whose token 1 is of the session `s`.
fn stream(fixture: &Fixture, refused: &str) -> Stream {
    fixture.registry.lease().may_give(LENGTH);
    let policies = format!(r#"@id("c") @reason("no") forbid (principal, {refused};"#);
    let mut state = fresh(fixture).judging_by(Some(conditions(fixture, &policies, Mode::Enforce)));
    state.receive(FilterMessage { hello: Some(hello()), ..FilterMessage::default() }, T0).unwrap();
    let mut stream = Stream(state, Arc::clone(&fixture.registry));
    stream.describe(token(1, "s", T0), T0);
    stream
}

fn on_route(when: &str) -> String {
    format!(r#"action, resource == Portcullis::Route::"leased") when {{ {when} }}"#)
}

fn lease_ms(stream: &mut Stream, route: u32) -> Option<u64> {
    let verdict = ask(stream, route + 1, route, T0);
    assert_eq!(verdict.outcome(), Outcome::Active);
    verdict.lease_ms
}

#[test]
fn what_depends_on_the_single_request_is_never_leased_and_what_is_known_of_the_session_is() {
    for (when, is_leased) in [
        (r#"context.risk == "high""#, true),
        (r#"context has acr && context.acr == "none""#, true),
        // The session has no such attribute, and a request can state one.
        (r#"context.session has ticket && context.session.ticket == "T1""#, false),
    ] {
        let fixture = Fixture::new();
        let mut stream = stream(&fixture, &on_route(when));
        assert_eq!(lease_ms(&mut stream, LEASED), is_leased.then_some(LENGTH), "{when}");
    }
}

#[test]
fn a_condition_about_methods_or_another_route_counts_where_it_applies() {
    for (refused, is_leased) in [
        (r#"action == Portcullis::Action::"DELETE", resource)"#, false),
        (r#"action in [Portcullis::Action::"write"], resource == Portcullis::Route::"leased")"#, false),
        (r#"action, resource == Portcullis::Route::"other") when { context.host == "h" }"#, true),
    ] {
        let fixture = Fixture::new();
        assert_eq!(lease_ms(&mut stream(&fixture, refused), LEASED), is_leased.then_some(LENGTH), "{refused}");
    }
}

#[test]
fn nothing_that_conditions_are_asked_about_is_leased_once_anything_is_known_of_a_device() {
    let fixture = Fixture::new();
    let mut stream = stream(&fixture, &on_route(r#"context.risk == "high""#));
    assert_eq!(lease_ms(&mut stream, LEASED), Some(LENGTH));
    let device = Holder::Device { issuer: "https://id".to_owned(), device: "laptop".to_owned() };
    set(&fixture, device, "risk", "high", None);
    assert_eq!(taken_back(&stream.0.review(T0 + 1)), [LEASED + 1]);
    assert_eq!(lease_ms(&mut stream, LEASED), None);
    assert_eq!(lease_ms(&mut stream, WRITE), Some(LENGTH), "no condition is about this route");
}

#[test]
fn what_changes_the_decision_takes_the_lease_back_and_what_does_not_leaves_it() {
    for (holder, value, taken) in [
        (session(), "low", vec![]),
        (session(), "high", vec![1]),
        (subject(), "high", vec![1]),
        (Holder::Subject { issuer: "https://id".to_owned(), subject: "bob".to_owned() }, "high", vec![]),
    ] {
        let fixture = Fixture::new();
        let mut stream = stream(&fixture, &on_route(r#"context.risk == "high""#));
        assert_eq!(lease_ms(&mut stream, LEASED), Some(LENGTH));
        set(&fixture, holder.clone(), "risk", value, None);
        assert_eq!(taken_back(&stream.0.review(T0 + 1)), taken, "{holder:?} {value}");
        assert_eq!(renew(&mut stream, Renewal::default(), T0 + 2), taken, "{holder:?} {value}");
    }
}

#[test]
fn an_attribute_that_expires_ends_a_lease_that_rests_on_it() {
    let fixture = Fixture::new();
    let mut stream = stream(&fixture, &on_route(r#"context.risk != "low""#));
    set(&fixture, session(), "risk", "low", Some(T0 + LENGTH / 2));
    assert_eq!(lease_ms(&mut stream, LEASED), Some(LENGTH / 2));
    assert_eq!(ask(&mut stream, 9, LEASED, T0 + MINUTE).outcome(), Outcome::ConditionFailed);
}
