//! Who may call an operation: from the alternatives of an OpenAPI document to a rule, or to a question.

use crate::policy::openapi::{Scheme, SchemeKind, Security};
use portcullis_engine::policy::scope_name;
use std::collections::{BTreeSet, HashMap};

/// The most alternatives of an operation that are compared with each other.
const ALTERNATIVES_MAX: usize = 500;

/// What a rule says of who may pass.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Access {
    /// Everyone.
    Public,
    /// Everyone with a token.
    Authenticated,
    /// Those with all scopes of one of these groups. No group is empty or holds another.
    Scopes(Vec<Vec<String>>),
}

/// Why somebody has to decide.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    Unreadable,
    Path,
    Unsaid,
    Open,
    Optional,
    NoToken,
    Scope,
    Twice,
}

impl Kind {
    /// What is asked, for a list of operations.
    pub(super) fn question(self) -> &'static str {
        match self {
            Self::Unreadable => "this part of the document can't be used",
            Self::Path => "a policy has no such path",
            Self::Unsaid => "the document doesn't say who may call this",
            Self::Open => "the document says that everyone may call this",
            Self::Optional => "the document says that a token is optional",
            Self::NoToken => "the document asks for something other than an access token",
            Self::Scope => "the document asks for a scope that can't be in a policy",
            Self::Twice => "the document has two operations for the same requests, and they differ",
        }
    }
}

/// What the document says of an operation, as far as a policy can say it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Decision {
    /// A rule; with what it leaves out of the document.
    Rule(Access, Vec<String>),
    /// A question, in words; with the rule that is the likeliest answer.
    Ask(Kind, String, Option<Access>),
}

/// Reads what an operation requires.
pub(super) fn decide(security: &Security, schemes: &HashMap<&str, &Scheme>) -> Decision {
    let alternatives = match security {
        Security::Unsaid => return Decision::Ask(Kind::Unsaid, "there is no `security`".to_owned(), None),
        Security::Unreadable(why) => return Decision::Ask(Kind::Unreadable, why.clone(), None),
        Security::AnyOf(alternatives) => alternatives,
    };
    if alternatives.is_empty() {
        return Decision::Ask(Kind::Open, "`security` is empty".to_owned(), Some(Access::Public));
    }
    if alternatives.len() > ALTERNATIVES_MAX {
        let why = format!("{} alternatives; at most {ALTERNATIVES_MAX} are compared", alternatives.len());
        return Decision::Ask(Kind::Unreadable, why, None);
    }
    let mut sorted = Sorted::default();
    for needs in alternatives {
        sorted.add(needs, schemes);
    }
    sorted.decision()
}

#[derive(Default)]
struct Sorted {
    /// Scopes of a token that suffices.
    groups: Vec<BTreeSet<String>>,
    /// Scopes of a token that is needed together with something else.
    partial: Vec<BTreeSet<String>>,
    others: Vec<String>,
    scopes: Vec<String>,
    anonymous: bool,
}

impl Sorted {
    fn add(&mut self, needs: &[(String, Vec<String>)], schemes: &HashMap<&str, &Scheme>) {
        if needs.is_empty() {
            self.anonymous = true;
            return;
        }
        let (mut group, mut others, mut refused) = (BTreeSet::new(), Vec::new(), Vec::new());
        let mut has_token = false;
        for (name, scopes) in needs {
            match schemes.get(name.as_str()).map(|scheme| &scheme.kind) {
                Some(SchemeKind::Tokens { .. }) => {
                    has_token = true;
                    refused.extend(scopes.iter().filter_map(|scope| scope_name(scope).err()));
                    group.extend(scopes.iter().cloned());
                }
                Some(SchemeKind::Other(what)) => others.push(format!("`{name}` ({what})")),
                None => others.push(format!("`{name}` (not among the document's `securitySchemes`)")),
            }
        }
        match (refused.is_empty(), others.is_empty()) {
            (false, _) => self.scopes.extend(refused),
            (true, true) => self.groups.push(group),
            (true, false) => {
                if has_token {
                    self.partial.push(group);
                    others.insert(0, "a token".to_owned());
                }
                self.others.push(others.join(" together with "));
            }
        }
    }

    fn decision(mut self) -> Decision {
        unique(&mut self.others);
        unique(&mut self.scopes);
        let access = (!self.groups.is_empty()).then(|| access(&self.groups));
        if self.anonymous {
            let why = "`security` has an empty alternative".to_owned();
            return Decision::Ask(Kind::Optional, why, access.or(Some(Access::Public)));
        }
        match access {
            Some(access) => {
                let others = (!self.others.is_empty())
                    .then(|| format!("in the document {} would do as well, and won't here", self.others.join(", or ")));
                let scopes = self.scopes.iter().map(|scope| format!("an alternative is left out: {scope}"));
                Decision::Rule(access, others.into_iter().chain(scopes).collect())
            }
            None if self.scopes.is_empty() => {
                let likely = if self.partial.is_empty() { Access::Authenticated } else { self::access(&self.partial) };
                Decision::Ask(Kind::NoToken, self.others.join(", or "), Some(likely))
            }
            None => Decision::Ask(Kind::Scope, self.scopes.join("; "), None),
        }
    }
}

fn unique(texts: &mut Vec<String>) {
    let mut seen = BTreeSet::new();
    texts.retain(|text| seen.insert(text.clone()));
}

/// What groups of scopes mean: who holds more than enough holds enough.
fn access(groups: &[BTreeSet<String>]) -> Access {
    let least: Vec<_> = groups
        .iter()
        .enumerate()
        .filter(|(at, group)| {
            !groups
                .iter()
                .enumerate()
                .any(|(other, less)| less.is_subset(group) && (less.len() < group.len() || other < *at))
        })
        .map(|(_, group)| group.iter().cloned().collect::<Vec<_>>())
        .collect();
    if least.iter().any(Vec::is_empty) { Access::Authenticated } else { Access::Scopes(least) }
}
