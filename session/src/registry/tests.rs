//! Which session a token belongs to, what ends it, and that an end stays.

use super::*;
use crate::audit::EndedBy;
use crate::bound_token::{BoundToken, Required};
use crate::fixtures::{
    ABSOLUTE, Fixture, HOUR, IDLE, MINUTE, T0, audit, loaded_on, login, machine, narrowing, of_kind, person,
};
use crate::intern::ScopeSet;
use crate::judge::{Asked, End, Reason};
use crate::life::Write;
use crate::made_by::MadeBy;
use crate::revocations::{Revocation, RevokedParty};
use crate::store::{Record, Store};
use crate::token::Token;
use crate::writer::{Op, op};
use portcullis_contract::KeyKind;
use portcullis_contract::wire::Outcome;
use std::cmp::Reverse;
use std::sync::Arc;

fn revocation(party: RevokedParty, before_ms: u64) -> Revocation {
    Revocation {
        issuer: "https://id".to_owned(),
        party,
        before_ms,
        made_at_ms: before_ms,
        ends_at_ms: before_ms,
        reason: String::new(),
        by: MadeBy::default(),
    }
}

fn outcome_of(reason: Reason) -> Outcome {
    match reason {
        Reason::IdleTimeout => Outcome::IdleTimeout,
        Reason::LifetimeExceeded => Outcome::LifetimeExceeded,
        Reason::Revoked => Outcome::Revoked,
    }
}

fn counter(fixture: &Fixture, line: &str) -> bool {
    let text = fixture.metrics.text().unwrap();
    text.lines().any(|l| l == line)
}

#[test]
fn the_first_use_opens_a_session_that_later_tokens_join() {
    let fixture = Fixture::new();
    let session = fixture.live(&person("s", T0 - HOUR), T0);
    assert_eq!(session.opened_at_ms, T0 - HOUR);
    assert_eq!(session.last_seen_ms(), T0);
    let refreshed = fixture.live(&person("s", T0), T0 + 1);
    assert!(Arc::ptr_eq(&session, &refreshed));
    assert_eq!(session.last_seen_ms(), T0, "binding is not activity");
}

#[test]
fn a_background_question_opens_a_session_but_is_not_presence() {
    let fixture = Fixture::new();
    let token = person("s", T0 - 10 * MINUTE);
    let Binding::Session(session) = fixture.bind_as(&token, FirstUse::Opens, T0) else { panic!("not live") };
    assert_eq!(session.last_seen_ms(), T0 - 10 * MINUTE);
}

#[test]
fn a_background_question_that_comes_first_does_not_end_a_session_that_was_not_seen_alive() {
    let fixture = Fixture::new();
    let token = person("s", T0 - HOUR);
    assert!(matches!(fixture.bind_as(&token, FirstUse::Opens, T0), Binding::Absent));
    assert!(fixture.registry.find(token.id).is_none());
    // Of the same token on the same stream, what comes next is judged anew.
    let mut bound = BoundToken::new(Arc::new(token.clone()));
    let mut ask = |background: bool| {
        let mut found = None;
        if bound.is_outdated(&fixture.registry, !background, T0) {
            while let Err(look_up) = bound.bind(&fixture.registry, !background, found.as_ref(), T0) {
                found = Some(fixture.registry.look_up(&look_up).unwrap());
            }
        }
        let asked = Asked { background, ..Asked::default() };
        bound.answer(&fixture.registry, asked, Required::default(), T0).verdict.outcome()
    };
    let outcomes = [ask(true), ask(true), ask(false), ask(true)];
    use Outcome::{Active, UnknownSession};
    assert_eq!(outcomes, [UnknownSession, UnknownSession, Active, Active]);
}

#[test]
fn a_token_that_no_access_type_matches_is_refused() {
    let fixture = Fixture::new();
    let token = Token { scopes: ScopeSet::new(["other"]), ..person("s", T0) };
    assert_eq!(fixture.outcome(&token, T0), Outcome::UnknownSession);
    assert!(fixture.registry.find(token.id).is_none());
}

