//! Partial evaluation: replaces what is known in a condition by its value.
//!
//! Cedar's typed partial evaluation takes a context that is wholly known or wholly unknown, and types every policy again on each
//! call. Here a session decides a part of the context until its generation changes, and this runs for every session. So
//! conditions are typed once, when they are loaded, and this replaces what is known. It only knows which operators need not
//! evaluate all of their operands; every operator itself is evaluated by Cedar.
//!
//! What it relies on from strict validation: operands of `&&`, `||` and `if` are boolean, and members of `context` are there
//! where they are used.

use crate::members::{Facts, Member, is_context};
use cedar_policy_core::{
    ast::{BinaryOp, Expr, ExprKind, Literal, Name, SlotEnv, UnaryOp, Value, ValueKind, Var},
    evaluator::Evaluator,
};
use smol_str::{SmolStr, format_smolstr};
use std::sync::Arc;

/// Methods of Cedar's extension types that cannot fail.
const TOTAL: [&str; 11] = [
    "isIpv4",
    "isIpv6",
    "isLoopback",
    "isMulticast",
    "isInRange",
    "lessThan",
    "lessThanOrEqual",
    "greaterThan",
    "greaterThanOrEqual",
    "toMilliseconds",
    "toSeconds",
];

/// What is left of an expression.
pub(crate) enum Reduced {
    /// It is known.
    Value(Value),
    /// It depends on something that is not known yet.
    Rest(Expr),
    /// It cannot be evaluated, whatever else becomes known.
    Error(Expr),
}

/// Replaces what is known in expressions.
pub(crate) struct Reducer<'a> {
    /// Evaluates what is known.
    pub(crate) evaluator: Evaluator<'a>,
    /// What is not known, apart from `context`.
    pub(crate) unknown: &'a [Var],
    /// The session, as soon as it is known.
    pub(crate) facts: Option<Facts<'a>>,
    /// Values that are looked up in what is left, in place of being evaluated each time; `None`: they are written into it.
    pub(crate) constants: Option<Vec<Value>>,
}

/// The name by which what is left of an expression looks up a constant. No member of `context` has it.
pub(crate) fn constant_name(index: usize) -> SmolStr {
    format_smolstr!("#{index}")
}

