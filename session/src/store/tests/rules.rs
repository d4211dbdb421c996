//! What a store must do with the rules for parties.

use super::*;
use crate::approvals::AccessRequest;
use crate::attributes::{Attribute, Fact, Holder, Value};
use crate::blocks::{Block, BlockedParty};
use crate::held::HeldSignal;
use crate::made_by::MadeBy;
use crate::narrowings::Party;
use crate::revocations::RevokedParty;
use crate::signals::Order;
use crate::usage::{Count, Kind, Used};

pub(super) fn a_party_has_one_revocation_the_latest(home: &dyn Home) {
    let store = home.open();
    let revocation = |party: &RevokedParty, before_ms| Revocation {
        issuer: "i".to_owned(),
        party: party.clone(),
        before_ms,
        made_at_ms: before_ms,
        ends_at_ms: before_ms,
        reason: String::new(),
        by: MadeBy::default(),
    };
    let parties = [RevokedParty::Everyone, RevokedParty::Subject("a".to_owned()), RevokedParty::Client("a".to_owned())];
    for party in &parties {
        for before_ms in [5, 9, 2] {
            store.apply(&[Change::Revocation(revocation(party, before_ms))]).unwrap();
        }
    }
    let revocations = home.reopen(store).rules().unwrap().revocations;
    assert_eq!(revocations.len(), parties.len());
    assert!(revocations.iter().all(|revocation| revocation.before_ms == 9));
}

pub(super) fn rules_are_made_changed_and_lifted(home: &dyn Home) {
    let store = home.open();
    let revocation = |name: &str| Revocation {
        issuer: "i".to_owned(),
        party: RevokedParty::Sid(name.to_owned()),
        before_ms: 9,
        made_at_ms: 9,
        ends_at_ms: 9,
        reason: "r".to_owned(),
        by: MadeBy::default(),
    };
    let of_id = |key: &str| Revocation {
        issuer: String::new(),
        party: RevokedParty::Session(record(key).id()),
        ..revocation(key)
    };
    let narrowing = |subject: &str, left: Option<&str>| Narrowing {
        scopes: left.map(|scope| vec![scope.to_owned()]),
        ..Narrowing::none(Party::of("i", subject, "c", "k"))
    };
    let block = |name: &str, until_ms| Block {
        issuer: "i".to_owned(),
        party: BlockedParty::Sid(name.to_owned()),
        until_ms,
        made_at_ms: 9,
        reason: "r".to_owned(),
        transmitter: String::new(),
        email: None,
        by: MadeBy::default(),
    };
    let removed = |subject: &str, scopes: &[&str]| Narrowing {
        removed: scopes.iter().map(|&scope| scope.to_owned()).collect(),
        made_at_ms: Some(7),
        reason: "ticket".to_owned(),
        ..narrowing(subject, None)
    };
    store
        .apply(&[
            Change::Revocation(revocation("a")),
            Change::Revocation(revocation("b")),
            Change::Lift(revocation("a")),
            Change::Revocation(of_id("c")),
            Change::Revocation(of_id("d")),
            Change::Lift(of_id("d")),
            Change::Block(block("a", None)),
            Change::Block(block("b", Some(10))),
            Change::Unblock(block("a", None)),
            // The latest block of a party stands, and another one cannot be taken back in its home.
            Change::Block(block("b", Some(5))),
            Change::Unblock(block("b", Some(10))),
            // A signal's block stands beside that of an operator.
            Change::Block(Block { transmitter: "idp".to_owned(), ..block("b", None) }),
            Change::Block(Block { transmitter: "idp".to_owned(), ..block("c", None) }),
            Change::Unblock(Block { transmitter: "idp".to_owned(), ..block("c", None) }),
            Change::Unblock(block("b", None)),
            Change::Narrowing(narrowing("x", Some("1"))),
            Change::Narrowing(narrowing("y", Some("1"))),
            Change::Narrowing(narrowing("x", None)),
            Change::Narrowing(narrowing("y", Some("2"))),
            Change::Narrowing(removed("z", &["1", "2"])),
            Change::Narrowing(removed("w", &["1"])),
            Change::Narrowing(removed("w", &[])),
        ])
        .unwrap();
    let store = home.reopen(store);
    let mut rules = store.rules().unwrap();
    rules.narrowings.sort_by(|one, other| one.party.subject.cmp(&other.party.subject));
    let kept = vec![narrowing("y", Some("2")), removed("z", &["1", "2"])];
    rules.revocations.sort_by(|one, other| one.issuer.cmp(&other.issuer));
    assert_eq!((rules.revocations, rules.narrowings), (vec![of_id("c"), revocation("b")], kept));
    rules.blocks.sort_by(|one, other| one.transmitter.cmp(&other.transmitter));
    assert_eq!(rules.blocks, [block("b", Some(5)), Block { transmitter: "idp".to_owned(), ..block("b", None) }]);
}