#[test]
fn explicit_enrolment_refuses_what_it_does_not_know() {
    let fixture = Fixture::with(Enrolment::Explicit);
    for token in [person("s", T0), machine(T0)] {
        assert_eq!(fixture.outcome(&token, T0), Outcome::UnknownSession);
    }
}

#[test]
fn an_ended_session_of_a_claim_never_comes_back_by_a_later_token() {
    let ends = [(Reason::Revoked, T0 + 1), (Reason::IdleTimeout, T0 + IDLE), (Reason::LifetimeExceeded, T0 + ABSOLUTE)];
    for (reason, at_ms) in ends {
        let mut fixture = Fixture::new();
        let session = fixture.live(&person("s", T0), T0);
        match reason {
            Reason::Revoked => assert!(fixture.registry.end(&session, revoked(at_ms), EndedBy::Admin)),
            Reason::IdleTimeout => {}
            Reason::LifetimeExceeded => session.touch(at_ms - 1),
        }
        drop(session);
        let later = at_ms + 100 * HOUR;
        for _ in 0..3 {
            for issued in [T0, at_ms, at_ms + 1, later] {
                assert_eq!(fixture.outcome(&person("s", issued), later), outcome_of(reason), "{issued}");
            }
            let end = fixture.registry.read(person("s", 0).id, later).unwrap().unwrap().ended;
            assert_eq!(end, Some(End { reason, at_ms }));
            // First from memory, then from the tombstone, then after a crash.
            fixture.flush();
            assert!(fixture.registry.find(person("s", 0).id).is_none(), "ended sessions leave memory");
            fixture = fixture.crash();
        }
    }
}

#[test]
fn a_machine_clients_session_comes_back_only_for_a_token_issued_after_the_end() {
    for is_flushed in [false, true] {
        let mut fixture = Fixture::new();
        let first = fixture.live(&machine(T0), T0);
        let end_ms = T0 + HOUR;
        fixture.registry.end(&first, revoked(end_ms), EndedBy::Admin);
        drop(first);
        if is_flushed {
            fixture.flush();
            fixture = fixture.crash();
        }
        let now = end_ms + HOUR;
        for issued in [T0, end_ms - 1, end_ms] {
            assert_eq!(fixture.outcome(&machine(issued), now), Outcome::Revoked, "{issued}");
        }
        let second = fixture.live(&machine(end_ms + 1), now);
        assert_eq!(second.opened_at_ms, end_ms + 1);
        assert_eq!(second.returned, Some(revoked(end_ms)));
        drop(second);
        for _ in 0..2 {
            assert_eq!(fixture.outcome(&machine(end_ms), now), Outcome::Revoked, "an old token stays refused");
            fixture.live(&machine(end_ms + 2), now);
            fixture.flush();
            fixture = fixture.crash();
        }
    }
}

#[test]
fn a_session_claim_that_is_a_machine_clients_name_is_another_session() {
    let fixture = Fixture::new();
    let session = fixture.live(&machine(T0), T0);
    fixture.registry.end(&session, revoked(T0), EndedBy::Admin);
    let claim = of_kind(KeyKind::Claim, Token { scopes: ScopeSet::new(["openid"]), ..machine(T0) });
    assert_eq!(fixture.outcome(&claim, T0), Outcome::Active);
    assert_eq!(fixture.outcome(&machine(T0), T0), Outcome::Revoked);
}

#[test]
fn two_clients_under_one_sid_have_a_session_each_with_its_own_scopes_and_limits() {
    let fixture = Fixture::new();
    let web = login("s", T0);
    let cli = Token { client: "cli".into(), scopes: ScopeSet::new(["openid", "admin"]), ..web.clone() };
    let cli = of_kind(KeyKind::Claim, cli);
    let (of_web, of_cli) = (fixture.live(&web, T0), fixture.live(&cli, T0));
    assert_ne!(of_web.id, of_cli.id);
    assert_eq!([&web, &cli].map(|token| fixture.outcome(token, T0)), [Outcome::Active; 2]);
    fixture.registry.touch(&of_cli, T0 + IDLE - 1);
    let outcomes = [&web, &cli].map(|token| fixture.outcome(token, T0 + IDLE));
    assert_eq!(outcomes, [Outcome::IdleTimeout, Outcome::Active], "activity of one is none of the other");
}

