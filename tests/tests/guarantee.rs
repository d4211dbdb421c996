//! The guarantee: once a revocation has answered 200, no request sent afterwards is released for that session.

use portcullis_tests::{Token, World, policy, until};
use serde_json::json;
use std::{
    sync::{
        Arc, Mutex, OnceLock,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Instant,
};

const CONNECTIONS: usize = 64;
const ROUNDS: usize = 200;
/// Every so many rounds the service is killed and restarted, before the revocation or after it.
const KILL_EVERY: usize = 8;
const PASSES_MIN: usize = 64;
const REFUSALS_MIN: usize = 128;
/// One request in so many is for a session of an earlier round.
const LOOK_BACK_EVERY: usize = 8;

/// One session, and what happened to its requests.
struct Round {
    token: Token,
    revoked: OnceLock<Instant>,
    passes: AtomicUsize,
    refusals: AtomicUsize,
}

#[derive(Default)]
struct Load {
    rounds: Mutex<Vec<Arc<Round>>>,
    over: AtomicBool,
    violations: Mutex<Vec<String>>,
    strange: Mutex<Vec<String>>,
}

impl Load {
    fn begin(&self, token: Token) -> Arc<Round> {
        let round = Arc::new(Round {
            token,
            revoked: OnceLock::new(),
            passes: AtomicUsize::new(0),
            refusals: AtomicUsize::new(0),
        });
        self.rounds.lock().expect("not poisoned").push(round.clone());
        round
    }

    fn pick(&self, count: usize) -> Arc<Round> {
        let rounds = self.rounds.lock().expect("not poisoned");
        let last = rounds.len() - 1;
        let index = if count.is_multiple_of(LOOK_BACK_EVERY) { count / LOOK_BACK_EVERY % rounds.len() } else { last };
        rounds[index].clone()
    }

    /// One connection's requests, one after the other.
    async fn drive(self: Arc<Self>, client: portcullis_tests::Client, offset: usize) {
        let mut count = offset;
        while !self.over.load(Ordering::Relaxed) {
            count += 1;
            let round = self.pick(count);
            let call = client.get("/me").bearer(&round.token);
            let sent = Instant::now();
            match call.try_send().await {
                Ok(answer) => self.judge(&round, sent, answer.status.as_u16(), &answer.code()),
                Err(fault) => self.strange.lock().expect("not poisoned").push(fault),
            }
        }
    }

    #[track_caller]
    fn demand_no_violation(&self) {
        let violations = self.violations.lock().expect("not poisoned").clone();
        assert!(violations.is_empty(), "{} violations, the first: {}", violations.len(), violations[0]);
    }

    fn judge(&self, round: &Round, sent: Instant, status: u16, code: &str) {
        let revoked = round.revoked.get();
        let after = revoked.is_some_and(|revoked| sent > *revoked);
        match (status, code) {
            (200, _) if after => {
                let late = revoked.map(|revoked| sent - *revoked);
                let what = format!("session {} released {late:?} after its end", round.token.session);
                self.violations.lock().expect("not poisoned").push(what);
            }
            (200, _) => {
                round.passes.fetch_add(1, Ordering::Relaxed);
            }
            (401, "session_revoked") if after => {
                round.refusals.fetch_add(1, Ordering::Relaxed);
            }
            // On its way when the session ended, or without a verdict while the service was down.
            (401, "session_revoked") | (503, "session_unavailable") => (),
            _ => self.strange.lock().expect("not poisoned").push(format!("{status} {code}")),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_sent_after_the_end_of_a_session_is_released() {
    let mut policy = policy::patient();
    policy["session"]["timeout"] = json!("1s");
    let world = World::with_policy(policy).await;
    world.settled().await;
    let load = Arc::new(Load::default());
    load.begin(world.issuer.token().sign());
    let connections: Vec<_> =
        (0..CONNECTIONS).map(|offset| tokio::spawn(load.clone().drive(world.client(), offset))).collect();
    for number in 0..ROUNDS {
        play(&world, &load, number).await;
    }
    load.over.store(true, Ordering::Relaxed);
    for connection in connections {
        connection.await.expect("a connection ends well");
    }
    assert_eq!(world.envoy.vm_reloads().await, 0);
    load.demand_no_violation();
    let strange = load.strange.lock().expect("not poisoned");
    assert!(strange.is_empty(), "{} strange answers: {:?}", strange.len(), strange.first());
}

async fn play(world: &World, load: &Load, number: usize) {
    let round = load.begin(world.issuer.token().sign());
    let enough = async |counter: &AtomicUsize, min: usize, what: &str| {
        until(what, async || {
            load.demand_no_violation();
            (counter.load(Ordering::Relaxed) >= min).then_some(())
        })
        .await;
    };
    enough(&round.passes, PASSES_MIN, "requests pass").await;
    if number % KILL_EVERY == 1 {
        world.service.kill();
        world.service.restart().await;
        // A first use that was lost in the crash happens again at the next question.
        until("the session is known again", async || {
            let session = world.service.admin().call("GET", &format!("/v1/sessions/{}", round.token.session)).await;
            session.status.is_success().then_some(())
        })
        .await;
    }
    world.service.admin().revoke(&round.token.session).await;
    round.revoked.set(Instant::now()).expect("revoked once");
    if number % KILL_EVERY == 5 {
        world.service.kill();
        world.service.restart().await;
    }
    enough(&round.refusals, REFUSALS_MIN, "requests are refused").await;
}
