//! `has` of an attribute that the schema does not have. It is never true, so the condition never applies, or always does. Cedar
//! accepts it: only what it warns about, a condition that can never apply, is told from others.

use cedar_policy_core::{
    ast::{Expr, ExprKind, Var},
    validator::{ValidationMode, ValidatorSchema, types::Type},
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

/// What the schema knows of the variables of a condition.
pub(crate) struct Known<'s> {
    schema: &'s ValidatorSchema,
    principal: Type,
    resource: Type,
    context: Type,
}

impl<'s> Known<'s> {
    /// All methods have the same variables.
    pub(crate) fn of(schema: &'s ValidatorSchema) -> Option<Self> {
        let request = schema.unlinked_request_envs(ValidationMode::Strict).next()?;
        let (principal, resource) = (request.principal_type(), request.resource_type());
        Some(Self { schema, principal, resource, context: request.context_type() })
    }

    /// Those of a condition.
    pub(crate) fn undeclared(&self, condition: &Expr) -> Vec<Undeclared> {
        condition.subexpressions().filter_map(|expr| self.found(expr)).collect()
    }

    fn found(&self, expr: &Expr) -> Option<Undeclared> {
        let (of, path) = match expr.expr_kind() {
            ExprKind::HasAttr { expr, attr } => (expr, vec![attr.as_str()]),
            ExprKind::ExtHasAttr { expr, attrs } => (expr, attrs.iter().map(AsRef::as_ref).collect()),
            _ => return None,
        };
        let (mut holder, mut within) = (self.type_of(of)?, name_of(of));
        for attr in path.iter().copied() {
            // Validation refuses `has` of what has no attributes at all.
            if !matches!(holder, Type::Record { .. } | Type::Entity(_)) {
                return None;
            }
            let Some(next) = self.attribute(&holder, attr) else {
                let span = expr.source_loc().map(|loc| loc.start()..loc.end());
                let is_declarable = matches!(within, Some("session" | "subject"));
                return Some(Undeclared { attribute: path.join("."), span, is_declarable });
            };
            (holder, within) = (next, Some(attr));
        }
        None
    }

    /// The type of a path from a variable; `None` for anything else.
    fn type_of(&self, expr: &Expr) -> Option<Type> {
        match expr.expr_kind() {
            ExprKind::Var(Var::Principal) => Some(self.principal.clone()),
            ExprKind::Var(Var::Resource) => Some(self.resource.clone()),
            ExprKind::Var(Var::Context) => Some(self.context.clone()),
            ExprKind::GetAttr { expr, attr } => self.attribute(&self.type_of(expr)?, attr),
            _ => None,
        }
    }

    fn attribute(&self, holder: &Type, attr: &str) -> Option<Type> {
        let attributes = holder.all_attributes(self.schema);
        attributes.get_attr(attr).map(|found| Type::clone(&found.attr_type))
    }
}

/// The last name of a path.
fn name_of(expr: &Expr) -> Option<&str> {
    match expr.expr_kind() {
        ExprKind::GetAttr { attr, .. } => Some(attr),
        _ => None,
    }
}
