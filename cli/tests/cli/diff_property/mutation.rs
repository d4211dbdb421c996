//! What happens to policies: changes of all sorts, and ways to write the same otherwise.

use super::draft::{self, Access, Draft, Outage, Require, Route};
use proptest::{prelude::*, sample::Index};

/// A change that may mean anything.
#[derive(Debug, Clone)]
pub(crate) enum Mutation {
    Drop(Index),
    Add(Route),
    Access(Index, Access),
    Loosen(Index, u8),
    Hosts(Index, Vec<&'static str>),
    Methods(Index, Vec<&'static str>),
    Path(Index, Vec<&'static str>),
    Default(Option<Outage>),
    Set(Vec<&'static str>),
    EncodedSlash(Index, bool),
    Shadow(bool),
    IgnoreCase(bool),
    Preflight(bool),
}

pub(crate) fn mutation() -> impl Strategy<Value = Mutation> {
    let at = any::<Index>;
    prop_oneof![
        3 => at().prop_map(Mutation::Drop),
        3 => draft::route().prop_map(Mutation::Add),
        4 => (at(), draft::access()).prop_map(|(at, access)| Mutation::Access(at, access)),
        6 => (at(), 0..9_u8).prop_map(|(at, what)| Mutation::Loosen(at, what)),
        2 => (at(), draft::hosts()).prop_map(|(at, hosts)| Mutation::Hosts(at, hosts)),
        2 => (at(), draft::methods()).prop_map(|(at, methods)| Mutation::Methods(at, methods)),
        2 => (at(), draft::path()).prop_map(|(at, path)| Mutation::Path(at, path)),
        1 => prop::option::of(draft::outage()).prop_map(Mutation::Default),
        1 => prop::sample::subsequence(&draft::SCOPES[..], 1..4).prop_map(Mutation::Set),
        1 => (at(), any::<bool>()).prop_map(|(at, slash)| Mutation::EncodedSlash(at, slash)),
        1 => any::<bool>().prop_map(Mutation::Shadow),
        1 => any::<bool>().prop_map(Mutation::IgnoreCase),
        1 => any::<bool>().prop_map(Mutation::Preflight),
    ]
}

impl Mutation {
    /// Whether it changes which requests a route answers, and nothing else.
    pub(crate) fn is_about_matching(&self) -> bool {
        matches!(
            self,
            Self::Drop(_)
                | Self::Add(_)
                | Self::Hosts(..)
                | Self::Methods(..)
                | Self::Path(..)
                | Self::EncodedSlash(..)
        )
    }

    pub(crate) fn apply(&self, draft: &mut Draft) {
        let pick = |draft: &Draft, at: &Index| at.index(draft.routes.len());
        match self {
            Self::Drop(at) if draft.routes.len() > 1 => drop(draft.routes.remove(pick(draft, at))),
            Self::Drop(_) => {}
            Self::Add(route) => draft.routes.push(route.clone()),
            Self::Access(at, access) => {
                let at = pick(draft, at);
                draft.routes[at].access = access.clone();
            }
            Self::Loosen(at, what) => {
                let at = pick(draft, at);
                loosen(&mut draft.routes[at].access, *what);
            }
            Self::Hosts(at, hosts) => {
                let at = pick(draft, at);
                draft.routes[at].hosts.clone_from(hosts);
            }
            Self::Methods(at, methods) => {
                let at = pick(draft, at);
                draft.routes[at].methods.clone_from(methods);
            }
            Self::Path(at, path) => {
                let at = pick(draft, at);
                draft.routes[at].path.clone_from(path);
            }
            Self::EncodedSlash(at, encoded_slash) => {
                let at = pick(draft, at);
                draft.routes[at].encoded_slash = *encoded_slash;
            }
            Self::Default(outage) => draft.on_outage = *outage,
            Self::Set(scopes) => draft.sets[0].1.clone_from(scopes),
            Self::Shadow(shadow) => draft.shadow = *shadow,
            Self::IgnoreCase(ignore_case) => draft.ignore_case = *ignore_case,
            Self::Preflight(preflight) => draft.preflight = *preflight,
        }
        *draft = draft.clone().mended();
    }
}

fn loosen(access: &mut Access, what: u8) {
    let Access::Guarded { require, optional, acr, session } = access else { return };
    match what {
        0 => *require = None,
        1 => {
            if let Some(Require { all_of, any_of }) = require
                && (all_of.len() > 1 || !any_of.is_empty())
            {
                all_of.pop();
            }
        }
        2 => acr.clear(),
        3 => session.max_age = None,
        4 => session.max_idle = None,
        5 => session.touch = None,
        6 => session.outlive_token = Some(true),
        7 => (*require, *optional) = (None, true),
        _ => session.on_outage = Some(Outage::Grace("60s")),
    }
}

/// Another way to write the same.
#[derive(Debug, Clone)]
pub(crate) enum Refactoring {
    Reorder(Index, Index),
    Rename(Index),
    RenameParameters(Index),
    SplitMethods(Index),
    SplitHosts(Index),
    ExpandSets(Index),
    RenameSet(Index),
    AloneInAnyOf(Index),
    Repeat(Index),
    SayDefault(Index),
}

pub(crate) fn refactoring() -> impl Strategy<Value = Refactoring> {
    let at = any::<Index>;
    prop_oneof![
        (at(), at()).prop_map(|(one, other)| Refactoring::Reorder(one, other)),
        at().prop_map(Refactoring::Rename),
        at().prop_map(Refactoring::RenameParameters),
        at().prop_map(Refactoring::SplitMethods),
        at().prop_map(Refactoring::SplitHosts),
        at().prop_map(Refactoring::ExpandSets),
        at().prop_map(Refactoring::RenameSet),
        at().prop_map(Refactoring::AloneInAnyOf),
        at().prop_map(Refactoring::Repeat),
        at().prop_map(Refactoring::SayDefault),
    ]
}

impl Refactoring {
    pub(crate) fn apply(&self, draft: &mut Draft) {
        let count = draft.routes.len();
        let default = draft.on_outage;
        match self {
            Self::Reorder(one, other) => draft.routes.swap(one.index(count), other.index(count)),
            Self::Rename(at) => draft.routes[at.index(count)].name += "-renamed",
            Self::RenameParameters(at) => draft.routes[at.index(count)].parameter = "y",
            Self::SplitMethods(at) => split(draft, at.index(count), |route| &mut route.methods),
            Self::SplitHosts(at) => split(draft, at.index(count), |route| &mut route.hosts),
            Self::ExpandSets(at) => {
                let sets = draft.sets.clone();
                if let Some(Require { all_of, .. }) = require(&mut draft.routes[at.index(count)]) {
                    *all_of = all_of.iter().flat_map(|name| expanded(name, &sets)).collect();
                }
            }
            Self::RenameSet(at) => {
                let at = at.index(draft.sets.len());
                let (old, new) = (draft.sets[at].0.clone(), draft.sets[at].0.clone() + "-renamed");
                for require in draft.routes.iter_mut().filter_map(require) {
                    for name in require.all_of.iter_mut().chain(&mut require.any_of) {
                        if *name == format!("@{old}") {
                            *name = format!("@{new}");
                        }
                    }
                }
                draft.sets[at].0 = new;
            }
            // One of one is all of it.
            Self::AloneInAnyOf(at) => {
                if let Some(Require { all_of, any_of }) = require(&mut draft.routes[at.index(count)])
                    && any_of.len() == 1
                {
                    all_of.append(any_of);
                }
            }
            Self::Repeat(at) => {
                if let Some(Require { all_of, any_of }) = require(&mut draft.routes[at.index(count)]) {
                    all_of.extend(all_of.clone());
                    any_of.extend(any_of.first().cloned());
                }
            }
            Self::SayDefault(at) => {
                if let Access::Guarded { session, .. } = &mut draft.routes[at.index(count)].access {
                    session.on_outage = session.on_outage.or(default).or(Some(Outage::Deny));
                    session.touch = session.touch.or(Some(true));
                    session.outlive_token = session.outlive_token.or(Some(false));
                }
            }
        }
    }
}

fn require(route: &mut Route) -> Option<&mut Require> {
    match &mut route.access {
        Access::Guarded { require, .. } => require.as_mut(),
        Access::Public => None,
    }
}

fn expanded(name: &str, sets: &[(String, Vec<&'static str>)]) -> Vec<String> {
    let Some(set) = name.strip_prefix('@') else { return vec![name.to_owned()] };
    let (_, scopes) = sets.iter().find(|(name, _)| name == set).expect("a set");
    scopes.iter().map(|scope| (*scope).to_owned()).collect()
}

fn split(draft: &mut Draft, at: usize, list: impl Fn(&mut Route) -> &mut Vec<&'static str>) {
    let mut second = draft.routes[at].clone();
    let taken = list(&mut draft.routes[at]).pop();
    match taken {
        Some(item) if !list(&mut draft.routes[at]).is_empty() => {
            *list(&mut second) = vec![item];
            second.name += "-second";
            draft.routes.push(second);
        }
        Some(item) => list(&mut draft.routes[at]).push(item),
        None => {}
    }
}
