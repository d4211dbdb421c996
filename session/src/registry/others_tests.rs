//! What other replicas have changed, applied in memory.

use crate::attributes::{ACR, Attribute, Fact, Holder, Value};
use crate::audit::EndedBy;
use crate::fixtures::{Fixture, HOUR, IDLE, MINUTE, T0, login};
use crate::held::HeldSignal;
use crate::judge::{End, Reason};
use crate::registry::{Registry, revoked};
use crate::revocations::Bearer;
use crate::session::Session;
use crate::signals::Order;
use crate::store::{Change, Marks, Record, Store};
use portcullis_contract::wire::Outcome;
use std::sync::Arc;

/// The record of a session as another replica has opened it.
fn elsewhere(key: &str, at_ms: u64) -> Record {
    let fixture = Fixture::new();
    fixture.live(&login(key, at_ms), at_ms).record()
}

fn idle(at_ms: u64) -> End {
    End { reason: Reason::IdleTimeout, at_ms }
}

fn live(registry: &Registry, record: &Record) -> Option<Arc<Session>> {
    registry.find(record.id()).filter(|session| session.ended().is_none())
}

/// A session of another replica, here as well.
fn entered(fixture: &Fixture) -> Arc<Session> {
    let record = elsewhere("s", T0);
    fixture.registry.apply(Change::Write(record.clone()));
    live(&fixture.registry, &record).unwrap()
}

#[test]
fn a_session_that_opens_elsewhere_lives_here_once_however_often_it_is_told_and_has_the_scopes_of_both() {
    let fixture = Fixture::new();
    let record = elsewhere("s", T0);
    for _ in 0..2 {
        fixture.registry.apply(Change::Write(record.clone()));
    }
    assert_eq!(fixture.metrics.sessions.get(), 1);
    let grown = Record { granted: vec!["openid".to_owned(), "more".to_owned()], ..record.clone() };
    fixture.registry.apply(Change::Write(grown));
    let held = live(&fixture.registry, &record).unwrap();
    assert!(held.granted().holds("more") && held.granted().holds("orders:read"));
    assert!(fixture.registry.take_changed().is_empty(), "the store has it already");
}

#[test]
fn activity_elsewhere_counts_and_never_makes_a_session_older() {
    let fixture = Fixture::new();
    let session = fixture.live(&login("s", T0), T0);
    for (seen_ms, expected_ms) in [(T0 + MINUTE, T0 + MINUTE), (T0, T0 + MINUTE)] {
        fixture.registry.apply(Change::Seen(session.id, Marks { last_seen_ms: seen_ms, ..Marks::default() }));
        assert_eq!(session.last_seen_ms(), expected_ms);
    }
}

#[test]
fn an_end_elsewhere_ends_the_session_here_and_not_one_that_came_back_after_it() {
    let fixture = Fixture::new();
    let session = fixture.live(&login("s", T0), T0);
    let tombstone = Record { ended: Some(revoked(T0 + 5)), ..session.record() };
    fixture.registry.apply(Change::Tombstone(tombstone.clone()));
    assert_eq!(session.ended(), Some(revoked(T0 + 5)));
    assert!(
        fixture.registry.find(session.id).is_none()
            && fixture.registry.take_changed().iter().all(|s| s.life().stage().to_write().is_none())
    );
    let returned = Record {
        returned: Some(revoked(T0 + 5)),
        returned_from_ms: T0 + 5,
        ended: None,
        ..elsewhere("s", T0 + MINUTE)
    };
    fixture.registry.apply(Change::Write(returned.clone()));
    // The log is read again from before.
    fixture.registry.apply(Change::Tombstone(tombstone));
    assert!(live(&fixture.registry, &returned).is_some());
}

#[test]
fn a_session_that_ended_and_came_back_elsewhere_in_one_commit_outlives_no_old_token_here() {
    let fixture = Fixture::new();
    let old = fixture.live(&login("s", T0), T0);
    let end = idle(T0 + IDLE);
    let returned = Record { returned: Some(end), returned_from_ms: T0 + IDLE, ..elsewhere("s", T0 + HOUR) };
    fixture.registry.apply(Change::Write(returned.clone()));
    assert_eq!(old.ended(), Some(end));
    assert!(live(&fixture.registry, &returned).is_some());
    assert_eq!(fixture.outcome(&login("s", T0), T0 + HOUR), Outcome::IdleTimeout, "a token from before that end");
    assert_eq!(fixture.outcome(&login("s", T0 + HOUR), T0 + HOUR), Outcome::Active);
}

