//! Parses policies, and reads a condition out of each.

use crate::{
    Fault,
    annotations::{Annotations, Wrong},
    bounds::Piece,
    fault::Text,
    method::Methods,
    undeclared::{Known, Undeclared},
};
use cedar_policy::{ActionConstraint, Effect, EntityUid, Policy, PolicyId, PolicySet, ResourceConstraint};
use cedar_policy_core::ast::{Expr, Policy as CorePolicy};
use miette::Diagnostic;
use std::ops::Range;

/// Where a message of Cedar begins to say which action it is about.
const FOR_AN_ACTION: &str = " in context for Portcullis::Action::";

/// A condition, as it was loaded.
#[derive(Debug)]
pub(crate) struct Condition {
    pub(crate) annotations: Annotations,
    /// Its place in the order of files and lines: of several conditions with the same kind of answer, the first one counts.
    pub(crate) order: usize,
    /// When it forbids: scope and clauses.
    pub(crate) expr: Expr,
    pub(crate) methods: Methods,
    pub(crate) resource: Resource,
    /// Where it begins.
    pub(crate) place: Fault,
}

/// Which routes the scope of a condition is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Resource {
    Any,
    Route(String),
    Set(String),
}

/// A policy and where it is.
pub(crate) struct Parsed<'t> {
    text: &'t Text<'t>,
    start: usize,
    end: usize,
    /// Where the text begins that Cedar's places are about.
    base: usize,
    /// Its id is its number among those that were parsed together.
    pub(crate) policy: Policy,
}

/// Parses policies that are beside each other. Faults are at their places.
///
/// Cedar's lexer is built lazily for each text, which takes much longer than to parse a policy with it. So they are parsed as one
/// text, and each for itself only if that has a fault: in another policy, the fault would hide theirs.
pub(crate) fn parse<'t>(text: &'t Text<'_>, pieces: &[Piece], faults: &mut Vec<Fault>) -> Vec<Parsed<'t>> {
    if let Some(parsed) = together(text, pieces) {
        return parsed;
    }
    let each = (0..).zip(pieces).map(|(number, piece)| single(text, piece, number));
    each.filter_map(|parsed| parsed.map_err(|found| faults.extend(found)).ok()).collect()
}

/// Policies as one text, if each of them is found in it where it is.
fn together<'t>(text: &'t Text<'_>, pieces: &[Piece]) -> Option<Vec<Parsed<'t>>> {
    let (base, end) = (pieces.first()?.span.start, pieces.last()?.span.end);
    if pieces.iter().any(|piece| piece.excess.is_some()) {
        return None;
    }
    let set: PolicySet = text.text.get(base..end)?.parse().ok()?;
    if set.num_of_policies() != pieces.len() || set.num_of_templates() != 0 {
        return None;
    }
    let found = |(number, piece): (usize, &Piece)| {
        let policy = set.policy(&id(number))?.clone();
        let core: &CorePolicy = policy.as_ref();
        let loc = core.loc().filter(|loc| base + loc.start() == piece.span.start && base + loc.end() == piece.span.end);
        loc.is_some().then(|| Parsed { text, start: piece.span.start, end: piece.span.end, base, policy })
    };
    pieces.iter().enumerate().map(found).collect()
}

fn single<'t>(text: &'t Text<'_>, piece: &Piece, number: usize) -> Result<Parsed<'t>, Vec<Fault>> {
    let span = piece.span.clone();
    if let Some(excess) = &piece.excess {
        return Err(vec![text.fault("too_large", excess.span.clone(), &*excess.message).help(excess.help)]);
    }
    let (start, end) = (span.start, span.end);
    let policy = Policy::parse(Some(id(number)), text.text.get(span).unwrap_or_default()).map_err(|errors| {
        let all = std::iter::once(&errors as &dyn Diagnostic).chain(errors.related().into_iter().flatten());
        all.map(|error| diagnosed("syntax", text, start, start..end, error)).collect::<Vec<_>>()
    })?;
    Ok(Parsed { text, start, end, base: start, policy })
}

/// The id of a policy, as Cedar assigns it to those of a text.
fn id(number: usize) -> PolicyId {
    PolicyId::new(format!("policy{number}"))
}

