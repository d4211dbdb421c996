//! A worker of the filter: sends requests through the filter's gate and carries messages to the simulated service.

use super::{
    judge::{Judge, Judged},
    service::Service,
    signer::Signer,
};
use crate::{
    error::Error,
    policy::cases::{Bearer, Case, CaseFacts, Expect, Quality, Request, Session},
};
use portcullis_conditions::Set;
use portcullis_engine::{
    answer::{Answer, Code},
    authorize::{Act, Denial, Due, Gate, Head, LookUp, Mark, Step},
    policy::{Access, Algorithm, KeySource, Mode, Policy, TokenPlace},
    route::RuleId,
    time::{Monotonic, Now},
    token::Facts,
};
use serde_json::{Map, Value};
use std::sync::Arc;

/// After this time the gate follows an open request, in milliseconds; the gate's own limit is 50.
const LASTING_MS: u64 = 60;
/// The pause between two attempts to open the check stream.
const PAUSE_MS: u64 = 100;
/// How the handles in cookies begin.
const HANDLE: &str = "simulated_handle_of_a_browser_";
/// The most attempts. The gate itself waits for up to a second between two of its own.
const LOOKS_MAX: usize = 100;

/// A simulated worker of the filter.
pub(crate) struct Simulator {
    gate: Gate,
    signer: Signer,
    service: Service,
    now_ms: u64,
    /// The number of requests so far.
    count: u32,
    has_stream: bool,
    /// The mode of requests without a rule, and that of each rule.
    modes: (Mode, Vec<Mode>),
    /// What conditions are told, and what they are told later while a request is open.
    facts: (CaseFacts, CaseFacts),
}

/// The outcome of a request.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// Whether it passed or why it was refused.
    pub(crate) decision: Decision,
    /// The rule that decided.
    pub(crate) rule: Option<RuleId>,
    /// The claims of the token, if it was accepted.
    pub(crate) facts: Option<Facts>,
    /// Whether the session service was asked.
    pub(crate) asked: bool,
    /// What happened while it was open.
    pub(crate) then: Option<Decision>,
}

/// The decision about a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Decision {
    /// It passed; with a mark if it did so because of an outage.
    Released(Option<Mark>),
    /// It was refused, or reset while it was open.
    Refused(Code, Box<Answer>),
    /// It waits for keys that are not available.
    Waits,
}

impl Decision {
    /// Whether this was expected.
    pub(crate) fn is(&self, expect: Expect) -> bool {
        match (self, expect) {
            (Self::Released(_), Expect::Released) => true,
            (Self::Refused(code, _), Expect::Code(expected)) => *code == expected,
            _ => false,
        }
    }
}

/// The headers of a request, including the pseudo-headers.
pub(crate) type Headers = Vec<(String, Vec<u8>)>;

/// The headers of a request, with its token.
fn headers(request: &Request, token: Option<(&TokenPlace, &str)>) -> Headers {
    let pseudo = [(":method", &request.method), (":authority", &request.host), (":path", &request.path)];
    let pseudo = pseudo.map(|(name, value)| (name.to_owned(), value.as_bytes().to_vec()));
    pseudo.into_iter().chain(request.headers(token)).collect()
}

impl Simulator {
    /// A worker with `policy`; its tokens are signed by the simulator.
    pub(crate) fn new(mut policy: Policy, now_ms: u64) -> Result<Self, Error> {
        let signer = Signer::new();
        for issuer in policy.issuers.iter_mut().filter(|issuer| !issuer.is_opaque()) {
            issuer.keys = KeySource::Inline(signer.key_set());
            issuer.algorithms = vec![Algorithm::EdDSA];
        }
        Self::with_keys_of(policy, signer, now_ms)
    }

    /// A worker with `policy` and the issuers' own keys, if they are in it.
    pub(crate) fn with_own_keys(policy: Policy, now_ms: u64) -> Result<Self, Error> {
        Self::with_keys_of(policy, Signer::new(), now_ms)
    }

