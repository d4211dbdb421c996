//! What the followers of a session are sent, and when.

use super::{Follows, Occasion};
use crate::audit::EndedBy;
use crate::blocks::{Block, BlockedParty};
use crate::bound_token::BoundToken;
use crate::check_stream::routes::Route;
use crate::check_stream::state::tests::{
    BACKGROUND, BUSY, PLAIN, Stream, YOUNG, fresh, hello, id, machine, robot, token, verdicts,
};
use crate::check_stream::{Answers, Broken, Destination};
use crate::conditions::RouteFacts;
use crate::fixtures::{ABSOLUTE, Fixture, HOUR, IDLE, MINUTE, T0, narrowing, person};
use crate::intern::ScopeSet;
use crate::judge::Asked;
use crate::made_by::MadeBy;
use crate::narrowings::Left;
use crate::registry::{Enrolment, revoked};
use crate::revocations::{Revocation, RevokedParty};
use crate::token::Token;
use crate::usage::RouteScopes;
use portcullis_contract::Requirement;
use portcullis_contract::bounds::FOLLOWS_MAX;
use portcullis_contract::wire::{FilterMessage, Follow, Outcome, Verdict};
use std::sync::{Arc, Barrier};

fn follow(id: u32, token: u32, route: u32) -> Follow {
    Follow { id, token, route, ..Follow::default() }
}

impl Stream {
    fn changes(&mut self, message: FilterMessage, now_ms: u64) -> Vec<Verdict> {
        verdicts(self.send(message, now_ms), Destination::Follow)
    }

    fn follow(&mut self, follows: &[Follow], now_ms: u64) -> Vec<(u32, Outcome)> {
        told(&self.changes(FilterMessage { follows: follows.to_vec(), ..FilterMessage::default() }, now_ms))
    }

    fn active(&mut self, ids: &[u32], now_ms: u64) -> Vec<(u32, Outcome)> {
        told(&self.changes(FilterMessage { active: ids.to_vec(), ..FilterMessage::default() }, now_ms))
    }

    fn review(&mut self, now_ms: u64) -> Vec<(u32, Outcome)> {
        told(&verdicts(self.0.review(now_ms), Destination::Follow))
    }
}

fn enter(follows: &mut Follows, id: u32, token: &Arc<Token>) -> Result<(), Broken> {
    let requirement = Arc::new(Requirement::of(Vec::new(), Vec::new()));
    let scopes = RouteScopes::new("plain".into(), Box::default(), Box::default());
    let route = Route {
        asked: Asked::default(),
        requirement,
        scopes,
        acr: Arc::default(),
        facts: RouteFacts::default(),
        upstream: None,
        lease_ms: 0,
    };
    follows.enter(id, BoundToken::new(Arc::clone(token)), (0, &route), None)
}

/// Enters a follow and judges it, with the look-up that this may take.
fn open(follows: &mut Follows, id: u32, token: &Arc<Token>, answers: &mut Answers) {
    enter(follows, id, token).unwrap();
    judge(follows, id, answers);
}

fn judge(follows: &mut Follows, id: u32, answers: &mut Answers) {
    let mut found = None;
    while let Some(look_up) = follows.judge(id, Occasion::Entered, found.as_ref(), T0, answers) {
        found = Some(follows.registry.look_up(&look_up).unwrap());
    }
}

fn all(answers: Answers) -> Vec<Verdict> {
    verdicts(answers, Destination::Follow)
}

fn told(followed: &[Verdict]) -> Vec<(u32, Outcome)> {
    let mut told: Vec<_> = followed.iter().map(|verdict| (verdict.id, verdict.outcome())).collect();
    told.sort_unstable_by_key(|(id, _)| *id);
    told
}

const ACTIVE: Outcome = Outcome::Active;