impl Parsed<'_> {
    pub(crate) fn condition(&self, order: usize) -> Result<Condition, Vec<Fault>> {
        let core: &CorePolicy = self.policy.as_ref();
        let mut faults = Vec::new();
        if self.policy.effect() == Effect::Permit {
            let message = "a condition cannot permit: it only narrows what scopes and session grant";
            faults.push(self.keyword("permit", message).help("write `forbid (…) unless { … };`"));
        }
        let methods = methods(&self.policy.action_constraint());
        if methods == Methods::NONE {
            let message = "`action ==` needs a method; `read` and `write` are groups of methods";
            faults.push(self.keyword("never_applies", message).help("write `action in Portcullis::Action::\"read\"`"));
        }
        let annotations = Annotations::read(&self.policy.annotations().collect::<Vec<_>>()).map_err(|wrong| {
            faults.extend(wrong.into_iter().map(|wrong| self.wrong(wrong)));
        });
        match annotations {
            Ok(annotations) if faults.is_empty() => Ok(Condition {
                annotations,
                order,
                expr: core.condition(),
                methods,
                resource: resource(self.policy.resource_constraint()),
                place: self.keyword("condition", ""),
            }),
            _ => Err(faults),
        }
    }

    /// What it asks for with `has` and the schema does not have.
    pub(crate) fn undeclared(&self, known: &Known<'_>) -> Vec<Fault> {
        let core: &CorePolicy = self.policy.as_ref();
        let found = known.undeclared(&core.condition());
        let fault = |Undeclared { attribute, span, is_declarable }: Undeclared| {
            let span = span.map_or(self.whole(), |span| self.base + span.start..self.base + span.end);
            let message = format!("`has {attribute}` is never true: there is no such attribute");
            let help = match is_declarable {
                true => {
                    "declare it under `conditions.attributes` in session.yaml, which `--session` names for the tools"
                }
                false => "`portcullis conditions schema` shows what there is",
            };
            self.text.fault("undeclared", span, message).help(help)
        };
        found.into_iter().map(fault).collect()
    }

    /// A fault that Cedar found in it.
    pub(crate) fn diagnosed(&self, code: &'static str, error: &dyn Diagnostic) -> Fault {
        diagnosed(code, self.text, self.base, self.whole(), error)
    }

    fn whole(&self) -> Range<usize> {
        self.start..self.end
    }

    fn wrong(&self, wrong: Wrong) -> Fault {
        let fault = match &wrong.name {
            Some(name) => self.annotation(name, "annotation", wrong.message),
            None => self.keyword("annotation", wrong.message),
        };
        fault.help(wrong.help)
    }

    /// A fault at an annotation.
    pub(crate) fn annotation(&self, name: &str, code: &'static str, message: impl Into<String>) -> Fault {
        let core: &CorePolicy = self.policy.as_ref();
        let found = core.annotations().find(|(key, _)| key.to_string() == name);
        let loc = found.and_then(|(_, annotation)| annotation.loc.as_ref());
        let span = loc.map_or(self.whole(), |loc| self.base + loc.start()..self.base + loc.end());
        self.text.fault(code, span, message)
    }

    /// A fault at `forbid` or `permit`, behind the annotations.
    fn keyword(&self, code: &'static str, message: impl Into<String>) -> Fault {
        let core: &CorePolicy = self.policy.as_ref();
        let ends = core.annotations().filter_map(|(_, annotation)| Some(annotation.loc.as_ref()?.end()));
        let behind = ends.max().map_or(self.start, |end| self.base + end);
        let rest = self.text.text.get(behind..self.end).unwrap_or_default();
        let effect = if self.policy.effect() == Effect::Permit { "permit" } else { "forbid" };
        let start = behind + rest.find(effect).unwrap_or_default();
        self.text.fault(code, start..start + effect.len(), message)
    }
}

fn methods(action: &ActionConstraint) -> Methods {
    match action {
        ActionConstraint::Any => Methods::ALL,
        // No request has a group as its action.
        ActionConstraint::Eq(uid) => match uid.id().as_ref() {
            "read" | "write" => Methods::NONE,
            method => Methods::of_action(method),
        },
        ActionConstraint::In(uids) => {
            let all = uids.iter().map(|uid| Methods::of_action(uid.id().as_ref()));
            all.fold(Methods::NONE, Methods::and)
        }
    }
}

fn resource(resource: ResourceConstraint) -> Resource {
    let named = |uid: EntityUid| match uid.type_name().to_string().as_str() {
        "Portcullis::Route" => Resource::Route(uid.id().unescaped().to_owned()),
        "Portcullis::RouteSet" => Resource::Set(uid.id().unescaped().to_owned()),
        // Validation refuses it.
        _ => Resource::Any,
    };
    match resource {
        ResourceConstraint::Any | ResourceConstraint::Is(_) => Resource::Any,
        ResourceConstraint::In(uid) | ResourceConstraint::Eq(uid) | ResourceConstraint::IsIn(_, uid) => named(uid),
    }
}

/// A fault that Cedar found in the policy at `span`, in a text that begins at `base`.
fn diagnosed(code: &'static str, text: &Text<'_>, base: usize, span: Range<usize>, error: &dyn Diagnostic) -> Fault {
    let label = error.labels().and_then(|mut labels| labels.next());
    let place = label.as_ref().map_or(span, |label| base + label.offset()..base + label.offset() + label.len());
    let message = unnumbered(error.to_string());
    // All methods have the same context: the same fault for each of them is one.
    let message = message.split_once(FOR_AN_ACTION).map_or(&*message, |(message, _)| message);
    let fault = text.fault(code, place, message);
    let expected = label.and_then(|label| label.label().map(str::to_owned));
    match error.help().map(|help| unnumbered(help.to_string())).or(expected) {
        Some(help) => fault.help(help),
        None => fault,
    }
}

/// What Cedar says, without the policy's id: policies are numbered here, and the place says which one it is.
fn unnumbered(text: String) -> String {
    let rest = text.strip_prefix("for policy `").and_then(|rest| Some(rest.split_once("`, ")?.1));
    rest.map(str::to_owned).unwrap_or(text)
}
