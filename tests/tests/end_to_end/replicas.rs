//! Replicas of the session service that share a PostgreSQL server of their own.

mod approvals;
mod usage;

use portcullis_tests::{
    FRESH, Kind, Link, Load, Postgres, Testbed, Transmitter, busy, local, policy, quiet, shared_store, until,
};
use serde_json::{Value, json};
use std::{
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

const ISSUER: &str = "http://127.0.0.1:9000";
const REPLICAS: usize = 3;
const CONNECTIONS: usize = 16;

async fn start(postgres: &Postgres) -> Testbed {
    start_with(policy::streams(), shared_store(&postgres.url())).await
}

/// Replicas with these keys in session.yaml.
async fn start_with(mut policy: Value, keys: Value) -> Testbed {
    policy["session"]["timeout"] = json!("1s");
    let testbed = Testbed::builder().policy(policy).replicas(REPLICAS, keys).start().await;
    testbed.ready().await;
    testbed
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL: run by `make test-faults`"]
async fn a_change_that_any_replica_has_answered_holds_at_every_worker_whichever_replica_it_asks() {
    let postgres = Postgres::start().await;
    let testbed = start(&postgres).await;
    let replicas: Vec<_> = testbed.replicas().collect();
    for number in 0..4 * REPLICAS {
        let replica = replicas[number % REPLICAS];
        let token = testbed.issuer.token().subject(&format!("person-{number}")).sign();
        assert_eq!(testbed.statuses(&token).await, [200; FRESH], "all judge by the session that one has opened");
        let mut stream = testbed.open(Kind::QuietHttp1, &token).await;
        match number % 4 {
            0 => replica.admin().revoke(&token.session).await,
            1 => replica.admin().revoke_all(&json!({"issuer": ISSUER, "subject": format!("person-{number}")})).await,
            2 => {
                let block = json!({"issuer": ISSUER, "subject": format!("person-{number}")});
                replica.admin().call("POST", "/v1/blocks").json(&block).await.status(200);
            }
            _ => {
                // A narrowing below what the stream's route requires.
                replica.admin().narrow(&token.session, &[]).await;
                let shown = replicas[(number + 1) % REPLICAS].admin().session(&token.session).await;
                assert_eq!(shown["scopes"], json!([]));
                continue;
            }
        }
        let refusal = if number % 4 == 2 { 403 } else { 401 };
        assert_eq!(testbed.statuses(&token).await, [refusal; FRESH]);
        stream.is_cut().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL: run by `make test-faults`"]
async fn first_uses_at_several_replicas_at_once_come_to_one_session_with_one_grant() {
    let postgres = Postgres::start().await;
    let testbed = start(&postgres).await;
    for number in 0..20 {
        let subject = format!("person-{number}");
        let person = testbed.issuer.token().subject(&subject).claim("sid", json!(format!("login-{number}")));
        let asked = testbed.replicas().enumerate().map(|(at, replica)| {
            let token =
                person.clone().scopes(if at == 0 { "orders:read orders:write" } else { "orders:read admin" }).sign();
            let call = replica.client().call("POST", "/oauth2/introspect").fresh();
            let call = call.bearer(testbed.filter_credential());
            let call = call.header("content-type", "application/x-www-form-urlencoded");
            async move { call.body(format!("portcullis_verified=true&portcullis=1&token={}", token.text)).await.json() }
        });
        let answers = futures_util::future::join_all(asked).await;
        let active: Vec<_> = answers.iter().filter(|answer| answer["active"] == true).collect();
        let escalations = answers.iter().filter(|answer| answer["portcullis_code"] == "scope_escalation").count();
        assert_eq!(active.len() + escalations, REPLICAS, "{answers:?}");
        assert!((1..REPLICAS).contains(&active.len()), "one grant: {answers:?}");
        for replica in testbed.replicas() {
            assert_eq!(replica.admin().sessions(&format!("subject={subject}")).await.len(), 1);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL: run by `make test-faults`"]
async fn a_replica_that_is_stopped_under_load_costs_no_request() {
    let _busy = busy().await;
    let postgres = Postgres::start().await;
    let testbed = start(&postgres).await;
    let load = Arc::new(Load::default());
    let round = load.begin(testbed.issuer.token().sign());
    let drivers: Vec<_> =
        (0..CONNECTIONS).map(|offset| tokio::spawn(load.clone().drive(testbed.client(), offset))).collect();
    for replica in testbed.replicas() {
        let before = round.passes.load(Ordering::Relaxed);
        assert!(replica.terminate().await.success());
        until("requests pass", async || (round.passes.load(Ordering::Relaxed) > before + 500).then_some(())).await;
        replica.restart().await;
        let before = round.passes.load(Ordering::Relaxed);
        until("requests pass", async || (round.passes.load(Ordering::Relaxed) > before + 500).then_some(())).await;
    }
    load.over.store(true, Ordering::Relaxed);
    for driver in drivers {
        driver.await.expect("a connection ends well");
    }
    assert_eq!(*load.strange.lock().expect("not poisoned"), Vec::<String>::new());
    assert_eq!(load.unavailable.load(Ordering::Relaxed), 0, "requests without a verdict");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL: run by `make test-faults`"]
async fn a_signal_that_one_replica_has_acknowledged_holds_at_every_worker() {
    let postgres = Postgres::start().await;
    let transmitter = Transmitter::default();
    let builder = Testbed::builder().policy(policy::streams()).session(transmitter.configure());
    let testbed = builder.replicas(REPLICAS, shared_store(&postgres.url())).start().await;
    testbed.ready().await;
    for number in 0..2 * REPLICAS {
        let (sid, subject) = (format!("login-{number}"), format!("person-{number}"));
        let token = testbed.issuer.token().session(&sid).subject(&subject).sign();
        assert_eq!(testbed.statuses(&token).await, [200; FRESH]);
        let (answer, acknowledged, refusal) = match number % 3 {
            0 => (transmitter.session_revoked(&sid).await, 202, 401),
            1 => (transmitter.logout(&sid).await, 200, 401),
            _ => (transmitter.account(&subject, true).await, 202, 403),
        };
        answer.status(acknowledged);
        assert_eq!(testbed.statuses(&token).await, [refusal; FRESH]);
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL: run by `make test-faults`"]
async fn a_paused_replica_delays_one_answer_by_its_serve_lease_and_releases_nothing_when_it_goes_on() {
    let _quiet = quiet().await;
    let postgres = Postgres::start().await;
    let testbed = start(&postgres).await;
    let paused = &testbed.others[0];
    let token = testbed.issuer.token().sign();
    testbed.passes(&token).await;
    paused.pause();
    let started = Instant::now();
    testbed.service.admin().revoke(&token.session).await;
    let first = started.elapsed();
    assert!(first < Duration::from_millis(1_000 + 250 + 250), "serve lease and margin: {first:?}");
    // It is waited for no more.
    let second = testbed.issuer.token().sign();
    testbed.get("/me").bearer(&second).until("it passes at another replica", |answer| answer.status == 200).await;
    let started = Instant::now();
    testbed.service.admin().revoke(&second.session).await;
    let next = started.elapsed();
    assert!(next < Duration::from_millis(500), "{next:?}");
    paused.resume();
    for _ in 0..3 {
        for token in [&token, &second] {
            let seen = testbed.statuses(token).await;
            assert!(seen.iter().all(|status| [401, 503].contains(status)), "{seen:?}");
        }
    }
    paused.becomes(200).await;
    assert_eq!(testbed.statuses(&token).await, [401; FRESH]);
    println!("with a paused replica: {first:?}, then {next:?}");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL: run by `make test-faults`"]
async fn a_store_that_is_away_costs_nothing_for_a_serve_lease_and_then_every_verdict_until_it_is_back() {
    let _quiet = quiet().await;
    let postgres = Postgres::start().await;
    let testbed = start(&postgres).await;
    let token = testbed.issuer.token().sign();
    assert_eq!(testbed.statuses(&token).await, [200; FRESH]);
    let started = Instant::now();
    postgres.crash().await;
    while started.elapsed() < Duration::from_millis(500) {
        assert_eq!(testbed.get("/me").bearer(&token).await.status, 200, "after {:?}", started.elapsed());
    }
    for replica in testbed.replicas() {
        replica.becomes(503).await;
        let (_, why) = replica.readiness().await;
        assert!(why.contains("gives no verdicts") || why.contains("cannot write"), "{why}");
    }
    testbed.get("/me").bearer(&token).until("there is no verdict", |answer| answer.status == 503).await;
    let path = format!("/v1/sessions/{}/revoke", token.session);
    assert_eq!(testbed.service.admin().call("POST", &path).await.status, 503);
    assert_eq!(testbed.service.admin().call("GET", "/v1/sessions").await.status, 503);
    postgres.restart().await;
    for replica in testbed.replicas() {
        replica.becomes(200).await;
    }
    testbed.passes(&token).await;
    testbed.others[1].admin().revoke(&token.session).await;
    // A worker may still be on its way to a replica that is back.
    let seen = testbed.statuses(&token).await;
    assert!(seen.iter().all(|status| [401, 503].contains(status)), "{seen:?}");
    testbed.get("/me").bearer(&token).until("it is refused", |answer| answer.status == 401).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL: run by `make test-faults`"]
async fn replicas_refuse_to_judge_by_a_database_that_has_lost_what_they_have_applied() {
    let postgres = Postgres::start().await;
    let testbed = start(&postgres).await;
    let token = testbed.issuer.token().sign();
    testbed.passes(&token).await;
    testbed.service.admin().revoke(&token.session).await;
    // As after a failover to a standby that did not have the last commits.
    let lost = "SET search_path TO portcullis; BEGIN; \
                UPDATE meta SET head = head - 1; DELETE FROM log WHERE n > (SELECT head FROM meta); \
                DELETE FROM tombstones; COMMIT";
    postgres.query(lost).expect("the database is changed");
    for replica in testbed.replicas() {
        replica.becomes(503).await;
        replica.says("has lost changes").await;
    }
    for status in testbed.statuses(&token).await {
        assert!([401, 503].contains(&status), "{status}");
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL: run by `make test-faults`"]
async fn a_failover_to_a_synchronous_standby_loses_nothing_and_verdicts_go_on() {
    let primary = Postgres::start().await;
    let (testbed, links) = start_over_links(&primary).await;
    let standby = Postgres::standby_of(&primary).await;
    let (live, revoked) = (testbed.issuer.token().subject("a").sign(), testbed.issuer.token().subject("b").sign());
    testbed.passes(&live).await;
    testbed.passes(&revoked).await;
    testbed.service.admin().revoke(&revoked.session).await;
    primary.crash().await;
    for link in &links {
        link.close();
        link.lead_to(local(standby.port()));
    }
    standby.promote();
    links.iter().for_each(Link::accept_again);
    for replica in testbed.replicas() {
        replica.becomes(200).await;
    }
    let seen = testbed.statuses(&revoked).await;
    assert!(seen.iter().all(|status| [401, 503].contains(status)), "{seen:?}");
    testbed.passes(&live).await;
    testbed.others[0].admin().revoke(&live.session).await;
    let seen = testbed.statuses(&live).await;
    assert!(seen.iter().all(|status| [401, 503].contains(status)), "{seen:?}");
    testbed.get("/me").bearer(&live).until("it is refused", |answer| answer.status == 401).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL: run by `make test-faults`"]
async fn three_replicas_that_start_at_once_on_an_empty_database_make_one_store() {
    let postgres = Postgres::start().await;
    let testbed = start(&postgres).await;
    for replica in testbed.replicas() {
        replica.kill();
    }
    postgres.query("DROP SCHEMA portcullis CASCADE").expect("the schema is dropped");
    let replicas: Vec<_> = testbed.replicas().collect();
    futures_util::future::join_all(replicas.iter().map(|replica| replica.restart())).await;
    let lists = replicas.iter().map(|replica| async {
        let answer = replica.admin().call("GET", "/v1/replicas").await.status(200).json();
        answer["replicas"].as_array().map(Vec::len)
    });
    until("they know each other", async || {
        let known = futures_util::future::join_all(replicas.iter().map(|replica| async {
            replica.admin().call("GET", "/v1/replicas").await.json()["replicas"].as_array().map(Vec::len)
        }));
        known.await.iter().all(|known| *known == Some(REPLICAS)).then_some(())
    })
    .await;
    assert_eq!(futures_util::future::join_all(lists).await, [Some(REPLICAS); REPLICAS]);
    let token = testbed.issuer.token().sign();
    testbed.passes(&token).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL: run by `make test-faults`"]
async fn one_hurt_replica_of_three_costs_at_most_a_second_without_verdicts() {
    let _quiet = quiet().await;
    let postgres = Postgres::start().await;
    let (testbed, links) = start_over_links(&postgres).await;
    let token = testbed.issuer.token().sign();
    testbed.passes(&token).await;
    for replica in testbed.replicas() {
        // A read catches up: from now on the session is known there.
        replica.admin().session(&token.session).await;
    }
    for (replica, link) in testbed.replicas().zip(&links) {
        link.close();
        let (mut without, mut last) = (Duration::ZERO, Instant::now());
        // Until all of its workers have left it, and some time longer.
        let mut lost = None;
        while lost.is_none_or(|lost: Instant| lost.elapsed() < Duration::from_secs(2)) {
            // Each on a connection of its own: the workers take turns.
            if testbed.get("/me").bearer(&token).fresh().await.status == 200 {
                last = Instant::now();
            }
            without = without.max(last.elapsed());
            if lost.is_none() && replica.readiness().await.0 == 503 {
                lost = Some(Instant::now());
            }
        }
        println!("without a verdict for at most {without:?}");
        assert!(without < Duration::from_secs(1), "{without:?}");
        link.accept_again();
        replica.becomes(200).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL: run by `make test-faults`"]
async fn a_first_use_at_a_replica_without_its_store_is_decided_elsewhere_once_its_serve_lease_is_over() {
    let postgres = Postgres::start().await;
    let (testbed, links) = start_over_links(&postgres).await;
    testbed.passes(&testbed.issuer.token().sign()).await;
    links[0].close();
    let first_uses = (0..FRESH).map(|_| async {
        let token = testbed.issuer.token().sign();
        testbed.get("/me").bearer(&token).fresh().await.status.as_u16()
    });
    assert_eq!(futures_util::future::join_all(first_uses).await, [200; FRESH]);
}

/// Three replicas, each with a link of its own to the database.
async fn start_over_links(postgres: &Postgres) -> (Testbed, Vec<Link>) {
    let mut links = Vec::new();
    for _ in 0..REPLICAS {
        let link = Link::open().await;
        link.lead_to(local(postgres.port()));
        links.push(link);
    }
    let keys = links.iter().map(|link| shared_store(&postgres.url_through(link.port))).collect();
    let testbed = Testbed::builder().policy(policy::streams()).replicas_with(keys).start().await;
    testbed.ready().await;
    (testbed, links)
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL: run by `make test-faults`"]
async fn a_replica_that_reads_an_entry_of_a_later_version_gives_no_verdict_and_says_so() {
    let postgres = Postgres::start().await;
    let testbed = start(&postgres).await;
    let token = testbed.issuer.token().sign();
    testbed.passes(&token).await;
    let later = "SET search_path TO portcullis; BEGIN; UPDATE meta SET head = head + 1; \
                 INSERT INTO log (n, tag, run, format, clock_lead_ms, changes) SELECT head, 1, 'later', 99, 0, '[]' FROM meta; \
                 COMMIT";
    postgres.query(later).expect("the entry is written");
    for replica in testbed.replicas() {
        replica.becomes(503).await;
        replica.says("its format is 99").await;
    }
    testbed.get("/me").bearer(&token).until("there is no verdict", |answer| answer.status == 503).await;
}