#[test]
fn a_revocation_is_told_once_wherever_it_falls_between_entering_and_judging() {
    // All orders of two steps each: the follow is entered, then judged; the end is in memory, then told.
    let orders = ["EJRT", "ERJT", "ERTJ", "REJT", "RETJ", "RTEJ"];
    for order in orders {
        for is_enrolled in [true, false] {
            let fixture = Fixture::new();
            let token = Arc::new(person("s", T0));
            // Another token of the session may have opened it.
            let session = fixture.live(&person("s", T0), T0);
            let mut follows = Follows::new(&fixture.registry, &fixture.metrics, &fixture.audit);
            let mut answers = Answers::default();
            if is_enrolled {
                open(&mut follows, 1, &token, &mut answers);
            }
            for step in order.chars() {
                match step {
                    'E' => enter(&mut follows, 7, &token).unwrap(),
                    'J' => judge(&mut follows, 7, &mut answers),
                    'R' => assert!(session.life().change(|stage| stage.ended(revoked(T0))).0.end().is_none()),
                    'T' => fixture.registry.followers().changed(session.id),
                    _ => unreachable!("{order}"),
                }
                // The stream may be woken at any time.
                if order.starts_with("ER") && step == 'T' {
                    follows.review(T0, &mut answers);
                }
            }
            follows.review(T0, &mut answers);
            follows.review(T0, &mut answers);
            let of_7: Vec<_> = all(answers).iter().filter(|v| v.id == 7).map(Verdict::outcome).collect();
            assert_eq!(of_7.last(), Some(&Outcome::Revoked), "{order}: a revocation is lost");
            assert_eq!(of_7.iter().filter(|outcome| **outcome != ACTIVE).count(), 1, "{order}");
        }
    }
}

#[test]
fn a_follow_is_registered_before_it_is_judged() {
    let fixture = Fixture::new();
    let token = Arc::new(person("s", T0));
    let mut follows = Follows::new(&fixture.registry, &fixture.metrics, &fixture.audit);
    enter(&mut follows, 7, &token).unwrap();
    fixture.registry.followers().changed(token.id);
    assert!(follows.notifier().take().follows.contains(&7));
}

#[test]
fn no_end_is_lost_between_threads() {
    let fixture = Fixture::new();
    for n in 0..3_000 {
        let token = Arc::new(person(&format!("s{n}"), T0));
        let session = fixture.live(&token, T0);
        let mut follows = Follows::new(&fixture.registry, &fixture.metrics, &fixture.audit);
        let mut answers = Answers::default();
        let gate = Barrier::new(2);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                gate.wait();
                fixture.registry.end(&session, revoked(T0), EndedBy::Admin);
            });
            gate.wait();
            // Not always at the same instant of the other thread.
            (0..n % 50).for_each(|_| std::hint::spin_loop());
            open(&mut follows, 7, &token, &mut answers);
        });
        follows.review(T0, &mut answers);
        assert_eq!(all(answers).last().map(Verdict::outcome), Some(Outcome::Revoked), "{n}");
    }
}

#[test]
fn a_change_of_scopes_is_not_lost_wherever_it_falls_between_entering_and_judging() {
    for order in ["EJRT", "ERJT", "ERTJ", "REJT", "RETJ", "RTEJ"] {
        let fixture = Fixture::new();
        let token = Arc::new(person("s", T0));
        let session = fixture.live(&token, T0);
        let mut follows = Follows::new(&fixture.registry, &fixture.metrics, &fixture.audit);
        let mut answers = Answers::default();
        for step in order.chars() {
            match step {
                'E' => enter(&mut follows, 7, &token).unwrap(),
                'J' => judge(&mut follows, 7, &mut answers),
                'R' => session.narrow(Left::only(ScopeSet::new(["openid"]))),
                _ => fixture.registry.followers().changed(session.id),
            }
        }
        follows.review(T0, &mut answers);
        let left = all(answers).last().and_then(|verdict| verdict.narrowed.clone()).map(|left| left.scopes);
        assert_eq!(left, Some(vec!["openid".to_owned()]), "{order}");
    }
}

