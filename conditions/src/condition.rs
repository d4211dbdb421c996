//! One condition: a policy's annotations, and how a request is answered that it forbids.

/// How a request is answered that a condition forbids. Of several, the first in this order is given.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Answer {
    /// 403 `condition_failed`: nothing that the client can do.
    ConditionFailed,
    /// 403 `approval_required`: somebody can approve the scope.
    ApprovalRequired {
        /// The scope that can be requested.
        scope: String,
    },
    /// 401 `step_up_required`: another login helps.
    StepUpRequired {
        /// The authentication contexts that help, the preferred one first; empty: any.
        acr: Vec<String>,
        /// How old the login may be, in milliseconds.
        max_age_ms: Option<u64>,
    },
}

/// Why a request is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The answer.
    pub answer: Answer,
    /// The `@id` of the condition that decided.
    pub id: String,
    /// Its `@reason`, for log and audit.
    pub reason: String,
    /// Whether the client is told the reason.
    pub tell: bool,
    /// Every condition that is known to forbid the request, the one that decided first.
    pub policies: Vec<String>,
}
