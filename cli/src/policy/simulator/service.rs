//! A session service with scripted answers, on the check stream or as an introspection endpoint.

use super::judge::{Asked, Judge};
use crate::policy::cases::{CaseFacts, Known, Session, put_scopes};
use portcullis_engine::{
    answer::Code,
    policy::{Policy, Protocol, ScopeClaim},
    wire::{
        self, APPROVALS, BEAT, CONDITIONS, COOKIES, FilterMessage, MintedToken, Outcome, PROOFS, Route, Scopes,
        ServiceMessage, Token, UPSTREAM_TOKENS, Verdict, Welcome,
    },
};
use prost::Message;
use serde_json::{Map, Value, json};
use std::{collections::HashMap, time::Duration};

pub(super) struct Service {
    session: Session,
    is_endpoint: bool,
    /// The claims of the current token; `None` if it is not active.
    pub(super) claims: Option<Map<String, Value>>,
    /// The token of every handle that is asked about; `None`: nobody knows any.
    pub(super) token_of_handles: Option<String>,
    /// Every claim with scopes.
    scope_claims: Vec<ScopeClaim>,
    /// The number of questions so far.
    pub(super) questions: u64,
    streams: u32,
    routes: Vec<Route>,
    /// The scopes that somebody has to approve.
    approvals: Vec<String>,
    tokens: HashMap<u32, Token>,
    /// Judges by conditions, if there are any.
    pub(super) judge: Option<Judge>,
    /// What conditions are told.
    facts: CaseFacts,
}

/// A token for the upstream, which no upstream will see here.
fn minted(wanted: &wire::UpstreamToken, now_ms: u64) -> MintedToken {
    MintedToken { id: 0, token: "simulated".to_owned(), expires_at_ms: now_ms.saturating_add(wanted.ttl_ms) }
}

impl Session {
    /// An active session.
    pub(crate) fn active() -> Self {
        Self::Known(Known::default())
    }
}

impl Service {
    pub(super) fn new(policy: &Policy) -> Self {
        let protocol = policy.session.as_ref().map(|session| &session.protocol);
        Self {
            session: Session::active(),
            is_endpoint: matches!(protocol, Some(Protocol::Introspection(_))),
            claims: None,
            token_of_handles: None,
            scope_claims: policy.issuers.iter().flat_map(|issuer| issuer.claim_names.scopes.clone()).collect(),
            questions: 0,
            streams: 0,
            routes: Vec::new(),
            approvals: Vec::new(),
            tokens: HashMap::new(),
            judge: None,
            facts: CaseFacts::default(),
        }
    }

    /// Whether it is an introspection endpoint.
    pub(super) const fn is_endpoint(&self) -> bool {
        self.is_endpoint
    }

    /// Sets the state of every session.
    pub(super) fn set_session(&mut self, session: &Session) {
        self.session = session.clone();
    }

    /// Sets what conditions are told about every session.
    pub(super) fn set_facts(&mut self, facts: CaseFacts) {
        self.facts = facts;
    }

    /// Opens a check stream and returns its id.
    pub(super) fn open(&mut self) -> u32 {
        self.streams += 1;
        self.tokens.clear();
        self.streams
    }

    /// The response to a message on the check stream, at this time.
    pub(super) fn answer(&mut self, message: &[u8], now_ms: u64) -> Option<Vec<u8>> {
        let message = FilterMessage::decode(message).ok()?;
        let mut answer = ServiceMessage::default();
        if let Some(hello) = message.hello {
            self.routes = hello.routes;
            self.approvals = hello.approvals;
            let mut capabilities = [BEAT, APPROVALS, PROOFS, UPSTREAM_TOKENS, COOKIES].map(str::to_owned).to_vec();
            if let Some(judge) = &mut self.judge {
                judge.hello(&self.routes);
                capabilities.push(CONDITIONS.to_owned());
            }
            answer.welcome = Some(Welcome { capabilities, ..Welcome::default() });
        }
        self.tokens.extend(message.tokens.into_iter().map(|token| (token.handle, token)));
        self.questions += (message.questions.len() + message.redemptions.len()) as u64;
        if !matches!(self.session, Session::Outage { .. }) {
            answer.redeemed = message.redemptions.iter().map(|redemption| self.redeemed(redemption.id)).collect();
        }
        let verdicts = message.questions.iter().filter_map(|question| {
            let wire::Question { id, token, route, method, client_address, circumstances, .. } = question;
            let circumstances = circumstances.as_ref();
            self.verdict((*id, *token, *route), Asked { method, address: client_address, circumstances, now_ms })
        });
        answer.verdicts = verdicts.collect();
        let followed = message.follows.iter().filter_map(|follow| {
            let wire::Follow { id, token, route, method, client_address, circumstances, .. } = follow;
            let circumstances = circumstances.as_ref();
            self.verdict((*id, *token, *route), Asked { method, address: client_address, circumstances, now_ms })
        });
        answer.followed = followed.collect();
        (answer != ServiceMessage::default()).then(|| answer.encode_to_vec())
    }