impl Reducer<'_> {
    pub(crate) fn reduce(&mut self, expr: &Expr) -> Reduced {
        if !self.is_open(expr) {
            return self.evaluate(expr);
        }
        match expr.expr_kind() {
            ExprKind::And { left, right } => self.lazy(expr, left, right, false),
            ExprKind::Or { left, right } => self.lazy(expr, left, right, true),
            ExprKind::If { test_expr, then_expr, else_expr } => match self.reduce(test_expr) {
                Reduced::Value(test) => match as_bool(&test) {
                    Some(true) => self.reduce(then_expr),
                    Some(false) => self.reduce(else_expr),
                    None => Reduced::Error(expr.clone()),
                },
                Reduced::Rest(test) => {
                    let (then, other) = (self.rest(then_expr), self.rest(else_expr));
                    Reduced::Rest(Expr::ite(test, then, other))
                }
                Reduced::Error(_) => Reduced::Error(expr.clone()),
            },
            ExprKind::Var(_) => Reduced::Rest(expr.clone()),
            _ => match self.known(expr) {
                Some(value) => Reduced::Value(value),
                None => self.strict(expr),
            },
        }
    }

    /// Whether an expression has something in it that is not known.
    fn is_open(&self, expr: &Expr) -> bool {
        let is_unknown = |var: &Var| *var == Var::Context || self.unknown.contains(var);
        expr.subexpressions().any(|part| matches!(part.expr_kind(), ExprKind::Var(var) if is_unknown(var)))
    }

    fn evaluate(&self, expr: &Expr) -> Reduced {
        match self.evaluator.interpret(expr, &SlotEnv::new()) {
            Ok(value) => Reduced::Value(value),
            Err(_) => Reduced::Error(expr.clone()),
        }
    }

    /// `&&` and `||`: the left operand can decide alone, and it decides alone if it has the value `decisive`.
    fn lazy(&mut self, expr: &Expr, left: &Expr, right: &Expr, decisive: bool) -> Reduced {
        let left = match self.reduce(left) {
            Reduced::Value(left) => {
                return match as_bool(&left) {
                    Some(left) if left == decisive => Reduced::Value(decisive.into()),
                    Some(_) => self.reduce(right),
                    None => Reduced::Error(expr.clone()),
                };
            }
            Reduced::Error(_) => return Reduced::Error(expr.clone()),
            Reduced::Rest(left) => left,
        };
        let right = match self.reduce(right) {
            Reduced::Value(right) => match as_bool(&right) {
                Some(right) if right != decisive => return Reduced::Rest(left),
                // The left operand must be evaluated first, and an error in it counts.
                Some(_) if !can_fail(&left) => return Reduced::Value(decisive.into()),
                _ => Expr::from(right),
            },
            Reduced::Rest(right) | Reduced::Error(right) => right,
        };
        Reduced::Rest(if decisive { Expr::or(left, right) } else { Expr::and(left, right) })
    }

    /// Members of `context` that the session decides.
    fn known(&self, expr: &Expr) -> Option<Value> {
        let facts = self.facts.as_ref()?;
        match expr.expr_kind() {
            ExprKind::GetAttr { expr, attr } if is_context(expr) => {
                let member = Member::named(attr).filter(|member| member.is_of_session())?;
                facts.of_session(member)
            }
            ExprKind::GetAttr { expr, attr } if is_session(expr) => facts.stored(attr)?,
            ExprKind::HasAttr { expr, attr } if is_context(expr) => has(facts, attr).map(Value::from),
            // One that the session does not have may come with the question.
            ExprKind::HasAttr { expr, attr } if is_session(expr) => {
                facts.stored(attr).map(|stored| stored.is_some().into())
            }
            ExprKind::ExtHasAttr { expr, attrs } if is_context(expr) => {
                let (first, inner) = (attrs.first(), attrs.tail());
                if !has(facts, first)? {
                    return Some(false.into());
                }
                match (Member::named(first)?, inner) {
                    (Member::Session, [name]) => facts.stored(name).map(|stored| stored.is_some().into()),
                    (member, inner) if member.is_of_session() => {
                        Some(has_inner(&facts.of_session(member)?, inner).into())
                    }
                    _ => None,
                }
            }
            _ => None,
        }
    }

    /// Operators that evaluate all of their operands.
    fn strict(&mut self, expr: &Expr) -> Reduced {
        let operands: Vec<_> = operands(expr).into_iter().map(|operand| self.reduce(operand)).collect();
        if operands.iter().any(|operand| matches!(operand, Reduced::Error(_))) {
            return Reduced::Error(expr.clone());
        }
        let is_known = operands.iter().all(|operand| matches!(operand, Reduced::Value(_)));
        let written = operands.into_iter().map(|operand| match operand {
            Reduced::Value(value) if is_known => Expr::from(value),
            Reduced::Value(value) => self.written(value),
            Reduced::Rest(expr) | Reduced::Error(expr) => expr,
        });
        let written: Vec<_> = written.collect();
        match rebuilt(expr, written) {
            Some(rebuilt) if is_known => self.evaluate(&rebuilt),
            Some(rebuilt) => Reduced::Rest(rebuilt),
            None => Reduced::Error(expr.clone()),
        }
    }

    /// What is left of an operand that may never be evaluated.
    fn rest(&mut self, expr: &Expr) -> Expr {
        match self.reduce(expr) {
            Reduced::Value(value) => self.written(value),
            Reduced::Rest(expr) | Reduced::Error(expr) => expr,
        }
    }

    /// A value as an expression.
    fn written(&mut self, value: Value) -> Expr {
        match (&value.value, &mut self.constants) {
            (ValueKind::Lit(_), _) | (_, None) => Expr::from(value),
            (_, Some(constants)) => {
                let name = constant_name(constants.len());
                constants.push(value);
                Expr::get_attr(Expr::var(Var::Context), name)
            }
        }
    }
}