#[test]
fn every_follow_of_a_session_hears_of_its_end_and_no_other_does() {
    let fixture = Fixture::new();
    let mut streams = [Stream::open(&fixture), Stream::open(&fixture)];
    for stream in &mut streams {
        stream.describe(token(1, "s", T0), T0);
        stream.describe(token(2, "t", T0), T0);
        let follows = [follow(1, 1, PLAIN), follow(2, 1, BACKGROUND), follow(3, 2, PLAIN)];
        assert_eq!(stream.follow(&follows, T0), [(1, ACTIVE), (2, ACTIVE), (3, ACTIVE)]);
        // The follow outlives the handle.
        stream.changes(FilterMessage { forgotten: vec![1, 2], ..FilterMessage::default() }, T0);
    }
    fixture.registry.end(&fixture.registry.find(id("s")).unwrap(), revoked(T0), EndedBy::Admin);
    for stream in &mut streams {
        assert_eq!(stream.review(T0), [(1, Outcome::Revoked), (2, Outcome::Revoked)]);
        assert_eq!(stream.review(T0), []);
    }
    let metrics = fixture.metrics.text().unwrap();
    for line in ["cuts_total{outcome=\"revoked\"} 4", "follows_total 6", "follows_open 2"] {
        assert!(metrics.contains(&format!("portcullis_{line}")), "{line}: {metrics}");
    }
    drop(streams);
    assert!(fixture.metrics.text().unwrap().contains("portcullis_follows_open 0"));
}

#[test]
fn a_follow_that_is_taken_back_hears_nothing_and_its_id_is_free() {
    let fixture = Fixture::new();
    let mut stream = Stream::open(&fixture);
    stream.describe(token(1, "s", T0), T0);
    stream.follow(&[follow(1, 1, PLAIN), follow(2, 1, PLAIN)], T0);
    let unfollowed = FilterMessage { unfollowed: vec![1, 77], active: vec![1, 78], ..FilterMessage::default() };
    assert_eq!(stream.changes(unfollowed, T0), []);
    fixture.registry.end(&fixture.registry.find(id("s")).unwrap(), revoked(T0), EndedBy::Admin);
    assert_eq!(stream.review(T0), [(2, Outcome::Revoked)]);
    assert_eq!(stream.review(T0 + ABSOLUTE), []);
    assert_eq!(stream.follow(&[follow(1, 1, PLAIN), follow(2, 1, PLAIN)], T0).len(), 2);
    assert_eq!(stream.0.review_at_ms(), None, "nothing is open any more");
}

#[test]
fn a_follow_that_breaks_the_contract_closes_the_stream() {
    let rows = [("unknown handle", vec![follow(1, 9, PLAIN)]), ("unknown route", vec![follow(1, 1, 99)])];
    let twice = ("an id that is open", vec![follow(1, 1, PLAIN), follow(1, 1, BACKGROUND)]);
    for (name, follows) in rows.into_iter().chain([twice]) {
        let fixture = Fixture::new();
        let mut state = fresh(&fixture);
        let message = FilterMessage {
            hello: Some(hello()),
            tokens: vec![token(1, "s", T0)],
            follows,
            ..FilterMessage::default()
        };
        assert!(matches!(state.receive(message, T0), Err(Broken(_))), "{name}");
    }
}

#[test]
fn the_number_of_follows_is_bounded() {
    let fixture = Fixture::new();
    let mut follows = Follows::new(&fixture.registry, &fixture.metrics, &fixture.audit);
    let token = Arc::new(person("s", T0));
    for id in 0..u32::try_from(FOLLOWS_MAX).unwrap() {
        enter(&mut follows, id, &token).unwrap();
    }
    assert!(matches!(enter(&mut follows, u32::MAX, &token), Err(Broken(_))));
}

