//! Loads policies: takes files apart, parses, reads annotations and validates, and gathers every fault on the way.

use crate::{
    Fault, Source,
    annotations::{Annotations, Wrong},
    bounds::{Piece, pieces},
    method::Methods,
    undeclared::{Known, Undeclared},
};
use cedar_policy::{
    ActionConstraint, Effect, EntityUid, Policy, PolicyId, PolicySet, ResourceConstraint, Schema, ValidationMode,
    Validator,
};
use cedar_policy_core::{
    ast::{Expr, Policy as CorePolicy},
    validator::ValidatorSchema,
};
use miette::Diagnostic;
use std::collections::{BTreeMap, HashMap};

/// The most policies of a set.
const POLICIES_MAX: usize = 20_000;

/// The most faults that are reported.
const FAULTS_MAX: usize = 200;

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

/// What was loaded.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub(crate) conditions: Vec<Condition>,
    /// What is valid and still looks wrong.
    pub(crate) warnings: Vec<Fault>,
}

/// A policy and where it is.
struct Parsed<'a> {
    source: &'a Source,
    start: usize,
    end: usize,
    policy: Policy,
}

/// Loads policies. The error has all faults, in the order of files and lines.
pub(crate) fn load(sources: &[Source], schema: Schema) -> Result<Loaded, Vec<Fault>> {
    let mut faults = Vec::new();
    let mut parsed = Vec::new();
    'all: for source in sources {
        for piece in pieces(&source.text) {
            if parsed.len() >= POLICIES_MAX || faults.len() >= FAULTS_MAX {
                faults.push(too_many(source, &piece));
                break 'all;
            }
            match parse(source, piece, parsed.len()) {
                Ok(policy) => parsed.push(policy),
                Err(found) => faults.extend(found),
            }
        }
    }
    let conditions = conditions(&parsed, &mut faults);
    let warnings = validate(&parsed, schema, &mut faults);
    if faults.is_empty() { Ok(Loaded { conditions, warnings }) } else { Err(in_order(faults, sources)) }
}

/// Sorts faults by file and place, and cuts the list.
fn in_order(mut faults: Vec<Fault>, sources: &[Source]) -> Vec<Fault> {
    let order: HashMap<_, _> = sources.iter().enumerate().map(|(order, source)| (&source.file, order)).collect();
    // Cedar has no order for several at one place.
    let key = |fault: &Fault| (order.get(&fault.file).copied(), fault.start, fault.end);
    faults.sort_by(|one, other| (key(one), &one.message).cmp(&(key(other), &other.message)));
    faults.dedup();
    let more = faults.len().saturating_sub(FAULTS_MAX);
    faults.truncate(FAULTS_MAX);
    if more > 0
        && let Some(last) = faults.last_mut()
    {
        last.message += &format!(" (and {more} more faults)");
    }
    faults
}

fn too_many(source: &Source, piece: &Piece) -> Fault {
    let message = format!("more than {POLICIES_MAX} policies, or {FAULTS_MAX} faults: the rest is not read");
    Fault::at("too_large", &source.file, &source.text, piece.span.clone(), message)
}

fn parse(source: &Source, piece: Piece, number: usize) -> Result<Parsed<'_>, Vec<Fault>> {
    let fault = |code, span, message: String| Fault::at(code, &source.file, &source.text, span, message);
    if let Some(excess) = piece.excess {
        return Err(vec![fault("too_large", excess.span, excess.message).help(excess.help)]);
    }
    let (start, end) = (piece.span.start, piece.span.end);
    let text = source.text.get(piece.span).unwrap_or_default();
    let policy = Policy::parse(Some(PolicyId::new(number.to_string())), text).map_err(|errors| {
        let all = std::iter::once(&errors as &dyn Diagnostic).chain(errors.related().into_iter().flatten());
        all.map(|error| diagnosed("syntax", source, start..end, error)).collect::<Vec<_>>()
    })?;
    Ok(Parsed { source, start, end, policy })
}

/// A fault that Cedar found in the policy at `span`.
fn diagnosed(code: &'static str, source: &Source, span: std::ops::Range<usize>, error: &dyn Diagnostic) -> Fault {
    let label = error.labels().and_then(|mut labels| labels.next());
    let place = match &label {
        Some(label) => {
            let start = span.start + label.offset();
            start..start + label.len()
        }
        None => span,
    };
    let text = error.to_string();
    // Policies are numbered here, and the place says which one it is.
    let message = text.strip_prefix("for policy `").and_then(|rest| Some(rest.split_once("`, ")?.1)).unwrap_or(&text);
    // All methods have the same context: the same fault for each of them is one.
    let message = message.split_once(FOR_AN_ACTION).map_or(message, |(message, _)| message);
    let fault = Fault::at(code, &source.file, &source.text, place, message);
    let expected = label.and_then(|label| label.label().map(str::to_owned));
    match error.help().map(|help| help.to_string()).or(expected) {
        Some(help) => fault.help(help),
        None => fault,
    }
}

