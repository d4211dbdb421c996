//! What replicas do when Redis has lost changes, in servers of their own.

use super::*;
use crate::replica::{Engine, NoBeat};
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const LEASE_MS: u64 = 1_000;

/// A server on a port of its own, with its data in a temporary folder.
struct Server {
    port: u16,
    folder: TempDir,
    process: Option<Child>,
}

impl Server {
    fn start() -> Self {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut server = Self { port, folder: tempfile::tempdir().unwrap(), process: None };
        server.restart();
        server
    }

    fn restart(&mut self) {
        let program = std::env::var("PORTCULLIS_TEST_REDIS_SERVER").unwrap_or_else(|_| "redis-server".to_owned());
        let mut command = Command::new(program);
        command.args(["--port", &self.port.to_string(), "--bind", "127.0.0.1", "--appendonly", "yes"]);
        command.args(["--appendfsync", "always", "--repl-diskless-sync-delay", "0", "--save", ""]);
        command.arg("--dir").arg(self.folder.path()).stdout(Stdio::null());
        self.process = Some(command.spawn().unwrap());
        until(|| {
            let answer: String = ::redis::cmd("PING").query(&mut self.try_connect()?).ok()?;
            (answer == "PONG").then_some(())
        });
    }

    fn kill(&mut self) {
        let mut process = self.process.take().unwrap();
        process.kill().unwrap();
        process.wait().unwrap();
    }

    fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    fn try_connect(&self) -> Option<::redis::Connection> {
        ::redis::Client::open(self.url()).unwrap().get_connection().ok()
    }

    fn run(&self, words: &[&str]) {
        let mut command = ::redis::cmd(words[0]);
        command.arg(&words[1..]).exec(&mut self.try_connect().unwrap()).unwrap();
    }

    /// Follows another server. The first one that does so gives that server another lineage.
    fn follow(&self, primary: &Self) {
        self.run(&["REPLICAOF", "127.0.0.1", &primary.port.to_string()]);
        until(|| {
            let info: String = ::redis::cmd("INFO").arg("replication").query(&mut self.try_connect()?).ok()?;
            info.contains("master_link_status:up").then_some(())
        });
    }

    /// Waits until it has so many entries of the log, and so many replicas have reported.
    fn has(&self, entries: u64, reported: u64) {
        let mut connection = self.try_connect().unwrap();
        let mut count = |command: &str, key: &str| ::redis::cmd(command).arg(key).query::<u64>(&mut connection).ok();
        until(|| (count("XLEN", "{t}:log")? == entries && count("SCARD", "{t}:reported")? == reported).then_some(()));
    }

    fn promote(&self) {
        self.run(&["REPLICAOF", "NO", "ONE"]);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if self.process.is_some() {
            self.kill();
        }
    }
}

fn until<T>(mut ready: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(ready) = ready() {
            return ready;
        }
        assert!(started.elapsed() < Duration::from_secs(20), "it did not happen");
        std::thread::yield_now();
    }
}

/// Replicas with their journals, which survive them.
struct Deployment {
    folder: TempDir,
    replicas: u32,
}

impl Deployment {
    fn of(replicas: u32) -> Self {
        Self { folder: tempfile::tempdir().unwrap(), replicas }
    }

    fn source(&self, name: &str, server: &Server) -> Source {
        let at = At::Url(Secret(server.url()));
        let journal = self.folder.path().join(name);
        Source { at, prefix: "t".to_owned(), ca: None, password: None, journal, replicas: self.replicas }
    }

    fn open(&self, name: &str, server: &Server) -> Arc<Redis> {
        Arc::new(Redis::open(&self.source(name, server), false).unwrap())
    }

    fn all(&self, server: &Server) -> Vec<Arc<Redis>> {
        ["a", "b", "c"].iter().take(self.replicas as usize).map(|name| self.open(name, server)).collect()
    }
}

fn revoke(store: &Redis, key: &str) -> Result<(), StoreError> {
    store.begin(&mut |_| ())?;
    store.apply(&[Change::Tombstone(tombstone(key, 7))])
}

fn has(store: &Redis, key: &str) -> bool {
    store.tombstone(record(key).id()).unwrap().is_some()
}

fn beats(store: &Redis) -> bool {
    match store.beat(store.place(), LEASE_MS) {
        Ok(Some(_)) => true,
        Ok(None) => {
            store.join(store.place(), LEASE_MS).is_ok() && matches!(store.beat(store.place(), LEASE_MS), Ok(Some(_)))
        }
        Err(_) => false,
    }
}