#[test]
fn limits_are_met_without_a_question_each_at_its_instant() {
    let fixture = Fixture::new();
    let mut stream = Stream::open(&fixture);
    stream.describe(token(1, "s", T0), T0);
    let follows = [follow(1, 1, PLAIN), follow(2, 1, YOUNG), follow(3, 1, BUSY), follow(4, 1, BACKGROUND)];
    assert_eq!(stream.follow(&follows, T0).len(), 4);
    for (after, outcome) in [
        (5 * MINUTE, vec![(3, Outcome::IdleTimeout)]),
        (15 * MINUTE, vec![(2, Outcome::StepUpRequired)]),
        (IDLE, vec![(1, Outcome::IdleTimeout), (4, Outcome::IdleTimeout)]),
    ] {
        assert_eq!(stream.0.review_at_ms(), Some(T0 + after));
        assert_eq!(stream.review(T0 + after - 1), []);
        assert_eq!(stream.review(T0 + after), outcome);
    }
    assert_eq!(stream.0.review_at_ms(), None);
    assert!(
        fixture.registry.find(id("s")).unwrap().ended().is_some(),
        "its own limit ends the session, not only the follow"
    );
}

#[test]
fn activity_moves_the_idle_limit_and_nothing_moves_the_lifetime() {
    let fixture = Fixture::new();
    let mut stream = Stream::open(&fixture);
    stream.describe(token(1, "s", T0), T0);
    stream.follow(&[follow(1, 1, PLAIN), follow(2, 1, BUSY), follow(3, 1, BACKGROUND)], T0);
    // A route's limits are of the session: activity on one follow is activity for all.
    let mut now_ms = T0;
    while now_ms + 4 * MINUTE < T0 + ABSOLUTE - 1 {
        now_ms += 4 * MINUTE;
        assert_eq!(stream.active(&[1], now_ms), []);
        assert_eq!(stream.review(now_ms), []);
    }
    assert_eq!(stream.review(T0 + ABSOLUTE - 1), []);
    assert_eq!(stream.active(&[1], T0 + ABSOLUTE).len(), 3);
    assert_eq!(fixture.registry.find(id("s")).unwrap().ended().map(|end| end.at_ms), Some(T0 + ABSOLUTE));
}

#[test]
fn only_bytes_on_a_route_that_is_not_background_are_activity() {
    let fixture = Fixture::new();
    let mut stream = Stream::open(&fixture);
    stream.describe(token(1, "s", T0), T0);
    let seen = || fixture.registry.find(id("s")).unwrap().last_seen_ms() - T0;
    stream.follow(&[follow(1, 1, PLAIN), follow(2, 1, BACKGROUND)], T0);
    stream.follow(&[follow(3, 1, PLAIN)], T0 + MINUTE);
    assert_eq!(seen(), 0, "a follow is no activity");
    stream.active(&[2], T0 + MINUTE);
    assert_eq!(seen(), 0, "background");
    stream.active(&[1], T0 + MINUTE);
    assert_eq!(seen(), MINUTE);
    // Bytes that come too late do not bring back what is over.
    let over = [(1, Outcome::IdleTimeout), (2, Outcome::IdleTimeout), (3, Outcome::IdleTimeout)];
    assert_eq!(stream.active(&[1], T0 + MINUTE + IDLE), over);
    assert_eq!(seen(), MINUTE);
}

#[test]
fn scopes_are_told_when_they_change_and_only_to_tokens_that_lose_or_regain_some() {
    let fixture = Fixture::new();
    let mut stream = Stream::open(&fixture);
    stream.describe(token(1, "s", T0), T0);
    stream.describe(portcullis_contract::wire::Token { scopes: vec!["openid".to_owned()], ..token(2, "s", T0) }, T0);
    stream.follow(&[follow(1, 1, PLAIN), follow(2, 2, PLAIN)], T0);
    let session = fixture.registry.find(id("s")).unwrap();
    let mut left = |scopes: &[&str]| {
        fixture.registry.narrow(&[narrowing(&session, Some(scopes))]);
        let followed = stream.0.review(T0).followed;
        followed
            .into_iter()
            .map(|v| (v.id, v.outcome(), v.narrowed.map(|left| left.scopes.join(" "))))
            .collect::<Vec<_>>()
    };
    assert_eq!(left(&["openid", "orders:read"]), [(1, ACTIVE, Some("openid orders:read".to_owned()))]);
    assert_eq!(left(&["openid", "orders:read"]), []);
    assert_eq!(left(&["openid", "orders:read", "orders:write"]), [(1, ACTIVE, None)]);
}

