//! Compares the claims that two policies demand of tokens, and those that mark machines.

use super::change::{Change, Direction};
use crate::policy::name_list::NameList;
use portcullis_engine::policy::ClaimValues;
use serde_json::{Map, Value, json};

/// The changes of the claims that tokens must have.
pub(super) fn changes(before: &[ClaimValues], after: &[ClaimValues]) -> Vec<Change> {
    let find = |list: &'_ [ClaimValues], claim: &str| list.iter().position(|values| values.claim == claim);
    let mut changes = Vec::new();
    for now in after {
        let was = find(before, &now.claim).and_then(|index| before.get(index));
        let (direction, text) = match was {
            Some(was) if canonical_values(was) == canonical_values(now) => continue,
            None => (Direction::LessPermissive, format!("only tokens with {} are accepted", words(now))),
            Some(was) => {
                let is_narrower = now.values.iter().all(|value| was.values.contains(value));
                let direction = if is_narrower { Direction::LessPermissive } else { Direction::MorePermissive };
                (direction, format!("tokens with {} are accepted, was {}", words(now), values(was)))
            }
        };
        changes.push(change(direction, text, was, Some(now)));
    }
    for was in before.iter().filter(|was| find(after, &was.claim).is_none()) {
        let text = format!("tokens are accepted whatever their `{}`, was {}", was.claim, values(was));
        changes.push(change(Direction::MorePermissive, text, Some(was), None));
    }
    changes
}

/// With other marks, a person's session may become a machine client's, which comes back with any newer token.
pub(super) fn machine(before: &[ClaimValues], after: &[ClaimValues]) -> Option<Change> {
    let (old, new) = (canonical(before), canonical(after));
    if old == new {
        return None;
    }
    let [now, was] = [after, before].map(|marks| match marks.is_empty() {
        true => "nothing else".to_owned(),
        false => NameList::joined(marks.iter().map(words).collect(), "and").to_string(),
    });
    let text = format!("machine clients are marked by {now}, was {was}: an ended session may look like a new one");
    Some(Change::new(Direction::MorePermissive, "machine", text, old, new))
}

/// The claims with their values, in no order.
pub(super) fn canonical(claims: &[ClaimValues]) -> Value {
    let entries = claims.iter().map(|values| (values.claim.clone(), canonical_values(values)));
    Value::Object(entries.collect::<Map<_, _>>())
}

fn canonical_values(values: &ClaimValues) -> Value {
    let mut values: Vec<String> = values.values.iter().map(ToString::to_string).collect();
    values.sort();
    values.dedup();
    json!(values)
}

fn change(direction: Direction, text: String, was: Option<&ClaimValues>, now: Option<&ClaimValues>) -> Change {
    let [old, new] = [was, now].map(|values| values.map(std::slice::from_ref).map_or(Value::Null, canonical));
    Change::new(direction, "claims", text, old, new)
}

fn words(values: &ClaimValues) -> String {
    format!("`{}` {}", values.claim, self::values(values))
}

fn values(values: &ClaimValues) -> String {
    NameList::or(&values.values).to_string()
}