#[test]
fn after_a_limit_a_later_login_opens_the_session_anew_and_a_later_token_does_not() {
    for is_flushed in [false, true] {
        let mut fixture = Fixture::new();
        drop(fixture.live(&login("s", T0), T0));
        // A refreshed token of the same login.
        let refreshed = |at_ms| Token { issued_at_ms: at_ms, ..login("s", T0) };
        assert_eq!(fixture.outcome(&refreshed(T0 + 1), T0 + 1), Outcome::Active);
        let now = T0 + IDLE + HOUR;
        assert_eq!(fixture.outcome(&refreshed(now), now), Outcome::IdleTimeout);
        if is_flushed {
            fixture.flush();
            fixture = fixture.crash();
        }
        assert_eq!(fixture.outcome(&refreshed(now), now), Outcome::IdleTimeout);
        // It was made while the session was alive, and is first shown here now.
        let second = login("s", T0 + MINUTE);
        assert_eq!(fixture.outcome(&second, now), Outcome::Active);
        assert_eq!(fixture.outcome(&refreshed(now), now), Outcome::IdleTimeout, "the first login stays over");
        fixture.flush();
        fixture = fixture.crash();
        assert_eq!(fixture.outcome(&second, now), Outcome::Active);
        assert_eq!(fixture.outcome(&refreshed(now), now), Outcome::IdleTimeout);
    }
}

#[test]
fn after_a_revocation_only_a_login_later_than_it_opens_the_session_anew() {
    let fixture = Fixture::new();
    let session = fixture.live(&login("s", T0), T0);
    let end = revoked(T0 + MINUTE);
    fixture.registry.end(&session, end, EndedBy::Admin);
    let now = T0 + HOUR;
    for at_ms in [T0, T0 + 1, T0 + MINUTE] {
        assert_eq!(fixture.outcome(&login("s", at_ms), now), Outcome::Revoked);
    }
    let refreshed = Token { issued_at_ms: now, ..login("s", T0) };
    assert_eq!(fixture.outcome(&refreshed, now), Outcome::Revoked);
    assert_eq!(fixture.outcome(&login("s", T0 + MINUTE + 1), now), Outcome::Active);
    assert_eq!(fixture.outcome(&refreshed, now), Outcome::Revoked);
}

#[test]
fn a_later_login_is_activity_and_the_lifetime_and_max_age_run_from_it() {
    let fixture = Fixture::new();
    let session = fixture.live(&login("s", T0), T0);
    let at_ms = T0 + IDLE - 1;
    assert_eq!(fixture.outcome(&login("s", at_ms), at_ms), Outcome::Active);
    assert_eq!((session.login_at_ms(), session.last_seen_ms()), (at_ms, at_ms));
    assert_eq!(session.record().marks.login_at_ms, at_ms);
    let step_up = |now_ms| {
        let mut bound = BoundToken::new(Arc::new(login("s", T0)));
        bound.bind(&fixture.registry, true, None, now_ms).unwrap();
        let asked = Asked { max_age_ms: Some(MINUTE), background: true, ..Asked::default() };
        bound.answer(&fixture.registry, asked, Required::default(), now_ms).verdict.outcome()
    };
    assert_eq!(step_up(at_ms + MINUTE - 1), Outcome::Active);
    assert_eq!(step_up(at_ms + MINUTE), Outcome::StepUpRequired);
    // What is refused moves nothing.
    let more = Token { scopes: ScopeSet::new(["openid", "admin"]), ..login("s", at_ms + MINUTE) };
    assert_eq!(fixture.outcome(&more, at_ms + MINUTE), Outcome::ScopeEscalation);
    assert_eq!(session.login_at_ms(), at_ms);
    drop(session);
    fixture.flush();
    let fixture = fixture.crash();
    assert_eq!(fixture.registry.find(login("s", 0).id).unwrap().login_at_ms(), at_ms);
}