#[test]
fn a_limit_that_only_this_replica_has_seen_does_not_keep_a_session_from_coming_back() {
    let fixture = Fixture::new();
    let old = fixture.live(&login("s", T0), T0);
    assert!(fixture.registry.end(&old, idle(T0 + IDLE + 1), EndedBy::Judge));
    let returned = Record { returned: Some(idle(T0 + IDLE)), returned_from_ms: T0 + IDLE, ..elsewhere("s", T0 + HOUR) };
    fixture.registry.apply(Change::Tombstone(Record { ended: Some(idle(T0 + IDLE)), ..old.record() }));
    fixture.registry.apply(Change::Write(returned.clone()));
    assert!(live(&fixture.registry, &returned).is_some());
    fixture.flush();
    assert!(live(&fixture.registry, &returned).is_some(), "its own tombstone is not written over it");
    assert_eq!(fixture.store.tombstone(returned.id()), Ok(None));
}

#[test]
fn an_idle_end_that_later_activity_elsewhere_refutes_is_taken_back_before_it_is_written() {
    for refuted in [true, false] {
        let fixture = Fixture::shared();
        let session = entered(&fixture);
        assert!(fixture.registry.end(&session, idle(T0 + IDLE), EndedBy::Cleaner));
        let seen_ms = if refuted { T0 + 1 } else { T0 };
        fixture.registry.apply(Change::Seen(session.id, Marks { last_seen_ms: seen_ms, ..Marks::default() }));
        fixture.flush();
        assert_eq!(session.ended(), (!refuted).then(|| idle(T0 + IDLE)), "{refuted}");
        assert_eq!(fixture.metrics.sessions.get(), i64::from(refuted));
    }
}

#[test]
fn a_revocation_is_never_taken_back() {
    let fixture = Fixture::shared();
    let session = entered(&fixture);
    fixture.registry.end(&session, revoked(T0 + IDLE), EndedBy::Admin);
    fixture.registry.apply(Change::Seen(session.id, Marks { last_seen_ms: T0 + HOUR, ..Marks::default() }));
    fixture.flush();
    assert_eq!(session.ended(), Some(revoked(T0 + IDLE)));
}

#[test]
fn an_opening_by_the_admin_api_elsewhere_reaches_tokens_that_had_no_session() {
    let fixture = Fixture::new();
    let before = fixture.registry.openings_epoch();
    fixture.registry.apply(Change::Write(elsewhere("s", T0)));
    assert_eq!(fixture.registry.openings_epoch(), before, "a first use binds only its own token");
    fixture.registry.apply(Change::Open(elsewhere("t", T0)));
    assert_ne!(fixture.registry.openings_epoch(), before);
}

#[test]
fn what_is_said_about_a_session_elsewhere_holds_here_and_signals_are_held_everywhere() {
    let fixture = Fixture::new();
    let session = entered(&fixture);
    let acr = |fact| {
        let (name, source) = (ACR.to_owned(), "idp".to_owned());
        Attribute { holder: Holder::Session(session.id), name, source, fact }
    };
    let fact =
        Fact { value: Value::Text("aal1".to_owned()), set_at_ms: T0, expires_at_ms: None, login_until_ms: Some(T0) };
    fixture.registry.apply(Change::Attribute(acr(Some(fact))));
    let bearer = session.bearer();
    assert_eq!(session.contexts().of(bearer, T0).collect::<Vec<_>>(), ["aal1"]);
    let again = Bearer { start_ms: T0 + 1, ..bearer };
    assert_eq!(session.contexts().of(again, T0).count(), 0, "another login is another one");
    fixture.registry.apply(Change::Attribute(acr(None)));
    assert_eq!(session.contexts().of(bearer, T0).count(), 0);
    let signal = HeldSignal::new("idp", None, Order::default(), T0);
    for _ in 0..2 {
        fixture.registry.apply(Change::Hold(signal.clone()));
        assert_eq!(fixture.registry.held_of("idp"), (1, Some(T0)));
    }
    fixture.registry.apply(Change::Unhold(signal.id));
    assert_eq!(fixture.registry.held_of("idp"), (0, None));
}
