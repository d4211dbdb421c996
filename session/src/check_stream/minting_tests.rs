//! Tokens for upstreams on streams: which verdicts have one.

use super::state::tests::{Stream, fresh, hello, token, verdicts};
use super::{Answers, Destination};
use crate::fixtures::{Fixture, HOUR, T0, person};
use crate::intern::ScopeSet;
use crate::minting::tests::{keys, minter, read};
use crate::narrowings::Left;
use portcullis_contract::wire::{FilterMessage, Hello, MintedToken, Outcome, Question, Route, UpstreamToken, Verdict};
use std::sync::Arc;

/// Routes beside those of every stream.
const READ: u32 = 5;
const ADMIN: u32 = 6;

fn open(fixture: &Fixture, mints: bool) -> Stream {
    let minter = mints.then(|| Arc::new(minter(keys("k1")).0));
    let mut stream = Stream(fresh(fixture).minting(minter), Arc::clone(&fixture.registry));
    let mut hello = hello();
    for (name, scope) in [("read", "orders:read"), ("admin", "admin")] {
        let upstream_token = Some(UpstreamToken { audience: name.to_owned(), ttl_ms: 30_000, ..Default::default() });
        let all_of = vec![scope.to_owned()];
        hello.routes.push(Route { name: name.to_owned(), all_of, upstream_token, ..Route::default() });
    }
    let hello = Some(Hello { workload: "edge".to_owned(), ..hello });
    stream.send(FilterMessage { hello, tokens: vec![token(1, "s", T0)], ..FilterMessage::default() }, T0);
    stream
}

fn ask(stream: &mut Stream, route: u32, held: Option<u64>, now_ms: u64) -> Verdict {
    let question =
        Question { id: 7, token: 1, route, request_id: "r-1".to_owned(), held_token: held, ..Question::default() };
    let message = FilterMessage { questions: vec![question], ..FilterMessage::default() };
    let answers: Answers = stream.send(message, now_ms);
    verdicts(answers, Destination::Question).remove(0)
}

fn minted(stream: &mut Stream, held: Option<u64>, now_ms: u64) -> MintedToken {
    ask(stream, READ, held, now_ms).upstream_token.expect("a token")
}

#[test]
fn a_released_question_about_a_route_that_wants_one_has_a_token() {
    let fixture = Fixture::new();
    let mut stream = open(&fixture, true);
    let first = minted(&mut stream, None, T0);
    let claims = read(&first.token).1;
    assert_eq!((&claims["aud"], &claims["txn"], &claims["req_wl"]), (&"read".into(), &"r-1".into(), &"edge".into()));
    assert_eq!((&claims["sub"], &claims["scope"]), (&"alice".into(), &"orders:read".into()));
    assert_eq!(minted(&mut stream, Some(first.id), T0 + 1).token, "");
    assert!(ask(&mut stream, 0, None, T0).upstream_token.is_none(), "no route, no token");
    let mut unable = open(&fixture, false);
    let verdict = ask(&mut unable, READ, None, T0);
    assert_eq!((verdict.outcome(), verdict.upstream_token), (Outcome::Active, None));
}

#[test]
fn what_is_refused_here_or_by_the_filter_has_none() {
    let fixture = Fixture::new();
    let mut stream = open(&fixture, true);
    let uncovered = ask(&mut stream, ADMIN, None, T0);
    assert_eq!((uncovered.outcome(), uncovered.upstream_token), (Outcome::Active, None), "the filter refuses it");
    let session = fixture.live(&person("s", T0), T0);
    session.narrow(Left::only(ScopeSet::new(["openid"])));
    assert!(ask(&mut stream, READ, None, T0).upstream_token.is_none());
    session.narrow(Left::default());
    let before = minted(&mut stream, None, T0).id;
    session.narrow(Left::only(ScopeSet::new(["openid", "orders:read"])));
    assert_ne!(minted(&mut stream, Some(before), T0 + 1_000).id, before, "the session has changed");
}

#[test]
fn a_session_that_is_over_has_none_and_no_token_lives_longer_than_the_clients() {
    let fixture = Fixture::new();
    let mut stream = open(&fixture, true);
    minted(&mut stream, None, T0);
    let last = T0 + HOUR - 5_000;
    // The session would have been idle for too long by then.
    (1..12).for_each(|n| drop(ask(&mut stream, READ, None, T0 + n * 5 * 60_000)));
    assert_eq!(minted(&mut stream, None, last).expires_at_ms, (T0 + HOUR) / 1_000 * 1_000);
    let over = ask(&mut stream, READ, None, last + HOUR);
    assert_eq!((over.outcome(), over.upstream_token), (Outcome::IdleTimeout, None));
}
