//! What conditions decide about a question, and how a refusal is answered.

use crate::judge::Refusal;
use portcullis_contract::wire::{self, Outcome};
use std::sync::Arc;

/// What conditions decide about a question that nothing else refuses.
#[derive(Debug, Clone, Default)]
pub(crate) struct Decided {
    /// Why it is refused; `None`: no condition forbids it.
    pub(crate) refused: Option<Arc<Refused>>,
    /// When it has to be decided again although nothing has changed.
    pub(crate) again_at_ms: Option<u64>,
}

/// How a refused request is answered, besides its reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Advice {
    /// Nothing that the client can do.
    None,
    /// Somebody can approve this scope.
    Request(String),
    /// Another login helps.
    StepUp {
        /// Authentication contexts, one of which would do; empty: any.
        acr: Vec<String>,
        /// How old the login may be.
        max_age_ms: Option<u64>,
    },
}

/// A refusal by a condition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refused {
    /// What helps.
    pub(crate) advice: Advice,
    /// The name of the condition.
    pub(crate) id: String,
    /// Why, in its author's words.
    pub(crate) reason: String,
    /// Whether the client is told the reason.
    pub(crate) tell: bool,
}

impl Refused {
    /// One that no policy states.
    pub(crate) fn by_default(id: &str, reason: &str) -> Self {
        Self { advice: Advice::None, id: id.to_owned(), reason: reason.to_owned(), tell: false }
    }

    /// What the judge calls it.
    pub(crate) const fn refusal(&self) -> Refusal {
        match self.advice {
            Advice::None => Refusal::ConditionFailed,
            Advice::Request(_) => Refusal::ApprovalRequired,
            Advice::StepUp { .. } => Refusal::StepUpRequired,
        }
    }

    /// The outcome of its verdict.
    pub(crate) const fn outcome(&self) -> Outcome {
        match self.advice {
            Advice::None => Outcome::ConditionFailed,
            Advice::Request(_) => Outcome::ApprovalRequired,
            Advice::StepUp { .. } => Outcome::StepUpRequired,
        }
    }

    /// What its verdict says about it.
    pub(crate) fn to_wire(&self) -> wire::Condition {
        let (acr, max_age_ms, requestable) = match &self.advice {
            Advice::None => (Vec::new(), None, String::new()),
            Advice::Request(scope) => (Vec::new(), None, scope.clone()),
            Advice::StepUp { acr, max_age_ms } => (acr.clone(), *max_age_ms, String::new()),
        };
        let Self { id, reason, tell, .. } = self;
        wire::Condition { id: id.clone(), reason: reason.clone(), tell: *tell, acr, max_age_ms, requestable }
    }
}
