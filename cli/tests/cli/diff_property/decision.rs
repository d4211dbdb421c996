//! What becomes of a request, decided by the filter's own code: route, token, scopes, and the request machine.

use super::draft::SCOPES;
use portcullis_engine::{
    answer::Code,
    authorize::{
        Arrival, Denial, Event, Head, Inquiry, Known, Next, Principal, Request, RequestAttributes, Step, Verdict,
        local::{Routed, question, route, token},
    },
    policy::Policy,
    route::RuleId,
    time::Monotonic,
    token::{Facts, IssuerId, SessionId, SessionKey, TokenDigest},
};
use std::rc::Rc;

/// Now, in milliseconds.
const NOW_MS: u64 = 1_000_000_000;
const MINUTE_MS: u64 = 60_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Asked<'a> {
    pub(crate) host: &'a str,
    pub(crate) method: &'a str,
    pub(crate) path: &'a str,
    pub(crate) preflight: bool,
}

/// Who asks: without a token, or with one, and what the session service would say.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Holder {
    /// Which scopes the token has, a bit each.
    pub(crate) scopes: usize,
    pub(crate) acr: Option<&'static str>,
    /// How long ago the login was, if the token says so.
    pub(crate) login_ms: Option<u64>,
    pub(crate) service: Service,
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum Service {
    /// Age and idle time of the session, and the scopes that are left of it.
    Answers { age_ms: u64, idle_ms: u64, left: usize },
    /// Out; with the time since the same was last granted.
    Out { granted_ms: Option<u64> },
}

/// What becomes of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Outcome {
    pub(crate) released: bool,
    /// Whether it keeps its session alive.
    pub(crate) touches: bool,
    /// Whether it goes on when its token expires.
    pub(crate) outlives: bool,
}

impl Outcome {
    /// Whether this is more than the other allows. What is released anyway may only differ in what it does to its session.
    pub(crate) fn is_easier_than(self, other: Self) -> bool {
        let both = self.released && other.released;
        self.released && !other.released || both && (self.touches && !other.touches || self.outlives && !other.outlives)
    }
}

/// A rule and a request for it, or the decision where there is no rule to ask.
pub(crate) enum Way {
    Decided(bool),
    Rule(RuleId),
}

pub(crate) fn way(policy: &Policy, asked: &Asked<'_>, has_token: bool) -> Way {
    let mut headers =
        vec![header(":method", asked.method), header(":authority", asked.host), header(":path", asked.path)];
    if has_token {
        headers.push(header("authorization", "Bearer a"));
    }
    if asked.preflight {
        headers.extend([header("origin", "https://app.example"), header("access-control-request-method", "PUT")]);
    }
    match route(&Head::read(&headers), policy) {
        Ok(Routed::Guarded(rule)) => Way::Rule(rule),
        Ok(Routed::Public(_) | Routed::OAuth(_)) => Way::Decided(true),
        Err(denial) => Way::Decided(is_released(denial, policy)),
    }
}

/// Whether shadow mode lets pass what is refused.
fn is_released(denial: Denial, policy: &Policy) -> bool {
    matches!(Request::default().on(Event::Decided(Err(denial)), policy), Step::Release(_))
}

fn header(name: &str, value: &str) -> (String, Vec<u8>) {
    (name.to_owned(), value.as_bytes().to_vec())
}

