//! The scopes of a document as declarations of the policy, and the sets that its alternatives need.

use super::{
    access::Access,
    plan::{Question, Route, Treatment},
    text::{Names, description},
};
use crate::policy::openapi::{Api, SchemeKind};
use portcullis_engine::policy::{SCOPES_MAX, SETS_MAX, scope_name};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// The scope of rules that block requests. A number is appended if the document has a scope of this name.
pub(super) const BLOCK_SCOPE: &str = "portcullis:unanswered";
/// The longest set name that is composed of scope names, in bytes.
const SET_NAME_BYTES_MAX: usize = 120;

/// The scopes and sets that rules may require.
#[derive(Debug)]
pub(super) struct Register {
    scopes: Vec<Scope>,
    refused: BTreeMap<String, String>,
    sets: Vec<(String, Vec<String>)>,
    set_names: HashMap<Vec<String>, String>,
    block: String,
}

/// A declared scope.
#[derive(Debug)]
pub(super) struct Scope {
    pub(super) name: String,
    pub(super) description: Option<String>,
    /// A remark for the reader.
    pub(super) remark: Option<&'static str>,
}

impl Register {
    /// Every scope of the document that is valid in a policy: the declared ones in their order, then the others.
    pub(super) fn new(api: &Api, routes: &[Route<'_>]) -> Result<Self, String> {
        let groups: Vec<&Vec<String>> = routes.iter().filter_map(wanted).flatten().collect();
        let used: BTreeSet<&String> = groups.iter().copied().flatten().collect();
        let mut register = Self {
            scopes: Vec::new(),
            refused: BTreeMap::new(),
            sets: Vec::new(),
            set_names: HashMap::new(),
            block: String::new(),
        };
        let mut seen = BTreeSet::new();
        for scheme in &api.schemes {
            let SchemeKind::Tokens { scopes, .. } = &scheme.kind else { continue };
            for (name, text) in scopes {
                let remark = (!used.contains(name)).then_some("no operation requires it");
                register.declare(name, description(text), remark, &mut seen);
            }
        }
        for name in used {
            register.declare(name, None, Some("required, but not declared in the document"), &mut seen);
        }
        register.name_block_scope(routes, &seen);
        register.name_sets(routes);
        match (register.scopes.len(), register.sets.len()) {
            (scopes, _) if scopes > SCOPES_MAX => {
                Err(format!("{scopes} scopes; a policy can have at most {SCOPES_MAX}"))
            }
            (_, sets) if sets > SETS_MAX => {
                Err(format!("its alternatives need {sets} sets of scopes; a policy can have at most {SETS_MAX}"))
            }
            _ => Ok(register),
        }
    }

    fn declare(
        &mut self,
        name: &str,
        description: Option<String>,
        remark: Option<&'static str>,
        seen: &mut BTreeSet<String>,
    ) {
        if !seen.insert(name.to_owned()) {
            return;
        }
        match scope_name(name) {
            Ok(()) => self.scopes.push(Scope { name: name.to_owned(), description, remark }),
            Err(why) => drop(self.refused.insert(name.to_owned(), why)),
        }
    }

    fn name_block_scope(&mut self, routes: &[Route<'_>], seen: &BTreeSet<String>) {
        let mut names = Names::default();
        seen.iter().for_each(|name| drop(names.free(name)));
        self.block = names.free(BLOCK_SCOPE);
        let is_used = |route: &Route<'_>| matches!(&route.treatment, Treatment::Ask(Question { block: Some(_), .. }));
        if routes.iter().any(is_used) {
            let description = "granted to nobody: blocks requests until their question is answered".to_owned();
            let (name, remark) = (self.block.clone(), Some("the issuer must never grant this scope"));
            self.scopes.push(Scope { name, description: Some(description), remark });
        }
    }

    fn name_sets(&mut self, routes: &[Route<'_>]) {
        let mut names = Names::default();
        for (_, rests) in routes.iter().filter_map(wanted).map(|groups| apart(groups)) {
            for rest in rests.into_iter().filter(|rest| rest.len() > 1) {
                if self.set_names.contains_key(&rest) {
                    continue;
                }
                let joined = rest.join("+");
                let name = if joined.len() > SET_NAME_BYTES_MAX { "set".to_owned() } else { joined };
                let name = names.free(&name);
                self.sets.push((name.clone(), rest.clone()));
                self.set_names.insert(rest, name);
            }
        }
    }

    /// `all_of` and `any_of` for groups of scopes, one of which is required in full.
    pub(super) fn requirement(&self, groups: &[Vec<String>]) -> (Vec<String>, Vec<String>) {
        let (all_of, rests) = apart(groups);
        let entry = |rest: Vec<String>| match (rest.as_slice(), self.set_names.get(&rest)) {
            ([scope], _) => Some(scope.clone()),
            (_, set) => set.map(|set| format!("@{set}")),
        };
        (all_of, rests.into_iter().filter_map(entry).collect())
    }

    pub(super) fn scopes(&self) -> &[Scope] {
        &self.scopes
    }

    pub(super) fn is_empty(&self) -> bool {
        self.scopes.is_empty()
    }

    /// The scopes of the document that are not valid in a policy, and why.
    pub(super) fn refused(&self) -> &BTreeMap<String, String> {
        &self.refused
    }

    pub(super) fn sets(&self) -> &[(String, Vec<String>)] {
        &self.sets
    }

    /// The scope of rules that block requests.
    pub(super) fn block_scope(&self) -> &str {
        &self.block
    }
}

/// The groups of scopes that a route requires, or is likely to require once its question is answered.
fn wanted<'r>(route: &'r Route<'_>) -> Option<&'r Vec<Vec<String>>> {
    match &route.treatment {
        Treatment::Rule { access: Access::Scopes(groups), .. } => Some(groups),
        Treatment::Ask(Question { likely: Some(Access::Scopes(groups)), .. }) => Some(groups),
        _ => None,
    }
}

/// The scopes that all groups have in common, and the rest of each group. No group is a superset of another, so with several
/// groups no rest is empty.
fn apart(groups: &[Vec<String>]) -> (Vec<String>, Vec<Vec<String>>) {
    let [first, others @ ..] = groups else { return (Vec::new(), Vec::new()) };
    let common: Vec<String> =
        first.iter().filter(|scope| others.iter().all(|group| group.contains(scope))).cloned().collect();
    if others.is_empty() {
        return (common, Vec::new());
    }
    let rest = |group: &Vec<String>| group.iter().filter(|scope| !common.contains(scope)).cloned().collect();
    let rests = groups.iter().map(rest).collect();
    (common, rests)
}
