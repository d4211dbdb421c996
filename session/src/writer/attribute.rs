//! Attributes that the admin API sets and removes, and those that anomalies become.

use super::commit::Commit;
use super::op::{NotWritten, Reply, answer};
use super::prepare::{Group, Step};
use crate::anomalies;
use crate::attributes::{Attribute, HELD_MAX};
use crate::audit::Actor;
use crate::store::Change;

/// The answer to a change of an attribute: it holds, or its source has no room for another one.
pub(super) type Set = Result<(), NoRoom>;

/// A source has stated as many attributes of a holder as it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoRoom;

impl Commit {
    pub(super) fn prepare_attribute(&self, group: &mut Group, attribute: Attribute, reply: Reply<Set>) {
        if attribute.fact.is_none() && !self.names_of(group, &attribute).contains(&attribute.name) {
            return answer(reply, Ok(Ok(())));
        }
        if !self.has_room_for(group, &attribute) {
            return answer(reply, Ok(Err(NoRoom)));
        }
        group.changes.push(Change::Attribute(attribute.clone()));
        group.steps.push(Step::Attribute(attribute, reply));
    }

    pub(super) fn finish_attribute(&self, attribute: &Attribute, actor: &Actor) -> Result<Set, NotWritten> {
        self.registry.set_attributes(std::slice::from_ref(attribute));
        let is_found = attribute.source == anomalies::SOURCE && *actor == Actor::Nobody;
        self.audit.attribute(attribute, if is_found { "anomaly" } else { "admin" }, actor);
        Ok(Ok(()))
    }

    /// Whether a holder has at most [`HELD_MAX`] attributes of this one's source with this one.
    pub(super) fn has_room_for(&self, group: &Group, attribute: &Attribute) -> bool {
        let names = self.names_of(group, attribute);
        attribute.fact.is_none() || names.contains(&attribute.name) || names.len() < HELD_MAX
    }

    /// The names of the attributes of the same holder and source, after the changes of this group so far.
    fn names_of(&self, group: &Group, attribute: &Attribute) -> Vec<String> {
        let now_ms = attribute.fact.as_ref().map_or(0, |fact| fact.set_at_ms);
        let held = self.registry.attributes_at(&attribute.holder).into_iter();
        let stands = held.filter(|((_, source), fact)| *source == attribute.source && fact.holds_at(now_ms));
        let mut names: Vec<String> = stands.map(|((name, _), _)| name).collect();
        for change in &group.changes {
            if let Change::Attribute(changed) = change
                && (&changed.holder, &changed.source) == (&attribute.holder, &attribute.source)
            {
                names.retain(|name| *name != changed.name);
                names.extend(changed.fact.is_some().then(|| changed.name.clone()));
            }
        }
        names
    }
}
