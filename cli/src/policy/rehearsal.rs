//! A worker of the filter on this machine: the filter's own gate, with a session service that says what it is told to, issuers
//! that sign whatever is asked of them, and a clock that is turned by hand.
//!
//! What is decided here is decided by the code that Envoy runs, from the request's headers to the answer. Not the policy's own
//! are only the keys of its issuers: nobody here can sign with those.

mod service;
mod signer;

pub use signer::Signer;

use super::cases::{Bearer, Case, Expect, Quality, Request, Session};
use crate::exit::Trouble;
use portcullis_engine::{
    answer::{Answer, Code},
    authorize::{Act, Denial, Due, Gate, Head, Mark, Step},
    policy::{Algorithm, KeySource, Mode, Policy},
    route::RuleId,
    time::{Monotonic, Now},
    token::Facts,
};
use serde_json::{Map, Value};
use service::Service;

/// A request that lasts longer than this is followed by the gate, in milliseconds; the gate says 50.
const LASTING_MS: u64 = 60;
/// Between two looks at a check stream that is to be opened.
const PAUSE_MS: u64 = 100;
/// How often it is looked at; the gate pauses for a second at most between two attempts.
const LOOKS_MAX: usize = 100;

/// A worker of the filter.
pub struct Rehearsal {
    gate: Gate,
    signer: Signer,
    service: Service,
    now_ms: u64,
    /// Requests so far.
    count: u32,
    has_stream: bool,
    shadow: bool,
}

/// What became of a request.
#[derive(Debug)]
pub struct Outcome {
    /// Whether it passed, or why not.
    pub fate: Fate,
    /// The rule that decided.
    pub rule: Option<RuleId>,
    /// What the token says, as far as it was believed.
    pub facts: Option<Facts>,
    /// Whether the session service was asked.
    pub asked: bool,
    /// What became of it while it was open.
    pub then: Option<Fate>,
}

/// Whether a request passed, or why not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fate {
    /// It passed; marked where it passed in an outage.
    Released(Option<Mark>),
    /// It was refused, or cut.
    Refused(Code, Box<Answer>),
    /// It waits for keys that are not there.
    Waits,
}

impl Fate {
    /// Whether it is what was expected.
    pub fn is(&self, expect: Expect) -> bool {
        match (self, expect) {
            (Self::Released(_), Expect::Released) => true,
            (Self::Refused(code, _), Expect::Code(expected)) => *code == expected,
            _ => false,
        }
    }
}

/// A request as it is sent: its headers, those that begin with `:` too.
pub type Headers = Vec<(String, Vec<u8>)>;

/// The headers of a request, without its token.
pub fn headers(request: &Request) -> Headers {
    let pseudo = [(":method", request.method.as_str()), (":authority", &request.host), (":path", &request.path)];
    let own = request.headers.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let all = pseudo.into_iter().chain(request.client.headers().iter().copied()).chain(own);
    all.map(|(name, value)| (name.to_owned(), value.as_bytes().to_vec())).collect()
}

impl Rehearsal {
    /// A worker under `policy`, whose tokens are signed here.
    pub fn new(mut policy: Policy, now_ms: u64) -> Result<Self, Trouble> {
        let signer = Signer::new();
        for issuer in policy.issuers.iter_mut().filter(|issuer| !issuer.is_opaque()) {
            issuer.keys = KeySource::Inline(signer.key_set());
            issuer.algorithms = vec![Algorithm::EdDSA];
        }
        Self::with_keys_of(policy, signer, now_ms)
    }

    /// A worker under `policy` with the issuers' own keys, as far as they stand in it.
    pub fn with_own_keys(policy: Policy, now_ms: u64) -> Result<Self, Trouble> {
        Self::with_keys_of(policy, Signer::new(), now_ms)
    }

    fn with_keys_of(mut policy: Policy, signer: Signer, now_ms: u64) -> Result<Self, Trouble> {
        // What would be refused is what is asked here; the caller says what shadow mode makes of it.
        let shadow = std::mem::replace(&mut policy.mode, Mode::Enforce) == Mode::Shadow;
        let service = Service::new(&policy);
        let gate = Gate::new(policy, |_| None, 1).map_err(|(index, error)| {
            Trouble::failed(format_args!("the keys of `$.issuers[{index}]` can't be used: {error}"))
        })?;
        let has_stream = gate.policy().session.is_some() && !service.is_endpoint();
        Ok(Self { gate, signer, service, now_ms, count: 0, has_stream, shadow })
    }

    /// The policy, but for its keys and its mode.
    pub fn policy(&self) -> &Policy {
        self.gate.policy()
    }

    /// Whether the policy is in shadow mode, where what is refused here is released.
    pub const fn is_shadow(&self) -> bool {
        self.shadow
    }

    const fn now(&self) -> Now {
        Now { wall_ms: Some(self.now_ms), instant: Monotonic(self.now_ms) }
    }

    /// Now, in milliseconds since the Unix epoch.
    pub const fn now_ms(&self) -> u64 {
        self.now_ms
    }

    /// Sends the request of a case.
    pub fn play(&mut self, case: &Case) -> Outcome {
        let mut headers = headers(&case.request);
        if let Some(bearer) = &case.bearer {
            let token = self.token(bearer);
            headers.push(("authorization".to_owned(), format!("Bearer {token}").into_bytes()));
        }
        if case.session == (Session::Outage { granted: true }) {
            self.send(&headers, &Session::active(), None);
        }
        self.send(&headers, &case.session, case.then.as_ref().map(|then| &then.session))
    }

