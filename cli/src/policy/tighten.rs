//! `portcullis policy tighten`: a policy without the scopes that nobody uses.
//!
//! What was used is known by scope, not by route. So an entry of `any_of` goes if it has a scope that no request needed
//! anywhere, and only while another entry stays: a route keeps its protection. Then the sets and the scopes of the registry go
//! that nothing refers to any more. `plan` decides what goes, `cut` takes it out of the text, and the comparison of `policy
//! diff` must find that the result is only less permissive.

mod command;
mod cut;
mod plan;
#[cfg(test)]
mod tests;

pub(super) use command::Args;

use super::{
    diff::{Comparison, Direction},
    load::Loaded,
};
use crate::{
    document::{Document, Node},
    error::Error,
};
use plan::Plan;
use std::collections::HashSet;

/// A proposal.
#[derive(Debug)]
pub struct Tightened {
    /// The new text of the file.
    pub text: String,
    /// The new policy.
    pub policy: Loaded,
    /// What was taken out, for people.
    pub removed: Vec<String>,
    /// Routes none of whose alternatives was used: they keep all.
    pub kept: Vec<String>,
    /// Whether the text keeps its notation and comments.
    pub is_edited: bool,
}

/// Proposes a policy, if scopes other than `granted` were needed by nobody.
///
/// # Errors
/// The policy is in a manifest and cannot be edited there, or the result would be more permissive.
pub fn tighten(loaded: &Loaded, granted: &HashSet<&str>) -> Result<Tightened, Error> {
    let document = &loaded.document;
    let Plan { removals, removed, kept } = Plan::of(document.root(), granted);
    let mut root = document.root().clone();
    plan::apply(&mut root, &removals);
    let edited = cut::edited(document.text(), document.root(), &removals)
        .and_then(|text| Some((Loaded::parse(document.name(), text.clone()).ok()?, text)))
        .filter(|(policy, _)| is_same(policy.document.json(), &root.to_json()));
    let (policy, text, is_edited) = match edited {
        Some((policy, text)) => (policy, text, true),
        None => {
            let text = written(document, &root)?;
            (Loaded::parse(document.name(), text.clone())?, text, false)
        }
    };
    let comparison = Comparison::of(&loaded.policy, &policy.policy);
    if let Some(finding) = comparison.to(Direction::MorePermissive).next() {
        let (subject, text) = (&finding.subject, &finding.text);
        return Err(Error::failed(format_args!(
            "the result would be more permissive, so it is not proposed: {subject}: {text}"
        )));
    }
    Ok(Tightened { text, policy, removed, kept, is_edited })
}

/// Whether two texts are the same JSON value; the order of keys does not matter.
fn is_same(one: &str, other: &str) -> bool {
    let read = |text: &str| serde_json::from_str::<serde_json::Value>(text).ok();
    read(one).is_some_and(|one| read(other) == Some(one))
}

/// The policy as this tool writes it, without comments.
fn written(document: &Document, root: &Node) -> Result<String, Error> {
    let name = document.name();
    // A manifest has more than the policy.
    let is_whole = document.reread().first().is_some_and(|first| is_same(&first.to_json(), document.json()));
    if !is_whole {
        return Err(Error::failed(format_args!(
            "the policy in `{name}` cannot be edited there: use a file of its own"
        )));
    }
    let failed = |error: &dyn std::fmt::Display| Error::failed(format_args!("cannot write the policy: {error}"));
    match document.text().trim_start().starts_with('{') {
        true => serde_json::to_string_pretty(root).map(|text| text + "\n").map_err(|error| failed(&error)),
        false => serde_saphyr::to_string(root).map_err(|error| failed(&error)),
    }
}