pub(super) fn attributes_and_held_signals_are_there_until_they_are_removed(home: &dyn Home) {
    let store = home.open();
    let holders = [
        Holder::Session(record("a").id()),
        Holder::Sid { issuer: "i".to_owned(), sid: "a".to_owned() },
        Holder::Device { issuer: "i".to_owned(), device: "a".to_owned() },
        Holder::Subject { issuer: "i".to_owned(), subject: "a".to_owned() },
    ];
    let fact = |value: Value| Fact { value, set_at_ms: 1, expires_at_ms: Some(2), login_until_ms: None };
    let attribute = |holder: &Holder, name: &str, value: Option<bool>| Attribute {
        holder: holder.clone(),
        name: name.to_owned(),
        source: "idp".to_owned(),
        fact: value.map(|value| fact(Value::Boolean(value))),
    };
    let set = |holder| [attribute(holder, "kept", Some(true)), attribute(holder, "gone", Some(true))];
    let mut changes: Vec<Change> = holders.iter().flat_map(set).map(Change::Attribute).collect();
    changes.extend(holders.iter().map(|holder| Change::Attribute(attribute(holder, "gone", None))));
    changes.push(Change::Attribute(attribute(&holders[0], "kept", Some(false))));
    let order = Order { event: "logout".to_owned(), ..Order::default() };
    let held = [1, 2].map(|at_ms| HeldSignal::new("idp", Some("j"), order.clone(), at_ms));
    changes.extend(held.iter().cloned().map(Change::Hold));
    changes.push(Change::Unhold(held[0].id.clone()));
    store.apply(&changes).unwrap();
    let store = home.reopen(store);
    let mut rules = store.rules().unwrap();
    rules.attributes.sort_by(|one, other| one.holder.cmp(&other.holder));
    let kept: Vec<_> = holders.iter().map(|holder| attribute(holder, "kept", Some(*holder != holders[0]))).collect();
    assert_eq!((rules.attributes, rules.held), (kept, vec![held[1].clone()]));
}

pub(super) fn a_receipt_is_there_until_it_is_forgotten(home: &dyn Home) {
    let store = home.open();
    let id = |number: u64| ReceiptId::of("idp", &number.to_string());
    let received = |number| Change::Received(Receipt { id: id(number), until_ms: 10 * number });
    store.apply(&[received(1), received(2), received(3)]).unwrap();
    store.apply(&[Change::Received(Receipt { id: id(1), until_ms: 50 })]).unwrap();
    let store = home.reopen(store);
    let known = || {
        let ids: Vec<ReceiptId> = (0..5).map(id).collect();
        let found = store.received(&ids.iter().collect::<Vec<_>>()).unwrap();
        (0..5).filter(|number| found.contains(&id(*number))).collect::<Vec<u64>>()
    };
    assert_eq!(known(), [1, 2, 3]);
    store.apply(&[Change::ForgetReceived(20)]).unwrap();
    assert_eq!(known(), [1, 2, 3], "until that very instant");
    store.apply(&[Change::ForgetReceived(31)]).unwrap();
    assert_eq!(known(), [1]);
    assert!(store.received(&[]).unwrap().is_empty());
}