fn conditions(parsed: &[Parsed<'_>], faults: &mut Vec<Fault>) -> Vec<Condition> {
    let mut ids: BTreeMap<String, (String, usize)> = BTreeMap::new();
    let mut conditions = Vec::new();
    for (order, parsed) in parsed.iter().enumerate() {
        let condition = parsed.condition(order).map_err(|found| faults.extend(found)).ok();
        let Some(condition) = condition else { continue };
        let id = &condition.annotations.id;
        match ids.get(id) {
            Some((file, line)) => {
                let message = format!("the `@id` `{id}` is taken by {file}:{line}");
                faults.push(parsed.annotation("id", "repeated_id", message).help("every condition has its own"));
            }
            None => {
                ids.insert(id.clone(), (condition.place.file.clone(), condition.place.line));
            }
        }
        conditions.push(condition);
    }
    conditions
}

impl Parsed<'_> {
    fn condition(&self, order: usize) -> Result<Condition, Vec<Fault>> {
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
    fn undeclared(&self, known: &Known<'_>) -> Vec<Fault> {
        let core: &CorePolicy = self.policy.as_ref();
        let found = known.undeclared(&core.condition());
        let fault = |Undeclared { attribute, span, is_declarable }: Undeclared| {
            let span = span.map_or(self.start..self.end, |span| self.start + span.start..self.start + span.end);
            let message = format!("`has {attribute}` is never true: there is no such attribute");
            let help = match is_declarable {
                true => {
                    "declare it under `conditions.attributes` in session.yaml, which `--session` names for the tools"
                }
                false => "`portcullis conditions schema` shows what there is",
            };
            Fault::at("undeclared", &self.source.file, &self.source.text, span, message).help(help)
        };
        found.into_iter().map(fault).collect()
    }

    fn wrong(&self, wrong: Wrong) -> Fault {
        let fault = match &wrong.name {
            Some(name) => self.annotation(name, "annotation", wrong.message),
            None => self.keyword("annotation", wrong.message),
        };
        fault.help(wrong.help)
    }

    /// A fault at an annotation.
    fn annotation(&self, name: &str, code: &'static str, message: impl Into<String>) -> Fault {
        let core: &CorePolicy = self.policy.as_ref();
        let found = core.annotations().find(|(key, _)| key.to_string() == name);
        let loc = found.and_then(|(_, annotation)| annotation.loc.as_ref());
        let span = loc.map_or(self.start..self.end, |loc| self.start + loc.start()..self.start + loc.end());
        Fault::at(code, &self.source.file, &self.source.text, span, message)
    }

    /// A fault at `forbid` or `permit`, behind the annotations.
    fn keyword(&self, code: &'static str, message: impl Into<String>) -> Fault {
        let core: &CorePolicy = self.policy.as_ref();
        let ends = core.annotations().filter_map(|(_, annotation)| Some(annotation.loc.as_ref()?.end()));
        let behind = self.start + ends.max().unwrap_or_default();
        let rest = self.source.text.get(behind..self.end).unwrap_or_default();
        let effect = if self.policy.effect() == Effect::Permit { "permit" } else { "forbid" };
        let start = behind + rest.find(effect).unwrap_or_default();
        Fault::at(code, &self.source.file, &self.source.text, start..start + effect.len(), message)
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

/// Validates strictly, and returns warnings.
fn validate(parsed: &[Parsed<'_>], schema: Schema, faults: &mut Vec<Fault>) -> Vec<Fault> {
    let mut set = PolicySet::new();
    for parsed in parsed {
        // They are numbered, so no id is taken.
        let _ = set.add(parsed.policy.clone());
    }
    let core: &ValidatorSchema = schema.as_ref();
    let known = Known::of(core);
    faults.extend(parsed.iter().flat_map(|parsed| known.iter().flat_map(|known| parsed.undeclared(known))));
    let result = Validator::new(schema).validate(&set, ValidationMode::Strict);
    let of = |id: &PolicyId| AsRef::<str>::as_ref(id).parse::<usize>().ok().and_then(|number| parsed.get(number));
    let found = |code, id: &PolicyId, error: &dyn Diagnostic| {
        let parsed = of(id)?;
        Some(diagnosed(code, parsed.source, parsed.start..parsed.end, error))
    };
    faults.extend(result.validation_errors().filter_map(|error| found("invalid", error.policy_id(), error)));
    result.validation_warnings().filter_map(|warning| found("suspicious", warning.policy_id(), warning)).collect()
}
