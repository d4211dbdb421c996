//! The conditions that can concern one route.

use crate::{
    Answer, Fault, Prepared, Refusal, Route, Session, entities,
    members::{Facts, Member, Needs},
    method::METHODS,
    parsed::Condition,
    prepared::Residual,
    reduce::{Reduced, Reducer, as_bool},
    set::Common,
    vocabulary::uid,
};
use cedar_policy_core::{
    ast::{EntityUID, EntityUIDEntry, Expr, ExprKind, Literal, Request, Var},
    entities::Entities,
    evaluator::Evaluator,
    extensions::Extensions,
};
use std::sync::Arc;

/// The conditions that can concern one route, by what is known of it.
#[derive(Debug)]
pub struct Sliced {
    common: Arc<Common>,
    route: EntityUID,
    /// The route, its sets and the methods.
    entities: Entities,
    kept: Vec<Kept>,
    /// Whether a session's user, client, groups or attributes count.
    uses_principal: bool,
    /// Whether there are no conditions at all, for any route.
    is_nothing: bool,
}

/// A condition, and what is left of it for the route.
#[derive(Debug)]
struct Kept {
    condition: Arc<Condition>,
    expr: Expr,
}

/// What a condition says about one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finding {
    /// It forbids the request.
    Forbids,
    /// It does not apply.
    DoesNotApply,
    /// It cannot be evaluated, so the request is refused.
    Fails(String),
}

