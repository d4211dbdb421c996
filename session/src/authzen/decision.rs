//! A decision, and what its caller is told about a refusal.

use super::fault::Fault;
use serde::Serialize;
use serde_json::{Map, Value, json};

/// A decision.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Decision {
    /// Whether the request may go on.
    pub(super) decision: bool,
    #[serde(skip_serializing_if = "Map::is_empty")]
    context: Map<String, Value>,
}

impl Decision {
    pub(super) fn permit() -> Self {
        Self { decision: true, context: Map::new() }
    }

    /// A refusal with one of the codes that the filter answers with.
    pub(super) fn deny(code: &str) -> Self {
        Self { decision: false, context: Map::from_iter([("reason".to_owned(), code.into())]) }
    }

    /// What would help, besides.
    pub(super) fn with(mut self, name: &str, value: Value) -> Self {
        self.context.insert(name.to_owned(), value);
        self
    }

    /// The decision about an evaluation that is not one, or that nothing can be decided about.
    pub(super) fn failed(fault: &Fault) -> Self {
        let error = json!({"status": fault.status().as_u16(), "message": fault.message()});
        Self { decision: false, context: Map::from_iter([("error".to_owned(), error)]) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_decision_says_why_only_where_it_denies() {
        let shown = |decision: Decision| serde_json::to_value(decision).unwrap();
        assert_eq!(shown(Decision::permit()), json!({"decision": true}));
        let step_up = Decision::deny("step_up_required").with("acr_values", "aal2 aal3".into());
        let context = json!({"reason": "step_up_required", "acr_values": "aal2 aal3"});
        assert_eq!(shown(step_up), json!({"decision": false, "context": context}));
        let error = json!({"status": 400, "message": "`action` is missing"});
        let failed = Decision::failed(&Fault::invalid("`action` is missing"));
        assert_eq!(shown(failed), json!({"decision": false, "context": {"error": error}}));
    }
}