/// The operands of an operator that evaluates all of them.
pub(crate) fn operands(expr: &Expr) -> Vec<&Expr> {
    match expr.expr_kind() {
        ExprKind::BinaryApp { arg1, arg2, .. } => vec![arg1, arg2],
        ExprKind::UnaryApp { arg, .. } => vec![arg],
        ExprKind::GetAttr { expr, .. }
        | ExprKind::HasAttr { expr, .. }
        | ExprKind::ExtHasAttr { expr, .. }
        | ExprKind::Like { expr, .. }
        | ExprKind::Is { expr, .. } => vec![expr],
        ExprKind::ExtensionFunctionApp { args, .. } => args.iter().collect(),
        ExprKind::Set(items) => items.iter().collect(),
        ExprKind::Record(members) => members.values().collect(),
        ExprKind::Lit(_)
        | ExprKind::Var(_)
        | ExprKind::Slot(_)
        | ExprKind::Unknown(_)
        | ExprKind::If { .. }
        | ExprKind::And { .. }
        | ExprKind::Or { .. } => Vec::new(),
    }
}

/// An operator with other operands; `None`: it has none, or another number.
fn rebuilt(expr: &Expr, operands: Vec<Expr>) -> Option<Expr> {
    let mut left = operands.into_iter();
    let mut next = || left.next();
    let rebuilt = match expr.expr_kind() {
        ExprKind::BinaryApp { op, .. } => Expr::binary_app(*op, next()?, next()?),
        ExprKind::UnaryApp { op, .. } => Expr::unary_app(*op, next()?),
        ExprKind::GetAttr { attr, .. } => Expr::get_attr(next()?, attr.clone()),
        ExprKind::HasAttr { attr, .. } => Expr::has_attr(next()?, attr.clone()),
        ExprKind::ExtHasAttr { attrs, .. } => Expr::extended_has_attr(next()?, attrs.clone()),
        ExprKind::Like { pattern, .. } => Expr::like(next()?, pattern.clone()),
        ExprKind::Is { entity_type, .. } => Expr::is_entity_type(next()?, entity_type.clone()),
        ExprKind::ExtensionFunctionApp { fn_name, .. } => Expr::call_extension_fn(fn_name.clone(), left.collect()),
        ExprKind::Set(_) => Expr::set(left),
        ExprKind::Record(members) => Expr::record_arc(Arc::new(members.keys().cloned().zip(left).collect())),
        // There is nothing else that is open: slots and unknowns are refused when policies are loaded.
        _ => return None,
    };
    Some(rebuilt)
}

/// Whether `context` has a member; `None`: that depends on the question.
fn has(facts: &Facts<'_>, name: &str) -> Option<bool> {
    match Member::named(name) {
        None => Some(false),
        Some(member) if member.is_required() => Some(true),
        Some(member) if member.is_of_session() => Some(facts.of_session(member).is_some()),
        Some(_) => None,
    }
}

/// Whether a record has members within members.
fn has_inner(value: &Value, names: &[SmolStr]) -> bool {
    let Some((name, inner)) = names.split_first() else { return true };
    match &value.value {
        ValueKind::Record(members) => members.get(name).is_some_and(|member| has_inner(member, inner)),
        _ => false,
    }
}

/// Whether an expression is `context.session`.
fn is_session(expr: &Expr) -> bool {
    matches!(expr.expr_kind(), ExprKind::GetAttr { expr, attr } if attr == "session" && is_context(expr))
}

pub(crate) fn as_bool(value: &Value) -> Option<bool> {
    match &value.value {
        ValueKind::Lit(Literal::Bool(truth)) => Some(*truth),
        _ => None,
    }
}

/// Whether a valid expression can fail to evaluate: arithmetic can overflow, and an entity may not be known.
fn can_fail(expr: &Expr) -> bool {
    expr.subexpressions().any(|part| match part.expr_kind() {
        ExprKind::UnaryApp { op, .. } => matches!(op, UnaryOp::Neg),
        ExprKind::BinaryApp { op, .. } => {
            matches!(op, BinaryOp::Add | BinaryOp::Sub | BinaryOp::Mul | BinaryOp::GetTag)
        }
        ExprKind::ExtensionFunctionApp { fn_name, .. } => !is_total(fn_name),
        ExprKind::GetAttr { expr, .. } => !is_within_context(expr),
        _ => false,
    })
}

fn is_total(function: &Name) -> bool {
    let name = function.to_string();
    TOTAL.contains(&name.as_str())
}

fn is_within_context(expr: &Expr) -> bool {
    match expr.expr_kind() {
        ExprKind::GetAttr { expr, .. } => is_within_context(expr),
        ExprKind::Var(var) => *var == Var::Context,
        _ => false,
    }
}
