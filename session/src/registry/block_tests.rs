//! What a block refuses, for how long, and that it leaves sessions as they are.

use super::*;
use crate::blocks::{Block, BlockedParty};
use crate::bound_token::{BoundToken, Required};
use crate::fixtures::{Fixture, HOUR, IDLE, MINUTE, T0, login, machine, person};
use crate::judge::Asked;
use crate::made_by::MadeBy;
use crate::store::{Change, Store};
use crate::token::Token;
use portcullis_contract::wire::Outcome;
use std::sync::Arc;

fn block(party: BlockedParty, until_ms: Option<u64>) -> Block {
    let (issuer, reason, transmitter) = ("https://id".to_owned(), String::new(), String::new());
    Block { issuer, party, until_ms, made_at_ms: T0, reason, transmitter, email: None, by: MadeBy::default() }
}

fn of_alice(until_ms: Option<u64>) -> Block {
    block(BlockedParty::Subject("alice".to_owned()), until_ms)
}

/// A token on one stream: it is bound again only when it must be.
struct Asker(BoundToken);

impl Asker {
    fn new(token: Token) -> Self {
        Self(BoundToken::new(Arc::new(token)))
    }

    fn ask(&mut self, fixture: &Fixture, now_ms: u64) -> Outcome {
        let mut found = None;
        if self.0.is_outdated(&fixture.registry, true, now_ms) {
            while let Err(look_up) = self.0.bind(&fixture.registry, true, found.as_ref(), now_ms) {
                found = Some(fixture.registry.look_up(&look_up).unwrap());
            }
        }
        self.0.answer(&fixture.registry, Asked::default(), Required::default(), now_ms).verdict.outcome()
    }
}

#[test]
fn a_block_refuses_live_ended_and_unseen_sessions_of_its_party_and_lifting_it_brings_them_back() {
    let parties = [
        BlockedParty::Subject("alice".to_owned()),
        BlockedParty::Client("web".to_owned()),
        BlockedParty::Sid("live".to_owned()),
    ];
    for party in parties {
        let fixture = Fixture::new();
        let mut live = Asker::new(person("live", T0));
        let mut other = Asker::new(machine(T0));
        assert_eq!([live.ask(&fixture, T0), other.ask(&fixture, T0)], [Outcome::Active; 2]);
        let made = block(party.clone(), None);
        assert_eq!(fixture.registry.block(&made), None);
        assert_eq!(live.ask(&fixture, T0), Outcome::Blocked, "{party:?}");
        assert_eq!(fixture.outcome(&person("live", T0 + 1), T0 + 1), Outcome::Blocked, "a token not seen before");
        let unseen = if party == BlockedParty::Sid("live".to_owned()) { Outcome::Active } else { Outcome::Blocked };
        assert_eq!(fixture.outcome(&person("unseen", T0), T0), unseen, "{party:?}");
        assert_eq!(other.ask(&fixture, T0), Outcome::Active, "{party:?}");
        assert!(fixture.registry.unblock(&made));
        assert_eq!(live.ask(&fixture, T0 + 1), Outcome::Active, "{party:?}");
        assert_eq!(fixture.outcome(&person("unseen", T0), T0), Outcome::Active, "{party:?}");
    }
}

#[test]
fn a_refused_question_neither_opens_nor_touches_nor_ends_a_session() {
    let fixture = Fixture::new();
    let session = fixture.live(&person("s", T0), T0);
    fixture.registry.block(&of_alice(None));
    let mut unseen = Asker::new(person("unseen", T0));
    assert_eq!(unseen.ask(&fixture, T0 + MINUTE), Outcome::Blocked);
    assert!(fixture.registry.find(person("unseen", T0).id).is_none());
    // A login counts as activity, and moves the lifetime: not while its party is blocked.
    let mut later = Asker::new(login("s", T0 + MINUTE));
    let before = session.marks();
    assert_eq!(later.ask(&fixture, T0 + MINUTE), Outcome::Blocked);
    assert_eq!(session.marks(), before);
    assert_eq!(later.ask(&fixture, T0 + IDLE), Outcome::Blocked, "even past the limit");
    fixture.registry.unblock(&of_alice(None));
    assert_eq!(later.ask(&fixture, T0 + 2 * MINUTE), Outcome::Active);
    assert_eq!(session.login_at_ms(), T0 + MINUTE, "the session hears of the login once it is let in");
}

