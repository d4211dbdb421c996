//! Attributes that the admin API sets and removes.

use super::commit::Commit;
use super::op::{NotWritten, Reply, answer};
use super::prepare::{Group, Step};
use crate::attributes::{Attribute, Fact, HELD_MAX};
use crate::store::Change;

/// The answer to a change of an attribute: what was known before, or that its holder has no room for another.
pub(super) type Set = Result<Option<Fact>, NoRoom>;

/// A holder has as many attributes as it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoRoom;

impl Commit {
    pub(super) fn prepare_attribute(&self, group: &mut Group, attribute: Attribute, reply: Reply<Set>) {
        if attribute.fact.is_none() && !self.is_known(group, &attribute) {
            return answer(reply, Ok(Ok(None)));
        }
        if !self.has_room_for(group, &attribute, HELD_MAX) {
            return answer(reply, Ok(Err(NoRoom)));
        }
        group.changes.push(Change::Attribute(attribute.clone()));
        group.steps.push(Step::Attribute(attribute, reply));
    }

    pub(super) fn finish_attribute(&self, attribute: &Attribute) -> Result<Set, NotWritten> {
        let before = self.registry.set_attributes(std::slice::from_ref(attribute));
        self.audit.attribute(attribute, "admin");
        Ok(Ok(before))
    }

    /// Whether an attribute is set, after the changes of this group so far.
    fn is_known(&self, group: &Group, attribute: &Attribute) -> bool {
        self.names_of(group, attribute).contains(&attribute.name)
    }

    /// Whether a holder has at most `max` attributes with this one.
    pub(super) fn has_room_for(&self, group: &Group, attribute: &Attribute, max: usize) -> bool {
        let names = self.names_of(group, attribute);
        attribute.fact.is_none() || names.contains(&attribute.name) || names.len() < max
    }

    /// The names of the attributes of the same holder, after the changes of this group so far.
    fn names_of(&self, group: &Group, attribute: &Attribute) -> Vec<String> {
        let now_ms = attribute.fact.as_ref().map_or(0, |fact| fact.set_at_ms);
        let held = self.registry.attributes_at(&attribute.holder).into_iter();
        let mut names: Vec<String> = held.filter(|(_, fact)| fact.holds_at(now_ms)).map(|(name, _)| name).collect();
        for change in &group.changes {
            if let Change::Attribute(changed) = change
                && changed.holder == attribute.holder
            {
                names.retain(|name| *name != changed.name);
                names.extend(changed.fact.is_some().then(|| changed.name.clone()));
            }
        }
        names
    }
}