fn why_not(store: &Redis) -> String {
    match store.beat(store.place(), LEASE_MS) {
        Err(NoBeat::Waiting(why)) => why,
        other => panic!("{other:?}"),
    }
}

#[test]
#[ignore = "needs Redis: run by `make test-faults`"]
fn nothing_is_taken_until_every_replica_has_reported_and_then_each_has_what_the_other_wrote() {
    let (server, deployment) = (Server::start(), Deployment::of(2));
    let a = deployment.open("a", &server);
    assert!(revoke(&a, "s").unwrap_err().0.contains("1 that Redis does not know"));
    assert!(!beats(&a));
    let b = deployment.open("b", &server);
    revoke(&a, "s").unwrap();
    assert!(beats(&a) && beats(&b));
    let mut changes = Vec::new();
    b.catch_up(&mut |change| changes.push(change)).unwrap();
    assert_eq!(changes, [Change::Tombstone(tombstone("s", 7))]);
    assert!(has(&b, "s") && b.place() == 1);
}

#[test]
#[ignore = "needs Redis: run by `make test-faults`"]
fn what_a_promoted_replica_of_redis_lacks_it_gets_back_before_anything_is_taken() {
    let (primary, standby, deployment) = (Server::start(), Server::start(), Deployment::of(2));
    standby.follow(&primary);
    let [a, b] = deployment.all(&primary).try_into().unwrap();
    revoke(&a, "kept").unwrap();
    standby.has(1, 2);
    // It lacks what comes now.
    standby.promote();
    revoke(&a, "lost").unwrap();
    b.catch_up(&mut |_| ()).unwrap();
    drop((a, b));
    let b = deployment.open("b", &standby);
    assert!(revoke(&b, "early").unwrap_err().0.contains("until every replica has reported"));
    assert!(why_not(&b).contains("missing: "), "no serve lease either");
    let a = deployment.open("a", &standby);
    revoke(&b, "next").unwrap();
    a.catch_up(&mut |_| ()).unwrap();
    for key in ["kept", "lost", "next"] {
        assert!(has(&a, key) && has(&b, key), "{key}");
    }
    // A new one has everything from Redis.
    let visitor = Redis::visit(&deployment.source("-", &standby), false).unwrap();
    assert!(has(&visitor, "lost") && !has(&visitor, "early"));
}

#[test]
#[ignore = "needs Redis: run by `make test-faults`"]
fn what_only_one_journal_has_is_waited_for() {
    let (primary, standby, deployment) = (Server::start(), Server::start(), Deployment::of(3));
    standby.follow(&primary);
    let [a, b, c] = deployment.all(&primary).try_into().unwrap();
    standby.has(0, 3);
    standby.promote();
    // Acknowledged by one that waited the others out.
    revoke(&a, "lost").unwrap();
    let lost = a.name().to_owned();
    drop((a, b, c));
    let (b, c) = (deployment.open("b", &standby), deployment.open("c", &standby));
    assert!(why_not(&b).contains(&lost), "by its name");
    assert!(revoke(&c, "s").is_err());
    let _a = deployment.open("a", &standby);
    revoke(&c, "s").unwrap();
    b.catch_up(&mut |_| ()).unwrap();
    assert!(has(&b, "lost") && has(&c, "lost"));
}

#[test]
#[ignore = "needs Redis: run by `make test-faults`"]
fn a_replica_that_was_given_up_is_waited_for_no_more_and_cannot_come_back() {
    let (primary, standby, deployment) = (Server::start(), Server::start(), Deployment::of(2));
    let [a, b] = deployment.all(&primary).try_into().unwrap();
    assert!(beats(&a) && beats(&b));
    let give_up = |server: &Server, name: &str| forget(&deployment.source("-", server), name);
    assert!(give_up(&primary, a.name()).unwrap_err().0.contains("stop it first"));
    assert!(give_up(&primary, "nobody").unwrap_err().0.contains("no replica `nobody`"));
    let gone = a.name().to_owned();
    standby.follow(&primary);
    standby.promote();
    drop((a, b));
    let b = deployment.open("b", &standby);
    assert!(revoke(&b, "s").is_err());
    give_up(&standby, &gone).unwrap();
    // There are to be two.
    assert!(revoke(&b, "s").unwrap_err().0.contains("1 that Redis does not know"));
    let refused = Redis::open(&deployment.source("a", &standby), false).map(drop).unwrap_err();
    assert!(refused.0.contains("was given up"), "{refused}");
    let c = deployment.open("c", &standby);
    revoke(&b, "s").unwrap();
    c.catch_up(&mut |_| ()).unwrap();
    assert!(has(&c, "s"));
}

