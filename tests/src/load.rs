//! Load for the guarantee: requests for sessions that are revoked meanwhile, each judged by the time when it was sent.

use crate::{Client, Token};
use std::{
    sync::{
        Arc, Mutex, OnceLock,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Instant,
};

/// One of this many requests is for a session of an earlier round.
const LOOK_BACK_EVERY: usize = 8;

/// What requests ask for, and how they are refused once their session is over, or may no longer do that.
#[derive(Debug, Clone, Copy)]
pub struct Refusal {
    /// The path of every request.
    pub path: &'static str,
    /// The status of a refusal.
    pub status: u16,
    /// Its code.
    pub code: &'static str,
}

impl Refusal {
    /// How it is refused what every session may do.
    pub const REVOKED: Self = Self { path: "/me", status: 401, code: "session_revoked" };

    fn is(&self, status: u16, code: &str) -> bool {
        (status, code) == (self.status, self.code)
    }
}

/// One session and the outcomes of its requests.
pub struct Round {
    /// A token of it.
    pub token: Token,
    /// Tokens of it that are not shown before its revocation: refreshed ones, or others from before.
    pub late: Vec<Token>,
    /// What is asked for.
    pub refusal: Refusal,
    /// When its revocation was first asked for, where the test says so.
    pub asked: OnceLock<Instant>,
    /// When its revocation was answered.
    pub revoked: OnceLock<Instant>,
    /// Requests that were released.
    pub passes: AtomicUsize,
    /// Requests that were sent after the revocation, and refused.
    pub refusals: AtomicUsize,
    last_passed: Mutex<Option<Instant>>,
}

impl Round {
    /// The token of one request.
    fn shown(&self, count: usize) -> &Token {
        match self.late.len() {
            late @ 1.. if self.revoked.get().is_some() && count.is_multiple_of(2) => &self.late[count / 2 % late],
            _ => &self.token,
        }
    }

    /// Requests that were answered as they should be.
    pub fn answered(&self) -> usize {
        self.passes.load(Ordering::Relaxed) + self.refusals.load(Ordering::Relaxed)
    }

    /// The time when the last released request was sent.
    pub fn last_passed(&self) -> Option<Instant> {
        *self.last_passed.lock().expect("not poisoned")
    }
}

/// Connections that send requests for the newest session, now and then for an older one, until [`Load::over`].
#[derive(Default)]
pub struct Load {
    /// The sessions, oldest first.
    pub rounds: Mutex<Vec<Arc<Round>>>,
    /// Tells the connections to end.
    pub over: AtomicBool,
    /// Requests that were sent after the revocation of their session, and released all the same.
    pub violations: Mutex<Vec<String>>,
    /// Answers that are neither a release nor the expected refusal.
    pub strange: Mutex<Vec<String>>,
    /// Whether a refusal from before [`Round::asked`] is strange.
    pub is_strict: AtomicBool,
    /// Requests without a verdict.
    pub unavailable: AtomicUsize,
}

impl Load {
    /// Sends requests for another session from now on.
    pub fn begin(&self, token: Token) -> Arc<Round> {
        self.begin_with(token, Vec::new(), Refusal::REVOKED)
    }

    /// The same, with more tokens of the session that are shown once it is revoked, and with what is asked for.
    pub fn begin_with(&self, token: Token, late: Vec<Token>, refusal: Refusal) -> Arc<Round> {
        let round = Arc::new(Round {
            token,
            late,
            refusal,
            asked: OnceLock::new(),
            revoked: OnceLock::new(),
            passes: AtomicUsize::new(0),
            refusals: AtomicUsize::new(0),
            last_passed: Mutex::default(),
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
    pub async fn drive(self: Arc<Self>, client: Client, offset: usize) {
        let mut count = offset;
        while !self.over.load(Ordering::Relaxed) {
            count += 1;
            self.send(&client, &self.pick(count), count).await;
        }
    }

    /// One request over a connection of its own.
    pub async fn send_afresh(self: Arc<Self>, client: Client, round: Arc<Round>, count: usize) {
        self.send(&Client::new(client.address()), &round, count).await;
    }

    async fn send(&self, client: &Client, round: &Round, count: usize) {
        let call = client.get(round.refusal.path).bearer(round.shown(count));
        let sent = Instant::now();
        match call.try_send().await {
            Ok(answer) => {
                let code = if answer.status == 200 { String::new() } else { answer.code() };
                self.judge(round, sent, answer.status.as_u16(), &code);
            }
            Err(fault) => self.strange.lock().expect("not poisoned").push(fault),
        }
    }

    /// Requests that were answered as they should be.
    pub fn answered(&self) -> usize {
        self.rounds.lock().expect("not poisoned").iter().map(|round| round.answered()).sum()
    }

    /// Panics if an answer was neither a release nor the expected refusal.
    #[track_caller]
    pub fn demand_nothing_strange(&self) {
        let strange = self.strange.lock().expect("not poisoned");
        assert!(strange.is_empty(), "{} strange answers: {:?}", strange.len(), strange.first());
    }

    /// Panics if a request was released after the end of its session.
    #[track_caller]
    pub fn demand_no_violation(&self) {
        let violations = self.violations.lock().expect("not poisoned").clone();
        assert!(violations.is_empty(), "{} violations, the first: {}", violations.len(), violations[0]);
    }

    fn judge(&self, round: &Round, sent: Instant, status: u16, code: &str) {
        let revoked = round.revoked.get();
        let after = revoked.is_some_and(|revoked| sent > *revoked);
        let is_expected = round.refusal.is(status, code) || Refusal::REVOKED.is(status, code);
        match (status, code) {
            (200, _) if after => {
                *round.last_passed.lock().expect("not poisoned") = Some(sent);
                let late = revoked.map(|revoked| sent - *revoked);
                let what = format!("session {} released {late:?} after its end", round.token.session);
                self.violations.lock().expect("not poisoned").push(what);
            }
            (200, _) => {
                let mut last = round.last_passed.lock().expect("not poisoned");
                *last = (*last).max(Some(sent));
                round.passes.fetch_add(1, Ordering::Relaxed);
            }
            _ if after && (is_expected || (status == 401 && code.starts_with("session_"))) => {
                round.refusals.fetch_add(1, Ordering::Relaxed);
            }
            // The request was in flight when the session ended.
            _ if is_expected && (!self.is_strict.load(Ordering::Relaxed) || round.asked.get().is_some()) => {}
            // It had no verdict while the service was down.
            (503, "session_unavailable") => {
                self.unavailable.fetch_add(1, Ordering::Relaxed);
            }
            _ => self.strange.lock().expect("not poisoned").push(format!("{status} {code}")),
        }
    }
}
