//! One evaluation: the judge is asked as for a question of a filter, except that nothing is touched, and what a filter looks at
//! itself (the token's dates, its scopes and its authentication context) is looked at here.

use super::context;
use super::decision::Decision;
use super::fault::Fault;
use super::request::{Entity, Evaluation};
use crate::audit::DeniedEvaluation;
use crate::bound_token::{BoundToken, Required};
use crate::check_stream::Described;
use crate::conditions::{METHODS, Request};
use crate::intern::ScopeSet;
use crate::judge::Asked;
use crate::service::Service;
use crate::session::Session;
use crate::token::Token;
use portcullis_contract::code;
use portcullis_contract::wire::{Condition, Outcome};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// What a filter refuses by itself.
const TOKEN_EXPIRED: &str = "token_expired";
const INSUFFICIENT_SCOPE: &str = "insufficient_scope";

/// Why a question is none that anything is known of.
const RESOURCE_UNKNOWN: &str = "resource_unknown";
const ACTION_UNKNOWN: &str = "action_unknown";

/// Whoever asks for access.
struct Subject {
    token: Arc<Token>,
    /// The authentication context of its token, if it is known.
    acr: Option<String>,
    /// The token says when its login was, and nobody can read it.
    is_login_unreadable: bool,
}

/// Answers the evaluations of one request.
pub(super) struct Evaluator<'s> {
    service: &'s Arc<Service>,
    routes: HashMap<Box<str>, Vec<Described>>,
}

impl<'s> Evaluator<'s> {
    /// One for these evaluations: their routes are looked for together, since policies can have many.
    pub(super) fn of<'e>(service: &'s Arc<Service>, evaluations: impl IntoIterator<Item = &'e Evaluation>) -> Self {
        let resources = evaluations.into_iter().map(|evaluation| &evaluation.resource);
        let names: HashSet<&str> =
            resources.filter(|resource| resource.kind == "route").map(|resource| resource.id.as_str()).collect();
        Self { service, routes: service.route_tables.named(&names) }
    }

    /// Decides, counts, and has denials audited.
    pub(super) async fn evaluate(&self, evaluation: &Evaluation) -> Result<Decision, Fault> {
        let subject = self.subject(&evaluation.subject);
        let decision = self.decide(evaluation, &subject).await?;
        self.service.metrics.authzen.decided(&decision);
        if !decision.decision {
            self.service.audit.denied_evaluation(&DeniedEvaluation {
                token: subject.as_ref().ok().map(|subject| &*subject.token),
                route: &evaluation.resource.id,
                action: &evaluation.action,
                outcome: decision.reason(),
                condition: &decision.condition,
            });
        }
        Ok(decision)
    }

    async fn decide(
        &self,
        evaluation: &Evaluation,
        subject: &Result<Subject, &'static str>,
    ) -> Result<Decision, Fault> {
        let Evaluation { action, resource, context, .. } = evaluation;
        let known = self.routes.get(resource.id.as_str()).filter(|_| resource.kind == "route");
        let Some(routes) = known else { return Ok(Decision::deny(RESOURCE_UNKNOWN)) };
        if !METHODS.contains(&action.as_str()) {
            return Ok(Decision::deny(ACTION_UNKNOWN));
        }
        let subject = match subject {
            Ok(subject) => subject,
            Err(code) => return Ok(Decision::deny(code)),
        };
        let service = self.service;
        // Not verified: it then opens no session, is no activity, and adds nothing to one.
        let mut bound = BoundToken::unverified(Arc::clone(&subject.token)).holding_back(&service.approvals());
        service.bind(&mut bound, false, service.clock.now_ms()).await.map_err(|_| Fault::Unavailable)?;
        if !service.registry.lease().holds() {
            return Err(Fault::Unavailable);
        }
        let asked = context::request(action, context);
        // Policies of several filters may have a route of that name: it is what all of them let through.
        for route in routes {
            let decision = self.on(subject, &mut bound, route, Request::of(&asked)).await;
            if !decision.decision {
                return Ok(decision);
            }
        }
        Ok(Decision::permit())
    }

    async fn on(&self, subject: &Subject, bound: &mut BoundToken, route: &Described, request: Request<'_>) -> Decision {
        let (service, now_ms) = (self.service, self.service.clock.now_ms());
        let asked = Asked { background: true, ..route.asked };
        let mut answer = {
            let on = service.conditions.clone().map(|conditions| route.conditions(conditions));
            let conditions = on.as_ref().and_then(|on| route.asking(on, request));
            let required =
                Required { scopes: Some(&route.requirement), acr: &route.acr, conditions, ..Required::default() };
            bound.answer(&service.registry, asked, required, now_ms)
        };
        let condition = answer.verdict.condition.take().unwrap_or_default();
        if let Some(session) = answer.awaits {
            service.make_durable(vec![session]).await;
        }
        match answer.verdict.outcome() {
            Outcome::Active => {}
            Outcome::StepUpRequired => return step_up(route, &condition),
            outcome => return Decision::deny(code::of(outcome).unwrap_or(code::SESSION_UNKNOWN)).by(&condition),
        }
        let left = answer.verdict.narrowed.map(|left| left.scopes);
        let holds = |scope: &String| match &left {
            Some(left) => left.contains(scope),
            None => subject.token.scopes.holds(scope),
        };
        if !route.requirement.met_by(holds) {
            return Decision::deny(INSUFFICIENT_SCOPE);
        }
        // The session's start would stand for a login whose time is unreadable.
        let is_too_old = subject.is_login_unreadable && route.asked.max_age_ms.is_some();
        if is_too_old || !is_strong_enough(subject, bound, route, now_ms) {
            return step_up(route, &condition);
        }
        Decision::permit()
    }

    fn subject(&self, Entity { kind, id }: &Entity) -> Result<Subject, &'static str> {
        let (registry, now_ms) = (&self.service.registry, self.service.clock.now_ms());
        match kind.as_str() {
            "session" => {
                let session = id.parse().ok().and_then(|id| registry.find(id)).ok_or(code::SESSION_UNKNOWN)?;
                let token = Arc::new(token_of(&session, now_ms));
                Ok(Subject { token, acr: None, is_login_unreadable: false })
            }
            "token" => {
                let read = registry.issuers().read(id).map_err(|_| code::INVALID_TOKEN)?;
                if read.is_expired(now_ms) {
                    return Err(TOKEN_EXPIRED);
                }
                if read.is_early(now_ms) {
                    return Err(code::INVALID_TOKEN);
                }
                let token = Token::read(&read.facts.to_wire(0), registry.names(), now_ms);
                Ok(Subject {
                    token: Arc::new(token.map_err(|_| code::INVALID_TOKEN)?),
                    acr: read.facts.acr.clone(),
                    is_login_unreadable: read.facts.is_login_unreadable,
                })
            }
            _ => Err(code::SESSION_UNKNOWN),
        }
    }
}