#[test]
fn an_issuers_clock_that_is_ahead_gives_no_longer_life_and_no_second_one() {
    let fixture = Fixture::new();
    let token = Token { authenticated_ms: Some(T0 + 20_000), issued_at_ms: T0 + 20_000, ..login("s", T0) };
    drop(fixture.live(&token, T0));
    let now = T0 + IDLE + HOUR;
    // The same token, read again later.
    let again = Token { start_ms: T0 + 20_000, ..token.clone() };
    assert_eq!(fixture.outcome(&again, now), Outcome::IdleTimeout);
    assert_eq!(fixture.outcome(&again, now), Outcome::IdleTimeout);
    assert_eq!(fixture.registry.read(token.id, now).unwrap().unwrap().marks.login_at_ms, T0);
}

#[test]
fn a_revocation_ends_what_it_covers_and_refuses_what_is_not_yet_seen_for_ever() {
    let fixture = Fixture::new();
    let now = T0 + HOUR;
    let [old, new] = ["old", "new"].map(|key| fixture.live(&person(key, if key == "old" { T0 } else { now }), now));
    let other = fixture.live(&machine(T0), now);
    let everything = revocation(RevokedParty::Subject("alice".to_owned()), now);
    let ended = fixture.registry.publish(&everything, &mut Vec::new(), EndedBy::Revocation);
    assert_eq!(ended, 1);
    assert_eq!(old.ended(), Some(revoked(now)));
    assert!(new.ended().is_none() && other.ended().is_none());
    for (token, refused) in [
        (person("unseen", now - 1), true),
        (person("unseen", now), false),
        // An old token of a session that goes on.
        (person("new", now - 1), true),
        (Token { subject: "bob".into(), ..person("bobs", T0) }, false),
    ] {
        assert_eq!(fixture.outcome(&token, now + HOUR) != Outcome::Active, refused, "{token:?}");
    }
}

#[test]
fn a_revocation_and_a_first_use_at_once_never_leave_a_session_alive() {
    let fixture = Fixture::new();
    for round in 0..2000 {
        let token = Token { subject: format!("u{round}").into(), ..person(&format!("s{round}"), T0) };
        let revocation = revocation(RevokedParty::Subject(format!("u{round}")), T0 + 1);
        let barrier = std::sync::Barrier::new(2);
        std::thread::scope(|threads| {
            threads.spawn(|| {
                barrier.wait();
                drop(fixture.bind_as(&token, FirstUse::Touches, T0));
            });
            barrier.wait();
            fixture.registry.publish(&revocation, &mut Vec::new(), EndedBy::Revocation);
        });
        let survivor = fixture.registry.find(token.id).filter(|session| session.ended().is_none());
        assert!(survivor.is_none(), "round {round}");
        assert_eq!(fixture.outcome(&token, T0), Outcome::Revoked);
    }
}

#[test]
fn a_revocation_holds_for_stored_sessions_after_a_crash_as_of_when_it_was_made() {
    let fixture = Fixture::new();
    fixture.live(&person("s", T0), T0);
    fixture.flush();
    let made = revocation(RevokedParty::Everyone, T0 + 5);
    fixture.store.apply(&[crate::store::Change::Revocation(made)]).unwrap();
    let fixture = fixture.crash();
    let session = fixture.registry.find(person("s", 0).id).unwrap();
    assert_eq!(session.ended(), Some(revoked(T0 + 5)));
}