pub(super) fn a_damaged_revocation_is_mended_by_the_next_one_of_its_party(home: &dyn Home) {
    let store = home.open();
    let revocation = Revocation {
        issuer: "i".to_owned(),
        party: RevokedParty::Everyone,
        before_ms: 7,
        made_at_ms: 7,
        ends_at_ms: 7,
        reason: String::new(),
        by: MadeBy::default(),
    };
    store.apply(&[Change::Revocation(revocation.clone())]).unwrap();
    drop(store);
    home.damage_revocations();

    let store = home.open();
    assert!(store.rules().is_err(), "nobody knows what it has revoked");
    let later = Revocation { before_ms: 9, ..revocation };
    store.apply(&[Change::Revocation(later.clone())]).unwrap();
    assert_eq!(store.rules().unwrap().revocations, [later]);
}

pub(super) fn requests_are_there_in_their_last_state_until_they_are_forgotten(home: &dyn Home) {
    let store = home.open();
    let first = crate::fixtures::request();
    let second = AccessRequest { id: "2".to_owned(), ..first.clone() };
    let put = |request: &AccessRequest| Change::Request(Box::new(request.clone()));
    store.apply(&[put(&first), put(&second), Change::ForgetRequest("2".to_owned())]).unwrap();
    let expired = first.expired(false, u64::MAX).unwrap();
    store.apply(&[put(&expired)]).unwrap();
    assert_eq!(store.rules().unwrap().requests, [expired]);
}

pub(super) fn counts_of_usage_add_up_and_old_days_are_dropped(home: &dyn Home) {
    let store = home.open();
    let used = |day, kind, name: &str, client: &str, asked| Used {
        day,
        kind,
        name: name.to_owned(),
        client: client.to_owned(),
        count: Count { asked, granted: asked / 2, refused: 1, last_ms: u64::from(day) * 10 + asked },
    };
    // Names are any text, a byte that databases dislike included.
    let web = "web\0\u{1f511}";
    let first =
        vec![used(7, Kind::Scope, "a", web, 4), used(7, Kind::Route, "a", web, 2), used(8, Kind::Scope, "", "", 9)];
    store.apply(&[Change::Used(first)]).unwrap();
    let again =
        vec![used(7, Kind::Scope, "a", web, 6), used(7, Kind::Scope, "a", web, 2), used(6, Kind::Scope, "a", web, 1)];
    store.apply(&[Change::Used(again)]).unwrap();
    let store = home.reopen(store);
    let since = |store: &dyn Store, day| {
        let mut all = Vec::new();
        store.usage(day, &mut |used| all.push((used.day, used.kind, used.name, used.client, used.count))).unwrap();
        all.sort_by_key(|(day, kind, ..)| (*day, *kind));
        all
    };
    let count = |asked, granted, refused, last_ms| Count { asked, granted, refused, last_ms };
    let row = |day, kind, name: &str, client: &str, count| (day, kind, name.to_owned(), client.to_owned(), count);
    let rows = [
        row(6, Kind::Scope, "a", web, count(1, 0, 1, 61)),
        row(7, Kind::Scope, "a", web, count(12, 6, 3, 76)),
        row(7, Kind::Route, "a", web, count(2, 1, 1, 72)),
        row(8, Kind::Scope, "", "", count(9, 4, 1, 89)),
    ];
    assert_eq!(since(&*store, 0), rows);
    assert_eq!(since(&*store, 7), rows[1..]);
    assert_eq!(since(&*store, 9), []);
    store.apply(&[Change::ForgetUsed(7)]).unwrap();
    assert_eq!(since(&*store, 0), rows[1..]);
    store.apply(&[Change::ForgetUsed(9)]).unwrap();
    assert_eq!(since(&*home.reopen(store), 0), []);
}
