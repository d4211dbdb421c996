//! A session service that says what it is told to: on the check stream, or as an introspection endpoint.

use crate::policy::cases::{Known, Session};
use portcullis_engine::{
    answer::Code,
    policy::{Policy, Protocol},
    wire::{FilterMessage, Outcome, Route, Scopes, ServiceMessage, Token, Verdict, Welcome},
};
use prost::Message;
use serde_json::{Map, Value, json};
use std::{collections::HashMap, time::Duration};

pub(super) struct Service {
    session: Session,
    is_endpoint: bool,
    /// What an opaque token means; nothing for one that means nothing.
    pub(super) reads: Option<Map<String, Value>>,
    /// Every claim that holds scopes.
    scope_claims: Vec<String>,
    /// How often it was asked.
    pub(super) questions: u64,
    streams: u32,
    routes: Vec<Route>,
    tokens: HashMap<u32, Token>,
}

impl Session {
    /// A session without fault.
    pub fn active() -> Self {
        Self::Known(Known::default())
    }
}

impl Service {
    pub(super) fn new(policy: &Policy) -> Self {
        let protocol = policy.session.as_ref().map(|session| &session.protocol);
        Self {
            session: Session::active(),
            is_endpoint: matches!(protocol, Some(Protocol::Introspection(_))),
            reads: None,
            scope_claims: policy.issuers.iter().flat_map(|issuer| issuer.claim_names.scopes.clone()).collect(),
            questions: 0,
            streams: 0,
            routes: Vec::new(),
            tokens: HashMap::new(),
        }
    }

    /// Whether it is an introspection endpoint.
    pub(super) const fn is_endpoint(&self) -> bool {
        self.is_endpoint
    }

    /// Hears what state every session is in from now on.
    pub(super) fn hear(&mut self, session: &Session) {
        self.session = session.clone();
    }

    /// The number of a new check stream.
    pub(super) fn open(&mut self) -> u32 {
        self.streams += 1;
        self.tokens.clear();
        self.streams
    }

    /// What it says to a message of the check stream.
    pub(super) fn answer(&mut self, message: &[u8]) -> Option<Vec<u8>> {
        let message = FilterMessage::decode(message).ok()?;
        let mut answer = ServiceMessage::default();
        if let Some(hello) = message.hello {
            self.routes = hello.routes;
            answer.welcome = Some(Welcome::default());
        }
        self.tokens.extend(message.tokens.into_iter().map(|token| (token.handle, token)));
        self.questions += message.questions.len() as u64;
        answer.verdicts =
            message.questions.iter().filter_map(|asked| self.verdict(asked.id, asked.token, asked.route)).collect();
        answer.followed =
            message.follows.iter().filter_map(|asked| self.verdict(asked.id, asked.token, asked.route)).collect();
        (answer != ServiceMessage::default()).then(|| answer.encode_to_vec())
    }

    /// The verdict on a token's session for a route; none in an outage.
    fn verdict(&self, id: u32, token: u32, route: u32) -> Option<Verdict> {
        let route = self.routes.get(usize::try_from(route).ok()?)?;
        let outcome = match &self.session {
            Session::Outage { .. } => return None,
            Session::Over(code) => outcome(*code),
            Session::Known(known) if is_over(route.max_age_ms, known.age) => Outcome::StepUpRequired,
            Session::Known(known) if is_over(route.max_idle_ms, known.idle) => Outcome::IdleTimeout,
            Session::Known(known) => {
                let narrowed = narrowed(&self.tokens.get(&token)?.scopes, known);
                return Some(Verdict { id, outcome: Outcome::Active.into(), narrowed, ..Verdict::default() });
            }
        };
        Some(Verdict { id, outcome: outcome.into(), ..Verdict::default() })
    }

    /// What it says of a token as an introspection endpoint that knows nothing of Portcullis.
    pub(super) fn introspect(&mut self) -> Option<Vec<u8>> {
        self.questions += 1;
        let known = match &self.session {
            Session::Outage { .. } => return None,
            Session::Over(_) => return Some(json!({"active": false}).to_string().into_bytes()),
            Session::Known(known) => known,
        };
        let mut answer = self.reads.clone().unwrap_or_default();
        answer.insert("active".to_owned(), json!(self.reads.is_some()));
        if let Some(scopes) = &known.scopes {
            self.scope_claims.iter().for_each(|claim| drop(answer.remove(claim)));
            answer.insert("scope".to_owned(), json!(scopes.join(" ")));
        }
        Some(Value::Object(answer).to_string().into_bytes())
    }
}

/// A limit is over at its very instant.
fn is_over(limit_ms: Option<u64>, time: Duration) -> bool {
    limit_ms.is_some_and(|limit_ms| time.as_millis() >= u128::from(limit_ms))
}

/// The token's scopes that the session has left, if it has not all of them.
fn narrowed(of_token: &[String], known: &Known) -> Option<Scopes> {
    let left = known.scopes.as_ref()?;
    let scopes: Vec<String> = of_token.iter().filter(|scope| left.contains(scope)).cloned().collect();
    (scopes.len() < of_token.len()).then_some(Scopes { scopes })
}

const fn outcome(code: Code) -> Outcome {
    match code {
        Code::SessionIdleTimeout => Outcome::IdleTimeout,
        Code::SessionLifetimeExceeded => Outcome::LifetimeExceeded,
        Code::SessionRevoked => Outcome::Revoked,
        Code::SessionUnknown => Outcome::UnknownSession,
        Code::ScopeEscalation => Outcome::ScopeEscalation,
        Code::StepUpRequired => Outcome::StepUpRequired,
        // No word of the session service comes to any other.
        _ => Outcome::Unspecified,
    }
}
