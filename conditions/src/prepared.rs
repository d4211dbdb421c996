//! What is left to decide for one session, route and method.

use crate::{
    Answer, Refusal, Request, Session,
    members::{Facts, Member, Needs},
    parsed::Condition,
    reduce::as_bool,
    set::Common,
    sliced::Parties,
};
use cedar_policy_core::{
    ast::{Expr, Value},
    entities::Entities,
    evaluator::Evaluator,
    extensions::Extensions,
};
use std::{cmp::Ordering, sync::Arc};

/// The reason if a condition cannot be evaluated.
const FAILED: &str = "the condition could not be evaluated";

/// What is left to decide for one session, route and method, until the session's generation changes.
#[derive(Debug, Clone)]
pub struct Prepared(State);

#[derive(Debug, Clone)]
enum State {
    Settled(Arc<Decision>),
    Depends(Arc<Rest>),
}

/// What conditions decide about a request that is good otherwise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// No condition forbids it.
    Allowed,
    /// A condition forbids it.
    Refused(Refusal),
}

#[derive(Debug)]
struct Rest {
    common: Arc<Common>,
    residual: Residual,
    parties: Parties,
    /// Only if entities are mentioned in what is left.
    entities: Option<Entities>,
    needs: Needs,
}

/// Conditions that forbid the request, and those that depend on the question.
#[derive(Debug, Default)]
pub(crate) struct Residual {
    forbids: Vec<Forbids>,
    depends: Vec<(Arc<Condition>, Expr)>,
    pub(crate) constants: Vec<Value>,
}

/// A condition that forbids the request.
#[derive(Debug, Clone)]
struct Forbids {
    condition: Arc<Condition>,
    /// Because it cannot be evaluated.
    failed: bool,
}

impl Forbids {
    /// Which of several conditions answers: by kind of answer, then by the order of files and lines.
    fn rank(&self) -> (u8, usize) {
        rank(&self.condition, self.failed)
    }

    fn refusal(&self, all: &[Self]) -> Refusal {
        let about = &self.condition.annotations;
        let (answer, reason) = match self.failed {
            true => (Answer::ConditionFailed, FAILED.to_owned()),
            false => (about.answer.clone(), about.reason.clone()),
        };
        let others = all.iter().filter(|other| other.condition.order != self.condition.order);
        let ids = std::iter::once(self).chain(others).map(|forbids| forbids.condition.annotations.id.clone());
        Refusal { answer, id: about.id.clone(), reason, tell: about.tell && !self.failed, policies: ids.collect() }
    }
}

fn rank(condition: &Condition, failed: bool) -> (u8, usize) {
    let kind = match (&condition.annotations.answer, failed) {
        (Answer::ConditionFailed, _) | (_, true) => 0,
        (Answer::ApprovalRequired { .. }, false) => 1,
        (Answer::StepUpRequired { .. }, false) => 2,
    };
    (kind, condition.order)
}

impl Residual {
    pub(crate) fn forbids(&mut self, condition: &Arc<Condition>, failed: bool) {
        self.forbids.push(Forbids { condition: Arc::clone(condition), failed });
    }

    pub(crate) fn depends(&mut self, condition: &Arc<Condition>, expr: Expr) {
        self.depends.push((Arc::clone(condition), expr));
    }

    pub(crate) fn exprs(&self) -> impl Iterator<Item = &Expr> {
        self.depends.iter().map(|(_, expr)| expr)
    }

    /// Leaves out conditions that cannot change the answer: one that is certain comes first even if they forbid, and if they
    /// fail.
    fn settle(&mut self) {
        let Some(first) = self.forbids.iter().map(Forbids::rank).min() else { return };
        self.depends.retain(|(condition, _)| rank(condition, true).cmp(&first) == Ordering::Less);
    }
}

impl Prepared {
    pub(crate) fn allowed() -> Self {
        Self(State::Settled(Arc::new(Decision::Allowed)))
    }

    pub(crate) fn refused(refusal: Refusal) -> Self {
        Self(State::Settled(Arc::new(Decision::Refused(refusal))))
    }

    pub(crate) fn of(
        common: &Arc<Common>,
        mut residual: Residual,
        parties: Parties,
        entities: Option<Entities>,
    ) -> Self {
        residual.settle();
        if residual.depends.is_empty() {
            return match first(&residual.forbids) {
                Some(refusal) => Self::refused(refusal),
                None => Self::allowed(),
            };
        }
        let needs = residual.exprs().map(Needs::of).fold(Needs::default(), Needs::and);
        let common = Arc::clone(common);
        Self(State::Depends(Arc::new(Rest { common, residual, parties, entities, needs })))
    }

    /// Decides a question about the session that this was prepared for, in the generation that this was prepared for.
    pub fn decide(&self, session: &Session, request: &Request) -> Decision {
        match &self.0 {
            State::Settled(decision) => decision.as_ref().clone(),
            State::Depends(rest) => rest.decide(session, request),
        }
    }

    /// The decision, if it is the same for every question.
    pub fn settled(&self) -> Option<&Decision> {
        match &self.0 {
            State::Settled(decision) => Some(decision),
            State::Depends(_) => None,
        }
    }

    /// Whether time alone can change the decision.
    pub fn depends_on_time(&self) -> bool {
        match &self.0 {
            State::Depends(rest) => {
                [Member::Now, Member::LoginAge, Member::SessionAge].into_iter().any(|member| rest.needs.has(member))
            }
            State::Settled(_) => false,
        }
    }
}

impl Rest {
    fn decide(&self, session: &Session, request: &Request) -> Decision {
        let Common { vocabulary, declared, none, .. } = self.common.as_ref();
        let facts = Facts { vocabulary, declared, session };
        let context = facts.context(self.needs, request, &self.residual.constants);
        let entities = self.entities.as_ref().unwrap_or(none);
        let evaluator = Evaluator::new(self.parties.request(Some(context)), entities, Extensions::all_available());
        let slots = Default::default();
        let evaluated = self.residual.depends.iter().filter_map(|(condition, expr)| {
            let failed = match evaluator.interpret(expr, &slots) {
                Ok(value) if as_bool(&value) == Some(false) => return None,
                Ok(value) => as_bool(&value) != Some(true),
                Err(_) => true,
            };
            Some(Forbids { condition: Arc::clone(condition), failed })
        });
        let mut forbids: Vec<_> = evaluated.collect();
        forbids.extend(self.residual.forbids.iter().cloned());
        match first(&forbids) {
            Some(refusal) => Decision::Refused(refusal),
            None => Decision::Allowed,
        }
    }
}

/// The refusal of the condition that answers.
fn first(forbids: &[Forbids]) -> Option<Refusal> {
    forbids.iter().min_by_key(|forbids| forbids.rank()).map(|first| first.refusal(forbids))
}