/// What becomes of a request for a rule that wants a token.
pub(crate) fn decide(policy: &Policy, rule: RuleId, method: &str, holder: &Holder) -> Outcome {
    let names = |mask: usize| {
        SCOPES.iter().enumerate().filter(move |(bit, _)| mask & (1 << bit) != 0).map(|(_, name)| (*name).to_owned())
    };
    let facts = Facts {
        issuer: "https://id.example".into(),
        session_key: SessionKey::Claim("sid".into()),
        session_id: SessionId([0; 16]),
        subject: Some("alice".into()),
        client_id: None,
        scopes: names(holder.scopes).collect(),
        issued_at_ms: NOW_MS - MINUTE_MS,
        expires_at_ms: NOW_MS + MINUTE_MS,
        dies_at_ms: NOW_MS + MINUTE_MS,
        authenticated_at_ms: holder.login_ms.map(|ago| NOW_MS - ago),
        is_login_unreadable: false,
        acr: holder.acr.map(str::to_owned),
        email: None,
        jti: None,
        grant: String::new(),
        binding: None,
        conditions: None,
        digest: TokenDigest([7; 32]),
    };
    let principal = Rc::new(Principal::new(IssuerId(0), facts, policy));
    let attributes = Rc::new(RequestAttributes { method: method.to_owned(), ..RequestAttributes::default() });
    let deadline = Monotonic(u64::MAX);
    let arrival = Arrival { rule, token: "".into(), attributes, presented: None, deadline, behind: None };
    let asked = |event: Event, now_ms| {
        let mut request = Request::default();
        let decision =
            question(&principal, &arrival, policy, now_ms).map(|question| Next::Ask(Inquiry::Session(question)));
        match request.on(Event::Decided(decision), policy) {
            Step::Ask(Inquiry::Session(_)) => matches!(request.on(event, policy), Step::Release(_)),
            Step::Release(_) => true,
            _ => false,
        }
    };
    let limits = &policy.rules[rule.0].limits;
    let released = match holder.service {
        Service::Answers { age_ms, idle_ms, left } => {
            let passed = |limit: Option<std::time::Duration>, ms: u64| {
                limit.is_some_and(|limit| u128::from(ms) >= limit.as_millis())
            };
            let verdict = if passed(limits.max_age, age_ms) {
                Verdict::Ended(Code::SessionLifetimeExceeded.into())
            } else if passed(limits.max_idle, idle_ms) {
                Verdict::Ended(Code::SessionIdleTimeout.into())
            } else {
                let left: Vec<String> = names(holder.scopes & left).collect();
                Verdict::Active((left.len() < SCOPES.len()).then(|| left.into()))
            };
            asked(Event::Verdict(verdict, Some(NOW_MS)), NOW_MS)
        }
        Service::Out { granted_ms } => {
            let was_granted = |ago: &u64| asked(Event::Verdict(Verdict::Active(None), Some(NOW_MS)), NOW_MS - ago);
            let known = Known { granted_ago_ms: granted_ms.filter(was_granted), ..Known::default() };
            asked(Event::NoVerdict(known, Some(NOW_MS)), NOW_MS)
        }
    };
    Outcome { released, touches: limits.touch, outlives: limits.outlive_token }
}

/// Whether a request for a rule passes without a token.
pub(crate) fn passes_without_token(policy: &Policy, rule: RuleId) -> bool {
    token(&Head::read(&[]), policy, rule).map_or_else(|denial| is_released(denial, policy), |_| false)
}

/// Holders that the limits of the drafts tell apart: who has the best of all but one thing, for each thing, and some who lack
/// several.
pub(crate) fn holders() -> Vec<Holder> {
    const TEN: u64 = 10 * MINUTE_MS;
    let all = (1 << SCOPES.len()) - 1;
    let answers = |age_ms, idle_ms, left| Service::Answers { age_ms, idle_ms, left };
    let services = [
        answers(MINUTE_MS, MINUTE_MS, all),
        answers(MINUTE_MS, MINUTE_MS, 0b0101),
        answers(MINUTE_MS, MINUTE_MS, 0b0010),
        answers(TEN, MINUTE_MS, all),
        answers(12 * TEN, MINUTE_MS, all),
        answers(MINUTE_MS, TEN, all),
        answers(MINUTE_MS, 12 * TEN, all),
        Service::Out { granted_ms: None },
        Service::Out { granted_ms: Some(5_000) },
        Service::Out { granted_ms: Some(30_000) },
    ];
    let acrs = [Some("aal2"), Some("aal1"), None];
    let logins = [None, Some(MINUTE_MS), Some(TEN), Some(12 * TEN)];
    let mut holders = Vec::new();
    for (s, service) in services.into_iter().enumerate() {
        for (a, acr) in acrs.into_iter().enumerate() {
            for (l, login_ms) in logins.into_iter().enumerate() {
                for scopes in 0..=all {
                    let lacks = [s, a, l, all - scopes].into_iter().filter(|lack| *lack != 0).count();
                    if lacks <= 1 || (s + 3 * a + 5 * l + 7 * scopes) % 23 == 0 {
                        holders.push(Holder { scopes, acr, login_ms, service });
                    }
                }
            }
        }
    }
    holders
}