#[test]
fn a_revocation_is_sent_to_followed_sessions_and_to_tokens_of_sessions_that_live_on() {
    let fixture = Fixture::new();
    let mut stream = Stream::open(&fixture);
    let now_ms = T0 + HOUR;
    for (handle, key, issued) in [(1, "late", now_ms), (2, "late", T0), (3, "early", T0)] {
        stream.describe(token(handle, key, issued), now_ms);
        assert_eq!(stream.follow(&[follow(handle, handle, PLAIN)], now_ms), [(handle, ACTIVE)]);
    }
    let revocation = Revocation {
        issuer: "https://id".to_owned(),
        party: RevokedParty::Subject("alice".to_owned()),
        before_ms: T0 + 1,
        made_at_ms: now_ms,
        ends_at_ms: now_ms,
        reason: String::new(),
        by: MadeBy::default(),
    };
    fixture.registry.publish(&revocation, &mut Vec::new(), EndedBy::Revocation);
    assert_eq!(stream.review(now_ms), [(2, Outcome::Revoked), (3, Outcome::Revoked)]);
}

#[test]
fn a_block_is_sent_once_to_every_follow_of_its_party_and_a_new_follow_is_judged_anew() {
    let fixture = Fixture::new();
    let mut stream = Stream::open(&fixture);
    for (handle, key) in [(1, "s"), (2, "t")] {
        stream.describe(token(handle, key, T0), T0);
        assert_eq!(stream.follow(&[follow(handle, handle, PLAIN)], T0), [(handle, ACTIVE)]);
    }
    let mut bobs = token(3, "u", T0);
    bobs.subject = "bob".to_owned();
    stream.describe(bobs, T0);
    assert_eq!(stream.follow(&[follow(3, 3, PLAIN)], T0), [(3, ACTIVE)]);
    let until = T0 + 5;
    let block = Block {
        issuer: "https://id".to_owned(),
        party: BlockedParty::Subject("alice".to_owned()),
        until_ms: Some(until),
        made_at_ms: T0,
        reason: String::new(),
        transmitter: String::new(),
        email: None,
        by: MadeBy::default(),
    };
    fixture.registry.block(&block);
    assert_eq!(stream.review(T0), [(1, Outcome::Blocked), (2, Outcome::Blocked)]);
    assert_eq!(stream.review(T0), []);
    assert_eq!(stream.follow(&[follow(1, 1, PLAIN)], until - 1), [(1, Outcome::Blocked)]);
    assert_eq!(stream.follow(&[follow(1, 1, PLAIN)], until), [(1, ACTIVE)]);
}

#[test]
fn a_follow_is_of_one_session_and_not_of_the_one_that_comes_in_its_place() {
    let fixture = Fixture::new();
    let mut stream = Stream::open(&fixture);
    // Issued by a clock that is ahead: the token would open the session anew once it is over.
    stream.describe(machine(1, T0 + HOUR), T0);
    assert_eq!(stream.follow(&[follow(1, 1, PLAIN)], T0), [(1, ACTIVE)]);
    fixture.registry.end(&fixture.registry.find(robot()).unwrap(), revoked(T0), EndedBy::Admin);
    // Nor does it open that one.
    assert_eq!(stream.review(T0), [(1, Outcome::Revoked)]);
    assert!(fixture.registry.find(robot()).unwrap().ended().is_some());

    assert_eq!(stream.outcome(1, PLAIN, T0), ACTIVE);
    stream.describe(machine(2, T0 + HOUR), T0);
    assert_eq!(stream.follow(&[follow(1, 2, PLAIN)], T0), [(1, ACTIVE)]);
    fixture.registry.end(&fixture.registry.find(robot()).unwrap(), revoked(T0), EndedBy::Admin);
    let answers = stream.answers(1, PLAIN, T0);
    assert_eq!(answers.verdicts.iter().map(Verdict::outcome).collect::<Vec<_>>(), [ACTIVE]);
    assert_eq!(told(&all(answers)), [(1, Outcome::Revoked)]);
}