#[test]
fn the_cleaner_ends_sessions_without_questions_once_and_as_of_its_limit() {
    let fixture = Fixture::new();
    let session = fixture.live(&person("s", T0), T0);
    let clean = |now| (0..SHARDS).for_each(|shard| fixture.registry.clean(shard, now));
    clean(T0 + IDLE - 1);
    assert_eq!(session.ended(), None);
    clean(T0 + IDLE + HOUR);
    clean(T0 + IDLE + 2 * HOUR);
    let end = End { reason: Reason::IdleTimeout, at_ms: T0 + IDLE };
    assert_eq!(session.ended(), Some(end));
    assert!(counter(&fixture, "portcullis_sessions_ended_total{reason=\"idle_timeout\"} 1"));
    assert!(counter(&fixture, "portcullis_sessions_live 0"));
}

#[test]
fn a_lost_enrolment_happens_again_and_last_activity_is_only_ever_older() {
    let fixture = Fixture::new();
    fixture.live(&person("lost", T0), T0);
    let fixture = fixture.crash();
    assert!(fixture.registry.find(person("lost", 0).id).is_none());
    let session = fixture.live(&person("lost", T0), T0 + 5);
    assert_eq!(session.opened_at_ms, T0);
    fixture.registry.touch(&session, T0 + 10);
    drop(session);
    fixture.flush();
    let session = fixture.registry.find(person("lost", 0).id).unwrap();
    fixture.registry.touch(&session, T0 + 20);
    drop(session);
    let fixture = fixture.crash();
    let session = fixture.registry.find(person("lost", 0).id).unwrap();
    assert_eq!(session.last_seen_ms(), T0 + 10);
}

#[test]
fn pages_show_every_session_once_wherever_it_is() {
    let fixture = Fixture::new();
    for n in 0..30 {
        // In pairs that opened at the same instant.
        let opened_at = T0 - n / 2;
        let session = fixture.live(&person(&format!("s{n}"), opened_at), T0);
        if n % 3 == 0 {
            fixture.registry.end(&session, revoked(T0), EndedBy::Admin);
        }
        if n == 20 {
            fixture.flush();
        }
    }
    let all = |order, active, limit| {
        let filter = Filter { active, ..Filter::default() };
        let (mut ids, mut after) = (Vec::new(), None);
        loop {
            let page = fixture.registry.page(&filter, order, after, limit, T0).unwrap();
            assert!(page.sessions.len() <= limit);
            ids.extend(page.sessions.iter().map(|record| (Reverse(record.opened_at_ms), record.id())));
            match page.next {
                None => return ids,
                next => after = next,
            }
        }
    };
    for limit in [1, 7, 10, 30, 1000] {
        for order in [Order::Id, Order::Newest] {
            let places = all(order, None, limit);
            assert_eq!(places.len(), 30, "{order:?} {limit}");
            match order {
                Order::Id => assert!(places.is_sorted_by_key(|(_, id)| *id)),
                Order::Newest => assert!(places.is_sorted()),
            }
            assert_eq!(all(order, Some(true), limit).len(), 20, "{order:?} {limit}");
            assert_eq!(all(order, Some(false), limit).len(), 10, "{order:?} {limit}");
        }
    }
    for (_, id) in all(Order::Id, None, 30) {
        for digits in [8, 32] {
            let ids = Ids::beginning_with(id.to_string().get(..digits).unwrap()).unwrap();
            let filter = Filter { ids, ..Filter::default() };
            for order in [Order::Id, Order::Newest] {
                let page = fixture.registry.page(&filter, order, None, 10, T0).unwrap();
                assert_eq!(page.sessions.iter().map(Record::id).collect::<Vec<_>>(), [id], "{digits}");
            }
        }
    }
}