    fn with_keys_of(mut policy: Policy, signer: Signer, now_ms: u64) -> Result<Self, Error> {
        // The question is what would be refused; the caller reports the effect of shadow mode.
        let enforced = |mode: &mut Mode| std::mem::replace(mode, Mode::Enforce);
        let modes =
            (enforced(&mut policy.mode), policy.rules.iter_mut().map(|rule| enforced(&mut rule.mode)).collect());
        let service = Service::new(&policy);
        let gate = Gate::new(policy, |_| None, 1).map_err(|(issuer, error)| {
            Error::failed(format_args!("cannot use the keys of `$.issuers[{}]`: {error}", issuer.0))
        })?;
        let has_stream = gate.policy().session.is_some() && !service.is_endpoint();
        Ok(Self { gate, signer, service, now_ms, count: 0, has_stream, modes, facts: Default::default() })
    }

    /// Lets the session service judge by conditions.
    #[must_use]
    pub(crate) fn with_conditions(mut self, set: Arc<Set>) -> Self {
        self.service.judge = Some(Judge::new(set));
        self
    }

    /// What conditions said about the last request that they were asked about.
    pub(crate) fn judged(&mut self) -> Option<Judged> {
        self.service.judge.as_mut()?.last.take()
    }

    /// What was wrong with the last token that was refused, or with its proof of possession.
    pub(crate) fn why(&mut self) -> Option<String> {
        self.gate.refused_token(self.now().instant).map(|refused| refused.words().to_owned())
    }

    /// The policy, except for its keys and its mode.
    pub(crate) fn policy(&self) -> &Policy {
        self.gate.policy()
    }

    /// Whether what is refused here, by a rule or for want of one, would be released in shadow mode.
    pub(crate) fn is_shadow(&self, rule: Option<RuleId>) -> bool {
        let (without, rules) = &self.modes;
        *rule.and_then(|RuleId(index)| rules.get(index)).unwrap_or(without) == Mode::Shadow
    }

    /// The number of rules in shadow mode; public ones refuse no one.
    pub(crate) fn shadow_rules(&self) -> usize {
        let rules = self.policy().rules.iter().zip(&self.modes.1);
        rules.filter(|(rule, mode)| **mode == Mode::Shadow && !matches!(rule.access, Access::Public)).count()
    }

    const fn now(&self) -> Now {
        Now { wall_ms: Some(self.now_ms), instant: Monotonic(self.now_ms) }
    }

    /// Sends the request of a case.
    pub(crate) fn play(&mut self, case: &Case) -> Outcome {
        let token = case.bearer.as_ref().map(|bearer| self.token(bearer));
        // The token is one that verifies, or one that does not: the service gives it either way.
        let handle =
            matches!(case.token_in, TokenPlace::SessionCookie(_)).then(|| format!("{HANDLE}{:010}", self.count));
        self.service.token_of_handles = token.clone().filter(|_| handle.is_some());
        let shown = token.as_deref().map(|token| (&case.token_in, handle.as_deref().unwrap_or(token)));
        let headers = headers(&case.request, shown);
        let then = case.then.as_ref().map(|then| case.facts.with(&then.facts));
        self.facts = (case.facts.clone(), then.unwrap_or_default());
        if case.session == (Session::Outage { granted: true }) {
            self.send(&headers, &Session::active(), None);
        }
        self.send(&headers, &case.session, case.then.as_ref().map(|then| &then.session))
    }

    /// Makes the token of a case. The session service learns its claims, in case it is asked to introspect it.
    pub(crate) fn token(&mut self, bearer: &Bearer) -> String {
        let now_s = i64::try_from(self.now_ms / 1_000).unwrap_or(i64::MAX);
        let sid = format!("session-{}", self.count);
        let issuers = &self.gate.policy().issuers;
        let claims = bearer.claims(issuers, now_s, &sid);
        let issuer = bearer.issuer(issuers);
        self.service.claims = (bearer.quality == Quality::Good).then(|| claims.clone());
        if issuer.is_some_and(|issuer| issuer.is_opaque()) {
            return format!("opaque-{}", self.count);
        }
        let typ = issuer.and_then(|issuer| issuer.token_types.first()).map_or("at+jwt", String::as_str);
        self.signer.sign(&claims, typ, bearer.quality == Quality::Forged)
    }