impl Sliced {
    pub(crate) fn of<'a>(
        common: &Arc<Common>,
        route: &Route,
        conditions: impl Iterator<Item = &'a Arc<Condition>>,
        is_nothing: bool,
    ) -> Result<Self, Vec<Fault>> {
        let entities = entities::with(&common.actions, entities::route(&common.vocabulary, route));
        let entities = entities.ok_or_else(|| vec![Fault::of_file("route", &route.name, "the route is in itself")])?;
        let route = uid(&common.vocabulary.route, &route.name);
        let request =
            Request::new_unchecked(EntityUIDEntry::unknown(), EntityUIDEntry::unknown(), route.clone().into(), None);
        let evaluator = Evaluator::new(request, &entities, Extensions::all_available());
        let unknown = [Var::Principal, Var::Action];
        let mut reducer = Reducer { evaluator, unknown: &unknown, facts: None, constants: None };
        let mut kept = Vec::new();
        for condition in conditions {
            let expr = match reducer.reduce(&condition.expr) {
                Reduced::Value(value) if as_bool(&value) == Some(false) => continue,
                Reduced::Value(value) => Expr::from(value),
                Reduced::Rest(expr) | Reduced::Error(expr) => expr,
            };
            kept.push(Kept { condition: Arc::clone(condition), expr });
        }
        drop(reducer);
        let is_principal = |part: &Expr| matches!(part.expr_kind(), ExprKind::Var(Var::Principal));
        let uses_principal = kept.iter().any(|kept| kept.expr.subexpressions().any(is_principal));
        Ok(Self { common: Arc::clone(common), route, entities, kept, uses_principal, is_nothing })
    }

    /// How many conditions can concern the route.
    pub fn len(&self) -> usize {
        self.kept.len()
    }

    /// Whether none can.
    pub fn is_empty(&self) -> bool {
        self.kept.is_empty()
    }

    /// Whether any of them looks at the device that a request comes from.
    pub fn looks_at_device(&self) -> bool {
        self.kept.iter().any(|kept| Needs::of(&kept.expr).has(Member::Device))
    }

    /// The `@id` of each condition that can concern a method of the route.
    pub fn ids(&self, method: &str) -> impl Iterator<Item = &str> {
        let kept = self.kept.iter().filter(move |kept| kept.condition.methods.has(method));
        kept.map(|kept| kept.condition.annotations.id.as_str())
    }

    /// Evaluates what a session and a method decide, until the generation of the session changes.
    pub fn prepare(&self, session: &Session, method: &str) -> Prepared {
        if self.is_nothing {
            return Prepared::allowed();
        }
        if !METHODS.contains(&method) {
            return Prepared::refused(no_method());
        }
        let mut kept = self.kept.iter().filter(|kept| kept.condition.methods.has(method)).peekable();
        if kept.peek().is_none() {
            return Prepared::allowed();
        }
        let Some(entities) = self.entities_of(session) else { return Prepared::refused(no_entities()) };
        let parties = self.parties(session, method);
        let evaluator = Evaluator::new(parties.request(None), &entities, Extensions::all_available());
        let facts = self.facts(session);
        let mut reducer = Reducer { evaluator, unknown: &[], facts: Some(facts), constants: Some(Vec::new()) };
        let mut residual = Residual::default();
        for kept in kept {
            match reducer.reduce(&kept.expr) {
                Reduced::Value(value) if as_bool(&value) == Some(false) => {}
                Reduced::Value(_) => residual.forbids(&kept.condition, false),
                Reduced::Error(_) => residual.forbids(&kept.condition, true),
                Reduced::Rest(expr) => residual.depends(&kept.condition, expr),
            }
        }
        residual.constants = reducer.constants.take().unwrap_or_default();
        drop(reducer);
        let has_entity = |expr: &Expr| {
            expr.subexpressions().any(|part| matches!(part.expr_kind(), ExprKind::Lit(Literal::EntityUID(_))))
        };
        let entities = residual.exprs().any(has_entity).then_some(entities);
        Prepared::of(&self.common, residual, parties, entities)
    }

    /// What each condition of the route says about a request, without partial evaluation.
    pub fn findings(&self, session: &Session, request: &crate::Request) -> Vec<(String, Finding)> {
        let whole = entities::with(&self.entities, entities::session(&self.common.vocabulary, session));
        let Some(entities) = whole else { return Vec::new() };
        let facts = self.facts(session);
        let context = facts.context(Needs::ALL, request, &[]);
        let parties = self.parties(session, &request.method);
        let evaluator = Evaluator::new(parties.request(Some(context)), &entities, Extensions::all_available());
        let finding = |kept: &Kept| match evaluator.interpret(&kept.condition.expr, &Default::default()) {
            Ok(value) if as_bool(&value) == Some(false) => Finding::DoesNotApply,
            Ok(_) => Finding::Forbids,
            Err(error) => Finding::Fails(error.to_string()),
        };
        self.kept.iter().map(|kept| (kept.condition.annotations.id.clone(), finding(kept))).collect()
    }

    fn entities_of(&self, session: &Session) -> Option<Entities> {
        if !self.uses_principal {
            return Some(self.entities.clone());
        }
        entities::with(&self.entities, entities::session(&self.common.vocabulary, session))
    }

    fn facts<'a>(&'a self, session: &'a Session) -> Facts<'a> {
        Facts { vocabulary: &self.common.vocabulary, declared: &self.common.declared, session }
    }

    fn parties(&self, session: &Session, method: &str) -> Parties {
        Parties {
            principal: uid(&self.common.vocabulary.session, &session.id).into(),
            action: uid(&self.common.vocabulary.action, method).into(),
            resource: self.route.clone().into(),
        }
    }
}

/// Who does what with which route.
#[derive(Debug, Clone)]
pub(crate) struct Parties {
    principal: EntityUIDEntry,
    action: EntityUIDEntry,
    resource: EntityUIDEntry,
}

impl Parties {
    pub(crate) fn request(&self, context: Option<cedar_policy_core::ast::Context>) -> Request {
        Request::new_unchecked(self.principal.clone(), self.action.clone(), self.resource.clone(), context)
    }
}

fn no_method() -> Refusal {
    unnamed("method", "conditions have no action for this method")
}

fn no_entities() -> Refusal {
    unnamed("session", "the session cannot be shown to conditions")
}

/// A refusal that no condition of an operator is the reason for.
fn unnamed(id: &str, reason: &str) -> Refusal {
    let (id, reason) = (id.to_owned(), reason.to_owned());
    Refusal { answer: Answer::ConditionFailed, policies: vec![id.clone()], id, reason, tell: false }
}