#[test]
fn a_page_in_the_order_of_ids_reads_few_ended_sessions_and_the_next_one_goes_on() {
    let fixture = Fixture::new();
    for n in 0..60 {
        let (name, subject) = (format!("s{n}"), if n % 20 == 0 { "bob" } else { "alice" });
        let session = fixture.live(&Token { subject: subject.into(), ..person(&name, T0) }, T0);
        if n % 3 != 0 {
            fixture.registry.end(&session, revoked(T0), EndedBy::Admin);
        }
    }
    fixture.flush();
    for (subject, count) in [("alice", 57), ("bob", 3), ("nobody", 0)] {
        for (read_max, limit) in [(1, 10), (7, 1), (7, 5), (7, 100), (40, 100), (41, 100)] {
            let filter = Filter { subject: Some(subject.to_owned()), ..Filter::default() };
            let (mut ids, mut after, mut pages) = (Vec::new(), None, 0);
            loop {
                let page = fixture.registry.page_within(read_max, &filter, Order::Id, after, limit, T0).unwrap();
                assert!(page.sessions.len() <= limit);
                ids.extend(page.sessions.iter().map(Record::id));
                pages += 1;
                match page.next {
                    None => break,
                    next => {
                        assert!(next > after, "it would never end");
                        after = next;
                    }
                }
            }
            assert_eq!(ids.len(), count, "{subject} {read_max} {limit}");
            assert!(ids.is_sorted() && pages >= 40 / read_max, "{subject} {read_max} {limit}: {pages}");
        }
    }
}

#[test]
fn a_party_that_is_not_among_the_first_ended_sessions_may_have_been_seen() {
    let fixture = Fixture::new();
    for name in ["a", "b", "c"] {
        fixture.registry.end(&fixture.live(&person(name, T0), T0), revoked(T0), EndedBy::Admin);
    }
    fixture.flush();
    let seen = |max, subject: &str| fixture.registry.has_seen_within(max, |bearer| bearer.subject == subject).unwrap();
    assert_eq!([seen(4, "alice"), seen(4, "bob"), seen(3, "bob")], [Some(true), Some(false), None]);
    fixture.live(&Token { subject: "bob".into(), ..person("d", T0) }, T0);
    assert_eq!(seen(1, "bob"), Some(true), "live ones are all looked at");
}

#[test]
fn forgetting_an_ended_session_leaves_the_one_that_came_in_its_place() {
    let fixture = Fixture::new();
    let old = fixture.live(&machine(T0), T0);
    fixture.registry.end(&old, revoked(T0), EndedBy::Admin);
    let new = fixture.live(&machine(T0 + 1), T0 + 1);
    fixture.registry.written(&old, Write::Tombstone(revoked(T0)));
    let held = fixture.registry.find(new.id).unwrap();
    assert!(Arc::ptr_eq(&held, &new));
}

#[test]
fn a_token_of_another_subject_does_not_join_a_session_nor_move_it() {
    let fixture = Fixture::new();
    let session = fixture.live(&login("s", T0), T0);
    let other = Token { subject: "bob".into(), ..login("s", T0 + MINUTE) };
    assert_eq!(fixture.outcome(&other, T0 + MINUTE), Outcome::UnknownSession);
    assert_eq!((session.ended(), session.login_at_ms()), (None, T0));
    assert_eq!(fixture.outcome(&login("s", T0), T0 + MINUTE), Outcome::Active);
}

#[test]
fn a_sid_is_revoked_for_every_client_seen_or_not_and_only_a_later_login_comes_back() {
    for is_flushed in [false, true] {
        let mut fixture = Fixture::new();
        let of_client = |client: &str, token: Token| of_kind(KeyKind::Claim, Token { client: client.into(), ..token });
        fixture.live(&of_client("web", person("s", T0)), T0);
        let party = RevokedParty::Sid("s".to_owned());
        let instant = fixture.registry.instant_of("https://id", &party, T0 + MINUTE);
        let made = Revocation { before_ms: instant, ..revocation(party, instant) };
        let (op, _answer) = op(|reply| Op::Revocation(made.clone(), reply));
        fixture.commit().make_all(vec![op]);
        if is_flushed {
            fixture.flush();
            fixture = fixture.crash();
        }
        let now = instant + HOUR;
        for client in ["web", "cli"] {
            // Refreshed after the revocation, by the login from before it or by one that it does not name.
            for token in [person("s", now), Token { issued_at_ms: now, ..login("s", T0) }] {
                assert_eq!(fixture.outcome(&of_client(client, token), now), Outcome::Revoked, "{client} {is_flushed}");
            }
            assert_eq!(fixture.outcome(&of_client(client, login("s", now)), now), Outcome::Active, "{client}");
        }
        assert_eq!(fixture.outcome(&person("t", T0), now), Outcome::Active);
    }
}