/// What the newest token of a session would say, as far as the session knows.
fn token_of(session: &Session, now_ms: u64) -> Token {
    let marks = session.marks();
    let grants = session.live_grants(now_ms);
    let granted = session.granted();
    let scopes = ScopeSet::new(granted.iter().chain(grants.iter().flat_map(|(scopes, _)| scopes.iter())));
    Token {
        id: session.id,
        issuer: Arc::clone(&session.issuer),
        kind: session.kind,
        key: session.key.clone(),
        subject: session.subject.clone(),
        client: Arc::clone(&session.client),
        scopes,
        issued_at_ms: marks.issued_ms,
        expires_at_ms: now_ms,
        authenticated_ms: Some(marks.authenticated_ms).filter(|at_ms| *at_ms > 0),
        start_ms: session.login_at_ms(),
        grant: "".into(),
        email: "".into(),
        digest: 0,
        acr: "".into(),
        further: None,
    }
}

/// Whether the login meets one of the route's authentication contexts: the judge has compared what the service knows better,
/// and the filter compares what the token says.
fn is_strong_enough(subject: &Subject, bound: &BoundToken, route: &Described, now_ms: u64) -> bool {
    let is_accepted = |context: &String| route.acr.contains(context);
    route.acr.is_empty()
        || match &subject.acr {
            Some(own) => is_accepted(own),
            None => bound.contexts(now_ms).iter().any(is_accepted),
        }
}

/// What a condition asks for wins over what the route does.
fn step_up(route: &Described, condition: &Condition) -> Decision {
    let mut decision = Decision::deny(code::STEP_UP_REQUIRED).by(condition);
    let acr = if condition.acr.is_empty() { &*route.acr } else { &condition.acr };
    if !acr.is_empty() {
        decision = decision.with("acr_values", acr.join(" ").into());
    }
    match condition.max_age_ms.or(route.asked.max_age_ms) {
        Some(max_age_ms) => decision.with("max_age", (max_age_ms / 1_000).into()),
        None => decision,
    }
}
