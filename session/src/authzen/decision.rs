//! A decision, and what its caller is told about a refusal.

use super::fault::Fault;
use portcullis_contract::wire::Condition;
use serde::Serialize;
use serde_json::{Map, Value, json};

/// A decision.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Decision {
    /// Whether the request may go on.
    pub(super) decision: bool,
    #[serde(skip_serializing_if = "Map::is_empty")]
    context: Map<String, Value>,
    /// The condition that denies, for the audit, whether or not the caller may be told its reason.
    #[serde(skip)]
    pub(super) condition: Condition,
}

impl Decision {
    pub(super) fn permit() -> Self {
        Self { decision: true, context: Map::new(), condition: Condition::default() }
    }

    /// A refusal with one of the codes that the filter answers with.
    pub(super) fn deny(code: &str) -> Self {
        let context = Map::from_iter([("reason".to_owned(), code.into())]);
        Self { decision: false, context, condition: Condition::default() }
    }

    /// What would help, besides.
    pub(super) fn with(mut self, name: &str, value: Value) -> Self {
        self.context.insert(name.to_owned(), value);
        self
    }

    /// The condition that denies, if one does; its reason only if that may be told.
    pub(super) fn by(self, condition: &Condition) -> Self {
        let Condition { id, reason, tell, requestable, .. } = condition;
        let named = [("condition", id, true), ("detail", reason, *tell), ("requestable", requestable, true)];
        let said = named.into_iter().filter(|(_, text, is_told)| *is_told && !text.is_empty());
        let decision = Self { condition: condition.clone(), ..self };
        said.fold(decision, |decision, (name, text, _)| decision.with(name, text.as_str().into()))
    }

    /// Why it denies; empty: it does not, or nothing could be decided.
    pub(super) fn reason(&self) -> &str {
        self.context.get("reason").and_then(Value::as_str).unwrap_or_default()
    }

    /// The decision about an evaluation that is not one, or that nothing can be decided about.
    pub(super) fn failed(fault: &Fault) -> Self {
        let error = json!({"status": fault.status().as_u16(), "message": fault.message()});
        let context = Map::from_iter([("error".to_owned(), error)]);
        Self { decision: false, context, condition: Condition::default() }
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
        let condition = Condition { id: "office".to_owned(), reason: "not here".to_owned(), ..Condition::default() };
        let (quiet, told) = (Decision::deny("x").by(&condition), Condition { tell: true, ..condition });
        assert_eq!(shown(quiet)["context"], json!({"reason": "x", "condition": "office"}));
        assert_eq!(shown(Decision::deny("x").by(&told))["context"]["detail"], "not here");
        assert_eq!(Decision::deny("x").by(&Condition::default()), Decision::deny("x"));
        let error = json!({"status": 400, "message": "`action` is missing"});
        let failed = Decision::failed(&Fault::invalid("`action` is missing"));
        assert_eq!(shown(failed), json!({"decision": false, "context": {"error": error}}));
    }
}