#[test]
#[ignore = "needs Redis: run by `make test-faults`"]
fn a_restart_that_loses_nothing_needs_only_the_reports() {
    let (mut server, deployment) = (Server::start(), Deployment::of(1));
    let a = deployment.open("a", &server);
    revoke(&a, "s").unwrap();
    assert!(beats(&a));
    let epoch = a.beat(1, LEASE_MS).unwrap().unwrap().failovers.unwrap().epoch;
    server.kill();
    assert!(!beats(&a));
    server.restart();
    let beaten = until(|| a.beat(1, LEASE_MS).ok().flatten());
    let failovers = beaten.failovers.unwrap();
    assert_eq!((failovers.epoch, failovers.given_back, beaten.head), (epoch + 1, 0, 1));
    revoke(&a, "t").unwrap();
}

#[test]
#[ignore = "needs Redis: run by `make test-faults`"]
fn an_old_primary_with_a_change_that_nobody_was_answered_for_gets_the_history_of_the_replicas() {
    let (old, new, deployment) = (Server::start(), Server::start(), Deployment::of(1));
    new.follow(&old);
    let a = deployment.open("a", &old);
    revoke(&a, "both").unwrap();
    new.has(1, 1);
    new.promote();
    // An append whose answer is lost is in nobody's journal.
    let visitor = Redis::visit(&deployment.source("-", &old), false).unwrap();
    revoke(&visitor, "stray").unwrap();
    drop((a, visitor));
    let a = deployment.open("a", &new);
    revoke(&a, "next").unwrap();
    drop(a);
    let a = deployment.open("a", &old);
    revoke(&a, "last").unwrap();
    let visitor = Redis::visit(&deployment.source("-", &old), false).unwrap();
    for key in ["both", "next", "last"] {
        assert!(has(&a, key) && has(&visitor, key), "{key}");
    }
    assert!(!has(&visitor, "stray") && !has(&a, "stray"));
}

#[test]
#[ignore = "needs Redis: run by `make test-faults`"]
fn an_empty_server_is_refused_until_it_is_adopted_and_another_store_is_always() {
    let (server, deployment) = (Server::start(), Deployment::of(1));
    let a = deployment.open("a", &server);
    revoke(&a, "s").unwrap();
    assert!(beats(&a));
    server.run(&["FLUSHALL"]);
    assert!(matches!(a.beat(1, LEASE_MS), Err(NoBeat::Foreign(why)) if why.contains("--adopt")));
    drop(a);
    let refused = Redis::open(&deployment.source("a", &server), false).map(drop).unwrap_err();
    assert!(refused.0.contains("--adopt"), "{refused}");
    let a = Arc::new(Redis::open(&deployment.source("a", &server), true).unwrap());
    revoke(&a, "t").unwrap();
    assert!(has(&Redis::visit(&deployment.source("-", &server), false).unwrap(), "s"));
    drop(a);
    server.run(&["FLUSHALL"]);
    drop(deployment.open("b", &server));
    for adopt in [false, true] {
        let refused = Redis::open(&deployment.source("a", &server), adopt).map(drop).unwrap_err();
        assert!(refused.0.contains("another store"), "{refused}");
    }
}

#[test]
#[ignore = "needs Redis: run by `make test-faults`"]
fn a_new_replica_begins_with_the_snapshot_and_the_log_after_it() {
    let (server, deployment) = (Server::start(), Deployment::of(1));
    let a = deployment.open("a", &server);
    revoke(&a, "early").unwrap();
    let wide = Record { granted: vec!["x".repeat(17 * 1024 * 1024)], ..record("wide") };
    a.apply(&[Change::Write(wide)]).unwrap();
    a.apply(&[Change::Tombstone(tombstone("wide", 9))]).unwrap();
    assert!(beats(&a));
    a.trim().unwrap();
    revoke(&a, "late").unwrap();
    assert!(beats(&a));
    a.trim().unwrap();
    let visitor = Redis::visit(&deployment.source("-", &server), false).unwrap();
    for key in ["early", "wide", "late"] {
        assert!(has(&visitor, key), "{key}");
    }
    let mut connection = server.try_connect().unwrap();
    let left: u64 = ::redis::cmd("XLEN").arg("{t}:log").query(&mut connection).unwrap();
    assert_eq!(left, 1, "the log up to the snapshot is dropped");
}