    /// Makes the token of a case. What it says is told to the session service as well, where that is asked what tokens mean.
    pub fn token(&mut self, bearer: &Bearer) -> String {
        let now_s = i64::try_from(self.now_ms / 1_000).unwrap_or(i64::MAX);
        let sid = format!("session-{}", self.count);
        let issuers = &self.gate.policy().issuers;
        let claims = bearer.claims(issuers, now_s, &sid);
        let issuer = bearer.issuer(issuers);
        self.service.reads = (bearer.quality == Quality::Good).then(|| claims.clone());
        if issuer.is_some_and(|issuer| issuer.is_opaque()) {
            return format!("opaque-{}", self.count);
        }
        let typ = issuer.and_then(|issuer| issuer.token_types.first()).map_or("at+jwt", String::as_str);
        self.signer.sign(&claims, typ, bearer.quality == Quality::Forged)
    }

    /// Lets the session service call every token active, where it is asked what they mean.
    pub fn vouch(&mut self) {
        self.service.reads = Some(Map::new());
    }

    /// Signs claims with the key that [`Self::new`] gave every issuer.
    pub fn sign(&mut self, claims: &Map<String, Value>, typ: &str) -> String {
        self.service.reads = Some(claims.clone());
        self.signer.sign(claims, typ, false)
    }

    /// Sends a request to a session service that finds its session in a state; and lets it be open while its session comes to
    /// be in another.
    pub fn send(&mut self, headers: &Headers, session: &Session, then: Option<&Session>) -> Outcome {
        self.connect();
        self.count += 1;
        let context = self.count;
        self.service.hear(session);
        let first = self.gate.arrive(context, &Head::read(headers), || "192.0.2.1".to_owned(), self.now());
        let mut outcome = self.conclude(context, first);
        if let (Some(state), Fate::Released(_)) = (then, &outcome.fate) {
            outcome.then = Some(self.stay_open(context, state));
        }
        self.gate.gone(context);
        outcome
    }

    fn conclude(&mut self, context: u32, first: Step) -> Outcome {
        let mut asked = false;
        let mut step = first;
        if matches!(step, Step::Wait) {
            let before = self.service.questions;
            let due = self.exchange();
            asked = self.service.questions > before;
            step = of(context, due).unwrap_or(Step::Wait);
        }
        if matches!(step, Step::Wait) && asked {
            // Nobody answers: the question's time runs out.
            let timeout = self.gate.policy().session.as_ref().map(|session| session.timeout).unwrap_or_default();
            self.now_ms += u64::try_from(timeout.as_millis()).unwrap_or_default();
            step = of(context, self.gate.tick(self.now())).unwrap_or(Step::Wait);
        }
        self.outcome(step, asked)
    }

    fn outcome(&self, step: Step, asked: bool) -> Outcome {
        let (fate, rule, credential) = match step {
            Step::Release(permit) => (Fate::Released(permit.mark), permit.rule, permit.principal),
            Step::Deny(denial) | Step::Cut(denial) | Step::Spare(denial) => {
                (self.refused(&denial), denial.rule, denial.principal)
            }
            Step::Wait | Step::Ask(_) => (Fate::Waits, None, None),
        };
        Outcome { fate, rule, facts: credential.map(|credential| credential.facts.clone()), asked, then: None }
    }

    fn refused(&self, denial: &Denial) -> Fate {
        Fate::Refused(denial.code, Box::new(denial.answer(self.gate.policy())))
    }

    /// An open request whose session changes.
    fn stay_open(&mut self, context: u32, session: &Session) -> Fate {
        self.now_ms += LASTING_MS;
        self.gate.tick(self.now());
        self.service.hear(session);
        match of(context, self.exchange()) {
            Some(Step::Cut(denial) | Step::Spare(denial)) => self.refused(&denial),
            _ => Fate::Released(None),
        }
    }

    /// Opens the check stream, if there is to be one.
    fn connect(&mut self) {
        self.service.hear(&Session::active());
        for _ in 0..LOOKS_MAX {
            self.exchange();
            if !self.has_stream || self.gate.is_connected() && !self.gate.is_busy() {
                return;
            }
            self.now_ms += PAUSE_MS;
            self.gate.tick(self.now());
        }
    }

    /// Carries messages between gate and session service until both have said everything.
    fn exchange(&mut self) -> Vec<Due> {
        let mut due = Vec::new();
        while let Some(act) = self.gate.act(self.now().instant) {
            match act {
                Act::Open => {
                    let stream = self.service.open();
                    self.gate.opened(Some(stream), self.now().instant);
                }
                Act::Send { stream, message } => {
                    if let Some(answer) = self.service.answer(&message) {
                        due.extend(self.gate.message(stream, &answer, self.now()));
                    }
                }
                Act::Close { .. } | Act::Cancel { .. } => {}
            }
        }
        for (key, _) in self.gate.take_calls() {
            let answer = self.service.introspect();
            let answer = answer.as_deref().map(|body| (200, body));
            due.extend(self.gate.answered(key, answer, self.now()));
        }
        due
    }
}

fn of(context: u32, due: Vec<Due>) -> Option<Step> {
    due.into_iter()
        .filter(|(whose, _)| *whose == context)
        .map(|(_, step)| step)
        .find(|step| !matches!(step, Step::Wait))
}