#[test]
fn a_narrowing_holds_for_the_next_session_of_its_party_too_until_it_is_lifted() {
    let mut fixture = Fixture::new();
    let session = fixture.live(&login("s", T0), T0);
    let left = |fixture: &Fixture, token: &Token| fixture.live(token, T0).scopes().1.now.to_vec();
    let narrowed = narrowing(&session, Some(&["openid"]));
    let (change, _answer) = op(|reply| Op::Narrow(narrowed, reply));
    fixture.commit().make_all(vec![change]);
    assert_eq!(session.scopes().1.now.to_vec(), ["openid"]);
    drop(session);
    for crashes in [false, true] {
        if crashes {
            fixture.flush();
            fixture = fixture.crash();
        }
        let key = format!("after {crashes}");
        assert_eq!(left(&fixture, &login("s", T0)), ["openid"]);
        assert_eq!(left(&fixture, &login(&key, T0)), ["openid"]);
        let other = of_kind(KeyKind::Claim, Token { client: "cli".into(), ..login(&key, T0) });
        assert_eq!(left(&fixture, &other).len(), 3, "another client is another party");
    }
    let lifted = narrowing(&fixture.live(&login("s", T0), T0), None);
    let (change, _answer) = op(|reply| Op::Narrow(lifted, reply));
    fixture.commit().make_all(vec![change]);
    fixture.flush();
    let fixture = fixture.crash();
    assert_eq!(left(&fixture, &login("s", T0)).len(), 3);
    assert_eq!(left(&fixture, &login("later", T0)).len(), 3);
}

#[test]
fn a_session_grows_by_what_its_access_type_allows_and_a_narrowing_stays() {
    let with = |token: Token, scopes: &[&str]| Token { scopes: ScopeSet::new(scopes), ..token };
    let mut fixture = Fixture::new();
    let robot = with(machine(T0), &["a"]);
    let session = fixture.live(&robot, T0);
    let person_token = login("s", T0);
    fixture.live(&person_token, T0);
    assert_eq!(fixture.outcome(&with(machine(T0), &["b"]), T0), Outcome::Active, "one scope a token");
    assert_eq!(session.granted().to_vec(), ["a", "b"]);
    assert_eq!(fixture.outcome(&with(person_token, &["openid", "more"]), T0), Outcome::ScopeEscalation);
    fixture.registry.narrow(&[narrowing(&session, Some(&["a"]))]);
    assert_eq!(fixture.outcome(&with(machine(T0), &["c"]), T0), Outcome::Active);
    assert_eq!(session.scopes().1.now.to_vec(), ["a"], "what is left to the party does not grow");
    drop(session);
    fixture.flush();
    fixture = fixture.crash();
    assert_eq!(fixture.live(&robot, T0).granted().to_vec(), ["a", "b", "c"]);
}

#[test]
fn growth_is_by_kind_or_as_its_access_type_says() {
    use crate::access::Growth;
    let listed = Growth::Listed(ScopeSet::new(["a", "b"]));
    let rows: [(&Growth, KeyKind, &[&str], bool); 7] = [
        (&Growth::ByKind, KeyKind::Machine, &["x"], true),
        (&Growth::ByKind, KeyKind::Claim, &["x"], false),
        (&Growth::ByKind, KeyKind::LoginUndated, &["x"], false),
        (&Growth::Refuse, KeyKind::Machine, &["x"], false),
        (&Growth::Allow, KeyKind::Login, &["x"], true),
        (&listed, KeyKind::Login, &["a", "b"], true),
        (&listed, KeyKind::Machine, &["a", "x"], false),
    ];
    for (growth, kind, beyond, expected) in rows {
        assert_eq!(growth.allows(kind, beyond.iter().copied()), expected, "{growth:?} {kind:?} {beyond:?}");
    }
}