#[test]
fn a_block_that_runs_out_needs_nothing_but_the_next_question() {
    let fixture = Fixture::new();
    let until = T0 + MINUTE;
    let mut askers = ["live", "unseen", "ended"].map(|key| Asker::new(login(key, T0)));
    let [live, unseen, ended] = &mut askers;
    assert_eq!([live.ask(&fixture, T0), ended.ask(&fixture, T0)], [Outcome::Active; 2]);
    let session = fixture.registry.find(login("ended", T0).id).unwrap();
    fixture.registry.end(&session, revoked(T0), crate::audit::EndedBy::Admin);
    fixture.registry.block(&of_alice(Some(until)));
    let mut returning = Asker::new(login("ended", T0 + 1));
    for asker in [&mut *live, &mut *unseen, &mut *ended, &mut returning] {
        assert_eq!(asker.ask(&fixture, until - 1), Outcome::Blocked);
    }
    assert_eq!(live.ask(&fixture, until), Outcome::Active);
    assert_eq!(unseen.ask(&fixture, until), Outcome::Active);
    assert_eq!(ended.ask(&fixture, until), Outcome::Revoked, "what was over is over");
    assert_eq!(returning.ask(&fixture, until), Outcome::Active, "and a later login opens it again");
}

#[test]
fn a_block_answers_without_the_disk_and_holds_after_a_crash() {
    let fixture = Fixture::new();
    drop(fixture.live(&person("s", T0), T0));
    fixture.flush();
    fixture.store.apply(&[Change::Block(of_alice(None))]).unwrap();
    let fixture = fixture.crash();
    assert!(fixture.registry.find(person("s", T0).id).is_some(), "a block ends no session");
    assert_eq!(fixture.outcome(&person("s", T0), T0 + 1), Outcome::Blocked);
    let bound = fixture.registry.bind(&person("unseen", T0), FirstUse::Touches, None, T0);
    assert!(matches!(bound, Ok(Binding::Blocked(u64::MAX))), "{bound:?}");
    fixture.registry.unblock(&of_alice(None));
    assert_eq!(fixture.outcome(&person("s", T0), T0 + 2), Outcome::Active);
}

#[test]
fn the_latest_block_of_a_party_stands_and_says_which_one_it_replaced() {
    let fixture = Fixture::new();
    assert_eq!(fixture.registry.block(&of_alice(Some(T0 + HOUR))), None);
    assert_eq!(fixture.registry.block(&of_alice(Some(T0 + MINUTE))), Some(of_alice(Some(T0 + HOUR))));
    assert_eq!(fixture.registry.blocks_standing(T0), 1);
    assert_eq!(fixture.outcome(&person("s", T0), T0 + MINUTE), Outcome::Active);
    let later = Block { made_at_ms: T0 + HOUR, ..of_alice(None) };
    assert_eq!(fixture.registry.block(&later), None, "the one before had run out");
    assert!(!fixture.registry.unblock(&of_alice(Some(T0 + MINUTE))), "another one stands");
    assert_eq!(fixture.outcome(&person("s", T0), T0 + HOUR), Outcome::Blocked);
}

#[test]
fn a_block_and_a_first_use_at_once_never_leave_a_token_active() {
    let fixture = Fixture::new();
    for round in 0..2000 {
        let subject = format!("u{round}");
        let token = Token { subject: subject.as_str().into(), ..person(&format!("s{round}"), T0) };
        let made = block(BlockedParty::Subject(subject), None);
        let barrier = std::sync::Barrier::new(2);
        let mut asker = Asker::new(token);
        std::thread::scope(|threads| {
            threads.spawn(|| {
                barrier.wait();
                asker.ask(&fixture, T0);
            });
            barrier.wait();
            fixture.registry.block(&made);
        });
        assert_eq!(asker.ask(&fixture, T0), Outcome::Blocked, "round {round}");
    }
}

#[test]
fn a_blocked_party_may_still_end_its_session() {
    let fixture = Fixture::new();
    fixture.registry.block(&of_alice(None));
    let token = person("s", T0);
    let bound = fixture.bind_as(&token, FirstUse::Ends, T0);
    assert!(matches!(bound, Binding::Session(_)), "{bound:?}");
}
