//! The guarantee for every kind of session and every way to revoke it, on bad days: a disk that cannot write, a log that
//! nobody reads, a clock that is set, a process that is killed, and issuers whose clocks are ahead.

use super::{CONNECTIONS, enough};
use portcullis_tests::{Faults, Load, Refusal, Testbed, Token, TokenBuilder, busy, now_s, policy, until};
use serde_json::{Value, json};
use std::{
    sync::{Arc, atomic::Ordering},
    time::Instant,
};

const REVOCATIONS: usize = 1_000;
const PASSES_MIN: usize = 32;
const REFUSALS_MIN: usize = 64;
/// How far the clock of an issuer is ahead, in seconds; filters allow 30.
const SKEWS: [i64; 3] = [0, 20, 1];
/// One of each fault in this many revocations; a kill in twice as many.
const FAULTS_EVERY: usize = 50;
/// How far the clock of the service is set: beyond every limit of a session, and so little that no limit has passed.
const HOUR_S: i64 = 3_600;
const LITTLE_S: i64 = 20;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Claim,
    ClaimWithoutLogin,
    Login,
    Machine,
    Undated,
}

const KINDS: [Kind; 5] = [Kind::Claim, Kind::ClaimWithoutLogin, Kind::Login, Kind::Machine, Kind::Undated];

/// The kinds move on with each round of faults, so that every fault befalls every kind.
fn kind(number: usize) -> Kind {
    KINDS[(number + number / FAULTS_EVERY) % KINDS.len()]
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    Disk,
    Log,
    /// Set by so many seconds.
    Clock(i64),
    KillBefore,
    KillAfter,
}