/// A registry that refuses undated logins, or opens them again.
fn with_undated(undated_logins: UndatedLogins) -> (Arc<Registry>, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let store = Arc::new(crate::store::embedded::Embedded::open(folder.path()).unwrap());
    let (audit, metrics) = audit();
    (loaded_on(undated_logins, store, Enrolment::FirstUse, &audit, &metrics), folder)
}

fn undated(issued_at_ms: u64) -> Token {
    of_kind(KeyKind::LoginUndated, person("digest", issued_at_ms))
}

fn outcome_in(registry: &Registry, token: &Token, now_ms: u64) -> Outcome {
    let (mut bound, mut found) = (BoundToken::new(Arc::new(token.clone())), None);
    while let Err(look_up) = bound.bind(registry, true, found.as_ref(), now_ms) {
        found = Some(registry.look_up(&look_up).unwrap());
    }
    bound.answer(registry, Asked::default(), Required::default(), now_ms).verdict.outcome()
}

#[test]
fn an_undated_login_is_refused_and_opens_nothing_unless_the_configuration_says_so() {
    let (registry, _folder) = with_undated(UndatedLogins::Refuse);
    assert_eq!(outcome_in(&registry, &undated(T0), T0), Outcome::Undated);
    assert!(registry.find(undated(T0).id).is_none());
    assert_eq!(outcome_in(&registry, &person("s", T0), T0), Outcome::Active);
    let dated = of_kind(KeyKind::Login, login("digest", T0));
    assert_eq!(outcome_in(&registry, &dated, T0), Outcome::Active);
    assert_eq!(outcome_in(&registry, &machine(T0), T0), Outcome::Active);
}

#[test]
fn an_undated_login_comes_back_after_a_limit_and_after_a_revocation_only_when_its_time_has_passed() {
    let wait = 24 * HOUR;
    let reopen = UndatedLogins::Reopen { revoked_for_ms: wait };
    let (registry, _folder) = with_undated(reopen);
    assert_eq!(outcome_in(&registry, &undated(T0), T0), Outcome::Active);
    let idle_end = T0 + IDLE;
    assert_eq!(outcome_in(&registry, &undated(T0), idle_end), Outcome::IdleTimeout);
    assert_eq!(outcome_in(&registry, &undated(idle_end + 1), idle_end + 1), Outcome::Active);

    let session = registry.find(undated(T0).id).unwrap();
    let end = registry.revoked_now("https://id", session.marks().newest_ms(), idle_end + 2);
    registry.end(&session, end, EndedBy::Admin);
    for issued in [end.at_ms + 1, end.at_ms + HOUR, end.at_ms + wait] {
        assert_eq!(outcome_in(&registry, &undated(issued), issued), Outcome::Revoked, "refreshed after {issued}");
    }
    let after = end.at_ms + wait + 1;
    assert_eq!(outcome_in(&registry, &undated(after), after), Outcome::Active);
    assert_eq!(outcome_in(&registry, &undated(after - 1), after), Outcome::Revoked, "an older token stays out");
}

#[test]
fn a_revocation_of_a_party_holds_for_undated_logins_as_long_as_one_of_a_session() {
    let wait = 24 * HOUR;
    let (registry, _folder) = with_undated(UndatedLogins::Reopen { revoked_for_ms: wait });
    let made = revocation(RevokedParty::Subject("alice".to_owned()), T0 + 1);
    assert_eq!(outcome_in(&registry, &undated(T0), T0), Outcome::Active);
    assert_eq!(registry.publish(&made, &mut Vec::new(), EndedBy::Revocation), 1);
    for issued in [T0, T0 + HOUR, T0 + wait] {
        assert_eq!(outcome_in(&registry, &undated(issued), issued), Outcome::Revoked, "{issued}");
    }
    let after = T0 + wait + 2;
    assert_eq!(outcome_in(&registry, &undated(after), after), Outcome::Active);
}