#[test]
fn a_follow_that_nothing_stands_behind_ends_at_once() {
    let fixture = Fixture::with(Enrolment::Explicit);
    let mut stream = Stream::open(&fixture);
    stream.describe(token(1, "s", T0), T0);
    assert_eq!(stream.follow(&[follow(1, 1, PLAIN)], T0), [(1, Outcome::UnknownSession)]);
    assert_eq!(stream.follow(&[follow(1, 1, PLAIN)], T0), [(1, Outcome::UnknownSession)], "the id is free again");
}

#[test]
fn a_follow_at_another_replica_opens_the_session_as_of_now() {
    let fixture = Fixture::new();
    let mut stream = Stream::open(&fixture);
    // Logged in long ago, and active ever since: elsewhere.
    stream.describe(token(1, "s", T0 - HOUR), T0);
    assert_eq!(stream.follow(&[follow(1, 1, PLAIN)], T0), [(1, ACTIVE)]);
    assert_eq!(stream.0.review_at_ms(), Some(T0 + IDLE));
    // Background traffic is no presence, and opens nothing that would be over at once.
    stream.describe(token(2, "t", T0 - HOUR), T0);
    assert_eq!(stream.follow(&[follow(2, 2, BACKGROUND)], T0), [(2, Outcome::UnknownSession)]);
}

#[test]
fn an_end_that_a_timer_finds_is_held_until_it_is_written() {
    let fixture = Fixture::new();
    let mut stream = Stream::open(&fixture);
    stream.describe(token(1, "s", T0), T0);
    stream.follow(&[follow(1, 1, PLAIN), follow(2, 1, PLAIN)], T0);
    let answers = stream.0.review(T0 + IDLE);
    assert_eq!((answers.followed.len(), answers.held.len()), (0, 2));
    assert!(answers.held.iter().all(|held| held.to == Destination::Follow && held.session.ended().is_some()));
}

#[test]
fn a_follow_that_waits_for_a_look_up_is_judged_once_and_keeps_its_activity() {
    for is_closed in [false, true] {
        let fixture = Fixture::new();
        let mut stream = Stream::open(&fixture);
        stream.describe(token(1, "s", T0), T0);
        let follows = FilterMessage { follows: vec![follow(1, 1, PLAIN)], ..FilterMessage::default() };
        let waits = stream.0.receive(follows, T0).unwrap();
        assert_eq!((waits.followed.len(), waits.look_ups.len()), (0, 1));
        // It opens on another stream, changes, and sees bytes here.
        let session = fixture.live(&person("s", T0), T0);
        fixture.registry.narrow(&[narrowing(&session, Some(&["openid"]))]);
        let active = FilterMessage { active: vec![1], ..FilterMessage::default() };
        assert_eq!(stream.0.receive(active, T0 + MINUTE).unwrap().followed, []);
        assert_eq!(stream.review(T0 + MINUTE), []);
        if is_closed {
            let unfollowed = FilterMessage { unfollowed: vec![1], ..FilterMessage::default() };
            assert_eq!(stream.0.receive(unfollowed, T0 + MINUTE).unwrap().followed, []);
        }
        let found = fixture.registry.look_up(&waits.look_ups[0]).unwrap();
        let answers = stream.0.looked_up(&[found], T0 + MINUTE);
        let left: Vec<_> = answers.followed.iter().map(|v| v.narrowed.clone().unwrap().scopes).collect();
        assert_eq!(left.len(), usize::from(!is_closed), "{left:?}");
        assert_eq!(session.last_seen_ms(), if is_closed { T0 } else { T0 + MINUTE });
    }
}
