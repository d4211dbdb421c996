//! `has` of an attribute that the schema does not have. It is never true, so the condition never applies, or always does. Cedar
//! accepts it, and knows it: its types say so.

use crate::method::Methods;
use cedar_policy_core::{
    ast::{Expr, ExprKind, Template},
    validator::{
        ValidationMode, ValidatorSchema,
        typecheck::{PolicyCheck, Typechecker},
        types::Type,
    },
};
use std::ops::Range;

/// A `has` that is never true.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Undeclared {
    /// The attribute, or the path to it.
    pub(crate) attribute: String,
    /// Its place in the policy, if that is known.
    pub(crate) span: Option<Range<usize>>,
    /// Whether it is one that `session.yaml` could declare.
    pub(crate) is_declarable: bool,
}

/// Those of a policy about these methods. What is behind something that is never true is not looked at.
pub(crate) fn undeclared(schema: &ValidatorSchema, policy: &Template, methods: Methods) -> Vec<Undeclared> {
    let mode = ValidationMode::Strict;
    let is_about = |action: &str| methods.has(action);
    // All methods have the same context, so one that the policy is about tells enough.
    let request = schema
        .unlinked_request_envs(mode)
        .find(|request| request.action_entity_uid().is_some_and(|uid| is_about(uid.eid().as_ref())));
    let Some(request) = request else { return Vec::new() };
    match Typechecker::new(schema, mode).typecheck_by_single_request_env(policy, &request) {
        PolicyCheck::Success(expr) | PolicyCheck::Irrelevant(_, expr) => {
            expr.subexpressions().filter_map(found).collect()
        }
        // It has another fault.
        PolicyCheck::Fail(_) => Vec::new(),
    }
}

fn found(expr: &Expr<Option<Type>>) -> Option<Undeclared> {
    if expr.data() != &Some(Type::singleton_boolean(false)) {
        return None;
    }
    let (of, attribute) = match expr.expr_kind() {
        ExprKind::HasAttr { expr, attr } => (expr, attr.to_string()),
        ExprKind::ExtHasAttr { expr, attrs } => {
            (expr, attrs.iter().map(|attr| attr.as_str()).collect::<Vec<_>>().join("."))
        }
        _ => return None,
    };
    let holder = match of.expr_kind() {
        ExprKind::GetAttr { attr, .. } => attr.as_str(),
        _ => attribute.split('.').next().unwrap_or_default(),
    };
    let is_declarable = matches!(holder, "session" | "subject");
    let span = expr.source_loc().map(|loc| loc.start()..loc.end());
    Some(Undeclared { attribute, span, is_declarable })
}