fn fault(number: usize) -> Option<Fault> {
    match number % FAULTS_EVERY {
        7 => Some(Fault::Disk),
        17 => Some(Fault::Log),
        12 => Some(Fault::Clock(LITTLE_S)),
        24 => Some(Fault::Clock(HOUR_S)),
        28 => Some(Fault::Clock(-LITTLE_S)),
        31 => Some(Fault::Clock(-HOUR_S)),
        38 if number % (2 * FAULTS_EVERY) == 38 => Some(Fault::KillBefore),
        45 if number % (2 * FAULTS_EVERY) == 45 => Some(Fault::KillAfter),
        _ => None,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_session_of_any_kind_is_released_after_its_revocation_on_bad_days() {
    let _busy = busy().await;
    let mut policy = policy::patient();
    policy["session"]["timeout"] = json!("1s");
    let reopen = |session: &mut Value| session["undated_logins"] = json!({"reopen": {"revoked_for": "24h"}});
    let testbed = Testbed::builder().policy(policy).session(reopen).start().await;
    let faults = testbed.service.restart_with_faults().await;
    testbed.ready().await;
    let load = Arc::new(Load::default());
    load.begin(testbed.issuer.token().sign());
    let connections: Vec<_> =
        (0..CONNECTIONS).map(|offset| tokio::spawn(load.clone().drive(testbed.client(), offset))).collect();
    for number in 0..REVOCATIONS {
        play(&testbed, &load, faults, number).await;
    }
    load.over.store(true, Ordering::Relaxed);
    for connection in connections {
        connection.await.expect("a connection ends well");
    }
    load.demand_no_violation();
    assert_eq!(testbed.envoy.vm_reloads().await, 0);
    println!("{REVOCATIONS} revocations, {} requests, none released after its 200", load.answered());
    // While the clock is set, what is over by either clock is refused.
    let of_the_clock = |answer: &&String| !answer.contains("session_idle_timeout");
    let strange = load.strange.lock().expect("not poisoned");
    let strange: Vec<_> = strange.iter().filter(of_the_clock).collect();
    assert!(strange.is_empty(), "{} strange answers: {:?}", strange.len(), strange.first());
}

async fn play(testbed: &Testbed, load: &Load, faults: &Faults, number: usize) {
    let kind = kind(number);
    let party = Party::new(testbed, kind, number);
    let round = load.begin_with(party.first(), party.late(), Refusal::REVOKED);
    enough(load, &round.passes, PASSES_MIN, "requests pass").await;
    let fault = fault(number);
    match fault {
        None | Some(Fault::KillAfter) => {}
        Some(Fault::Disk) => {
            faults.fail_disk(true);
            let status = party.revoke(testbed, &round.token).await;
            assert_eq!(status, 503, "{kind:?}: nothing is durable");
            faults.fail_disk(false);
        }
        Some(Fault::Log) => faults.stall_log(true),
        Some(Fault::Clock(seconds)) => faults.set_clock(seconds),
        Some(Fault::KillBefore) => {
            testbed.service.kill();
            testbed.service.restart().await;
            // A first use that the crash lost is repeated by the next question.
            let known = round.passes.load(Ordering::Relaxed) + 2 * CONNECTIONS;
            enough(load, &round.passes, known, "the session is known again").await;
        }
    }
    until("the revocation holds", async || (party.revoke(testbed, &round.token).await == 200).then_some(())).await;
    round.revoked.set(Instant::now()).expect("revoked once");
    if fault == Some(Fault::KillAfter) {
        testbed.service.kill();
        testbed.service.restart().await;
    }
    enough(load, &round.refusals, REFUSALS_MIN, "requests are refused").await;
    faults.stall_log(false);
    faults.set_clock(0);
}

/// Whose session it is, and how it is revoked.
struct Party {
    kind: Kind,
    number: usize,
    issued_s: i64,
    token: TokenBuilder,
}

impl Party {
    fn new(testbed: &Testbed, kind: Kind, number: usize) -> Self {
        let issued_s = now_s() + SKEWS[number % SKEWS.len()];
        let token = testbed.issuer.token().subject(&format!("person-{number}"));
        let token = token.claim("iat", json!(issued_s)).claim("auth_time", json!(issued_s));
        let token = match kind {
            Kind::Claim => token,
            Kind::ClaimWithoutLogin => token.without("auth_time"),
            Kind::Login => token.without("sid"),
            Kind::Undated => token.without("sid").without("auth_time"),
            Kind::Machine => {
                let client = format!("machine-{number}");
                token.without("sid").without("auth_time").subject(&client).client(&client)
            }
        };
        Self { kind, number, issued_s, token }
    }

    fn first(&self) -> Token {
        self.token.sign()
    }

    /// Tokens of the session that nobody has seen when it is revoked. A machine's later token would be a new session.
    fn late(&self) -> Vec<Token> {
        let issued = |offset_s: i64| self.token.clone().claim("iat", json!(self.issued_s + offset_s));
        let before = issued(0).claim("jti", json!("another")).sign();
        match self.kind {
            // A second is the least that the end of its session is later than the newest token.
            Kind::Machine => vec![issued(-LITTLE_S).sign(), before, issued(1).sign()],
            _ => vec![before, issued(2).sign()],
        }
    }

    /// Revokes it in one of the ways of its kind; returns the status.
    async fn revoke(&self, testbed: &Testbed, token: &Token) -> u16 {
        let claims = self.token.claims();
        let party = |member: &str, claim: &str| Some(json!({"issuer": claims["iss"], member: claims[claim]}));
        let by_token = None;
        let revocation = match (self.kind, self.number / KINDS.len() % 4) {
            (Kind::Claim | Kind::ClaimWithoutLogin, 0) => {
                let path = format!("/v1/sessions/{}/revoke", token.session);
                return testbed.service.admin().call("POST", &path).await.status.as_u16();
            }
            (Kind::Claim | Kind::ClaimWithoutLogin, 1) => party("sid", "sid"),
            (Kind::Machine, 0 | 1) => party("client_id", "client_id"),
            (_, 2) | (Kind::Login | Kind::Undated, 0) => party("subject", "sub"),
            _ => by_token,
        };
        match revocation {
            Some(revocation) => {
                let call = testbed.service.admin().call("POST", "/v1/revocations");
                call.json(&revocation).await.status.as_u16()
            }
            None => {
                let call = testbed.service.client().call("POST", "/oauth2/revoke").fresh();
                let call = call.bearer(testbed.filter_credential()).body(format!("token={}", token.text));
                call.header("content-type", "application/x-www-form-urlencoded").await.status.as_u16()
            }
        }
    }
}