    /// What has become of a handle. Whether the session is over is said by verdicts.
    fn redeemed(&self, id: u32) -> wire::Redeemed {
        let (outcome, token) = match &self.token_of_handles {
            Some(token) => (Outcome::Active, token.clone()),
            None => (Outcome::UnknownSession, String::new()),
        };
        wire::Redeemed { id, outcome: outcome.into(), token, renew_ms: u64::MAX }
    }

    /// The verdict on a token's session for a route, except in an outage.
    fn verdict(&mut self, (id, token, route): (u32, u32, u32), asked: Asked<'_>) -> Option<Verdict> {
        let index = usize::try_from(route).ok()?;
        let route = self.routes.get(index)?;
        let outcome = match &self.session {
            Session::Outage { .. } => return None,
            Session::Over(code) => outcome(*code),
            Session::Known(known) if is_over(route.max_age_ms, known.age) => Outcome::StepUpRequired,
            Session::Known(known) if is_over(route.max_idle_ms, known.idle) => Outcome::IdleTimeout,
            Session::Known(known) => {
                let token = self.tokens.get(&token)?;
                let of_token = &token.scopes;
                let is_held_back =
                    |scope: &String| self.approvals.contains(scope) && !known.grants.iter().any(|grant| grant == scope);
                let left = left(of_token, known);
                let held: Vec<String> = left.iter().filter(|scope| !is_held_back(scope)).cloned().collect();
                if is_met(route, &left) && !is_met(route, &held) {
                    return Some(Verdict { id, outcome: Outcome::ApprovalRequired.into(), ..Verdict::default() });
                }
                let judge = self.judge.as_mut();
                if let Some(refused) = judge.and_then(|judge| judge.verdict(index, token, known, &self.facts, asked)) {
                    return Some(Verdict { id, ..refused });
                }
                let narrowed = (held.len() < of_token.len()).then_some(Scopes { scopes: held });
                let upstream_token = route.upstream_token.as_ref().map(|wanted| minted(wanted, asked.now_ms));
                let outcome = Outcome::Active.into();
                return Some(Verdict { id, outcome, narrowed, upstream_token, ..Verdict::default() });
            }
        };
        Some(Verdict { id, outcome: outcome.into(), ..Verdict::default() })
    }

    /// The response of an introspection endpoint that knows nothing about Portcullis.
    pub(super) fn introspect(&mut self) -> Option<Vec<u8>> {
        self.questions += 1;
        let known = match &self.session {
            Session::Outage { .. } => return None,
            Session::Over(_) => return Some(json!({"active": false}).to_string().into_bytes()),
            Session::Known(known) => known,
        };
        let mut answer = self.claims.clone().unwrap_or_default();
        answer.insert("active".to_owned(), json!(self.claims.is_some()));
        if let Some(scopes) = &known.scopes {
            let had: Vec<_> = self.scope_claims.iter().filter(|claim| has(&answer, claim)).collect();
            had.iter().for_each(|claim| put_scopes(&mut answer, claim, scopes));
            answer.insert("scope".to_owned(), json!(scopes.join(" ")));
        }
        Some(Value::Object(answer).to_string().into_bytes())
    }
}

fn has(answer: &Map<String, Value>, claim: &ScopeClaim) -> bool {
    claim.path().first().is_some_and(|name| answer.contains_key(name))
}

/// A limit is exceeded as soon as it is reached.
fn is_over(limit_ms: Option<u64>, time: Duration) -> bool {
    limit_ms.is_some_and(|limit_ms| time.as_millis() >= u128::from(limit_ms))
}

/// Whether these scopes meet the requirement of a route.
fn is_met(route: &Route, held: &[String]) -> bool {
    let have = |scopes: &[String]| scopes.iter().all(|scope| held.contains(scope));
    let mut groups = route.any_of.iter();
    have(&route.all_of) && (route.any_of.is_empty() || groups.any(|group| have(&group.scopes)))
}

/// The token's scopes that the session still has.
fn left(of_token: &[String], known: &Known) -> Vec<String> {
    let is_left = |scope: &&String| known.scopes.as_ref().is_none_or(|left| left.contains(scope));
    of_token.iter().filter(is_left).cloned().collect()
}

const fn outcome(code: Code) -> Outcome {
    match code {
        Code::SessionIdleTimeout => Outcome::IdleTimeout,
        Code::SessionLifetimeExceeded => Outcome::LifetimeExceeded,
        Code::SessionRevoked => Outcome::Revoked,
        Code::SessionUnknown => Outcome::UnknownSession,
        Code::ScopeEscalation => Outcome::ScopeEscalation,
        Code::StepUpRequired => Outcome::StepUpRequired,
        Code::Blocked => Outcome::Blocked,
        Code::ApprovalRequired => Outcome::ApprovalRequired,
        Code::ConditionFailed => Outcome::ConditionFailed,
        // No other code stems from a verdict of the session service.
        _ => Outcome::Unspecified,
    }
}