    /// Lets the session service report every token as active when it introspects one.
    pub(crate) fn vouch(&mut self) {
        self.service.claims = Some(Map::new());
    }

    /// Signs claims with the key that [`Self::new`] gave every issuer.
    pub(crate) fn sign(&mut self, claims: &Map<String, Value>, typ: &str) -> String {
        self.service.claims = Some(claims.clone());
        self.signer.sign(claims, typ, false)
    }

    /// Sends a request whose session is in a state. With `then`, the request stays open while the session changes to that state.
    pub(crate) fn send(&mut self, headers: &Headers, session: &Session, then: Option<&Session>) -> Outcome {
        self.connect();
        self.count += 1;
        let context = self.count;
        self.service.set_session(session);
        self.service.set_facts(self.facts.0.clone());
        // Proofs of possession are for a URL, and so for a scheme.
        let mut headers = headers.clone();
        if self.policy().possession.is_some() && !headers.iter().any(|(name, _)| name == ":scheme") {
            headers.push((":scheme".to_owned(), b"https".to_vec()));
        }
        let cluster = self.policy().oauth.as_ref().map(|oauth| oauth.cluster.clone().into_bytes());
        let look_up = |what: LookUp<'_>| match what {
            LookUp::ClientAddress => Some(b"192.0.2.1".to_vec()),
            // Envoy is assumed to have the route that the policy needs.
            LookUp::RouteCluster => cluster.clone(),
            _ => None,
        };
        let first = self.gate.arrive(context, &Head::read(&headers), look_up, self.now());
        let mut outcome = self.conclude(context, first);
        if let (Some(state), Decision::Released(_)) = (then, &outcome.decision) {
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
            // No answer: let the question time out.
            let timeout = self.gate.policy().session.as_ref().map(|session| session.timeout).unwrap_or_default();
            self.now_ms += u64::try_from(timeout.as_millis()).unwrap_or_default();
            step = of(context, self.gate.tick(self.now())).unwrap_or(Step::Wait);
        }
        self.outcome(step, asked)
    }

    fn outcome(&self, step: Step, asked: bool) -> Outcome {
        let (decision, rule, credential) = match step {
            Step::Release(permit) => (Decision::Released(permit.mark), permit.rule, permit.principal),
            Step::Deny(denial) | Step::Cut(denial) | Step::Spare(denial) => {
                (self.refused(&denial), denial.rule, denial.principal)
            }
            Step::Wait | Step::Ask(_) => (Decision::Waits, None, None),
        };
        Outcome { decision, rule, facts: credential.map(|credential| credential.facts.clone()), asked, then: None }
    }

    fn refused(&self, denial: &Denial) -> Decision {
        Decision::Refused(denial.refusal.code, Box::new(denial.answer(self.gate.policy(), self.gate.requests_url())))
    }

    /// Changes the session of an open request.
    fn stay_open(&mut self, context: u32, session: &Session) -> Decision {
        self.now_ms += LASTING_MS;
        self.gate.tick(self.now());
        self.service.set_session(session);
        self.service.set_facts(self.facts.1.clone());
        match of(context, self.exchange()) {
            Some(Step::Cut(denial) | Step::Spare(denial)) => self.refused(&denial),
            _ => Decision::Released(None),
        }
    }

    /// Opens the check stream, if the policy uses one.
    fn connect(&mut self) {
        self.service.set_session(&Session::active());
        for _ in 0..LOOKS_MAX {
            self.exchange();
            if !self.has_stream || self.gate.is_connected() && !self.gate.is_busy() {
                return;
            }
            self.now_ms += PAUSE_MS;
            self.gate.tick(self.now());
        }
    }

    /// Carries messages between the gate and the session service until there are none left.
    fn exchange(&mut self) -> Vec<Due> {
        let mut due = Vec::new();
        while let Some(act) = self.gate.act(self.now().instant) {
            match act {
                Act::Open => {
                    let stream = self.service.open();
                    self.gate.opened(Some(stream), self.now().instant);
                }
                Act::Send { stream, message } => {
                    if let Some(answer) = self.service.answer(&message, self.now_ms) {
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
