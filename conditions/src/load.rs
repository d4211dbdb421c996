//! Loads policies: takes files apart, parses, reads annotations and validates, and gathers every fault on the way.

use crate::{
    Fault, Source,
    bounds::pieces,
    fault::Text,
    parsed::{Condition, Parsed, parse},
    undeclared::Known,
};
use cedar_policy::{PolicyId, PolicySet, Schema, ValidationMode, Validator};
use miette::Diagnostic;
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// The most policies of a set.
const POLICIES_MAX: usize = 20_000;

/// The most faults that are reported.
const FAULTS_MAX: usize = 200;

/// Policies that are parsed and validated together: a fault has all of them parsed again.
const TOGETHER: usize = 128;

/// What was loaded.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub(crate) conditions: Vec<Condition>,
    /// What is valid and still looks wrong.
    pub(crate) warnings: Vec<Fault>,
}

/// Loads policies. The error has all faults, in the order of files and lines.
pub(crate) fn load(sources: &[Source], schema: Schema) -> Result<Loaded, Vec<Fault>> {
    let texts: Vec<_> = sources.iter().map(Text::of).collect();
    let validator = Validator::new(schema);
    let (mut all, mut faults, mut warnings) = (Vec::new(), Vec::new(), Vec::new());
    'all: for text in &texts {
        let pieces = pieces(text.text);
        let mut rest = pieces.as_slice();
        while let Some(first) = rest.first() {
            let left = POLICIES_MAX.saturating_sub(all.len());
            if left == 0 || faults.len() >= FAULTS_MAX {
                let message =
                    format!("more than {POLICIES_MAX} policies, or {FAULTS_MAX} faults: the rest is not read");
                faults.push(text.fault("too_large", first.span.clone(), message));
                break 'all;
            }
            let (together, later) = rest.split_at(rest.len().min(left).min(TOGETHER));
            let parsed = parse(text, together, &mut faults);
            validate(&parsed, &validator, &mut faults, &mut warnings);
            all.extend(parsed);
            rest = later;
        }
    }
    let conditions = conditions(&all, &mut faults);
    match faults.is_empty() {
        true => Ok(Loaded { conditions, warnings: in_order(warnings, sources) }),
        false => Err(cut(in_order(faults, sources))),
    }
}

/// Sorts faults by file and place.
fn in_order(mut faults: Vec<Fault>, sources: &[Source]) -> Vec<Fault> {
    let order: HashMap<_, _> = sources.iter().enumerate().map(|(order, source)| (&source.file, order)).collect();
    // Cedar has no order for several at one place.
    let key = |fault: &Fault| (order.get(&fault.file).copied(), fault.start, fault.end);
    faults.sort_by(|one, other| (key(one), &one.message).cmp(&(key(other), &other.message)));
    faults.dedup();
    faults
}

fn cut(mut faults: Vec<Fault>) -> Vec<Fault> {
    let more = faults.len().saturating_sub(FAULTS_MAX);
    faults.truncate(FAULTS_MAX);
    if more > 0
        && let Some(last) = faults.last_mut()
    {
        last.message += &format!(" (and {more} more faults)");
    }
    faults
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

/// Validates strictly those that were parsed together.
fn validate(parsed: &[Parsed<'_>], validator: &Validator, faults: &mut Vec<Fault>, warnings: &mut Vec<Fault>) {
    let known = Known::of(validator.schema().as_ref());
    let undeclared = parsed.iter().flat_map(|parsed| known.iter().flat_map(|known| parsed.undeclared(known)));
    let of: HashMap<&PolicyId, &Parsed<'_>> = parsed.iter().map(|parsed| (parsed.policy.id(), parsed)).collect();
    let mut set = PolicySet::new();
    for parsed in parsed {
        // They are numbered, so no id is taken.
        let _ = set.add(parsed.policy.clone());
    }
    let result = validator.validate(&set, ValidationMode::Strict);
    let found = |code, id, error: &dyn Diagnostic| of.get(id).map(|parsed| parsed.diagnosed(code, error));
    let errors = result.validation_errors().filter_map(|error| found("invalid", error.policy_id(), error));
    // Each is found once for each method.
    faults.extend(undeclared.chain(errors).collect::<BTreeSet<_>>());
    warnings
        .extend(result.validation_warnings().filter_map(|warning| found("suspicious", warning.policy_id(), warning)));
}
